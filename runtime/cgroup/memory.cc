// linux.resources.memory (config-linux.md "Memory") as writes.
#include "runtime/cgroup/files.hh"
#include "runtime/cgroup/resources_build.hh"
#include "runtime/sys/error.hh"

namespace vessel {

namespace {

constexpr std::string_view base = "linux.resources.memory";

std::string memory_path(std::string_view field) {
  return std::string(base) + "." + std::string(field);
}

// checkBeforeUpdate: a limit at or below the usage would have the kernel kill right away.
void check_usage(int64_t limit, int64_t swap, std::string_view usage_file, WriteBuilder& to) {
  auto text = to.current("memory", usage_file);
  auto usage = text ? parse_counter(*text) : std::nullopt;
  if (!usage) return;  // best effort, as the usage of a cgroup that is not there yet is 0
  auto refuse = [&](std::string_view field, int64_t value) {
    throw Error(memory_path(field) + ": " + std::to_string(value) +
                " is not above the current usage " + std::to_string(*usage) +
                " (checkBeforeUpdate)");
  };
  if (swap > 0 && static_cast<uint64_t>(swap) <= *usage) refuse("swap", swap);
  if (limit > 0 && static_cast<uint64_t>(limit) <= *usage) refuse("limit", limit);
}

void v2(const oci::MemoryLimits& m, WriteBuilder& to) {
  int64_t limit = m.limit.value_or(0), swap = m.swap.value_or(0);
  if (limit == 0 && swap > 0 && !to.view.fresh) {
    // An update of swap alone: what is the limit now?
    auto now = to.current("memory", "memory.max");
    auto value = now ? parse_counter(*now) : std::nullopt;
    if (value) limit = *value == UINT64_MAX ? -1 : static_cast<int64_t>(*value);
  }
  std::optional<std::string> swap_value;
  try {
    swap_value = swap_max(swap, limit);
  } catch (Error& error) {
    error.prepend(memory_path("swap"));
    throw;
  }
  if (swap_value) {
    // Without swap accounting, "no swap" and "any swap" are both what the host does already.
    bool harmless = *swap_value == "max" || *swap_value == "0";
    to.put("memory", "memory.swap.max", *swap_value, memory_path("swap"),
           harmless ? WriteRule::if_present : WriteRule::required);
  }
  if (m.limit.value_or(0) != 0)
    to.put("memory", "memory.max", *m.limit < 0 ? "max" : std::to_string(*m.limit),
           memory_path("limit"));
  if (m.reservation.value_or(0) != 0)
    to.put("memory", "memory.low", *m.reservation < 0 ? "max" : std::to_string(*m.reservation),
           memory_path("reservation"));
  if (m.disable_oom_killer.value_or(false))
    to.unsupported(memory_path("disableOOMKiller"), "such switch in cgroup v2");
  if (m.swappiness && static_cast<int64_t>(*m.swappiness) != -1)
    to.unsupported(memory_path("swappiness"), "swappiness per cgroup in cgroup v2");
}

// The kernel wants the limit never above that of memory and swap, and says no more than EINVAL.
// What is not given stays as it is.
void check_v1_order(int64_t limit, int64_t swap, std::string_view limit_file,
                    std::string_view swap_file, WriteBuilder& to) {
  if (limit == 0 && swap == 0) return;
  const auto value = [&](int64_t given, std::string_view file) -> uint64_t {
    if (given != 0) return given < 0 ? UINT64_MAX : static_cast<uint64_t>(given);
    const auto text = to.view.fresh ? std::nullopt : to.current("memory", file);
    const auto now = text ? parse_counter(*text) : std::nullopt;
    return now.value_or(file == limit_file ? 0 : UINT64_MAX);
  };
  const uint64_t memory = value(limit, limit_file), both = value(swap, swap_file);
  if (memory <= both) return;
  const bool raised = limit != 0;
  throw Error(memory_path(raised ? "limit" : "swap") + ": " +
              std::to_string(raised ? limit : swap) + (raised ? " is above " : " is below ") +
              std::to_string(raised ? both : memory) +
              (raised ? ", the limit of memory and swap together (swap): raise that too"
                      : ", the limit of memory, which it includes: lower that too"));
}

void v1(const oci::MemoryLimits& m, WriteBuilder& to) {
  constexpr std::string_view limit_file = "memory.limit_in_bytes";
  constexpr std::string_view swap_file = "memory.memsw.limit_in_bytes";
  int64_t limit = m.limit.value_or(0), swap = m.swap.value_or(0);
  bool swap_implied = limit == -1 && swap == 0;
  if (swap_implied) swap = -1;
  check_v1_order(limit, swap, limit_file, swap_file, to);
  auto put_limit = [&] {
    if (limit != 0) to.put("memory", limit_file, std::to_string(limit), memory_path("limit"));
  };
  auto put_swap = [&] {
    // Without swap accounting in the kernel there is no such file; "-1" asks for nothing then.
    if (swap != 0)
      to.put("memory", swap_file, std::to_string(swap),
             memory_path(swap_implied ? "limit" : "swap"),
             swap == -1 ? WriteRule::if_present : WriteRule::required);
  };
  // The kernel keeps limit <= memory+swap at every moment: the larger one moves first when both
  // rise, the smaller one when both fall.
  bool swap_first = false;
  if (limit != 0 && swap != 0 && (swap == -1 || !to.view.fresh)) {
    if (swap == -1) {
      swap_first = true;
    } else {
      auto text = to.current("memory", limit_file);
      auto now = text ? parse_counter(*text) : std::nullopt;
      swap_first = now && *now < static_cast<uint64_t>(swap);
    }
  }
  if (swap_first) put_swap();
  put_limit();
  if (!swap_first) put_swap();
  if (m.reservation.value_or(0) != 0)
    to.put("memory", "memory.soft_limit_in_bytes", std::to_string(*m.reservation),
           memory_path("reservation"));
  if (m.disable_oom_killer.value_or(false))
    to.put("memory", "memory.oom_control", "1", memory_path("disableOOMKiller"));
  if (m.swappiness && static_cast<int64_t>(*m.swappiness) != -1)
    to.put("memory", "memory.swappiness", std::to_string(*m.swappiness), memory_path("swappiness"));
}

bool any_set(const oci::MemoryLimits& m) {
  return m.kernel_tcp.value_or(0) > 0 || m.limit.value_or(0) != 0 || m.swap.value_or(0) != 0 ||
         m.reservation.value_or(0) != 0 || m.disable_oom_killer.value_or(false) ||
         (m.swappiness && static_cast<int64_t>(*m.swappiness) != -1);
}

}  // namespace

void memory_writes(const oci::MemoryLimits& m, WriteBuilder& to) {
  // The limit of kernel memory was taken out of Linux 5.16; the spec deprecates it.
  if (m.kernel.value_or(0) > 0) to.unsupported(memory_path("kernel"), "limit of kernel memory");
  // runc's range; the kernel takes up to 200 on v1 since 5.8, where callers do not expect it.
  if (m.swappiness && static_cast<int64_t>(*m.swappiness) != -1 && *m.swappiness > 100)
    throw Error(memory_path("swappiness") + ": " + std::to_string(*m.swappiness) +
                " is not in 0 to 100");
  if (!any_set(m)) return;
  bool unified = to.at("memory", base) == ControllerAt::v2;
  if (m.check_before_update.value_or(false) && !to.view.fresh)
    check_usage(m.limit.value_or(0), m.swap.value_or(0),
                unified ? "memory.current" : "memory.usage_in_bytes", to);
  if (m.kernel_tcp.value_or(0) > 0) {
    // Deprecated in v1 too, and gone where CONFIG_MEMCG_V1 is.
    if (unified)
      to.unsupported(memory_path("kernelTCP"), "limit of TCP buffers");
    else
      to.put("memory", "memory.kmem.tcp.limit_in_bytes", std::to_string(*m.kernel_tcp),
             memory_path("kernelTCP"), WriteRule::if_present);
  }
  unified ? v2(m, to) : v1(m, to);
}

}  // namespace vessel
