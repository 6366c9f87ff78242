// Owns: the documents of image-spec 1.1.1 (descriptor, manifest, index, config, layout) as plain
// types, and the media types of image-spec and of Docker's schema 2.
// Does not own: where they are stored or how they travel.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oci-spec/digest.hh"

namespace oci {

namespace media {
inline constexpr std::string_view manifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view index = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view config = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view empty = "application/vnd.oci.empty.v1+json";
inline constexpr std::string_view layer = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view layer_gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
inline constexpr std::string_view layer_zstd = "application/vnd.oci.image.layer.v1.tar+zstd";
inline constexpr std::string_view docker_manifest =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view docker_manifest_list =
    "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view docker_config = "application/vnd.docker.container.image.v1+json";
inline constexpr std::string_view docker_layer_gzip =
    "application/vnd.docker.image.rootfs.diff.tar.gzip";
}  // namespace media

using Annotations = std::map<std::string, std::string>;

// image-index.md, "platform". Empty strings mean absent.
struct Platform {
  std::string architecture;
  std::string os;
  std::string os_version;
  std::vector<std::string> os_features;
  std::string variant;

  bool operator==(const Platform&) const = default;
};

// descriptor.md. `size` in bytes; `data` is the decoded content of the base64 field.
struct Descriptor {
  std::string media_type;
  Digest digest;
  int64_t size = 0;
  std::vector<std::string> urls;
  Annotations annotations;
  std::optional<std::string> data;
  std::optional<Platform> platform;
  std::string artifact_type;

  bool operator==(const Descriptor&) const = default;
};

// manifest.md; also Docker's schema 2, told apart by media_type.
struct Manifest {
  std::string media_type = std::string(media::manifest);
  std::string artifact_type;
  Descriptor config;
  std::vector<Descriptor> layers;
  std::optional<Descriptor> subject;
  Annotations annotations;
};

// image-index.md; also Docker's manifest list.
struct Index {
  std::string media_type = std::string(media::index);
  std::string artifact_type;
  std::vector<Descriptor> manifests;
  std::optional<Descriptor> subject;
  Annotations annotations;
};

// Docker's extension of the image config. Durations in nanoseconds, as Docker writes them.
struct Healthcheck {
  std::vector<std::string> test;
  int64_t interval = 0;
  int64_t timeout = 0;
  int64_t start_period = 0;
  int64_t start_interval = 0;
  int64_t retries = 0;

  bool operator==(const Healthcheck&) const = default;
};

// config.md, "config": what a container made from the image gets.
struct ContainerConfig {
  std::string user;
  std::vector<std::string> exposed_ports;  // "80/tcp", kept sorted
  std::vector<std::string> env;            // "NAME=value", in order
  std::optional<std::vector<std::string>> entrypoint;
  std::optional<std::vector<std::string>> cmd;
  std::vector<std::string> volumes;  // kept sorted
  std::string working_dir;
  std::map<std::string, std::string> labels;
  std::string stop_signal;
  bool args_escaped = false;
  // Docker's own, carried by every builder:
  std::optional<Healthcheck> healthcheck;
  std::vector<std::string> shell;
  std::vector<std::string> on_build;

  bool operator==(const ContainerConfig&) const = default;
};

// config.md, "history".
struct History {
  std::string created;  // RFC 3339, or empty
  std::string created_by;
  std::string author;
  std::string comment;
  bool empty_layer = false;

  bool operator==(const History&) const = default;
};

// config.md: the image's configuration, whose digest is the image id.
struct ImageConfig {
  std::string created;  // RFC 3339, or empty
  std::string author;
  std::string architecture;
  std::string os;
  std::string os_version;
  std::vector<std::string> os_features;
  std::string variant;
  ContainerConfig config;
  std::vector<Digest> diff_ids;  // rootfs.diff_ids, bottom layer first
  std::vector<History> history;
};

// Readers: strict where the spec says MUST, unknown fields are ignored. `file` names the document
// in errors (a path, a digest, a URL). Input is untrusted: nesting, counts and string lengths are
// bounded. Throw FormatError with every problem found.
Manifest read_manifest(std::string_view json, std::string_view file);
Index read_index(std::string_view json, std::string_view file);
ImageConfig read_image_config(std::string_view json, std::string_view file);
Descriptor read_descriptor(std::string_view json, std::string_view file);

// Writers: canonical and deterministic (fixed field order, no white space, absent fields left
// out), so that equal documents have equal digests.
std::string write(const Manifest& manifest);
std::string write(const Index& index);
std::string write(const ImageConfig& config);
std::string write(const Descriptor& descriptor);

// "linux/arm64/v8" and back (containerd's notation). nullopt when malformed.
std::optional<Platform> parse_platform(std::string_view text);
std::string platform_text(const Platform& platform);

}  // namespace oci
