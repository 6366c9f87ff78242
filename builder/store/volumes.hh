// Owns: named and anonymous volumes: directories of the store that outlive containers.
// Does not own: mounting them, or deciding when an anonymous one goes with its container.
//
// kiln/volumes/NAME/volume.json and kiln/volumes/NAME/_data. A container's lease holds
// "volume:NAME".
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "builder/store/store.hh"

namespace kiln {

struct Volume {
  std::string name;
  std::string path;  // host path of its content
  std::string created;
  bool anonymous = false;
};

// What a lease says that holds it.
std::string volume_thing(const std::string& name);

// Letters, digits and "_.-", beginning with a letter or digit, at most 255. Throws Error.
void check_volume_name(const std::string& name);

class Volumes {
 public:
  explicit Volumes(const Store& store);

  // The one that is there, or a new empty one.
  Volume open_or_create(const std::string& name, bool anonymous = false);
  std::optional<Volume> find(const std::string& name) const;
  std::vector<Volume> list() const;  // by name
  // Containers or bundles that hold it.
  std::vector<std::string> users(const std::string& name) const;
  // Throws Error when there is none, or a container uses it.
  void remove(const std::string& name);
  // Those that nothing uses; the named ones too if `all`. Their names.
  std::vector<std::string> prune(bool all);

  // If the volume is empty: copies content, owner and mode of the directory `from` (a descriptor)
  // into it, so that it appears whole or not at all. Under the volume's lock. Whether it did.
  bool fill(const std::string& name, int from);

 private:
  void discard(const std::string& name);
  const Store& store_;
  std::string path_;
  Fd directory_;
};

}  // namespace kiln
