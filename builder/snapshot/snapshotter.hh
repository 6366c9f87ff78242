// Owns: the trees that steps run in, kept under one directory: unpacked layers, writable workspaces
// on top of them, their changes, and what became of them (committed or trash). Does not own: blobs,
// cache records, or when something is collected.
//
// A snapshot is named by a key that the caller chooses (a chain id, or a step's key while its chain
// id is not known yet): 1 to 128 characters of [a-z0-9:._-]. It knows its parent. "" is the empty
// root. Snapshots are not durable: they count only in the boot that wrote them (mounted `volatile`,
// never synced); opening the directory in another boot throws the rest away.
#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "builder/layer/apply.hh"
#include "builder/layer/layer_index.hh"
#include "builder/layer/layer_writer.hh"
#include "builder/layer/stream.hh"
#include "builder/sys/fd.hh"

namespace kiln {

// A root filesystem: `root` is a directory descriptor, `path` a host path for a runtime's bundle.
// Read-only views and writable workspaces; unmounted (and, if not committed, discarded) when
// destroyed.
class Rootfs {
 public:
  virtual ~Rootfs() = default;
  virtual int root() const = 0;
  virtual const std::string& path() const = 0;
  // Host path of the directory that receives what is written to it, also once it is unmounted.
  virtual std::string written() const = 0;
};

// A snapshot that is being written as its layer's plain tar, to be mounted as it lies.
class TarSnapshot {
 public:
  virtual ~TarSnapshot() = default;  // not committed: discarded
  virtual ByteSink& tar() = 0;
};

struct CommitOptions {
  std::optional<int64_t> clamp_mtime;  // seconds; what the step wrote gets min(mtime, this)
};

struct ChangeOptions {
  std::optional<int64_t> clamp_mtime;
  std::set<std::string> excluded_paths;  // left out, with what is below them
  // Directories that stand only because they lead to an excluded path: one that the view below
  // lacks is listed only when something below it is.
  std::set<std::string> leading_directories;
  // Also list the unchanged directories above each change. The rule of what a layer contains does
  // not ask for it, but appliers that unpack a layer by itself (podman and Docker on overlay) make
  // missing parents anew, as root's with mode 0755, and so hide the owner and mode that lower
  // layers gave them.
  bool list_parents = false;
};

struct ChangeStats {
  uint64_t entries = 0;
  std::map<std::string, uint64_t> dropped_xattrs;
  uint64_t sockets = 0;
};

class Snapshotter {
 public:
  enum class Kind : uint8_t { overlay, copy };
  virtual ~Snapshotter() = default;
  virtual Kind kind() const = 0;

  virtual bool has(const std::string& key) const = 0;
  virtual std::optional<std::string> parent(const std::string& key) const = 0;
  virtual std::vector<std::string> keys() const = 0;

  // Applies a plain tar on top of `parent` and keeps the result as `key`. If `key` exists meanwhile
  // (another process), the other one is kept; the result is the same.
  virtual void unpack(const std::string& key, const std::string& parent, ByteSource& tar,
                      const ApplyOptions& options = {}) = 0;
  virtual std::unique_ptr<Rootfs> prepare(const std::string& parent) = 0;  // writable
  virtual std::unique_ptr<Rootfs> view(const std::string& key) = 0;        // read-only
  // A writable view of `key` at the existing directory DIRECTORY/rootfs, its changes kept beside it
  // in DIRECTORY/upper, that outlives this process (and ends with the boot): for a bundle. False
  // where this kind cannot; the caller then unpacks a copy. Whoever calls keeps `key` from being
  // removed while it is mounted.
  virtual bool try_mount_for_bundle(const std::string& key, const std::string& directory) {
    (void)key, (void)directory;
    return false;
  }
  // Freezes what prepare() gave. Nothing may run in it any more.
  virtual void commit(std::unique_ptr<Rootfs> workspace, const std::string& key,
                      const CommitOptions& options = {}) = 0;
  // For a layer of very many entries on top of `parent`: far cheaper than as many creations in a
  // workspace. Null where this kind, the kernel or the filesystem cannot mount such a file.
  virtual std::unique_ptr<TarSnapshot> try_prepare_tar(const std::string& parent) {
    (void)parent;
    return nullptr;
  }
  // After the whole tar, which `index` describes and which applies to the parent as overlay would
  // stack it: no entry lies below a link of the parent, and directories that the parent has are
  // listed where something in them changes. False when it holds what only a tree can
  // (tar_image.hh).
  virtual bool try_commit_tar(std::unique_ptr<TarSnapshot> tar, const LayerIndex& index,
                              const std::string& key) {
    (void)tar, (void)index, (void)key;
    return false;
  }
  // A second name for a snapshot (its chain id, once known).
  virtual void alias(const std::string& key, const std::string& other) = 0;

  // The changes of a committed snapshot against its parent, by the one rule of what a layer
  // contains, in order into `writer`. Needs no mount; may run while later steps run on top.
  virtual ChangeStats changes(const std::string& key, LayerWriter& writer,
                              const ChangeOptions& options = {}) = 0;

  virtual void remove(const std::string& key) = 0;  // into trash; missing is fine
  virtual void empty_trash() = 0;                   // the slow part of remove()
};

// Name, in a store, of the directory for this process and kind: trees made with a single mapped id
// keep owners in another way, and are of no use where more ids are mapped; and what overlay stacks
// holds only what differs from below, where the copying kind has whole trees under the same keys.
std::string snapshots_directory(Snapshotter::Kind kind);
// `directory` is created. Overlay needs the right to mount it here; probe first.
std::unique_ptr<Snapshotter> open_overlay_snapshotter(const std::string& directory);
std::unique_ptr<Snapshotter> open_copy_snapshotter(const std::string& directory);
// Empty when overlay can be mounted in `directory` by this process, else why not.
std::string why_no_overlay(const std::string& directory);

// New mount namespace whose mounts do not reach the parent's (MS_REC|MS_SLAVE), so that nothing is
// left mounted whatever happens. Call before the first thread. The error is an errno.
std::expected<void, int> try_private_mount_namespace();

}  // namespace kiln
