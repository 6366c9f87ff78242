// Owns: the two directions in which bytes flow through this program, and their simple ends.
// Does not own: compression (compress.hh, decompress.hh) or tar.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace kiln {

class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual void write(std::span<const std::byte> data) = 0;  // all of it, or throws
};

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Up to data.size() bytes; 0 means the end. Throws on failure.
  virtual size_t read(std::span<std::byte> data) = 0;
};

class FdSink final : public ByteSink {
 public:
  explicit FdSink(int fd) : fd_(fd) {}  // borrowed
  void write(std::span<const std::byte> data) override;

 private:
  int fd_;
};

class FdSource final : public ByteSource {
 public:
  explicit FdSource(int fd) : fd_(fd) {}  // borrowed, read from its current offset
  size_t read(std::span<std::byte> data) override;

 private:
  int fd_;
};

class StringSink final : public ByteSink {
 public:
  void write(std::span<const std::byte> data) override;
  std::string text;
};

class StringSource final : public ByteSource {
 public:
  explicit StringSource(std::string_view text) : rest_(text) {}  // borrowed
  size_t read(std::span<std::byte> data) override;

 private:
  std::string_view rest_;
};

// Fills the whole span unless the source ends; returns what was read.
size_t read_full(ByteSource& source, std::span<std::byte> data);

}  // namespace kiln
