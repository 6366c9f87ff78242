// Owns: reading a tar stream (ustar, pax, GNU long names and numbers; sparse files are refused)
// into entries, strictly: anything malformed is an Error that names the offset. Does not own:
// putting entries anywhere (apply.hh) or whether a path is safe to create.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "builder/layer/entry.hh"
#include "builder/layer/stream.hh"

namespace kiln {

class TarReader {
 public:
  // Whiteouts::literal: names that start with .wh. are ordinary (an ADDed archive, a context).
  enum class Whiteouts : uint8_t { decode, literal };
  explicit TarReader(ByteSource& source, Whiteouts whiteouts = Whiteouts::decode);

  // The next entry, or nullopt at the end. Skips content that was not read. Paths are cleaned of
  // leading "/" and "./" and of trailing and double slashes; one with a ".." component, a NUL or
  // more than 4095 bytes is an Error.
  std::optional<Entry> next();
  // Whether a file that begins so is a tar with anything in it, even one that next() refuses.
  static bool begins(std::string_view first_block);
  // Content of the current file; 0 at its end.
  size_t read(std::span<std::byte> data);
  // Offset of the current entry's content in the tar stream, bytes.
  uint64_t content_offset() const { return content_offset_; }
  // Reads whatever follows the end of the archive, so that a digest covers the whole blob.
  void drain();

 private:
  struct Overrides;
  bool read_block();  // false at a clean end of the stream
  std::string read_text(uint64_t size, const char* what);
  std::string clean(std::string_view path, const char* what) const;
  bool decode_whiteout(Entry& entry) const;
  void skip(uint64_t bytes);
  [[noreturn]] void fail(const std::string& what) const;

  ByteSource& source_;
  Whiteouts whiteouts_;
  uint64_t offset_ = 0;
  uint64_t content_offset_ = 0;
  uint64_t remaining_ = 0;
  uint64_t padding_ = 0;
  bool ended_ = false;
  std::string block_;
};

}  // namespace kiln
