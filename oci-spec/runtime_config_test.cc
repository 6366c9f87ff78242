#include "oci-spec/runtime_config.hh"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

namespace {

// Every property of runtime-spec 1.3.0 for Linux, each with a value that is not its default.
constexpr const char* everything = R"({
  "ociVersion": "1.3.0",
  "process": {
    "terminal": true, "consoleSize": {"height": 25, "width": 80},
    "user": {"uid": 1, "gid": 2, "umask": 63, "additionalGids": [5, 6]},
    "args": ["sh", "-c", "é"], "env": ["A=b"], "cwd": "/w",
    "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_CHOWN"],
      "inheritable": ["CAP_FOWNER"], "permitted": ["CAP_SETUID"], "ambient": ["CAP_SETGID"]},
    "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 18446744073709551615, "soft": 1024}],
    "noNewPrivileges": true, "apparmorProfile": "p", "oomScoreAdj": -100,
    "scheduler": {"policy": "SCHED_DEADLINE", "nice": -5, "priority": 1,
      "flags": ["SCHED_FLAG_RECLAIM"], "runtime": 1, "deadline": 2, "period": 3},
    "selinuxLabel": "l", "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
    "execCPUAffinity": {"initial": "7", "final": "0-3,7"}
  },
  "root": {"path": "rootfs", "readonly": true},
  "hostname": "h", "domainname": "d",
  "mounts": [{"destination": "/data", "type": "none", "source": "/src", "options": ["rbind", "ro"],
    "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
    "gidMappings": [{"containerID": 1, "hostID": 2000, "size": 20}]}],
  "hooks": {
    "prestart": [{"path": "/a", "args": ["a", "b"], "env": ["k=v"], "timeout": 5}],
    "createRuntime": [{"path": "/b", "env": []}], "createContainer": [{"path": "/c"}],
    "startContainer": [{"path": "/d"}], "poststart": [{"path": "/e"}], "poststop": [{"path": "/f"}]
  },
  "annotations": {"com.example.key": "value", "empty": ""},
  "linux": {
    "uidMappings": [{"containerID": 0, "hostID": 4294967295, "size": 1}],
    "gidMappings": [{"containerID": 0, "hostID": 7, "size": 1}],
    "sysctl": {"net.core.somaxconn": "256"},
    "resources": {
      "devices": [{"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"}],
      "memory": {"limit": 1, "reservation": 2, "swap": -1, "kernel": 4, "kernelTCP": 5,
        "swappiness": 6, "disableOOMKiller": false, "useHierarchy": true,
        "checkBeforeUpdate": true},
      "cpu": {"shares": 1024, "quota": -1, "burst": 3, "period": 4, "realtimeRuntime": 5,
        "realtimePeriod": 6, "cpus": "0-1", "mems": "0", "idle": 0},
      "pids": {"limit": 0},
      "blockIO": {"weight": 10, "leafWeight": 11,
        "weightDevice": [{"major": 8, "minor": 0, "weight": 500, "leafWeight": 300}],
        "throttleReadBpsDevice": [{"major": 8, "minor": 1, "rate": 600}],
        "throttleWriteBpsDevice": [{"major": 8, "minor": 2, "rate": 601}],
        "throttleReadIOPSDevice": [{"major": 8, "minor": 3, "rate": 602}],
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 4, "rate": 603}]},
      "hugepageLimits": [{"pageSize": "2MB", "limit": 209715200}],
      "network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 500}]},
      "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}},
      "unified": {"io.max": "259:0 rbps=2097152"}
    },
    "cgroupsPath": "/a/b",
    "namespaces": [{"type": "pid", "path": "/proc/1/ns/pid"}, {"type": "mount"}],
    "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438,
      "uid": 0, "gid": 0}, {"path": "/p", "type": "p"}],
    "netDevices": {"eth0": {"name": "container_eth0"}, "eth1": {}},
    "seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
      "architectures": ["SCMP_ARCH_X86_64"], "flags": [], "listenerPath": "/l",
      "listenerMetadata": "m",
      "syscalls": [{"names": ["getcwd"], "action": "SCMP_ACT_TRACE", "errnoRet": 0,
        "args": [{"index": 1, "value": 18446744073709551615, "valueTwo": 2,
          "op": "SCMP_CMP_MASKED_EQ"}]}]},
    "rootfsPropagation": "slave",
    "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"], "mountLabel": "ml",
    "intelRdt": {"closID": "c", "schemata": ["L3:0=7f0"], "l3CacheSchema": "L3:0=1",
      "memBwSchema": "MB:0=20", "enableMonitoring": true},
    "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0-1", "flags": ["MPOL_F_STATIC_NODES"]},
    "personality": {"domain": "LINUX32", "flags": ["x"]},
    "timeOffsets": {"boottime": {"secs": -1, "nanosecs": 2}, "monotonic": {"secs": 5}}
  }
})";

