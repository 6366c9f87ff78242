#include "runtime/sys/resolve.hh"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <functional>

#include "runtime/sys/error.hh"

namespace {

using vessel::Fd;
using vessel::Symlinks;

class Tree {
 public:
  Tree() {
    char name[] = "/tmp/vessel-resolve-XXXXXX";
    base_ = mkdtemp(name);
    mkdir(at("root").c_str(), 0755);
    mkdir(at("root/etc").c_str(), 0755);
    mkdir(at("outside").c_str(), 0755);
    Fd(open(at("root/etc/passwd").c_str(), O_CREAT | O_WRONLY, 0644));
    Fd(open(at("outside/secret").c_str(), O_CREAT | O_WRONLY, 0644));
    link_to("/etc", "absolute");
    link_to("../../../../../../..", "up");
    link_to("loop2", "loop1");
    link_to("loop1", "loop2");
    link_to("missing/below", "dangling");
    root = Fd(open(at("root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  ~Tree() { std::filesystem::remove_all(base_); }
  std::string at(const std::string& path) const { return base_ + "/" + path; }
  void link_to(const std::string& target, const std::string& name) const {
    CHECK(symlink(target.c_str(), at("root/" + name).c_str()) == 0);
  }
  bool same(const Fd& fd, const std::string& path) const {
    struct stat a {
    }, b{};
    return fstat(fd.get(), &a) == 0 && stat(at(path).c_str(), &b) == 0 && a.st_ino == b.st_ino &&
           a.st_dev == b.st_dev;
  }
  Fd root;

 private:
  std::string base_;
};

void expect_everything_inside() {
  const Tree tree;
  const int root = tree.root.get();
  const auto resolve = [&](const char* path, int flags = O_PATH,
                           Symlinks links = Symlinks::follow) {
    return vessel::try_resolve_in_root(root, path, flags, 0, links);
  };
  CHECK(tree.same(resolve("/etc/passwd"), "root/etc/passwd"));
  CHECK(tree.same(resolve("etc/./../etc//passwd"), "root/etc/passwd"));
  CHECK(tree.same(resolve("absolute/passwd"), "root/etc/passwd"));
  CHECK(tree.same(resolve("/"), "root"));
  CHECK(tree.same(resolve(""), "root"));
  CHECK(tree.same(resolve("../.."), "root"));
  CHECK(tree.same(resolve("up"), "root"));
  CHECK(tree.same(resolve("up/etc/passwd", O_RDONLY), "root/etc/passwd"));
  CHECK(tree.same(resolve("etc", O_RDONLY | O_DIRECTORY), "root/etc"));
  CHECK((!resolve("up/outside/secret") && errno == ENOENT));
  CHECK((!resolve("loop1") && errno == ELOOP));
  CHECK((!resolve("dangling") && errno == ENOENT));
  CHECK((!resolve("etc/passwd/x") && errno == ENOTDIR));
  CHECK((!resolve("etc/passwd", O_PATH | O_DIRECTORY) && errno == ENOTDIR));
  CHECK((!resolve("absolute/passwd", O_PATH, Symlinks::refuse) && errno == ELOOP));
  CHECK((!resolve("absolute", O_PATH, Symlinks::refuse) && errno == ELOOP));
  CHECK(tree.same(resolve("etc/passwd", O_PATH, Symlinks::refuse), "root/etc/passwd"));
  struct stat status {};
  const Fd link = resolve("absolute", O_PATH | O_NOFOLLOW);
  CHECK((fstat(link.get(), &status) == 0 && S_ISLNK(status.st_mode)));

  const mode_t before = umask(0);
  const Fd made = vessel::resolve_in_root(root, "/etc/new", O_CREAT | O_EXCL | O_WRONLY, 0640);
  CHECK((fstat(made.get(), &status) == 0 && (status.st_mode & 07777) == 0640));
  // Through a dangling link: what is missing is made where the link points, inside.
  CHECK(tree.same(vessel::make_directory_in_root(root, "/dangling/deeper", 0750),
                  "root/missing/below/deeper"));
  CHECK((stat(tree.at("root/missing/below").c_str(), &status) == 0 &&
         (status.st_mode & 07777) == 0750));
  CHECK(tree.same(vessel::make_file_in_root(root, "/up/up/a/b/file", 0600), "root/a/b/file"));
  CHECK((stat(tree.at("root/a/b/file").c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         (status.st_mode & 07777) == 0600));
  // The usual case at once; whatever is unusual is left to the ones above.
  CHECK(tree.same(vessel::try_make_file_in_root(root, "/etc/at-once", 0640), "root/etc/at-once"));
  CHECK((stat(tree.at("root/etc/at-once").c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         (status.st_mode & 07777) == 0640));
  CHECK((!vessel::try_make_file_in_root(root, "/etc/at-once") && errno == EEXIST));
  CHECK(!vessel::try_make_file_in_root(root, "/absolute/through-a-link"));
  CHECK(!vessel::try_make_file_in_root(root, "/dangling"));
  CHECK((!vessel::try_make_file_in_root(root, "/nowhere/file") && errno == ENOENT));
  CHECK(tree.same(vessel::try_make_directory_in_root(root, "/etc/dir/", 0750), "root/etc/dir"));
  CHECK((stat(tree.at("root/etc/dir").c_str(), &status) == 0 && S_ISDIR(status.st_mode) &&
         (status.st_mode & 07777) == 0750));
  CHECK(tree.same(vessel::try_make_directory_in_root(root, "top", 0755), "root/top"));
  CHECK(!vessel::try_make_directory_in_root(root, "/absolute/linked"));
  CHECK(!vessel::try_make_directory_in_root(root, "/dangling"));
  CHECK((!vessel::try_make_directory_in_root(root, "/etc/..") && errno == EINVAL));
  CHECK((!vessel::try_make_directory_in_root(root, "/etc/passwd") && errno == ENOTDIR));
  CHECK(stat(tree.at("root/missing/below/through-a-link").c_str(), &status) < 0);
  CHECK(stat(tree.at("root/etc/linked").c_str(), &status) < 0);
  umask(before);
  CHECK_THROWS_AS(vessel::make_directory_in_root(root, "etc/passwd"), vessel::SysError);
  CHECK_THROWS_AS(vessel::make_directory_in_root(root, "loop1/x"), vessel::SysError);
  const vessel::ParentInRoot parent = vessel::make_parent_in_root(root, "/absolute/hosts");
  CHECK(tree.same(parent.directory, "root/etc"));
  CHECK(parent.name == "hosts");
  CHECK_THROWS_AS(vessel::make_parent_in_root(root, "/etc/.."), vessel::Error);
  CHECK_THROWS_AS(vessel::make_parent_in_root(root, "/"), vessel::Error);
}

// In a child, because a filter cannot be taken off again.
int failed_checks_without_openat2(int error) {
  const pid_t child = fork();
  if (child == 0) {
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    sock_fprog filter{4, program};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0) _exit(99);
    doctest::Context context;
    context.setOption("test-case", "resolve_in_root stays inside");
    context.setOption("minimal", true);
    _exit(context.run() == 0 ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

}  // namespace

TEST_CASE("resolve_in_root stays inside") {
  expect_everything_inside();
}

TEST_CASE("without openat2 the walk resolves the same") {
  CHECK(failed_checks_without_openat2(ENOSYS) == 0);
  CHECK(failed_checks_without_openat2(EPERM) == 0);
}
