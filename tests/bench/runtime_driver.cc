// runtime_driver WORK ROUNDS CONFIG… -- NAME=PATH…: measures OCI runtimes against each other.
// WORK/CONFIG/{true,sleep,loop}/N are the bundles (N: 0 to 7, each with a cgroupsPath of its own
// below the cgroup WORK/cgroup names). One interleaved run: in every round each operation is done
// by every runtime, in an order that rotates. See the script `runtime`.
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <stdexcept>

#include "tests/bench/measure.hh"

using namespace bench;

namespace {

constexpr int lanes = 8;

struct Peer {
  std::string name, path;
  std::map<std::string, std::string> failures;  // by configuration
};

struct Series {
  std::vector<Cost> costs;
  double total_cgroup_ms = 0;
};

using Field = double Cost::*;

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

std::vector<double> column(const Series& series, Field field) {
  std::vector<double> values;
  for (const Cost& cost : series.costs) values.push_back(cost.*field);
  return values;
}

class Bench {
 public:
  Bench(std::string work, int rounds, std::vector<Peer> peers, const std::string& cgroup)
      : work_(std::move(work)), rounds_(rounds), peers_(std::move(peers)), cgroup_(cgroup) {}

  void configuration(const std::string& config) {
    config_ = config;
    series_.clear();
    order_.clear();
    be_user(config == "rootless" ? 1000 : 0);
    for (int round = -1; round < rounds_; ++round) {  // the first one warms up
      recording_ = round >= 0;
      for_each([&](Peer& peer) { one_run(peer, "run", root(peer, "warm")); }, round);
      for_each([&](Peer& peer) { one_run(peer, "run, empty root", fresh_root(peer)); }, round);
      for_each([&](Peer& peer) { cycle(peer); }, round);
      for_each([&](Peer& peer) { forced(peer); }, round);
    }
    recording_ = true;
    for_each([&](Peer& peer) { eight_at_a_time(peer); }, 0);
    report();
    extras();
    report_failures();
  }

  void list_of(int count) {
    config_ = "list";
    be_user(0);
    series_.clear();
    order_.clear();
    for_each([&](Peer& peer) { fill(peer, count); }, 0);
    for (int round = 0; round < rounds_; ++round)
      for_each(
          [&](Peer& peer) {
            add(peer, "list of " + std::to_string(count),
                run({peer.path, "--root", root(peer, "list"), "list"}, cgroup_));
          },
          round);
    for_each([&](Peer& peer) { empty(peer, count); }, 0);
    report();
    report_failures();
  }

 private:
  std::string root(const Peer& peer, const std::string& kind) const {
    return work_ + "/roots/" + peer.name + "-" + (config_ == "rootless" ? "rootless-" : "") + kind;
  }
  std::string fresh_root(const Peer& peer) {
    return root(peer, "empty") + std::to_string(++number_);
  }
  std::string bundle(const char* program, int lane = 0) const {
    return work_ + "/" + config_ + "/" + program + "/" + std::to_string(lane);
  }
  std::string new_id() { return "bench-" + std::to_string(++number_); }

  void for_each(const std::function<void(Peer&)>& act, int round) {
    for (size_t i = 0; i < peers_.size(); ++i) {
      Peer& peer = peers_[(i + static_cast<size_t>(std::max(round, 0))) % peers_.size()];
      if (peer.failures.contains(config_)) continue;
      try {
        act(peer);
      } catch (const std::exception& e) {
        peer.failures[config_] = e.what();
      }
    }
  }

  void add(const Peer& peer, const std::string& operation, const Cost& cost) {
    if (!recording_) return;
    if (std::find(order_.begin(), order_.end(), operation) == order_.end())
      order_.push_back(operation);
    series_[operation][peer.name].costs.push_back(cost);
  }

  void one_run(Peer& peer, const char* operation, const std::string& state) {
    add(peer, operation,
        run({peer.path, "--root", state, "run", "--bundle", bundle("true"), new_id()}, cgroup_));
  }

  // Reaps the container's init, which became this subreaper's child.
  static void reap() {
    while (::waitpid(-1, nullptr, 0) > 0) {
    }
  }

