#include <algorithm>
#include <filesystem>
#include <map>

#include "builder/steps/bundle_config.hh"
#include "builder/sys/error.hh"

namespace kiln {

namespace {

std::string absolute_source(const std::string& path) {
  std::string absolute = std::filesystem::absolute(path).lexically_normal().string();
  while (absolute.size() > 1 && absolute.ends_with('/')) absolute.pop_back();
  return absolute;
}

}  // namespace

BindVolume parse_volume(std::string_view text) {
  const auto bad = [&](const std::string& why) {
    return Error("volume '" + std::string(text) + "': " + why +
                 ", expected SOURCE:DESTINATION[:ro|rw]");
  };
  const size_t first = text.find(':');
  BindVolume volume;
  if (first == text.npos) {
    if (!text.starts_with('/')) throw bad("has no destination");
    volume.destination = text;
    volume.of_store = true;
    return volume;
  }
  const size_t second = text.find(':', first + 1);
  volume.source = text.substr(0, first);
  volume.destination = text.substr(first + 1, second == text.npos ? second : second - first - 1);
  if (volume.source.empty()) throw bad("has no source");
  if (!volume.destination.starts_with('/')) throw bad("the destination is no absolute path");
  if (volume.source[0] == '.' || volume.source[0] == '/') {
    volume.source = absolute_source(volume.source);
    volume.make_source = true;
  } else if (volume.source.find('/') != std::string::npos) {
    throw bad("the source is neither a path (starting with / or ./) nor a name");
  } else {
    volume.of_store = true;
  }
  std::string_view options = second == text.npos ? std::string_view() : text.substr(second + 1);
  if (second != text.npos && options.empty()) throw bad("has empty options");
  while (!options.empty()) {
    const size_t end = std::min(options.find(','), options.size());
    const std::string_view option = options.substr(0, end);
    options.remove_prefix(std::min(end + 1, options.size()));
    // Typed, and nothing passed through (CVE-2024-9407).
    static constexpr std::string_view propagations[] = {"private", "rprivate", "slave",
                                                        "rslave",  "shared",   "rshared"};
    // SELinux labels and the caching of Docker's desktop: nothing to do on a host without either.
    static constexpr std::string_view nothing[] = {"z", "Z", "cached", "delegated", "consistent"};
    if (option == "ro" || option == "readonly")
      volume.read_only = true;
    else if (option == "rw")
      volume.read_only = false;
    else if (option == "nocopy" && volume.of_store)
      volume.no_copy = true;
    else if (std::ranges::find(nothing, option) != std::end(nothing))
      continue;
    else if (std::ranges::find(propagations, option) != std::end(propagations))
      volume.propagation = option;
    else
      throw bad("unknown option '" + std::string(option) + "'");
  }
  return volume;
}

void add_mount_option(ContainerOptions& options, std::string_view whole) {
  const auto bad = [&](const std::string& why) {
    return Error("--mount " + std::string(whole) + ": " + why +
                 ", expected type=bind|volume|tmpfs,source=...,target=...[,readonly]");
  };
  static const std::map<std::string, std::string, std::less<>> names = {
      {"type", "type"},
      {"src", "source"},
      {"source", "source"},
      {"dst", "target"},
      {"destination", "target"},
      {"target", "target"},
      {"ro", "readonly"},
      {"readonly", "readonly"},
      {"bind-propagation", "propagation"},
      {"volume-nocopy", "nocopy"},
      {"tmpfs-size", "size"},
      {"tmpfs-mode", "mode"}};
  std::map<std::string, std::string, std::less<>> given;
  std::string_view rest = whole;
  while (!rest.empty()) {
    const std::string_view part = rest.substr(0, std::min(rest.find(','), rest.size()));
    rest.remove_prefix(std::min(part.size() + 1, rest.size()));
    const size_t equals = part.find('=');
    const auto name = names.find(part.substr(0, equals));
    if (name == names.end()) throw bad("unknown key '" + std::string(part.substr(0, equals)) + "'");
    given[name->second] = equals == part.npos ? "true" : std::string(part.substr(equals + 1));
  }
  const std::string type = given.contains("type") ? given["type"] : "volume";
  const std::string target = given["target"];
  if (!target.starts_with('/')) throw bad("the target is no absolute path");
  const bool read_only = given.contains("readonly") && given["readonly"] != "false";
  if (type == "tmpfs") {
    std::string text = target, separator = ":";
    for (const char* name : {"size", "mode"})
      if (given.contains(name)) {
        text += separator + name + "=" + given[name];
        separator = ",";
      }
    if (read_only) text += separator + "ro";
    options.tmpfs.push_back(text);
    return;
  }
  BindVolume volume;
  volume.destination = target;
  volume.read_only = read_only;
  volume.source = given["source"];
  if (type == "volume") {
    volume.of_store = true;
    volume.no_copy = given.contains("nocopy") && given["nocopy"] != "false";
  } else if (type == "bind") {
    if (volume.source.empty()) throw bad("a bind mount has no source");
    volume.source = absolute_source(volume.source);
    static constexpr std::string_view propagations[] = {"private", "rprivate", "slave",
                                                        "rslave",  "shared",   "rshared"};
    if (given.contains("propagation")) {
      volume.propagation = given["propagation"];
      if (std::ranges::find(propagations, volume.propagation) == std::end(propagations))
        throw bad("unknown propagation '" + volume.propagation + "'");
    }
  } else {
    throw bad("unknown type '" + type + "'");
  }
  options.volumes.push_back(std::move(volume));
}

}  // namespace kiln
