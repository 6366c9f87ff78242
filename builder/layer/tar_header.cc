#include <algorithm>
#include <array>
#include <cstring>

#include "builder/layer/layer_writer.hh"
#include "builder/sys/error.hh"

namespace kiln {

namespace {

constexpr size_t header_block = 512;
constexpr size_t name_field = 100;
constexpr uint64_t octal7 = 07777777;      // what an 8-byte field holds
constexpr int64_t octal11 = 077777777777;  // what a 12-byte field holds

bool valid_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    const size_t more = c < 0x80                ? 0
                        : c >= 0xc2 && c < 0xe0 ? 1
                        : c >= 0xe0 && c < 0xf0 ? 2
                        : c >= 0xf0 && c < 0xf5 ? 3
                                                : 4;
    if (more == 4 || text.size() - i <= more) return false;
    for (size_t k = 1; k <= more; ++k)
      if ((static_cast<unsigned char>(text[i + k]) & 0xc0) != 0x80) return false;
    if (more > 1) {
      const auto d = static_cast<unsigned char>(text[i + 1]);
      // Overlong forms, surrogates, beyond U+10FFFF.
      if ((c == 0xe0 && d < 0xa0) || (c == 0xed && d >= 0xa0) || (c == 0xf0 && d < 0x90) ||
          (c == 0xf4 && d >= 0x90))
        return false;
    }
    i += more + 1;
  }
  return true;
}

void put_octal(std::span<char> field, uint64_t value) {
  field.back() = '\0';
  for (size_t i = field.size() - 1; i-- > 0; value >>= 3)
    field[i] = static_cast<char>('0' + (value & 7));
}

struct Ustar {
  std::string_view name, link;
  uint64_t mode = 0, uid = 0, gid = 0, size = 0, mtime = 0, dev_major = 0, dev_minor = 0;
  char type = '0';
  bool device = false;
};

void append_ustar(std::string& out, const Ustar& header) {
  const size_t start = out.size();
  out.resize(start + header_block, '\0');
  const std::span<char> b(out.data() + start, header_block);
  header.name.copy(b.data(), name_field);
  put_octal(b.subspan(100, 8), header.mode);
  put_octal(b.subspan(108, 8), header.uid);
  put_octal(b.subspan(116, 8), header.gid);
  put_octal(b.subspan(124, 12), header.size);
  put_octal(b.subspan(136, 12), header.mtime);
  b[156] = header.type;
  header.link.copy(b.data() + 157, name_field);
  std::memcpy(b.data() + 257, "ustar\00000", 8);
  if (header.device) {
    put_octal(b.subspan(329, 8), header.dev_major);
    put_octal(b.subspan(337, 8), header.dev_minor);
  }
  std::memset(b.data() + 148, ' ', 8);
  uint64_t sum = 0;
  for (char c : b) sum += static_cast<unsigned char>(c);
  put_octal(b.subspan(148, 7), sum);
}

// "LENGTH key=value\n", where LENGTH counts itself.
void append_record(std::string& out, std::string_view key, std::string_view value) {
  const size_t rest = key.size() + value.size() + 3;
  size_t length = rest + 1;
  while (rest + std::to_string(length).size() != length)
    length = rest + std::to_string(length).size();
  out += std::to_string(length);
  out += ' ';
  out += key;
  out += '=';
  out += value;
  out += '\n';
}

char type_flag(const Entry& entry) {
  switch (entry.type) {
    case FileType::file:
    case FileType::whiteout:
      return '0';
    case FileType::hardlink:
      return '1';
    case FileType::symlink:
      return '2';
    case FileType::char_device:
      return '3';
    case FileType::block_device:
      return '4';
    case FileType::directory:
      return '5';
    case FileType::fifo:
      return '6';
    case FileType::opaque:
      break;
  }
  throw Error(entry.path + ": opaque markers are never written");
}

}  // namespace

std::string tar_name(const Entry& entry) {
  if (entry.type == FileType::whiteout)
    return join_path(parent_path(entry.path),
                     std::string(whiteout_prefix).append(base_name(entry.path)));
  if (entry.type == FileType::directory) return entry.path.empty() ? "./" : entry.path + "/";
  return entry.path;
}

void append_tar_header(std::string& out, const Entry& entry) {
  const std::string name = tar_name(entry);
  const bool linked = entry.type == FileType::hardlink || entry.type == FileType::symlink;
  Ustar header;
  header.type = type_flag(entry);
  header.name = name;
  header.link = linked ? std::string_view(entry.link) : std::string_view();
  header.size = entry.type == FileType::file ? entry.size : 0;
  if (entry.type != FileType::whiteout) {
    header.mode = entry.mode & 07777;
    header.uid = entry.uid;
    header.gid = entry.gid;
  }
  header.mtime = static_cast<uint64_t>(std::clamp<int64_t>(entry.mtime, 0, octal11));
  header.device = entry.type == FileType::char_device || entry.type == FileType::block_device;
  header.dev_major = entry.dev_major;
  header.dev_minor = entry.dev_minor;
  if (header.dev_major > octal7 || header.dev_minor > octal7)
    throw Error(entry.path + ": device number is too large for a tar");

  std::string pax;
  const bool long_name = name.size() > name_field;
  const bool long_link = header.link.size() > name_field;
  if ((long_name && !valid_utf8(name)) || (long_link && !valid_utf8(header.link)))
    append_record(pax, "hdrcharset", "BINARY");
  if (long_name) append_record(pax, "path", name);
  if (long_link) append_record(pax, "linkpath", header.link);
  if (header.size > static_cast<uint64_t>(octal11)) {
    append_record(pax, "size", std::to_string(header.size));
    header.size = 0;
  }
  if (header.uid > octal7) {
    append_record(pax, "uid", std::to_string(header.uid));
    header.uid = 0;
  }
  if (header.gid > octal7) {
    append_record(pax, "gid", std::to_string(header.gid));
    header.gid = 0;
  }
  if (entry.mtime < 0 || entry.mtime > octal11)
    append_record(pax, "mtime", std::to_string(entry.mtime));
  if (entry.type != FileType::whiteout && entry.type != FileType::hardlink)
    for (const auto& [key, value] : entry.xattrs) append_record(pax, "SCHILY.xattr." + key, value);

  if (!pax.empty()) {
    std::string pax_name = "PaxHeaders.0/" + std::string(base_name(entry.path));
    pax_name.resize(std::min(pax_name.size(), name_field));
    append_ustar(out, {.name = pax_name, .mode = 0644, .size = pax.size(), .type = 'x'});
    out += pax;
    out.append((header_block - pax.size() % header_block) % header_block, '\0');
  }
  append_ustar(out, header);
}

}  // namespace kiln
