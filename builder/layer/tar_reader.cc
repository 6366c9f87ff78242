#include "builder/layer/tar_reader.hh"

#include <algorithm>
#include <cstring>
#include <vector>

#include "builder/sys/error.hh"
#include "builder/sys/number.hh"

namespace kiln {

namespace {

constexpr size_t block = 512;
constexpr uint64_t max_text = uint64_t{1} << 20;   // of a pax header or a GNU long name
constexpr uint64_t max_extensions = 4 * max_text;  // of all those before one entry
constexpr size_t max_path = 4095;

std::string_view field(const std::string& header, size_t at, size_t size) {
  const std::string_view raw(header.data() + at, size);
  return raw.substr(0, std::min(raw.find('\0'), size));
}

// Octal with leading spaces and a trailing space or NUL, or GNU's base 256 (high bit of byte one).
std::optional<int64_t> number(const std::string& header, size_t at, size_t size) {
  const auto* raw = reinterpret_cast<const unsigned char*>(header.data()) + at;
  if ((raw[0] & 0x80) != 0) {
    const bool negative = (raw[0] & 0x40) != 0;
    uint64_t value = negative ? ~uint64_t{0} : 0;
    for (size_t i = 0; i < size; ++i) {
      const uint64_t byte = i != 0 ? raw[i] : negative ? (raw[0] | 0x80U) : (raw[0] & 0x7fU);
      const uint64_t top = value >> 55;
      if (i > 0 && top != (negative ? 0x1ffU : 0U)) return std::nullopt;
      value = (value << 8) | byte;
    }
    return static_cast<int64_t>(value);
  }
  std::string_view text = field(header, at, size);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  if (text.empty()) return 0;
  const auto value = parse_number<uint64_t>(text, 8);
  if (!value || *value > INT64_MAX) return std::nullopt;
  return static_cast<int64_t>(*value);
}

bool checksum_matches(const std::string& header) {
  const auto wanted = number(header, 148, 8);
  if (!wanted) return false;
  // Old writers summed signed characters.
  int64_t plain = 0, with_sign = 0;
  for (size_t i = 0; i < block; ++i) {
    const char c = i >= 148 && i < 156 ? ' ' : header[i];
    plain += static_cast<unsigned char>(c);
    with_sign += static_cast<signed char>(c);
  }
  return *wanted == plain || *wanted == with_sign;
}

bool all_zero(const std::string& header) {
  return header.find_first_not_of('\0') == std::string::npos;
}

// "123", "-123.456": seconds and nanoseconds, rounded down.
bool pax_time(std::string_view text, int64_t& seconds, uint32_t& nanoseconds) {
  const size_t dot = text.find('.');
  const std::string_view whole = text.substr(0, dot);
  const bool negative = whole.starts_with('-');
  const auto value = parse_number<int64_t>(whole);
  if (!value) return false;
  uint32_t fraction = 0;
  if (dot != std::string_view::npos) {
    std::string digits(text.substr(dot + 1));
    if (digits.find_first_not_of("0123456789") != std::string::npos) return false;
    digits.resize(9, '0');
    fraction = *parse_number<uint32_t>(digits);
  }
  seconds = *value;
  nanoseconds = fraction;
  if (negative && fraction != 0) {
    seconds -= 1;
    nanoseconds = 1'000'000'000 - fraction;
  }
  return true;
}

}  // namespace

// What precedes a header and overrides it.
struct TarReader::Overrides {
  std::optional<std::string> path, link;
  std::optional<uint64_t> size, uid, gid;
  std::optional<std::pair<int64_t, uint32_t>> mtime;
  Xattrs xattrs;

  // Empty, or what is wrong with the records.
  std::string parse(std::string_view records) {
    while (!records.empty()) {
      const size_t space = records.find(' ');
      const auto length = parse_number<size_t>(records.substr(0, space));
      if (space == std::string_view::npos || !length || *length <= space + 2 ||
          *length > records.size() || records[*length - 1] != '\n')
        return "malformed pax record";
      const std::string_view record = records.substr(space + 1, *length - space - 2);
      records.remove_prefix(*length);
      const size_t equals = record.find('=');
      if (equals == std::string_view::npos || equals == 0) return "pax record without a key";
      const std::string problem = set(record.substr(0, equals), record.substr(equals + 1));
      if (!problem.empty()) return problem;
    }
    return {};
  }

