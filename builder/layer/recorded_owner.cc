#include "builder/layer/recorded_owner.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>

#include "builder/sys/error.hh"
#include "builder/sys/user_namespace.hh"

namespace kiln {

namespace {

bool mapped(const Owner& owner) {
  static const uint32_t ids = mapped_ids();
  return owner.uid < ids && owner.gid < ids;
}

void add_number(std::string& out, char field, uint32_t number) {
  if (number == 0) return;
  out += static_cast<char>(field << 3);  // wire type 0, varint
  for (; number >= 0x80; number >>= 7) out += static_cast<char>((number & 0x7f) | 0x80);
  out += static_cast<char>(number);
}

// Not mapped (EINVAL), or no user namespace at all and not root (EPERM).
bool cannot_be_given(int error, const Owner& owner) {
  return (error == EINVAL && !mapped(owner)) || (error == EPERM && geteuid() != 0);
}

}  // namespace

std::string encode_owner(const Owner& owner) {
  std::string out;
  add_number(out, 1, owner.uid);
  add_number(out, 2, owner.gid);
  return out;
}

std::optional<Owner> decode_owner(std::string_view value) {
  Owner owner;
  size_t at = 0;
  while (at < value.size()) {
    const char key = value[at++];
    if (key != 1 << 3 && key != 2 << 3) return std::nullopt;
    uint64_t number = 0;
    int shift = 0;
    bool more = true;
    for (; more && at < value.size() && shift < 35; shift += 7) {
      const auto byte = static_cast<unsigned char>(value[at++]);
      number |= uint64_t{byte & 0x7fu} << shift;
      more = (byte & 0x80) != 0;
    }
    if (more || number > UINT32_MAX) return std::nullopt;
    (key == 1 << 3 ? owner.uid : owner.gid) = static_cast<uint32_t>(number);
  }
  return owner;
}

void set_owner(int fd, const Owner& owner) {
  if (::fchown(fd, owner.uid, owner.gid) == 0) return;
  if (!cannot_be_given(errno, owner)) throw SysError("change owner");
  const std::string value = encode_owner(owner);
  if (!value.empty() && ::fsetxattr(fd, owner_xattr, value.data(), value.size(), 0) != 0)
    throw SysError("remember owner " + std::to_string(owner.uid) + ":" + std::to_string(owner.gid));
}

void set_owner_at(int directory, const std::string& name, const Owner& owner) {
  if (::fchownat(directory, name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0 &&
      !cannot_be_given(errno, owner))
    throw SysError("change owner");
}

std::optional<Owner> recorded_owner(int fd) {
  char value[16];
  const ssize_t size = ::fgetxattr(fd, owner_xattr, value, sizeof value);
  if (size <= 0) return std::nullopt;
  const auto owner = decode_owner({value, static_cast<size_t>(size)});
  if (!owner || mapped(*owner)) return std::nullopt;
  return owner;
}

}  // namespace kiln
