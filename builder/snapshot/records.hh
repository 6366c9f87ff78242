// Owns: the directory that snapshots live in: trees under short names, one record a key, leases of
// workspaces in use, mount points, trash.
// Does not own: what is in a tree, or mounts.
//
//   s/NAME     a tree (an overlay upper, or a whole copy); NAME.w overlay's work directory
//   s/NAME.i   in the place of a tree's content: an image, mounted on s/NAME by who needs it
//   k/KEY      record: version, boot id, tree name ("-" for none), parent key; renamed into place
//   last l/NAME     lease of a tree without a record: whoever made it holds its lock m/NAME mount
//   point trash/     what is to be removed
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "builder/sys/fd.hh"

namespace kiln {

struct SnapshotRecord {
  std::string tree;  // name under s/, empty when the snapshot equals its parent; see is_image()
  std::string parent;
};

// An image instead of a tree: its file's name under s/. The directory to mount it on is beside it.
inline bool is_image(std::string_view tree) {
  return tree.ends_with(".i");
}
inline std::string mount_name(std::string_view tree) {
  return std::string(tree.substr(0, tree.find('.')));
}

class SnapshotRecords {
 public:
  // Opens or creates `directory`; records of another boot are thrown away, as are trees whose
  // maker is dead.
  explicit SnapshotRecords(const std::string& directory);

  int trees() const { return trees_.get(); }
  const std::string& path() const { return path_; }

  std::optional<SnapshotRecord> find(const std::string& key) const;
  SnapshotRecord get(const std::string& key) const;  // Error "no snapshot KEY"
  std::vector<std::string> keys() const;
  // False when the key exists already.
  bool add(const std::string& key, const SnapshotRecord& record);
  void remove(const std::string& key);
  // From `key` up to its oldest ancestor those that have a tree, top first.
  struct Link {
    std::string key, tree;
  };
  std::vector<Link> links(const std::string& key) const;
  std::vector<std::string> chain(const std::string& key) const;  // their trees

  // A fresh tree under lease; `lease` is released (by closing) once a record names the tree.
  struct Fresh {
    std::string name;
    Fd lease;
  };
  Fresh make_tree();
  void release(Fresh& fresh);
  void discard_tree(const std::string& name);  // with its work directory, into trash
  void discard_work(const std::string& name);  // overlay's work directory only

  std::string make_mount_point(const std::string& name);  // path
  void remove_mount_point(const std::string& name);

  // Trees that nothing names any more, then the trash itself.
  void empty_trash();

 private:
  void sweep();
  void to_trash(int directory, const std::string& name);

  // Records never change; whoever relies on one holds its key, so that it is not removed either.
  mutable std::mutex mutex_;
  mutable std::map<std::string, SnapshotRecord> known_;

  std::string path_;
  Fd top_, trees_, keys_, leases_, mounts_, trash_;
  std::string boot_;
};

}  // namespace kiln
