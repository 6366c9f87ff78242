// Owns: reading one directory or one file's attributes as a layer sees them: sorted names, an Entry
// with link target and xattrs.
// Does not own: which of them are changes.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "builder/layer/entry.hh"

namespace kiln {

// Names in a directory (a readable descriptor, its offset is not used), in byte order.
std::vector<std::string> list_directory(int directory);

// layer: what a layer carries. tree: also the record of an owner, for copies between trees.
enum class XattrFilter : uint8_t { layer, tree, all };
// Xattrs of an open file or directory. With `layer`, those that a layer keeps; the others are
// counted in `dropped` (if given), overlay's own among them.
Xattrs read_xattrs(int fd, XattrFilter filter, std::map<std::string, uint64_t>* dropped);
// The same for a name in a directory, not following a link.
Xattrs read_xattrs_at(int directory, const std::string& name, XattrFilter filter,
                      std::map<std::string, uint64_t>* dropped);

// Target of a symlink, verbatim.
std::string read_link_at(int directory, const std::string& name);

// Same bytes in both files from their starts; sizes are known to be equal.
bool same_content(int a, int b);

// security.capability of a user namespace (revision 3) as revision 2, which any kernel reads.
std::string capability_revision_2(std::string_view value);

}  // namespace kiln
