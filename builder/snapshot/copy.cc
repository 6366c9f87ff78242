// Snapshots as whole copies, where nothing can be mounted.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/snapshot/base.hh"
#include "builder/snapshot/copy_tree.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/number.hh"

namespace kiln {

namespace {

constexpr size_t max_notes = size_t{1} << 30;

class CopySnapshotter final : public BaseSnapshotter {
 public:
  using BaseSnapshotter::BaseSnapshotter;
  Kind kind() const override { return Kind::copy; }

  std::unique_ptr<Rootfs> prepare(const std::string& parent) override {
    auto work = std::make_unique<WorkRoot>(records_, records_.make_tree(), parent);
    const Fd to = open_dir_at(records_.trees(), work->name());
    const std::vector<std::string> trees = records_.chain(parent);
    if (!trees.empty()) {
      const Fd from = open_dir_at(records_.trees(), trees.front());
      note(work->name(), copy_tree(from.get(), to.get()));
    }
    work->plain_at(records_.path() + "/s/" + work->name());
    return work;
  }

  std::unique_ptr<Rootfs> view(const std::string& key) override {
    const std::vector<std::string> trees = records_.chain(key);
    auto work = std::make_unique<WorkRoot>(records_, records_.make_tree(), key);
    work->plain_at(records_.path() + "/s/" + (trees.empty() ? work->name() : trees.front()));
    return work;
  }

 protected:
  bool leaves_out_empty() const override { return false; }

  Comparison compare(const std::string& tree, const std::string& parent) override {
    Comparison out;
    const std::vector<std::string> trees = records_.chain(parent);
    if (!trees.empty()) {
      out.open.push_back(open_dir_at(records_.trees(), trees.front()));
      out.source.lowers.push_back(out.open.back().get());
    }
    out.open.push_back(open_dir_at(records_.trees(), tree));
    out.source.upper = out.open.back().get();
    out.source.overlay = false;
    read_note(tree, out.source);
    return out;
  }

 private:
  // NAME.d: which directory is where, and when the copy was complete by the filesystem's own clock
  // (the ctime of the note itself, made last).
  void note(const std::string& name, const std::map<std::string, uint64_t>& directories) {
    std::string text;
    for (const auto& [path, inode] : directories) {
      text += std::to_string(inode);
      text += ' ';
      text += path;
      text += '\0';
    }
    write_file_atomic(records_.trees(), name + ".d", text, 0600);
  }

  void read_note(const std::string& name, ChangeSource& source) const {
    const std::string file = name + ".d";
    const auto text = try_read_file_at(records_.trees(), file, max_notes);
    struct stat status {};
    if (!text || ::fstatat(records_.trees(), file.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
      return;
    source.copied_at_ns = int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
    for (size_t at = 0; at < text->size();) {
      const size_t end = std::min(text->find('\0', at), text->size());
      const std::string_view line = std::string_view(*text).substr(at, end - at);
      at = end + 1;
      const size_t space = line.find(' ');
      const auto inode = parse_number<uint64_t>(line.substr(0, space));
      if (inode && space != std::string_view::npos)
        source.copied_directories.emplace(line.substr(space + 1), *inode);
    }
  }
};

}  // namespace

std::unique_ptr<Snapshotter> open_copy_snapshotter(const std::string& directory) {
  return std::make_unique<CopySnapshotter>(directory);
}

}  // namespace kiln
