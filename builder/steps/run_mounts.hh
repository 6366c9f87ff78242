// Owns: what each kind of RUN --mount is on the host while the step runs: cache directories and
// their locks, secrets, agent sockets, tmpfs, throw-away copies for writable binds.
// Does not own: which tree a bind reads from (the caller opens it), or the bundle.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "builder/dockerfile/mount.hh"
#include "builder/steps/agent_forward.hh"
#include "builder/steps/run_step.hh"
#include "builder/sys/fd.hh"

namespace kiln {

// Where `--secret id=…` finds its value: exactly one is set.
struct SecretSource {
  std::string file;
  std::string variable;
};

struct MountSources {
  std::map<std::string, SecretSource> secrets;     // by id
  std::map<std::string, std::string> ssh_sockets;  // by id: path of the agent's socket
};

// Of a process that was killed: overwrites what steps below its work directory (a descriptor) had
// as secrets, in files or in the environment of their bundles.
void overwrite_left_secrets(int work_directory);

// The mounts of one step. Files and directories of its own live in `directory` (0700, of this step
// only); everything there goes with the object.
class RunMounts {
 public:
  // `cache_root`: where cache directories live, named by the digest of their id (so that an id is
  // never a path, CVE-2024-11218).
  RunMounts(const std::string& parent_directory, const std::string& cache_root);
  ~RunMounts();
  RunMounts(const RunMounts&) = delete;
  RunMounts& operator=(const RunMounts&) = delete;

  // `source`: host path of a directory or file, already resolved inside its tree.
  void add_bind(const std::string& target, const std::string& source, bool directory,
                bool read_only);
  // Something of a directory that others may change meanwhile (the build context), read-only with
  // whatever is mounted below it. `source` stays what it is: it gets a name of this step's own, and
  // no path of theirs is looked up again by the runtime. False where the kernel cannot
  // (before 5.12) or may not.
  bool try_add_held_bind(const std::string& target, int source, bool directory);
  // Takes the locks of all caches of the step, waiting where one is `locked` elsewhere (`cancel`
  // ends the wait): in one order for all steps, so that no two wait for each other, and once for a
  // cache that the step mounts twice. Before the first add_cache(). `moved`: caches are moved into
  // the step's root, where only one step has them.
  void lock_caches(std::span<const dockerfile::Mount> mounts, const std::string& working_dir,
                   bool moved, const Cancellation& cancel);
  // Returns the descriptor of the cache's directory, and in `fresh` whether it was just made (to be
  // filled from `from`).
  int add_cache(const dockerfile::Mount& mount, const std::string& target, bool& fresh);
  void add_tmpfs(const dockerfile::Mount& mount, const std::string& target);
  // As a file and/or a variable. Throws Error when required and not given.
  void add_secret(const dockerfile::Mount& mount, const std::string& working_dir,
                  const MountSources& sources);
  // A socket of its own with owner and mode (0:0, 0600 by default), which leads to the agent's.
  void add_ssh(const dockerfile::Mount& mount, size_t number, const std::string& working_dir,
               const MountSources& sources);
  // A here-document that is a program.
  void add_script(const std::string& target, std::string_view content);
  // A directory below this step's own, for a writable throw-away copy.
  std::string scratch_directory();

  const std::vector<RunMount>& mounts() const { return mounts_; }
  const std::vector<std::string>& environment() const { return environment_; }
  // Whether environment() holds the value of a secret.
  bool secret_environment() const { return secret_environment_; }

 private:
  std::string write_private(int directory, std::string_view content, uint32_t mode, uint32_t uid,
                            uint32_t gid);
  int secret_directory();

  Fd parent_;
  std::string name_;
  Fd directory_;
  std::string path_;
  std::string cache_root_;
  std::vector<Fd> locks_;
  std::map<std::string, std::string> cache_names_;  // digest of the id → directory
  Fd secrets_;
  bool secrets_on_tmpfs_ = false;
  std::vector<std::string> secret_files_;
  std::vector<std::unique_ptr<AgentForward>> agents_;
  std::vector<std::string> attached_;  // paths of mounts to be taken away
  std::vector<RunMount> mounts_;
  std::vector<std::string> environment_;
  bool secret_environment_ = false;
};

}  // namespace kiln
