// Owns: turning an image's configuration and a person's wishes into a config.json, by image-spec's
// conversion.md and Docker's defaults. Pure but for reading /etc/passwd and /etc/group in the root.
// Does not own: the bundle's files (bundle.hh).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "builder/steps/published_port.hh"
#include "oci-spec/image.hh"
#include "oci-spec/runtime_config.hh"

namespace kiln {

// A host path, or a volume of the store, in a container.
struct BindVolume {
  std::string source;       // absolute; for a volume its name, empty for an anonymous one
  std::string destination;  // absolute
  bool read_only = false;
  bool of_store = false;     // `source` names a volume
  bool no_copy = false;      // an empty volume stays empty
  bool make_source = false;  // -v: a host directory that is missing is made, as Docker does
  std::string propagation = "rprivate";
  bool operator==(const BindVolume&) const = default;
};

// none: a new namespace with nothing but lo; connected: one with the world behind pasta.
enum class BundleNetwork : uint8_t { none, connected, host, joined };

struct ContainerOptions {
  std::vector<std::string> env;                        // NAME=VALUE; wins over the image
  std::optional<std::vector<std::string>> entrypoint;  // replaces both entrypoint and cmd
  std::vector<std::string> args;                       // replaces cmd
  std::string user;                                    // as Config.User; "" the image's
  std::string workdir;
  std::string hostname;
  std::vector<BindVolume> volumes;
  std::vector<std::string> tmpfs;  // PATH[:OPTION,…]
  bool read_only = false;
  bool tty = false;
  BundleNetwork network = BundleNetwork::none;
  std::string network_path;          // joined: of the namespace
  std::vector<PublishedPort> ports;  // connected
  std::string stop_signal;           // instead of the image's
  bool no_new_privileges = false;
  bool seccomp = true;
  std::string apparmor_profile;
  std::string init;                   // host path of a static init program that runs the command
  std::optional<int64_t> memory;      // bytes
  std::optional<int64_t> cpu_quota;   // microseconds in each 100,000
  std::optional<int64_t> pids_limit;  // -1: unlimited
  std::vector<std::string> cap_add, cap_drop;  // with or without CAP_, any case; ALL
  std::vector<std::pair<std::string, std::string>> annotations;
};

// Throws Error when an option or the image makes no sense (no command, relative working directory,
// unknown capability …). `root` is the unpacked root filesystem.
oci::Config container_config(const oci::ImageConfig& image, const ContainerOptions& options,
                             int root);

// Docker's default set, and what --cap-add / --cap-drop make of it. Sorted.
std::vector<std::string> container_capabilities(const std::vector<std::string>& add,
                                                const std::vector<std::string>& drop);

// "SRC:DST[:OPTION,…]" of -v, or DST alone for an anonymous volume; options are ro, rw, nocopy and
// the propagation modes. A relative source is taken from the working directory. Throws Error.
BindVolume parse_volume(std::string_view text);

// --mount: "type=bind,source=…,target=…[,readonly]", type=volume, or type=tmpfs, which becomes a
// text of ContainerOptions::tmpfs. Throws Error.
void add_mount_option(ContainerOptions& options, std::string_view text);

// Adds or replaces NAME=VALUE in place.
void set_env(std::vector<std::string>& env, std::string_view assignment);

}  // namespace kiln