  void cycle(Peer& peer) {
    const std::string id = new_id(), state = root(peer, "warm");
    auto call = [&](const char* operation, Words words) {
      Words all = {peer.path, "--root", state};
      all.insert(all.end(), words.begin(), words.end());
      Cost cost = run(all, cgroup_);
      add(peer, operation, cost);
    };
    double used = cgroup_.used_ms(), begin = now_ms();
    call("create", {"create", "--bundle", bundle("sleep"), id});
    call("start", {"start", id});
    call("exec", {"exec", id, "/bin/true"});
    call("state", {"state", id});
    call("kill", {"kill", id, "KILL"});
    reap();
    call("delete", {"delete", id});
    Cost whole;
    whole.wall_ms = now_ms() - begin;
    whole.cpu_ms = whole.cgroup_ms = cgroup_.used_ms() - used;
    add(peer, "whole cycle", whole);
  }

  void forced(Peer& peer) {
    const std::string id = new_id(), state = root(peer, "warm");
    run({peer.path, "--root", state, "create", "--bundle", bundle("sleep"), id}, cgroup_);
    run({peer.path, "--root", state, "start", id}, cgroup_);
    // As a shim would: init is waited for by someone else than the command, at once.
    Cost cost;
    double used = cgroup_.used_ms(), begin = now_ms();
    pid_t pid = start({peer.path, "--root", state, "delete", "--force", id});
    for (siginfo_t info{}; info.si_pid != pid;) {
      ::waitid(P_ALL, 0, &info, WEXITED | WNOWAIT);
      if (info.si_pid != pid) ::waitpid(info.si_pid, nullptr, 0);
    }
    int code = finish(pid, cost);
    cost.wall_ms = now_ms() - begin;
    reap();
    cost.cgroup_ms = cgroup_.used_ms() - used;
    if (code != 0) throw std::runtime_error("delete --force of a running container failed");
    add(peer, "delete -f", cost);
  }

  void eight_at_a_time(Peer& peer) {
    struct Lane {
      pid_t pid = 0;
      double begin = 0;
    } lane[lanes];
    int left = std::max(rounds_, lanes), running = 0;
    double used = cgroup_.used_ms(), begin = now_ms();
    int total = left;
    auto launch = [&](int i) {
      lane[i] = {start({peer.path, "--root", root(peer, "warm"), "run", "--bundle",
                        bundle("true", i), new_id()}),
                 now_ms()};
      --left;
      ++running;
    };
    for (int i = 0; i < lanes; ++i) launch(i);
    bool failed = false;
    while (running > 0) {
      siginfo_t info{};
      ::waitid(P_ALL, 0, &info, WEXITED | WNOWAIT);
      Cost cost;
      int code = finish(info.si_pid, cost);
      for (int i = 0; i < lanes; ++i) {
        if (lane[i].pid != info.si_pid) continue;
        cost.wall_ms = now_ms() - lane[i].begin;
        --running;
        failed = failed || code != 0;
        cost.cgroup_ms = (cgroup_.used_ms() - used) / total;
        add(peer, "run, 8 at once", cost);
        if (left > 0) launch(i);
        break;
      }
    }
    Series& series = series_["run, 8 at once"][peer.name];
    // The whole lot: what one container took of it.
    double share = (cgroup_.used_ms() - used) / total;
    for (Cost& cost : series.costs) cost.cgroup_ms = share;
    Cost elapsed;
    elapsed.wall_ms = (now_ms() - begin) / total;
    elapsed.cpu_ms = elapsed.cgroup_ms = share;
    add(peer, "  a container of 8", elapsed);
    if (failed) throw std::runtime_error("one of eight runs at once failed");
  }

  // The peers take turns in the loops, so that a slow moment of the machine is not one peer's.
  void extras() {
    const auto command = [&](const Peer& peer, const char* program) -> std::vector<std::string> {
      return {peer.path,       "--root", root(peer, "warm"), "run", "--bundle",
              bundle(program), new_id()};
    };
    std::map<std::string, long> calls;
    for_each([&](Peer& peer) { calls[peer.name] = count_syscalls(command(peer, "true")); }, 0);
    std::map<std::string, std::vector<double>> costs;
    for (int round = 0; round < 9; ++round)
      for_each(
          [&](Peer& peer) {
            const std::string text = output_of(command(peer, "loop"));
            costs[peer.name].push_back(std::strtod(text.c_str(), nullptr));
          },
          round);
    for_each(
        [&](Peer& peer) {
          std::printf(
              "  %-10s system calls of a run %5ld   of a million getppid inside, each %6.1f ns\n",
              peer.name.c_str(), calls[peer.name], quantile(costs[peer.name], 0));
        },
        0);
  }

