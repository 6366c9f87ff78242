#include "runtime/host/facts.hh"

#include <doctest/doctest.h>
#include <unistd.h>

TEST_CASE("host: facts of the running kernel") {
  vessel::HostFacts facts = vessel::probe_host();
  CHECK(facts.euid == geteuid());
  CHECK(facts.kernel_at_least(4, 0));
  CHECK_FALSE(facts.kernel_at_least(1000, 0));
  CHECK(facts.last_capability >= 37);
  CHECK(facts.last_capability < 64);
  vessel::probe_cgroup_controllers(facts);
  if (facts.cgroup_layout == vessel::CgroupLayout::none) CHECK(facts.cgroup_controllers.empty());
}

TEST_CASE("host: kernel versions compare by number") {
  vessel::HostFacts facts;
  facts.kernel_major = 5;
  facts.kernel_minor = 9;
  CHECK_FALSE(facts.kernel_at_least(5, 10));
  CHECK(facts.kernel_at_least(5, 9));
  CHECK(facts.kernel_at_least(4, 19));
  CHECK_FALSE(facts.kernel_at_least(6, 0));
}
