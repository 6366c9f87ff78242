#include "runtime/cgroup/device_program.hh"

#include <sys/resource.h>
#include <sys/syscall.h>

#include <cstring>

#include "runtime/sys/error.hh"

namespace vessel {

namespace {

static_assert(device_mknod == BPF_DEVCG_ACC_MKNOD && device_read == BPF_DEVCG_ACC_READ &&
              device_write == BPF_DEVCG_ACC_WRITE);

// r2 type, r3 the access bits not yet decided, r4 major, r5 minor; r1 is the context, then scratch.
enum Register : uint8_t { r0, r1, r2, r3, r4, r5 };

bpf_insn instruction(int code, Register dst, Register src, int16_t offset, uint32_t imm) {
  bpf_insn insn{};
  insn.code = static_cast<uint8_t>(code);
  insn.dst_reg = static_cast<uint8_t>(dst & 0xf);
  insn.src_reg = static_cast<uint8_t>(src & 0xf);
  insn.off = offset;
  insn.imm = static_cast<int32_t>(imm);
  return insn;
}

bpf_insn load_word(Register dst, int16_t offset) {
  return instruction(BPF_LDX | BPF_MEM | BPF_W, dst, r1, offset, 0);
}

bpf_insn alu(int op, Register dst, uint32_t imm) {
  return instruction(BPF_ALU | op | BPF_K, dst, r0, 0, imm);
}

// 32-bit jumps (5.1): the 64-bit ones would sign-extend a device number above 2^31.
bpf_insn jump(int op, Register dst, uint32_t imm, int16_t offset) {
  return instruction(BPF_JMP32 | op | BPF_K, dst, r0, offset, imm);
}

void append_return(std::vector<bpf_insn>& program, uint32_t value) {
  program.push_back(alu(BPF_MOV, r0, value));
  program.push_back(instruction(BPF_JMP | BPF_EXIT, r0, r0, 0, 0));
}

// Falls through to the next rule unless this one decides.
void append_rule(std::vector<bpf_insn>& program, const NormalRule& rule) {
  std::vector<bpf_insn> body;
  uint32_t rest = device_all & ~rule.access;
  if (rule.allow) {
    if (rest) {
      body.push_back(alu(BPF_AND, r3, rest));
      body.push_back(jump(BPF_JNE, r3, 0, 2));  // bits are left: over the return
    }
    append_return(body, 1);
  } else {
    body.push_back(jump(BPF_JSET, r3, rule.access, 1));
    body.push_back(instruction(BPF_JMP | BPF_JA, r0, r0, 2, 0));
    append_return(body, 0);
  }
  struct Test {
    Register reg;
    uint32_t value;
  };
  std::vector<Test> tests{
      {r2, uint32_t{rule.match.block ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR}}};
  if (rule.match.major) tests.push_back({r4, *rule.match.major});
  if (rule.match.minor) tests.push_back({r5, *rule.match.minor});
  for (size_t i = 0; i < tests.size(); ++i) {
    size_t distance = tests.size() - 1 - i + body.size();
    program.push_back(jump(BPF_JNE, tests[i].reg, tests[i].value, static_cast<int16_t>(distance)));
  }
  program.insert(program.end(), body.begin(), body.end());
}

long bpf(int command, bpf_attr& attr) {
  return ::syscall(SYS_bpf, command, &attr, sizeof attr);
}

uint64_t address(const void* pointer) {
  return reinterpret_cast<uintptr_t>(pointer);
}

// Programs attached to exactly this cgroup. One that cannot be opened (another's, behind an LSM) is
// left out: it can only restrict further.
std::vector<Fd> attached_programs(int dir) {
  std::vector<uint32_t> ids(64);  // the kernel's limit for one cgroup
  bpf_attr attr{};
  attr.query.target_fd = static_cast<uint32_t>(dir);
  attr.query.attach_type = BPF_CGROUP_DEVICE;
  attr.query.prog_ids = address(ids.data());
  attr.query.prog_cnt = static_cast<uint32_t>(ids.size());
  if (bpf(BPF_PROG_QUERY, attr) < 0) throw SysError("bpf: query device programs");
  ids.resize(attr.query.prog_cnt);
  std::vector<Fd> programs;
  for (uint32_t id : ids) {
    bpf_attr by_id{};
    by_id.prog_id = id;
    Fd fd(static_cast<int>(bpf(BPF_PROG_GET_FD_BY_ID, by_id)));
    if (fd)
      programs.push_back(std::move(fd));
    else if (errno != EPERM && errno != EACCES && errno != ENOENT)
      throw SysError("bpf: open device program " + std::to_string(id));
  }
  return programs;
}

}  // namespace

std::vector<bpf_insn> device_program(const NormalRules& rules) {
  std::vector<bpf_insn> program;
  // struct bpf_cgroup_dev_ctx: access_type (access << 16 | type), major, minor.
  program.push_back(load_word(r2, 0));
  program.push_back(instruction(BPF_ALU | BPF_MOV | BPF_X, r3, r2, 0, 0));
  program.push_back(alu(BPF_AND, r2, 0xffff));
  program.push_back(alu(BPF_RSH, r3, 16));
  program.push_back(load_word(r4, 4));
  program.push_back(load_word(r5, 8));
  // Later rules win, so they are asked first.
  for (auto rule = rules.rules.rbegin(); rule != rules.rules.rend(); ++rule)
    append_rule(program, *rule);
  append_return(program, rules.default_allow ? 1 : 0);
  return program;
}

Fd load_device_program(const std::vector<bpf_insn>& program) {
  bpf_attr attr{};
  attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attr.insns = address(program.data());
  attr.insn_cnt = static_cast<uint32_t>(program.size());
  attr.license = address("Apache-2.0");
  static_assert(sizeof attr.prog_name >= sizeof "vessel_devices");
  std::strcpy(attr.prog_name, "vessel_devices");
  Fd fd(static_cast<int>(bpf(BPF_PROG_LOAD, attr)));
  if (!fd && errno == EPERM) {
    // Before 5.11 programs counted against RLIMIT_MEMLOCK.
    struct rlimit old {};
    struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    if (::getrlimit(RLIMIT_MEMLOCK, &old) == 0 && ::setrlimit(RLIMIT_MEMLOCK, &all) == 0) {
      fd.reset(static_cast<int>(bpf(BPF_PROG_LOAD, attr)));
      int error = errno;
      ::setrlimit(RLIMIT_MEMLOCK, &old);
      errno = error;
    } else {
      errno = EPERM;
    }
  }
  if (!fd) throw SysError("bpf: load device program");
  return fd;
}

void attach_device_program(int dir, int program, bool fresh) {
  std::vector<Fd> old;
  if (!fresh) old = attached_programs(dir);
  bpf_attr attr{};
  attr.target_fd = static_cast<uint32_t>(dir);
  attr.attach_bpf_fd = static_cast<uint32_t>(program);
  attr.attach_type = BPF_CGROUP_DEVICE;
  attr.attach_flags = BPF_F_ALLOW_MULTI;
  if (old.size() == 1) {
    attr.attach_flags |= BPF_F_REPLACE;
    attr.replace_bpf_fd = static_cast<uint32_t>(old[0].get());
    if (bpf(BPF_PROG_ATTACH, attr) == 0) return;
    // Below 5.6, or attached by someone without ALLOW_MULTI or by a link.
    attr.attach_flags = BPF_F_ALLOW_MULTI;
    attr.replace_bpf_fd = 0;
  }
  if (bpf(BPF_PROG_ATTACH, attr) < 0) throw SysError("bpf: attach device program");
  for (const Fd& fd : old) {
    bpf_attr detach{};
    detach.target_fd = static_cast<uint32_t>(dir);
    detach.attach_bpf_fd = static_cast<uint32_t>(fd.get());
    detach.attach_type = BPF_CGROUP_DEVICE;
    if (bpf(BPF_PROG_DETACH, detach) < 0 && errno != ENOENT && errno != EPERM)
      throw SysError("bpf: detach the former device program");
  }
}

}  // namespace vessel