std::vector<std::string> problems_of(const std::string& json) {
  std::vector<std::string> texts;
  try {
    oci::read_config(json, "config.json");
  } catch (const oci::FormatError& e) {
    for (const oci::Problem& p : e.problems()) texts.push_back(p.text());
  }
  return texts;
}

// `everything` with one value replaced, at a JSON pointer.
std::string with(const char* pointer, const char* value) {
  nlohmann::json document = nlohmann::json::parse(everything);
  document[nlohmann::json::json_pointer(pointer)] = nlohmann::json::parse(value);
  return document.dump();
}

}  // namespace

TEST_CASE("config: every property survives reading and writing") {
  const oci::Config config = oci::read_config(everything, "config.json");
  CHECK(nlohmann::json::parse(oci::write(config)) == nlohmann::json::parse(everything));
  CHECK(nlohmann::json::parse(oci::write(config, 4)) == nlohmann::json::parse(everything));
}

TEST_CASE("config: every property is looked at") {
  // Each leaf is replaced by a value of another type; a field that nobody reads raises nothing.
  const nlohmann::json flat = nlohmann::json::parse(everything).flatten();
  for (const auto& [pointer, value] : flat.items()) {
    if (value.is_object() || value.is_array()) continue;
    CAPTURE(pointer);
    CHECK_FALSE(problems_of(with(pointer.c_str(), "[[]]")).empty());
  }
}

TEST_CASE("config: values arrive where they belong") {
  const oci::Config c = oci::read_config(everything, "config.json");
  CHECK(c.process->rlimits[0].hard == 18446744073709551615u);
  CHECK(c.process->user.umask == 63);
  CHECK(c.process->capabilities->ambient == std::vector<std::string>{"CAP_SETGID"});
  CHECK(c.hooks.create_runtime[0].env->empty());
  CHECK_FALSE(c.hooks.create_container[0].env.has_value());
  CHECK(c.linux_->resources->memory->swap == -1);
  CHECK(c.linux_->resources->memory->disable_oom_killer == false);
  CHECK(c.linux_->resources->pids->limit == 0);
  CHECK(c.linux_->resources->block_io->throttle_write_iops_device[0].rate == 603);
  CHECK(c.linux_->seccomp->flags->empty());
  CHECK(c.linux_->time_offsets.at("boottime").secs == -1);
  CHECK(c.linux_->uid_mappings[0].host_id == 4294967295u);
}

