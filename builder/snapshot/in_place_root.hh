// Owns: the root of this very container as the tree that steps run in, one after the other: which
// paths stay out of it, emptying it, layers put into it, what a step changed. Does not own: whether
// that may be done (sys/container.hh), which layers there are, or the processes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "builder/layer/apply.hh"
#include "builder/layer/layer_index.hh"
#include "builder/layer/layer_writer.hh"
#include "builder/layer/stream.hh"
#include "builder/snapshot/remove_files.hh"
#include "builder/snapshot/snapshotter.hh"
#include "builder/sys/fd.hh"

namespace kiln {

// A path that is neither emptied nor part of an image, and what it is to kiln, for messages.
struct KeptPath {
  std::string path;  // absolute, without links and ".."; need not exist
  std::string what;  // "the build context"
};

// Mount points of this mount namespace but "/", absolute (proc_pid_mountinfo(5)).
std::vector<std::string> mount_points();

class InPlaceRoot {
 public:
  // `root`: where the tree is, "/" but in tests. Besides `kept` all mount points are kept.
  InPlaceRoot(const std::string& root, std::vector<KeptPath> kept);

  int fd() const { return root_.get(); }
  const std::string& path() const { return path_; }

  // The snapshot that the tree is now; empty: unknown.
  const std::string& holds() const { return holds_; }
  void set_holds(std::string snapshot) { holds_ = std::move(snapshot); }

  // Throws Error when `image` has something where a kept path is, or no directory on the way to
  // one: a step would see other files than those of the image. Directories of the container that
  // stand in the way and hold nothing but mount points are moved aside.
  void make_room_for(const MergedIndex& image);
  // Removes everything that is not kept. Stays on the filesystem of the root.
  void empty();
  // A layer on top of what is there.
  void apply(ByteSource& tar);
  // Before a step: breaks hard links between files of layers below, as overlay with index=off does
  // at the first write, and notes what is where, so that changes() reads only what was touched.
  void settle();
  // What changed since `before` was all that there is. Files newer than options.clamp_mtime get
  // that time, as in the layer.
  ChangeStats changes(const MergedIndex& before, LayerWriter& writer, ChangeOptions options);
  // Removes every name of these files; what a command linked or moved elsewhere. Returns how many
  // there were.
  size_t remove_left_files(const std::set<FileId>& files);

 private:
  bool is_kept(const std::string& path) const { return kept_.contains(path); }
  bool leads_to_kept(const std::string& path) const { return leading_.contains(path); }
  void read_kept();
  void move_aside(const std::string& path);
  void empty_directory(int directory, const std::string& path);
  void settle_directory(int directory, const std::string& path,
                        std::set<std::pair<uint64_t, uint64_t>>& seen);
  bool replaces_what_leads(const Entry& entry);

  Fd root_;
  std::string path_;
  uint64_t device_ = 0;
  std::vector<KeptPath> own_;
  std::map<std::string, std::string> kept_;  // relative path → what it is; "" for a mount point
  std::set<std::string> leading_;            // directories above them, relative
  std::string holds_;
  std::map<std::string, uint64_t> directories_;
  int64_t settled_at_ns_ = 0;
};

}  // namespace kiln
