// One table of cases for the in-root resolver, run against openat2, against its fallback on
// descriptors, and against the merged index of the same tree's layer.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
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

std::string tar_of(std::vector<Entry> entries) {
  std::string tar;
  for (const Entry& e : entries) append_tar_header(tar, e);
  tar.append(1024, '\0');
  return tar;
}

Entry dir(std::string path) {
  return {.path = path, .type = FileType::directory, .mode = 0755};
}
Entry file(std::string path) {
  return {.path = path, .mode = 0644};
}
Entry slink(std::string path, std::string to) {
  return {.path = path, .type = FileType::symlink, .mode = 0777, .link = to};
}

const std::vector<Entry> tree = {
    dir("a"),
    dir("a/b"),
    file("a/b/f"),
    slink("abs", "/a/b"),
    slink("chain1", "chain2"),
    slink("chain2", "a/../a/b"),
    slink("dangling", "a/none"),
    slink("escape", "../../../a"),
    slink("escape-abs", "/../../a/b/f"),
    dir("etc"),
    slink("loop1", "loop2"),
    slink("loop2", "loop1"),
    slink("slash", "a/b/"),
    slink("to-file", "a/b/f"),
    slink("up", ".."),
    slink("a/b/back", "../.."),
    slink("a/self", "."),
};

struct Case {
  const char* path;
  const char* found;  // inode's path, null when an error
  int error = 0;
};

const Case cases[] = {
    {"", ""},
    {"/", ""},
    {"..", ""},
    {"../../..", ""},
    {"a/b/f", "a/b/f"},
    {"/a//b/./f", "a/b/f"},
    {"a/b/f/", nullptr, ENOTDIR},
    {"a/b/f/.", nullptr, ENOTDIR},
    {"a/b/f/..", nullptr, ENOTDIR},
    {"a/b/f/x", nullptr, ENOTDIR},
    {"a/none", nullptr, ENOENT},
    {"a/none/..", nullptr, ENOENT},
    {"abs", "a/b"},
    {"abs/f", "a/b/f"},
    {"abs/..", "a"},
    {"chain1/f", "a/b/f"},
    {"dangling", nullptr, ENOENT},
    {"dangling/x", nullptr, ENOENT},
    {"escape/b/f", "a/b/f"},
    {"escape-abs", "a/b/f"},
    {"loop1", nullptr, ELOOP},
    {"loop1/x", nullptr, ELOOP},
    {"slash/f", "a/b/f"},
    {"to-file", "a/b/f"},
    {"to-file/", nullptr, ENOTDIR},
    {"up/etc", "etc"},
    {"a/b/back/etc", "etc"},
    {"a/self/self/b", "a/b"},
    {"abs/back/abs/back/etc/../../../etc", "etc"},
};

void sort(std::vector<Entry>& entries) {
  std::ranges::sort(entries, {}, &Entry::path);
}

// (device, inode) of what the path leads to, or the errno.
std::expected<ino_t, int> by_fd(int root, const char* path, bool fallback) {
  forbid_openat2(fallback);
  const auto fd = try_open_in_root(root, path, O_PATH);
  forbid_openat2(false);
  if (!fd) return std::unexpected(fd.error());
  struct stat status {};
  REQUIRE(::fstat(fd->get(), &status) == 0);
  return status.st_ino;
}

ino_t inode(int root, const std::string& path) {
  struct stat status {};
  REQUIRE(::fstatat(root, path.empty() ? "." : path.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0);
  return status.st_ino;
}

}  // namespace

TEST_CASE("the resolver's cases hold for openat2, the fallback and the index") {
  TestDirectory t;
  std::vector<Entry> entries = tree;
  sort(entries);
  const std::string tar = tar_of(entries);
  StringSource source(tar);
  MergedIndex index;
  index.push(std::make_shared<const LayerIndex>(apply_tar(source, t.fd.get(), {.owners = false})));
  for (const Case& c : cases) {
    CAPTURE(c.path);
    const auto walked = index.resolve(c.path);
    CHECK(walked.has_value() == (c.found != nullptr));
    if (walked && c.found) CHECK(walked->path == c.found);
    if (!walked) CHECK(walked.error() == c.error);
    for (const bool fallback : {false, true}) {
      CAPTURE(fallback);
      const auto found = by_fd(t.fd.get(), c.path, fallback);
      CHECK(found.has_value() == (c.found != nullptr));
      if (found && c.found) CHECK(*found == inode(t.fd.get(), c.found));
      if (!found) CHECK(found.error() == c.error);
    }
  }
}

