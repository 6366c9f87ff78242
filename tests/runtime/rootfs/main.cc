// Tries runtime/rootfs in throw-away namespaces and prints TAP. An argument picks the cases whose
// names contain it.
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "tests/runtime/rootfs/container.hh"

int main(int argc, char** argv) {
  if (geteuid() != 0) {
    std::puts("1..0 # SKIP no root");
    return 0;
  }
  std::vector<rootfs_test::Case> cases = rootfs_test::mount_cases();
  for (auto more : {rootfs_test::attack_cases, rootfs_test::root_cases})
    for (rootfs_test::Case& one : more()) cases.push_back(std::move(one));
  int number = 0, failed = 0;
  for (const rootfs_test::Case& one : cases) {
    if (argc > 1 && !std::strstr(one.name, argv[1])) continue;
    std::fflush(stdout);
    const rootfs_test::Verdict verdict = one.run();
    std::printf("%sok %d - %s\n", verdict.empty() ? "" : "not ", ++number, one.name);
    if (!verdict.empty()) std::printf("# %s\n", verdict.c_str());
    failed += verdict.empty() ? 0 : 1;
  }
  std::printf("1..%d\n", number);
  return failed == 0 ? 0 : 1;
}
