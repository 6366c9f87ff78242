// Owns: a procfs that no mount of anybody's can stand in front of.
// Does not own: what is read from it or written to it.
#pragma once

#include <string>
#include <string_view>

#include "runtime/sys/fd.hh"

namespace vessel {

// Writes of labels, sysctls and id maps must reach the kernel even where an image or a racing
// container has mounted over /proc (CVE-2019-16884, CVE-2025-52881). open_private() makes an own
// detached instance; where the caller may not (no privilege over its pid namespace), adopt_host()
// takes /proc and checks that it is the root of a procfs. In both, files are opened without
// crossing mounts or following links.
class ProcFs {
 public:
  // Own instance if allowed, else the checked /proc. Throws SysError, or Error if /proc is not
  // procfs.
  static ProcFs open();
  static ProcFs open_private();
  static ProcFs adopt_host();

  // `path` is relative ("self/attr/exec"). `flags` as for open(2). Throws SysError.
  Fd open_file(std::string_view path, int flags) const;
  // Whole text of a small file (at most 1 MiB).
  std::string read(std::string_view path) const;
  // One write(2) of all of `text`.
  void write(std::string_view path, std::string_view text) const;

  int get() const { return root_.get(); }
  bool is_private() const { return private_; }

 private:
  ProcFs(Fd root, bool is_private) : root_(static_cast<Fd&&>(root)), private_(is_private) {}
  Fd root_;
  bool private_;
};

}  // namespace vessel
