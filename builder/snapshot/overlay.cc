// Snapshots as overlay uppers.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <mutex>

#include "builder/layer/tree.hh"
#include "builder/snapshot/base.hh"
#include "builder/snapshot/copy_tree.hh"
#include "builder/snapshot/merge.hh"
#include "builder/snapshot/overlay_mount.hh"
#include "builder/snapshot/tar_image.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/sha256.hh"

namespace kiln {

namespace {

// A lookup that fails costs 70 us through 61 lowers and 6 through one, and every lower of a
// directory is a descriptor: deep stacks are made shallow, so many trees of the bottom at a time
// into one.
constexpr size_t deep = 32;
constexpr size_t group = 16;

// The record of a merged tree, under a name that no caller uses.
std::string merged_key(const std::string& top) {
  Sha256 hash;
  hash.update(top);
  return "merged." + hex(hash.finish());
}

class TarTree final : public TarSnapshot {
 public:
  TarTree(SnapshotRecords& records, const std::string& parent)
      : work_(records, records.make_tree(), parent),
        file_(::openat(records.trees(), (work_.name() + ".i").c_str(),
                       O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)),
        tar_(file_.get()) {
    if (!file_) throw SysError("create a snapshot");
  }
  ByteSink& tar() override { return tar_; }
  const std::string& name() const { return work_.name(); }
  const std::string& parent() const { return work_.parent(); }

  // Whether an overlay of it can be mounted then.
  bool try_finish(const LayerIndex& index, const struct stat& root) {
    return !finish_tar_image(file_.get(), tar_.size(), index, root);
  }
  bool try_commit(const LayerIndex& index, const struct stat& root, const std::string& key) {
    if (!try_finish(index, root)) return false;
    work_.commit_image_as(key);
    return true;
  }

 private:
  WorkRoot work_;
  Fd file_;
  TarImageSink tar_;
};

class OverlaySnapshotter final : public BaseSnapshotter {
 public:
  using BaseSnapshotter::BaseSnapshotter;
  Kind kind() const override { return Kind::overlay; }

  std::unique_ptr<Rootfs> prepare(const std::string& parent) override {
    std::vector<std::string> lowers = stack(parent);
    auto work = std::make_unique<WorkRoot>(records_, records_.make_tree(), parent);
    if (lowers.empty()) {  // on nothing a plain directory is the same, and cheaper
      work->plain_at(records_.path() + "/s/" + work->name());
      return work;
    }
    const Fd below = open_tree(lowers.front());
    const Fd upper = open_dir_at(records_.trees(), work->name());
    copy_attributes(below.get(), upper.get());  // the root of an overlay is that of its upper
    make_dir_at(records_.trees(), work->name() + ".w", 0700);
    mount(*work, {.base = records_.trees(),
                  .lowers = std::move(lowers),
                  .upper = work->name(),
                  .work = work->name() + ".w"});
    return work;
  }

  std::unique_ptr<Rootfs> view(const std::string& key) override {
    std::vector<std::string> lowers = stack(key);
    auto work = std::make_unique<WorkRoot>(records_, records_.make_tree(), key);
    // Overlay wants two lowers when there is no upper; the empty tree of this very view is one.
    lowers.push_back(work->name());
    if (lowers.size() == 1) {
      work->plain_at(records_.path() + "/s/" + work->name());
      return work;
    }
    mount(*work, {.base = records_.trees(), .lowers = std::move(lowers)});
    return work;
  }

  std::unique_ptr<TarSnapshot> try_prepare_tar(const std::string& parent) override {
    if (!images_work()) return nullptr;
    return std::make_unique<TarTree>(records_, parent);
  }

  bool try_commit_tar(std::unique_ptr<TarSnapshot> tar, const LayerIndex& index,
                      const std::string& key) override {
    auto* image = dynamic_cast<TarTree*>(tar.get());
    if (image == nullptr) throw Error("only what try_prepare_tar() gave can be committed");
    // The root of an overlay is that of its topmost tree.
    struct stat root {};
    root.st_mode = S_IFDIR | 0755;
    const std::vector<std::string> lowers = stack(image->parent());
    if (!lowers.empty()) {
      const Fd below = open_tree(lowers.front());
      if (::fstat(below.get(), &root) != 0) throw SysError("stat a snapshot");
      if (!read_xattrs(below.get(), XattrFilter::tree, nullptr).empty()) return false;
    }
    return image->try_commit(index, root, key);
  }

  bool try_mount_for_bundle(const std::string& key, const std::string& directory) override {
    std::vector<std::string> lowers = stack(key);
    if (lowers.empty() || lowers.size() > max_overlay_lowers) return false;
    const Fd bundle(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!bundle) throw SysError("open " + directory);
    make_dir_at(bundle.get(), "upper");
    make_dir_at(bundle.get(), "work", 0700);
    const Fd upper = open_dir_at(bundle.get(), "upper");
    const Fd below = open_tree(lowers.front());
    copy_attributes(below.get(), upper.get());  // the root of an overlay is that of its upper
    mount_overlay({.base = records_.trees(),
                   .lowers = std::move(lowers),
                   .upper = "upper",
                   .work = "work",
                   .upper_directory = directory},
                  directory + "/rootfs");
    return true;
  }

