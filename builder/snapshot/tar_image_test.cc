#include "builder/snapshot/tar_image.hh"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include "builder/context/context.hh"
#include "builder/layer/copy_layer.hh"
#include "builder/layer/decompress.hh"
#include "builder/snapshot/overlay_mount.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/test_directory.hh"

namespace kiln {

namespace {

std::vector<std::string> listing(Fd root) {
  const Context tree(std::move(root), "tree");
  std::vector<std::string> out;
  for (const ContextEntry& e : tree.walk("")) {
    std::string line = e.entry.path + " " + std::to_string(static_cast<int>(e.entry.type)) + " " +
                       std::to_string(e.entry.mode) + " " + std::to_string(e.entry.uid) + " " +
                       std::to_string(e.entry.gid) + " " + std::to_string(e.entry.mtime) + " " +
                       std::to_string(e.links) + " " + e.entry.link;
    if (e.entry.type == FileType::file)
      line += " " +
              oci::Digest::sha256(read_file_at(tree.root(), e.entry.path, size_t{1} << 26)).text();
    out.push_back(std::move(line));
  }
  return out;
}

std::optional<std::string> refused(std::vector<IndexEntry> entries) {
  const TestDirectory at;
  const Fd file(::openat(at.fd.get(), "image", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  LayerIndex index;
  for (IndexEntry& e : entries) index.add(std::move(e));
  index.sort();
  struct stat root {};
  return finish_tar_image(file.get(), 0, index, root);
}

}  // namespace

TEST_CASE("a tar that is mounted as it lies equals the tar unpacked") {
  const TestDirectory from, work, after;
  const auto put = [&](const std::string& name, const std::string& text, mode_t mode = 0644) {
    write_file_atomic(from.fd.get(), name, text, mode);
  };
  make_dir_at(from.fd.get(), "d", 01777);
  make_dir_at(from.fd.get(), "d/empty", 0700);
  make_dir_at(from.fd.get(), "d/sub", 0755);
  // Around ".", and so many that a directory takes several blocks.
  for (const char* name : {"!", "-", ".-", "..x", ".x", "~", "d/sub/caf\xe9"})
    put(name, name, 0600);
  for (int i = 0; i < 700; ++i) put("d/f" + std::to_string(i), std::to_string(i));
  const std::string longest = "d/sub/" + std::string(255, 'n');
  REQUIRE(Fd(::openat(from.fd.get(), longest.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644)));
  for (const size_t size : {0UL, 1UL, 511UL, 512UL, 513UL, 4095UL, 4096UL, 4097UL, 300000UL}) {
    std::string text;
    for (size_t i = 0; text.size() < size; ++i) text += static_cast<char>(i * 7 + i / 256);
    put("size-" + std::to_string(size), text, 04755);
  }
  REQUIRE(::linkat(from.fd.get(), "size-513", from.fd.get(), "d/zz", 0) == 0);
  REQUIRE(::linkat(from.fd.get(), "size-513", from.fd.get(), "aa", 0) == 0);
  REQUIRE(::symlinkat("d/f1", from.fd.get(), "link") == 0);
  REQUIRE(::symlinkat(std::string(3000, 'l').c_str(), from.fd.get(), "long-link") == 0);
  REQUIRE(::mkfifoat(from.fd.get(), "fifo", 0640) == 0);

  const Context tree = Context::open(from.path);
  CopyRewrite rewrite{::geteuid(), ::getegid(), {}, {}, -5};
  CopyLayer copy;
  Entry top_entry;
  top_entry.path = "to";
  top_entry.type = FileType::directory;
  top_entry.mode = 0755;
  copy.add_directory(top_entry);
  copy.add_tree(tree, "", tree.walk(""), "to", rewrite, false);
  StringSink blob;
  WorkerPool pool(1);
  const Fd file(::openat(work.fd.get(), "image", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  TarImageSink sink(file.get());
  LayerWriter writer(blob, Compression::gzip, pool, &sink);
  copy.write(writer);
  const LayerBlob made = writer.finish();
  CHECK(sink.size() == made.tar_size);
  struct stat root {};
  root.st_mode = S_IFDIR | 0750;
  REQUIRE(!finish_tar_image(file.get(), sink.size(), made.index, root));

  StringSource packed(blob.text);
  const auto plain = decompress(packed);
  apply_tar(*plain, after.fd.get());
  Fd mounted;
  try {
    mounted = open_image(work.fd.get(), "image");
  } catch (const SysError& error) {
    MESSAGE("not mounted, which takes root and Linux 6.12: ", error.message());
    return;
  }
  struct stat top {};
  REQUIRE(::fstat(mounted.get(), &top) == 0);
  CHECK((top.st_mode & 07777) == 0750);
  const std::vector<std::string> wanted = listing(Fd(::open(after.path.c_str(), O_RDONLY)));
  CHECK(wanted.size() > 700);
  CHECK(listing(std::move(mounted)) == wanted);
}

TEST_CASE("a layer that only a tree can hold makes no image") {
  CHECK(!refused({{.path = "d", .type = FileType::directory}, {.path = "d/f"}}));
  CHECK(refused({{.path = "d/f"}}) == "/d/f has no directory in its layer");
  CHECK(refused({{.path = "f", .attributes = "aa"}}).has_value());
  CHECK(refused({{.path = "f", .type = FileType::whiteout}}).has_value());
  CHECK(refused({{.path = "", .type = FileType::opaque}}).has_value());
  CHECK(refused({{.path = "f", .type = FileType::hardlink, .link = "below"}}).has_value());
}

}  // namespace kiln
