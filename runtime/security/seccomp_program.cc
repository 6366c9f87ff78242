#include "runtime/security/seccomp_program.hh"

#include <linux/seccomp.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "runtime/sys/error.hh"

namespace vessel::seccomp {

namespace {

constexpr uint32_t enosys = SECCOMP_RET_ERRNO | ENOSYS;
// What an unlisted architecture gets, libseccomp's default.
constexpr uint32_t bad_arch = SECCOMP_RET_KILL_THREAD;
constexpr uint32_t max_jump = 255;  // sock_filter::jt, jf

constexpr uint32_t arg_low(uint32_t arg, bool little_endian) {
  return static_cast<uint32_t>(offsetof(seccomp_data, args)) + 8 * arg + (little_endian ? 0 : 4);
}
constexpr uint32_t arg_high(uint32_t arg, bool little_endian) {
  return static_cast<uint32_t>(offsetof(seccomp_data, args)) + 8 * arg + (little_endian ? 4 : 0);
}

// Instructions are emitted last to first, so that every jump goes to what is there already. A Label
// is the place of an instruction counted from the end.
using Label = uint32_t;

class Assembler {
 public:
  Label ret(uint32_t action) {
    // Another one close by serves as well. Close: whatever jumps there will still be in reach.
    if (auto known = returns_.find(action); known != returns_.end() && here() - known->second < 128)
      return known->second;
    return returns_[action] = put(BPF_RET | BPF_K, 0, 0, action);
  }
  Label load(uint32_t offset, Label next) {
    follow(next);
    return put(BPF_LD | BPF_W | BPF_ABS, 0, 0, offset);
  }
  Label mask(uint32_t bits, Label next) {
    follow(next);
    return put(BPF_ALU | BPF_AND | BPF_K, 0, 0, bits);
  }
  Label jump_if(uint16_t test, uint32_t value, Label yes, Label no) {
    if (yes == no) return yes;
    // One that is too far is reached over a JA just behind; the second may push the first away.
    while (distance(yes) > max_jump || distance(no) > max_jump) {
      Label& far = distance(yes) > max_jump ? yes : no;
      far = put(BPF_JMP | BPF_JA, 0, 0, distance(far));
    }
    return put(static_cast<uint16_t>(BPF_JMP | BPF_K | test), static_cast<uint8_t>(distance(yes)),
               static_cast<uint8_t>(distance(no)), value);
  }

  std::vector<sock_filter> finish(Label entry) {
    follow(entry);
    if (code_.size() > BPF_MAXINSNS)
      throw Error("linux.seccomp: the filter needs " + std::to_string(code_.size()) +
                  " instructions, the kernel takes at most " + std::to_string(BPF_MAXINSNS));
    std::reverse(code_.begin(), code_.end());
    return std::move(code_);
  }

  void reserve(size_t instructions) { code_.reserve(instructions); }

 private:
  Label here() const { return static_cast<Label>(code_.size()); }
  // Of a jump that is emitted next.
  uint32_t distance(Label target) const { return here() - target - 1; }
  // Makes `next` what follows the instruction that is emitted next.
  void follow(Label next) {
    if (distance(next) != 0) put(BPF_JMP | BPF_JA, 0, 0, distance(next));
  }
  Label put(uint16_t code, uint8_t jt, uint8_t jf, uint32_t k) {
    code_.push_back({code, jt, jf, k});
    return here() - 1;
  }

