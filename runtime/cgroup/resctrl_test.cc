#include "runtime/cgroup/resctrl.hh"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>

#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"

using namespace vessel;

namespace {

// A directory with what a kernel with two caches shows. Files do not appear in new directories by
// themselves here, so a test makes those that it needs.
class FakeTree {
 public:
  FakeTree() {
    char name[] = "/tmp/resctrl-XXXXXX";
    REQUIRE(::mkdtemp(name));
    path_ = name;
    for (const char* dir : {"info/L3", "info/MB", "info/L3_MON", "mon_groups"})
      std::filesystem::create_directories(path_ + "/" + dir);
    put("tasks", "");
    put("schemata", "    MB:0=100;1=100\n    L3:0=fffff;1=fffff\n");
    put("info/last_cmd_status", "ok\n");
    put("info/L3/cbm_mask", "fffff\n");
    put("info/L3/min_cbm_bits", "1\n");
    put("info/L3/num_closids", "16\n");
    put("info/MB/bandwidth_gran", "10\n");
    put("info/MB/delay_linear", "1\n");
    put("info/MB/min_bandwidth", "10\n");
    put("info/MB/num_closids", "8\n");
  }
  ~FakeTree() { std::filesystem::remove_all(path_); }
  FakeTree(const FakeTree&) = delete;
  FakeTree& operator=(const FakeTree&) = delete;

  void put(const std::string& file, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(path_ + "/" + file).parent_path());
    std::ofstream(path_ + "/" + file) << text;
  }
  std::string get(const std::string& file) const { return read_file(path_ + "/" + file); }
  void make(const std::string& path) { std::filesystem::create_directories(path_ + "/" + path); }
  void drop(const std::string& path) { std::filesystem::remove_all(path_ + "/" + path); }
  const std::string& path() const { return path_; }
  bool has(const std::string& path) const { return std::filesystem::exists(path_ + "/" + path); }
  Resctrl open() const { return Resctrl(open_file(AT_FDCWD, path_, O_RDONLY | O_DIRECTORY)); }
  bool locked() const {
    Fd fd = open_file(AT_FDCWD, path_, O_RDONLY | O_DIRECTORY);
    return ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0;
  }

 private:
  std::string path_;
};

// What the kernel puts into a group the moment that it is made.
void fill_group(FakeTree& tree, const std::string& group, const std::string& schemata = "") {
  tree.put(group + "/tasks", "");
  tree.put(group + "/schemata", schemata);
  tree.make(group + "/mon_groups");
}

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.message();
  }
  return "no error";
}

}  // namespace

TEST_CASE("schemata are compared by value") {
  constexpr const char* file = "    MB:0=100;1= 50\n    L3:0=00fff;1=f\n";
  CHECK(schemata_match("L3:0=fff;1=f", file, 10));
  CHECK(schemata_match("L3: 1=0xf ; 0=0FFF", file, 10));
  CHECK(schemata_match("L3:1=f", file, 10));
  CHECK(schemata_match("MB:0=100;1=50;", file, 10));
  CHECK(schemata_match("MB:1=41", file, 10));  // the kernel rounds up
  CHECK_FALSE(schemata_match("MB:1=41", file, 0));
  CHECK_FALSE(schemata_match("MB:1=51", file, 10));
  CHECK_FALSE(schemata_match("L3:0=ff", file, 10));
  CHECK_FALSE(schemata_match("L3:2=f", file, 10));
  CHECK_FALSE(schemata_match("L2:0=f", file, 10));
  CHECK_FALSE(schemata_match("L3:0", file, 10));
  CHECK_FALSE(schemata_match("nonsense", file, 10));
  CHECK_FALSE(schemata_match("L3:0=xyz", file, 10));
}

