#include "runtime/security/keyring.hh"

#include <linux/keyctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string_view>

#include "runtime/sys/error.hh"

namespace vessel {

namespace {

// Permission bits of a key, <linux/key.h> of the kernel.
constexpr uint32_t owner_search = 0x0008'0000;
constexpr uint32_t other_search = 0x0000'0008;

// keyctl(2) KEYCTL_DESCRIBE: "type;uid;gid;permissions;description", the permissions in hex.
uint32_t permissions_of(long key) {
  char text[512];
  const long length = syscall(SYS_keyctl, KEYCTL_DESCRIBE, key, text, sizeof text);
  if (length < 0) throw SysError("describe the session keyring");
  std::string_view rest(
      text, static_cast<size_t>(length) < sizeof text ? static_cast<size_t>(length) : sizeof text);
  for (int field = 0; field < 3; ++field) {
    const size_t end = rest.find(';');
    if (end == std::string_view::npos) throw Error("describe the session keyring: no permissions");
    rest.remove_prefix(end + 1);
  }
  uint32_t permissions = 0;
  for (char c : rest.substr(0, rest.find(';'))) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'a' || c > 'f'))
      throw Error("describe the session keyring: its permissions are no number");
    permissions = permissions << 4 | static_cast<uint32_t>(digit ? c - '0' : c - 'a' + 10);
  }
  return permissions;
}

}  // namespace

void join_session_keyring(const std::string& id, bool is_init, bool new_user_namespace) {
  const std::string name = "_ses." + id;
  const long key = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.c_str());
  if (key < 0) {
    if (errno == ENOSYS) return;
    throw SysError("join session keyring " + name);
  }
  if (!is_init) return;
  // So that exec can join it. In a user namespace the owner is not who searches.
  const uint32_t wanted = new_user_namespace ? other_search : owner_search;
  const uint32_t permissions = permissions_of(key);
  if ((permissions & wanted) == wanted) return;
  if (syscall(SYS_keyctl, KEYCTL_SETPERM, key, permissions | wanted) != 0)
    throw SysError("set permissions of session keyring " + name);
}

}  // namespace vessel
