// Owns: deriving a container's status and reaching its init safely.
// Does not own: changing either.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "oci-spec/runtime_state.hh"
#include "runtime/container/state.hh"
#include "runtime/sys/fd.hh"

namespace vessel {

enum class Status : uint8_t { creating, created, running, paused, stopped };
const char* name_of(Status status);

// Init's pidfd, opened first and compared with the recorded start time and boot id afterwards, so
// that it can never be another process that got the same pid. Empty when init is gone (a zombie
// is).
Fd open_init(const StateRecord& record);

// The same question without a hold of the process: for telling, not for acting.
bool init_lives(const StateRecord& record);

// runtime.md "State". `alive` is what open_init or init_lives told. A record that is missing is
// `creating` while its creator may still be at work. Looks at the freezer only for a live init.
Status status_of(const StateDir& dir, const StateRecord& record, bool alive);
// Without looking at the freezer: never `paused`.
Status status_without_freezer(const StateDir& dir, const StateRecord& record, bool alive);

// A container that a verb acts on.
struct Container {
  StateDir dir;
  StateRecord record;
  Fd init;
  Status status = Status::stopped;
};

// Opens ROOT/ID and derives the status. Throws Error "container does not exist".
Container open_container(const std::string& root, const std::string& id,
                         bool look_at_freezer = true);
// The same for one who only tells of it: `init` stays empty.
Container look_at_container(const std::string& root, const std::string& id);

// What `state` prints and hooks read on stdin.
oci::State spec_state(const StateRecord& record, Status status);

}  // namespace vessel
