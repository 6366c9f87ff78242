// Owns: a container's groups in the resctrl file system (Intel RDT, AMD QoS): made, entered, given
// schemata, measured, removed. Does not own: which group it is and what limits it has (plan/).
// Sources: config-linux.md "IntelRdt"; the kernel's Documentation/filesystems/resctrl.rst.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "runtime/cgroup/stats.hh"
#include "runtime/plan/plan.hh"
#include "runtime/sys/fd.hh"

namespace vessel {

// What the state file keeps of it.
struct ResctrlRecord {
  std::string group;      // below the mount; empty is the root
  std::string mon_group;  // below its mon_groups, made by us; empty for none
  bool made = false;      // the group was not there before
  bool named = false;     // by closID: it stays when the container is deleted
  bool operator==(const ResctrlRecord&) const = default;
};

class Resctrl {
 public:
  // The mounted one. Throws Error when there is none.
  static Resctrl open();
  explicit Resctrl(Fd root) : root_(std::move(root)) {}

  // What make() is going to make, so that it can be on record before it exists. From here on until
  // make() returns or throws, others who keep to the file system's lock wait. Throws Error when a
  // group that has to be there is missing, when the schemata of one that is there do not match, or
  // when the monitoring group exists (it would not be the container's alone).
  ResctrlRecord claim(const IntelRdtPlan& plan);
  void make(const IntelRdtPlan& plan, const ResctrlRecord& record);

  // Moves one task, and so what it clones from now on.
  void enter(const ResctrlRecord& record, pid_t pid) const;
  // Each line by one write, in order. Throws SysError with what the kernel says of it.
  void write_schemata(const ResctrlRecord& record, const std::vector<std::string>& lines) const;
  // What is missing on this host stays empty.
  IntelRdtStats stats(const ResctrlRecord& record) const;

  // Gone is no error. `failed`: creating the container did not work out, so a group that was made
  // for a closID goes too, unless others have moved in.
  void remove(const ResctrlRecord& record, bool failed) const;

 private:
  Fd root_;
};

// Does each domain that `line` names ("L3:0=ff;1=f") have that value in the text of a schemata
// file? Numbers are compared, not their spelling: bit masks are hexadecimal, bandwidths decimal
// and, as the kernel does, rounded up to a multiple of `granularity` (0: not rounded).
bool schemata_match(std::string_view line, std::string_view file, uint64_t granularity);

}  // namespace vessel
