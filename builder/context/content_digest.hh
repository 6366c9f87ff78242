// Owns: content digests of files and trees as cache keys see them (type, mode, link target,
// content; owner on request; never times), and the memory of file digests between builds. Does not
// own: keys of steps (solve/), or where memo files are kept (store/).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "builder/context/context.hh"
#include "builder/sys/worker_pool.hh"
#include "oci-spec/digest.hh"

namespace kiln {

// Remembered digests of one context root: a sorted binary file, mapped. A digest is believed only
// if device, inode, size, mtime, ctime and mode are equal; it is remembered only if mtime and ctime
// were both at least 2 s older than the start of the hash, and equal before and after it.
class DigestMemo {
 public:
  // A missing, foreign or damaged file is an empty memo.
  static DigestMemo load(int directory, const std::string& name);
  DigestMemo();
  ~DigestMemo();
  DigestMemo(DigestMemo&&) noexcept;
  DigestMemo& operator=(DigestMemo&&) noexcept;

  using Raw = std::array<unsigned char, 32>;
  std::optional<Raw> find(const ContextEntry& file) const;
  void remember(const ContextEntry& file, const Raw& digest);  // thread-safe
  // What a reader of the whole file found, which began at `began` (ns since the epoch) and still
  // has it open. Ignored when the file changed; believed by later builds only under the rule above,
  // by the rest of this one if `at_once`. Thread-safe.
  void note(const ContextEntry& file, int fd, const Raw& digest, int64_t began, bool at_once);
  // Writes old and new together (atomically) if anything is new. Old entries that were not asked
  // for in this build are kept while there are fewer than `limit` in all.
  void save(int directory, const std::string& name, size_t limit = 2'000'000);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct DigestOptions {
  DigestMemo* memo = nullptr;  // null: --no-memo
  WorkerPool* pool = nullptr;  // null: hash on this thread
  bool owners = false;         // uid and gid are part (COPY --from without --chown)
  bool modes = true;           // false with --chmod
};

// Digest of a selection of one tree: entries in the order given, paths taken relative to `base`
// (so that moving the tree does not matter).
oci::Digest digest_entries(const Context& context, std::span<const ContextEntry> entries,
                           std::string_view base, const DigestOptions& options);
// sha256 of one regular file's content.
DigestMemo::Raw digest_file(const Context& context, const ContextEntry& file, DigestMemo* memo);

}  // namespace kiln
