// Owns: the container's terminal: opening the pty, becoming its session.
// Does not own: the proxy for a foreground run (proxy.hh), binding /dev/console (rootfs/),
// sending the master to --console-socket (sys/socket.hh).
#pragma once

#include <cstdint>
#include <string>

#include "oci-spec/runtime_config.hh"
#include "runtime/sys/fd.hh"

namespace vessel {

struct Pty {
  Fd master, slave;
};

// A pty in the devpts of the container whose root directory is `root` (config.md "terminal"). The
// multiplexer and the slave are checked to be that devpts' own (CVE-2025-52565): no path leads to
// the slave, the kernel opens it (TIOCGPTPEER). Throws SysError or Error.
Pty open_pty(int root);

// Character cells, as process.consoleSize.
void set_terminal_size(int terminal, const oci::Box& size);

// New session with `slave` as its controlling terminal and as stdin, stdout and stderr. The slave
// becomes `uid`'s unless that is not mapped here.
void adopt_terminal(int slave, uint32_t uid);

}  // namespace vessel
