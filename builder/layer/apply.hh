// Owns: putting the entries of a tar into a directory: an image layer onto the tree of the layers
// below it, a context or an ADDed archive into a directory. Never leaves that directory.
// Does not own: reading the tar, or making the directory.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "builder/layer/entry.hh"
#include "builder/layer/layer_index.hh"
#include "builder/layer/stream.hh"

namespace kiln {

struct ApplyOptions {
  // Layer: whiteouts are applied. Archive: .wh. names are ordinary files.
  enum class Kind : uint8_t { layer, archive } kind = Kind::layer;
  bool owners = true;   // chown to the entry's ids; false: everything stays the caller's
  bool devices = true;  // mknod; false: a device node is an Error that names it
  bool xattrs = true;
  std::optional<int64_t> mtime;  // every entry gets this time instead of its own
  std::optional<uint32_t> uid, gid;
  // apply_tar(): entries that are read, counted and not put down.
  std::function<bool(const Entry&)> skip;
  // Bounds on hostile input.
  uint64_t max_entries = 10'000'000;
  uint64_t max_bytes = uint64_t{1} << 44;
};

// Applies a plain tar stream below `root`. Links in an entry's parents are followed inside the root
// only, the entry itself replaces a link. Whiteouts hide only what lower layers brought, wherever
// they stand in the tar. Directory times are set at the end. Reads the stream to its end and
// returns what it lists, sorted. Throws Error naming the entry.
LayerIndex apply_tar(ByteSource& tar, int root, const ApplyOptions& options = {});

// The same for single entries in order; finish() sets directory times.
class Applier {
 public:
  Applier(int root, const ApplyOptions& options);
  ~Applier();
  void add(const Entry& entry, ByteSource* content);  // content: for files of size > 0
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Which xattrs a layer carries: security.capability, user.* (not user.overlay.*, not
// user.rootlesscontainers), POSIX ACLs.
bool layer_keeps_xattr(std::string_view name);

}  // namespace kiln
