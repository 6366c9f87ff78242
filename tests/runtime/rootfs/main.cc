// Tries runtime/rootfs in throw-away namespaces and prints TAP. An argument picks the cases whose
// names contain it.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "runtime/sys/error.hh"
#include "tests/runtime/rootfs/container.hh"

namespace {

void must(int result, const char* what) {
  if (result < 0) throw vessel::SysError(what);
}

// A defence that is missing must show as a failed case, not as a machine without /dev/null: the
// cases run in a mount namespace in which only /tmp can be written and /dev is a copy.
void shield_the_host() {
  must(unshare(CLONE_NEWNS), "unshare");
  must(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "make the mounts private");
  must(mount("/tmp", "/tmp", nullptr, MS_BIND, nullptr), "bind /tmp");
  const vessel::Fd pts(open_tree(AT_FDCWD, "/dev/pts", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  must(pts.get(), "open_tree /dev/pts");
  must(mount("tmpfs", "/dev", "tmpfs", 0, "mode=755"), "mount a /dev");
  umask(0);
  const std::pair<const char*, dev_t> nodes[] = {
      {"/dev/null", makedev(1, 3)},   {"/dev/zero", makedev(1, 5)},    {"/dev/full", makedev(1, 7)},
      {"/dev/random", makedev(1, 8)}, {"/dev/urandom", makedev(1, 9)}, {"/dev/tty", makedev(5, 0)},
      {"/dev/ptmx", makedev(5, 2)},
  };
  for (const auto& [path, number] : nodes) must(mknod(path, S_IFCHR | 0666, number), path);
  must(mkdir("/dev/pts", 0755), "mkdir /dev/pts");
  must(mkdir("/dev/mqueue", 0755), "mkdir /dev/mqueue");
  must(move_mount(pts.get(), "", AT_FDCWD, "/dev/pts", MOVE_MOUNT_F_EMPTY_PATH),
       "move_mount /dev/pts");
  must(mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr), "remount / ro");
  umask(022);
}

}  // namespace

int main(int argc, char** argv) {
  if (geteuid() != 0) {
    std::puts("1..0 # SKIP no root");
    return 0;
  }
  shield_the_host();
  std::vector<rootfs_test::Case> cases = rootfs_test::mount_cases();
  for (auto more : {rootfs_test::attack_cases, rootfs_test::root_cases})
    for (rootfs_test::Case& one : more()) cases.push_back(std::move(one));
  int number = 0, failed = 0;
  for (const rootfs_test::Case& one : cases) {
    if (argc > 1 && !std::strstr(one.name, argv[1])) continue;
    std::fflush(stdout);
    const rootfs_test::Verdict verdict = one.run();
    std::printf("%sok %d - %s\n", verdict.empty() ? "" : "not ", ++number, one.name);
    if (!verdict.empty()) std::printf("# %s\n", verdict.c_str());
    failed += verdict.empty() ? 0 : 1;
  }
  std::printf("1..%d\n", number);
  return failed == 0 ? 0 : 1;
}
