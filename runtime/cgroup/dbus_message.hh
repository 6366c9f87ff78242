// Owns: D-Bus values and messages and their wire form (D-Bus specification, "Message Protocol").
// Does not own: the connection they travel on (dbus_connection.hh).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace vessel {

// One value of a complete type, written as D-Bus signature. Integers, booleans and bytes are
// uint64_t (sign-extended where signed); strings, object paths and signatures std::string; arrays,
// structs and variants (exactly one part) their parts.
struct DbusValue {
  std::string signature;
  std::variant<uint64_t, double, std::string, std::vector<DbusValue>> data;

  uint64_t number() const { return std::get<uint64_t>(data); }
  const std::string& text() const { return std::get<std::string>(data); }
  const std::vector<DbusValue>& parts() const { return std::get<std::vector<DbusValue>>(data); }
  bool operator==(const DbusValue&) const = default;
};

DbusValue dbus_string(std::string_view text);
DbusValue dbus_bool(bool value);
DbusValue dbus_uint32(uint32_t value);
DbusValue dbus_uint64(uint64_t value);
DbusValue dbus_bytes(const std::vector<uint8_t>& bytes);
DbusValue dbus_array(std::string_view element, std::vector<DbusValue> parts);
DbusValue dbus_struct(std::vector<DbusValue> parts);
DbusValue dbus_variant(DbusValue value);

enum class DbusKind : uint8_t { call = 1, reply = 2, error = 3, signal = 4 };

struct DbusMessage {
  DbusKind kind = DbusKind::call;
  uint32_t serial = 0;
  uint32_t reply_serial = 0;
  std::string path, interface, member, error_name, destination, sender;
  std::vector<DbusValue> body;
  bool operator==(const DbusMessage&) const = default;
};

// Little endian.
std::string encode(const DbusMessage& message);
// How many bytes the message at the start of `bytes` has; nullopt while fewer than its fixed header
// (16 bytes) are there. Throws Error when it is none, or larger than 1 MiB.
std::optional<size_t> encoded_size(std::string_view bytes);
// Either byte order. Throws Error for what is not well-formed.
DbusMessage decode(std::string_view bytes);

// The length of the first complete type in a signature. Throws Error.
size_t complete_type(std::string_view signature, int depth = 0);

}  // namespace vessel
