#include "builder/layer/copy_layer.hh"

#include <set>
#include <vector>

#include "builder/sys/error.hh"

namespace kiln {

namespace {

Entry rewritten(const Entry& source, const std::string& path, const CopyRewrite& rewrite) {
  Entry out = source;
  out.path = path;
  if (rewrite.uid) out.uid = *rewrite.uid;
  if (rewrite.gid) out.gid = *rewrite.gid;
  const bool directory = out.type == FileType::directory;
  const std::optional<uint32_t>& mode = directory ? rewrite.directory_mode : rewrite.file_mode;
  if (mode && out.type != FileType::symlink) out.mode = *mode & 07777;
  if (rewrite.mtime) out.mtime = *rewrite.mtime;
  out.mtime_nsec = 0;
  return out;
}

}  // namespace

void CopyLayer::put(Item item) {
  const std::string& path = item.entry.path;
  const bool directory = item.entry.type == FileType::directory;
  // Below something that stops being a directory nothing of this layer can stay, and a parent
  // that was a file before is a directory from now on.
  if (!directory) {
    auto at = items_.lower_bound(path + "/");
    while (at != items_.end() && at->first.starts_with(path + "/")) at = items_.erase(at);
  }
  for (std::string_view above = parent_path(path); !above.empty(); above = parent_path(above)) {
    const auto found = items_.find(std::string(above));
    if (found != items_.end() && found->second.entry.type != FileType::directory)
      throw Error("/" + std::string(above) + " is a file and cannot hold /" + path);
  }
  items_.insert_or_assign(path, std::move(item));
}

void CopyLayer::add_file(const Context& tree, const ContextEntry& source,
                         const std::string& destination, const CopyRewrite& rewrite) {
  put({rewritten(source.entry, destination, rewrite), &tree, source.entry.path, {}});
}

void CopyLayer::add_tree(const Context& tree, const std::string& source,
                         std::span<const ContextEntry> entries, const std::string& destination,
                         const CopyRewrite& rewrite, bool destination_exists) {
  for (const ContextEntry& entry : entries) {
    std::string_view rest = entry.entry.path;
    if (!source.empty()) {
      rest.remove_prefix(std::min(source.size(), rest.size()));
      if (rest.starts_with('/')) rest.remove_prefix(1);
    }
    if (rest.empty() && destination_exists) continue;
    put({rewritten(entry.entry, join_path(destination, rest), rewrite),
         &tree,
         entry.entry.path,
         {}});
  }
}

void CopyLayer::add_content(const Entry& entry, std::string content) {
  Item item{entry, nullptr, {}, std::move(content)};
  item.entry.size = item.content.size();
  put(std::move(item));
}

void CopyLayer::add_directory(const Entry& entry) {
  items_.try_emplace(entry.path, Item{entry, nullptr, {}, {}});
}

void CopyLayer::add_whiteout(const std::string& path) {
  // Sorted and named as its tar entry is, so that it can stand beside a new entry of the name.
  Item item;
  item.entry.path = path;
  item.entry.type = FileType::whiteout;
  items_.insert_or_assign(
      join_path(parent_path(path), std::string(whiteout_prefix).append(base_name(path))),
      std::move(item));
}

void CopyLayer::list_parents(
    const std::function<std::optional<Entry>(const std::string& path)>& look_up) {
  std::vector<Entry> parents;
  std::set<std::string> seen;
  for (const auto& [path, item] : items_)
    for (std::string above(parent_path(path)); !above.empty() && seen.insert(above).second;
         above = std::string(parent_path(above)))
      if (!items_.contains(above))
        if (auto entry = look_up(above)) parents.push_back(std::move(*entry));
  for (const Entry& parent : parents) add_directory(parent);
}

template <typename Add>
void CopyLayer::each(const Add& add) const {
  for (const auto& [path, item] : items_) {
    if (item.entry.type != FileType::file) {
      StringSource nothing("");
      add(item.entry, nothing);
    } else if (item.tree == nullptr) {
      StringSource content(item.content);
      add(item.entry, content);
    } else {
      const Fd fd = item.tree->open_file(item.source);
      FdSource content(fd.get());
      add(item.entry, content);
    }
  }
}

void CopyLayer::write(LayerWriter& writer) const {
  each([&](const Entry& entry, ByteSource& content) { writer.add(entry, content); });
}

void CopyLayer::apply(Applier& applier) const {
  each([&](const Entry& entry, ByteSource& content) { applier.add(entry, &content); });
}

}  // namespace kiln
