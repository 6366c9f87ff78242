#include "builder/layer/compress.hh"

#include <doctest/doctest.h>
#include <libdeflate.h>
#include <zstd.h>

#include <algorithm>
#include <vector>

#include "oci-spec/digest.hh"

namespace kiln {

namespace {

constexpr size_t mebibyte = size_t{1} << 20;

// Words of few letters, with a stretch in each mebibyte that nothing can compress.
std::string synthetic(size_t size) {
  std::string out;
  out.reserve(size + 8);
  uint64_t state = 4711;
  const auto next = [&state] {
    state = state * 6364136223846793005U + 1442695040888963407U;
    return static_cast<uint32_t>(state >> 33);
  };
  while (out.size() < size) {
    if (out.size() % mebibyte < mebibyte / 8) {
      out += static_cast<char>(next() & 0xff);
      continue;
    }
    for (uint32_t length = 2 + next() % 5; length > 0; --length)
      out += static_cast<char>('a' + next() % 7);
    out += next() % 12 == 0 ? '\n' : ' ';
  }
  out.resize(size);
  return out;
}

// Handed over in pieces of `step` bytes.
std::string compressed(Compression compression, std::string_view in, unsigned threads,
                       size_t step) {
  WorkerPool pool(threads);
  StringSink sink;
  Compressor compressor(compression, sink, pool);
  for (; !in.empty(); in.remove_prefix(std::min(step, in.size())))
    compressor.write(std::as_bytes(std::span(in.data(), std::min(step, in.size()))));
  compressor.finish();
  return std::move(sink.text);
}

struct Member {
  std::string header, content;
};

std::vector<Member> gzip_members(std::string_view text) {
  const std::unique_ptr<libdeflate_decompressor, decltype(&libdeflate_free_decompressor)> d(
      libdeflate_alloc_decompressor(), libdeflate_free_decompressor);
  std::vector<Member> found;
  while (!text.empty()) {
    Member member{std::string(text.substr(0, 10)), std::string(2 * mebibyte, '\0')};
    size_t taken = 0, made = 0;
    REQUIRE(libdeflate_gzip_decompress_ex(d.get(), text.data(), text.size(), member.content.data(),
                                          member.content.size(), &taken,
                                          &made) == LIBDEFLATE_SUCCESS);
    member.content.resize(made);
    text.remove_prefix(taken);
    found.push_back(std::move(member));
  }
  return found;
}

std::string gzip_of(int level, std::string_view in) {
  const std::unique_ptr<libdeflate_compressor, decltype(&libdeflate_free_compressor)> c(
      libdeflate_alloc_compressor(level), libdeflate_free_compressor);
  std::string out(libdeflate_gzip_compress_bound(c.get(), in.size()), '\0');
  out.resize(libdeflate_gzip_compress(c.get(), in.data(), in.size(), out.data(), out.size()));
  return out;
}

std::string zstd_of(int level, std::string_view in) {
  std::string out(ZSTD_compressBound(in.size()), '\0');
  const size_t size = ZSTD_compress(out.data(), out.size(), in.data(), in.size(), level);
  REQUIRE(ZSTD_isError(size) == 0);
  out.resize(size);
  return out;
}

template <typename Compress>
std::string in_pieces(std::string_view in, size_t piece, const Compress& compress) {
  std::string out;
  for (; !in.empty(); in.remove_prefix(std::min(piece, in.size())))
    out += compress(in.substr(0, piece));
  return out;
}

std::string digest_of(std::string_view text) {
  return oci::Digest::sha256(text).text();
}

}  // namespace

TEST_CASE("gzip: members of 1 MiB by libdeflate's level 2, without time or system") {
  const std::string in = synthetic(3 * mebibyte + 12345);
  const std::string out = compressed(Compression::gzip, in, 1, in.size());
  const auto members = gzip_members(out);
  REQUIRE(members.size() == 4);
  std::string content;
  for (const Member& member : members) {
    // Magic, deflate, no flags, mtime 0, no extra flags, OS 255 (RFC 1952).
    CHECK(member.header == std::string("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10));
    CHECK(member.content.size() == std::min(mebibyte, in.size() - content.size()));
    content += member.content;
  }
  CHECK(content == in);
  const auto of_level = [&](int level) {
    return in_pieces(in, mebibyte, [=](std::string_view p) { return gzip_of(level, p); });
  };
  CHECK(out == of_level(2));
  // Else the line above would say nothing of the level.
  CHECK(out != of_level(1));
  CHECK(out != of_level(3));
}

TEST_CASE("zstd: frames of 4 MiB of level 3, which tell their size") {
  const std::string in = synthetic(9 * mebibyte + 12345);
  const std::string out = compressed(Compression::zstd, in, 1, in.size());
  std::vector<unsigned long long> sizes;
  for (std::string_view rest = out; !rest.empty();) {
    sizes.push_back(ZSTD_getFrameContentSize(rest.data(), rest.size()));
    const size_t frame = ZSTD_findFrameCompressedSize(rest.data(), rest.size());
    REQUIRE(ZSTD_isError(frame) == 0);
    rest.remove_prefix(frame);
  }
  CHECK(sizes == std::vector<unsigned long long>{4 * mebibyte, 4 * mebibyte, mebibyte + 12345});
  const auto of_level = [&](int level) {
    return in_pieces(in, 4 * mebibyte, [=](std::string_view p) { return zstd_of(level, p); });
  };
  CHECK(out == of_level(3));
  CHECK(out != of_level(2));
  CHECK(out != of_level(4));
}

// What these libraries made when the format was settled. Another version may compress in another
// way; it is part of a compressed blob's key, and no promise is made across versions.
TEST_CASE("the same bytes for all time, on any number of threads, however they are handed over") {
  const std::string in = synthetic(9 * mebibyte + 12345);
  REQUIRE(digest_of(in) ==
          "sha256:b1f3f9265a1faf23f349113e632e803edf77fbf25418f411df8550aa8306beb3");
  struct Golden {
    Compression compression;
    const char* identity;
    const char* digest;
  };
  for (const Golden& golden : {
           Golden{Compression::none, "none",
                  "sha256:b1f3f9265a1faf23f349113e632e803edf77fbf25418f411df8550aa8306beb3"},
           Golden{Compression::gzip, "gzip libdeflate-1.14 level 2 members of 1 MiB",
                  "sha256:13a41e810bac7481d511130d6b8cb55ac5d1de8e4b09276e18bc37dcc218ae07"},
           Golden{Compression::zstd, "zstd libzstd-1.5.4 level 3 frames of 4 MiB",
                  "sha256:b8170e815c090a1f13765963285d747bbdff61dcea2b9ebb96f0b0a9bc035f39"},
       }) {
    const std::string identity = compression_identity(golden.compression);
    CAPTURE(identity);
    const std::string first = digest_of(compressed(golden.compression, in, 1, in.size()));
    if (identity == golden.identity)
      CHECK(first == golden.digest);
    else
      MESSAGE("no digest is known of ", identity, ", which gives ", first);
    for (const auto& [threads, step] :
         {std::pair{1U, size_t{65521}}, std::pair{2U, mebibyte}, std::pair{8U, in.size()}}) {
      CAPTURE(threads);
      CHECK(digest_of(compressed(golden.compression, in, threads, step)) == first);
    }
  }
}

TEST_CASE("of nothing there is one empty member or frame") {
  CHECK(compressed(Compression::none, "", 2, 1).empty());
  CHECK(compressed(Compression::gzip, "", 2, 1) == gzip_of(2, ""));
  CHECK(compressed(Compression::zstd, "", 2, 1) == zstd_of(3, ""));
}

TEST_CASE("a whole number of pieces is not followed by an empty one") {
  CHECK(gzip_members(compressed(Compression::gzip, synthetic(2 * mebibyte), 2, 4096)).size() == 2);
}

}  // namespace kiln
