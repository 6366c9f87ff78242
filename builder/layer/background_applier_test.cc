#include "builder/layer/background_applier.hh"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include "builder/context/context.hh"
#include "builder/layer/copy_layer.hh"
#include "builder/layer/decompress.hh"
#include "builder/sys/file.hh"
#include "builder/sys/test_directory.hh"

namespace kiln {

namespace {

std::vector<std::string> listing(const TestDirectory& directory) {
  const Context tree = Context::open(directory.path);
  std::vector<std::string> out;
  for (const ContextEntry& e : tree.walk("")) {
    std::string line = e.entry.path + " " + std::to_string(static_cast<int>(e.entry.type)) + " " +
                       std::to_string(e.entry.mode) + " " + std::to_string(e.entry.uid) + " " +
                       std::to_string(e.entry.mtime) + " " + std::to_string(e.entry.mtime_nsec) +
                       " " + e.entry.link;
    if (e.entry.type == FileType::file)
      line +=
          " " + oci::Digest::sha256(read_file_at(directory.fd.get(), e.entry.path, 1 << 26)).text();
    out.push_back(std::move(line));
  }
  return out;
}

}  // namespace

TEST_CASE("what is applied while a layer is packed equals the layer unpacked") {
  const TestDirectory from, beside, after;
  make_dir_at(from.fd.get(), "d", 0750);
  make_dir_at(from.fd.get(), "d/empty", 0700);
  write_file_atomic(from.fd.get(), "d/none", "", 0600);
  write_file_atomic(from.fd.get(), "d/read-only", "r", 0444);
  write_file_atomic(from.fd.get(), "d/small", "small", 0755);
  std::string large;
  for (int i = 0; large.size() < size_t{3} << 20; ++i) large += std::to_string(i);
  write_file_atomic(from.fd.get(), "large", large, 0644);
  for (int i = 0; i < 3000; ++i)  // more than may wait
    write_file_atomic(from.fd.get(), "d/f" + std::to_string(i), std::to_string(i), 0644);
  REQUIRE(::symlinkat("d/small", from.fd.get(), "link") == 0);

  const Context tree = Context::open(from.path);
  CopyRewrite rewrite{::geteuid(), ::getegid(), {}, {}, 1'000'000'000};
  CopyLayer copy;
  copy.add_tree(tree, "", tree.walk(""), "to", rewrite, false);
  StringSink blob;
  WorkerPool pool(2);
  {
    BackgroundApplier applier(beside.fd.get(), {});
    CopyObserver observer;
    observer.applier = &applier;
    LayerWriter writer(blob, Compression::gzip, pool);
    copy.write(writer, observer);
    writer.finish();
    CHECK(!applier.finish());
  }
  StringSource packed(blob.text);
  const auto plain = decompress(packed);
  apply_tar(*plain, after.fd.get());
  CHECK(listing(beside).size() > 3000);
  CHECK(listing(beside) == listing(after));
}

TEST_CASE("a background applier that fails says so and holds nobody up") {
  const TestDirectory into;
  BackgroundApplier applier(into.fd.get(), {});
  Entry entry;
  entry.path = std::string(300, 'x');  // longer than a name can be
  for (int i = 0; i < 5000; ++i) {
    StringSource nothing("");
    applier.begin(entry, nothing);
  }
  CHECK(applier.finish().has_value());
}

}  // namespace kiln
