// Owns: one RUN: its bundle (config.json over a workspace's root), the mount points that the image
// lacks, the call of the runtime, and taking all of it away again.
// Does not own: where mounts come from (run_mounts.hh), keys, snapshots, or layers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "builder/steps/image_user.hh"
#include "builder/steps/runtime_call.hh"
#include "builder/sys/fd.hh"
#include "oci-spec/runtime_config.hh"

namespace kiln {

// pasta: a namespace of the step's own that pasta connects (container_network.hh).
enum class StepNetwork : uint8_t { host, none, pasta };

// What a step runs in: a container of a runtime; a changed root, by `kiln chroot-runtime`; the root
// of the container that kiln itself is in.
enum class Isolation : uint8_t { runtime, chroot, in_place };

// In the bundles of `kiln chroot-runtime`: RunStep::written.
inline constexpr const char* written_annotation = "run.kiln.written";

struct RunMount {
  oci::Mount mount;       // destination still as the Dockerfile says
  bool directory = true;  // what has to be there to mount on
};

// What does not change between the steps of a build: read and compiled once.
struct RunDefaults {
  oci::Config config;                    // default_container() and the seccomp profile
  std::vector<std::string> extra_hosts;  // "NAME:IP"
  std::vector<oci::Rlimit> rlimits;
  std::optional<int64_t> memory, memory_swap;  // bytes
  std::optional<int64_t> shm_size;             // bytes
  std::string work_directory;                  // host directory, private to this process
  std::string bundle_directory;                // for bundles
  std::string container_prefix;                // of their names
  std::string resolv_conf;                     // text of the container's /etc/resolv.conf
  Isolation isolation = Isolation::runtime;
};

struct RunStep {
  std::vector<std::string> argv;
  std::vector<std::string> env;
  std::string working_dir;
  ImageUser user;
  StepNetwork network = StepNetwork::host;
  bool insecure = false;  // --security=insecure: all capabilities, no masks, no seccomp
  std::vector<RunMount> mounts;
  std::string written;              // Rootfs::written() of the root, for cleaning up after a crash
  bool secret_environment = false;  // `env` holds secrets: the bundle never touches a disk
};

// Runs `step` in the root filesystem `root` (a descriptor of it and its host path). Returns how it
// ended; nothing of the step's own making (mount points, bundle, container) stays behind, also when
// it throws.
RuntimeEnd run_step(const RunStep& step, const RunDefaults& defaults, int root,
                    const std::string& root_path, const RuntimeCall& runtime, const LineSink& sink,
                    const Cancellation& cancel);

// Text of /etc/hosts for a container: localhost, and `extra` ("name:ip").
std::string hosts_text(const std::vector<std::string>& extra, std::string_view hostname);
// The host's /etc/resolv.conf; with a loopback resolver of its own (systemd-resolved) and
// `private_network` the upstream file instead. Empty text when the host has none.
std::string resolv_conf_text(bool private_network);

}  // namespace kiln
