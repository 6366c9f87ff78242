#include <unistd.h>

#include "runtime/cli/verbs.hh"
#include "runtime/operations/lifecycle.hh"
#include "runtime/sys/file.hh"
#include "runtime/sys/number.hh"

namespace vessel::cli {

namespace {

template <typename T>
std::optional<T> number(const Arguments& arguments, std::string_view name) {
  if (!arguments.given(name)) return std::nullopt;
  std::string text = arguments.value(name);
  auto value = parse_number<T>(text);
  if (!value)
    throw UsageError("--" + std::string(name) + ": expected a whole number, got \"" + text + "\"");
  return value;
}

// Bytes with docker's suffixes (units of 1024), or -1.
std::optional<int64_t> bytes(const Arguments& arguments, std::string_view name) {
  if (!arguments.given(name)) return std::nullopt;
  std::string text = arguments.value(name);
  if (text == "-1") return -1;
  std::string_view digits = text;
  int shift = 0;
  if (digits.ends_with("iB") || digits.ends_with("ib"))
    digits.remove_suffix(2);
  else if (digits.size() > 1 && (digits.back() == 'b' || digits.back() == 'B'))
    digits.remove_suffix(1);
  if (!digits.empty()) switch (digits.back() | 0x20) {
      case 'k':
        shift = 10;
        break;
      case 'm':
        shift = 20;
        break;
      case 'g':
        shift = 30;
        break;
      case 't':
        shift = 40;
        break;
      default:
        break;
    }
  if (shift) digits.remove_suffix(1);
  auto value = parse_number<int64_t>(digits, 0, INT64_MAX >> shift);
  if (!value)
    throw UsageError("--" + std::string(name) + ": expected bytes such as 64m, or -1, got \"" +
                     text + "\"");
  return *value << shift;
}

oci::Resources from_options(const Arguments& a) {
  oci::Resources r;
  oci::MemoryLimits memory;
  memory.limit = bytes(a, "memory");
  memory.reservation = bytes(a, "memory-reservation");
  memory.swap = bytes(a, "memory-swap");
  memory.kernel = bytes(a, "kernel-memory");
  memory.kernel_tcp = bytes(a, "kernel-memory-tcp");
  if (memory.limit || memory.reservation || memory.swap || memory.kernel || memory.kernel_tcp)
    r.memory = memory;
  oci::CpuLimits cpu;
  cpu.period = number<uint64_t>(a, "cpu-period");
  cpu.quota = number<int64_t>(a, "cpu-quota");
  cpu.burst = number<uint64_t>(a, "cpu-burst");
  cpu.shares = number<uint64_t>(a, "cpu-share");
  cpu.realtime_period = number<uint64_t>(a, "cpu-rt-period");
  cpu.realtime_runtime = number<int64_t>(a, "cpu-rt-runtime");
  cpu.idle = number<int64_t>(a, "cpu-idle");
  cpu.cpus = a.value("cpuset-cpus");
  cpu.mems = a.value("cpuset-mems");
  if (cpu.period || cpu.quota || cpu.burst || cpu.shares || cpu.realtime_period ||
      cpu.realtime_runtime || cpu.idle || !cpu.cpus.empty() || !cpu.mems.empty())
    r.cpu = cpu;
  if (auto limit = number<int64_t>(a, "pids-limit")) r.pids = oci::PidsLimit{limit};
  if (auto weight = number<uint16_t>(a, "blkio-weight")) {
    r.block_io.emplace();
    r.block_io->weight = weight;
  }
  return r;
}

int update(const Globals& globals, const Arguments& arguments) {
  std::vector<std::string> schemata;
  for (const char* name : {"l3-cache-schema", "mem-bw-schema"}) {
    std::string line = arguments.value(name);
    if (line.empty()) continue;
    const bool bandwidth = *name == 'm';
    if (line.find('\n') != line.npos || (bandwidth && !line.starts_with("MB:")))
      throw UsageError("--" + std::string(name) + ": expected one line such as " +
                       (bandwidth ? "MB:0=50" : "L3:0=ff") + ", got \"" + line + "\"");
    schemata.push_back(std::move(line));
  }
  std::string file = arguments.value("resources");
  oci::Resources resources;
  if (file.empty())
    resources = from_options(arguments);
  else if (file == "-")
    resources = oci::read_resources(read_all(Fd(::dup(STDIN_FILENO)), "standard input"), "stdin");
  else
    resources = oci::read_resources(read_file(file), file);
  update_container(globals.root, arguments.operand(0), resources, schemata);
  return 0;
}

}  // namespace

Verb update_verb() {
  return {
      .name = "update",
      .usage = "change the limits of a container",
      .operands = "<container-id>",
      .description =
          "Changes the resources that are named and leaves the others. With --resources "
          "they come as the specification's linux.resources object, and the other "
          "options are ignored.",
      .options =
          {{.name = "resources",
            .short_name = 'r',
            .value = "FILE",
            .help = "read linux.resources from FILE, or from standard input with -"},
           {.name = "blkio-weight", .value = "WEIGHT", .help = "block I/O weight, 10 to 1000"},
           {.name = "cpu-period", .value = "MICROSECONDS", .help = "CFS period"},
           {.name = "cpu-quota", .value = "MICROSECONDS", .help = "CFS quota in a period"},
           {.name = "cpu-burst", .value = "MICROSECONDS", .help = "CFS burst beyond the quota"},
           {.name = "cpu-share", .value = "SHARES", .help = "CPU shares, 2 to 262144"},
           {.name = "cpu-rt-period", .value = "MICROSECONDS", .help = "realtime period"},
           {.name = "cpu-rt-runtime", .value = "MICROSECONDS", .help = "realtime in a period"},
           {.name = "cpuset-cpus", .value = "LIST", .help = "CPUs, such as 0-3,7"},
           {.name = "cpuset-mems", .value = "LIST", .help = "memory nodes"},
           {.name = "cpu-idle", .value = "0|1", .help = "SCHED_IDLE for the whole cgroup"},
           {.name = "memory", .value = "BYTES", .help = "memory limit; k, m, g and t multiply"},
           {.name = "memory-reservation", .value = "BYTES", .help = "memory that is protected"},
           {.name = "memory-swap", .value = "BYTES", .help = "memory and swap; -1 for no limit"},
           {.name = "kernel-memory", .value = "BYTES", .help = "ignored, gone from Linux"},
           {.name = "kernel-memory-tcp", .value = "BYTES", .help = "ignored, gone from Linux"},
           {.name = "pids-limit", .value = "N", .help = "processes and threads"},
           {.name = "l3-cache-schema", .value = "SCHEMA", .help = "Intel RDT cache schema"},
           {.name = "mem-bw-schema", .value = "SCHEMA", .help = "Intel RDT bandwidth schema"}},
      .least_operands = 1,
      .most_operands = 1,
      .containers = "created|running|paused",
      .run = update};
}

}  // namespace vessel::cli
