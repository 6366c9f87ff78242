// Owns: reading a text file, or standard input for "-", that the user named on the command line.
// Does not own: paths inside a context or an image.
#pragma once

#include <optional>
#include <string>

namespace kiln::cli {

// The whole content. Throws SysError, and Error past 16 MiB: no Dockerfile is that long.
std::string read_text_file(const std::string& path);
// The same, nullopt when there is no such file.
std::optional<std::string> try_read_text_file(const std::string& path);

}  // namespace kiln::cli
