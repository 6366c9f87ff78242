// Owns: mounts where nothing can be mounted: what would be mounted is put in its place, and what
// stood there is put back. Does not own: the process that runs meanwhile.
#pragma once

#include <sys/stat.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "builder/snapshot/remove_files.hh"
#include "builder/steps/agent_forward.hh"
#include "builder/sys/fd.hh"
#include "oci-spec/runtime_config.hh"

namespace kiln {

class PlacedMounts {
 public:
  // `root`: descriptor of the root filesystem, borrowed. `journal`: a directory where what was put
  // down is noted, for recover_placed_mounts().
  PlacedMounts(int root, int journal) : root_(root), journal_(journal) {}
  ~PlacedMounts() { undo(); }
  PlacedMounts(const PlacedMounts&) = delete;
  PlacedMounts& operator=(const PlacedMounts&) = delete;

  // A writable directory is moved in and out again (between filesystems copied both ways), anything
  // else becomes a copy, a tmpfs an empty directory. proc, sysfs, devpts and their like have no
  // substitute and are left out. In the place of a socket stands one that leads to it, with its
  // owner and mode.
  void add(const oci::Mount& mount);
  // The nodes that programs count on, where /dev lacks them and they can be made.
  void add_devices();
  // Everything back, the last first. What the command itself removed or replaced stays as it is.
  // Copies of files are overwritten, under whatever name the command left them.
  void undo() noexcept;
  // After undo(): copies that still have other names, which the command gave them.
  const std::set<FileId>& left_files() const { return left_files_; }

 private:
  struct Placed {
    Fd parent;
    std::string name;
    std::string hidden;     // name of what stood there; empty: nothing
    int hidden_in = -1;     // the directory that it is in: the journal's, else the parent
    std::string moved_to;   // where a moved directory came from; empty: a copy
    std::string copied_to;  // where a directory is copied back to; empty: nowhere
    Fd file;                // a copy of a file
    std::unique_ptr<AgentForward> agent;
    struct stat before {
    }, after{};
  };
  Placed make_room(const std::string& destination);
  void settle(Placed placed);
  void place_file(const oci::Mount& mount, int source, const struct stat& status);
  void place_socket(const oci::Mount& mount);
  void place_directory(const oci::Mount& mount, int source, bool writable);
  void note(std::string_view kind, const std::string& a, const std::string& b);
  void remove(Placed& placed);

  int root_, journal_;
  std::set<FileId> left_files_;
  std::vector<Placed> placed_;
};

// After a process that could not undo(): moves back the directories that the journal names, and
// overwrites and removes the files. Returns those that are no longer where they were put down: the
// command may have moved them.
std::set<FileId> recover_placed_mounts(int journal);

}  // namespace kiln
