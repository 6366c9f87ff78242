#include "runtime/plan/mount_options.hh"

#include <algorithm>
#include <array>

namespace vessel {

namespace {

enum class What : uint8_t {
  nothing,    // recognised, without effect: defaults, or of mount(8) in user space only
  attribute,  // MOUNT_ATTR_* of this mount
  recursive,  // the same of this mount and all below it
  noatime,    // the access time field has three values and five names with opposites
  strictatime,
  relatime,
  rnoatime,
  rstrictatime,
  rrelatime,
  superblock,  // a flag of the superblock
  propagation,
  bind,
  rbind,
  remount,
  copy_up,
  idmap,
  ridmap,
};

struct Option {
  char name[16];  // not a pointer, which would be relocated at each start
  What what;
  bool on = true;      // false: the opposite, "exec" for noexec
  uint64_t value = 0;  // MOUNT_ATTR_* or Propagation
  bool listed = true;  // in `features`
};

constexpr uint64_t of(Propagation p) {
  return static_cast<uint64_t>(p);
}

// Sorted by name. iversion and silent have no counterpart in the mount API: the first is decided by
// each file system since Linux 5.17, the second only ever quietened the kernel's log; mand does
// nothing since Linux 5.15. acl is each file system's own business. The unlisted ones are read by
// mount(8) and never reach the kernel.
constexpr auto table = std::to_array<Option>({
    {"_netdev", What::nothing, true, 0, false},
    {"async", What::superblock, false},
    {"atime", What::noatime, false},
    {"auto", What::nothing, true, 0, false},
    {"bind", What::bind},
    {"defaults", What::nothing},
    {"dev", What::attribute, false, mount_attr_nodev},
    {"diratime", What::attribute, false, mount_attr_nodiratime},
    {"dirsync", What::superblock},
    {"exec", What::attribute, false, mount_attr_noexec},
    {"group", What::nothing, true, 0, false},
    {"idmap", What::idmap},
    {"iversion", What::nothing},
    {"lazytime", What::superblock},
    {"loud", What::nothing},
    {"mand", What::nothing},
    {"noatime", What::noatime},
    {"noauto", What::nothing, true, 0, false},
    {"nodev", What::attribute, true, mount_attr_nodev},
    {"nodiratime", What::attribute, true, mount_attr_nodiratime},
    {"noexec", What::attribute, true, mount_attr_noexec},
    {"nofail", What::nothing, true, 0, false},
    {"noiversion", What::nothing},
    {"nolazytime", What::superblock, false},
    {"nomand", What::nothing},
    {"norelatime", What::relatime, false},
    {"nostrictatime", What::strictatime, false},
    {"nosuid", What::attribute, true, mount_attr_nosuid},
    {"nosymfollow", What::attribute, true, mount_attr_nosymfollow},
    {"nouser", What::nothing, true, 0, false},
    {"owner", What::nothing, true, 0, false},
    {"private", What::propagation, true, of(Propagation::private_)},
    {"ratime", What::rnoatime, false},
    {"rbind", What::rbind},
    {"rdev", What::recursive, false, mount_attr_nodev},
    {"rdiratime", What::recursive, false, mount_attr_nodiratime},
    {"relatime", What::relatime},
    {"remount", What::remount},
    {"rexec", What::recursive, false, mount_attr_noexec},
    {"ridmap", What::ridmap},
    {"rnoatime", What::rnoatime},
    {"rnodev", What::recursive, true, mount_attr_nodev},
    {"rnodiratime", What::recursive, true, mount_attr_nodiratime},
    {"rnoexec", What::recursive, true, mount_attr_noexec},
    {"rnorelatime", What::rrelatime, false},
    {"rnostrictatime", What::rstrictatime, false},
    {"rnosuid", What::recursive, true, mount_attr_nosuid},
    {"rnosymfollow", What::recursive, true, mount_attr_nosymfollow},
    {"ro", What::attribute, true, mount_attr_rdonly},
    {"rprivate", What::propagation, true, of(Propagation::rprivate)},
    {"rrelatime", What::rrelatime},
    {"rro", What::recursive, true, mount_attr_rdonly},
    {"rrw", What::recursive, false, mount_attr_rdonly},
    {"rshared", What::propagation, true, of(Propagation::rshared)},
    {"rslave", What::propagation, true, of(Propagation::rslave)},
    {"rstrictatime", What::rstrictatime},
    {"rsuid", What::recursive, false, mount_attr_nosuid},
    {"rsymfollow", What::recursive, false, mount_attr_nosymfollow},
    {"runbindable", What::propagation, true, of(Propagation::runbindable)},
    {"rw", What::attribute, false, mount_attr_rdonly},
    {"shared", What::propagation, true, of(Propagation::shared)},
    {"silent", What::nothing},
    {"slave", What::propagation, true, of(Propagation::slave)},
    {"strictatime", What::strictatime},
    {"suid", What::attribute, false, mount_attr_nosuid},
    {"symfollow", What::attribute, false, mount_attr_nosymfollow},
    {"sync", What::superblock},
    {"tmpcopyup", What::copy_up},
    {"unbindable", What::propagation, true, of(Propagation::unbindable)},
    {"user", What::nothing, true, 0, false},
    {"users", What::nothing, true, 0, false},
});
static_assert(std::is_sorted(table.begin(), table.end(), [](const Option& a, const Option& b) {
  return std::string_view(a.name) < b.name;
}));

const Option* find(std::string_view name) {
  const auto* const found =
      std::lower_bound(table.begin(), table.end(), name,
                       [](const Option& o, std::string_view n) { return o.name < n; });
  return found != table.end() && found->name == name ? &*found : nullptr;
}

// mount(2) gives strictatime precedence over noatime, and relatime is what remains.
struct AccessTime {
  bool named = false, noatime = false, strictatime = false;

