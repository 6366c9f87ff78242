#include "builder/layer/copy_layer.hh"

#include <time.h>

#include <algorithm>
#include <map>
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

bool CopyLayer::Item::directory() const {
  return (literal != nullptr ? literal->entry : source->entry).type == FileType::directory;
}

void CopyLayer::put(std::string path, const Item& item) {
  // Below something that stops being a directory nothing of this layer can stay, and a parent
  // that was a file before is a directory from now on.
  if (!item.directory()) {
    auto at = items_.lower_bound(path + "/");
    while (at != items_.end() && at->first.starts_with(path + "/")) at = items_.erase(at);
  }
  for (std::string_view above = parent_path(path); !above.empty(); above = parent_path(above)) {
    const auto found = items_.find(std::string(above));
    if (found != items_.end() && !found->second.directory())
      throw Error("/" + std::string(above) + " is a file and cannot hold /" + path);
  }
  items_.insert_or_assign(std::move(path), item);
}

CopyLayer::Item CopyLayer::own(Entry entry, std::string content) {
  return {nullptr, &literals_.emplace_back(std::move(entry), std::move(content)), nullptr, nullptr};
}

void CopyLayer::add_file(const Context& tree, const ContextEntry& source,
                         const std::string& destination, const CopyRewrite& rewrite) {
  put(destination,
      {&trees_.emplace_back(1, source).front(), nullptr, &tree, &rewrites_.emplace_back(rewrite)});
}

void CopyLayer::add_tree(const Context& tree, const std::string& source,
                         std::vector<ContextEntry> entries, const std::string& destination,
                         const CopyRewrite& rewrite, bool destination_exists) {
  add_borrowed_tree(tree, source, trees_.emplace_back(std::move(entries)), destination, rewrite,
                    destination_exists);
}

void CopyLayer::add_borrowed_tree(const Context& tree, const std::string& source,
                                  std::span<const ContextEntry> entries,
                                  const std::string& destination, const CopyRewrite& rewrite,
                                  bool destination_exists) {
  const CopyRewrite* kept = &rewrites_.emplace_back(rewrite);
  for (const ContextEntry& entry : entries) {
    std::string_view rest = entry.entry.path;
    if (!source.empty()) {
      rest.remove_prefix(std::min(source.size(), rest.size()));
      if (rest.starts_with('/')) rest.remove_prefix(1);
    }
    if (rest.empty() && destination_exists) continue;
    put(join_path(destination, rest), {&entry, nullptr, &tree, kept});
  }
}

void CopyLayer::add_archive(const Context& tree, std::vector<ContextEntry> entries,
                            const LayerIndex& listed, const std::string& destination,
                            const CopyRewrite& rewrite, const MergedIndex& base,
                            const Entry& implied) {
  const auto is_implied = [&](const ContextEntry& e) {
    if (e.entry.type != FileType::directory) return false;
    const IndexEntry* found = listed.find(e.entry.path);
    return found == nullptr || found->type != FileType::directory;
  };
  if (std::ranges::none_of(entries, is_implied)) {
    add_tree(tree, "", std::move(entries), destination, rewrite, true);
    return;
  }
  const CopyRewrite* kept = &rewrites_.emplace_back(rewrite);
  std::map<std::string, std::string, std::less<>> places = {{"", destination}};  // of directories
  for (const ContextEntry& entry : trees_.emplace_back(std::move(entries))) {
    const std::string& path = entry.entry.path;
    std::string place = join_path(places.find(parent_path(path))->second, base_name(path));
    if (is_implied(entry)) {
      if (base.lookup(place)) {
        const auto there = base.resolve(place);
        if (!there) throw SysError("/" + place, there.error());
        if (there->type != WalkNode::Type::directory)
          throw Error("/" + place + " is a file in the image, not a directory");
        place = there->path;
      } else {
        Entry made = implied;
        made.path = place;
        add_directory(made);
      }
    } else {
      put(place, {&entry, nullptr, &tree, kept});
    }
    if (entry.entry.type == FileType::directory) places.emplace(path, std::move(place));
  }
}

void CopyLayer::add_content(const Entry& entry, std::string content) {
  Entry sized = entry;
  sized.size = content.size();
  put(entry.path, own(std::move(sized), std::move(content)));
}

void CopyLayer::add_directory(const Entry& entry) {
  if (!items_.contains(entry.path)) items_.emplace(entry.path, own(entry, {}));
}

void CopyLayer::add_whiteout(const std::string& path) {
  // Sorted and named as its tar entry is, so that it can stand beside a new entry of the name.
  Entry entry;
  entry.path = path;
  entry.type = FileType::whiteout;
  items_.insert_or_assign(
      join_path(parent_path(path), std::string(whiteout_prefix).append(base_name(path))),
      own(std::move(entry), {}));
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

// `add` gets the entry, its content, and where that is an open file, that and its source. Names of
// one file stay names of one file, if they are to look alike: the first carries the content.
template <typename Add>
void CopyLayer::each(const Add& add) const {
  std::map<std::pair<uint64_t, uint64_t>, Entry> first_names;
  for (const auto& [path, item] : items_) {
    if (item.literal != nullptr) {
      StringSource content(item.literal->content);
      add(item.literal->entry, content, -1, nullptr);
      continue;
    }
    Entry entry = rewritten(item.source->entry, path, *item.rewrite);
    if (item.rewrite->xattrs) entry.xattrs = item.tree->xattrs(item.source->entry.path);
    if (entry.type == FileType::file && item.source->links > 1) {
      const auto [first, fresh] =
          first_names.try_emplace({item.source->device, item.source->inode}, entry);
      if (!fresh && !metadata_differs(first->second, entry)) {
        entry.type = FileType::hardlink;
        entry.link = first->second.path;
        entry.size = 0;
        const Fd fd = item.tree->open_file(item.source->entry.path);
        StringSource nothing("");
        add(entry, nothing, fd.get(), item.source);
        continue;
      }
    }
    if (entry.type != FileType::file) {
      StringSource nothing("");
      add(entry, nothing, -1, nullptr);
    } else {
      const Fd fd = item.tree->open_file(item.source->entry.path);
      FdSource content(fd.get());
      add(entry, content, fd.get(), item.source);
    }
  }
}

void CopyLayer::write(LayerWriter& writer, const CopyObserver& observer) const {
  writer.expect(items_.size());
  std::map<std::string, std::string> linked;  // content digest of files that have other names
  each([&](const Entry& entry, ByteSource& content, int fd, const ContextEntry* source) {
    struct timespec now {};
    if (source != nullptr && observer.digested) ::clock_gettime(CLOCK_REALTIME, &now);
    if (observer.applier != nullptr)
      writer.add(entry, *observer.applier->begin(entry, content));
    else
      writer.add(entry, content);
    if (source == nullptr || !observer.digested) return;
    std::string digest = writer.last_content_digest();
    if (entry.type == FileType::hardlink)
      digest = linked.at(entry.link);
    else if (source->links > 1)
      linked.emplace(entry.path, digest);
    observer.digested(*source, fd, digest, int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec);
  });
}

void CopyLayer::apply(Applier& applier) const {
  each([&](const Entry& entry, ByteSource& content, int, const ContextEntry*) {
    applier.add(entry, &content);
  });
}

}  // namespace kiln