TEST_CASE("a group of the container's own: on record, made, entered, removed") {
  FakeTree tree;
  Resctrl resctrl = tree.open();
  const IntelRdtPlan plan{"c1", false, {}, ""};
  const ResctrlRecord record = resctrl.claim(plan);
  CHECK(record == ResctrlRecord{"c1", "", true, false});
  CHECK(tree.locked());
  CHECK_FALSE(tree.has("c1"));
  resctrl.make(plan, record);
  CHECK_FALSE(tree.locked());
  REQUIRE(tree.has("c1"));

  tree.put("c1/tasks", "");
  resctrl.enter(record, 4242);
  CHECK(tree.get("c1/tasks") == "4242\n");
  tree.drop("c1/tasks");  // as the kernel's rmdir does
  resctrl.remove(record, false);
  CHECK_FALSE(tree.has("c1"));
  resctrl.remove(record, false);  // gone is no error
}

TEST_CASE("a group that is there under the container's id is used and left") {
  FakeTree tree;
  fill_group(tree, "c1");
  Resctrl resctrl = tree.open();
  const IntelRdtPlan plan{"c1", false, {"L3:0=ff"}, ""};
  const ResctrlRecord record = resctrl.claim(plan);
  CHECK_FALSE(record.made);
  resctrl.make(plan, record);
  CHECK(tree.get("c1/schemata") == "L3:0=ff\n");
  resctrl.remove(record, false);
  CHECK(tree.has("c1"));
}

TEST_CASE("monitoring: a group of its own below the control group") {
  FakeTree tree;
  fill_group(tree, "gold");
  Resctrl resctrl = tree.open();
  const IntelRdtPlan plan{"gold", true, {}, "c1"};
  const ResctrlRecord record = resctrl.claim(plan);
  CHECK(record == ResctrlRecord{"gold", "c1", false, true});
  resctrl.make(plan, record);
  REQUIRE(tree.has("gold/mon_groups/c1"));
  tree.put("gold/mon_groups/c1/tasks", "");
  resctrl.enter(record, 7);
  CHECK(tree.get("gold/tasks") == "7\n");
  CHECK(tree.get("gold/mon_groups/c1/tasks") == "7\n");

  // Not the container's alone: an error, and nothing of it is taken away.
  CHECK(message_of([&] { tree.open().claim(plan); }) ==
        "linux.intelRdt.enableMonitoring: the monitoring group gold/mon_groups/c1 exists already");
  tree.drop("gold/mon_groups/c1/tasks");
  resctrl.remove(record, false);
  CHECK_FALSE(tree.has("gold/mon_groups/c1"));
  CHECK(tree.has("gold"));

  const IntelRdtPlan in_root{"", true, {}, "c1"};
  const ResctrlRecord root_record = resctrl.claim(in_root);
  resctrl.make(in_root, root_record);
  CHECK(tree.has("mon_groups/c1"));
  resctrl.remove(root_record, false);
  CHECK_FALSE(tree.has("mon_groups/c1"));

  tree.drop("gold/mon_groups");
  Resctrl other = tree.open();
  const ResctrlRecord unmonitored = other.claim(plan);
  CHECK(message_of([&] { other.make(plan, unmonitored); }) ==
        "linux.intelRdt.enableMonitoring: this host's resctrl has no monitoring");
}

TEST_CASE("a closID: the group has to be there, or its schemata have to match") {
  FakeTree tree;
  Resctrl resctrl = tree.open();
  CHECK(message_of([&] {
          resctrl.claim({"gold", true, {}, ""});
        }) ==
        "linux.intelRdt.closID: there is no resctrl group \"gold\", and without schemata it is not "
        "made");
  CHECK(resctrl.claim({"gold", true, {"L3:0=ff"}, ""}).made);

  fill_group(tree, "gold", "    MB:0=50;1=100\n    L3:0=000ff;1=fffff\n");
  CHECK_FALSE(resctrl.claim({"gold", true, {"L3:0=ff", "MB:0=45"}, ""}).made);
  CHECK(message_of([&] {
          resctrl.claim({"gold", true, {"L3:0=f"}, ""});
        }) ==
        "linux.intelRdt: group \"gold\" exists with other schemata than \"L3:0=f\"; it has "
        "MB:0=50;1=100\n    L3:0=000ff;1=fffff");

  // "/" is always there, and never removed.
  const ResctrlRecord root = resctrl.claim({"", true, {"L3:0=fffff"}, ""});
  CHECK_FALSE(root.made);
  CHECK_THROWS_AS(resctrl.claim({"", true, {"L3:0=f"}, ""}), Error);
  resctrl.remove(root, true);
  CHECK(tree.has("tasks"));
}

