// Owns: what changed between a tree and the view below it, by the one rule of what a layer
// contains. Works on an overlay upper against its lowers and on a plain copy against its origin or
// the index of its layers, without mounts. Does not own: what is done with a change (a tar entry, a
// time that is clamped).
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "builder/layer/entry.hh"
#include "builder/layer/layer_index.hh"
#include "builder/snapshot/snapshotter.hh"
#include "builder/sys/fd.hh"

namespace kiln {

struct ChangeSource {
  int upper;                // directory descriptor
  std::vector<int> lowers;  // roots of the view below, top first; may be empty
  // True for an overlay upper: whiteouts, opaque marks and what is absent is unchanged. False for a
  // copy: what is absent was deleted.
  bool overlay = true;
  // For a copy: the view below as the index of its layers has it, in the place of `lowers`.
  const MergedIndex* index = nullptr;
  // For a copy: files whose ctime (ns) is older were not touched since it was made, provided that
  // they still sit in the directories where they were put (path → inode).
  int64_t copied_at_ns = 0;
  std::map<std::string, uint64_t> copied_directories;
};

// One change, in the order of the layer. For a file `content` is open for reading, else -1.
// `directory` and `name` say where it is in the upper (name "." for the root).
struct Change {
  const Entry& entry;
  int content;
  int directory;
  const std::string& name;
};

// Calls `emit` for each change. Throws Error on what no layer can express (redirect or metacopy
// marks in an upper).
ChangeStats find_changes(const ChangeSource& source, const ChangeOptions& options,
                         const std::function<void(const Change&)>& emit);

}  // namespace kiln
