#include "runtime/security/capabilities.hh"

#include <doctest/doctest.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>

using namespace vessel;

namespace {

// Runs `body` in a child process, whose capabilities may be spoilt, and gives what it returned.
template <typename Body>
int in_child(Body body) {
  pid_t pid = fork();
  if (pid == 0) {
    int code = 99;
    try {
      code = body();
    } catch (...) {
    }
    _exit(code);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

uint64_t set_of_self(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(name + ":")) return std::stoull(line.substr(name.size() + 1), nullptr, 16);
  return ~uint64_t{0};
}

constexpr uint64_t bit(int number) {
  return uint64_t{1} << number;
}

}  // namespace

TEST_CASE("an empty plan leaves no capability in any set that the caller may change") {
  CHECK(in_child([] {
          set_capabilities(CapabilityPlan{});
          bool clean = set_of_self("CapPrm") == 0 && set_of_self("CapEff") == 0 &&
                       set_of_self("CapInh") == 0 && set_of_self("CapAmb") == 0;
          return clean ? 0 : 1;
        }) == 0);
}

TEST_CASE("each set is exactly the plan's" * doctest::skip(geteuid() != 0)) {
  CHECK(in_child([] {
          CapabilityPlan plan;
          plan.bounding = bit(CAP_CHOWN) | bit(CAP_KILL) | bit(CAP_SETUID) | bit(CAP_FOWNER);
          plan.permitted = bit(CAP_CHOWN) | bit(CAP_KILL) | bit(CAP_FOWNER);
          plan.effective = bit(CAP_CHOWN);
          plan.inheritable = bit(CAP_KILL) | bit(CAP_FOWNER);
          plan.ambient = bit(CAP_KILL) | bit(CAP_CHOWN);  // CHOWN is not inheritable: cannot be
          limit_bounding_set(plan);
          set_capabilities(plan);
          if (set_of_self("CapBnd") != plan.bounding) return 1;
          if (set_of_self("CapPrm") != plan.permitted) return 2;
          if (set_of_self("CapEff") != plan.effective) return 3;
          if (set_of_self("CapInh") != plan.inheritable) return 4;
          if (set_of_self("CapAmb") != bit(CAP_KILL)) return 5;
          return 0;
        }) == 0);
}

TEST_CASE("capabilities survive a change of user when asked to" * doctest::skip(geteuid() != 0)) {
  CHECK(in_child([] {
          CapabilityPlan plan;
          plan.bounding = plan.permitted = plan.effective = bit(CAP_CHOWN);
          limit_bounding_set(plan);
          keep_capabilities_over_user_switch();
          if (setresuid(65534, 65534, 65534) != 0) return 1;
          if (set_of_self("CapEff") != 0) return 2;
          regain_effective_capabilities();
          if (set_of_self("CapEff") != set_of_self("CapPrm")) return 3;
          set_capabilities(plan);
          if (set_of_self("CapEff") != bit(CAP_CHOWN)) return 4;
          if (set_of_self("CapPrm") != bit(CAP_CHOWN)) return 5;
          return 0;
        }) == 0);
}

TEST_CASE("what the caller's ambient set held does not stay" * doctest::skip(geteuid() != 0)) {
  CHECK(in_child([] {
          CapabilityPlan before;
          before.permitted = before.effective = before.inheritable = before.ambient =
              bit(CAP_KILL) | bit(CAP_SETPCAP);
          set_capabilities(before);
          if (set_of_self("CapAmb") != before.ambient) return 1;
          CapabilityPlan after;
          after.permitted = after.inheritable = bit(CAP_KILL);
          set_capabilities(after);
          return set_of_self("CapAmb") == 0 && set_of_self("CapInh") == bit(CAP_KILL) ? 0 : 2;
        }) == 0);
}

TEST_CASE("without CAP_SETPCAP a bounding set that lacks them already is accepted" *
          doctest::skip(geteuid() != 0)) {
  CHECK(in_child([] {
          CapabilityPlan plan;
          plan.bounding = bit(CAP_CHOWN);
          limit_bounding_set(plan);
          set_capabilities(CapabilityPlan{});
          limit_bounding_set(plan);  // nothing left to drop
          plan.bounding = 0;
          try {
            limit_bounding_set(plan);
          } catch (...) {
            return 0;
          }
          return 1;
        }) == 0);
}
