#include "builder/snapshot/tar_image.hh"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <vector>

#include "builder/sys/error.hh"

namespace kiln {

namespace {

constexpr uint64_t block = 512;
constexpr uint32_t block_bits = 9;
constexpr uint64_t inode_size = 64;  // the extended form
constexpr uint64_t superblock_offset = 1024;
constexpr size_t superblock_size = 128;
constexpr uint32_t magic = 0xe0f5e1e2;
constexpr size_t dirent_size = 12;
constexpr size_t buffer_size = size_t{256} << 10;

// erofs_fs.h, EROFS_FT_*
enum : uint8_t { type_file = 1, type_directory = 2, type_fifo = 5, type_symlink = 7 };

void put(std::byte* at, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) at[i] = static_cast<std::byte>(value >> (8 * i) & 0xff);
}

void write_at(int fd, std::span<const std::byte> data, uint64_t offset) {
  while (!data.empty()) {
    const ssize_t done = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) throw SysError("write a snapshot");
    data = data.subspan(static_cast<size_t>(done));
    offset += static_cast<uint64_t>(done);
  }
}

// Appends to a file through a buffer.
class Appender {
 public:
  Appender(int fd, uint64_t offset) : fd_(fd), offset_(offset) { buffer_.reserve(buffer_size); }
  std::byte* take(size_t bytes) {  // zeroed
    if (buffer_.size() + bytes > buffer_size) flush();
    buffer_.resize(buffer_.size() + bytes);
    return buffer_.data() + (buffer_.size() - bytes);
  }
  uint64_t offset() const { return offset_ + buffer_.size(); }
  void flush() {
    write_at(fd_, buffer_, offset_);
    offset_ += buffer_.size();
    buffer_.clear();
  }

 private:
  int fd_;
  uint64_t offset_;
  std::vector<std::byte> buffer_;
};

struct Node {
  const IndexEntry* entry = nullptr;  // null: a root that the layer does not mention
  uint32_t same_as = 0;               // of a hard link: the node that it names
  uint32_t links = 1;
  uint32_t first_block = 0;
  uint32_t parent = 0;
  uint64_t size = 0;
};

// Nodes are numbered from 0, the root; inode numbers start above 0, which readdir(3) of old C
// libraries takes for a deleted name.
uint64_t nid_of(uint32_t node) {
  return (uint64_t{node} + 1) * (inode_size / 32);
}

class Image {
 public:
  Image(const LayerIndex& index, const struct stat& root) : index_(index), root_(root) {}

  std::optional<std::string> collect() {
    const auto entries = index_.entries();
    nodes_.reserve(entries.size() + 1);
    nodes_.emplace_back();
    if (const IndexEntry* root = index_.find("")) nodes_.front().entry = root;
    directories_.emplace("", 0);
    for (const IndexEntry& entry : entries) {
      if (!entry.attributes.empty()) return "/" + entry.path + " has attributes or is a device";
      if (entry.type == FileType::whiteout || entry.type == FileType::opaque)
        return "/" + entry.path + " is deleted";
      if (entry.path.empty()) continue;
      const auto above = directories_.find(parent_path(entry.path));
      if (above == directories_.end()) return "/" + entry.path + " has no directory in its layer";
      if (base_name(entry.path).size() > 255) return "/" + entry.path + " has too long a name";
      const auto number = static_cast<uint32_t>(nodes_.size());
      Node& node = nodes_.emplace_back();
      node.entry = &entry;
      node.same_as = number;
      node.parent = above->second;
      if (entry.type == FileType::directory) {
        directories_.emplace(entry.path, number);
        node.links = 2;
        ++nodes_[node.parent].links;
      } else if (entry.type == FileType::symlink) {
        node.size = entry.link.size();
        if (node.size >= 4096 || node.size == 0) return "/" + entry.path + " has too long a target";
      } else if (entry.type == FileType::file) {
        node.size = entry.size;
        if ((tar_image_head + entry.tar_offset + entry.size) / block > UINT32_MAX)
          return "the layer is too large";
        node.first_block = static_cast<uint32_t>((tar_image_head + entry.tar_offset) / block);
      }
    }
    ++nodes_.front().links;  // "." of the root; its name is nobody's
    return tie_links();
  }

  // Directories and link targets, then the inodes.
  void write(int fd, uint64_t tar_size) {
    Appender out(fd, (tar_image_head + tar_size + block - 1) / block * block);
    std::vector<uint32_t> first(nodes_.size() + 1, 0), children(nodes_.size() - 1);
    for (size_t i = 1; i < nodes_.size(); ++i) ++first[nodes_[i].parent + 1];
    for (size_t i = 1; i < first.size(); ++i) first[i] += first[i - 1];
    std::vector<uint32_t> next(first.begin(), first.end() - 1);
    // In the order of the index, which is the byte order of names within each directory.
    for (uint32_t i = 1; i < nodes_.size(); ++i) children[next[nodes_[i].parent]++] = i;
    for (uint32_t i = 0; i < nodes_.size(); ++i) {
      if (is_directory(i))
        write_directory(out, i, std::span(children).subspan(first[i], first[i + 1] - first[i]));
      else if (nodes_[i].entry->type == FileType::symlink)
        write_target(out, nodes_[i]);
    }
    const uint64_t inodes = out.offset();
    out.take(inode_size);
    for (uint32_t i = 0; i < nodes_.size(); ++i) write_inode(out, i);
    // The kernel reads whole pages.
    while (out.offset() % tar_image_head != 0) out.take(block - out.offset() % block);
    out.flush();
    write_superblock(fd, inodes / block, out.offset() / block);
  }

