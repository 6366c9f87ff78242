// Owns: what USER, --user and --chown mean inside an image: names looked up in the text of the
// image's own /etc/passwd and /etc/group. Does not own: where that text comes from (an index, a
// root's descriptor), so nothing here can follow a path (CVE-2024-9676).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "builder/layer/recorded_owner.hh"

namespace kiln {

struct UserDatabase {
  std::optional<std::string> passwd;  // nullopt: the image has no such file
  std::optional<std::string> group;
};

struct ImageUser {
  uint32_t uid = 0;
  uint32_t gid = 0;
  // The primary group, and unless a group was given those that list the user. Without the primary
  // group among them a set-group-id program drops it for good, and with it what modes like 0707
  // deny to that group (CVE-2022-36109, CVE-2023-25173).
  std::vector<uint32_t> additional_gids;
  std::string home = "/";
};

// "", "name", "1000", "name:group", "1000:1000" as moby reads them: a name that is all digits and
// in no passwd line is the id itself; a numeric user without a passwd line gets group 0. Throws
// Error ("user app: not in the image's /etc/passwd").
ImageUser look_up_user(std::string_view text, const UserDatabase& database);

// --chown: as above, but a user given alone as a number is also the group (Dockerfile reference,
// "COPY --chown": "the same numeric UID as the GID").
Owner look_up_owner(std::string_view text, const UserDatabase& database);

}  // namespace kiln
