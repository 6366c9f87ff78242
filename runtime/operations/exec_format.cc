#include "runtime/operations/exec_format.hh"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include "runtime/sys/fd.hh"
#include "runtime/sys/resolve.hh"

namespace vessel {

namespace {

// Names of GOARCH, as images have them.
std::string_view architecture(const Elf64_Ehdr& header) {
  const bool little = header.e_ident[EI_DATA] == ELFDATA2LSB;
  const bool wide = header.e_ident[EI_CLASS] == ELFCLASS64;
  const auto machine = little ? header.e_machine : __builtin_bswap16(header.e_machine);
  switch (machine) {
    case EM_X86_64:
      return "amd64";
    case EM_386:
      return "386";
    case EM_AARCH64:
      return "arm64";
    case EM_ARM:
      return "arm";
    case EM_RISCV:
      return wide ? "riscv64" : "riscv";
    case EM_S390:
      return "s390x";
    case EM_PPC64:
      return little ? "ppc64le" : "ppc64";
    case EM_MIPS:
      return wide ? (little ? "mips64le" : "mips64") : (little ? "mipsle" : "mips");
    case 258:  // EM_LOONGARCH, which libc 2.35 does not name
      return "loong64";
    default:
      return {};
  }
}

std::string_view own_architecture() {
#if defined(__x86_64__)
  return "amd64";
#elif defined(__aarch64__)
  return "arm64";
#elif defined(__riscv)
  return "riscv64";
#elif defined(__powerpc64__)
  return "ppc64le";
#elif defined(__s390x__)
  return "s390x";
#else
  return {};
#endif
}

std::string explain(std::string_view head) {
  if (head.empty()) return "; the file is empty";
  if (head.starts_with("#!"))
    return "; its first line names no interpreter that can be executed here";
  if (!head.starts_with(ELFMAG) || head.size() < offsetof(Elf64_Ehdr, e_version))
    return "; it is neither a program nor a script that begins with #!";
  Elf64_Ehdr header{};
  std::memcpy(&header, head.data(), std::min(head.size(), sizeof header));
  const std::string_view its = architecture(header), ours = own_architecture();
  if (its.empty() || ours.empty() || its == ours)
    return "; it is no executable that this machine can run";
  return "; it is built for linux/" + std::string(its) + ", this machine is linux/" +
         std::string(ours);
}

}  // namespace

std::string why_not_executable(const std::string& rootfs, std::string_view failure) noexcept {
  try {
    constexpr std::string_view before = "exec /", behind = ": exec format error";
    const size_t end = failure.rfind(behind);
    const size_t begin = end == failure.npos ? end : failure.rfind(before, end);
    if (begin == failure.npos) return {};
    const std::string_view path =
        failure.substr(begin + before.size() - 1, end - begin - before.size() + 1);
    const Fd root(::open(rootfs.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root) return {};
    const Fd file = try_resolve_in_root(root.get(), path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    struct stat st {};
    if (!file || ::fstat(file.get(), &st) != 0 || !S_ISREG(st.st_mode)) return {};
    std::array<char, sizeof(Elf64_Ehdr)> head{};
    const ssize_t size = ::read(file.get(), head.data(), head.size());
    return size < 0 ? std::string() : explain({head.data(), static_cast<size_t>(size)});
  } catch (const std::exception&) {
    return {};
  }
}

}  // namespace vessel
