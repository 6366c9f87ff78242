// RUN: what all commands of a build need, made for the first that is not in the cache; and what
// this host cannot give them.
#include <linux/capability.h>

#include <filesystem>

#include "builder/solve/stage_run.hh"
#include "builder/steps/container_defaults.hh"
#include "builder/steps/container_network.hh"
#include "builder/steps/seccomp_profile.hh"
#include "builder/sys/error.hh"
#include "builder/sys/user_namespace.hh"

namespace kiln::solve {

namespace {

void require_pasta(Isolation isolation) {
  if (isolation != Isolation::runtime)
    throw Error(
        std::string("--network=pasta needs a container for the command, which --isolation ") +
        (isolation == Isolation::chroot ? "chroot" : "in-place") +
        " does without: use --isolation oci, or the network default");
  try {
    find_pasta();
  } catch (const Error& error) {
    throw Error("--network=pasta: " + error.message());
  }
}

}  // namespace

void StageRun::prepare_run_services(StepNetwork network) {
  if (network == StepNetwork::pasta) require_pasta(services_.request.isolation);
  const std::lock_guard lock(services_.run_setup);
  if (services_.run_ready) return;
  const Isolation isolation = services_.request.isolation;
  if (isolation == Isolation::chroot) {
    if (!has_capability(CAP_SYS_CHROOT))
      throw Error("--isolation chroot needs CAP_SYS_CHROOT, which this process lacks");
  } else if (isolation == Isolation::runtime &&
             user_namespace().state == UserNamespace::State::refused) {
    throw Error("RUN needs root or a user namespace: " + user_namespace().why +
                ". 'kiln doctor' says what works here");
  }
  if (user_namespace().state == UserNamespace::State::single)
    services_.progress.warn("only one user id is mapped (" + user_namespace().why +
                            "): files of other owners look like root's in RUN, and what needs "
                            "other ids ends the build");
  Store& store = services_.layers.store();
  if (isolation == Isolation::in_place) {
    services_.runtime.in_place = &services_.in_place->server();
  } else if (isolation == Isolation::chroot) {
    services_.runtime.runtime = std::filesystem::read_symlink("/proc/self/exe");
    services_.runtime.arguments = {"chroot-runtime"};
  } else {
    services_.runtime.runtime = find_runtime(services_.request.runtime);
  }
  const std::string state = runtime_state_directory(store.sub_directory("runtime"));
  services_.runtime.arguments.insert(services_.runtime.arguments.end(), {"--root", state});
  RunDefaults& d = services_.run_defaults;
  d.config = default_container();
  d.config.linux_->seccomp = default_seccomp(default_capabilities());
  d.extra_hosts = services_.request.extra_hosts;
  d.rlimits = services_.request.rlimits;
  d.memory = services_.request.memory;
  d.memory_swap = services_.request.memory_swap;
  d.shm_size = services_.request.shm_size;
  d.work_directory = services_.work.path();
  d.bundle_directory = services_.work.bundles();
  d.container_prefix = services_.work.container_prefix();
  if (isolation != Isolation::in_place) services_.work.set_runtime(services_.runtime);
  d.isolation = isolation;
  d.resolv_conf = resolv_conf_text(false);
  services_.cache_mounts = store.sub_directory("cache-mounts");
  services_.run_ready = true;
}

}  // namespace kiln::solve
