#include <doctest/doctest.h>

#include "runtime/plan/namespace_names.hh"
#include "runtime/plan/plan_test_host.hh"
#include "runtime/plan/rooms.hh"

using namespace vessel;

namespace {

constexpr const char* maps =
    R"(, "uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
        "gidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}])";

enum How { no, fresh, joined };

std::string entry(std::string_view type, How how) {
  std::string text = "{\"type\": \"" + std::string(type) + "\"";
  if (how == joined) text += ", \"path\": \"/ns/" + std::string(type) + "\"";
  return text + "}";
}

constexpr uint64_t bit_of(NamespaceKind kind) {
  switch (kind) {
    case NamespaceKind::user:
      return 0x10000000;
    case NamespaceKind::mount:
      return 0x00020000;
    case NamespaceKind::pid:
      return 0x20000000;
    case NamespaceKind::network:
      return 0x40000000;
    case NamespaceKind::ipc:
      return 0x08000000;
    case NamespaceKind::uts:
      return 0x04000000;
    case NamespaceKind::cgroup:
      return 0x02000000;
    case NamespaceKind::time:
      return 0x00000080;
  }
  return 0;
}

}  // namespace

TEST_CASE("namespaces: no, new or joined user namespace with every other kind new or joined") {
  for (const uint32_t euid : {0u, 1000u})
    for (const How user : {no, fresh, joined})
      for (size_t k = 1; k < namespace_names.size(); ++k)
        for (const How other : {fresh, joined}) {
          const auto kind = static_cast<NamespaceKind>(k);
          CAPTURE(euid);
          CAPTURE(int{user});
          CAPTURE(namespace_names[k]);
          CAPTURE(int{other});
          std::string list = entry(namespace_names[k], other);
          if (user != no) list += ", " + entry("user", user);
          HostFacts host = test_host();
          host.euid = host.egid = euid;
          const TestPlan t = test_plan(
              R"("linux": {"namespaces": [)" + list + "]" + (user == fresh ? maps : "") + "}",
              host);
          CHECK(t.problems.empty());
          const NamespacePlan& n = t.plan.namespaces;
          CHECK(n.new_user == (user == fresh));
          CHECK(n.joined_user == (user == joined));
          CHECK(n.clone_flags == ((user == fresh ? bit_of(NamespaceKind::user) : 0) |
                                  (other == fresh ? bit_of(kind) : 0)));
          CHECK(n.needs_helper == (user == joined || other == joined));
          std::vector<std::string> order;
          for (const NamespaceJoin& j : n.join) order.push_back(j.path);
          Texts expected;
          if (other == joined) expected.push_back("/ns/" + std::string(namespace_names[k]));
          if (user == joined)
            expected.insert(euid == 0 ? expected.end() : expected.begin(), "/ns/user");
          CHECK(order == expected);
          CHECK(n.is_new(kind) == (other == fresh));
          CHECK(n.is_joined(kind) == (other == joined));
          CHECK_FALSE(n.unshare_cgroup_late);
        }
}

TEST_CASE("namespaces: all joined, the mount namespace last of those that bring no rights") {
  std::string list;
  for (std::string_view name : namespace_names)
    list += (list.empty() ? "" : ", ") + entry(name, joined);
  const auto order = [&](uint32_t euid) {
    HostFacts host = test_host();
    host.euid = euid;
    std::string text;
    for (const NamespaceJoin& j :
         test_plan(R"("linux": {"namespaces": [)" + list + "]}", host).plan.namespaces.join)
      text += std::string(namespace_name(j.kind)) + " ";
    return text;
  };
  CHECK(order(0) == "ipc uts network cgroup time pid mount user ");
  CHECK(order(1000) == "user ipc uts network cgroup time pid mount ");
}

TEST_CASE("namespaces: the cgroup namespace on hosts with v1 hierarchies") {
  for (const CgroupLayout layout :
       {CgroupLayout::v1, CgroupLayout::hybrid, CgroupLayout::v2, CgroupLayout::none}) {
    CAPTURE(static_cast<int>(layout));
    HostFacts host = test_host();
    host.cgroup_layout = layout;
    const NamespacePlan n =
        test_plan(R"("linux": {"namespaces": [{"type": "cgroup"}]})", host).plan.namespaces;
    const bool late = layout == CgroupLayout::v1 || layout == CgroupLayout::hybrid;
    CHECK(n.unshare_cgroup_late == late);
    CHECK(n.clone_flags == (late ? 0 : bit_of(NamespaceKind::cgroup)));
  }
}

