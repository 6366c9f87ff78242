#include "runtime/cgroup/device_rules.hh"

#include <doctest/doctest.h>

#include <random>

#include "runtime/cgroup/device_program.hh"
#include "runtime/sys/error.hh"

using namespace vessel;

namespace {

// Runs a program as the kernel would: 0 or 1, or -1 when it leaves what this machine knows (a wild
// jump, an unknown opcode, running off the end).
int interpret(const std::vector<bpf_insn>& program, uint32_t type, uint32_t access, uint32_t major,
              uint32_t minor) {
  const uint32_t context[3] = {access << 16 | type, major, minor};
  uint64_t regs[11] = {};
  for (size_t pc = 0, steps = 0; pc < program.size() && steps < 100000; ++steps) {
    const bpf_insn& i = program[pc++];
    uint64_t& dst = regs[i.dst_reg];
    auto imm = static_cast<uint32_t>(i.imm);
    auto low = static_cast<uint32_t>(dst);
    bool taken = false;
    switch (i.code) {
      case BPF_LDX | BPF_MEM | BPF_W:
        if (i.src_reg != 1 || i.off % 4 != 0 || i.off < 0 || i.off > 8) return -1;
        dst = context[i.off / 4];
        continue;
      case BPF_ALU | BPF_MOV | BPF_X:
        dst = static_cast<uint32_t>(regs[i.src_reg]);
        continue;
      case BPF_ALU | BPF_MOV | BPF_K:
        dst = imm;
        continue;
      case BPF_ALU | BPF_AND | BPF_K:
        dst = low & imm;
        continue;
      case BPF_ALU | BPF_RSH | BPF_K:
        dst = low >> imm;
        continue;
      case BPF_JMP | BPF_EXIT:
        return static_cast<int>(regs[0]);
      case BPF_JMP | BPF_JA:
        taken = true;
        break;
      case BPF_JMP32 | BPF_JNE | BPF_K:
        taken = low != imm;
        break;
      case BPF_JMP32 | BPF_JSET | BPF_K:
        taken = (low & imm) != 0;
        break;
      default:
        return -1;
    }
    if (i.off < 0) return -1;
    if (taken) pc += static_cast<size_t>(i.off);
  }
  return -1;
}

oci::DeviceRule rule(bool allow, std::string type, int64_t major, int64_t minor,
                     std::string access) {
  oci::DeviceRule r{allow, std::move(type), {}, {}, std::move(access)};
  if (major >= 0) r.major = major;
  if (minor >= 0) r.minor = minor;
  return r;
}

std::vector<oci::DeviceRule> random_rules(std::mt19937& random) {
  auto pick = [&](uint32_t n) { return static_cast<uint32_t>(random() % n); };
  static const char* types[] = {"a", "b", "c", ""};
  static const char* accesses[] = {"r", "w", "m", "rw", "rm", "wm", "rwm", ""};
  static const int64_t numbers[] = {-1, 0, 1, 5, 200, 0x80000001, 0xffffffff};
  std::vector<oci::DeviceRule> rules(pick(12));
  for (auto& r : rules)
    r = rule(pick(2) != 0, types[pick(4)], numbers[pick(7)], numbers[pick(7)], accesses[pick(8)]);
  return rules;
}

constexpr uint32_t probes[] = {0, 1, 2, 5, 200, 0x80000001, 0xffffffff};

template <typename Visit>
void every_access(Visit visit) {
  for (bool block : {false, true})
    for (uint32_t major : probes)
      for (uint32_t minor : probes)
        for (uint32_t access = 1; access <= device_all; ++access)
          visit(block, major, minor, access);
}

// The rules as the config has them, bit by bit, without any of the code under test.
bool plainly_allowed(const std::vector<oci::DeviceRule>& rules, bool block, uint32_t major,
                     uint32_t minor, uint32_t access) {
  for (auto [bit, letter] :
       {std::pair{device_read, 'r'}, {device_write, 'w'}, {device_mknod, 'm'}}) {
    if (!(access & bit)) continue;
    bool allowed = false;
    for (const auto& r : rules) {
      bool type = r.type.empty() || r.type == "a" || (r.type == "b") == block;
      bool numbers = (!r.major || *r.major == major) && (!r.minor || *r.minor == minor);
      bool bits = r.access.empty() || r.access.find(letter) != std::string::npos;
      if (type && numbers && bits) allowed = r.allow;
    }
    if (!allowed) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("the device program decides like the list of rules") {
  std::mt19937 random(20210917);
  int allowed = 0, denied = 0;
  for (int round = 0; round < 4000; ++round) {
    auto rules = random_rules(random);
    NormalRules normal = normal_rules(rules);
    auto program = device_program(normal);
    every_access([&](bool block, uint32_t major, uint32_t minor, uint32_t access) {
      bool want = plainly_allowed(rules, block, major, minor, access);
      int got = interpret(program, block ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR, access, major,
                          minor);
      if (got != static_cast<int>(want) ||
          devices_allow(normal, block, major, minor, access) != want) {
        FAIL("round " << round << ": " << (block ? "b " : "c ") << major << ":" << minor
                      << " access " << access << " want " << want << " got " << got);
      }
      ++(want ? allowed : denied);
    });
  }
  CHECK(allowed > 100000);
  CHECK(denied > 100000);
}

TEST_CASE("a flipped instruction is seen") {
  NormalRules normal = normal_rules({rule(false, "a", -1, -1, "rwm"), rule(true, "c", 1, 3, "rwm"),
                                     rule(true, "c", 5, -1, "rw"), rule(false, "c", 5, 1, "w")});
  auto program = device_program(normal);
  size_t seen = 0, flips = 0;
  for (size_t at = 6; at < program.size(); ++at) {
    auto broken = program;
    if (broken[at].code == (BPF_JMP | BPF_EXIT)) continue;
    if (broken[at].code == (BPF_JMP | BPF_JA))
      broken[at].off = 1;
    else
      broken[at].imm ^= 1;
    ++flips;
    bool differs = false;
    every_access([&](bool block, uint32_t major, uint32_t minor, uint32_t access) {
      uint32_t type = block ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR;
      differs = differs || interpret(broken, type, access, major, minor) !=
                               interpret(program, type, access, major, minor);
    });
    seen += differs;
  }
  // Some flips change nothing that matters (a bit that a later rule denies anyway).
  CHECK(seen * 10 >= flips * 7);
}

TEST_CASE("v1 device writes") {
  auto lines = [](const std::vector<oci::DeviceRule>& rules) {
    std::vector<std::string> out;
    for (const auto& w : device_writes_v1(normal_rules(rules)))
      out.push_back(w.file + " " + w.value);
    return out;
  };
  using Lines = std::vector<std::string>;
  CHECK(lines({rule(false, "a", -1, -1, "rwm"), rule(true, "c", 1, 3, "rwm"),
               rule(true, "c", -1, -1, "m"), rule(true, "b", 8, -1, "r")}) ==
        Lines{"devices.deny a", "devices.allow c 1:3 rwm", "devices.allow c *:* m",
              "devices.allow b 8:* r"});
  CHECK(lines({rule(true, "c", 1, 3, "rwm"), rule(true, "a", -1, -1, "rwm"),
               rule(false, "c", 1, 3, "w")}) == Lines{"devices.allow a", "devices.deny c 1:3 w"});
  // Bits come and go; a wider later rule takes narrower ones with it.
  CHECK(lines({rule(true, "c", 1, 3, "rw"), rule(false, "c", 1, 3, "w")}) ==
        Lines{"devices.deny a", "devices.allow c 1:3 r"});
  CHECK(lines({rule(true, "c", 1, 3, "rw"), rule(false, "c", 1, -1, "rwm")}) ==
        Lines{"devices.deny a"});
  // One exception must hold every bit of an access.
  CHECK(lines({rule(true, "c", 1, 3, "r"), rule(true, "c", 1, -1, "w")}) ==
        Lines{"devices.deny a", "devices.allow c 1:3 rw", "devices.allow c 1:* w"});
  // What Docker asks for: /dev/fuse denied, behind the default devices.
  CHECK(lines({rule(true, "c", -1, -1, "m"), rule(false, "c", 10, 229, "rwm")}) ==
        Lines{"devices.deny a", "devices.allow c *:* m"});
  CHECK_THROWS_AS(lines({rule(true, "c", -1, -1, "rm"), rule(false, "c", 10, 229, "rwm")}), Error);
  CHECK_THROWS_WITH_AS(lines({rule(true, "c", 1, -1, "rw"), rule(false, "c", 1, 3, "w")}),
                       "linux.resources.devices: cgroup v1 cannot take \"c 1:3 w\" out of the "
                       "wider rule \"c 1:* rw\"",
                       Error);
}

TEST_CASE("device rules that are none") {
  CHECK_THROWS_WITH_AS(normal_rules({rule(true, "x", 1, 1, "r")}),
                       "linux.resources.devices[0].type: \"x\" is none of a, b, c", Error);
  CHECK_THROWS_AS(normal_rules({rule(true, "c", 1, 1, "rx")}), Error);
  CHECK_THROWS_AS(normal_rules({rule(true, "c", 1LL << 32, 1, "r")}), Error);
}
