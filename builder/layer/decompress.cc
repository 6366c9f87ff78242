#include "builder/layer/decompress.hh"

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "builder/layer/archive_library.hh"
#include "builder/sys/error.hh"

namespace kiln {

namespace {

constexpr size_t output_size = size_t{256} << 10;

// The bytes already taken for looking at the magic, then the rest.
class Replay final : public ByteSource {
 public:
  Replay(std::vector<std::byte> head, ByteSource& rest) : head_(std::move(head)), rest_(rest) {}

  size_t read(std::span<std::byte> data) override {
    if (at_ == head_.size()) return rest_.read(data);
    const size_t size = std::min(data.size(), head_.size() - at_);
    std::memcpy(data.data(), head_.data() + at_, size);
    at_ += size;
    return size;
  }

 private:
  std::vector<std::byte> head_;
  size_t at_ = 0;
  ByteSource& rest_;
};

class Filtered final : public ByteSource {
 public:
  Filtered(std::unique_ptr<Replay> source, int filter, const char* name)
      : source_(std::move(source)),
        buffer_(output_size),
        name_(name),
        library_(archive_library()),
        archive_(library_.read_new()) {
    if (archive_ == nullptr) throw Error("no memory for a decompressor");
    try {
      library_.read_support_format_raw(archive_);
      check(library_.read_append_filter(archive_, filter));
      check(library_.read_open(archive_, this, nullptr, &Filtered::pull, nullptr));
      archive_entry* entry = nullptr;
      const int got = library_.read_next_header(archive_, &entry);
      if (got == ARCHIVE_EOF)
        ended_ = true;  // compressed nothing
      else
        check(got);
    } catch (...) {
      library_.read_free(archive_);
      throw;
    }
  }
  ~Filtered() override { library_.read_free(archive_); }

  size_t read(std::span<std::byte> data) override {
    if (ended_ || data.empty()) return 0;
    const ssize_t got = library_.read_data(archive_, data.data(), data.size());
    if (got < 0) check(static_cast<int>(got));
    ended_ = got == 0;
    return static_cast<size_t>(got);
  }

 private:
  void check(int result) {
    if (failed_) std::rethrow_exception(failed_);
    if (result == ARCHIVE_OK) return;
    const char* text = library_.error_string(archive_);
    throw Error(std::string("malformed ") + name_ +
                " data: " + (text == nullptr ? "unknown error" : text));
  }

  static la_ssize_t pull(archive* a, void* self, const void** data) {
    auto* me = static_cast<Filtered*>(self);
    try {
      *data = me->buffer_.data();
      return static_cast<la_ssize_t>(me->source_->read(me->buffer_));
    } catch (...) {  // nothing may be thrown through libarchive
      me->failed_ = std::current_exception();
      me->library_.set_error(a, EIO, "read failed");
      return -1;
    }
  }

  std::unique_ptr<Replay> source_;
  std::vector<std::byte> buffer_;
  const char* name_;
  const ArchiveLibrary& library_;
  archive* archive_;
  std::exception_ptr failed_;
  bool ended_ = false;
};

}  // namespace

Magic detect_magic(std::span<const std::byte> start) {
  const auto begins = [&](std::string_view magic) {
    return start.size() >= magic.size() &&
           std::memcmp(start.data(), magic.data(), magic.size()) == 0;
  };
  if (begins("\x1f\x8b\x08")) return Magic::gzip;
  // A zstd frame, or a skippable frame (0x184D2A5?) in front of one.
  if (begins("\x28\xb5\x2f\xfd")) return Magic::zstd;
  if (begins("BZh") && start.size() > 4 && start[4] == std::byte{0x31}) return Magic::bzip2;
  if (begins(std::string_view("\xfd"
                              "7zXZ\0",
                              6)))
    return Magic::xz;
  if (start.size() >= 4 && (start[0] & std::byte{0xf0}) == std::byte{0x50} &&
      begins(std::string_view(reinterpret_cast<const char*>(start.data()), 1)) &&
      std::memcmp(start.data() + 1, "\x2a\x4d\x18", 3) == 0)
    return Magic::zstd;
  return Magic::plain;
}

std::unique_ptr<ByteSource> decompress(ByteSource& source) {
  std::vector<std::byte> head(6);
  head.resize(read_full(source, head));
  const Magic magic = detect_magic(head);
  auto replay = std::make_unique<Replay>(std::move(head), source);
  switch (magic) {
    case Magic::plain:
      return replay;
    case Magic::gzip:
      return std::make_unique<Filtered>(std::move(replay), ARCHIVE_FILTER_GZIP, "gzip");
    case Magic::zstd:
      return std::make_unique<Filtered>(std::move(replay), ARCHIVE_FILTER_ZSTD, "zstd");
    case Magic::bzip2:
      return std::make_unique<Filtered>(std::move(replay), ARCHIVE_FILTER_BZIP2, "bzip2");
    case Magic::xz:
      return std::make_unique<Filtered>(std::move(replay), ARCHIVE_FILTER_XZ, "xz");
  }
  throw Error("unknown compression");
}

}  // namespace kiln
