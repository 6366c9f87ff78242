#include "runtime/cgroup/dbus_message.hh"

#include <bit>
#include <cstring>

#include "runtime/sys/error.hh"

namespace vessel {

namespace {

constexpr size_t size_limit = 1 << 20;
constexpr int depth_limit = 16;

enum Field : uint8_t {
  field_path = 1,
  field_interface,
  field_member,
  field_error_name,
  field_reply_serial,
  field_destination,
  field_sender,
  field_signature
};

size_t fixed_size(char type) {
  switch (type) {
    case 'y':
      return 1;
    case 'n':
    case 'q':
      return 2;
    case 'b':
    case 'i':
    case 'u':
    case 'h':
      return 4;
    case 'x':
    case 't':
    case 'd':
      return 8;
    default:
      return 0;
  }
}

size_t alignment(char type) {
  if (type == '(' || type == '{') return 8;
  if (type == 's' || type == 'o' || type == 'a') return 4;
  return std::max<size_t>(fixed_size(type), 1);  // g and v: 1
}

class Writer {
 public:
  std::string bytes;

  void align(size_t to) { bytes.resize((bytes.size() + to - 1) / to * to, '\0'); }

  void integer(uint64_t value, size_t size) {
    align(size);
    for (size_t i = 0; i < size; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
  }

  void value(const DbusValue& v) {
    char type = v.signature.at(0);
    if (type == 'd') {
      integer(std::bit_cast<uint64_t>(std::get<double>(v.data)), 8);
    } else if (size_t size = fixed_size(type)) {
      integer(v.number(), size);
    } else if (type == 's' || type == 'o') {
      integer(v.text().size(), 4);
      bytes.append(v.text()) += '\0';
    } else if (type == 'g') {
      bytes += static_cast<char>(v.text().size());
      bytes.append(v.text()) += '\0';
    } else if (type == 'v') {
      value({"g", v.parts().at(0).signature});
      value(v.parts()[0]);
    } else if (type == 'a') {
      integer(0, 4);
      size_t length_at = bytes.size() - 4;
      align(alignment(v.signature.at(1)));
      size_t start = bytes.size();
      for (const DbusValue& part : v.parts()) value(part);
      uint64_t length = bytes.size() - start;
      for (size_t i = 0; i < 4; ++i)
        bytes[length_at + i] = static_cast<char>(length >> (8 * i) & 0xff);
    } else {
      align(8);
      for (const DbusValue& part : v.parts()) value(part);
    }
  }
};

class Reader {
 public:
  Reader(std::string_view bytes, bool big_endian) : bytes_(bytes), big_(big_endian) {}

  size_t at() const { return at_; }
  void align(size_t to) { skip((to - at_ % to) % to); }

  uint64_t integer(size_t size) {
    align(size);
    std::string_view raw = take(size);
    uint64_t value = 0;
    for (size_t i = 0; i < size; ++i) {
      uint64_t byte = static_cast<unsigned char>(raw[i]);
      value |= byte << (8 * (big_ ? size - 1 - i : i));
    }
    return value;
  }

  DbusValue value(std::string_view signature, int depth) {
    if (depth > depth_limit) throw Error("D-Bus: values nested too deeply");
    signature = signature.substr(0, complete_type(signature));
    char type = signature[0];
    DbusValue v{std::string(signature), {}};
    if (type == 'd') {
      v.data = std::bit_cast<double>(integer(8));
    } else if (size_t size = fixed_size(type)) {
      uint64_t raw = integer(size);
      if (type == 'n') raw = static_cast<uint64_t>(int64_t{static_cast<int16_t>(raw)});
      if (type == 'i') raw = static_cast<uint64_t>(int64_t{static_cast<int32_t>(raw)});
      v.data = raw;
    } else if (type == 's' || type == 'o' || type == 'g') {
      size_t length = integer(type == 'g' ? 1 : 4);
      v.data = std::string(take(length));
      skip(1);
    } else if (type == 'v') {
      std::string inner = value("g", depth + 1).text();
      if (inner.empty() || complete_type(inner) != inner.size())
        throw Error("D-Bus: a variant must hold one complete type");
      v.data = std::vector<DbusValue>{value(inner, depth + 1)};
    } else if (type == 'a') {
      size_t length = integer(4);
      std::string_view element = signature.substr(1);
      align(alignment(element[0]));
      if (length > bytes_.size() - at_) throw Error("D-Bus: array longer than its message");
      std::vector<DbusValue> parts;
      for (size_t end = at_ + length; at_ < end;) parts.push_back(value(element, depth + 1));
      v.data = std::move(parts);
    } else {
      align(8);
      std::vector<DbusValue> parts;
      for (std::string_view rest = signature.substr(1, signature.size() - 2); !rest.empty();) {
        parts.push_back(value(rest, depth + 1));
        rest.remove_prefix(parts.back().signature.size());
      }
      v.data = std::move(parts);
    }
    return v;
  }

 private:
  std::string_view take(size_t size) {
    if (size > bytes_.size() - at_) throw Error("D-Bus: message is cut short");
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }
  void skip(size_t size) { take(size); }

