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

TEST_CASE("--parents with a link in front of the pivot") {
  const Paths files = {"usr/", "usr/lib/", "usr/lib/a/", "usr/lib/a/f.so", "lib64 -> /usr/lib"};
  CHECK(with_parents("/lib64/./a/f.so", files) == Paths{"p/a/f.so"});
  CHECK(with_parents("/lib64/./*/f.so", files) == Paths{"p/a/f.so"});
  CHECK(with_parents("/lib64/./**/f.so", files) == Paths{"p/a/f.so"});
}

}  // namespace kiln
