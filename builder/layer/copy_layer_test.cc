#include "builder/layer/copy_layer.hh"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

#include "builder/layer/tar_reader.hh"
#include "builder/sys/file.hh"

namespace kiln {

namespace {

struct Directory {
  char path[32] = "/tmp/copy-layer-XXXXXX";
  Fd fd;
  Directory() {
    REQUIRE(mkdtemp(path) != nullptr);
    fd.reset(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  ~Directory() { remove_tree_at(AT_FDCWD, path); }
};

std::vector<Entry> entries_of(const CopyLayer& layer) {
  WorkerPool pool(1);
  StringSink sink;
  LayerWriter writer(sink, Compression::none, pool);
  layer.write(writer);
  writer.finish();
  StringSource source(sink.text);
  TarReader tar(source);
  std::vector<Entry> found;
  while (auto entry = tar.next()) found.push_back(std::move(*entry));
  return found;
}

}  // namespace

TEST_CASE("names of one file stay names of one file") {
  Directory directory;
  write_file_atomic(directory.fd.get(), "b", "content");
  REQUIRE(linkat(directory.fd.get(), "b", directory.fd.get(), "c", 0) == 0);
  REQUIRE(linkat(directory.fd.get(), "b", directory.fd.get(), "a", 0) == 0);
  write_file_atomic(directory.fd.get(), "d", "content");
  const Context tree = Context::open(directory.path);
  CopyLayer layer;
  layer.add_tree(tree, "", tree.walk(""), "x", {}, true);
  const auto found = entries_of(layer);
  REQUIRE(found.size() == 4);
  CHECK(found[0].path == "x/a");
  CHECK(found[0].type == FileType::file);
  for (size_t i : {1U, 2U}) {
    CHECK(found[i].type == FileType::hardlink);
    CHECK(found[i].link == "x/a");
  }
  CHECK(found[3].type == FileType::file);
}

TEST_CASE("names that are to look different become files of their own") {
  Directory directory;
  write_file_atomic(directory.fd.get(), "a", "content");
  REQUIRE(linkat(directory.fd.get(), "a", directory.fd.get(), "b", 0) == 0);
  const Context tree = Context::open(directory.path);
  CopyLayer layer;
  CopyRewrite other;
  other.uid = 7;
  layer.add_file(tree, *tree.stat("a"), "a", {});
  layer.add_file(tree, *tree.stat("b"), "b", other);
  const auto found = entries_of(layer);
  REQUIRE(found.size() == 2);
  CHECK(found[1].type == FileType::file);
  CHECK(found[1].uid == 7);
}

}  // namespace kiln
