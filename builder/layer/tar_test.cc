#include <doctest/doctest.h>

#include <random>

#include "builder/layer/decompress.hh"
#include "builder/layer/indexed_reader.hh"
#include "builder/layer/layer_writer.hh"
#include "builder/layer/tar_reader.hh"
#include "builder/sys/error.hh"

using namespace kiln;

namespace {

std::vector<Entry> read_all(const std::string& tar,
                            TarReader::Whiteouts whiteouts = TarReader::Whiteouts::decode) {
  StringSource source(tar);
  TarReader reader(source, whiteouts);
  std::vector<Entry> out;
  while (auto entry = reader.next()) out.push_back(std::move(*entry));
  return out;
}

std::string one(const Entry& entry) {
  std::string tar;
  append_tar_header(tar, entry);
  return tar + std::string(1024, '\0');
}

// A header with a raw name, for what the writer would not write.
std::string raw(std::string name, char type, std::string link = "") {
  std::string tar;
  append_tar_header(tar, {.path = "x"});
  tar.replace(0, 100, 100, '\0');
  tar.replace(0, name.size(), name);
  tar[156] = type;
  tar.replace(157, link.size(), link);
  unsigned sum = 0;
  for (size_t i = 0; i < 512; ++i)
    sum += static_cast<unsigned char>(i >= 148 && i < 156 ? ' ' : tar[i]);
  char text[8];
  std::snprintf(text, sizeof text, "%06o", sum);
  tar.replace(148, 7, text, 7);
  return tar + std::string(1024, '\0');
}

}  // namespace

TEST_CASE("what is written is read back") {
  const std::string longest(250, 'n');
  const std::vector<Entry> entries = {
      {.path = "", .type = FileType::directory, .mode = 0755},
      {.path = "a", .type = FileType::directory, .mode = 01777, .uid = 5'000'000, .gid = 3},
      {.path = "b\xff",
       .mode = 04755,
       .mtime = -5,
       .xattrs = {{"user.a", std::string("\0\n=", 3)}}},
      {.path = "c", .type = FileType::symlink, .mode = 0777, .link = "../" + longest},
      {.path = "d/" + longest + "\xff", .type = FileType::fifo, .mtime = 1LL << 40},
      {.path = "e", .type = FileType::char_device, .dev_major = 300, .dev_minor = 70000},
      {.path = "f", .type = FileType::hardlink, .link = "b\xff"},
      {.path = "g/h", .type = FileType::whiteout},
  };
  std::string tar;
  for (const Entry& e : entries) append_tar_header(tar, e);
  CHECK(read_all(tar) == entries);
}

TEST_CASE("hostile names, links and numbers are errors that name the offset") {
  for (const std::string& tar :
       {raw("../x", '0'), raw("a/../../x", '0'), raw("x", '1', "../etc/passwd"), raw("x", '1', ""),
        raw("x", '2', ""), raw(".wh.", '0'), raw(".wh...", '0'), raw("", '0'), raw("x", 'S'),
        raw("x", 'Z')}) {
    CHECK_THROWS_AS(read_all(tar), Error);
  }
  CHECK(read_all(raw("/abs//./x", '0')).at(0).path == "abs/x");
  CHECK(read_all(raw("x", '1', "/etc/passwd")).at(0).link == "etc/passwd");
  std::string broken = one({.path = "x"});
  broken[0] = 'y';
  CHECK_THROWS_WITH(read_all(broken), doctest::Contains("checksum"));
  CHECK_THROWS_AS(read_all(one({.path = "x", .size = 10}).substr(0, 700)), Error);
}

