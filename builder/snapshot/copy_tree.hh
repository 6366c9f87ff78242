// Owns: copying a whole tree with everything that a layer can say about it, breaking hard links.
// Does not own: why.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace kiln {

// Fills the empty directory `to` with what `from` holds (both descriptors), and gives it the
// attributes of `from`. Sockets are left out. Every file becomes one of its own, as overlay with
// index=off makes it when it is first written to. Returns path → inode of each directory made.
std::map<std::string, uint64_t> copy_tree(int from, int to);

// Gives a regular file that other names stand for, too, an inode of its own under `name`; all that
// a layer can say about it and its directory's times stay.
void break_hard_link(int directory, const std::string& name);

// Mode, owner, xattrs and times of one directory onto another.
void copy_attributes(int from, int to);

}  // namespace kiln
