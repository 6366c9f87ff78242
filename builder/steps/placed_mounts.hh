// Owns: mounts where nothing can be mounted: what would be mounted is put in its place, and what
// stood there is put back. Does not own: the process that runs meanwhile.
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include "builder/sys/fd.hh"
#include "oci-spec/runtime_config.hh"

namespace kiln {

class ChrootMounts {
 public:
  // `root`: descriptor of the root filesystem, borrowed. `journal`: a directory where what was
  // moved is noted, for recover().
  ChrootMounts(int root, int journal) : root_(root), journal_(journal) {}
  ~ChrootMounts() { undo(); }
  ChrootMounts(const ChrootMounts&) = delete;
  ChrootMounts& operator=(const ChrootMounts&) = delete;

  // A writable directory is moved in and out again, anything else becomes a copy, a tmpfs an empty
  // directory. proc, sysfs, devpts and their like have no substitute and are left out. Throws Error
  // for a socket.
  void add(const oci::Mount& mount);
  // The nodes that programs count on, where /dev lacks them and they can be made.
  void add_devices();
  // Everything back, the last first. What the command itself removed or replaced stays as it is.
  void undo() noexcept;

 private:
  struct Placed {
    Fd parent;
    std::string name;
    std::string hidden;    // what stood there; empty: nothing
    std::string moved_to;  // where a moved directory came from; empty: a copy
    struct stat before {
    }, after{};
  };
  Placed make_room(const std::string& destination);
  void settle(Placed placed);

  int root_, journal_;
  std::vector<Placed> placed_;
};

// After a process that could not undo(): moves back what journal says is still in `root_path`.
void recover_chroot_mounts(int journal);

}  // namespace kiln