TEST_CASE("what a tar may make its reader hold is bounded") {
  // Extended headers with ever new attributes, and no entry that would take them.
  struct Endless final : ByteSource {
    std::string rest;
    size_t at = 0, given = 0;
    unsigned count = 0;
    size_t read(std::span<std::byte> data) override {
      if (at == rest.size()) {
        Entry entry{.path = "x", .xattrs = {}};
        entry.xattrs["user.a" + std::to_string(count++)] = std::string(500'000, 'v');
        rest.clear(), at = 0;
        append_tar_header(rest, entry);
        rest.resize(rest.size() - 512);  // without the entry itself
      }
      const size_t size = std::min(data.size(), rest.size() - at);
      std::copy_n(reinterpret_cast<const std::byte*>(rest.data()) + at, size, data.begin());
      at += size;
      given += size;
      return size;
    }
  } endless;
  TarReader reader(endless);
  CHECK_THROWS_WITH(reader.next(), doctest::Contains("extension headers"));
  CHECK(endless.given < 6'000'000);

  std::string tar;
  for (int i = 0; i < 100; ++i) append_tar_header(tar, {.path = "f" + std::to_string(i)});
  const auto entries = [&](uint64_t most) {
    StringSource source(tar);
    IndexedReader indexed(source, TarReader::Whiteouts::decode, most);
    size_t count = 0;
    while (indexed.next() != nullptr) ++count;
    return count;
  };
  CHECK(entries(100 * (sizeof(IndexEntry) + 200)) == 100);
  CHECK_THROWS_WITH(entries(50 * (sizeof(IndexEntry) + 200)), doctest::Contains("more files"));
}

TEST_CASE("whiteouts are decoded in layers only") {
  CHECK(read_all(raw("a/.wh.b", '0')).at(0) == Entry{.path = "a/b", .type = FileType::whiteout});
  CHECK(read_all(raw("a/.wh..wh..opq", '0')).at(0) == Entry{.path = "a", .type = FileType::opaque});
  CHECK(read_all(raw(".wh..wh.plnk", '0')).empty());
  CHECK(read_all(raw("a/.wh.b", '0'), TarReader::Whiteouts::literal).at(0).path == "a/.wh.b");
}

TEST_CASE("no bytes make the reader do more than throw") {
  std::mt19937 random(11);
  const std::string good = one({.path = std::string(150, 'p'), .mode = 0644, .mtime = -1});
  for (int round = 0; round < 3000; ++round) {
    std::string bad = good;
    for (unsigned i = 0; i <= random() % 4; ++i)
      bad[random() % bad.size()] = static_cast<char>(random());
    try {
      read_all(bad);
    } catch (const Error&) {
    }
  }
}

TEST_CASE("layers do not depend on the number of threads, and come back from every compression") {
  std::string content(5'500'000, 'x');
  std::mt19937 random(3);
  for (size_t i = 0; i < content.size(); i += 3) content[i] = static_cast<char>(random() % 64);
  for (const Compression compression : {Compression::none, Compression::gzip, Compression::zstd}) {
    std::string first;
    for (const unsigned threads : {1U, 2U, 7U}) {
      WorkerPool pool(threads);
      StringSink sink;
      LayerWriter writer(sink, compression, pool);
      StringSource source(content);
      writer.add({.path = "big", .mode = 0644, .size = content.size()}, source);
      writer.add(Entry{.path = "zero"});
      const LayerBlob blob = writer.finish();
      CHECK(blob.digest == oci::Digest::sha256(sink.text));
      CHECK(blob.size == sink.text.size());
      if (first.empty()) first = sink.text;
      CHECK(sink.text == first);
      StringSource packed(sink.text);
      const auto plain = decompress(packed);
      std::string tar(blob.tar_size + 10, '\0');
      tar.resize(read_full(*plain, std::as_writable_bytes(std::span(tar))));
      CHECK(oci::Digest::sha256(tar) == blob.diff_id);
      CHECK(blob.index.find("big")->tar_offset == 512);
    }
    if (compression == Compression::none) continue;
    StringSource cut(std::string_view(first).substr(0, first.size() - 9));
    CHECK_THROWS_AS(
        [&] {
          const auto plain = decompress(cut);
          std::byte scratch[4096];
          while (plain->read(scratch) != 0) {
          }
        }(),
        Error);
  }
}

TEST_CASE("gzip members have no time and OS 255") {
  WorkerPool pool(1);
  StringSink sink;
  Compressor compressor(Compression::gzip, sink, pool);
  compressor.finish();
  CHECK(sink.text.substr(4, 4) == std::string(4, '\0'));
  CHECK(static_cast<unsigned char>(sink.text[9]) == 255);
}

TEST_CASE("the writer refuses what a layer cannot say") {
  WorkerPool pool(1);
  StringSink sink;
  LayerWriter writer(sink, Compression::none, pool);
  writer.add(Entry{.path = "b"});
  CHECK_THROWS_AS(writer.add(Entry{.path = "a"}), Error);
  CHECK_THROWS_AS(writer.add(Entry{.path = "c/.wh.x"}), Error);
  StringSource little("12");
  CHECK_THROWS_AS(writer.add(Entry{.path = "d", .size = 3}, little), Error);
  StringSource much("1234");
  CHECK_THROWS_AS(writer.add(Entry{.path = "e", .size = 3}, much), Error);
}
