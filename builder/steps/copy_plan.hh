// Owns: the rules of COPY and ADD for local sources: which files each source names, and where each
// goes (Dockerfile reference, "COPY" and "ADD"; BuildKit's behaviour where the reference is
// silent). Does not own: reading the files or writing the layer (layer/copy_layer.hh), remote
// sources.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "builder/steps/source_tree.hh"

namespace kiln {

// Matches a path (relative, no leading slash) that --exclude removes.
using ExcludeRule = std::function<bool(const std::string& path, bool directory)>;

struct CopyRequest {
  std::vector<std::string> sources;  // expanded words, as written
  std::string destination;           // expanded word
  std::string working_dir;           // of the stage; "" is "/"
  bool parents = false;              // --parents, with the /./ pivot
  bool unpack = false;               // ADD: local archives are extracted
  ExcludeRule exclude;               // empty: nothing
  size_t inline_files = 0;           // further sources that are no files of the tree (heredocs)
};

// One thing to copy. For a directory: its contents go into `destination`.
struct CopyItem {
  std::string source;  // resolved path in the tree
  bool directory = false;
  std::string destination;  // resolved in the base, no leading slash
  bool destination_exists = false;
  std::vector<ContextEntry> entries;  // of a directory: as walk() gave them, exclusions taken out
  ContextEntry file;                  // of anything else
};

struct CopyPlan {
  std::vector<CopyItem> items;
  // Directories that the base lacks, outermost first: parents of destinations, and with --parents
  // those that carry the source directory's attributes.
  struct NewDirectory {
    std::string path;
    std::optional<ContextEntry> like;
    std::optional<int64_t>
        mtime;  // seconds; of a directory whose contents are copied into this one
  };
  std::vector<NewDirectory> new_directories;
  // Where inline files and downloads go: a directory (true) or exactly this path.
  std::string destination;
  bool destination_is_directory = false;
};

// Throws Error for a source that is missing ("/a: not found in the build context"; says so when
// .dockerignore hides it), a source outside the tree, several sources to a destination that is no
// directory, or a destination below a file. `what` names the tree in messages.
CopyPlan plan_copy(const CopyRequest& request, const SourceTree& tree, std::string_view what,
                   const MergedIndex& base);

// Digest over everything that `plan` reads and where it puts it.
oci::Digest digest_plan(const CopyPlan& plan, const SourceTree& tree, const DigestOptions& options);

// Absolute, clean path of `path` taken relative to `working_dir`. A trailing slash is dropped.
std::string absolute_path(std::string_view path, std::string_view working_dir);

}  // namespace kiln
