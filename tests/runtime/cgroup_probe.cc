// Drives runtime/cgroup alone, so that its tests need no container. A record file keeps what
// vessel's state file would. Usage:
//   cgroup_probe create RECORD ID PATH RESOURCES        PATH "systemd:SLICE:UNIT" for that driver
//   cgroup_probe start RECORD ID PATH RESOURCES CMD…    create, then run CMD inside; prints its pid
//   cgroup_probe enter RECORD BELOW CMD…                 run CMD inside in the foreground (BELOW
//   "-") cgroup_probe fallback RECORD PID CMD…                 … in the cgroup that PID is in
//   cgroup_probe update RECORD RESOURCES | give RECORD UID GID
//   cgroup_probe freeze|thaw|frozen|pids|stats|oom|destroy RECORD | kill RECORD SIGNAL
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>

#include "runtime/cgroup/cgroup.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/process.hh"

using namespace vessel;

namespace {

std::string slurp(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

void save(const std::string& path, const CgroupRecord& record) {
  std::ofstream out(path);
  for (const auto& [key, dir] : record.paths) out << key << " " << dir << "\n";
  if (!record.unit.empty()) out << "unit " << record.unit << " " << record.user_bus << "\n";
}

CgroupRecord load(const std::string& path) {
  CgroupRecord record;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    std::string key = line.substr(0, line.find(' ')), rest = line.substr(line.find(' ') + 1);
    if (key == "unit") {
      record.unit = rest.substr(0, rest.find(' '));
      record.user_bus = rest.ends_with("1");
    } else {
      record.paths[key] = rest;
    }
  }
  return record;
}

pid_t spawn(const CgroupEntry& entry, char** command, bool detached) {
  // Whoever reads our output must not wait for the container. Its rules may deny this device.
  Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  CloneRequest request;
  request.cgroup_fd = entry.clone_fd();
  auto clone = try_clone(request);
  bool by_hand = false;
  if (!clone) {
    std::fprintf(stderr, "clone into the cgroup: %s\n", error_text(errno).c_str());
    request.cgroup_fd = -1;
    by_hand = true;
    clone = try_clone(request);
  }
  if (!clone) throw SysError("clone3");
  if (clone->pid == 0) {
    try {
      entry.enter(by_hand);
      if (detached) dup2(null.get(), 1);
      execvp(command[0], command);
      throw SysError("exec");
    } catch (const Error& error) {
      std::fprintf(stderr, "%s\n", error.what());
      _exit(127);
    }
  }
  return clone->pid;
}

CgroupPlan make_plan(const std::string& path, const std::string& resources) {
  CgroupPlan plan;
  plan.path = path;
  if (path.starts_with("systemd:")) {
    size_t colon = path.find(':', 8);
    plan.driver = CgroupDriver::systemd;
    plan.systemd.emplace();
    plan.systemd->slice = path.substr(8, colon - 8);
    plan.systemd->unit = path.substr(colon + 1);
    plan.systemd->properties["CollectMode"] = "'inactive-or-failed'";
    plan.path.clear();
  }
  if (const char* delegate = std::getenv("DELEGATE")) plan.delegate = delegate;
  if (std::getenv("OPTIONAL")) plan.optional = true;
  plan.resources = oci::read_resources(resources == "-" ? "{}" : slurp(resources), resources);
  return plan;
}

int run(int argc, char** argv) {
  if (argc < 3) throw Error("usage: see the source");
  std::string verb = argv[1], file = argv[2];
  auto say = [](Cgroup& cgroup) {
    for (const std::string& warning : cgroup.take_warnings())
      std::cerr << "warning: " << warning << "\n";
  };
  if (verb == "create" || verb == "start") {
    CgroupPlan plan = make_plan(argv[4], argv[5]);
    Cgroup cgroup = Cgroup::create(plan, argv[3], probe_host());
    save(file, cgroup.record());
    cgroup.apply(plan.resources);
    cgroup.apply_devices(plan.resources);
    say(cgroup);
    if (verb == "start") std::cout << spawn(cgroup.entry(), argv + 6, true) << std::endl;
    cgroup.init_is_in();
    return 0;
  }
  Cgroup cgroup = Cgroup::open(load(file));
  if (verb == "enter" || verb == "fallback") {
    std::string below = argv[3];
    CgroupEntry entry = verb == "fallback" ? cgroup.entry_of(std::atoi(argv[3]))
                        : below == "-"     ? cgroup.entry()
                                           : cgroup.entry({below});
    int status = 0;
    waitpid(spawn(entry, argv + 4, false), &status, 0);
    return exit_code_of(status);
  }
  if (verb == "update")
    cgroup.update(oci::read_resources(slurp(argv[3]), argv[3]));
  else if (verb == "give")
    cgroup.give_to(static_cast<uid_t>(std::atoi(argv[3])), static_cast<gid_t>(std::atoi(argv[4])));
  else if (verb == "freeze")
    cgroup.freeze();
  else if (verb == "thaw")
    cgroup.thaw();
  else if (verb == "frozen")
    std::cout << (cgroup.is_frozen() ? "yes" : "no") << std::endl;
  else if (verb == "pids")
    for (pid_t pid : cgroup.pids()) std::cout << pid << std::endl;
  else if (verb == "stats")
    std::cout << stats_json(cgroup.stats()) << std::endl;
  else if (verb == "oom")
    std::cout << (cgroup.oom_kills() ? std::to_string(*cgroup.oom_kills()) : "none") << std::endl;
  else if (verb == "kill")
    std::cout << (cgroup.kill_all(std::atoi(argv[3])) ? "yes" : "no") << std::endl;
  else if (verb == "destroy")
    cgroup.destroy();
  else
    throw Error("unknown verb " + verb);
  say(cgroup);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
