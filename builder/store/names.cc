#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>

#include "builder/store/store.hh"
#include "builder/sys/error.hh"

namespace kiln {

namespace {

constexpr size_t index_limit = size_t{4} << 20;  // what the reader takes

oci::Index read_names(int root, const std::string& path) {
  const auto text = try_read_file_at(root, "index.json", index_limit);
  if (!text) return {};
  return oci::read_index(*text, path + "/index.json");
}

std::string annotation(const oci::Descriptor& entry, const char* key) {
  const auto it = entry.annotations.find(key);
  return it == entry.annotations.end() ? std::string() : it->second;
}

// The complete form of a name, if it is a reference with a domain or a tag of its own; "" if not.
std::string complete(const std::string& name) {
  const auto parsed = parse_reference(name);
  return parsed ? with_default_tag(*parsed).text() : std::string();
}

void strip_name(oci::Descriptor& entry) {
  entry.annotations.erase(ref_name_annotation);
  entry.annotations.erase(containerd_name_annotation);
}

// Whether a person who says `name` means this entry.
bool goes_by(const oci::Descriptor& entry, std::string_view name, const std::string& full) {
  const std::string own = image_name(entry);
  return !own.empty() && (own == name || (!full.empty() && own == full));
}

}  // namespace

std::string image_name(const oci::Descriptor& entry) {
  // containerd's annotation is always complete; the other may be a bare tag ("latest"), which would
  // read as a repository of that name.
  for (const std::string& name :
       {annotation(entry, containerd_name_annotation), annotation(entry, ref_name_annotation)}) {
    if (name.empty() || name.size() > 1024) continue;
    if (name.find_first_of("/:") != name.npos) {
      std::string full = complete(name);
      if (!full.empty()) return full;
    }
    return name;
  }
  return {};
}

std::vector<NamedImage> Store::images() const {
  std::vector<NamedImage> result;
  for (oci::Descriptor& entry : read_names(root_.get(), path_).manifests) {
    std::string name = image_name(entry);
    result.push_back({std::move(name), std::move(entry)});
  }
  return result;
}

std::optional<oci::Descriptor> Store::find_name(std::string_view name) const {
  const std::string full = complete(std::string(name));
  std::optional<oci::Descriptor> bare;
  for (oci::Descriptor& entry : read_names(root_.get(), path_).manifests) {
    if (!goes_by(entry, name, full)) continue;
    const bool exact = image_name(entry) == full;
    strip_name(entry);
    if (exact) return std::move(entry);
    bare = std::move(entry);
  }
  return bare;
}

void Store::update_index(const std::function<bool(oci::Index&)>& change) {
  // Read again under the lock: a tag that another process (or, as far as possible, a foreign tool
  // that knows no lock) made since must survive.
  const std::lock_guard guard(mutex_);
  const Fd lock(openat(kiln_.get(), "index.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!lock) throw SysError("open index.lock");
  while (flock(lock.get(), LOCK_EX) != 0)
    if (errno != EINTR) throw SysError("lock index.lock");
  oci::Index index = read_names(root_.get(), path_);
  if (change(index)) {
    std::string text = oci::write(index);
    if (text.size() > index_limit)
      throw Error("store " + path_ + ": too many images for one index.json");
    write_file_atomic(root_.get(), "index.json", text, 0644, Sync::data);
  }
}

void Store::set_name(const std::string& name, const oci::Descriptor& target) {
  const std::string full = complete(name);
  update_index([&](oci::Index& index) {
    oci::Descriptor entry = target;
    strip_name(entry);
    if (!name.empty()) {
      entry.annotations[ref_name_annotation] = name;
      entry.annotations[containerd_name_annotation] = name;
    }
    std::vector<oci::Descriptor> others;
    for (oci::Descriptor& old : index.manifests) {
      if (!name.empty() && goes_by(old, name, full)) {
        if (old.digest == target.digest) continue;
        strip_name(old);  // stays as an image without a name
      }
      others.push_back(std::move(old));
    }
    others.push_back(std::move(entry));
    // An image is listed without a name only when it has none, and then once.
    const auto nameless = [](const oci::Descriptor& d) { return image_name(d).empty(); };
    std::vector<oci::Descriptor> result;
    for (const oci::Descriptor& candidate : others) {
      const auto same = [&](const oci::Descriptor& d) { return d.digest == candidate.digest; };
      if (nameless(candidate) &&
          (std::ranges::any_of(others, [&](const auto& d) { return same(d) && !nameless(d); }) ||
           std::ranges::any_of(result, same)))
        continue;
      result.push_back(candidate);
    }
    index.manifests = std::move(result);
    return true;
  });
}

bool Store::remove_name(std::string_view name, bool keep) {
  const std::string full = complete(std::string(name));
  bool found = false;
  update_index([&](oci::Index& index) {
    std::vector<oci::Descriptor> result;
    for (oci::Descriptor& entry : index.manifests) {
      if (goes_by(entry, name, full)) {
        found = true;
        if (!keep) continue;
        strip_name(entry);
      }
      result.push_back(std::move(entry));
    }
    index.manifests = std::move(result);
    return found;
  });
  return found;
}

void Store::remove_images(const std::function<bool(const NamedImage&)>& unwanted) {
  update_index([&](oci::Index& index) {
    return std::erase_if(index.manifests, [&](const oci::Descriptor& entry) {
             return unwanted({image_name(entry), entry});
           }) > 0;
  });
}

}  // namespace kiln
