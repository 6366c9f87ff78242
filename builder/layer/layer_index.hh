// Owns: what a layer contains without its contents: the sorted table of its paths, and the text of
// /etc/passwd and /etc/group; its file form; and lookups through a stack of such tables with the
// rules of the in-root resolver.
// Does not own: where index files are kept (store/), or the layers.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "builder/layer/entry.hh"
#include "builder/sys/error.hh"
#include "builder/sys/resolve.hh"

namespace kiln {

struct IndexEntry {
  std::string path;
  FileType type = FileType::file;
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  int64_t mtime = 0;
  uint64_t size = 0;
  uint64_t tar_offset = 0;     // of the content in the tar
  std::string content_digest;  // sha256 hex of a file's content, else empty
  std::string link;
  // sha256 hex of extended attributes and device number, empty when it has neither.
  std::string attributes{};

  bool operator==(const IndexEntry&) const = default;
};

class LayerIndex {
 public:
  void reserve(size_t entries) { entries_.reserve(entries); }
  // Any order; for a path that comes twice the last one counts, as when the layer is applied.
  void add(IndexEntry entry);
  // Content of etc/passwd or etc/group (others are ignored), at most 1 MiB each.
  void keep_content(std::string_view path, std::string content);
  static bool wants_content(std::string_view path, uint64_t size);

  // IndexEntry::attributes of an entry.
  static std::string attributes_of(const Entry& entry);

  void sort();                                          // after the last add()
  const IndexEntry* find(std::string_view path) const;  // exact path, no links, no whiteouts
  struct Hides {
    bool deleted = false;  // the path has a whiteout
    bool opaque = false;   // the directory hides its lower children
  };
  Hides hides(std::string_view path) const;
  std::span<const IndexEntry> entries() const { return entries_; }
  // Entries strictly below `directory` ("" for all).
  std::span<const IndexEntry> below(std::string_view directory) const;
  const std::string* content(std::string_view path) const;

  // File form: versioned, with a digest of itself at its end; parse() rejects anything else.
  std::string serialize() const;
  static std::expected<LayerIndex, std::string> parse(std::string_view file);

  // Reads a plain tar stream to its end, building the index.
  static LayerIndex from_tar(class ByteSource& tar);

 private:
  std::vector<IndexEntry> entries_;
  std::vector<std::pair<std::string, std::string>> contents_;
};

// The file is there, and its text is in a layer only.
class TextNotIndexed : public Error {
 public:
  using Error::Error;
};

// The root filesystem that a stack of layers makes, as far as metadata goes.
class MergedIndex {
 public:
  void push(std::shared_ptr<const LayerIndex> layer);  // bottom first

  // The entry visible at a path with no links in its parents; the root is an implied directory.
  // Directories that only occur as a parent of others are implied: mode 0755, owner 0.
  std::optional<IndexEntry> lookup(std::string_view path) const;
  // In-root resolution with the resolver's rules.
  std::expected<Walked, int> resolve(std::string_view path, LastLink last = LastLink::follow,
                                     Missing missing = Missing::fail) const;
  // Names visible in a directory, sorted.
  std::vector<std::string> list(std::string_view directory) const;
  // Text of a small file that indexes carry, links followed ("etc/passwd"); nullopt when absent.
  // Throws TextNotIndexed for a file whose content no index carries, Error for what is no file.
  std::optional<std::string> read(std::string_view path) const;

 private:
  struct Hit {
    IndexEntry entry;
    size_t layer = 0;
  };
  std::shared_ptr<const LayerIndex> relocated(std::shared_ptr<const LayerIndex> layer) const;
  std::optional<Hit> find(std::string_view path, size_t layers) const;  // in the lowest `layers`
  std::optional<Hit> find_content(std::string_view path) const;         // hard links followed
  static bool hidden_below(const LayerIndex& layer, std::string_view path);
  std::vector<std::shared_ptr<const LayerIndex>> layers_;
};

}  // namespace kiln
