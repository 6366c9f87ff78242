#include "builder/steps/source_tree.hh"

#include <fcntl.h>

#include <algorithm>

#include "builder/sys/error.hh"

namespace kiln {

namespace {

ContextEntry entry_of(const IndexEntry& e) {
  ContextEntry out;
  out.entry.path = e.path;
  out.entry.type = e.type;
  out.entry.mode = e.mode;
  out.entry.uid = e.uid;
  out.entry.gid = e.gid;
  out.entry.mtime = e.mtime;
  out.entry.size = e.size;
  out.entry.link = e.link;
  return out;
}

// One field of a digest, length prefixed.
void put(oci::Hasher& hasher, std::string_view text) {
  hasher.update(std::string_view(std::to_string(text.size()) + ":"));
  hasher.update(text);
}

std::string_view relative_to(std::string_view path, std::string_view base) {
  if (base.empty()) return path;
  path.remove_prefix(std::min(base.size(), path.size()));
  if (path.starts_with('/')) path.remove_prefix(1);
  return path;
}

}  // namespace

// ---- ContextTree ----

std::optional<ContextEntry> ContextTree::stat(std::string_view path, bool follow_last) const {
  return context_.stat(path, follow_last);
}

std::vector<ContextEntry> ContextTree::walk(const std::string& path) const {
  return context_.walk(path);
}

std::vector<std::string> ContextTree::expand(std::string_view pattern) const {
  return context_.expand(pattern);
}

bool ContextTree::hidden(std::string_view path) const {
  const auto found = try_open_in_root(context_.root(), path, O_PATH | O_NOFOLLOW);
  return found.has_value() && !context_.stat(path).has_value();
}

oci::Digest ContextTree::digest(std::span<const ContextEntry> entries, std::string_view base,
                                const DigestOptions& options) const {
  return digest_entries(context_, entries, base, options);
}

// ---- IndexTree ----

std::optional<ContextEntry> IndexTree::stat(std::string_view path, bool follow_last) const {
  const auto walked = index_.resolve(path, follow_last ? LastLink::follow : LastLink::keep);
  if (!walked) return std::nullopt;
  const auto found = index_.lookup(walked->path);
  if (!found) return std::nullopt;
  ContextEntry out = entry_of(*found);
  out.entry.path = walked->path;
  return out;
}

void IndexTree::walk_into(const std::string& path, std::vector<ContextEntry>& out) const {
  for (const std::string& name : index_.list(path)) {
    const std::string child = join_path(path, name);
    const auto found = index_.lookup(child);
    if (!found) continue;
    out.push_back(entry_of(*found));
    out.back().entry.path = child;
    if (found->type == FileType::directory) walk_into(child, out);
  }
}

std::vector<ContextEntry> IndexTree::walk(const std::string& path) const {
  std::vector<ContextEntry> out;
  const auto top = index_.lookup(path);
  if (!top) return out;
  if (!path.empty()) {
    out.push_back(entry_of(*top));
    out.back().entry.path = path;
  }
  if (top->type == FileType::directory) walk_into(path, out);
  std::ranges::sort(out, {},
                    [](const ContextEntry& e) -> const std::string& { return e.entry.path; });
  return out;
}

std::vector<std::string> IndexTree::expand(std::string_view pattern) const {
  while (pattern.starts_with('/')) pattern.remove_prefix(1);
  if (!has_wildcard(pattern)) {
    if (!stat(pattern, false)) return {};
    return {std::string(pattern)};
  }
  std::vector<std::string> bases = {""};
  while (!pattern.empty()) {
    const size_t slash = pattern.find('/');
    const std::string_view component = pattern.substr(0, slash);
    pattern = slash == std::string_view::npos ? "" : pattern.substr(slash + 1);
    if (component.empty() || component == ".") continue;
    std::vector<std::string> next;
    for (const std::string& base : bases) {
      // A link in a parent is followed, as the kernel does for a literal path.
      const auto directory = index_.resolve(base);
      if (!directory || directory->type != WalkNode::Type::directory) continue;
      for (const std::string& name : index_.list(directory->path)) {
        const auto match = match_component(component, name);
        if (!match) throw Error("malformed pattern " + std::string(component));
        if (*match) next.push_back(join_path(directory->path, name));
      }
    }
    bases = std::move(next);
  }
  std::ranges::sort(bases);
  return bases;
}

oci::Digest IndexTree::digest(std::span<const ContextEntry> entries, std::string_view base,
                              const DigestOptions& options) const {
  oci::Hasher hasher;
  put(hasher, "kiln index tree 2");
  for (const ContextEntry& e : entries) {
    auto found = index_.lookup(e.entry.path);
    if (!found) throw Error(e.entry.path + ": gone from its index");
    FileType type = found->type;
    std::string content = found->content_digest;
    // A hard link is the file that it names: how a layer ties names together is no content.
    std::string attributes = found->attributes;
    if (type == FileType::hardlink)
      if (const auto target = index_.lookup(found->link)) {
        type = target->type;
        content = target->content_digest;
        attributes = target->attributes;
      }
    put(hasher, relative_to(e.entry.path, base));
    put(hasher, std::to_string(static_cast<int>(type)));
    if (options.modes) put(hasher, std::to_string(found->mode));
    if (options.owners) put(hasher, std::to_string(found->uid) + ":" + std::to_string(found->gid));
    put(hasher, type == FileType::symlink ? found->link : content);
    put(hasher, attributes);
  }
  return hasher.finish();
}

}  // namespace kiln
