// Thousands of hostile tars applied beside a watched directory: whatever an archive says, nothing
// outside the root is read, made, linked or changed (kaniko CVE-2026-28406, go-archive
// CVE-2026-17106). Seen to fail in the second round with RESOLVE_IN_ROOT taken out of
// try_open_in_root() and the refusal of ".." out of TarReader::clean().
#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <random>

#include "builder/layer/apply.hh"
#include "builder/layer/layer_writer.hh"
#include "builder/layer/tree.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/resolve.hh"
#include "builder/sys/test_directory.hh"

using namespace kiln;

namespace {

struct Sandbox : TestDirectory {
  Sandbox() {
    for (const char* name : {"outside", "outside/dir", "outside/dir/deep"})
      make_dir_at(fd.get(), name);
    for (const char* name : {"outside/secret", "outside/dir/secret"})
      write_file_atomic(fd.get(), name, "secret", 0600);
  }

  Fd fresh_root() const {
    remove_tree_at(fd.get(), "root");
    make_dir_at(fd.get(), "root");
    return open_dir_at(fd.get(), "root");
  }

  // Every name outside the root, with what any use of it but reading would change.
  std::map<std::string, std::string> seen() const {
    std::map<std::string, std::string> out;
    look("", out);
    return out;
  }

 private:
  void look(const std::string& below, std::map<std::string, std::string>& out) const {
    const Fd directory = open_in_root(fd.get(), below, O_RDONLY | O_DIRECTORY);
    for (const std::string& name : list_directory(directory.get())) {
      const std::string at = join_path(below, name);
      if (at == "root") continue;
      struct stat s {};
      REQUIRE(::fstatat(directory.get(), name.c_str(), &s, AT_SYMLINK_NOFOLLOW) == 0);
      out[at] = std::to_string(s.st_ino) + " " + std::to_string(s.st_mode) + " " +
                std::to_string(s.st_nlink) + " " + std::to_string(s.st_size) + " " +
                std::to_string(s.st_ctim.tv_sec) + "." + std::to_string(s.st_ctim.tv_nsec);
      if (S_ISDIR(s.st_mode)) look(at, out);
    }
  }
};

class Hostile {
 public:
  explicit Hostile(const std::string& outside) : outside_(outside) {}

  std::string tar() {
    std::string out;
    for (size_t i = 0, n = 1 + random_() % 8; i < n; ++i) {
      Entry e{.path = name(), .mode = static_cast<uint32_t>(random_() % 010000)};
      constexpr FileType types[] = {FileType::file,     FileType::file,    FileType::directory,
                                    FileType::symlink,  FileType::symlink, FileType::hardlink,
                                    FileType::whiteout, FileType::opaque,  FileType::fifo};
      e.type = types[random_() % std::size(types)];
      if (e.type == FileType::symlink || e.type == FileType::hardlink) e.link = target();
      if (e.type == FileType::opaque) {  // as a layer writes it
        e.type = FileType::file;
        e.path += "/.wh..wh..opq";
      }
      std::string content;
      if (e.type == FileType::file) content = std::string(random_() % 700, 'c');
      e.size = content.size();
      const size_t at = out.size();
      append_tar_header(out, e);
      if (random_() % 3 == 0) damage(out, at);
      content.resize((content.size() + 511) / 512 * 512);
      out += content;
    }
    out.append(1024, '\0');
    return out;
  }

 private:
  std::string pick(std::initializer_list<const char*> from) {
    return *(from.begin() + random_() % from.size());
  }
  std::string name() {
    std::string out;
    for (size_t i = 0, n = 1 + random_() % 4; i < n; ++i)
      out += (i == 0 ? "" : "/") +
             pick({"a", "b", "l", "m", "a", "l", "dir", "secret", "deep", "outside", "..", "."});
    if (random_() % 8 == 0) out = outside_ + "/" + out;
    if (random_() % 8 == 0) out = "../outside/" + out;
    return out;
  }
  std::string target() {
    switch (random_() % 6) {
      case 0:
        return outside_;
      case 1:
        return outside_ + "/secret";
      case 2:
        return "../outside";
      case 3:
        return "../../../../.." + outside_ + "/dir";
      default:
        return name();
    }
  }
  // Some bytes of a header replaced, and its checksum made right again.
  void damage(std::string& tar, size_t at) {
    for (size_t i = 0; i < 1 + random_() % 3; ++i)
      tar[at + random_() % 512] = pick({"/", ".", "0", "1", "2", "5", "x", "L", "7"})[0];
    unsigned sum = 0;
    for (size_t i = 0; i < 512; ++i)
      sum += static_cast<unsigned char>(i >= 148 && i < 156 ? ' ' : tar[at + i]);
    char text[8];
    std::snprintf(text, sizeof text, "%06o", sum);
    tar.replace(at + 148, 7, text, 7);
  }

  std::string outside_;
  std::mt19937 random_{28406};
};

}  // namespace

TEST_CASE("no tar leaves the directory that it is applied to") {
  const Sandbox sandbox;
  Hostile hostile(sandbox.path + "/outside");
  const auto before = sandbox.seen();
  Fd root = sandbox.fresh_root();
  unsigned applied = 0;
  for (unsigned round = 0; round < 2000; ++round) {
    CAPTURE(round);
    // Some come onto what the ones before them made, as layers do.
    if (round % 7 == 0) root = sandbox.fresh_root();
    const std::string tar = hostile.tar();
    ApplyOptions options;
    options.kind = round % 2 == 0 ? ApplyOptions::Kind::layer : ApplyOptions::Kind::archive;
    options.owners = options.devices = false;
    forbid_openat2(round % 3 == 0);
    try {
      StringSource source(tar);
      apply_tar(source, root.get(), options);
      ++applied;
    } catch (const Error&) {
    }
    forbid_openat2(false);
    const auto after = sandbox.seen();
    REQUIRE(after == before);
  }
  CHECK(applied > 250);  // or the tars would not say much
}
