#include "builder/dockerfile/mount.hh"

#include <array>
#include <utility>
#include <vector>

#include "builder/dockerfile/characters.hh"
#include "builder/dockerfile/complaint.hh"
#include "builder/dockerfile/quantity.hh"

namespace kiln::dockerfile {

namespace {

using Type = Mount::Type;
constexpr std::array type_names = {std::pair{"bind", Type::bind}, std::pair{"cache", Type::cache},
                                   std::pair{"tmpfs", Type::tmpfs},
                                   std::pair{"secret", Type::secret}, std::pair{"ssh", Type::ssh}};

// Fields between commas; a field in double quotes may hold commas, "" in it is a quote.
std::vector<std::string> csv_fields(std::string_view text) {
  std::vector<std::string> fields;
  for (bool more = true; more;) {
    std::string field;
    if (text.starts_with('"')) {
      size_t at = 1;
      for (;; ++at) {
        if (at >= text.size()) throw Complaint("mount option with an unfinished quote", "--mount");
        if (text[at] == '"' && (at + 1 == text.size() || text[at + 1] != '"')) break;
        if (text[at] == '"') ++at;
        field += text[at];
      }
      text.remove_prefix(at + 1);
      if (!text.empty() && text[0] != ',') {
        throw Complaint("mount option with text behind a quote", "--mount");
      }
    } else {
      field = text.substr(0, text.find(','));
      text.remove_prefix(field.size());
    }
    more = text.starts_with(',');
    if (more) text.remove_prefix(1);
    fields.push_back(std::move(field));
  }
  return fields;
}

[[noreturn]] void bad_value(const std::string& key, const std::string& value,
                            const std::string& field) {
  throw Complaint("invalid value for " + key + ": " + value, field);
}

class MountReader {
 public:
  explicit MountReader(const std::function<std::string(std::string_view)>& expand)
      : expand_(expand) {}

  Mount read(std::string_view text) {
    for (const std::string& field : csv_fields(text)) read_field(field);
    check();
    return std::move(mount_);
  }

 private:
  void read_field(const std::string& field) {
    const size_t equals = field.find('=');
    const std::string key = lower(field.substr(0, equals));
    if (equals == std::string::npos) {
      if (expand_) read_switch(key, field);
      return;
    }
    std::string value = field.substr(equals + 1);
    if (expand_) {
      set(key, expand_(value), field);
    } else if (key == "from") {
      const size_t dollar = value.find('$');
      if (dollar != std::string::npos && dollar + 1 != value.size()) {
        throw Complaint("'from' doesn't support variable expansion, define alias stage instead",
                        field);
      }
      mount_.from = value;
    }
  }

  void read_switch(const std::string& key, const std::string& field) {
    if (key == "readonly" || key == "ro") {
      set_read_only(true);
    } else if (key == "readwrite" || key == "rw") {
      set_read_only(false);
    } else if (key == "required") {
      need_type(key, mount_.type == Type::secret || mount_.type == Type::ssh);
      mount_.required = true;
    } else {
      throw Complaint("invalid field '" + field + "': must be a key=value pair", field);
    }
  }

