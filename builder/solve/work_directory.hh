// Owns: the directory that one kiln process works in (bundles, secrets, downloads), and ending and
// removing what a killed one left behind.
// Does not own: what is put there.
#pragma once

#include <string>

#include "builder/steps/runtime_call.hh"
#include "builder/sys/fd.hh"

namespace kiln::solve {

// DIR/NAME, held by a lock for as long as the object lives. Everything in DIR that nobody holds is
// of a dead process: containers that are still running from bundles there are deleted by the
// runtime that started them, then the files go.
class WorkDirectory {
 public:
  // `directory` exists; `runtime_state` is the --root that build containers are started with.
  WorkDirectory(const std::string& directory, const std::string& runtime_state);
  ~WorkDirectory();
  WorkDirectory(const WorkDirectory&) = delete;
  WorkDirectory& operator=(const WorkDirectory&) = delete;

  const std::string& path() const { return path_; }
  // For bundles: in memory where this process may mount in a namespace of its own. A step makes and
  // removes a dozen small files, and ext4 passes over inodes freed lately one by one.
  const std::string& bundles() const { return bundles_; }
  // What the names of bundles, which are also those of their containers, begin with.
  std::string container_prefix() const;
  // Remembered for whoever has to clean up.
  void set_runtime(const RuntimeCall& runtime) const;

 private:
  Fd parent_;
  std::string name_, path_, bundles_;
  Fd own_;
  bool in_memory_ = false;
};

// What WorkDirectory does first, alone.
void remove_dead_work(const std::string& directory, const std::string& runtime_state);

// Where the runtime keeps the state of build containers (its --root): in memory, as runtimes copy
// the config.json of a container there, and that holds secrets where a step asks for them as
// variables. Of this user alone; `otherwise` on machines that have no such place.
std::string runtime_state_directory(const std::string& otherwise);

// Containers of builds are named by this, the name of the work directory, "-" and more.
inline constexpr std::string_view bundle_prefix = "kiln-";

}  // namespace kiln::solve
