// Owns: the options of `RUN --mount`, typed and checked.
// Does not own: where the sources come from or how they are mounted.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace kiln::dockerfile {

struct Mount {
  enum class Type { bind, cache, tmpfs, secret, ssh };
  enum class Sharing { shared, private_, locked };

  Type type = Type::bind;
  std::string from;    // bind, cache: stage, image or named context; empty: the build context
  std::string source;  // bind: path in `from`; secret: id when no `id`
  std::string target;  // empty: the type's default (secret: /run/secrets/ID, ssh: an agent socket)
  std::string id;      // cache, secret, ssh
  std::optional<Sharing> sharing;  // cache only; absent means shared
  bool read_only = true;           // default false for cache and tmpfs
  bool required = false;           // secret, ssh
  int64_t size = 0;                // tmpfs: limit in bytes, 0 none
  std::optional<std::string> env;  // secret: variable; empty text: named as the id
  std::optional<uint32_t> mode;    // secret, ssh, cache
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;

  bool operator==(const Mount&) const = default;
};

// Reads one `--mount=` value (comma separated, CSV quoting). Values go through `expand`; an empty
// function reads only `from`, which may hold no variable, and leaves the rest for later.
// Throws Error naming the key.
Mount parse_mount(std::string_view text,
                  const std::function<std::string(std::string_view)>& expand);

std::string_view mount_type_name(Mount::Type type);

}  // namespace kiln::dockerfile
