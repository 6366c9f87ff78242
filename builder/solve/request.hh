// Owns: everything that a build is asked for, as the command line gives it once it is checked.
// Does not own: reading the command line (cli/), or carrying anything out.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "builder/layer/compress.hh"
#include "builder/stage/inputs.hh"
#include "builder/steps/run_mounts.hh"
#include "oci-spec/runtime_config.hh"

namespace kiln::solve {

enum class PullPolicy : uint8_t { missing, always, never };

struct BuildRequest {
  stage::Inputs inputs;                               // build arguments, target, platforms
  std::map<std::string, std::string> build_contexts;  // --build-context NAME=WHERE
  bool no_cache = false;
  std::set<std::string> no_cache_filter;  // stage names
  PullPolicy pull = PullPolicy::missing;
  MountSources mount_sources;  // --secret, --ssh
  StepNetwork network = StepNetwork::host;
  bool allow_host_network = true;
  bool allow_insecure = false;
  std::vector<std::string> extra_hosts;  // "NAME:IP"
  std::vector<oci::Rlimit> rlimits;
  std::optional<int64_t> shm_size, memory, memory_swap;  // bytes
  std::string runtime;                                   // --runtime, "" for the default
  Isolation isolation = Isolation::runtime;
  bool explain = false;
  unsigned jobs = 0;  // 0: as many as there are CPUs
  bool preserve_xattrs = false;
  bool no_memo = false;
  bool remember = true;         // results go to the build cache
  bool copy_snapshots = false;  // never overlay
  Compression compression = Compression::gzip;
  std::optional<int64_t> epoch;  // SOURCE_DATE_EPOCH, seconds
  // Tells one project's steps from another's in `--explain`: Dockerfile and context by name.
  std::string project;
};

}  // namespace kiln::solve
