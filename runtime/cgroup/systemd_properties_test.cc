#include "runtime/cgroup/systemd_properties.hh"

#include <doctest/doctest.h>

#include "runtime/sys/error.hh"

using namespace vessel;

namespace {

// "Name=value" for numbers and strings, "Name=[n]" for arrays.
std::vector<std::string> lines(const Properties& properties) {
  std::vector<std::string> out;
  for (const auto& [name, value] : properties) {
    std::string text;
    if (std::holds_alternative<uint64_t>(value.data))
      text = value.number() == UINT64_MAX ? "infinity" : std::to_string(value.number());
    else if (std::holds_alternative<std::string>(value.data))
      text = value.text();
    else
      for (const DbusValue& part : value.parts()) {
        if (part.signature == "y") text += std::to_string(part.number()) + " ";
        if (part.signature == "(ss)")
          text += part.parts()[0].text() + " " + part.parts()[1].text() + ";";
      }
    out.push_back(name + "=" + text);
  }
  return out;
}

using Lines = std::vector<std::string>;

Lines of(const oci::Resources& r, bool v2, int version = 252) {
  std::vector<std::string> warnings;
  return lines(resource_properties(r, {v2, version}, warnings));
}

}  // namespace

TEST_CASE("slices") {
  CHECK(expand_slice("system.slice") == "/system.slice");
  CHECK(expand_slice("a-b-c.slice") == "/a.slice/a-b.slice/a-b-c.slice");
  CHECK(expand_slice("-.slice") == "");
  for (const char* bad : {".slice", "a", "a--b.slice", "-a.slice", "a-.slice", "a/b.slice"})
    CHECK_THROWS_AS_MESSAGE(expand_slice(bad), Error, bad);
}

TEST_CASE("cpu lists become bit masks") {
  CHECK(cpuset_bits("0-2,8") == std::vector<uint8_t>{7, 1});
  CHECK(cpuset_bits("5") == std::vector<uint8_t>{32});
  for (const char* bad : {"", "a", "3-1", "1-", "99999"})
    CHECK_THROWS_AS_MESSAGE(cpuset_bits(bad), Error, bad);
}

TEST_CASE("resources as properties") {
  oci::Resources r;
  r.memory.emplace();
  r.memory->limit = 1000;
  r.memory->swap = 3000;
  r.memory->reservation = 500;
  r.cpu.emplace();
  r.cpu->shares = 1024;
  r.cpu->quota = 50000;
  r.cpu->period = 100000;
  r.cpu->cpus = "0-1";
  r.pids.emplace();
  r.pids->limit = -1;
  r.block_io.emplace();
  r.block_io->weight = 300;
  CHECK(of(r, true) == Lines{"MemoryMax=1000", "MemoryLow=500", "MemorySwapMax=2000",
                             "CPUWeight=100", "CPUQuotaPeriodUSec=100000",
                             "CPUQuotaPerSecUSec=500000", "AllowedCPUs=3 ", "TasksMax=infinity"});
  CHECK(of(r, false) == Lines{"MemoryLimit=1000", "CPUShares=1024", "CPUQuotaPeriodUSec=100000",
                              "CPUQuotaPerSecUSec=500000", "AllowedCPUs=3 ", "BlockIOWeight=300",
                              "TasksMax=infinity"});
  r = {};
  r.cpu.emplace();
  r.cpu->idle = 1;
  r.cpu->shares = 5;
  CHECK(depends_on_version(r));
  CHECK(of(r, true) == Lines{"CPUWeight=0"});
  CHECK(of(r, true, 251) == Lines{"CPUWeight=2"});
  r = {};
  r.unified = {{"cpu.max", "max 50000"}, {"memory.high", "7"}, {"pids.max", "0"}, {"io.max", "x"}};
  CHECK(of(r, true) == Lines{"CPUQuotaPeriodUSec=50000", "CPUQuotaPerSecUSec=infinity",
                             "MemoryHigh=7", "TasksMax=1"});
  r.unified = {{"memory.high", "much"}};
  CHECK_THROWS_AS(of(r, true), Error);
}

TEST_CASE("quotas are whole percents for systemd") {
  oci::Resources r;
  r.cpu.emplace();
  r.cpu->quota = 12345;
  r.cpu->period = 100000;
  CHECK(of(r, true) == Lines{"CPUQuotaPeriodUSec=100000", "CPUQuotaPerSecUSec=130000"});
  CHECK(rounded_for_systemd(r).cpu->quota == 13000);
  r.cpu->quota = 50000;
  CHECK(rounded_for_systemd(r).cpu->quota == 50000);
}

TEST_CASE("device properties") {
  oci::Resources r;
  CHECK(lines(device_properties(r)).empty());
  oci::DeviceRule deny{false, "a", {}, {}, "rwm"}, null{true, "c", 1, 3, "rwm"},
      mknod{true, "c", {}, {}, "m"}, disks{true, "b", 8, {}, "r"};
  r.devices = {deny, mknod, null, disks};
  CHECK(lines(device_properties(r)) == Lines{"DeviceAllow=", "DevicePolicy=strict",
                                             "DeviceAllow=char-* m;/dev/char/1:3 rwm;block-8 r;"});
  r.devices = {{true, "a", {}, {}, ""}};
  CHECK(lines(device_properties(r)) == Lines{"DeviceAllow=", "DevicePolicy=auto"});
}

TEST_CASE("annotation properties") {
  auto p = annotation_properties({{"CollectMode", "'inactive-or-failed'"},
                                  {"TimeoutStopUSec", "uint64 5"},
                                  {"TimeoutStopSec", "1.5"}});
  CHECK(lines(p) ==
        Lines{"CollectMode=inactive-or-failed", "TimeoutStopUSec=1500000", "TimeoutStopUSec=5"});
  CHECK_THROWS_AS(annotation_properties({{"A b", "1"}}), Error);
  CHECK_THROWS_AS(annotation_properties({{"TimeoutStopSec", "'x'"}}), Error);
}
