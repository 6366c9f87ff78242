#include <algorithm>

#include "oci-spec/image.hh"

namespace oci {

namespace {

constexpr std::string_view host_architecture =
#if defined(__x86_64__)
    "amd64";
#elif defined(__aarch64__)
    "arm64";
#elif defined(__arm__)
    "arm";
#elif defined(__i386__)
    "386";
#elif defined(__riscv)
    "riscv64";
#elif defined(__powerpc64__)
    "ppc64le";
#elif defined(__s390x__)
    "s390x";
#else
    "";
#endif

// Go's names of what images are made for.
constexpr std::string_view known_os[] = {"linux",   "windows", "darwin",  "freebsd", "netbsd",
                                         "openbsd", "solaris", "illumos", "aix",     "plan9"};

bool is_word(std::string_view text) {
  return !text.empty() && text.size() <= 64 && text[0] != '.' && text[0] != '-' &&
         std::ranges::all_of(text, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
                  c == '.';
         });
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

// uname(1)'s and Debian's names, as containerd's platforms package maps them.
void normalize(Platform& p) {
  if (p.os == "macos") p.os = "darwin";
  std::string& a = p.architecture;
  if (a == "x86_64" || a == "x86-64") a = "amd64";
  if (a == "i386" || a == "i486" || a == "i586" || a == "i686") {
    a = "386";
    p.variant.clear();
  }
  if (a == "aarch64") a = "arm64";
  if (a == "armhf") {
    a = "arm";
    p.variant = "v7";
  }
  if (a == "armel") {
    a = "arm";
    p.variant = "v6";
  }
  if (a == "arm64" && (p.variant == "8" || p.variant == "v8")) p.variant.clear();
  if (a == "amd64" && p.variant == "v1") p.variant.clear();
  if (a == "arm") {
    if (p.variant.empty()) p.variant = "v7";
    if (p.variant.size() == 1 && p.variant[0] >= '5' && p.variant[0] <= '8')
      p.variant.insert(0, "v");
  }
}

}  // namespace

std::optional<Platform> parse_platform(std::string_view text) {
  std::vector<std::string> parts;
  for (std::string_view rest = text;;) {
    const size_t slash = rest.find('/');
    parts.push_back(lower(rest.substr(0, slash)));
    if (!is_word(parts.back()) || parts.size() > 3) return std::nullopt;
    if (slash == rest.npos) break;
    rest.remove_prefix(slash + 1);
  }
  Platform p;
  if (parts.size() == 1) {  // an operating system, or an architecture of Linux
    const bool os = std::ranges::find(known_os, parts[0]) != std::end(known_os);
    p.os = os ? parts[0] : "linux";
    p.architecture = os ? std::string(host_architecture) : parts[0];
  } else {
    p.os = parts[0];
    p.architecture = parts[1];
    if (parts.size() == 3) p.variant = parts[2];
  }
  normalize(p);
  return p;
}

std::string platform_text(const Platform& platform) {
  std::string text = platform.os + "/" + platform.architecture;
  if (!platform.variant.empty()) text += "/" + platform.variant;
  return text;
}

}  // namespace oci
