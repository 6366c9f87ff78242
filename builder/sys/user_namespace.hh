// Owns: becoming root of a user namespace where the caller has not the rights that a build needs,
// which ids are mapped then, and why it could not be done.
// Does not own: what is mounted, unpacked or run inside.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace kiln {

// `count` ids from `inside` on are those from `outside` on of the namespace above.
struct IdExtent {
  uint32_t inside = 0, outside = 0, count = 0;
  bool operator==(const IdExtent&) const = default;
};

struct UserNamespace {
  enum class State : uint8_t {
    not_entered,  // not asked for, or CAP_SYS_ADMIN was there
    ranges,       // the caller's id and its ranges of /etc/subuid and /etc/subgid
    single,       // the caller's id alone: `why` says what was missing for more
    refused,      // `why` names the call and the setting that forbids it
  };
  State state = State::not_entered;
  std::vector<IdExtent> uids, gids;  // as seen by the namespace above; of ranges and single
  std::string why;

  bool entered() const { return state == State::ranges || state == State::single; }
};

// Without CAP_SYS_ADMIN: this same process (so signals, exit status and children stay what they
// are) moves into a new user namespace, as its id 0 with all capabilities there, and into a mount
// namespace of its own, so that nothing it mounts is left behind. To be called before the first
// thread. Never throws for what the system forbids: the outcome says so, and user_namespace()
// repeats it.
const UserNamespace& enter_user_namespace();
const UserNamespace& user_namespace();

// Does `work` in a child process that entered, while this process stays where it is and waits; with
// CAP_SYS_ADMIN right here. What it throws is thrown here, as an Error of the same message. Only a
// process with a single thread may call it.
void inside_user_namespace(const std::function<void()>& work);

// How many user and group ids from 0 on can be used by this process: 4294967295 outside of any user
// namespace, 1 with a single id.
uint32_t mapped_ids();

// Whether `capability` (CAP_… of <linux/capability.h>) is in the effective set.
bool has_capability(int capability);

// The setting behind a refused unshare(CLONE_NEWUSER), with its value and what to do; `error` is
// the errno. `proc` is where procfs is (for tests).
std::string why_no_user_namespace(int error, const std::string& proc = "/proc");

// The ranges of `user` (by name or number) in the text of /etc/subuid or /etc/subgid, as extents
// behind the caller's own id: the first starts at 1 inside. Lines that are no ranges are skipped,
// as newuidmap does; at most `subid_limit` extents.
std::vector<IdExtent> parse_subids(std::string_view text, std::string_view user, uint32_t id);
inline constexpr size_t subid_limit = 339;  // user_namespaces(7): 340 lines, one is the caller's

}  // namespace kiln
