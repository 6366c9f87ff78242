#include "builder/snapshot/base.hh"

#include <fcntl.h>
#include <sys/stat.h>

#include "builder/layer/tree.hh"
#include "builder/snapshot/overlay_mount.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"

namespace kiln {

WorkRoot::~WorkRoot() {
  try {
    close();
    if (!committed_) records_.discard_tree(fresh_.name);
    records_.release(fresh_);
  } catch (const std::exception&) {
    // The lease ends with this process; whoever opens the directory next cleans up.
  }
}

void WorkRoot::mounted_at(std::string path) {
  mounted_ = true;
  plain_at(std::move(path));
}

void WorkRoot::plain_at(std::string path) {
  path_ = std::move(path);
  root_ = Fd(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!root_) throw SysError("open " + path_);
}

void WorkRoot::close() {
  root_.reset();
  if (!mounted_) return;
  unmount(path_);
  mounted_ = false;
  records_.remove_mount_point(fresh_.name);
}

void WorkRoot::commit_as(const std::string& key, bool empty) {
  // When another process was first with the key, its tree is kept and this one discarded.
  const bool first = records_.add(key, {empty ? "" : fresh_.name, parent_});
  committed_ = first && !empty;
  records_.discard_work(fresh_.name);
}

void WorkRoot::commit_image_as(const std::string& key) {
  committed_ = records_.add(key, {fresh_.name + ".i", parent_});
}

bool BaseSnapshotter::has(const std::string& key) const {
  for (std::string at = key; !at.empty();) {
    auto record = records_.find(at);
    if (!record) return false;
    at = std::move(record->parent);
  }
  return true;
}

std::optional<std::string> BaseSnapshotter::parent(const std::string& key) const {
  auto record = records_.find(key);
  if (!record) return std::nullopt;
  return std::move(record->parent);
}

void BaseSnapshotter::unpack(const std::string& key, const std::string& parent, ByteSource& tar,
                             const ApplyOptions& options) {
  std::unique_ptr<Rootfs> workspace = prepare(parent);
  apply_tar(tar, workspace->root(), options);
  commit(std::move(workspace), key, {});
}

void BaseSnapshotter::commit(std::unique_ptr<Rootfs> workspace, const std::string& key,
                             const CommitOptions& options) {
  auto* work = dynamic_cast<WorkRoot*>(workspace.get());
  if (work == nullptr || work->name().empty())
    throw Error("only what prepare() gave can be committed");
  work->close();
  bool empty = true;
  if (options.clamp_mtime || leaves_out_empty()) {
    const Comparison comparison = compare(work->name(), work->parent());
    if (options.clamp_mtime) {
      const struct timespec clamped { *options.clamp_mtime, 0 };
      const struct timespec times[2] = {clamped, clamped};
      find_changes(comparison.source, {}, [&](const Change& change) {
        empty = false;
        if (change.entry.type == FileType::whiteout || change.entry.mtime <= *options.clamp_mtime)
          return;
        if (::utimensat(change.directory, change.name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
          throw SysError("set time of /" + change.entry.path);
      });
    } else {
      // Only an upper in which nothing stands at all is worth leaving out; looking further costs.
      struct Something {};
      try {
        if (!list_directory(comparison.source.upper).empty()) throw Something{};
        find_changes(comparison.source, {}, [](const Change&) { throw Something{}; });
      } catch (const Something&) {
        empty = false;
      }
    }
  }
  work->commit_as(key, empty && leaves_out_empty() && !work->parent().empty());
}

void BaseSnapshotter::alias(const std::string& key, const std::string& other) {
  records_.add(other, records_.get(key));
}

ChangeStats BaseSnapshotter::changes(const std::string& key, LayerWriter& writer,
                                     const ChangeOptions& options) {
  const SnapshotRecord record = records_.get(key);
  if (record.tree.empty()) return {};
  const Comparison comparison = compare(record.tree, record.parent);
  return find_changes(comparison.source, options, [&](const Change& change) {
    if (change.content >= 0)
      writer.add(change.entry, change.content);
    else
      writer.add(change.entry);
  });
}

}  // namespace kiln