  std::string set(std::string_view key, std::string_view value) {
    static constexpr std::string_view xattr = "SCHILY.xattr.";
    const auto count = [&](std::optional<uint64_t>& out) -> std::string {
      out = parse_number<uint64_t>(value);
      return out || value.empty() ? "" : "pax record with a malformed number";
    };
    if (key == "path" || key == "linkpath") {
      if (value.find('\0') != std::string_view::npos) return "pax path with a NUL";
      std::optional<std::string>& out = key == "path" ? path : link;
      out.reset();
      if (!value.empty()) out = value;
    } else if (key == "size") {
      return count(size);
    } else if (key == "uid") {
      return count(uid);
    } else if (key == "gid") {
      return count(gid);
    } else if (key == "mtime") {
      mtime.reset();
      if (value.empty()) return {};
      mtime.emplace();
      if (!pax_time(value, mtime->first, mtime->second)) return "pax record with a malformed time";
    } else if (key.starts_with(xattr)) {
      const std::string_view name = key.substr(xattr.size());
      if (name.empty() || name.size() > 255 || name.find('\0') != std::string_view::npos)
        return "pax record with a malformed xattr name";
      xattrs[std::string(name)] = value;
    } else if (key.starts_with("GNU.sparse.")) {
      return "sparse files in a tar are not supported";
    }
    return {};
  }
};

TarReader::TarReader(ByteSource& source, Whiteouts whiteouts)
    : source_(source), whiteouts_(whiteouts), block_(block, '\0') {}

void TarReader::fail(const std::string& what) const {
  throw Error("tar at byte " + std::to_string(offset_) + ": " + what);
}

bool TarReader::read_block() {
  const size_t got = read_full(source_, std::as_writable_bytes(std::span(block_)));
  if (got == 0) return false;
  if (got != block) fail("truncated");
  offset_ += block;
  return true;
}

void TarReader::skip(uint64_t bytes) {
  std::byte scratch[16384];
  while (bytes != 0) {
    const size_t got =
        source_.read(std::span(scratch).first(std::min<uint64_t>(bytes, sizeof scratch)));
    if (got == 0) fail("truncated");
    bytes -= got;
    offset_ += got;
  }
}

std::string TarReader::read_text(uint64_t size, const char* what) {
  if (size > max_text) fail(std::string(what) + " is larger than 1 MiB");
  std::string text(size, '\0');
  if (read_full(source_, std::as_writable_bytes(std::span(text))) != size) fail("truncated");
  offset_ += size;
  skip((block - size % block) % block);
  return text;
}

size_t TarReader::read(std::span<std::byte> data) {
  const size_t want = std::min<uint64_t>(data.size(), remaining_);
  if (want == 0) return 0;
  const size_t got = source_.read(data.first(want));
  if (got == 0) fail("truncated");
  remaining_ -= got;
  offset_ += got;
  return got;
}

void TarReader::drain() {
  skip(remaining_);
  remaining_ = padding_ = 0;
  std::byte scratch[16384];
  while (source_.read(scratch) != 0) {
  }
}

std::string TarReader::clean(std::string_view path, const char* what) const {
  std::string out;
  size_t at = 0;
  while (at <= path.size()) {
    const size_t slash = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, slash - at);
    at = slash + 1;
    if (part.empty() || part == ".") continue;
    if (part == "..") fail(std::string(what) + " \"" + std::string(path) + "\" contains \"..\"");
    if (part.size() > 255) fail(std::string(what) + " has a component of more than 255 bytes");
    if (!out.empty()) out += '/';
    out += part;
  }
  if (out.size() > max_path) fail(std::string(what) + " is longer than 4095 bytes");
  return out;
}

// False: one of AUFS's own files, which no layer means (image-spec reserves .wh..wh.).
bool TarReader::decode_whiteout(Entry& entry) const {
  for (std::string_view rest = entry.path; !rest.empty(); rest = parent_path(rest)) {
    const std::string_view name = base_name(rest);
    if (name.starts_with(".wh..wh.") && !(name == opaque_name && rest == entry.path)) return false;
  }
  const std::string_view name = base_name(entry.path);
  if (!name.starts_with(whiteout_prefix)) return true;
  const std::string directory(parent_path(entry.path));
  if (name == opaque_name) {
    entry = Entry{.path = directory, .type = FileType::opaque};
    return true;
  }
  const std::string target(name.substr(whiteout_prefix.size()));
  if (target.empty() || target == "." || target == "..")
    fail("whiteout \"" + entry.path + "\" names nothing that could be deleted");
  entry = Entry{.path = join_path(directory, target), .type = FileType::whiteout};
  return true;
}

bool TarReader::begins(std::string_view first_block) {
  const std::string header(first_block);
  return header.size() == block && !all_zero(header) && checksum_matches(header);
}

