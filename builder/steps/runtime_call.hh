// Owns: calling an OCI runtime as a separate program: its command line, the output of the container
// line by line, cancelling, and what its end meant. Does not own: bundles, or which runtime.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "builder/progress/progress.hh"
#include "builder/sys/error.hh"
#include "builder/sys/fd.hh"

namespace kiln {

// Set once (Ctrl-C, another step failed); every wait of a build also waits on its descriptor.
class Cancellation {
 public:
  Cancellation();
  // Async-signal-safe.
  void request() noexcept;
  bool requested() const noexcept;
  // Readable from the request on.
  int fd() const { return event_.get(); }

 private:
  Fd event_;
};

class Canceled : public Error {
 public:
  Canceled() : Error("canceled") {}
};

class InPlaceServer;

struct RuntimeCall {
  std::string runtime;                 // path of the program
  std::vector<std::string> arguments;  // before the verb: --root DIR …
  std::string bundle;
  std::string id;
  InPlaceServer* in_place = nullptr;  // runs it in the place of a runtime
};

struct RuntimeEnd {
  int status = 0;          // exit code of the container's process, 128 + signal
  bool never_ran = false;  // the runtime itself failed: `message` says why
  std::string message;     // the runtime's own last words
  // Calls that failed only because a user namespace maps too few ids (OwnershipWatch).
  std::vector<std::string> refused;
};

// What a runtime's message about a process that never ran means, by the texts that podman and
// Docker, too, go by: 127 no such program, 126 not executable, else 125.
int failed_start_code(std::string_view message);

using LineSink = std::function<void(Stream, std::string_view)>;

// `RUNTIME [arguments] run --bundle BUNDLE ID` with /dev/null as input. Lines (at most 64 KiB each;
// longer ones are cut into several) go to `sink` as they come, from this thread. When `cancel`
// is requested the container is killed and deleted, and Canceled is thrown.
RuntimeEnd run_container(const RuntimeCall& call, const LineSink& sink, const Cancellation& cancel);

// Kills and removes a container; one that is not there is fine.
void delete_container(const RuntimeCall& call);

// The bundle of the container `call.id`, as the runtime's `state` says (runtime-spec runtime.md
// "State"); "" when there is none.
std::string bundle_of_container(const RuntimeCall& call);

// Whether `RUNTIME run` has --keep, as its own help says: without it a container goes with its
// process (crun, older runc).
bool can_keep_ended(const std::string& runtime);

// `kiln` looks for its runtime: `wanted` if given (a path or a name in PATH), else `vessel` beside
// its own executable, else vessel, crun, runc in PATH. Throws Error that says what was tried.
std::string find_runtime(std::string_view wanted);

}  // namespace kiln
