// Owns: telling whether this process lives in a container whose root directory is the container's
// alone. Does not own: what is done there.
#pragma once

#include <expected>
#include <string>

namespace kiln {

// Where the signs are looked for; another place in tests only.
struct ContainerSigns {
  std::string root = "";  // prefix of /.dockerenv and /run/.containerenv
  std::string proc = "/proc";
};

// What says so ("/.dockerenv"), or why this is no container, as a sentence's end. All of these must
// hold, as each alone is also found elsewhere: a pid namespace that is not the machine's first, a
// sign that an engine leaves (/.dockerenv, /run/.containerenv, `container=` in the environment of
// process 1 or our own, KUBERNETES_SERVICE_HOST), and a root directory that is not the whole of a
// disk.
std::expected<std::string, std::string> find_container(const ContainerSigns& signs = {});

}  // namespace kiln
