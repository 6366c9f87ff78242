#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/context/content_digest.hh"
#include "builder/context/context.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/test_directory.hh"

using namespace kiln;

namespace {

struct Tree : TestDirectory {
  void dir(const char* name) const { make_dir_at(fd.get(), name); }
  void file(const char* name, std::string_view text = "x") const {
    const Fd out(::openat(fd.get(), name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    write_all(out.get(), text);
  }
  void link(const char* name, const char* to) const {
    REQUIRE(::symlinkat(to, fd.get(), name) == 0);
  }
  void age(const char* name) const {
    const struct timespec t[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
    REQUIRE(::utimensat(fd.get(), name, t, 0) == 0);
  }
  Context open(IgnoreRule rule = {}) const { return Context::open(path, std::move(rule)); }
};

std::vector<std::string> paths(const std::vector<ContextEntry>& entries) {
  std::vector<std::string> out;
  for (const ContextEntry& e : entries) out.push_back(e.entry.path);
  return out;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("filepath.Match as Go has it") {
  struct {
    const char *pattern, *name;
    std::optional<bool> matched;
  } const cases[] = {
      {"abc", "abc", true},
      {"*", "abc", true},
      {"*c", "abc", true},
      {"a*", "a", true},
      {"a*/b", "a/c/b", false},
      {"a*b*c*d*e*", "axbxcxdxe", true},
      {"a*b?c*x", "abxbbxdbxebxczzx", true},
      {"a*b?c*x", "abxbbxdbxebxczzy", false},
      {"ab[c]", "abc", true},
      {"ab[b-d]", "abc", true},
      {"ab[e-g]", "abc", false},
      {"ab[^c]", "abc", false},
      {"ab[^e-g]", "abc", true},
      {"a\\*b", "a*b", true},
      {"a\\*b", "ab", false},
      {"a?b", "a\u263ab", true},
      {"a[^a]b", "a\u263ab", true},
      {"a???b", "a\u263ab", false},
      {"[a-\u03b6]*", "\u03b1", true},
      {"*[a-\u03b6]", "A", false},
      {"a?b", "a/b", false},
      {"[\\]a]", "]", true},
      {"[\\-]", "-", true},
      {"[x\\-]", "-", true},
      {"[x\\-]", "z", false},
      {"[]a]", "]", {}},
      {"[-]", "-", {}},
      {"[x-]", "x", {}},
      {"[-x]", "x", {}},
      {"\\", "a", {}},
      {"[a-b-c]", "a", {}},
      {"[", "a", {}},
      {"[^", "a", {}},
      {"[^bc", "a", {}},
      {"a[", "ab", {}},
      {"a[", "x", {}},
      {"*x", "xxx", true},
      {"", "", true},
      {"", "a", false},
  };
  for (const auto& c : cases) {
    CAPTURE(c.pattern);
    CAPTURE(c.name);
    CHECK(match_component(c.pattern, c.name) == c.matched);
  }
}

TEST_CASE("walks go in byte order of whole paths and obey the rule") {
  Tree t;
  t.dir("a");
  t.file("a/x");
  t.file("a-b");
  t.dir("skip");
  t.file("skip/in");
  t.file("skip/back");
  t.dir("skip2");
  t.file("skip2/in");
  t.link("l", "a");
  CHECK(paths(t.open().walk("")) ==
        Names{"a", "a-b", "a/x", "l", "skip", "skip/back", "skip/in", "skip2", "skip2/in"});
  const Context ruled = t.open([](const std::string& path, bool) {
    if (path == "skip/back") return Verdict::keep;
    return path.starts_with("skip") ? Verdict::skip_but_descend : Verdict::keep;
  });
  CHECK(paths(ruled.walk("")) == Names{"a", "a-b", "a/x", "l", "skip", "skip/back"});
  CHECK(paths(ruled.walk("a")) == Names{"a", "a/x"});
  CHECK_FALSE(ruled.stat("skip/in"));
  CHECK(ruled.stat("l/x")->entry.path == "a/x");
  CHECK(ruled.stat("l")->entry.type == FileType::symlink);
  CHECK(ruled.stat("l", true)->entry.path == "a");
  CHECK(ruled.expand("*/x") == Names{"a/x", "l/x"});
  CHECK(ruled.expand("skip/*") == Names{"skip/back"});
  CHECK(ruled.expand("/a//x") == Names{"a/x"});
  CHECK(ruled.expand("../../a/./x") == Names{"a/x"});
  CHECK(ruled.expand("none").empty());
  CHECK_THROWS_AS(ruled.expand("a/["), Error);
}

TEST_CASE("nothing outside of the context can be named") {
  Tree t;
  t.link("out", "/etc");
  t.link("up", "../../../etc/passwd");
  const Context c = t.open();
  CHECK_FALSE(c.stat("out/passwd"));
  CHECK_FALSE(c.stat("up", true));
  CHECK_THROWS_AS(c.open_file("up"), Error);
}

TEST_CASE(
    "digests see content, mode and link target, not times; the memo believes only old files") {
  Tree t, memo_dir;
  t.file("f", "one");
  t.age("f");
  const auto digest = [&](DigestMemo* memo) {
    const Context c = t.open();
    return digest_entries(c, c.walk(""), "", {.memo = memo});
  };
  const oci::Digest first = digest(nullptr);
  t.file("f", "one");
  CHECK(digest(nullptr) == first);
  REQUIRE(::fchmodat(t.fd.get(), "f", 0600, 0) == 0);
  CHECK(digest(nullptr) != first);
  // ctime is now, so that nothing is remembered.
  DigestMemo young;
  digest(&young);
  young.save(memo_dir.fd.get(), "m");
  CHECK_FALSE(try_read_file_at(memo_dir.fd.get(), "m", 1 << 20));

  const Context c = t.open();
  ContextEntry entry = *c.stat("f");
  DigestMemo memo;
  memo.remember(entry, digest_file(c, entry, nullptr));
  memo.save(memo_dir.fd.get(), "m");
  DigestMemo again = DigestMemo::load(memo_dir.fd.get(), "m");
  REQUIRE(again.find(entry).has_value());
  CHECK(*again.find(entry) == digest_file(c, entry, nullptr));
  for (const auto& change :
       {+[](ContextEntry& e) { ++e.ctime_ns; }, +[](ContextEntry& e) { ++e.mtime_ns; },
        +[](ContextEntry& e) { ++e.inode; }, +[](ContextEntry& e) { ++e.device; },
        +[](ContextEntry& e) { ++e.entry.size; }, +[](ContextEntry& e) { e.entry.mode ^= 1; }}) {
    ContextEntry other = entry;
    change(other);
    CHECK(!again.find(other));
  }
  std::string text = read_file_at(memo_dir.fd.get(), "m", 1 << 20);
  text[40] = static_cast<char>(text[40] ^ 1);
  write_file_atomic(memo_dir.fd.get(), "m", text);
  CHECK(DigestMemo::load(memo_dir.fd.get(), "m").find(entry).has_value() == false);
}

TEST_CASE("trees are removed whatever their modes and depth") {
  Tree t;
  Fd at(::openat(t.fd.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int i = 0; i < 600; ++i) {
    make_dir_at(at.get(), "deeper-and-deeper");
    at = open_dir_at(at.get(), "deeper-and-deeper");
  }
  at.reset();
  t.dir("locked");
  t.file("locked/f");
  REQUIRE(::fchmodat(t.fd.get(), "locked", 0, 0) == 0);
  remove_tree_at(t.fd.get(), "deeper-and-deeper");
  remove_tree_at(t.fd.get(), "locked");
  CHECK(t.open().walk("").empty());
}
