#include "builder/layer/copy_layer.hh"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

#include "builder/layer/tar_reader.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/test_directory.hh"

namespace kiln {

namespace {

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
  TestDirectory directory;
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
  TestDirectory directory;
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

TEST_CASE("directories that an archive only implies") {
  TestDirectory directory;
  for (const char* path : {"have", "have/in", "new", "link", "given"})
    REQUIRE(mkdirat(directory.fd.get(), path, 0700) == 0);
  for (const char* path : {"have/in/f", "new/f", "link/f", "given/f"})
    write_file_atomic(directory.fd.get(), path, "content");
  const Context tree = Context::open(directory.path);
  const auto index = [](const std::vector<IndexEntry>& entries) {
    LayerIndex out;
    for (const IndexEntry& e : entries) out.add(e);
    out.sort();
    return out;
  };
  const LayerIndex listed = index({{.path = "have/in/f"},
                                   {.path = "new/f"},
                                   {.path = "link/f"},
                                   {.path = "given", .type = FileType::directory},
                                   {.path = "given/f"}});
  MergedIndex base;
  base.push(std::make_shared<const LayerIndex>(
      index({{.path = "x", .type = FileType::directory},
             {.path = "x/have", .type = FileType::directory},
             {.path = "x/link", .type = FileType::symlink, .link = "/real"},
             {.path = "real", .type = FileType::directory},
             {.path = "file"}})));
  Entry implied;
  implied.type = FileType::directory;
  implied.mode = 0755;
  implied.mtime = 42;
  CopyLayer layer;
  layer.add_archive(tree, tree.walk(""), listed, "x", {}, base, implied);
  const auto found = entries_of(layer);
  std::vector<std::string> paths;
  paths.reserve(found.size());
  for (const Entry& e : found) paths.push_back(e.path);
  CHECK(paths == std::vector<std::string>{"real/f", "x/given", "x/given/f", "x/have/in",
                                          "x/have/in/f", "x/new", "x/new/f"});
  CHECK(found[1].mode == 0700);
  CHECK(found[5].mode == 0755);
  CHECK(found[5].mtime == 42);

  CopyLayer over_a_file;
  MergedIndex other;
  other.push(std::make_shared<const LayerIndex>(index({{.path = "new"}})));
  CHECK_THROWS_WITH(over_a_file.add_archive(tree, tree.walk(""), listed, "", {}, other, implied),
                    "/new is a file in the image, not a directory");

  MergedIndex dangling;
  dangling.push(std::make_shared<const LayerIndex>(
      index({{.path = "new", .type = FileType::symlink, .link = "/nowhere"}})));
  CHECK_THROWS_AS(over_a_file.add_archive(tree, tree.walk(""), listed, "", {}, dangling, implied),
                  SysError);
}

}  // namespace kiln