TEST_CASE("random paths: openat2, the fallback and the index agree") {
  TestDirectory t;
  std::vector<Entry> entries = tree;
  sort(entries);
  const std::string tar = tar_of(entries);
  StringSource source(tar);
  MergedIndex index;
  index.push(std::make_shared<const LayerIndex>(apply_tar(source, t.fd.get(), {.owners = false})));
  std::mt19937 random(7);
  const char* words[] = {"a",  "b",   "f",       "abs",    "chain1", "slash",
                         "..", ".",   "to-file", "escape", "back",   "self",
                         "up", "etc", "none",    "",       "loop1"};
  for (int round = 0; round < 3000; ++round) {
    std::string path;
    for (size_t i = 0, n = 1 + random() % 6; i < n; ++i)
      path += (i != 0 ? "/" : "") + std::string(words[random() % std::size(words)]);
    CAPTURE(path);
    const auto one = by_fd(t.fd.get(), path.c_str(), false);
    const auto two = by_fd(t.fd.get(), path.c_str(), true);
    const auto three = index.resolve(path);
    REQUIRE(one == two);
    REQUIRE(one.has_value() == three.has_value());
    if (one)
      REQUIRE(*one == inode(t.fd.get(), three->path));
    else
      REQUIRE(one.error() == three.error());
  }
}

TEST_CASE("a missing tail is kept, a missing middle too") {
  const WalkLookup none = [](const std::string&) { return WalkNode{}; };
  CHECK(walk_in_root("/x/y/../z", LastLink::follow, Missing::allow, none)->path == "x/z");
  CHECK(walk_in_root("x", LastLink::follow, Missing::fail, none).error() == ENOENT);
  CHECK(walk_in_root(std::string(300, 'n'), LastLink::follow, Missing::allow, none).error() ==
        ENAMETOOLONG);
}

TEST_CASE("merged index: whiteouts, opaque, replaced and implied directories, hard links") {
  const auto layer = [](std::vector<Entry> entries) {
    const std::string tar = tar_of(std::move(entries));
    StringSource source(tar);
    return std::make_shared<const LayerIndex>(LayerIndex::from_tar(source));
  };
  MergedIndex m;
  m.push(layer({dir("d"), file("d/1"), file("d/2"), dir("e"), file("e/x"), file("f"),
                slink("lib", "usr/lib"), dir("usr"), dir("usr/lib")}));
  m.push(layer({Entry{.path = "d/1", .type = FileType::whiteout},
                Entry{.path = "e", .type = FileType::whiteout}, dir("e"), file("e/y"), dir("f"),
                file("f/in"), file("lib/libc.so")}));
  CHECK_FALSE(m.lookup("d/1"));
  CHECK(m.lookup("d/2"));
  CHECK_FALSE(m.lookup("e/x"));
  CHECK(m.lookup("e/y"));
  CHECK(m.lookup("f")->type == FileType::directory);
  CHECK(m.list("d") == std::vector<std::string>{"2"});
  CHECK(m.lookup("usr/lib/libc.so"));
  CHECK(m.lookup("lib")->type == FileType::symlink);
  CHECK(m.resolve("lib/libc.so")->path == "usr/lib/libc.so");
  m.push(layer(
      {Entry{.path = "h", .type = FileType::hardlink, .link = "lib"}, file("usr/implied/x")}));
  CHECK(m.lookup("h")->type == FileType::symlink);
  CHECK(m.lookup("usr/implied")->mode == 0755);
  CHECK(m.list("") == std::vector<std::string>{"d", "e", "f", "h", "lib", "usr"});
}

TEST_CASE("the index's file form returns what went in and refuses damage") {
  const std::string tar = tar_of({dir("etc"), Entry{.path = "etc/x", .uid = 7, .mtime = -3}});
  StringSource source(tar);
  const LayerIndex index = LayerIndex::from_tar(source);
  std::string text = index.serialize();
  const auto again = LayerIndex::parse(text);
  REQUIRE(again);
  CHECK(std::ranges::equal(again->entries(), index.entries()));
  for (size_t at = 0; at < text.size(); at += 7) {
    std::string bad = text;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    CHECK_FALSE(LayerIndex::parse(bad));
  }
  CHECK_FALSE(LayerIndex::parse(text.substr(0, text.size() - 1)));
}
