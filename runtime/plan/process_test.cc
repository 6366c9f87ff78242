#include <doctest/doctest.h>

#include "runtime/plan/plan_test_host.hh"
#include "runtime/plan/rooms.hh"

using namespace vessel;

namespace {

TestPlan process_plan(const std::string& more, const HostFacts& host = test_host(),
                      const std::string& linux_ = "{}") {
  return test_plan(R"("process": {"args": ["sh"], "cwd": "/")" + (more.empty() ? "" : ", " + more) +
                       "}, \"linux\": " + linux_,
                   host);
}

ProcessPlan good(const std::string& more, const std::string& linux_ = "{}") {
  const TestPlan t = process_plan(more, test_host(), linux_);
  CHECK(t.problems.empty());
  return t.plan.process;
}

constexpr uint64_t chown_bit = 1, kill_bit = 1 << 5, checkpoint_bit = uint64_t{1} << 40;

}  // namespace

TEST_CASE("process: what must be there") {
  CHECK(test_plan(R"("process": {"cwd": "a"})").problems ==
        Texts{"process.args: must name the program to run",
              "process.cwd: expected an absolute path"});
  CHECK(test_plan(R"("process": {"cwd": "/", "args": ["", "x"]})").problems ==
        Texts{"process.args[0]: must not be empty"});
}

TEST_CASE("process: environment") {
  const ProcessPlan p = good(R"("env": ["A=1", "HOME=/h", "B=", "A=2=3", "C=x"])");
  CHECK(p.env == Texts{"HOME=/h", "B=", "A=2=3", "C=x"});
  CHECK_FALSE(p.set_home);
  const ProcessPlan empty = good(R"("env": ["HOME=/a", "HOME="])");
  CHECK(empty.env.empty());
  CHECK(empty.set_home);
  CHECK(process_plan(R"("env": ["A", "=b", "C=d"])").problems ==
        Texts{"process.env[0]: expected NAME=value", "process.env[1]: expected NAME=value"});
}

TEST_CASE("process: capabilities") {
  const CapabilityPlan none = *good("").capabilities;
  CHECK(none.bounding == 0);
  const CapabilityPlan exact = *good(R"("capabilities": {"bounding": ["CAP_CHOWN", "CAP_KILL",
      "CAP_CHECKPOINT_RESTORE"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"]})")
                                    .capabilities;
  CHECK(exact.bounding == (chown_bit | kill_bit | checkpoint_bit));
  CHECK(exact.permitted == kill_bit);
  CHECK(exact.effective == kill_bit);
  CHECK(exact.inheritable == 0);
  CHECK(exact.ambient == 0);

  HostFacts host = test_host();
  host.capability_bounding = kill_bit;
  host.last_capability = 39;
  constexpr const char* wanted = R"("capabilities": {"bounding": ["CAP_KILL", "CAP_CHOWN",
      "CAP_CHECKPOINT_RESTORE", "CAP_X", "cap_kill"]})";
  const TestPlan limited = process_plan(wanted, host);
  CHECK(limited.problems.empty());
  CHECK(limited.plan.process.capabilities->bounding == kill_bit);
  CHECK(limited.plan.warnings ==
        Texts{"process.capabilities.bounding[1]: CAP_CHOWN is not ours to give",
              "process.capabilities.bounding[2]: CAP_CHECKPOINT_RESTORE is newer than this kernel",
              "process.capabilities.bounding[3]: unknown capability CAP_X",
              "process.capabilities.bounding[4]: unknown capability cap_kill"});
  const TestPlan user = process_plan(wanted, host, R"({"namespaces": [{"type": "user",
      "path": "/u"}]})");
  CHECK(user.plan.process.capabilities->bounding == (kill_bit | chown_bit));

  const TestPlan clamped = process_plan(R"("capabilities": {"effective": ["CAP_KILL"],
      "permitted": ["CAP_CHOWN"], "ambient": ["CAP_CHOWN"]})");
  CHECK(clamped.plan.process.capabilities->effective == 0);
  CHECK(clamped.plan.process.capabilities->ambient == 0);
  CHECK(clamped.plan.warnings.size() == 2);
}