TEST_CASE("config: problems carry the path and say what would be right") {
  struct Row {
    const char *pointer, *value, *problem;
  };
  const Row rows[] = {
      {"/linux/resources/memory/limit", "\"1\"",
       "linux.resources.memory.limit: expected an integer, got a string"},
      {"/linux/resources/memory/limit", "1.5",
       "linux.resources.memory.limit: expected an integer, got 1.5"},
      {"/linux/resources/memory/limit", "9223372036854775808",
       "linux.resources.memory.limit: expected -9223372036854775808 to 9223372036854775807, got "
       "9223372036854775808"},
      {"/process/user/uid", "-1", "process.user.uid: expected 0 to 4294967295, got -1"},
      {"/process/user/additionalGids/1", "4294967296",
       "process.user.additionalGids[1]: expected 0 to 4294967295, got 4294967296"},
      {"/mounts/0/options/1", "7", "mounts[0].options[1]: expected a string, got a number"},
      {"/mounts/0", "null", "mounts[0]: expected an object, got null"},
      {"/annotations/com.example.key", "1",
       "annotations[\"com.example.key\"]: expected a string, got a number"},
      {"/linux/namespaces/1/type", "\"mnt\"",
       "linux.namespaces[1].type: expected one of pid network mount ipc uts user cgroup time, got "
       "\"mnt\""},
      {"/linux/namespaces/0/path", "\"ns\"", "linux.namespaces[0].path: expected an absolute path"},
      {"/process/terminal", "1", "process.terminal: expected a boolean, got a number"},
      {"/process/args/0", "\"a\\u0000b\"", "process.args[0]: must not contain a NUL character"},
      {"/hooks/prestart/0/timeout", "0",
       "hooks.prestart[0].timeout: expected a number of seconds above 0"},
      {"/hooks/poststop/0/path", "\"x\"", "hooks.poststop[0].path: expected an absolute path"},
      {"/linux/resources/hugepageLimits/0/pageSize", "\"2M\"",
       "linux.resources.hugepageLimits[0].pageSize: expected a size such as 64KB, 2MB or 1GB"},
      {"/linux/seccomp/syscalls/0/args/0/index", "6",
       "linux.seccomp.syscalls[0].args[0].index: expected 0 to 5"},
      {"/process/ioPriority/priority", "8",
       "process.ioPriority.priority: expected 0 (highest) to 7 (lowest)"},
      {"/linux/devices/0", "{\"path\": \"/x\", \"type\": \"b\", \"minor\": 1}",
       "linux.devices[0].major: is required"},
      {"/linux/intelRdt/memBwSchema", "\"x\"",
       "linux.intelRdt.memBwSchema: expected a line that starts with MB:"},
      {"/linux/resources/devices/1/access", "\"rx\"",
       "linux.resources.devices[1].access: expected a composition of r, w and m"},
      {"/linux/resources/rdma/mlx5_1", "{}",
       "linux.resources.rdma.mlx5_1.hcaHandles: hcaHandles or hcaObjects is required"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.pointer);
    CHECK(problems_of(with(row.pointer, row.value)) == std::vector<std::string>{row.problem});
  }
}

TEST_CASE("config: numbers that only look like integers") {
  const auto uid = [](const char* n) {
    return problems_of(std::string(R"({"ociVersion":"1.0.0","process":{"cwd":"/","user":{"uid":)") +
                       n + "}}}");
  };
  CHECK(uid("1e3") == std::vector<std::string>{"process.user.uid: expected an integer, got 1e3"});
  CHECK(uid("1.0") == std::vector<std::string>{"process.user.uid: expected an integer, got 1.0"});
  CHECK(uid("99999999999999999999") ==
        std::vector<std::string>{
            "process.user.uid: the number 99999999999999999999 does not fit 64 bits"});
  CHECK(uid("0").empty());
}

TEST_CASE("config: all problems at once, unknown members none, null is absent") {
  CHECK(problems_of(R"({"process": {"args": 1}, "root": {}, "linux": {"namespaces": [{}]}})") ==
        std::vector<std::string>{"ociVersion: is required",
                                 "process.args: expected an array, got a number",
                                 "process.cwd: is required", "root.path: is required",
                                 "linux.namespaces[0].type: is required"});
  CHECK(problems_of(R"({"ociVersion": "1.0.0", "windows": {"x": [1]}, "new": null,
                        "process": {"cwd": "/", "args": null, "x": {}}})")
            .empty());
  CHECK(problems_of(R"({"ociVersion": "1.0.0", "hostname": "a", "hostname": "b",
                        "annotations": {"k": "1", "k": "2"}})") ==
        std::vector<std::string>{"hostname: is there twice", "annotations.k: is there twice"});
  CHECK(problems_of("[]") == std::vector<std::string>{"expected an object, got an array"});
}

TEST_CASE("config: an error tells of so many problems as somebody may read") {
  std::vector<oci::Problem> problems(1000, {"a", "is wrong"});
  const std::string text = oci::FormatError("f", problems).what();
  CHECK(text.size() < 1000);
  CHECK(text.ends_with("\nf: and 950 more problems"));
}

TEST_CASE("config: the parts that travel alone") {
  const oci::Process p = oci::read_process(R"({"cwd":"/","args":["a"]})", "p.json");
  CHECK(p.args == std::vector<std::string>{"a"});
  CHECK(oci::write(p) == R"({"user":{"uid":0,"gid":0},"args":["a"],"cwd":"/"})");
  const oci::Resources r = oci::read_resources(R"({"pids":{"limit":5},"cpu":{}})", "-");
  CHECK(r.pids->limit == 5);
  CHECK(oci::write(r) == R"({"cpu":{},"pids":{"limit":5}})");
  CHECK_THROWS_AS(oci::read_resources(R"({"pids":{"limit":"5"}})", "-"), oci::FormatError);
}
