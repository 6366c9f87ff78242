// Owns: a throw-away container made of namespaces and runtime/rootfs alone, to try one plan in.
// Does not own: the cases (the other files here).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runtime/plan/plan.hh"
#include "runtime/rootfs/rootfs.hh"

namespace rootfs_test {

// Says what is wrong; "" when nothing is.
using Verdict = std::string;

struct Container {
  Container();
  ~Container();
  Container(const Container&) = delete;
  Container& operator=(const Container&) = delete;

  std::string at(const std::string& path) const { return base + "/" + path; }
  void directory(const std::string& path, mode_t mode = 0755) const;
  void file(const std::string& path, const std::string& content = "") const;
  void link(const std::string& target, const std::string& path) const;
  void hard_link(const std::string& existing, const std::string& path) const;
  void owner(const std::string& path, uid_t uid, gid_t gid) const;
  bool exists(const std::string& path) const;

  vessel::MountStep& mount(const std::string& destination, vessel::FilesystemMount what);
  vessel::MountStep& bind(const std::string& source, const std::string& destination,
                          bool recursive = false);
  // proc, a tmpfs on /dev, devpts, the default devices and links.
  void usual();

  // Runs the whole set-up in a child and `check` inside, after finish(). The exception's text or
  // what `check` says. `before` runs first in the child (filters).
  Verdict run(const std::function<Verdict()>& check);
  std::function<void()> before = [] {};
  std::function<void(vessel::RootfsSetup&)> before_switch = [](vessel::RootfsSetup&) {};
  // In place of all of it: only prepare() and mounts().
  bool only_mounts = false;

  std::string base;  // on the host; "root" below it is the container's root
  vessel::Plan plan;
  int namespaces;  // CLONE_NEW*
  vessel::CgroupLayout layout = vessel::CgroupLayout::v1;
};

// The options of the mount at `path` as statvfs(3) reports them: "ro,nosuid,nodev,noexec".
std::string options_of(const std::string& path);
long filesystem_of(const std::string& path);
// Line of /proc/self/mountinfo whose mount point is `path` (the last one), or "".
std::string mountinfo_of(const std::string& path);
int mountinfo_lines();
std::string read_text(const std::string& path);
// "" if `writes` succeeds, else errno's name as text.
std::string write_text(const std::string& path);
// Makes system call `number` fail with `error` from here on.
void refuse_call(long number, int error);

#define EXPECT(condition)                                            \
  do {                                                               \
    if (!(condition)) return std::string(#condition) + " is not so"; \
  } while (false)
#define EXPECT_EQ(actual, wanted)                                                                \
  do {                                                                                           \
    if (const auto& value_ = (actual); value_ != (wanted))                                       \
      return std::string(#actual) + " is \"" + ::rootfs_test::text(value_) + "\", not " #wanted; \
  } while (false)

inline std::string text(const std::string& value) {
  return value;
}
inline std::string text(const char* value) {
  return value;
}
template <class Number>
std::string text(Number value) {
  return std::to_string(value);
}

struct Case {
  const char* name;
  std::function<Verdict()> run;
};
std::vector<Case> mount_cases();
std::vector<Case> attack_cases();
std::vector<Case> root_cases();

}  // namespace rootfs_test
