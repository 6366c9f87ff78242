#include "runtime/security/sealed_self.hh"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/security/clone_in_namespaces.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/fd.hh"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U  // since 6.3
#endif

namespace vessel {

namespace {

constexpr const char* own_executable = "/proc/self/exe";
// Set for the re-executed process only, so that a copy that is not recognised as protected is an
// error and not an endless loop. Trusted for nothing else: a caller that sets it gets an error.
constexpr std::string_view marker = "_VESSEL_REEXECUTED";
constexpr int all_seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
constexpr mode_t private_mode = 0500;

// ---- recognising the copy -----------------------------------------------------------------------

// Says which kind of protected copy this process executes, from the executable's own properties,
// which no argument or variable can pretend. AT_EXECFN spares ordinary starts the look: the kernel
// makes it "/dev/fd/N" for an execve of a descriptor.
std::optional<SelfProtection> protected_copy() {
  const char* name = reinterpret_cast<const char*>(getauxval(AT_EXECFN));
  if (name == nullptr || !std::string_view(name).starts_with("/dev/fd/")) return std::nullopt;

  struct statx stx = {};
  if (statx(AT_FDCWD, own_executable, 0, STATX_MODE | STATX_NLINK | STATX_UID, &stx) != 0)
    throw SysError("statx /proc/self/exe");
  if (stx.stx_nlink == 0) {
    Fd self(open(own_executable, O_RDONLY | O_CLOEXEC));
    if (!self) throw SysError("open /proc/self/exe");
    int seals = fcntl(self.get(), F_GET_SEALS);
    if (seals >= 0 && (seals & all_seals) == all_seals) return SelfProtection::sealed_memfd;
    if (stx.stx_mode == (S_IFREG | private_mode) && stx.stx_uid == geteuid())
      return SelfProtection::private_file;
  }

  // A file of a mount that is read-only, has the file itself as its root, and hangs nowhere: the
  // path of a detached mount's root is "/". A read-only bind mount of the host has a path.
  if ((stx.stx_attributes & STATX_ATTR_MOUNT_ROOT) == 0) return std::nullopt;
  struct statfs fs = {};
  if (statfs(own_executable, &fs) != 0) throw SysError("statfs /proc/self/exe");
  if ((fs.f_flags & ST_RDONLY) == 0) return std::nullopt;
  char path[8];
  ssize_t length = readlink(own_executable, path, sizeof path);
  if (length == 1 && path[0] == '/') return SelfProtection::read_only_clone;
  return std::nullopt;
}

// ---- making it ----------------------------------------------------------------------------------

Fd read_only_clone() {
  Fd tree(open_tree(AT_FDCWD, own_executable, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!tree) throw SysError("open_tree");
  mount_attr attributes = {};
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  if (mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0)
    throw SysError("mount_setattr");
  return tree;
}

Fd read_only_clone_in_namespaces() {
  Fd tree(static_cast<int>(
      clone_self_in_namespaces([](long number, long a, long b, long c, long d, long e) {
        const long result = syscall(number, a, b, c, d, e);
        return result == -1 ? -errno : result;
      })));
  if (!tree) throw Error("not possible here");
  return tree;
}

void copy_self_to(int target) {
  Fd source(open(own_executable, O_RDONLY | O_CLOEXEC));
  if (!source) throw SysError("open /proc/self/exe");
  struct stat st = {};
  if (fstat(source.get(), &st) != 0) throw SysError("stat /proc/self/exe");
  for (off_t left = st.st_size; left > 0;) {
    ssize_t n = sendfile(target, source.get(), nullptr, static_cast<size_t>(left));
    if (n < 0) {
      if (errno == EINTR) continue;
      throw SysError("copy of /proc/self/exe");
    }
    if (n == 0) throw Error("copy of /proc/self/exe: the file became shorter");
    left -= n;
  }
}

Fd sealed_memfd() {
  // Kernels before 6.3 refuse the flag and have no other kind than the executable one.
  Fd fd(memfd_create("vessel", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC));
  if (!fd && errno == EINVAL) fd.reset(memfd_create("vessel", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) throw SysError("memfd_create");
  copy_self_to(fd.get());
  if (fcntl(fd.get(), F_ADD_SEALS, all_seals) != 0) throw SysError("seal");
  return fd;
}

Fd private_file(const char* directory) {
  struct statfs fs = {};
  if (statfs(directory, &fs) != 0) throw SysError(directory);
  if (fs.f_flags & ST_NOEXEC) throw Error(std::string(directory) + ": mounted noexec");
  // O_EXCL: it can never be given a name.
  Fd writer(open(directory, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, private_mode));
  if (!writer) throw SysError(directory);
  if (fchmod(writer.get(), private_mode) != 0) throw SysError(directory);
  copy_self_to(writer.get());
  // A file that is open for writing cannot be executed.
  std::string path = "/proc/self/fd/" + std::to_string(writer.get());
  Fd reader(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!reader) throw SysError(directory);
  return reader;
}

[[noreturn]] void execute(const Fd& copy, char** argv, char** envp) {
  std::vector<char*> environment;
  while (*envp != nullptr) environment.push_back(*envp++);
  std::string mark = std::string(marker) + "=1";
  environment.push_back(mark.data());
  environment.push_back(nullptr);
  // The copy's descriptor is close-on-exec: afterwards only the running image refers to it. This
  // is what keeps the read-only flag out of reach.
  syscall(SYS_execveat, copy.get(), "", argv, environment.data(), AT_EMPTY_PATH);
  throw SysError("execveat");
}

// Tries one kind; comes back only if it failed, with the reason appended.
template <typename Make>
void attempt(const char* what, char** argv, char** envp, std::string& reasons, Make make) {
  try {
    execute(make(), argv, envp);
  } catch (const Error& e) {
    reasons += std::string("; ") + what + ": " + e.message();
  }
}

}  // namespace

SelfProtection ensure_protected_self(char** argv, char** envp) {
  return ensure_protected_self(argv, envp, SelfProtection::read_only_clone);
}

SelfProtection ensure_protected_self(char** argv, char** envp, SelfProtection first) {
  auto current = protected_copy();
  const char* marked = getenv(marker.data());
  if (current) {
    // Before 6.14 the name of a process that executes a descriptor is the descriptor's number.
    prctl(PR_SET_NAME, "vessel");
    if (marked != nullptr) unsetenv(marker.data());
    return *current;
  }
  if (marked != nullptr)
    throw Error(
        "cannot protect vessel's own executable from containers: "
        "the copy that it executes is not protected");

  std::string reasons;
  if (first <= SelfProtection::read_only_clone) {
    attempt("read-only clone", argv, envp, reasons, read_only_clone);
    attempt("read-only clone in namespaces", argv, envp, reasons, read_only_clone_in_namespaces);
  }
  if (first <= SelfProtection::sealed_memfd)
    attempt("sealed memfd", argv, envp, reasons, sealed_memfd);
  for (const char* directory : {"/run", "/dev/shm", "/tmp", "/var/tmp"})
    attempt("private file", argv, envp, reasons, [&] { return private_file(directory); });
  throw Error("cannot protect vessel's own executable from containers" + reasons);
}

const char* name_of(SelfProtection protection) {
  switch (protection) {
    case SelfProtection::read_only_clone:
      return "read-only clone";
    case SelfProtection::sealed_memfd:
      return "sealed memfd";
    case SelfProtection::private_file:
      return "private file";
  }
  return "";
}

}  // namespace vessel
