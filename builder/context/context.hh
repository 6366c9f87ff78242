// Owns: a directory that a build reads from (the build context, a stage's root for COPY --from),
// held as a descriptor: walking it in byte order under ignore rules, expanding wildcards, opening
// files. Does not own: the ignore patterns (dockerfile/), digests (content_digest.hh), or what is
// copied where.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "builder/layer/entry.hh"
#include "builder/sys/fd.hh"

namespace kiln {

enum class Verdict : uint8_t {
  keep,
  skip,             // and, for a directory, all below
  skip_but_descend  // the entry is ignored but something below may be re-included
};
// Called with a path relative to the context's root, no leading slash.
using IgnoreRule = std::function<Verdict(const std::string& path, bool directory)>;

// What one lstat says, and where. Sockets are left out of walks.
struct ContextEntry {
  Entry entry;  // path relative to the context's root; `link` filled for symlinks
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t links = 1;
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;
};

class Context {
 public:
  // Throws SysError. Empty rule keeps everything. `name` is for messages only.
  static Context open(const std::string& directory, IgnoreRule ignore = {});
  Context(Fd root, std::string name, IgnoreRule ignore = {});

  int root() const { return root_.get(); }
  const std::string& name() const { return name_; }
  const IgnoreRule& ignore() const { return ignore_; }
  bool ignored(const std::string& path, bool directory) const;

  // lstat inside the root, links in parents followed inside the root; nullopt when missing,
  // ignored, a socket, or not reachable. The entry's path is the resolved one.
  std::optional<ContextEntry> stat(std::string_view path, bool follow_last = false) const;
  // `path` itself (unless "") and everything below it, in byte order of the whole path; links are
  // not followed. Directories that are only descended into appear if something below them is kept.
  std::vector<ContextEntry> walk(const std::string& path) const;
  // Opens a regular file for reading; `path` as walk() or stat() gave it. O_NOFOLLOW, type checked.
  Fd open_file(const std::string& path) const;
  // Go's filepath.Match on each component, below the root, sorted; no wildcard: the path itself if
  // it exists. Ignored paths never match. Throws Error on a malformed pattern.
  std::vector<std::string> expand(std::string_view pattern) const;
  // Extended attributes that a layer can hold, of a file named as by walk() (--preserve-xattrs).
  Xattrs xattrs(const std::string& path) const;

 private:
  Fd root_;
  std::string name_;
  IgnoreRule ignore_;
};

// Go's filepath.Match: '*' and '?' stop at '/', [a-z], [^a], backslash escapes; nullopt: malformed.
std::optional<bool> match_component(std::string_view pattern, std::string_view name);
bool has_wildcard(std::string_view pattern);

// Extracts a tar (plain or compressed) into a fresh directory `into` and opens it as a context.
Context context_from_tar(class ByteSource& tar, Fd into, std::string name, IgnoreRule ignore = {});

}  // namespace kiln
