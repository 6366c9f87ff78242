#include "builder/snapshot/remove_files.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/layer/entry.hh"
#include "builder/layer/tree.hh"
#include "builder/sys/error.hh"
#include "builder/sys/fd.hh"
#include "builder/sys/number.hh"
#include "builder/sys/overwrite.hh"

namespace kiln {

namespace {

class Removal {
 public:
  Removal(const std::set<FileId>& files, const std::function<bool(const std::string&)>& skip)
      : files_(files), skip_(skip) {}

  size_t directory(int directory, const std::string& path) {
    struct stat top {};
    if (::fstat(directory, &top) != 0) throw SysError("stat /" + path);
    size_t removed = 0;
    for (const std::string& name : list_directory(directory)) {
      const std::string at = join_path(path, name);
      struct stat status {};
      if ((skip_ && skip_(at)) ||
          ::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
        continue;
      if (S_ISDIR(status.st_mode)) {
        if (status.st_dev != top.st_dev) continue;
        const Fd below(
            ::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (!below) throw SysError("open /" + at);
        removed += this->directory(below.get(), at);
      } else if (S_ISREG(status.st_mode) && files_.contains({status.st_dev, status.st_ino})) {
        const Fd file(::openat(directory, name.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
        if (file) overwrite_file(file.get());
        if (::unlinkat(directory, name.c_str(), 0) != 0) throw SysError("remove /" + at);
        ++removed;
      }
    }
    return removed;
  }

 private:
  const std::set<FileId>& files_;
  const std::function<bool(const std::string&)>& skip_;
};

}  // namespace

std::string file_id_text(const FileId& file) {
  return std::to_string(file.first) + " " + std::to_string(file.second);
}

std::optional<FileId> parse_file_id(std::string_view text) {
  const size_t blank = text.find(' ');
  if (blank == text.npos) return std::nullopt;
  const auto device = parse_number<uint64_t>(text.substr(0, blank));
  const auto inode = parse_number<uint64_t>(text.substr(blank + 1));
  if (!device || !inode) return std::nullopt;
  return FileId{*device, *inode};
}

size_t remove_files(int directory, const std::set<FileId>& files,
                    const std::function<bool(const std::string& path)>& skip) {
  return files.empty() ? 0 : Removal(files, skip).directory(directory, "");
}

}  // namespace kiln