 protected:
  bool leaves_out_empty() const override { return true; }

  Comparison compare(const std::string& tree, const std::string& parent) override {
    Comparison out;
    for (const std::string& lower : stack(parent)) {
      out.open.push_back(open_tree(lower));
      out.source.lowers.push_back(out.open.back().get());
    }
    out.open.push_back(open_dir_at(records_.trees(), tree));
    out.source.upper = out.open.back().get();
    out.source.overlay = true;
    return out;
  }

  void remove(const std::string& key) override {
    BaseSnapshotter::remove(key);
    BaseSnapshotter::remove(merged_key(key));
  }

  std::vector<std::string> keys() const override {
    std::vector<std::string> out = BaseSnapshotter::keys();
    std::erase_if(out, [](const std::string& key) { return key.starts_with("merged."); });
    return out;
  }

 private:
  // Trees of `key`, top first, as overlay shall see them. Groups are counted from the bottom, so
  // that they stay the same while a chain grows.
  std::vector<std::string> stack(const std::string& key) {
    const std::vector<SnapshotRecords::Link> links = records_.links(key);
    const size_t merged = links.size() <= deep ? 0 : links.size() / group;
    std::vector<std::string> out;
    for (size_t i = 0; i < links.size() - merged * group; ++i) out.push_back(links[i].tree);
    for (size_t at = out.size(); at < links.size(); at += group) {
      const auto some = std::span(links).subspan(at, group);
      // Merging is linking, and what an image holds can be linked nowhere.
      if (std::ranges::any_of(some, is_image, &SnapshotRecords::Link::tree))
        std::ranges::transform(some, std::back_inserter(out), &SnapshotRecords::Link::tree);
      else
        out.push_back(merge(some));
    }
    return out;
  }

  Fd open_tree(const std::string& tree) const {
    return is_image(tree) ? open_image(records_.trees(), tree)
                          : open_dir_at(records_.trees(), tree);
  }

  std::string merge(std::span<const SnapshotRecords::Link> links) {
    const std::string key = merged_key(links.front().key);
    if (const auto known = records_.find(key)) return known->tree;
    std::vector<std::string> names;
    for (const SnapshotRecords::Link& link : links) names.push_back(link.tree);
    WorkRoot work(records_, records_.make_tree(), "");
    merge_lowers(records_.trees(), names, open_dir_at(records_.trees(), work.name()).get());
    work.commit_as(key, false);
    return records_.get(key).tree;
  }

  // Found out once, with a small one: the kernel's version says little (an option of its build, how
  // deep filesystems may stand on one another, what a security module allows).
  bool images_work() {
    const std::lock_guard lock(images_mutex_);
    if (!images_work_) images_work_ = may_mount_images() && try_small_image();
    return *images_work_;
  }

  bool try_small_image() {
    try {
      constexpr std::string_view text = "content";
      TarTree image(records_, "");
      std::string block(text);
      block.resize(512);
      image.tar().write(std::as_bytes(std::span(block)));
      LayerIndex index;
      index.add({.path = "file", .mode = 0644, .size = text.size()});
      index.sort();
      struct stat root {};
      if (!image.try_finish(index, root)) return false;
      WorkRoot upper(records_, records_.make_tree(), "");
      make_dir_at(records_.trees(), upper.name() + ".w", 0700);
      mount(upper, {.base = records_.trees(),
                    .lowers = {image.name() + ".i"},
                    .upper = upper.name(),
                    .work = upper.name() + ".w"});
      return read_file_in_root(upper.root(), "file", block.size()) == text;
    } catch (const Error&) {
      return false;
    }
  }

  std::mutex images_mutex_;
  std::optional<bool> images_work_;

  void mount(WorkRoot& work, const OverlayLayers& layers) {
    if (layers.lowers.size() > max_overlay_lowers)
      throw Error("overlay cannot stack " + std::to_string(layers.lowers.size()) +
                  " layers, the kernel's limit is " + std::to_string(max_overlay_lowers));
    const std::string at = records_.make_mount_point(work.name());
    try {
      mount_overlay(layers, at);
    } catch (...) {
      records_.remove_mount_point(work.name());
      throw;
    }
    work.mounted_at(at);
  }
};

}  // namespace

std::unique_ptr<Snapshotter> open_overlay_snapshotter(const std::string& directory) {
  return std::make_unique<OverlaySnapshotter>(directory);
}

std::string why_no_overlay(const std::string& directory) {
  try {
    SnapshotRecords records(directory);
    WorkRoot lower(records, records.make_tree(), "");
    WorkRoot upper(records, records.make_tree(), "");
    make_dir_at(records.trees(), upper.name() + ".w", 0700);
    const std::string at = records.make_mount_point(upper.name());
    try {
      mount_overlay({.base = records.trees(),
                     .lowers = {lower.name()},
                     .upper = upper.name(),
                     .work = upper.name() + ".w"},
                    at);
    } catch (...) {
      records.remove_mount_point(upper.name());
      throw;
    }
    upper.mounted_at(at);
    return {};
  } catch (const Error& error) {
    return error.message();
  }
}

}  // namespace kiln
