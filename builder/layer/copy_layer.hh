// Owns: a layer (or a change of a tree) made straight from files elsewhere: paths, owners, modes
// and times rewritten; what COPY and ADD of local files write, without a snapshot. Does not own:
// which sources an instruction names, nor where its destination resolves to.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "builder/context/context.hh"
#include "builder/layer/apply.hh"
#include "builder/layer/background_applier.hh"
#include "builder/layer/layer_writer.hh"

namespace kiln {

struct CopyRewrite {
  std::optional<uint32_t> uid = 0, gid = 0;  // nullopt keeps the source's
  std::optional<uint32_t> file_mode;         // nullopt keeps the source's; --chmod
  std::optional<uint32_t> directory_mode;    // the same for directories
  std::optional<int64_t> mtime;              // SOURCE_DATE_EPOCH: exactly this time
  bool xattrs = false;                       // also extended attributes
};

// What write() does besides.
struct CopyObserver {
  // Gets every entry as well, with the same bytes.
  BackgroundApplier* applier = nullptr;
  // Called for each file of a tree: the open file, its content's digest (hex), and when (ns since
  // the epoch) reading began.
  std::function<void(const ContextEntry& file, int fd, std::string_view digest, int64_t began)>
      digested;
};

class CopyLayer {
 public:
  // Destinations are resolved in-root paths (no leading slash). A later add to the same path wins,
  // except that a directory over a directory keeps what is below.
  // A single file, link or special file of `tree` to exactly `destination`.
  void add_file(const Context& tree, const ContextEntry& source, const std::string& destination,
                const CopyRewrite& rewrite);
  // The contents of a walked directory: `entries` as Context::walk(`source`) gave them; a
  // directory's own entry (path == source) gives the attributes of `destination` if that is not in
  // the base.
  void add_tree(const Context& tree, const std::string& source, std::vector<ContextEntry> entries,
                const std::string& destination, const CopyRewrite& rewrite,
                bool destination_exists);
  // The same without keeping a copy: `entries` must outlive this object.
  void add_borrowed_tree(const Context& tree, const std::string& source,
                         std::span<const ContextEntry> entries, const std::string& destination,
                         const CopyRewrite& rewrite, bool destination_exists);
  // The contents of an extracted archive, `entries` as Context::walk("") gave them. A directory
  // that `listed`, the archive's index, lacks is only the parent of an entry: where `base` has one,
  // also behind a link, it stays as it is; else it is made with the attributes of `implied`. Throws
  // Error where `base` has something else.
  void add_archive(const Context& tree, std::vector<ContextEntry> entries, const LayerIndex& listed,
                   const std::string& destination, const CopyRewrite& rewrite,
                   const MergedIndex& base, const Entry& implied);
  // Literal content (a heredoc, a downloaded file that is small).
  void add_content(const Entry& entry, std::string content);
  // A directory that the base lacks (a parent of a destination, WORKDIR).
  void add_directory(const Entry& entry);
  // A path that must vanish from the base first (a file replaced by a directory is implied).
  void add_whiteout(const std::string& path);

  // Adds the directories above every entry that are not there yet, as `look_up` knows them
  // (nullopt: left out). For appliers that unpack a layer by itself (podman and Docker on overlay):
  // they make missing parents anew as root's 0755, and so hide what lower layers said.
  void list_parents(const std::function<std::optional<Entry>(const std::string& path)>& look_up);

  bool empty() const { return items_.empty(); }
  size_t size() const { return items_.size(); }  // entries
  // Streams everything in order. `this` keeps borrowing the contexts it was given.
  void write(LayerWriter& writer, const CopyObserver& observer = {}) const;
  void apply(Applier& applier) const;

 private:
  // There may be very many: an entry of a tree is made when it is written.
  struct Literal {
    Entry entry;
    std::string content;
  };
  struct Item {
    const ContextEntry* source = nullptr;  // of `tree`, or
    const Literal* literal = nullptr;
    const Context* tree = nullptr;
    const CopyRewrite* rewrite = nullptr;
    bool directory() const;
  };
  template <typename Add>
  void each(const Add& add) const;
  void put(std::string path, const Item& item);
  Item own(Entry entry, std::string content);

  std::map<std::string, Item> items_;  // by the name that sorts it
  // Addresses stay.
  std::deque<std::vector<ContextEntry>> trees_;
  std::deque<Literal> literals_;
  std::deque<CopyRewrite> rewrites_;
};

}  // namespace kiln