  void fill(Peer& peer, int count) {
    for (int i = 0; i < count; ++i)
      run({peer.path, "--root", root(peer, "list"), "create", "--bundle", work_ + "/list",
           peer.name + "-" + std::to_string(i)},
          cgroup_);
  }

  void empty(Peer& peer, int count) {
    for (int i = 0; i < count; ++i) {
      Cost cost;
      finish(start({peer.path, "--root", root(peer, "list"), "delete", "--force",
                    peer.name + "-" + std::to_string(i)}),
             cost);
      while (::waitpid(-1, nullptr, WNOHANG) > 0) {
      }
    }
  }

  void report() {
    std::printf("\n%s: CPU ms min/median | of the cgroup, median | wall ms median/p95 | peak KiB\n",
                config_.c_str());
    for (const std::string& operation : order_) {
      auto row = series_.find(operation);
      if (row == series_.end()) continue;
      for (const Peer& peer : peers_) {
        auto found = row->second.find(peer.name);
        if (found == row->second.end()) continue;
        const Series& s = found->second;
        long peak = 0;
        for (const Cost& cost : s.costs) peak = std::max(peak, cost.peak_kib);
        std::printf("  %-18s %-10s %7.2f %7.2f | %7.2f | %7.2f %7.2f | %6ld", operation.c_str(),
                    peer.name.c_str(), quantile(column(s, &Cost::cpu_ms), 0),
                    quantile(column(s, &Cost::cpu_ms), 0.5),
                    quantile(column(s, &Cost::cgroup_ms), 0.5),
                    quantile(column(s, &Cost::wall_ms), 0.5),
                    quantile(column(s, &Cost::wall_ms), 0.95), peak);
        if (&peer != &peers_[0]) print_ratios(row->second, s);
        std::printf("\n");
      }
    }
  }

  void report_failures() const {
    for (const Peer& peer : peers_)
      if (auto failure = peer.failures.find(config_); failure != peer.failures.end())
        std::printf("  %-10s left out: %s\n", peer.name.c_str(), failure->second.c_str());
    std::fflush(stdout);
  }

  // The first runtime's cost over this one's: CPU min and median, cgroup, wall.
  void print_ratios(const std::map<std::string, Series>& row, const Series& peer) {
    auto first = row.find(peers_[0].name);
    if (first == row.end()) return;
    auto ratio = [&](Field field, double q) {
      double other = quantile(column(peer, field), q);
      return other > 0 ? quantile(column(first->second, field), q) / other : 0;
    };
    std::printf("   %s is %.2f %.2f | %.2f | %.2f %.2f", peers_[0].name.c_str(),
                ratio(&Cost::cpu_ms, 0), ratio(&Cost::cpu_ms, 0.5), ratio(&Cost::cgroup_ms, 0.5),
                ratio(&Cost::wall_ms, 0.5), ratio(&Cost::wall_ms, 0.95));
  }

  std::string work_, config_;
  int rounds_;
  std::vector<Peer> peers_;
  CpuCgroup cgroup_;
  std::map<std::string, std::map<std::string, Series>> series_;  // by operation and runtime
  std::vector<std::string> order_;
  long number_ = 0;
  bool recording_ = true;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: bench_runtime WORK ROUNDS CONFIG... -- NAME=PATH...\n");
    return 2;
  }
  const std::string work = argv[1];
  std::vector<std::string> configs;
  std::vector<Peer> peers;
  int i = 3;
  for (; i < argc && std::string(argv[i]) != "--"; ++i) configs.emplace_back(argv[i]);
  for (++i; i < argc; ++i) {
    std::string text = argv[i];
    size_t equals = text.find('=');
    peers.push_back({text.substr(0, equals), text.substr(equals + 1), {}});
  }
  std::string cgroup;
  std::ifstream(work + "/cgroup") >> cgroup;
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  try {
    Bench bench(work, std::atoi(argv[2]), peers, cgroup);
    for (const std::string& config : configs) {
      size_t colon = config.find(':');  // list:200
      if (config.substr(0, colon) == "list")
        bench.list_of(std::atoi(config.c_str() + colon + 1));
      else
        bench.configuration(config);
    }
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bench_runtime: %s\n", e.what());
    return 1;
  }
  return 0;
}