TEST_CASE("a group made for a closID outlives the container, but not a failed creation") {
  FakeTree tree;
  Resctrl resctrl = tree.open();
  const ResctrlRecord record{"gold", "", true, true};
  fill_group(tree, "gold");
  tree.drop("gold/mon_groups"), tree.drop("gold/schemata");
  resctrl.remove(record, false);
  CHECK(tree.has("gold"));
  tree.put("gold/tasks", "17\n");  // another container has moved in
  resctrl.remove(record, true);
  CHECK(tree.has("gold"));
  tree.drop("gold/tasks");
  resctrl.remove(record, true);
  CHECK_FALSE(tree.has("gold"));
}

TEST_CASE("the kernel's own words are in the error") {
  FakeTree tree;
  tree.put("info/last_cmd_status", "Mask out of range\n");
  Resctrl resctrl = tree.open();
  tree.make("c1");
  REQUIRE(::symlink("/dev/full", (tree.path() + "/c1/schemata").c_str()) == 0);
  CHECK(message_of([&] {
          resctrl.write_schemata({"c1", "", true, false}, {"L3:0=fffffff"});
        }) ==
        "resctrl: write L3:0=fffffff to c1/schemata (Mask out of range): No space left on device");
  CHECK(message_of([&] {
          resctrl.write_schemata({"c2", "", true, false}, {"L3:0=f"});
        }).starts_with("open c2/schemata: No such file"));
}

TEST_CASE("statistics") {
  FakeTree tree;
  fill_group(tree, "gold", "    MB:0=50;1=100\n    L3:0=000ff;1=fffff\n");
  auto json = [&](const ResctrlRecord& record) {
    CgroupStats stats;
    stats.intel_rdt = tree.open().stats(record);
    const std::string text = stats_json(stats);
    const size_t start = text.find("\"intel_rdt\":") + 12;
    return text.substr(start, text.find(",\"network_interfaces\"") - start);
  };
  const std::string limits =
      R"({"l3_cache_info":{"cbm_mask":"fffff","min_cbm_bits":1,"num_closids":16},)"
      R"("l3_cache_schema_root":"L3:0=fffff;1=fffff","l3_cache_schema":"L3:0=000ff;1=fffff",)"
      R"("mem_bw_info":{"bandwidth_gran":10,"delay_linear":1,"min_bandwidth":10,"num_closids":8},)"
      R"("mem_bw_schema_root":"MB:0=100;1=100","mem_bw_schema":"MB:0=50;1=100",)"
      R"("schemata":["MB:0=50;1=100","L3:0=000ff;1=fffff"])";
  CHECK(json({"gold", "", false, true}) == limits + "}");

  tree.put("info/L3_MON/mon_features", "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes\n");
  const std::string data = "gold/mon_groups/c1/mon_data/";
  tree.put(data + "mon_L3_00/llc_occupancy", "4096\n");
  tree.put(data + "mon_L3_00/mbm_total_bytes", "9\n");
  tree.put(data + "mon_L3_00/mbm_local_bytes", "5\n");
  tree.put(data + "mon_L3_01/llc_occupancy", "0\n");
  tree.put(data + "mon_L3_01/mbm_total_bytes", "Unavailable\n");
  CHECK(json({"gold", "c1", false, true}) ==
        limits + R"(,"mbm_stats":[{"mbm_total_bytes":9,"mbm_local_bytes":5},)"
                 R"({"mbm_total_bytes":0,"mbm_local_bytes":0}],)"
                 R"("cmt_stats":[{"llc_occupancy":4096},{"llc_occupancy":0}]})");
}
