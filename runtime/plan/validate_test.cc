#include <doctest/doctest.h>

#include "runtime/plan/plan_test_host.hh"

using namespace vessel;

TEST_CASE("sysctl: only what the container's own namespaces hold") {
  struct Row {
    const char *key, *needed, *path;  // needed: namespace type, "" when always refused
  };
  const Row rows[] = {
      {"net.ipv4.ip_forward", "network", "net/ipv4/ip_forward"},
      {"net/ipv4/conf/eno2.100/rp_filter", "network", "net/ipv4/conf/eno2.100/rp_filter"},
      {"net.ipv4.conf.eno2/100.rp_filter", "network", "net/ipv4/conf/eno2.100/rp_filter"},
      {"kernel.shmmax", "ipc", "kernel/shmmax"},
      {"fs.mqueue.msg_max", "ipc", "fs/mqueue/msg_max"},
      {"kernel.domainname", "uts", "kernel/domainname"},
      {"user.max_user_namespaces", "user", "user/max_user_namespaces"},
      {"kernel.hostname", "", ""},
      {"vm.swappiness", "", ""},
      {"kernel.core_pattern", "", ""},
      {"net", "", ""},
      {"net/../kernel/core_pattern", "", ""},
      {"net//ipv4/ip_forward", "", ""},
      {"/net/x", "", ""},
      {"", "", ""},
  };
  for (const Row& row : rows)
    for (const char* given : {"network", "ipc", "uts", "user"}) {
      CAPTURE(row.key);
      CAPTURE(given);
      const TestPlan t = test_plan(std::string(R"("linux": {"namespaces": [{"type": ")") + given +
                                   R"(", "path": "/n"}], "sysctl": {")" + row.key + R"(": "1"}})");
      const bool allowed = row.needed == std::string(given);
      CHECK(t.problems.size() == (allowed ? 0 : 1));
      if (allowed) CHECK(t.plan.sysctl.begin()->first == row.path);
    }
  CHECK(test_plan(R"("linux": {"namespaces": [{"type": "network"}],
      "sysctl": {"net.a.b": "1", "net/a/b": "2"}})")
            .problems.size() == 1);
}

TEST_CASE("names: need a uts namespace and a length") {
  constexpr const char* uts = R"("linux": {"namespaces": [{"type": "uts"}]}, )";
  CHECK(test_plan(R"("domainname": "d")").problems ==
        Texts{"domainname: needs a uts namespace in linux.namespaces"});
  CHECK(test_plan(uts + ("\"hostname\": \"" + std::string(64, 'a') + "\"")).problems.empty());
  CHECK(test_plan(uts + ("\"hostname\": \"" + std::string(65, 'a') + "\"")).problems ==
        Texts{"hostname: is longer than 64 bytes"});
}

TEST_CASE("network devices") {
  constexpr const char* net = R"("linux": {"namespaces": [{"type": "network"}], "netDevices": )";
  const TestPlan good = test_plan(std::string(net) + R"({"eth0": {"name": "c%d"}, "eth1": {}}})");
  CHECK(good.problems.empty());
  CHECK(good.plan.net_devices ==
        std::map<std::string, std::string>{{"eth0", "c%d"}, {"eth1", "eth1"}});
  CHECK(test_plan(R"("linux": {"netDevices": {"eth0": {}}})").problems.size() == 1);
  for (const char* bad : {"a/b", "a b", "a:b", ".", "..", "0123456789abcdef"}) {
    CAPTURE(bad);
    CHECK(test_plan(std::string(net) + "{\"" + bad + "\": {}}}").problems.size() == 1);
    CHECK(test_plan(std::string(net) + "{\"e\": {\"name\": \"" + bad + "\"}}}").problems.size() ==
          1);
  }
  HostFacts user = test_host();
  user.euid = 1000;
  CHECK(test_plan(std::string(net) + R"({"eth0": {}}})", user).problems ==
        Texts{"host: linux.netDevices: moving network devices needs privileges"});
}

TEST_CASE("annotations and seccomp") {
  CHECK(test_plan(R"("annotations": {"": "x"})").problems.size() == 1);
  HostFacts old = test_host();
  old.kernel_major = 5, old.kernel_minor = 18;
  CHECK(test_plan(R"("linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW",
      "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}})",
                  old)
            .problems ==
        Texts{"host: linux.seccomp.flags[0]: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV "
              "needs Linux 5.19"});
  CHECK_FALSE(test_plan(R"("linux": {"seccomp": {}})").plan.seccomp);
  CHECK(test_plan(R"("process": {"args": ["a"], "cwd": "/", "noNewPrivileges": true})")
            .plan.seccomp_before_capabilities == false);
  CHECK(test_plan("").plan.seccomp_before_capabilities);
}

TEST_CASE("seccomp: the startContainer hooks that run under the filter") {
  const auto under_filter = [](const std::string& action, const std::string& no_new_privileges,
                               const std::string& hooks) {
    return test_plan(R"("process": {"args": ["a"], "cwd": "/", "noNewPrivileges": )" +
                     no_new_privileges + R"(}, "hooks": {")" + hooks +
                     R"(": [{"path": "/h"}]}, "linux": {"seccomp": {"listenerPath": "/s",
                     "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["bpf"], "action": ")" +
                     action + R"("}]}})")
        .plan.seccomp_before_hooks;
  };
  CHECK_FALSE(under_filter("SCMP_ACT_ERRNO", "true", "startContainer"));
  CHECK(under_filter("SCMP_ACT_ERRNO", "false", "startContainer"));
  CHECK(under_filter("SCMP_ACT_NOTIFY", "true", "startContainer"));
  CHECK_FALSE(under_filter("SCMP_ACT_ERRNO", "false", "poststart"));
  CHECK_FALSE(
      test_plan(R"("hooks": {"startContainer": [{"path": "/h"}]})").plan.seccomp_before_hooks);
}
