// Owns: how a path is looked up inside a directory that is treated as the root (an image's root, an
// unpacked layer, a build context): `..` and absolute links never leave it.
// Does not own: what is done with the result.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "builder/sys/fd.hh"

namespace kiln {

// Opens `path` below the directory `root` as if `root` were "/": openat2(RESOLVE_IN_ROOT |
// RESOLVE_NO_MAGICLINKS) where the kernel has it (5.6) and lets us call it, else the component walk
// of walk_in_root() on descriptors. O_CLOEXEC is always added. The error is an errno.
std::expected<Fd, int> try_open_in_root(int root, std::string_view path, int flags,
                                        mode_t mode = 0);
// The same; throws SysError "open PATH in root".
Fd open_in_root(int root, std::string_view path, int flags, mode_t mode = 0);

// Lexically clean: of "/a//./b/../c/" "a" and "c"; ".." never rises above the root.
std::vector<std::string_view> clean_components(std::string_view path);

// Parent directory of the last component (links in the parent are followed, the last component is
// not) and that component's name. Throws SysError if the parent is missing or no directory, Error
// if the path has no last component ("", "/", "a/.."); the root itself has none.
struct InRootName {
  Fd parent;
  std::string name;
};
InRootName open_parent_in_root(int root, std::string_view path);

// For tests: never use openat2 in this process from now on.
void forbid_openat2(bool forbidden);

// ---- the same rules on any tree (the layer index; the fallback above) ----

struct WalkNode {
  enum class Type : uint8_t { missing, directory, symlink, other };
  Type type = Type::missing;
  std::string link;  // target, when a symlink
};
// Called with a path that has no links left in its parents: relative, no leading slash.
using WalkLookup = std::function<WalkNode(const std::string& path)>;

struct Walked {
  std::string path;  // relative to the root, no leading slash, "" is the root, no links left
  WalkNode::Type type = WalkNode::Type::missing;
};
enum class LastLink : uint8_t { follow, keep };
enum class Missing : uint8_t { fail, allow };  // allow: missing tail components are kept as given

// Errors as the kernel gives them: ENOENT, ENOTDIR, ELOOP (more than 40 links), ENAMETOOLONG.
// With Missing::allow, a ".." after a missing component removes it lexically.
std::expected<Walked, int> walk_in_root(std::string_view path, LastLink last, Missing missing,
                                        const WalkLookup& lookup);

}  // namespace kiln
