#include "builder/layer/layer_index.hh"

#include <algorithm>
#include <cstring>
#include <set>

#include "builder/layer/indexed_reader.hh"
#include "builder/sys/error.hh"
#include "builder/sys/sha256.hh"

namespace kiln {

namespace {

constexpr std::string_view magic = "kiln index 2\n";
constexpr size_t max_content = size_t{1} << 20;
constexpr std::string_view kept_paths[] = {"etc/group", "etc/passwd"};

// A path can be deleted and made again in one layer: the deletion sorts behind the new entry.
int rank(FileType type) {
  return type == FileType::whiteout ? 1 : type == FileType::opaque ? 2 : 0;
}

bool before(const IndexEntry& a, const IndexEntry& b) {
  const int order = a.path.compare(b.path);
  return order != 0 ? order < 0 : rank(a.type) < rank(b.type);
}

class Packer {
 public:
  template <typename T>
  void number(T value) {
    for (size_t i = 0; i < sizeof(T); ++i)
      out += static_cast<char>((static_cast<uint64_t>(value) >> (8 * i)) & 0xff);
  }
  void text(std::string_view value) {
    number(static_cast<uint32_t>(value.size()));
    out += value;
  }
  // Hex, or empty.
  void digest(const std::string& value) {
    number(static_cast<uint8_t>(!value.empty()));
    if (value.empty()) return;
    const Sha256::Raw raw = raw_from_hex(value);
    out.append(reinterpret_cast<const char*>(raw.data()), raw.size());
  }
  std::string out;
};

class Unpacker {
 public:
  explicit Unpacker(std::string_view rest) : rest_(rest) {}
  template <typename T>
  T number() {
    uint64_t value = 0;
    const std::string_view raw = take(sizeof(T));
    for (size_t i = raw.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(raw[i]);
    return static_cast<T>(value);
  }
  std::string text() { return std::string(take(number<uint32_t>())); }
  std::string_view take(size_t size) {
    if (size > rest_.size()) {
      bad = true;
      rest_ = {};
      return {};
    }
    const std::string_view out = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return out;
  }
  std::string digest() {
    if (number<uint8_t>() == 0) return {};
    const std::string_view raw = take(sizeof(Sha256::Raw));
    return hex(std::span(reinterpret_cast<const unsigned char*>(raw.data()), raw.size()));
  }
  size_t left() const { return rest_.size(); }
  bool bad = false;

 private:
  std::string_view rest_;
};

}  // namespace

void LayerIndex::add(IndexEntry entry) {
  entries_.push_back(std::move(entry));
}

bool LayerIndex::wants_content(std::string_view path, uint64_t size) {
  return size <= max_content && std::ranges::find(kept_paths, path) != std::end(kept_paths);
}

void LayerIndex::keep_content(std::string_view path, std::string content) {
  if (!wants_content(path, content.size())) return;
  std::erase_if(contents_, [&](const auto& kept) { return kept.first == path; });
  contents_.emplace_back(path, std::move(content));
}

std::string LayerIndex::attributes_of(const Entry& entry) {
  const bool device = entry.type == FileType::char_device || entry.type == FileType::block_device;
  // A tar has no attributes for what is only a name of something else.
  if (entry.type == FileType::hardlink || entry.type == FileType::whiteout) return {};
  if (entry.xattrs.empty() && !device) return {};
  Packer pack;
  if (device) {
    pack.number(entry.dev_major);
    pack.number(entry.dev_minor);
  }
  for (const auto& [name, value] : entry.xattrs) {
    pack.text(name);
    pack.text(value);
  }
  Sha256 hash;
  hash.update(pack.out);
  return hex(hash.finish());
}

void LayerIndex::sort() {
  // A writer's are in order already, and sorting takes half as much memory again.
  if (!std::ranges::is_sorted(entries_, before)) std::ranges::stable_sort(entries_, before);
  // Of equal ones the last counts.
  const auto same = [](const IndexEntry& a, const IndexEntry& b) {
    return a.path == b.path && rank(a.type) == rank(b.type);
  };
  size_t kept = 0;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (i + 1 < entries_.size() && same(entries_[i], entries_[i + 1])) continue;
    if (kept != i) entries_[kept] = std::move(entries_[i]);
    ++kept;
  }
  entries_.resize(kept);
  std::ranges::sort(contents_);
  // Content belongs to the entry that counts.
  std::erase_if(contents_, [&](const auto& kept_content) {
    const IndexEntry* entry = find(kept_content.first);
    return entry == nullptr || entry->type != FileType::file ||
           entry->size != kept_content.second.size();
  });
}

const IndexEntry* LayerIndex::find(std::string_view path) const {
  const auto at = std::ranges::lower_bound(entries_, path, {}, &IndexEntry::path);
  return at != entries_.end() && at->path == path && rank(at->type) == 0 ? &*at : nullptr;
}

LayerIndex::Hides LayerIndex::hides(std::string_view path) const {
  Hides out;
  auto at = std::ranges::lower_bound(entries_, path, {}, &IndexEntry::path);
  for (; at != entries_.end() && at->path == path; ++at) {
    if (at->type == FileType::whiteout) out.deleted = true;
    if (at->type == FileType::opaque) out.opaque = true;
  }
  return out;
}

std::span<const IndexEntry> LayerIndex::below(std::string_view directory) const {
  if (directory.empty()) {
    size_t from = 0;
    while (from < entries_.size() && entries_[from].path.empty()) ++from;
    return std::span(entries_).subspan(from);
  }
  std::string prefix(directory);
  prefix += '/';
  const auto first = std::ranges::lower_bound(entries_, prefix, {}, &IndexEntry::path);
  prefix.back() = '/' + 1;
  const auto last = std::ranges::lower_bound(first, entries_.end(), prefix, {}, &IndexEntry::path);
  return {first, last};
}

const std::string* LayerIndex::content(std::string_view path) const {
  for (const auto& [name, text] : contents_)
    if (name == path) return &text;
  return nullptr;
}

std::string LayerIndex::serialize() const {
  Packer pack;
  pack.out = magic;
  size_t size = 1024;
  for (const IndexEntry& e : entries_) size += 80 + e.path.size() + e.link.size();
  pack.out.reserve(size);
  pack.number(static_cast<uint64_t>(entries_.size()));
  for (const IndexEntry& e : entries_) {
    pack.number(static_cast<uint8_t>(e.type));
    pack.number(static_cast<uint16_t>(e.mode));
    pack.number(e.uid);
    pack.number(e.gid);
    pack.number(e.mtime);
    pack.number(e.size);
    pack.number(e.tar_offset);
    pack.text(e.path);
    pack.text(e.link);
    pack.digest(e.content_digest);
    pack.digest(e.attributes);
  }
  pack.number(static_cast<uint64_t>(contents_.size()));
  for (const auto& [path, text] : contents_) {
    pack.text(path);
    pack.text(text);
  }
  Sha256 hash;
  hash.update(pack.out);
  const Sha256::Raw raw = hash.finish();
  pack.out.append(reinterpret_cast<const char*>(raw.data()), raw.size());
  return std::move(pack.out);
}

std::expected<LayerIndex, std::string> LayerIndex::parse(std::string_view file) {
  constexpr size_t trailer = sizeof(Sha256::Raw);
  if (!file.starts_with(magic)) return std::unexpected("not a layer index of this version");
  if (file.size() < magic.size() + trailer) return std::unexpected("truncated layer index");
  const std::string_view body = file.substr(0, file.size() - trailer);
  Sha256 hash;
  hash.update(body);
  const Sha256::Raw raw = hash.finish();
  if (std::memcmp(raw.data(), file.data() + body.size(), trailer) != 0)
    return std::unexpected("damaged layer index");
  Unpacker unpack(body.substr(magic.size()));
  LayerIndex out;
  const auto count = unpack.number<uint64_t>();
  if (count > body.size()) return std::unexpected("malformed layer index");
  out.entries_.reserve(count);
  for (uint64_t i = 0; i < count && !unpack.bad; ++i) {
    IndexEntry e;
    const auto type = unpack.number<uint8_t>();
    if (type > static_cast<uint8_t>(FileType::opaque))
      return std::unexpected("malformed layer index");
    e.type = static_cast<FileType>(type);
    e.mode = unpack.number<uint16_t>();
    e.uid = unpack.number<uint32_t>();
    e.gid = unpack.number<uint32_t>();
    e.mtime = unpack.number<int64_t>();
    e.size = unpack.number<uint64_t>();
    e.tar_offset = unpack.number<uint64_t>();
    e.path = unpack.text();
    e.link = unpack.text();
    e.content_digest = unpack.digest();
    e.attributes = unpack.digest();
    if (!out.entries_.empty() && !before(out.entries_.back(), e))
      return std::unexpected("layer index out of order");
    out.entries_.push_back(std::move(e));
  }
  const auto kept = unpack.number<uint64_t>();
  for (uint64_t i = 0; i < kept && !unpack.bad; ++i) {
    std::string path = unpack.text();
    out.contents_.emplace_back(std::move(path), unpack.text());
  }
  if (unpack.bad || unpack.left() != 0) return std::unexpected("malformed layer index");
  return out;
}

LayerIndex LayerIndex::from_tar(ByteSource& tar) {
  IndexedReader reader(tar);
  while (reader.next()) {
  }
  return reader.finish();
}

}  // namespace kiln
