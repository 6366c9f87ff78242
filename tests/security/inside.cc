// Owns: looking around and poking inside a container, as its only program. Does not own: verdicts.
//
// inside caps | fds | cwd | id | status FIELD… | stat PATH… | read PATH… | write PATH TEXT |
// mkdir PATH | syscall NUMBER | mounts | wait FILE | sleep SECONDS. Several, separated by "--", run
// one after another. Each answers with one line for each thing asked; a failure is "PATH: error
// NAME".
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

using Args = std::vector<std::string>;

void failed(const std::string& path) {
  std::printf("%s: error %s\n", path.c_str(), strerrorname_np(errno));
}

std::string content(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return std::string("error ") + strerrorname_np(errno);
  char text[65536];
  const ssize_t n = read(fd, text, sizeof text);
  close(fd);
  return n < 0 ? std::string("error ") + strerrorname_np(errno)
               : std::string(text, static_cast<size_t>(n));
}

void print_status(const Args& fields) {
  const std::string status = content("/proc/self/status");
  for (const std::string& field : fields) {
    const size_t at = status.find("\n" + field + ":");
    if (at == std::string::npos) continue;
    const size_t end = status.find('\n', at + 1);
    std::printf("%s\n", status.substr(at + 1, end - at - 1).c_str());
  }
}

void print_descriptors() {
  DIR* dir = opendir("/proc/self/fd");
  if (dir == nullptr) return failed("/proc/self/fd");
  while (dirent* entry = readdir(dir)) {
    if (entry->d_name[0] == '.' || std::atoi(entry->d_name) == dirfd(dir)) continue;
    char target[4096];
    const ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof target);
    std::printf("fd %s %.*s\n", entry->d_name, static_cast<int>(n < 0 ? 0 : n), target);
  }
  closedir(dir);
}

void print_stat(const std::string& path) {
  struct stat st = {};
  if (lstat(path.c_str(), &st) != 0) return failed(path);
  const char kind = S_ISCHR(st.st_mode)   ? 'c'
                    : S_ISBLK(st.st_mode) ? 'b'
                    : S_ISDIR(st.st_mode) ? 'd'
                    : S_ISLNK(st.st_mode) ? 'l'
                                          : 'f';
  std::printf("%s: %c %u:%u %o %u:%u\n", path.c_str(), kind, major(st.st_rdev), minor(st.st_rdev),
              st.st_mode & 07777, st.st_uid, st.st_gid);
}

void write_file(const std::string& path, const std::string& text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC | O_CREAT, 0644);
  if (fd < 0) return failed(path);
  if (write(fd, text.data(), text.size()) < 0)
    failed(path);
  else
    std::printf("%s: written\n", path.c_str());
  close(fd);
}

void pause_ms(long ms) {
  const timespec t = {ms / 1000, ms % 1000 * 1'000'000};
  nanosleep(&t, nullptr);
}

int run(const Args& args) {
  const std::string& verb = args.at(0);
  const Args rest(args.begin() + 1, args.end());
  if (verb == "caps") {
    print_status({"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"});
  } else if (verb == "status") {
    print_status(rest);
  } else if (verb == "fds") {
    print_descriptors();
  } else if (verb == "cwd") {
    char path[4096];
    std::printf("cwd %s\n", getcwd(path, sizeof path) != nullptr ? path : strerrorname_np(errno));
  } else if (verb == "id") {
    std::printf("uid %u gid %u\n", geteuid(), getegid());
  } else if (verb == "stat") {
    for (const auto& path : rest) print_stat(path);
  } else if (verb == "read") {
    for (const auto& path : rest) std::printf("%s: %s\n", path.c_str(), content(path).c_str());
  } else if (verb == "write") {
    write_file(rest.at(0), rest.at(1));
  } else if (verb == "mkdir") {
    if (mkdir(rest.at(0).c_str(), 0755) != 0)
      failed(rest[0]);
    else
      std::printf("%s: made\n", rest[0].c_str());
  } else if (verb == "syscall") {
    const long result = syscall(std::atol(rest.at(0).c_str()), -1L, -1L, -1L, -1L, -1L, -1L);
    std::printf("syscall %s: %s\n", rest[0].c_str(), result < 0 ? strerrorname_np(errno) : "done");
  } else if (verb == "mounts") {
    std::printf("%s", content("/proc/self/mountinfo").c_str());
  } else if (verb == "wait") {
    for (int i = 0; i < 3000 && access(rest.at(0).c_str(), F_OK) != 0; ++i) pause_ms(10);
  } else if (verb == "sleep") {
    pause_ms(std::atol(rest.at(0).c_str()) * 1000);
  } else {
    return 2;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Args current;
  int result = argc < 2 ? 2 : 0;
  for (int i = 1; i <= argc; ++i) {
    if (i < argc && std::strcmp(argv[i], "--") != 0) {
      current.emplace_back(argv[i]);
      continue;
    }
    if (!current.empty()) result |= run(current);
    std::fflush(stdout);
    current.clear();
  }
  return result;
}