  void take(What what, bool on) {
    named = true;
    if (what == What::noatime || what == What::rnoatime) noatime = on;
    if (what == What::strictatime || what == What::rstrictatime) strictatime = on;
  }
  // mount_setattr(2): a new value of the field is taken only with the whole field in `clear`.
  void finish(MountAttributes& attributes) const {
    if (!named) return;
    attributes.clear |= mount_attr_atime;
    attributes.set |= strictatime ? mount_attr_strictatime : noatime ? mount_attr_noatime : 0;
  }
};

void change(MountAttributes& attributes, bool on, uint64_t bit) {
  (on ? attributes.set : attributes.clear) |= bit;
  (on ? attributes.clear : attributes.set) &= ~bit;
}

// mount(2)'s data is one text with commas, so an option may hold several; not where the file
// system has quoting of its own (overlay's "\,", SELinux contexts in double quotes).
void add_data(std::string_view text, MountOptions& out) {
  const bool quoted = text.find_first_of("\\\"") != text.npos;
  while (!text.empty()) {
    const size_t comma = quoted ? text.npos : text.find(',');
    const std::string_view one = text.substr(0, comma);
    text = comma == text.npos ? std::string_view() : text.substr(comma + 1);
    if (one.empty()) continue;
    const size_t equals = one.find('=');
    if (equals == one.npos)
      out.data.emplace_back(one, std::nullopt);
    else
      out.data.emplace_back(one.substr(0, equals), std::string(one.substr(equals + 1)));
  }
}

void set_superblock_flag(std::string_view name, bool on, MountOptions& out) {
  const std::string_view flag = on                ? name
                                : name == "async" ? std::string_view("sync")
                                                  : std::string_view("lazytime");
  std::erase(out.superblock_flags, flag);
  if (on) out.superblock_flags.emplace_back(flag);
}

}  // namespace

MountOptions parse_mount_options(const std::vector<std::string>& options) {
  MountOptions out;
  AccessTime atime, recursive_atime;
  for (const std::string& text : options) {
    const Option* const option = find(text);
    if (!option) {
      if (!text.starts_with("x-") && !text.starts_with("X-")) add_data(text, out);
      continue;
    }
    switch (option->what) {
      case What::nothing:
        break;
      case What::attribute:
        change(out.attributes, option->on, option->value);
        break;
      case What::recursive:
        change(out.recursive, option->on, option->value);
        break;
      case What::noatime:
      case What::strictatime:
      case What::relatime:
        atime.take(option->what, option->on);
        break;
      case What::rnoatime:
      case What::rstrictatime:
      case What::rrelatime:
        recursive_atime.take(option->what, option->on);
        break;
      case What::superblock:
        set_superblock_flag(option->name, option->on, out);
        break;
      case What::propagation: {
        const auto wanted = static_cast<Propagation>(option->value);
        if (out.propagation != Propagation::none && out.propagation != wanted)
          out.propagation_twice = true;
        out.propagation = wanted;
        break;
      }
      case What::bind:
        out.bind = true;
        break;
      case What::rbind:
        out.bind = out.recursive_bind = true;
        break;
      case What::remount:
        out.remount = true;
        break;
      case What::copy_up:
        out.copy_up = true;
        break;
      case What::idmap:
        out.idmap = true;
        break;
      case What::ridmap:
        out.idmap = out.recursive_idmap = true;
        break;
    }
  }
  atime.finish(out.attributes);
  recursive_atime.finish(out.recursive);
  out.readonly = (out.attributes.set & mount_attr_rdonly) != 0;
  return out;
}

std::optional<Propagation> parse_propagation(std::string_view name) {
  const Option* const option = find(name);
  if (!option || option->what != What::propagation) return std::nullopt;
  return static_cast<Propagation>(option->value);
}

std::string_view propagation_name(Propagation propagation) {
  for (const Option& o : table)
    if (o.what == What::propagation && o.value == of(propagation)) return o.name;
  return "none";
}

std::vector<std::string_view> known_mount_options() {
  std::vector<std::string_view> names;
  for (const Option& o : table)
    if (o.listed) names.push_back(o.name);
  return names;
}

}  // namespace vessel
