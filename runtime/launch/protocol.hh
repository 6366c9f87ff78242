// Owns: the messages between vessel (the parent) and the process that becomes the container's.
// Does not own: what either side does with them (init.cc, joiner.cc, parent.cc).
//
// The child asks, the parent serves. One SOCK_SEQPACKET pair; a question is answered before the
// next is asked. Every question is left out when its answer is not needed, so that a plain
// container asks once.
//
//   parent                                      child (init, or the joiner of exec)
//     clone3 ──────────────────────────────────▶
//            ◀────────────────────────── settle   new user namespace: id maps, oom_score_adj
//     done ────────────────────────────────────▶
//            ◀────────────────── root | source i | idmap i | device i
//     done + descriptor ───────────────────────▶
//            ◀───────────────── console + master   to --console-socket, or kept for the proxy
//     done ────────────────────────────────────▶
//            ◀───────────────────── before_switch   prestart and createRuntime hooks
//     done ────────────────────────────────────▶
//            ◀─────────────────────────── ready   rlimits; the state becomes `created`
//     done + the seccomp program ──────────────▶  number 1: the rlimits are set
//            ◀────────────────────────── loaded   number of the notify descriptor, or -1; write(2)
//                                                 the child now waits at its gate, if it has one
//            ◀──────── end of file: execve happened (close-on-exec), or the process died
//
//     at any time ◀──── failed {errno, text}      the child is about to exit; the command's error
//
// A helper (NamespacePlan::needs_helper) has a pair of its own and ends with `cloned`:
//            ◀─────────────────────── user_maps   it unshared the user namespace itself
//     done ────────────────────────────────────▶
//            ◀──────────── cloned {pid} + pidfd   init, a child of the parent (CLONE_PARENT)
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/sys/fd.hh"
#include "runtime/sys/socket.hh"

namespace vessel {

enum class Ask : uint32_t {
  settle = 1,
  root,
  source,
  idmap,
  device,
  console,
  before_switch,
  ready,
  loaded,
  user_maps,
  cloned,
  failed,
  done,    // the parent's answer
  refused  // the parent's answer when it fails: errno and text; the child exits
};

// What every message starts with; bytes and descriptors may follow.
struct MessageHead {
  Ask ask = Ask::failed;
  int32_t number = 0;  // index, pid, descriptor number or errno
};

struct Question {
  Ask ask = Ask::failed;
  int32_t number = 0;
  std::string text;
  std::vector<Fd> fds;
  bool end = false;  // the other side is gone
};

std::string encode_message(MessageHead head, std::string_view text);
Question decode_message(Message message);  // throws Error when it is no message of ours

// The child's end.
class Asker {
 public:
  explicit Asker(Fd socket) : socket_(static_cast<Fd&&>(socket)) {}

  // Asks and waits. When the parent is gone the process exits at once: a container must not go on
  // without its creator. When it refuses: throws Error with its text.
  Question ask(Ask what, int32_t number = 0, const std::vector<int>& fds = {});
  // Tells without waiting.
  void tell(Ask what, int32_t number, std::string_view text = {}, const std::vector<int>& fds = {});
  // write(2) of one `loaded` message: all that a loaded filter has to allow here.
  void tell_loaded(int notify_fd) const;
  // The same with `failed`, whatever the filter or the memory is like; the caller exits. A text
  // longer than 16 KiB is cut.
  void tell_failed(int error, std::string_view text) const noexcept;

  int fd() const { return socket_.get(); }
  // Moves the descriptor to `number` (close-on-exec).
  void move_to(int number);

 private:
  Fd socket_;
};

// The parent's answers.
void answer_done(int socket, std::string_view bytes = {}, const std::vector<int>& fds = {},
                 int32_t number = 0);
void answer_refused(int socket, int error, std::string_view text);
Question next_question(int socket);

}  // namespace vessel