TEST_CASE("process: user") {
  const ProcessPlan p =
      good(R"("user": {"uid": 1, "gid": 2, "umask": 0, "additionalGids": [3, 4]})");
  CHECK(p.uid == 1);
  CHECK(p.gid == 2);
  CHECK(p.umask == 0);
  CHECK(p.additional_gids == std::vector<uint32_t>{3, 4});
  CHECK(process_plan(R"("user": {"umask": 512})").problems.size() == 1);
  CHECK(process_plan(R"("user": {"uid": 4294967294, "gid": 4294967294})").problems.empty());
  CHECK(process_plan(R"("user": {"uid": 4294967295, "gid": 4294967295})").problems.size() == 2);
  CHECK(process_plan(R"("user": {"additionalGids": [1, 4294967295]})").problems.size() == 1);
  const std::string user = R"({"namespaces": [{"type": "user"}],
      "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 2}],
      "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}]})";
  CHECK(process_plan(R"("user": {"uid": 2, "gid": 0, "additionalGids": [9]})", test_host(), user)
            .problems == Texts{"process.user.uid: 2 is not mapped in linux.uidMappings",
                               "process.user.additionalGids[0]: 9 is not mapped in "
                               "linux.gidMappings"});
  HostFacts host = test_host();
  host.euid = host.egid = 1000;
  const std::string own = R"({"namespaces": [{"type": "user"}],
      "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}],
      "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}]})";
  CHECK(process_plan(R"("user": {"additionalGids": [0]})", host, own).problems ==
        Texts{"host: process.user.additionalGids: cannot be set: in this user namespace "
              "setgroups(2) is denied"});
  const TestPlan keep = test_plan(
      R"("linux": )" + own + R"(, "annotations": {"run.oci.keep_original_groups": "1"})", host);
  CHECK(keep.plan.process.keep_groups);
}

TEST_CASE("process: limits") {
  const ProcessPlan p = good(R"("rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2},
      {"type": "RLIMIT_RTTIME", "soft": 0, "hard": 18446744073709551615}])");
  CHECK(p.rlimits[0].resource == 7);
  CHECK(p.rlimits[1].resource == 15);
  CHECK(p.rlimits[1].hard == 18446744073709551615u);
  CHECK(process_plan(R"("rlimits": [{"type": "RLIMIT_X", "soft": 1, "hard": 2},
      {"type": "RLIMIT_CPU", "soft": 3, "hard": 2}, {"type": "RLIMIT_CPU", "soft": 1, "hard": 2}])")
            .problems == Texts{"process.rlimits[0].type: unknown limit \"RLIMIT_X\"",
                               "process.rlimits[1].soft: must not be above hard, 2",
                               "process.rlimits[2].type: RLIMIT_CPU is there twice"});
  CHECK(process_plan(R"("oomScoreAdj": -1001)").problems.size() == 1);
  CHECK(good(R"("oomScoreAdj": 1000)").oom_score_adj == 1000);
}

TEST_CASE("process: scheduler") {
  const SchedulerPlan d = *good(R"("scheduler": {"policy": "SCHED_DEADLINE", "runtime": 10000,
      "deadline": 20000, "period": 30000, "flags": ["SCHED_FLAG_RECLAIM",
      "SCHED_FLAG_RESET_ON_FORK"]})")
                               .scheduler;
  CHECK(d.policy == 6);
  CHECK(d.flags == 3);
  CHECK(good(R"("scheduler": {"policy": "SCHED_FIFO", "priority": 99})").scheduler->priority == 99);
  CHECK(good(R"("scheduler": {"policy": "SCHED_BATCH", "nice": -20})").scheduler->nice == -20);
  for (const char* bad :
       {R"({"policy": "SCHED_OTHER", "nice": 20})", R"({"policy": "SCHED_OTHER", "priority": 1})",
        R"({"policy": "SCHED_RR"})", R"({"policy": "SCHED_RR", "priority": 100})",
        R"({"policy": "SCHED_IDLE", "runtime": 1})", R"({"policy": "SCHED_ISO"})",
        R"({"policy": "SCHED_DEADLINE", "runtime": 30000, "deadline": 20000})",
        R"({"policy": "SCHED_OTHER", "flags": ["X"]})"}) {
    CAPTURE(bad);
    CHECK(process_plan(std::string("\"scheduler\": ") + bad).problems.size() == 1);
  }
}

TEST_CASE("process: I/O priority, affinity, terminal, labels") {
  CHECK(good(R"("ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4})").io_priority ==
        (2 << 13 | 4));
  // config.md "execCPUAffinity": not of init.
  const ProcessPlan p = good(R"("execCPUAffinity": {"initial": "7", "final": "0-1,65"})");
  CHECK_FALSE(p.affinity_initial);
  CHECK_FALSE(p.affinity_final);
  CHECK(process_plan(R"("execCPUAffinity": {"initial": "1-", "final": "x"})").problems.size() == 2);
  CHECK_FALSE(good(R"("consoleSize": {"height": 1, "width": 2})").console_size);
  CHECK(good(R"("terminal": true, "consoleSize": {"height": 1, "width": 2})").console_size->width ==
        2);
  CHECK(process_plan(R"("apparmorProfile": "a", "selinuxLabel": "b")").problems ==
        Texts{"host: process.apparmorProfile: AppArmor is not enabled on this host",
              "host: process.selinuxLabel: SELinux is not enabled on this host"});
}

