// Owns: the files by which running commands, bundles and volumes keep blobs and snapshots from
// being collected, and the lock under which collection looks at them. Does not own: collection
// itself.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "builder/sys/fd.hh"

namespace kiln {

// The lock between those who hold things (shared, for the moment of holding) and collection
// (exclusive, while it decides and renames). Blocks until it has it.
class CollectLock {
 public:
  enum class Mode { shared, exclusive };
  CollectLock(int kiln_directory, Mode mode);

 private:
  Fd file_;
};

// A process's lease: a file that it keeps locked. What is held is one line each. It ends with the
// object, or with the process however that ends.
class Lease {
 public:
  // `purpose` is one word for messages ("build", "import").
  Lease(int kiln_directory, std::string_view purpose);
  ~Lease();
  Lease(Lease&&) noexcept;
  Lease& operator=(Lease&&) = delete;

  // `thing` is a blob's digest or "snapshot:KEY". Call under a shared CollectLock taken before the
  // thing was seen to exist.
  void hold(std::string_view thing);

 private:
  Fd directory_;
  Fd file_;
  std::string name_;
  std::set<std::string, std::less<>> held_;
};

// A lease without a process: of a bundle, whose mounts live as long as the boot, or until its
// directory is removed. Kept as leases/NAME.
struct BundleLease {
  std::string name;       // random, also written into the bundle
  std::string directory;  // of the bundle, absolute
  std::string image;      // the name it was made from
  std::string container;  // the container's name, when known
  std::vector<std::string> held;
  std::string boot;    // boot id under which the mounts were made; empty: survives a boot
  int64_t pid = 0;     // its owner; 0: alive until it is removed
  uint64_t start = 0;  // the owner's start time in clock ticks, /proc/PID/stat field 22
};

void write_bundle_lease(int kiln_directory, const BundleLease& lease);
void remove_bundle_lease(int kiln_directory, const std::string& name);
// Those that still count: same boot, directory there and still naming the lease.
std::vector<BundleLease> bundle_leases(int kiln_directory);

// Everything held by live leases. Removes the files of dead ones. Call under an exclusive
// CollectLock.
std::set<std::string, std::less<>> held_things(int kiln_directory);

// /proc/sys/kernel/random/boot_id.
std::string boot_id();
// Start time of a process in clock ticks after boot, 0 when it is gone or has ended.
uint64_t process_start(int64_t pid);

}  // namespace kiln
