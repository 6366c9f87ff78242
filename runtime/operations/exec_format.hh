// Owns: what is said of a program that the kernel does not take for an executable.
// Does not own: finding it, or starting it.
#pragma once

#include <string>
#include <string_view>

namespace vessel {

// `failure` tells of "exec /PATH: exec format error": gives "; it is built for linux/arm64, this
// machine is linux/amd64" or what else is wrong with the file below `rootfs`; "" for any other
// failure, and when the file cannot be read there (a mount of the container's covers it).
std::string why_not_executable(const std::string& rootfs, std::string_view failure) noexcept;

}  // namespace vessel
