#include "runtime/security/syscall_names.hh"

#include <algorithm>
#include <iterator>

namespace vessel {

namespace {

// Sorted by name. Names are arrays and not pointers: a position-independent program would have to
// relocate every pointer each time it starts.
constexpr SyscallRow table[] = {
#include "runtime/security/syscall_table.inc"
};

struct Multiplexed {
  std::string_view name;
  MultiplexedCall call;
};

// <linux/net.h> SYS_* and <linux/ipc.h>. Sorted by name.
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

std::string_view name_of(const SyscallRow& row) {
  return row.name;
}
std::string_view name_of(const Multiplexed& row) {
  return row.name;
}

template <typename Table>
constexpr auto find_in(const Table& rows, std::string_view name) {
  auto row = std::lower_bound(
      std::begin(rows), std::end(rows), name,
      [](const auto& candidate, std::string_view wanted) { return name_of(candidate) < wanted; });
  return row != std::end(rows) && name_of(*row) == name ? row : nullptr;
}

}  // namespace

const SyscallRow* find_syscall(std::string_view name) {
  return find_in(table, name);
}

MultiplexedCall multiplexed_call(std::string_view name) {
  const Multiplexed* row = find_in(multiplexed, name);
  return row != nullptr ? row->call : MultiplexedCall{};
}

}  // namespace vessel
