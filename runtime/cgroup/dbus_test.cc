#include <doctest/doctest.h>

#include "runtime/cgroup/dbus_message.hh"
#include "runtime/cgroup/gvariant.hh"
#include "runtime/sys/error.hh"

using namespace vessel;

TEST_CASE("D-Bus messages: the bytes of the specification's rules") {
  DbusMessage hello;
  hello.serial = 1;
  hello.path = "/a";
  hello.member = "M";
  hello.body = {dbus_string("x"), dbus_uint64(2)};
  std::string bytes = encode(hello);
  // Fixed part: order, call, no flags, version 1; body 16 bytes ("x" 4+2, padding 2, u64 8).
  const unsigned char want[] = {'l', 1, 0, 1, 16, 0, 0, 0, 1, 0, 0, 0};
  REQUIRE(bytes.size() > 12);
  for (size_t i = 0; i < sizeof want; ++i) CHECK(static_cast<unsigned char>(bytes[i]) == want[i]);
  CHECK(bytes.size() % 8 == 0);
  CHECK(bytes.substr(bytes.size() - 16) == std::string("\1\0\0\0x\0\0\0\2\0\0\0\0\0\0\0", 16));
  CHECK(encoded_size(bytes) == bytes.size());
}

TEST_CASE("D-Bus messages come back as they were") {
  DbusMessage m;
  m.kind = DbusKind::signal;
  m.serial = 77;
  m.reply_serial = 3;
  m.path = "/org/x";
  m.interface = "org.x";
  m.member = "Y";
  m.error_name = "org.x.E";
  m.destination = ":1.2";
  m.sender = ":1.3";
  m.body = {dbus_bool(true),
            dbus_bytes({1, 2, 255}),
            dbus_array("(sv)", {dbus_struct({dbus_string("PIDs"),
                                             dbus_variant(dbus_array("u", {dbus_uint32(5)}))}),
                                dbus_struct({dbus_string("D"), dbus_variant({"d", 1.5})})}),
            dbus_array("(sa(sv))", {}),
            {"n", static_cast<uint64_t>(int64_t{-3})},
            {"x", static_cast<uint64_t>(int64_t{-5})},
            {"o", "/p"},
            {"g", "a{sv}"}};
  CHECK(decode(encode(m)) == m);
}

TEST_CASE("D-Bus: hostile input is an error, never more") {
  DbusMessage m;
  m.serial = 9;
  m.path = "/a";
  m.member = "B";
  m.body = {dbus_array("s", {dbus_string("abc"), dbus_string("d")}), dbus_variant(dbus_bool(true))};
  std::string good = encode(m);
  size_t refused = 0;
  for (size_t at = 0; at < good.size(); ++at) {
    for (int value : {0, 1, 7, 40, 97, 127, 200, 255}) {
      std::string bad = good;
      bad[at] = static_cast<char>(value);
      try {
        decode(bad);
      } catch (const Error&) {
        ++refused;
      }
    }
    CHECK_THROWS_AS(decode(good.substr(0, at)), Error);
  }
  CHECK(refused > 100);
  CHECK_THROWS_AS(complete_type("a"), Error);
  CHECK_THROWS_AS(complete_type("(s"), Error);
  CHECK_THROWS_AS(complete_type("()"), Error);
  CHECK_THROWS_AS(complete_type(std::string(100, 'a') + "y"), Error);
}

TEST_CASE("GVariant text") {
  CHECK(parse_gvariant("true") == dbus_bool(true));
  CHECK(parse_gvariant(" 'it\\'s' ") == dbus_string("it's"));
  CHECK(parse_gvariant("\"x\"") == dbus_string("x"));
  CHECK(parse_gvariant("-5") == DbusValue{"i", static_cast<uint64_t>(int64_t{-5})});
  CHECK(parse_gvariant("uint64 18446744073709551615") == dbus_uint64(~0ull));
  CHECK(parse_gvariant("@t 7") == dbus_uint64(7));
  CHECK(parse_gvariant("2.5") == DbusValue{"d", 2.5});
  CHECK(parse_gvariant("byte 0x1f") == DbusValue{"y", uint64_t{31}});
  CHECK(parse_gvariant("['a', 'b']") == dbus_array("s", {dbus_string("a"), dbus_string("b")}));
  CHECK(parse_gvariant("@as []") == dbus_array("s", {}));
  CHECK(parse_gvariant("[uint32 1, 2]") == dbus_array("u", {dbus_uint32(1), dbus_uint32(2)}));
  CHECK(parse_gvariant("('a', <true>)") ==
        dbus_struct({dbus_string("a"), dbus_variant(dbus_bool(true))}));
  CHECK(parse_gvariant("b'hi'") == dbus_bytes({'h', 'i', 0}));
  for (const char* bad : {"", "tru", "'a", "[1, 'a']", "[]", "()", "2147483648", "byte 256",
                          "uint32 -1", "1 2", "@a 1", "@", "('a'", "<1", "'\\q'", "99999999999999"})
    CHECK_THROWS_AS_MESSAGE(parse_gvariant(bad), Error, bad);
}
