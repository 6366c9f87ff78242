#include "builder/steps/image_user.hh"

#include <algorithm>

#include "builder/sys/error.hh"
#include "builder/sys/number.hh"

namespace kiln {

namespace {

// 4294967295 means "leave as it is" to setresuid(2) and chown(2): as a user it would stay root.
std::optional<uint32_t> parse_id(std::string_view text) {
  const auto id = parse_number<uint32_t>(text);
  return id && *id != UINT32_MAX ? id : std::nullopt;
}

// Fields of one colon separated line.
std::vector<std::string_view> fields(std::string_view line) {
  std::vector<std::string_view> out;
  while (true) {
    const size_t colon = line.find(':');
    out.push_back(line.substr(0, colon));
    if (colon == std::string_view::npos) return out;
    line.remove_prefix(colon + 1);
  }
}

template <class Visit>  // returns false to stop
void each_line(const std::optional<std::string>& text, const Visit& visit) {
  if (!text) return;
  std::string_view rest = *text;
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    if (!visit(fields(rest.substr(0, end)))) return;
    rest = end == std::string_view::npos ? "" : rest.substr(end + 1);
  }
}

struct PasswdLine {
  std::string name;
  uint32_t uid;
  uint32_t gid;
  std::string home;
};

// By name first, then, if the text is a number, by id: as moby does, so that a user named "1000"
// wins over the id.
std::optional<PasswdLine> find_user(const UserDatabase& database, std::string_view text) {
  const auto number = parse_id(text);
  std::optional<PasswdLine> by_name, by_id;
  each_line(database.passwd, [&](const std::vector<std::string_view>& f) {
    if (f.size() < 4) return true;
    const auto uid = parse_id(f[2]), gid = parse_id(f[3]);
    if (!uid || !gid) return true;
    PasswdLine line{std::string(f[0]), *uid, *gid, f.size() > 5 ? std::string(f[5]) : ""};
    if (f[0] == text) {
      by_name = std::move(line);
      return false;
    }
    if (!by_id && number && *uid == *number) by_id = std::move(line);
    return true;
  });
  return by_name ? by_name : by_id;
}

uint32_t find_group(const UserDatabase& database, std::string_view text) {
  std::optional<uint32_t> found;
  each_line(database.group, [&](const std::vector<std::string_view>& f) {
    if (f.size() < 3 || f[0] != text) return true;
    found = parse_id(f[2]);
    return !found;
  });
  if (found) return *found;
  if (const auto number = parse_id(text)) return *number;
  throw Error("group " + std::string(text) + ": not in the image's /etc/group");
}

std::vector<uint32_t> groups_of(const UserDatabase& database, std::string_view user, uint32_t gid) {
  std::vector<uint32_t> gids;
  each_line(database.group, [&](const std::vector<std::string_view>& f) {
    if (f.size() < 4) return true;
    const auto id = parse_id(f[2]);
    if (!id || *id == gid) return true;
    std::string_view members = f[3];
    while (!members.empty()) {
      const size_t comma = members.find(',');
      if (members.substr(0, comma) == user && std::ranges::find(gids, *id) == gids.end())
        gids.push_back(*id);
      members = comma == std::string_view::npos ? "" : members.substr(comma + 1);
    }
    return true;
  });
  return gids;
}

// CVE-2026-30892: "1" must never become 0, nor 4294967296; numbers are read whole or not at all.
ImageUser user_part(std::string_view text, const UserDatabase& database) {
  ImageUser user;
  if (const auto line = find_user(database, text)) {
    user.uid = line->uid;
    user.gid = line->gid;
    if (!line->home.empty()) user.home = line->home;
    user.additional_gids = groups_of(database, line->name, line->gid);
    return user;
  }
  if (const auto number = parse_id(text)) {
    user.uid = *number;
    return user;
  }
  throw Error("user " + std::string(text) +
              (database.passwd ? ": not in the image's /etc/passwd"
                               : ": the image has no /etc/passwd, use a number"));
}

}  // namespace

ImageUser look_up_user(std::string_view text, const UserDatabase& database) {
  const size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  ImageUser user = user_part(name.empty() ? "0" : name, database);
  if (colon != std::string_view::npos && colon + 1 < text.size()) {
    user.gid = find_group(database, text.substr(colon + 1));
    user.additional_gids.clear();
  }
  user.additional_gids.insert(user.additional_gids.begin(), user.gid);
  return user;
}

Owner look_up_owner(std::string_view text, const UserDatabase& database) {
  const size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  Owner owner;
  const auto number = parse_id(name);
  if (number) {
    owner.uid = owner.gid = *number;
  } else {
    const ImageUser user = user_part(name.empty() ? "0" : name, database);
    owner = {user.uid, user.gid};
  }
  if (colon != std::string_view::npos && colon + 1 < text.size())
    owner.gid = find_group(database, text.substr(colon + 1));
  return owner;
}

}  // namespace kiln
