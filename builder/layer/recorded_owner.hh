// Owns: owners that this process cannot give a file, because a user namespace does not map them:
// kept in an extended attribute of the file until a layer is written.
// Does not own: which ids are mapped (sys/user_namespace.hh).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kiln {

struct Owner {
  uint32_t uid = 0, gid = 0;
  bool operator==(const Owner&) const = default;
};

// The convention of the rootlesscontainers project, which other tools read: a protobuf message of
// two numbers, zeros left out.
inline constexpr const char* owner_xattr = "user.rootlesscontainers";
std::string encode_owner(const Owner& owner);
std::optional<Owner> decode_owner(std::string_view value);

// chown(2) of an open file, or, where the ids are not mapped, the record. Only files and
// directories have room for one; the owner of anything else is given up. Throws SysError.
void set_owner(int fd, const Owner& owner);
// The same for a name in a directory that is neither file nor directory.
void set_owner_at(int directory, const std::string& name, const Owner& owner);

// The record of a file. nullopt without one, and where its ids could have been given for real: what
// a command wrote there itself counts for nothing then.
std::optional<Owner> recorded_owner(int fd);

}  // namespace kiln