  std::vector<sock_filter> code_;
  std::map<uint32_t, Label> returns_;
};

// ---- arguments ----------------------------------------------------------------------------------

// The seccomp_data of a 64-bit argument is compared as two words, the high one first.
Label emit_condition(Assembler& as, const ArchInfo& arch, const Condition& c, Label yes, Label no) {
  const uint32_t low = arg_low(c.arg, arch.little_endian);
  const uint32_t high = arg_high(c.arg, arch.little_endian);
  const auto value_low = static_cast<uint32_t>(c.value);
  const auto value_high = static_cast<uint32_t>(c.value >> 32);
  if (c.op == Compare::ne || c.op == Compare::lt || c.op == Compare::le) {
    Condition opposite = c;
    opposite.op = c.op == Compare::ne   ? Compare::eq
                  : c.op == Compare::lt ? Compare::ge
                                        : Compare::gt;
    return emit_condition(as, arch, opposite, no, yes);
  }
  if (c.op == Compare::masked_eq) {
    const auto mask_low = static_cast<uint32_t>(c.mask);
    const auto mask_high = static_cast<uint32_t>(c.mask >> 32);
    Label next = yes;
    if (mask_low != 0)
      next = as.load(low, as.mask(mask_low, as.jump_if(BPF_JEQ, value_low, next, no)));
    if (mask_high != 0)
      next = as.load(high, as.mask(mask_high, as.jump_if(BPF_JEQ, value_high, next, no)));
    return next;
  }
  const uint16_t test = c.op == Compare::eq ? BPF_JEQ : c.op == Compare::ge ? BPF_JGE : BPF_JGT;
  Label next = as.load(low, as.jump_if(test, value_low, yes, no));
  if (!arch.is_64bit) return next;
  next = as.jump_if(BPF_JEQ, value_high, next, no);
  if (c.op != Compare::eq) next = as.jump_if(BPF_JGT, value_high, yes, next);
  return as.load(high, next);
}

Label emit_rules(Assembler& as, const ArchInfo& arch, const std::vector<Rule>& rules,
                 uint32_t default_action) {
  Label otherwise = as.ret(default_action);
  for (auto rule = rules.rbegin(); rule != rules.rend(); ++rule) {
    Label next = as.ret(rule->action);
    for (auto c = rule->conditions.rbegin(); c != rule->conditions.rend(); ++c)
      next = emit_condition(as, arch, *c, next, otherwise);
    otherwise = next;
  }
  return otherwise;
}

// ---- numbers ------------------------------------------------------------------------------------

// From `start` to the start of the next one. Conditional if `rules` are there.
struct Interval {
  uint32_t start;
  uint32_t action;
  const ArchInfo* arch = nullptr;
  std::vector<Rule> rules;

  bool same_outcome(const Interval& other) const {
    return rules.empty() && other.rules.empty() && action == other.action;
  }
};

class Intervals {
 public:
  explicit Intervals(const Profile& profile) : profile_(profile) { list_.reserve(512); }

  void add(Interval next) {
    if (!list_.empty() && list_.back().start == next.start) list_.pop_back();
    if (!list_.empty() && list_.back().same_outcome(next)) return;
    list_.push_back(std::move(next));
  }

  // The numbers from `first` of one ABI: its rules, the default between them, ENOSYS above the last
  // number that the profile names.
  void add_abi(uint32_t first, const ArchProfile& arch) {
    const bool stub = profile_.enosys_beyond_last && arch.last != 0;
    add({first, profile_.default_action});
    const auto end = arch.entries.end();
    for (auto entry = arch.entries.begin(); entry != end;) {
      auto next =
          std::find_if(entry, end, [&](const Entry& e) { return e.number != entry->number; });
      if (stub && entry->number > arch.last) break;
      add_number(arch, &*entry, &*entry + (next - entry));
      entry = next;
    }
    // s390 uses number 0 for calls whose number does not fit, also for those it does not know.
    if ((arch.arch->arch == Arch::s390 || arch.arch->arch == Arch::s390x) && stub) zero_is_enosys();
    if (stub) add({arch.last + 1, enosys});
  }

  const std::vector<Interval>& list() const { return list_; }

 private:
  void add_number(const ArchProfile& arch, const Entry* first, const Entry* last) {
    // Nearly every number: one rule, or the first of them, allows it whatever the arguments are.
    if (const Rule& rule = profile_.rules[first->rule];
        first->multiplexed == 0 && rule.conditions.empty()) {
      add({first->number, rule.action, nullptr, {}});
      add({first->number + 1, profile_.default_action, nullptr, {}});
      return;
    }
    std::vector<Rule> rules = effective_rules(profile_, *arch.arch, first, last);
    const uint32_t number = first->number;
    if (rules.size() == 1 && rules[0].conditions.empty())
      add({number, rules[0].action});
    else
      add({number, profile_.default_action, arch.arch, std::move(rules)});
    add({number + 1, profile_.default_action});
  }

