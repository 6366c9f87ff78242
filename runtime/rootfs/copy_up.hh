// Owns: copying what an image has in a directory into the tmpfs that will cover it (tmpcopyup).
// Does not own: that tmpfs, its own mode and owner included.
#pragma once

namespace vessel {

// Copies the content of the directory `from` into the empty directory `to` (O_PATH is enough for
// both). Links are copied as links, never followed; hard links between the copied files stay hard
// links; sockets are left out. Mounts below `from` are not entered. Throws SysError naming the
// file.
void copy_up(int from, int to);

// `directory` may be an O_PATH descriptor. Throws SysError.
bool is_empty_directory(int directory);

}  // namespace vessel
