#include "runtime/cgroup/device_rules.hh"

#include <algorithm>

#include "runtime/sys/error.hh"

namespace vessel {

namespace {

constexpr const char* json_path = "linux.resources.devices";

bool covers(const std::optional<uint32_t>& wide, const std::optional<uint32_t>& narrow) {
  return !wide || wide == narrow;
}

bool covers(const DeviceMatch& wide, const DeviceMatch& narrow) {
  return wide.block == narrow.block && covers(wide.major, narrow.major) &&
         covers(wide.minor, narrow.minor);
}

bool overlap(const DeviceMatch& a, const DeviceMatch& b) {
  auto meet = [](const auto& x, const auto& y) { return !x || !y || x == y; };
  return a.block == b.block && meet(a.major, b.major) && meet(a.minor, b.minor);
}

std::string text(const DeviceMatch& match, uint32_t access) {
  auto number = [](const std::optional<uint32_t>& n) { return n ? std::to_string(*n) : "*"; };
  std::string line = match.block ? "b " : "c ";
  line += number(match.major) + ":" + number(match.minor) + " ";
  if (access & device_read) line += 'r';
  if (access & device_write) line += 'w';
  if (access & device_mknod) line += 'm';
  return line;
}

std::optional<uint32_t> number(const std::optional<int64_t>& value, const std::string& path) {
  // -1 has been written for "any" since before the field could be absent.
  if (!value || *value == -1) return {};
  if (*value < 0 || *value > UINT32_MAX)
    throw Error(path + ": " + std::to_string(*value) + " is no device number");
  return static_cast<uint32_t>(*value);
}

uint32_t access_bits(const std::string& access, const std::string& path) {
  if (access.empty()) return device_all;
  uint32_t bits = 0;
  for (char c : access) {
    if (c == 'r')
      bits |= device_read;
    else if (c == 'w')
      bits |= device_write;
    else if (c == 'm')
      bits |= device_mknod;
    else
      throw Error(path + ".access: \"" + access + "\" has other letters than r, w and m");
  }
  return bits;
}

}  // namespace

NormalRules normal_rules(const std::vector<oci::DeviceRule>& rules) {
  NormalRules normal;
  for (size_t i = 0; i < rules.size(); ++i) {
    const oci::DeviceRule& rule = rules[i];
    std::string path = std::string(json_path) + "[" + std::to_string(i) + "]";
    NormalRule out{
        rule.allow,
        {false, number(rule.major, path + ".major"), number(rule.minor, path + ".minor")},
        access_bits(rule.access, path)};
    bool every_type = rule.type.empty() || rule.type == "a";
    if (!every_type && rule.type != "b" && rule.type != "c" && rule.type != "u")
      throw Error(path + ".type: \"" + rule.type + "\" is none of a, b, c");
    if (every_type && !out.match.major && !out.match.minor && out.access == device_all) {
      normal = {rule.allow, {}};
      continue;
    }
    for (bool block : {false, true}) {
      if (!every_type && block != (rule.type == "b")) continue;
      out.match.block = block;
      normal.rules.push_back(out);
    }
  }
  return normal;
}

bool devices_allow(const NormalRules& rules, bool block, uint32_t major, uint32_t minor,
                   uint32_t access) {
  DeviceMatch device{block, major, minor};
  for (auto rule = rules.rules.rbegin(); rule != rules.rules.rend(); ++rule) {
    if (!covers(rule->match, device)) continue;
    if (!rule->allow && (access & rule->access)) return false;
    if (rule->allow) access &= ~rule->access;
    if (rule->allow && access == 0) return true;
  }
  return rules.default_allow;
}

std::vector<CgroupWrite> device_writes_v1(const NormalRules& rules) {
  struct Exception {
    DeviceMatch match;
    uint32_t access;
  };
  std::vector<Exception> exceptions;  // all with allow != default_allow
  for (const NormalRule& rule : rules.rules) {
    if (rule.allow != rules.default_allow) {
      auto same = std::ranges::find(exceptions, rule.match, &Exception::match);
      if (same == exceptions.end())
        exceptions.push_back({rule.match, rule.access});
      else
        same->access |= rule.access;
      continue;
    }
    for (Exception& exception : exceptions) {
      if (!overlap(exception.match, rule.match) || !(exception.access & rule.access)) continue;
      // Every container may make any node (default_devices.hh). That v1 cannot except one from it,
      // as Docker asks for 10:229, gives nobody the use of the device: no error, as with runc.
      if (!covers(rule.match, exception.match) && !exception.match.major &&
          !exception.match.minor && (exception.access & rule.access) == device_mknod)
        continue;
      if (!covers(rule.match, exception.match))
        throw Error(std::string(json_path) + ": cgroup v1 cannot take \"" +
                    text(rule.match, rule.access) + "\" out of the wider rule \"" +
                    text(exception.match, exception.access) + "\"");
      exception.access &= ~rule.access;
    }
    std::erase_if(exceptions, [](const Exception& e) { return e.access == 0; });
  }
  if (!rules.default_allow) {
    // An open for reading and writing must be allowed by one exception alone (v1 looks for one that
    // has every bit), so a narrow one also gets what wider ones give. mknod is asked for by itself.
    for (Exception& narrow : exceptions)
      for (const Exception& wide : exceptions)
        if (covers(wide.match, narrow.match))
          narrow.access |= wide.access & (device_read | device_write);
  }
  auto write = [&](bool allow, std::string value) {
    return CgroupWrite{"devices",        false,     allow ? "devices.allow" : "devices.deny",
                       std::move(value), json_path, WriteRule::required};
  };
  // "a" alone sets the default and forgets all exceptions, also those inherited from the parent.
  std::vector<CgroupWrite> writes{write(rules.default_allow, "a")};
  for (const Exception& e : exceptions)
    writes.push_back(write(!rules.default_allow, text(e.match, e.access)));
  return writes;
}

}  // namespace vessel
