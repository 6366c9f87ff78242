#include "builder/steps/copy_plan.hh"

#include <doctest/doctest.h>

#include "builder/sys/error.hh"

namespace kiln {

namespace {

// An image of one layer: directories end in '/', links are "name -> target".
MergedIndex image(const std::vector<std::string>& entries) {
  LayerIndex layer;
  for (const std::string& text : entries) {
    IndexEntry e;
    const size_t arrow = text.find(" -> ");
    e.path = text.substr(0, arrow);
    if (arrow != text.npos) {
      e.type = FileType::symlink;
      e.link = text.substr(arrow + 4);
    } else if (text.ends_with('/')) {
      e.type = FileType::directory;
      e.path.pop_back();
    }
    layer.add(e);
  }
  layer.sort();
  MergedIndex out;
  out.push(std::make_shared<const LayerIndex>(std::move(layer)));
  return out;
}

// Where the items of `COPY --parents SOURCE /p/` go.
std::vector<std::string> with_parents(const std::string& source,
                                      const std::vector<std::string>& entries) {
  CopyRequest request;
  request.sources = {source};
  request.destination = "/p/";
  request.parents = true;
  std::vector<std::string> out;
  for (const CopyItem& item : plan_copy(request, IndexTree(image(entries)), "it", {}).items)
    out.push_back(item.destination + (item.directory ? "/" : ""));
  return out;
}

using Paths = std::vector<std::string>;

}  // namespace

// Dockerfile reference, "COPY --parents": ** is any number of path components, none too.
TEST_CASE("--parents with two stars") {
  const Paths files = {"src/",     "src/a.txt",     "src/x/",         "src/x/b.txt",
                       "src/x/y/", "src/x/y/c.txt", "src/x/y/c.md",   "src/x.txt/",
                       "top.txt",  "src/x.txt/in",  "src/x.txt/e.txt"};
  CHECK(with_parents("./src/**/*.txt", files) ==
        Paths{"p/src/a.txt", "p/src/x.txt/", "p/src/x/b.txt", "p/src/x/y/c.txt"});
  CHECK(with_parents("/src/./**/c.*", files) == Paths{"p/x/y/c.md", "p/x/y/c.txt"});
  CHECK(with_parents("**/b.txt", files) == Paths{"p/src/x/b.txt"});
  CHECK(with_parents("src/x/**", files) == Paths{"p/src/x/b.txt", "p/src/x/y/"});
  CHECK(with_parents("**/none", files).empty());
  CHECK(with_parents("nosuch/**/*.txt", files).empty());
  CHECK_THROWS_AS(with_parents("**/[", files), Error);
}

// As in an ignore file, "!" takes a path out of what is excluded; its directories come along.
TEST_CASE("an exception to --exclude keeps the directories above it") {
  CopyRequest request;
  request.sources = {"d"};
  request.destination = "/p";
  request.exclude = [](const std::string& path, bool) { return path != "s/keep"; };
  const Paths files = {"d/", "d/a", "d/s/", "d/s/keep", "d/s/no", "d/t/", "d/t/no"};
  const CopyPlan plan = plan_copy(request, IndexTree(image(files)), "it", {});
  Paths kept;
  for (const ContextEntry& e : plan.items.at(0).entries) kept.push_back(e.entry.path);
  CHECK(kept == Paths{"d", "d/s", "d/s/keep"});
}

// A directory whose contents are copied is not copied itself.
TEST_CASE("the destination of a directory's contents") {
  CopyRequest request;
  request.sources = {"d"};
  request.destination = "/p/q";
  const CopyPlan plan = plan_copy(request, IndexTree(image({"d/", "d/a"})), "it", {});
  REQUIRE(plan.new_directories.size() == 2);
  CHECK(plan.new_directories[0].path == "p");
  CHECK(plan.new_directories[1].path == "p/q");
  CHECK_FALSE(plan.new_directories[1].like.has_value());
  CHECK_FALSE(plan.new_directories[0].mtime.has_value());
  CHECK(plan.new_directories[1].mtime.has_value());
}

TEST_CASE("--parents with a link in front of the pivot") {
  const Paths files = {"usr/", "usr/lib/", "usr/lib/a/", "usr/lib/a/f.so", "lib64 -> /usr/lib"};
  CHECK(with_parents("/lib64/./a/f.so", files) == Paths{"p/a/f.so"});
  CHECK(with_parents("/lib64/./*/f.so", files) == Paths{"p/a/f.so"});
  CHECK(with_parents("/lib64/./**/f.so", files) == Paths{"p/a/f.so"});
}

}  // namespace kiln