TEST_CASE("process: memory policy and personality") {
  const MemoryPolicyPlan m = *good("", R"({"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0,2",
      "flags": ["MPOL_F_STATIC_NODES"]}})")
                                  .memory_policy;
  CHECK(m.mode == (2 | 1 << 15));
  CHECK(m.node_mask == std::vector<uint64_t>{5});
  for (const char* bad :
       {R"({"mode": "X"})", R"({"mode": "MPOL_BIND"})", R"({"mode": "MPOL_LOCAL", "nodes": "0"})",
        R"({"mode": "MPOL_BIND", "nodes": "0,"})",
        R"({"mode": "MPOL_BIND", "nodes": "0", "flags": ["X"]})"}) {
    CAPTURE(bad);
    CHECK(process_plan("", test_host(), std::string("{\"memoryPolicy\": ") + bad + "}")
              .problems.size() == 1);
  }
  HostFacts old = test_host();
  old.kernel_major = 5, old.kernel_minor = 14;
  CHECK(process_plan("", old, R"({"memoryPolicy": {"mode": "MPOL_PREFERRED_MANY", "nodes": "0"}})")
            .problems ==
        Texts{"host: linux.memoryPolicy.mode: MPOL_PREFERRED_MANY needs Linux 5.15"});
  CHECK(good("", R"({"personality": {"domain": "LINUX32"}})").personality == 8);
  CHECK(good("", R"({"personality": {"domain": "LINUX"}})").personality == 0);
  CHECK(process_plan("", test_host(), R"({"personality": {"domain": "LINUX", "flags": ["X"]}})")
            .problems.size() == 1);
}

TEST_CASE("process: lists of CPUs") {
  CHECK(parse_cpu_list("")->empty());
  CHECK(*parse_cpu_list("0") == CpuSet{1});
  CHECK(*parse_cpu_list("0-3,7") == CpuSet{0x8f});
  CHECK(*parse_cpu_list(" 1 , 3 - 4\n") == CpuSet{0x1a});
  for (const char* bad : {"-", "1-", "-1", "3-1", "a", "1,,2", ",", "1,", "0x1", "8192", "1-2-3"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_cpu_list(bad));
  }
}

TEST_CASE("process: exec of a process that leaves things out has the container's") {
  const oci::Config container = test_config(R"("process": {"args": ["sh"], "cwd": "/",
      "capabilities": {"bounding": ["CAP_KILL"]}, "apparmorProfile": "p", "selinuxLabel": "l",
      "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}], "oomScoreAdj": 7,
      "scheduler": {"policy": "SCHED_BATCH"},
      "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 0}, "noNewPrivileges": true})");
  oci::Process bare;
  complete_exec_process(bare, container);
  CHECK(bare.capabilities->bounding == std::vector<std::string>{"CAP_KILL"});
  CHECK(bare.apparmor_profile == "p");
  CHECK(bare.selinux_label == "l");
  CHECK(bare.rlimits.size() == 1);
  CHECK(bare.oom_score_adj == 7);
  CHECK(bare.scheduler->policy == "SCHED_BATCH");
  CHECK(bare.io_priority->io_class == "IOPRIO_CLASS_IDLE");
  oci::Process own = bare;
  own.capabilities.emplace();
  own.apparmor_profile = "q";
  own.oom_score_adj = 8;
  complete_exec_process(own, container);
  CHECK(own.capabilities->bounding.empty());
  CHECK(own.apparmor_profile == "q");
  CHECK(own.oom_score_adj == 8);
}

TEST_CASE("process: exec takes what belongs to the container from its config") {
  const oci::Config container = test_config(
      R"("linux": {"personality": {"domain": "LINUX32"}, "namespaces": [{"type": "user", "path": "/u"}]},
      "annotations": {"run.oci.keep_original_groups": "1"})");
  oci::Process process;
  process.args = {"ls"};
  process.cwd = "/";
  HostFacts host = test_host();
  host.capability_bounding = 0;
  process.capabilities = oci::Capabilities{{"CAP_KILL"}, {}, {}, {}, {}};
  process.exec_cpu_affinity = oci::CpuAffinity{"7", "0-1,65"};
  const ProcessPlan plan = make_exec_process_plan(process, container, host, {});
  CHECK(plan.affinity_initial == CpuSet{0x80});
  CHECK(plan.affinity_final == CpuSet{3, 2});
  CHECK(plan.personality == 8);
  CHECK(plan.keep_groups);
  CHECK(plan.capabilities->bounding == kill_bit);
  CHECK_FALSE(plan.new_session_keyring);
  process.args.clear();
  CHECK_THROWS_AS(make_exec_process_plan(process, container, host, {}), oci::FormatError);
}