  void set(const std::string& key, const std::string& value, const std::string& field) {
    const auto boolean = [&] {
      const auto parsed = parse_boolean(value);
      if (!parsed) bad_value(key, value, field);
      return *parsed;
    };
    const auto number = [&](int base) {
      const auto parsed = parse_number(value, base);
      if (!parsed) bad_value(key, value, field);
      return *parsed;
    };
    if (key == "type") {
      set_type(value, field);
    } else if (key == "from") {
      mount_.from = value;
    } else if (key == "source" || key == "src") {
      mount_.source = value;
    } else if (key == "target" || key == "dst" || key == "destination") {
      mount_.target = value;
    } else if (key == "readonly" || key == "ro") {
      set_read_only(boolean());
    } else if (key == "readwrite" || key == "rw") {
      set_read_only(!boolean());
    } else if (key == "required") {
      need_type(key, mount_.type == Type::secret || mount_.type == Type::ssh);
      mount_.required = boolean();
    } else if (key == "size") {
      need_type(key, mount_.type == Type::tmpfs);
      const auto size = parse_size(value);
      if (!size) bad_value(key, value, field);
      mount_.size = *size;
    } else if (key == "id") {
      mount_.id = value;
    } else if (key == "sharing") {
      set_sharing(value, field);
    } else if (key == "mode") {
      mount_.mode = number(8);
    } else if (key == "uid") {
      mount_.uid = number(10);
    } else if (key == "gid") {
      mount_.gid = number(10);
    } else if (key == "env") {
      mount_.env = value;
    } else {
      throw Complaint("unexpected key '" + key + "' in '" + field + "'", field,
                      did_you_mean(key, {"type", "from", "source", "target", "readonly", "id",
                                         "sharing", "required", "size", "mode", "uid", "gid", "src",
                                         "dst", "destination", "ro", "rw", "readwrite", "env"}));
    }
  }

  void set_type(const std::string& value, const std::string& field) {
    for (const auto& [name, type] : type_names) {
      if (lower(value) != name) continue;
      mount_.type = type;
      return;
    }
    throw Complaint("unsupported mount type '" + value + "'", field,
                    did_you_mean(value, {"bind", "cache", "tmpfs", "secret", "ssh"}));
  }

  void set_sharing(const std::string& value, const std::string& field) {
    const std::string name = lower(value);
    if (name == "shared") {
      mount_.sharing = Mount::Sharing::shared;
    } else if (name == "private") {
      mount_.sharing = Mount::Sharing::private_;
    } else if (name == "locked") {
      mount_.sharing = Mount::Sharing::locked;
    } else {
      throw Complaint("unsupported sharing value '" + value + "'", field,
                      did_you_mean(value, {"shared", "private", "locked"}));
    }
  }

  void set_read_only(bool value) {
    mount_.read_only = value;
    read_only_given_ = true;
  }

  void need_type(const std::string& key, bool allowed) const {
    if (allowed) return;
    throw Complaint("unexpected key '" + key + "' for mount type '" +
                        std::string(mount_type_name(mount_.type)) + "'",
                    key);
  }

  void check() {
    const Type type = mount_.type;
    const std::string name(mount_type_name(type));
    if (type == Type::bind || type == Type::tmpfs) {
      const char* key = mount_.mode ? "mode" : mount_.uid ? "uid" : mount_.gid ? "gid" : nullptr;
      if (key) throw Complaint(std::string(key) + " not allowed for '" + name + "' mounts", key);
    }
    if (!read_only_given_) mount_.read_only = type != Type::cache && type != Type::tmpfs;
    if (type == Type::secret) {
      if (!mount_.from.empty()) throw Complaint("secret mount should not have a from", "from=");
      if (mount_.source.empty() && mount_.target.empty() && mount_.id.empty()) {
        throw Complaint("invalid secret mount: one of id, source, target required", "--mount");
      }
      if (!mount_.source.empty() && !mount_.id.empty()) {
        throw Complaint("secret mount: source and id can't both be set", "--mount");
      }
    }
    if (mount_.sharing && type != Type::cache) {
      throw Complaint("sharing is not allowed for '" + name + "' mounts", "sharing");
    }
  }

  const std::function<std::string(std::string_view)>& expand_;
  Mount mount_;
  bool read_only_given_ = false;
};

}  // namespace

Mount parse_mount(std::string_view text,
                  const std::function<std::string(std::string_view)>& expand) {
  return MountReader(expand).read(text);
}

std::string_view mount_type_name(Mount::Type type) {
  for (const auto& [name, candidate] : type_names) {
    if (candidate == type) return name;
  }
  return "bind";
}

}  // namespace kiln::dockerfile
