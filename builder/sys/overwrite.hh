// Owns: making the content of a file that held a secret unreadable. Does not own: removing it.
#pragma once

namespace kiln {

// Zeros over the content of the regular file `fd`, to the disk, then nothing in it. Files of more
// than 1 MiB are only cut: no secret is that large. Throws SysError.
void overwrite_file(int fd);

}  // namespace kiln