TEST_CASE("namespaces: time offsets need a helper before the clone") {
  const auto plan = [](const char* more) {
    return test_plan(std::string(R"("linux": {"namespaces": [)") + more);
  };
  const TestPlan good = plan(R"({"type": "time"}], "timeOffsets": {"boottime": {"secs": 5}}})");
  CHECK(good.problems.empty());
  CHECK(good.plan.namespaces.time_by_helper);
  CHECK(good.plan.namespaces.needs_helper);
  CHECK(good.plan.namespaces.clone_flags == 0);
  CHECK(plan(R"(], "timeOffsets": {"boottime": {"secs": 5}}})").problems ==
        Texts{"linux.timeOffsets: needs a new time namespace in linux.namespaces"});
  CHECK(plan(R"({"type": "time", "path": "/t"}], "timeOffsets": {"boottime": {"secs": 5}}})")
            .problems ==
        Texts{"linux.timeOffsets: cannot be set for a time namespace that is joined by path"});
  CHECK(plan(R"({"type": "time"}], "timeOffsets": {"tai": {}, "monotonic":
             {"nanosecs": 1000000000}}})")
            .problems == Texts{"linux.timeOffsets.monotonic.nanosecs: expected 0 to 999999999",
                               "linux.timeOffsets.tai: expected monotonic or boottime"});
  HostFacts old = test_host();
  old.time_namespace = false;
  CHECK(test_plan(R"("linux": {"namespaces": [{"type": "time"}]})", old).problems ==
        Texts{"host: linux.namespaces: this kernel has no time namespaces (Linux 5.6)"});
}

TEST_CASE("namespaces: twice the same kind, mappings without a user namespace and the reverse") {
  CHECK(test_plan(R"("linux": {"namespaces": [{"type": "pid"}, {"type": "pid", "path": "/p"}]})")
            .problems == Texts{"linux.namespaces[1].type: a second namespace of type pid"});
  CHECK(test_plan(std::string(R"("linux": {"namespaces": [])") + maps + "}").problems ==
        Texts{"linux.uidMappings: needs a user namespace in linux.namespaces"});
  CHECK(test_plan(R"("linux": {"namespaces": [{"type": "user"}]})").problems ==
        Texts{"linux.uidMappings: a new user namespace needs at least one",
              "linux.gidMappings: a new user namespace needs at least one"});
}

TEST_CASE("namespaces: who writes the mappings") {
  struct Row {
    uint32_t euid, host_id, size;
    bool by_tool, deny;
  };
  for (const Row& r : {Row{0, 100000, 65536, false, false}, Row{1000, 1000, 1, false, true},
                       Row{1000, 100000, 1, true, false}, Row{1000, 1000, 2, true, false}}) {
    CAPTURE(r.euid);
    CAPTURE(r.host_id);
    CAPTURE(r.size);
    HostFacts host = test_host();
    host.euid = host.egid = r.euid;
    const std::string map = "[{\"containerID\": 0, \"hostID\": " + std::to_string(r.host_id) +
                            ", \"size\": " + std::to_string(r.size) + "}]";
    const NamespacePlan n =
        test_plan(R"("linux": {"namespaces": [{"type": "user"}], "uidMappings": )" + map +
                      ", \"gidMappings\": " + map + "}",
                  host)
            .plan.namespaces;
    CHECK(n.mappings_by_tool == r.by_tool);
    CHECK(n.deny_setgroups == r.deny);
  }
}

TEST_CASE("id maps: sizes, overlaps and ends") {
  const auto problems = [](std::vector<oci::IdMapping> mappings) {
    Problems list;
    check_id_mappings(mappings, "m", list);
    Texts texts;
    for (const PlanProblem& p : list.list()) texts.push_back(p.text());
    return texts;
  };
  CHECK(problems({{0, 1000, 1}, {1, 100000, 65536}}).empty());
  CHECK(problems({{0, 1000, 0}}) == Texts{"m[0].size: must not be 0"});
  CHECK(problems({{0, 0, 4294967295}}).empty());
  CHECK(problems({{1, 0, 4294967295}}) ==
        Texts{"m[0]: containerID + size goes beyond the largest id, 4294967294"});
  CHECK(problems({{0, 10, 10}, {9, 30, 1}}) ==
        Texts{"m[1]: containerID range overlaps that of entry 0"});
  CHECK(problems({{0, 10, 10}, {10, 19, 1}}) ==
        Texts{"m[1]: hostID range overlaps that of entry 0"});
  std::vector<oci::IdMapping> many;
  for (uint32_t i = 0; i < 341; ++i) many.push_back({i, i, 1});
  CHECK(problems(many).size() == 1);
  CHECK(map_to_host({{0, 1000, 1}, {1, 100000, 10}}, 10) == 100009);
  CHECK_FALSE(map_to_host({{0, 1000, 1}, {1, 100000, 10}}, 11));
}
