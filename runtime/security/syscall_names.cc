#include "runtime/security/syscall_names.hh"

#include <array>
#include <cstring>
#include <iterator>

namespace vessel {

namespace {

// Names are arrays and not pointers: a position-independent program would have to
// relocate every pointer each time it starts.
constexpr SyscallRow table[] = {
#include "runtime/security/syscall_table.inc"
};

struct Multiplexed {
  std::string_view name;
  MultiplexedCall call;
};

// <linux/net.h> SYS_* and <linux/ipc.h>.
constexpr Multiplexed multiplexed[] = {
    {"accept", {5, 0}},      {"accept4", {18, 0}},    {"bind", {2, 0}},
    {"connect", {3, 0}},     {"getpeername", {7, 0}}, {"getsockname", {6, 0}},
    {"getsockopt", {15, 0}}, {"listen", {4, 0}},      {"msgctl", {0, 14}},
    {"msgget", {0, 13}},     {"msgrcv", {0, 12}},     {"msgsnd", {0, 11}},
    {"recv", {10, 0}},       {"recvfrom", {12, 0}},   {"recvmmsg", {19, 0}},
    {"recvmsg", {17, 0}},    {"semctl", {0, 3}},      {"semget", {0, 2}},
    {"semop", {0, 1}},       {"semtimedop", {0, 4}},  {"send", {9, 0}},
    {"sendmmsg", {20, 0}},   {"sendmsg", {16, 0}},    {"sendto", {11, 0}},
    {"setsockopt", {14, 0}}, {"shmat", {0, 21}},      {"shmctl", {0, 24}},
    {"shmdt", {0, 22}},      {"shmget", {0, 23}},     {"shutdown", {13, 0}},
    {"socket", {1, 0}},      {"socketpair", {8, 0}},
};

// Profiles name hundreds of calls and a container is started once for each reading of them: a name
// is found by one hash and, nearly always, one comparison.
constexpr size_t slot_count = 2048;
constexpr uint16_t no_row = UINT16_MAX;
static_assert(std::size(table) < slot_count / 2);

constexpr size_t slot_of(std::string_view name) {
  uint32_t hash = 2166136261U;  // FNV-1a
  for (char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return (hash ^ hash >> 16) % slot_count;
}

// Open addressing: the row's index lies in its name's slot or the next free one.
consteval std::array<uint16_t, slot_count> make_slots() {
  std::array<uint16_t, slot_count> slots;
  slots.fill(no_row);
  for (size_t row = 0; row < std::size(table); ++row) {
    size_t slot = slot_of(std::string_view(table[row].name));
    while (slots[slot] != no_row) slot = (slot + 1) % slot_count;
    slots[slot] = static_cast<uint16_t>(row);
  }
  return slots;
}
constexpr std::array<uint16_t, slot_count> slots = make_slots();

consteval std::array<MultiplexedCall, std::size(table)> make_multiplexed_rows() {
  std::array<MultiplexedCall, std::size(table)> rows{};
  for (size_t row = 0; row < std::size(table); ++row)
    for (const Multiplexed& known : multiplexed)
      if (known.name == table[row].name) rows[row] = known.call;
  return rows;
}
constexpr auto multiplexed_rows = make_multiplexed_rows();

bool is_named(const SyscallRow& row, std::string_view name) {
  return name.size() < sizeof row.name && std::memcmp(row.name, name.data(), name.size()) == 0 &&
         row.name[name.size()] == '\0';
}

}  // namespace

const SyscallRow* find_syscall(std::string_view name) {
  for (size_t slot = slot_of(name); slots[slot] != no_row; slot = (slot + 1) % slot_count)
    if (is_named(table[slots[slot]], name)) return &table[slots[slot]];
  return nullptr;
}

MultiplexedCall multiplexed_call(const SyscallRow& row) {
  return multiplexed_rows[static_cast<size_t>(&row - table)];
}

}  // namespace vessel
