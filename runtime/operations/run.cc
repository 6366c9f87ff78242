#include "runtime/operations/run.hh"

#include <unistd.h>

#include <memory>
#include <optional>
#include <tuple>

#include "runtime/operations/foreground.hh"
#include "runtime/operations/lifecycle.hh"
#include "runtime/operations/notify_socket.hh"
#include "runtime/sys/log.hh"

namespace vessel {

int run_container(RunRequest request) {
  request.create.start_at_once = true;
  std::optional<Foreground> foreground;
  if (!request.create.detach) foreground.emplace(request.subreaper);

  auto container = std::make_unique<Created>(create_container(request.create));
  Created& created = *container;
  finish_start(created);
  std::ignore = container.release();  // create.hh says why
  if (request.create.detach) {
    pass_readiness_on(created.init.pid(), created.init.pidfd());
    return 0;
  }
  int code = foreground->wait(created.init.pid(), created.init.pidfd(), std::move(created.master),
                              readiness_socket(), [] { return pass_readiness(::getpid()); });
  log::step("init exited with " + std::to_string(code));
  if (!request.keep)
    destroy_container(created.dir, created.record, created.cgroup, created.init.pidfd());
  return code;
}

}  // namespace vessel
