// Owns: what both snapshotters do alike: records, commits, layers written from changes, removal.
// Does not own: how a tree is made visible, or how its changes are told.
#pragma once

#include "builder/snapshot/changes.hh"
#include "builder/snapshot/records.hh"
#include "builder/snapshot/snapshotter.hh"

namespace kiln {

// A workspace or view. Destroying it unmounts and, unless committed, discards.
class WorkRoot : public Rootfs {
 public:
  WorkRoot(SnapshotRecords& records, SnapshotRecords::Fresh fresh, std::string parent)
      : records_(records), fresh_(std::move(fresh)), parent_(std::move(parent)) {}
  ~WorkRoot() override;

  int root() const override { return root_.get(); }
  const std::string& path() const override { return path_; }
  std::string written() const override { return records_.path() + "/s/" + fresh_.name; }

  const std::string& name() const { return fresh_.name; }
  const std::string& parent() const { return parent_; }

  void mounted_at(std::string path);  // opens it; unmounted in the end
  void plain_at(std::string path);    // nothing is mounted
  void close();                       // unmounts, keeps the tree
  void commit_as(const std::string& key, bool empty);
  void commit_image_as(const std::string& key);  // NAME.i is what counts

 private:
  SnapshotRecords& records_;
  SnapshotRecords::Fresh fresh_;
  std::string parent_;
  std::string path_;
  Fd root_;
  bool mounted_ = false;
  bool committed_ = false;
};

class BaseSnapshotter : public Snapshotter {
 public:
  explicit BaseSnapshotter(const std::string& directory) : records_(directory) {}

  bool has(const std::string& key) const override;
  std::optional<std::string> parent(const std::string& key) const override;
  std::vector<std::string> keys() const override { return records_.keys(); }
  void unpack(const std::string& key, const std::string& parent, ByteSource& tar,
              const ApplyOptions& options) override;
  void commit(std::unique_ptr<Rootfs> workspace, const std::string& key,
              const CommitOptions& options) override;
  void alias(const std::string& key, const std::string& other) override;
  ChangeStats changes(const std::string& key, LayerWriter& writer,
                      const ChangeOptions& options) override;
  void remove(const std::string& key) override { records_.remove(key); }
  void empty_trash() override { records_.empty_trash(); }

 protected:
  // Everything find_changes() needs to compare `tree` with the view of `parent`, and what keeps its
  // descriptors open.
  struct Comparison {
    std::vector<Fd> open;
    ChangeSource source{};
  };
  virtual Comparison compare(const std::string& tree, const std::string& parent) = 0;
  // Whether a tree without changes may be left out of the chain.
  virtual bool leaves_out_empty() const = 0;

  SnapshotRecords records_;
};

}  // namespace kiln
