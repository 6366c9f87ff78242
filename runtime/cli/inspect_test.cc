#include "runtime/cli/inspect.hh"

#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "runtime/cli/plan_steps.hh"
#include "runtime/plan/mount_options.hh"
#include "runtime/plan/plan_test_host.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"

using namespace vessel;

namespace {

struct Bundle {
  Bundle() {
    char name[] = "/tmp/vessel-unit-XXXXXX";
    path = mkdtemp(name);
    mkdir((path + "/rootfs").c_str(), 0755);
  }
  ~Bundle() {
    unlink((path + "/config.json").c_str());
    rmdir((path + "/rootfs").c_str());
    rmdir(path.c_str());
  }
  PlanOptions options() const {
    PlanOptions o;
    o.id = "c1";
    o.bundle = path;
    return o;
  }
  std::string path;
};

}  // namespace

TEST_CASE("spec: the example is good on its own host, with and without privileges") {
  HostFacts host = test_host();
  for (const bool rootless : {false, true}) {
    CAPTURE(rootless);
    host.euid = host.egid = rootless ? 1000 : 0;
    const oci::Config config = example_config(host, rootless);
    const oci::Config back = oci::read_config(oci::write(config, 4), "config.json");
    CHECK(oci::write(back) == oci::write(config));
    CHECK_NOTHROW(make_plan(back, host, test_options()));
    CHECK(config.linux_->namespaces.back().type == (rootless ? "user" : "cgroup"));
    CHECK(config.linux_->resources.has_value() == !rootless);
  }
}

TEST_CASE("spec: an existing config.json is not overwritten") {
  const Bundle bundle;
  write_example(bundle.path, test_host(), false);
  const std::string before = read_file(bundle.path + "/config.json");
  CHECK_THROWS_WITH_AS(write_example(bundle.path, test_host(), true),
                       "File config.json exists. Remove it first", Error);
  CHECK(read_file(bundle.path + "/config.json") == before);
  CHECK_THROWS_AS(write_example(bundle.path + "/none", test_host(), false), SysError);
}

TEST_CASE("check: a bundle, a missing root, a config that cannot be read") {
  const Bundle bundle;
  const auto report = [&](const std::string& json) {
    replace_file(bundle.path + "/config.json", json, 0644);
    return check_bundle(bundle.options());
  };
  const std::string start = R"({"ociVersion": "1.3.0", "process": {"args": ["sh"], "cwd": "/"})";
  CHECK(report(start + R"(, "root": {"path": "rootfs"}})").text == "no problems\n");
  const CheckReport missing = report(start + R"(, "root": {"path": "none"}, "hostname": "x",
      "mounts": [{"destination": "/a", "source": "nowhere", "options": ["bind"]}],
      "hooks": {"poststop": [{"path": "/nowhere"}]}})");
  CHECK(missing.problems == 4);
  CHECK(missing.text.starts_with("config  hostname: needs a uts namespace"));
  CHECK(missing.text.find("host    root.path: " + bundle.path + "/none does not exist\n") !=
        std::string::npos);
  CHECK(missing.text.find("host    mounts[0].source: ") != std::string::npos);
  CHECK(missing.text.find("host    hooks.poststop[0].path: /nowhere does not exist\n") !=
        std::string::npos);
  const std::string hooked = R"(, "root": {"path": "rootfs"}, "linux": {"namespaces":
      [{"type": "mount"}], "seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}},
      "hooks": {"startContainer": [{"path": "/h"}]}})";
  CHECK(report(start + hooked).text ==
        "warning hooks.startContainer: run under linux.seccomp, as without "
        "process.noNewPrivileges it is loaded before them\nno problems\n");
  CHECK(report("{").problems == 1);
  unlink((bundle.path + "/config.json").c_str());
  CHECK_THROWS_AS(check_bundle(bundle.options()), SysError);
}

TEST_CASE("plan: steps in order, as a table and as JSON") {
  const TestPlan t = test_plan(
      R"("linux": {"namespaces": [{"type": "mount"}, {"type": "pid", "path": "/p"}]},
      "mounts": [{"destination": "/t", "type": "tmpfs", "options": ["nosuid", "rw", "size=1m"]}],
      "hooks": {"poststop": [{"path": "/bin/x", "timeout": 3}]})");
  HostFacts host = test_host();
  host.cgroup_layout = CgroupLayout::none;
  const std::vector<PlanStep> steps = plan_steps(t.plan, host);
  std::string order;
  for (const PlanStep& s : steps)
    if (order.find(s.phase) == order.npos) order += s.phase + " ";
  CHECK(order == "cgroup namespaces mounts devices root process start deleted ");
  const std::string table = plan_table(t.plan, host);
  CHECK(table.starts_with("PHASE"));
  CHECK(table.find("rw,nosuid,size=1m\n") != table.npos);
  CHECK(table.find("at most 3 s\n") != table.npos);
  const std::string json = plan_json(t.plan, host);
  CHECK(json.find(R"("action": "join",
      "object": "pid",
      "detail": "/p")") != json.npos);
  TestPlan filtered = test_plan(R"("linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}},
      "hooks": {"startContainer": [{"path": "/h", "timeout": 3}]})");
  CHECK(plan_table(filtered.plan, host).find("at most 3 s, under the seccomp filter\n") !=
        table.npos);
  filtered.plan.seccomp_before_hooks = false;
  CHECK(
      plan_table(filtered.plan, host).find("at most 3 s, before the seccomp filter is loaded\n") !=
      table.npos);
  CHECK(attributes_text({mount_attr_noatime, mount_attr_atime | mount_attr_nodev}) ==
        "dev,noatime");
}

TEST_CASE("features: what the spec wants in it") {
  const oci::Features f = oci::read_features(features_text("0.0.1"), "features");
  CHECK(f.version_max == "1.3.0");
  CHECK(f.hooks.size() == 6);
  CHECK(f.linux_->namespaces.size() == 8);
  CHECK(f.linux_->capabilities.size() == 41);
  CHECK(f.linux_->mount_extensions->idmap->enabled == true);
  CHECK(f.linux_->seccomp->actions.size() == 9);
  const auto has = [&](std::string_view name) {
    return std::find(f.mount_options.begin(), f.mount_options.end(), name) != f.mount_options.end();
  };
  CHECK(has("rro"));
  CHECK(has("idmap"));
  CHECK_FALSE(has("nofail"));
}
