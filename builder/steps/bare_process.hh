// Owns: a bundle's process where there is no runtime: in a changed root or in the root that we are
// in, with neither namespaces nor mounts, and the end of all that it leaves behind. Does not own:
// what stands in the root meanwhile (placed_mounts.hh).
#pragma once

#include <string>

#include "oci-spec/runtime_config.hh"

namespace kiln {

struct BareProcess {
  const oci::Config& config;
  int root = -1;           // directory to change the root to; -1: stays where it is
  std::string pid_file;    // written once the program runs; "": none
  int out = -1, err = -1;  // its standard output and error; -1: ours
  // A descriptor: when it becomes readable or is hung up, the process is killed. -1: none.
  int stop = -1;
};

// Makes this process the reaper of its descendants, runs the process to its end, and kills what is
// left of all descendants. SIGTERM, SIGINT and SIGHUP end it early. Returns its exit status, or
// 128 + signal; throws Error when the program could not be started. For processes without
// other children, whose other threads take no signals.
int run_bare_process(const BareProcess& process);

// As runtimes do: what is missing of a working directory is made, inside `root`.
void make_working_directory(int root, const std::string& path);

}  // namespace kiln