std::optional<Entry> TarReader::next() {
  skip(remaining_ + padding_);
  remaining_ = padding_ = 0;
  Overrides over;
  uint64_t extensions = 0;  // bytes of headers that only say more about the entry to come
  for (;;) {
    if (ended_ || !read_block()) return std::nullopt;
    if (all_zero(block_)) {
      ended_ = true;
      if (read_block() && !all_zero(block_)) fail("data after a zero block");
      return std::nullopt;
    }
    if (!checksum_matches(block_)) fail("header with a wrong checksum (is this a tar?)");
    const auto numeric = [&](size_t at, size_t size, const char* what) {
      const auto value = number(block_, at, size);
      if (!value) fail(std::string("malformed ") + what);
      return *value;
    };
    const int64_t raw_size = numeric(124, 12, "size");
    if (raw_size < 0) fail("negative size");
    const char flag = block_[156];
    // Each is bounded, but their attributes add up as long as no entry follows.
    if (flag == 'x' || flag == 'g' || flag == 'L' || flag == 'K') {
      extensions += static_cast<uint64_t>(raw_size);
      if (extensions > max_extensions) fail("extension headers of more than 4 MiB before an entry");
    }
    if (flag == 'x') {
      const std::string problem =
          over.parse(read_text(static_cast<uint64_t>(raw_size), "pax header"));
      if (!problem.empty()) fail(problem);
      continue;
    }
    if (flag == 'g') {  // a comment for the whole archive, as git writes it
      read_text(static_cast<uint64_t>(raw_size), "global pax header");
      continue;
    }
    if (flag == 'L' || flag == 'K') {
      std::string text = read_text(static_cast<uint64_t>(raw_size), "long name");
      text.resize(std::min(text.find('\0'), text.size()));
      (flag == 'L' ? over.path : over.link) = std::move(text);
      continue;
    }
    if (flag == 'S') fail("sparse files in a tar are not supported");

    Entry entry;
    std::string name;
    if (over.path) {
      name = *over.path;
    } else {
      name = field(block_, 0, 100);
      // GNU tar keeps times where POSIX has the prefix.
      if (std::memcmp(block_.data() + 257, "ustar\0", 6) == 0 && block_[345] != '\0')
        name = std::string(field(block_, 345, 155)) + "/" + name;
    }
    switch (flag) {
      case '\0':
      case '0':
      case '7':
        entry.type = name.ends_with('/') ? FileType::directory : FileType::file;
        break;
      case '1':
        entry.type = FileType::hardlink;
        break;
      case '2':
        entry.type = FileType::symlink;
        break;
      case '3':
        entry.type = FileType::char_device;
        break;
      case '4':
        entry.type = FileType::block_device;
        break;
      case '5':
        entry.type = FileType::directory;
        break;
      case '6':
        entry.type = FileType::fifo;
        break;
      default:
        fail(std::string("unknown entry type '") + flag + "'");
    }
    entry.path = clean(name, "path");
    if (entry.path.empty() && entry.type != FileType::directory) fail("entry without a name");
    const std::string link = over.link ? *over.link : std::string(field(block_, 157, 100));
    if (entry.type == FileType::hardlink) {
      entry.link = clean(link, "hard link target");
      if (entry.link.empty()) fail("hard link without a target");
    } else if (entry.type == FileType::symlink) {
      if (link.empty() || link.size() > max_path) fail("symlink with an empty or too long target");
      entry.link = link;
    }
    entry.mode = static_cast<uint32_t>(numeric(100, 8, "mode")) & 07777;
    const int64_t uid = over.uid ? static_cast<int64_t>(*over.uid) : numeric(108, 8, "uid");
    const int64_t gid = over.gid ? static_cast<int64_t>(*over.gid) : numeric(116, 8, "gid");
    // 2^32-1 means "no id" to chown.
    if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX) fail("owner out of range");
    entry.uid = static_cast<uint32_t>(uid);
    entry.gid = static_cast<uint32_t>(gid);
    entry.mtime = numeric(136, 12, "mtime");
    if (over.mtime) std::tie(entry.mtime, entry.mtime_nsec) = *over.mtime;
    if (entry.type == FileType::char_device || entry.type == FileType::block_device) {
      const int64_t dev_major = numeric(329, 8, "device number");
      const int64_t dev_minor = numeric(337, 8, "device number");
      if (dev_major < 0 || dev_major > 0xfff || dev_minor < 0 || dev_minor > 0xfffff)
        fail("device number out of range");
      entry.dev_major = static_cast<uint32_t>(dev_major);
      entry.dev_minor = static_cast<uint32_t>(dev_minor);
    }
    // POSIX: links, directories, devices and fifos carry no content, whatever the field says.
    const bool content = entry.type == FileType::file;
    const uint64_t size = content ? over.size.value_or(static_cast<uint64_t>(raw_size)) : 0;
    if (size > INT64_MAX / 2) fail("size out of range");
    entry.size = size;
    entry.xattrs = std::move(over.xattrs);
    remaining_ = size;
    padding_ = (block - size % block) % block;
    content_offset_ = offset_;
    if (whiteouts_ == Whiteouts::decode && !decode_whiteout(entry)) {
      skip(remaining_ + padding_);
      remaining_ = padding_ = 0;
      over = Overrides();
      continue;
    }
    return entry;
  }
}

}  // namespace kiln