  void zero_is_enosys() {
    if (list_.size() == 1 || list_[1].start > 1) {
      Interval rest = list_[0];
      rest.start = 1;
      list_.insert(list_.begin() + 1, std::move(rest));
    }
    list_[0] = {0, enosys};
  }

  const Profile& profile_;
  std::vector<Interval> list_;
};

Label emit_leaf(Assembler& as, const Interval& interval) {
  if (interval.rules.empty()) return as.ret(interval.action);
  return emit_rules(as, *interval.arch, interval.rules, interval.action);
}

// The accumulator holds the number.
Label emit_tree(Assembler& as, const Interval* first, const Interval* last) {
  const auto count = last - first;
  if (count == 1) return emit_leaf(as, *first);
  // One number between two equal neighbours.
  if (count == 3 && first[0].same_outcome(first[2]) && first[2].start - first[1].start == 1) {
    const Label no = emit_leaf(as, first[0]);
    const Label yes = emit_leaf(as, first[1]);
    return as.jump_if(BPF_JEQ, first[1].start, yes, no);
  }
  const Interval* middle = first + count / 2;
  const Label right = emit_tree(as, middle, last);
  const Label left = emit_tree(as, first, middle);
  return as.jump_if(BPF_JGE, middle->start, right, left);
}

const ArchProfile* find_arch(const Profile& profile, Arch wanted) {
  for (const ArchProfile& arch : profile.archs)
    if (arch.arch->arch == wanted) return &arch;
  return nullptr;
}

// x86_64 and x32 share an audit architecture; bit 30 of the number tells them apart, and bit 31 is
// set in no real number of either. What follows for numbers that are none is runc's and
// libseccomp's: ENOSYS where the stub looks at the bit only, a bad architecture where libseccomp
// does, and −1 (which a tracer uses to skip a call) is always a number like any other.
void add_x86_64(Intervals& intervals, const Profile& profile, const ArchProfile* x86_64,
                const ArchProfile* x32) {
  static const ArchProfile absent{&arch_info(Arch::x86_64), {}, 0};
  const ArchProfile& native = x86_64 != nullptr ? *x86_64 : absent;
  const bool stub = profile.enosys_beyond_last;
  if (x86_64 != nullptr)
    intervals.add_abi(0, native);
  else
    intervals.add({0, bad_arch});
  const bool native_stub = stub && native.last != 0;
  if (x32 != nullptr) {
    const bool x32_stub = stub && x32->last != 0;
    intervals.add_abi(x32_bit, *x32);
    const uint32_t plain = x86_64 != nullptr ? profile.default_action : bad_arch;
    intervals.add({2 * x32_bit, native_stub ? enosys : plain});
    intervals.add({3 * x32_bit, x32_stub ? enosys : profile.default_action});
  } else {
    intervals.add({x32_bit, bad_arch});
    intervals.add({2 * x32_bit, native_stub ? enosys : bad_arch});
    intervals.add({3 * x32_bit, bad_arch});
    intervals.add({UINT32_MAX, profile.default_action});
  }
}

}  // namespace

std::vector<sock_filter> generate(const Profile& profile) {
  Assembler as;
  as.reserve(2048);
  Label next = as.ret(bad_arch);
  // The native architecture, which is first in the list, is to be asked first.
  for (auto arch = profile.archs.rbegin(); arch != profile.archs.rend(); ++arch) {
    const ArchInfo& info = *arch->arch;
    Intervals intervals(profile);
    const bool shared = info.audit == arch_info(Arch::x86_64).audit;
    if (shared) {
      const ArchProfile* x86_64 = find_arch(profile, Arch::x86_64);
      if (x86_64 != nullptr && info.arch == Arch::x32) continue;  // done with x86_64
      add_x86_64(intervals, profile, x86_64, find_arch(profile, Arch::x32));
    } else {
      intervals.add_abi(0, *arch);
    }
    const auto& list = intervals.list();
    const Label tree = emit_tree(as, list.data(), list.data() + list.size());
    const Label body = as.load(offsetof(seccomp_data, nr), tree);
    next = as.jump_if(BPF_JEQ, info.audit, body, next);
  }
  return as.finish(as.load(offsetof(seccomp_data, arch), next));
}

}  // namespace vessel::seccomp
