// Snapshots as overlay uppers.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/snapshot/base.hh"
#include "builder/snapshot/copy_tree.hh"
#include "builder/snapshot/merge.hh"
#include "builder/snapshot/overlay_mount.hh"
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
    const Fd below = open_dir_at(records_.trees(), lowers.front());
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

  bool try_mount_for_bundle(const std::string& key, const std::string& directory) override {
    std::vector<std::string> lowers = stack(key);
    if (lowers.empty() || lowers.size() > max_overlay_lowers) return false;
    const Fd bundle(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!bundle) throw SysError("open " + directory);
    make_dir_at(bundle.get(), "upper");
    make_dir_at(bundle.get(), "work", 0700);
    const Fd upper = open_dir_at(bundle.get(), "upper");
    const Fd work = open_dir_at(bundle.get(), "work");
    const Fd below = open_dir_at(records_.trees(), lowers.front());
    copy_attributes(below.get(), upper.get());  // the root of an overlay is that of its upper
    // By descriptor: a bundle's path may be longer than fsconfig takes, or hold a comma.
    const auto by_fd = [](const Fd& fd) { return "/proc/self/fd/" + std::to_string(fd.get()); };
    mount_overlay({.base = records_.trees(),
                   .lowers = std::move(lowers),
                   .upper = by_fd(upper),
                   .work = by_fd(work)},
                  directory + "/rootfs");
    return true;
  }

 protected:
  bool leaves_out_empty() const override { return true; }

  Comparison compare(const std::string& tree, const std::string& parent) override {
    Comparison out;
    for (const std::string& lower : stack(parent)) {
      out.open.push_back(open_dir_at(records_.trees(), lower));
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
    for (size_t at = out.size(); at < links.size(); at += group)
      out.push_back(merge(std::span(links).subspan(at, group)));
    return out;
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
