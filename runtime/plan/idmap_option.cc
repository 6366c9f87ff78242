// The mappings that a mount's option "idmap=" carries.
#include "runtime/plan/mount_options.hh"
#include "runtime/plan/rooms.hh"
#include "runtime/sys/number.hh"

namespace vessel {

namespace {

// Parts of a text between separators, empty ones too.
std::vector<std::string_view> parts_of(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(separator, at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

class ListReader {
 public:
  ListReader(std::string_view list, const std::vector<oci::IdMapping>& container)
      : list_(list), container_(container) {}

  std::expected<std::vector<oci::IdMapping>, std::string> read() {
    std::vector<oci::IdMapping> mappings;
    for (std::string_view text : parts_of(list_, '#')) {
      const bool relative = text.starts_with('@');
      if (relative) text.remove_prefix(1);
      const std::vector<std::string_view> numbers = parts_of(text, '-');
      if (numbers.size() != 3) return malformed();
      const auto first = parse_number<uint32_t>(numbers[0]);
      const auto host = parse_number<uint32_t>(numbers[1]);
      const auto size = parse_number<uint32_t>(numbers[2]);
      if (!first || !host || !size) return malformed();
      oci::IdMapping mapping{*first, *host, *size};
      if (relative && !make_absolute(mapping))
        return std::unexpected("idmap: @" + std::string(text) +
                               " is not in one range of the container's user namespace");
      mappings.push_back(mapping);
    }
    return mappings;
  }

 private:
  std::unexpected<std::string> malformed() const {
    return std::unexpected("idmap: expected ranges such as 0-1000-10#20-2000-5, got \"" +
                           std::string(list_) + "\"");
  }

  bool make_absolute(oci::IdMapping& mapping) const {
    for (const oci::IdMapping& range : container_) {
      if (mapping.host_id < range.container_id) continue;
      const uint32_t offset = mapping.host_id - range.container_id;
      if (offset >= range.size || mapping.size > range.size - offset) continue;
      mapping.host_id = range.host_id + offset;
      return true;
    }
    return false;
  }

  std::string_view list_;
  const std::vector<oci::IdMapping>& container_;
};

}  // namespace

std::expected<MountIdmap, std::string> parse_idmap_option(
    std::string_view value, const std::vector<oci::IdMapping>& uid_map,
    const std::vector<oci::IdMapping>& gid_map) {
  MountIdmap idmap;
  for (std::string_view part : parts_of(value, ';')) {
    const bool uids = part.starts_with("uids=");
    if (!uids && !part.starts_with("gids="))
      return std::unexpected("idmap: expected uids=… and gids=…, got \"" + std::string(part) +
                             "\"");
    auto list = ListReader(part.substr(5), uids ? uid_map : gid_map).read();
    if (!list) return std::unexpected(list.error());
    (uids ? idmap.uid : idmap.gid) = std::move(*list);
  }
  if (idmap.uid.empty() || idmap.gid.empty())
    return std::unexpected("idmap: uids=… and gids=… must be given both");
  return idmap;
}

}  // namespace vessel