 private:
  bool is_directory(uint32_t node) const {
    return node == 0 || nodes_[node].entry->type == FileType::directory;
  }

  std::optional<std::string> tie_links() {
    for (Node& node : nodes_) {
      if (node.entry == nullptr || node.entry->type != FileType::hardlink) continue;
      // By number: nodes are in the order of the index, the root apart.
      const IndexEntry* target = index_.find(node.entry->link);
      if (target == nullptr || target->type == FileType::directory ||
          target->type == FileType::hardlink)
        return "/" + node.entry->path + " is a link to what the layer does not hold";
      const auto at = std::ranges::lower_bound(nodes_.begin() + 1, nodes_.end(), target->path, {},
                                               [](const Node& n) { return n.entry->path; });
      node.same_as = at->same_as;
      ++at->links;
    }
    return std::nullopt;
  }

  uint8_t type_of(uint32_t number) const {
    if (is_directory(number)) return type_directory;
    const FileType type = nodes_[nodes_[number].same_as].entry->type;
    return type == FileType::symlink ? type_symlink
           : type == FileType::fifo  ? type_fifo
                                     : type_file;
  }

  // Blocks of records (inode, offset of its name, type) followed by the names, all in byte order.
  void write_directory(Appender& out, uint32_t number, std::span<const uint32_t> children) {
    nodes_[number].first_block = static_cast<uint32_t>(out.offset() / block);
    struct Name {
      std::string_view text;
      uint32_t node;
    };
    std::vector<Name> names;
    names.reserve(children.size() + 2);
    for (const uint32_t child : children)
      names.push_back({base_name(nodes_[child].entry->path), child});
    for (const Name& own : {Name{".", number}, Name{"..", nodes_[number].parent}})
      names.insert(std::ranges::lower_bound(names, own.text, {}, &Name::text), own);
    for (size_t at = 0; at < names.size();) {
      size_t end = at, used = 0;
      while (end < names.size() && used + dirent_size + names[end].text.size() <= block)
        used += dirent_size + names[end++].text.size();
      std::byte* const start = out.take(block);
      size_t offset = dirent_size * (end - at);
      for (size_t i = at; i < end; ++i) {
        std::byte* const record = start + dirent_size * (i - at);
        const bool own = names[i].text == "." || names[i].text == "..";
        put(record, nid_of(own ? names[i].node : nodes_[names[i].node].same_as), 8);
        put(record + 8, offset, 2);
        put(record + 10, own ? uint8_t{type_directory} : type_of(names[i].node), 1);
        std::memcpy(start + offset, names[i].text.data(), names[i].text.size());
        offset += names[i].text.size();
      }
      nodes_[number].size += block;
      at = end;
    }
  }

  static void write_target(Appender& out, Node& node) {
    node.first_block = static_cast<uint32_t>(out.offset() / block);
    const std::string& target = node.entry->link;
    std::byte* const start = out.take((target.size() + block - 1) / block * block);
    std::memcpy(start, target.data(), target.size());
  }

  void write_inode(Appender& out, uint32_t number) {
    const Node& node = nodes_[number];
    std::byte* const at = out.take(inode_size);
    if (node.same_as != number && number != 0) return;  // no inode of its own
    const IndexEntry* e = node.entry;
    const mode_t kind = is_directory(number)           ? S_IFDIR
                        : e->type == FileType::symlink ? S_IFLNK
                        : e->type == FileType::fifo    ? S_IFIFO
                                                       : S_IFREG;
    put(at, 1, 2);  // extended, flat, no attributes
    put(at + 4, kind | (e != nullptr ? e->mode & 07777U : root_.st_mode & 07777U), 2);
    put(at + 8, node.size, 8);
    put(at + 16, node.first_block, 4);
    put(at + 20, number + 1, 4);
    put(at + 24, e != nullptr ? e->uid : root_.st_uid, 4);
    put(at + 28, e != nullptr ? e->gid : root_.st_gid, 4);
    put(at + 32, static_cast<uint64_t>(e != nullptr ? e->mtime : root_.st_mtim.tv_sec), 8);
    put(at + 40, e != nullptr ? 0 : static_cast<uint64_t>(root_.st_mtim.tv_nsec), 4);
    put(at + 44, node.links, 4);
  }

  void write_superblock(int fd, uint64_t inodes_block, uint64_t blocks) {
    std::byte head[superblock_size] = {};
    put(head, magic, 4);
    put(head + 12, block_bits, 1);
    put(head + 14, nid_of(0), 2);
    put(head + 16, nodes_.size(), 8);
    put(head + 36, blocks, 4);
    put(head + 40, inodes_block, 4);
    write_at(fd, head, superblock_offset);
  }

  const LayerIndex& index_;
  const struct stat& root_;
  std::vector<Node> nodes_;
  std::unordered_map<std::string_view, uint32_t> directories_;
};

}  // namespace

void TarImageSink::write(std::span<const std::byte> data) {
  write_at(fd_, data, tar_image_head + size_);
  size_ += data.size();
}

std::optional<std::string> finish_tar_image(int fd, uint64_t tar_size, const LayerIndex& index,
                                            const struct stat& root) {
  Image image(index, root);
  if (auto why = image.collect()) return why;
  image.write(fd, tar_size);
  return std::nullopt;
}

}  // namespace kiln
