#include <algorithm>
#include <set>

#include "builder/layer/layer_index.hh"
#include "builder/sys/error.hh"

namespace kiln {

namespace {

WalkNode node_of(const std::optional<IndexEntry>& entry) {
  if (!entry) return {};
  switch (entry->type) {
    case FileType::directory:
      return {WalkNode::Type::directory, {}};
    case FileType::symlink:
      return {WalkNode::Type::symlink, entry->link};
    default:
      return {WalkNode::Type::other, {}};
  }
}

}  // namespace

// An entry whose parent is a link in the layers below lands where that link leads, as it does when
// the layer is applied. Layers nearly always list their parents, so this is rare and cheap to rule
// out.
std::shared_ptr<const LayerIndex> MergedIndex::relocated(
    std::shared_ptr<const LayerIndex> layer) const {
  if (layers_.empty()) return layer;
  std::string known_parent;
  std::string known_target;
  bool known = false;
  // Where the entry's parent leads; remembered from one entry to the next.
  const auto target = [&](const IndexEntry& entry) -> const std::string& {
    const std::string_view parent = parent_path(entry.path);
    if (!known || parent != known_parent) {
      known = true;
      known_parent = known_target = parent;
      const IndexEntry* own = parent.empty() ? nullptr : layer->find(parent);
      if (!parent.empty() && (own == nullptr || own->type != FileType::directory)) {
        const auto at = resolve(parent, LastLink::follow, Missing::allow);
        if (at) known_target = at->path;
      }
    }
    return known_target;
  };
  if (std::ranges::all_of(layer->entries(),
                          [&](const IndexEntry& e) { return target(e) == known_parent; }))
    return layer;
  known = false;
  LayerIndex moved;
  for (const IndexEntry& entry : layer->entries()) {
    IndexEntry copy = entry;
    if (const std::string& to = target(entry); to != known_parent)
      copy.path = join_path(to, base_name(entry.path));
    moved.add(std::move(copy));
  }
  for (const char* path : {"etc/passwd", "etc/group"})
    if (const std::string* text = layer->content(path)) moved.keep_content(path, *text);
  moved.sort();
  return std::make_shared<const LayerIndex>(std::move(moved));
}

void MergedIndex::push(std::shared_ptr<const LayerIndex> layer) {
  layers_.push_back(relocated(std::move(layer)));
}

std::optional<MergedIndex::Hit> MergedIndex::find(std::string_view path, size_t layers) const {
  std::optional<Hit> implied;
  for (size_t i = layers; i-- > 0;) {
    const LayerIndex& layer = *layers_[i];
    if (const IndexEntry* entry = layer.find(path)) {
      if (!implied) return Hit{*entry, i};
      // A directory above that is only implied takes the attributes of a directory below.
      return entry->type == FileType::directory ? Hit{*entry, i} : *implied;
    }
    const auto below = layer.below(path);
    const bool has_children = std::ranges::any_of(below, [](const IndexEntry& e) {
      return e.type != FileType::whiteout && e.type != FileType::opaque;
    });
    if (!implied && (has_children || path.empty()))
      implied = Hit{{.path = std::string(path), .type = FileType::directory, .mode = 0755}, i};
    if (hidden_below(layer, path)) return implied;
  }
  if (!implied && path.empty())
    implied = Hit{{.path = {}, .type = FileType::directory, .mode = 0755}, 0};
  return implied;
}

// Whether this layer hides whatever the layers below it have at `path`.
bool MergedIndex::hidden_below(const LayerIndex& layer, std::string_view path) {
  if (layer.hides(path).deleted) return true;
  while (!path.empty()) {
    path = parent_path(path);
    const LayerIndex::Hides hides = layer.hides(path);
    if (hides.opaque || (hides.deleted && !path.empty())) return true;
    if (path.empty()) break;
    const IndexEntry* entry = layer.find(path);
    if (entry != nullptr && entry->type != FileType::directory) return true;
  }
  return false;
}

std::optional<MergedIndex::Hit> MergedIndex::find_content(std::string_view path) const {
  std::optional<Hit> hit = find(path, layers_.size());
  // A hard link is what it names, as of its own layer. Bounded: each step names another path.
  for (int steps = 0; hit && hit->entry.type == FileType::hardlink; ++steps) {
    if (steps == 64) return std::nullopt;
    hit = find(hit->entry.link, hit->layer + 1);
  }
  return hit;
}

std::optional<IndexEntry> MergedIndex::lookup(std::string_view path) const {
  std::optional<Hit> hit = find_content(path);
  if (!hit) return std::nullopt;
  hit->entry.path = path;
  return std::move(hit->entry);
}

std::expected<Walked, int> MergedIndex::resolve(std::string_view path, LastLink last,
                                                Missing missing) const {
  return walk_in_root(path, last, missing,
                      [this](const std::string& at) { return node_of(lookup(at)); });
}

std::vector<std::string> MergedIndex::list(std::string_view directory) const {
  std::set<std::string, std::less<>> names;
  const size_t skip = directory.empty() ? 0 : directory.size() + 1;
  for (const auto& layer : layers_)
    for (const IndexEntry& entry : layer->below(directory)) {
      if (entry.type == FileType::whiteout || entry.type == FileType::opaque) continue;
      const std::string_view rest = std::string_view(entry.path).substr(skip);
      names.emplace(rest.substr(0, rest.find('/')));
    }
  std::vector<std::string> out;
  for (const std::string& name : names)
    if (lookup(join_path(directory, name))) out.push_back(name);
  return out;
}

std::optional<std::string> MergedIndex::read(std::string_view path) const {
  const auto at = resolve(path);
  if (!at) {
    if (at.error() == ENOENT) return std::nullopt;
    throw SysError("read " + std::string(path) + " of the image", at.error());
  }
  const std::optional<Hit> hit = find_content(at->path);
  if (!hit || hit->entry.type != FileType::file)
    throw Error(std::string(path) + " of the image is not a regular file");
  const std::string* text = layers_[hit->layer]->content(hit->entry.path);
  if (text != nullptr) return *text;
  if (hit->entry.size == 0) return std::string();
  throw TextNotIndexed("the content of " + at->path + " is not in the layer index");
}

}  // namespace kiln
