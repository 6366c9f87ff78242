#include <algorithm>

#include "oci-spec/image.hh"
#include "oci-spec/image_json.hh"

namespace oci {

using detail::Need;
using detail::Node;

namespace {

constexpr size_t layer_limit = 10'000;
constexpr size_t name_limit = 4096;  // user, working directory, stop signal

// RFC 3339, by shape: 2006-01-02T15:04:05[.fraction](Z|+hh:mm|-hh:mm).
bool is_time(std::string_view t) {
  const auto digits = [&](size_t from, size_t count) {
    return std::ranges::all_of(t.substr(from, count), [](char c) { return c >= '0' && c <= '9'; });
  };
  if (t.size() < 20 || t.size() > 64 || !digits(0, 4) || t[4] != '-' || !digits(5, 2) ||
      t[7] != '-' || !digits(8, 2) || (t[10] != 'T' && t[10] != 't') || !digits(11, 2) ||
      t[13] != ':' || !digits(14, 2) || t[16] != ':' || !digits(17, 2))
    return false;
  t.remove_prefix(19);
  if (t[0] == '.') {
    size_t end = 1;
    while (end < t.size() && t[end] >= '0' && t[end] <= '9') ++end;
    if (end == 1) return false;
    t.remove_prefix(end);
  }
  if (t == "Z" || t == "z") return true;
  return t.size() == 6 && (t[0] == '+' || t[0] == '-') && digits(1, 2) && t[3] == ':' &&
         digits(4, 2);
}

std::string time(const Node& node, std::string_view name) {
  std::string text = node.string(name);
  if (!text.empty() && !is_time(text)) {
    node.member(name).problem("is no RFC 3339 time, expected like 2006-01-02T15:04:05Z");
    text.clear();
  }
  return text;
}

// A name that ends up in a lookup or a path: short, and no control characters.
bool is_plain(std::string_view text) {
  return text.size() <= name_limit &&
         std::ranges::none_of(text, [](char c) { return (c >= 0 && c < ' ') || c == '\x7f'; });
}

std::string plain(const Node& node, std::string_view name, Need need = Need::optional) {
  std::string text = node.string(name, need);
  if (!is_plain(text)) {
    node.member(name).problem("is too long or has control characters");
    text.clear();
  }
  return text;
}

// Keys that end up as paths or numbers: as plain().
std::vector<std::string> plain_keys(const Node& node, std::string_view name) {
  std::vector<std::string> keys = node.keys(name);
  if (!std::ranges::all_of(keys, is_plain))
    node.member(name).problem("has a key that is too long or has control characters");
  return keys;
}

Healthcheck healthcheck(const Node& node) {
  Healthcheck h;
  h.test = node.strings("Test");
  h.interval = node.integer("Interval").value_or(0);
  h.timeout = node.integer("Timeout").value_or(0);
  h.start_period = node.integer("StartPeriod").value_or(0);
  h.start_interval = node.integer("StartInterval").value_or(0);
  h.retries = node.integer("Retries").value_or(0);
  return h;
}

ContainerConfig container(const Node& node) {
  ContainerConfig c;
  c.user = plain(node, "User");
  c.exposed_ports = plain_keys(node, "ExposedPorts");
  c.env = node.strings("Env");
  c.entrypoint = node.try_strings("Entrypoint");
  c.cmd = node.try_strings("Cmd");
  c.volumes = plain_keys(node, "Volumes");
  c.working_dir = plain(node, "WorkingDir");
  c.labels = node.string_map("Labels");
  c.stop_signal = plain(node, "StopSignal");
  c.args_escaped = node.boolean("ArgsEscaped");
  node.object("Healthcheck", Need::optional,
              [&](const Node& h) { c.healthcheck = healthcheck(h); });
  c.shell = node.strings("Shell");
  c.on_build = node.strings("OnBuild");
  std::ranges::sort(c.exposed_ports);
  std::ranges::sort(c.volumes);
  return c;
}

History history(const Node& node) {
  History h;
  h.created = time(node, "created");
  h.created_by = node.string("created_by");
  h.author = node.string("author");
  h.comment = node.string("comment");
  h.empty_layer = node.boolean("empty_layer");
  return h;
}

}  // namespace

ImageConfig read_image_config(std::string_view json, std::string_view file) {
  ImageConfig c;
  detail::read_document(json, file, detail::config_limit, [&](const Node& node) {
    c.created = time(node, "created");
    c.author = node.string("author");
    c.architecture = plain(node, "architecture", Need::required);
    c.os = plain(node, "os", Need::required);
    c.os_version = plain(node, "os.version");
    c.os_features = node.strings("os.features");
    c.variant = plain(node, "variant");
    node.object("config", Need::optional, [&](const Node& n) { c.config = container(n); });
    node.object("rootfs", Need::required, [&](const Node& rootfs) {
      const std::string type = rootfs.string("type", Need::required);
      if (!type.empty() && type != "layers")
        rootfs.member("type").problem("is '" + type + "', expected 'layers'");
      const auto ids = rootfs.try_strings("diff_ids");
      if (!ids) {
        // Docker writes null for an image without layers.
        return;
      }
      if (ids->size() > layer_limit) {
        rootfs.member("diff_ids")
            .problem("has more than " + std::to_string(layer_limit) + " layers");
        return;
      }
      for (size_t i = 0; i < ids->size(); ++i) {
        if (auto digest = Digest::parse((*ids)[i]))
          c.diff_ids.push_back(std::move(*digest));
        else
          rootfs.member("diff_ids[" + std::to_string(i) + "]").problem(digest.error());
      }
    });
    node.objects("history", Need::optional,
                 [&](const Node& h) { c.history.push_back(history(h)); });
  });
  return c;
}

}  // namespace oci
