// Owns: the options that create, run and exec share. Does not own: those of one alone.
#pragma once

#include "runtime/cli/option.hh"

namespace vessel::cli {

inline constexpr Option bundle_option{
    .name = "bundle",
    .short_name = 'b',
    .value = "DIR",
    .help = "directory of config.json (default: the current one)"};
inline constexpr Option console_socket_option{
    .name = "console-socket",
    .value = "PATH",
    .help = "unix socket that receives the master of the container's terminal"};
inline constexpr Option pidfd_socket_option{
    .name = "pidfd-socket",
    .value = "PATH",
    .help = "unix socket that receives the process's pidfd"};
inline constexpr Option pid_file_option{
    .name = "pid-file", .value = "FILE", .help = "file to write the process's pid to"};
inline constexpr Option no_pivot_option{
    .name = "no-pivot", .help = "move the root instead of pivot_root(2), for a root on a ramdisk"};
inline constexpr Option no_new_keyring_option{.name = "no-new-keyring",
                                              .help = "stay in the caller's session keyring"};
inline constexpr Option preserve_fds_option{
    .name = "preserve-fds",
    .value = "N",
    .help = "pass N descriptors on beyond stdio and those of LISTEN_FDS"};

}  // namespace vessel::cli