  std::string_view bytes_;
  size_t at_ = 0;
  bool big_;
};

}  // namespace

DbusValue dbus_string(std::string_view text) {
  return {"s", std::string(text)};
}
DbusValue dbus_bool(bool value) {
  return {"b", uint64_t{value}};
}
DbusValue dbus_uint32(uint32_t value) {
  return {"u", uint64_t{value}};
}
DbusValue dbus_uint64(uint64_t value) {
  return {"t", value};
}

DbusValue dbus_bytes(const std::vector<uint8_t>& bytes) {
  std::vector<DbusValue> parts;
  for (uint8_t byte : bytes) parts.push_back({"y", uint64_t{byte}});
  return dbus_array("y", std::move(parts));
}

DbusValue dbus_array(std::string_view element, std::vector<DbusValue> parts) {
  return {"a" + std::string(element), std::move(parts)};
}

DbusValue dbus_struct(std::vector<DbusValue> parts) {
  std::string signature = "(";
  for (const DbusValue& part : parts) signature += part.signature;
  return {signature + ")", std::move(parts)};
}

DbusValue dbus_variant(DbusValue value) {
  return {"v", std::vector<DbusValue>{std::move(value)}};
}

size_t complete_type(std::string_view signature, int depth) {
  if (signature.empty() || depth > depth_limit) throw Error("D-Bus: bad type signature");
  char type = signature[0];
  if (fixed_size(type) || type == 's' || type == 'o' || type == 'g' || type == 'v') return 1;
  if (type == 'a') return 1 + complete_type(signature.substr(1), depth + 1);
  if (type != '(' && type != '{') throw Error("D-Bus: bad type signature");
  char close = type == '(' ? ')' : '}';
  size_t at = 1;
  while (at < signature.size() && signature[at] != close)
    at += complete_type(signature.substr(at), depth + 1);
  if (at >= signature.size() || at == 1) throw Error("D-Bus: bad type signature");
  return at + 1;
}

std::string encode(const DbusMessage& m) {
  Writer body;
  std::string signature;
  for (const DbusValue& value : m.body) {
    signature += value.signature;
    body.value(value);
  }
  std::vector<DbusValue> fields;
  auto field = [&](Field code, DbusValue value) {
    fields.push_back(dbus_struct({{"y", uint64_t{code}}, dbus_variant(std::move(value))}));
  };
  auto text_field = [&](Field code, const char* type, const std::string& text) {
    if (!text.empty()) field(code, {type, text});
  };
  text_field(field_path, "o", m.path);
  text_field(field_interface, "s", m.interface);
  text_field(field_member, "s", m.member);
  text_field(field_error_name, "s", m.error_name);
  if (m.reply_serial) field(field_reply_serial, dbus_uint32(m.reply_serial));
  text_field(field_destination, "s", m.destination);
  text_field(field_sender, "s", m.sender);
  text_field(field_signature, "g", signature);

  Writer out;
  out.bytes = {'l', static_cast<char>(m.kind), '\0', '\1'};
  out.integer(body.bytes.size(), 4);
  out.integer(m.serial, 4);
  out.value(dbus_array("(yv)", std::move(fields)));
  out.align(8);
  return out.bytes + body.bytes;
}

std::optional<size_t> encoded_size(std::string_view bytes) {
  if (bytes.size() < 16) return {};
  if (bytes[0] != 'l' && bytes[0] != 'B') throw Error("D-Bus: not a message");
  Reader lengths(bytes.substr(4, 12), bytes[0] == 'B');
  size_t body = lengths.integer(4);
  lengths.integer(4);
  size_t fields = lengths.integer(4);
  if (body > size_limit || fields > size_limit) throw Error("D-Bus: message is too large");
  return (16 + fields + 7) / 8 * 8 + body;
}

DbusMessage decode(std::string_view bytes) {
  auto size = encoded_size(bytes);
  if (!size || bytes.size() < *size) throw Error("D-Bus: message is cut short");
  bool big = bytes[0] == 'B';
  DbusMessage m;
  m.kind = static_cast<DbusKind>(bytes[1]);
  Reader header(bytes.substr(0, *size), big);
  header.integer(8);  // order, type, flags, version; body length
  m.serial = static_cast<uint32_t>(header.integer(4));
  std::string signature;
  const DbusValue fields = header.value("a(yv)", 0);
  for (const DbusValue& field : fields.parts()) {
    const DbusValue& value = field.parts()[1].parts()[0];
    bool text = std::holds_alternative<std::string>(value.data);
    uint64_t code = field.parts()[0].number();
    if (code == field_reply_serial && value.signature == "u")
      m.reply_serial = static_cast<uint32_t>(value.number());
    if (!text) continue;
    switch (code) {
      case field_path:
        m.path = value.text();
        break;
      case field_interface:
        m.interface = value.text();
        break;
      case field_member:
        m.member = value.text();
        break;
      case field_error_name:
        m.error_name = value.text();
        break;
      case field_destination:
        m.destination = value.text();
        break;
      case field_sender:
        m.sender = value.text();
        break;
      case field_signature:
        signature = value.text();
        break;
      default:
        break;
    }
  }
  header.align(8);
  // Alignment counts from the start of the body, which is itself aligned.
  Reader body(bytes.substr(header.at(), *size - header.at()), big);
  for (std::string_view rest = signature; !rest.empty();) {
    m.body.push_back(body.value(rest, 0));
    rest.remove_prefix(m.body.back().signature.size());
  }
  return m;
}

}  // namespace vessel
