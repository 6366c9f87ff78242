// Owns: applying a layer's entries to a directory in a thread of its own, from the very bytes that
// someone else reads at the same time to pack them. Does not own: what applying means (apply.hh).
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "builder/layer/apply.hh"

namespace kiln {

class BackgroundApplier {
 public:
  // `root` is borrowed until finish() or destruction.
  BackgroundApplier(int root, const ApplyOptions& options);
  ~BackgroundApplier();  // without finish(): ends early, the directory is worth nothing

  // Announces an entry. What is read from the result is passed on; it must be read to the entry's
  // size before the next begin(). Waits while the directory is far behind. Never fails: what went
  // wrong is finish()'s to say.
  std::unique_ptr<ByteSource> begin(const Entry& entry, ByteSource& content);
  // Waits until everything is applied; nullopt, or why the directory is incomplete.
  std::optional<std::string> finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kiln
