// Owns: what the files of this room hand each other while one plan is made.
// Does not own: anything that outlives make_plan.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oci-spec/runtime_config.hh"
#include "runtime/host/facts.hh"
#include "runtime/plan/make_plan.hh"
#include "runtime/plan/plan.hh"
#include "runtime/plan/problems.hh"

namespace vessel {

struct PlanContext {
  const oci::Config& config;
  const oci::Linux& linux_;  // an empty one when the config has none
  const HostFacts& facts;
  const PlanOptions& options;
  bool rootless;
  Problems& problems;
};

// Each fills its part of the plan and reports what is wrong with it. The order of the declarations
// is that of the calls: later ones look at the namespaces that the first one decided on.
NamespacePlan plan_namespaces(const PlanContext& context);
void check_config(const PlanContext& context, const NamespacePlan& namespaces);
std::vector<MountStep> plan_mounts(const PlanContext& context, const NamespacePlan& namespaces);
RootfsPlan plan_rootfs(const PlanContext& context, const NamespacePlan& namespaces);
void plan_devices(const PlanContext& context, const NamespacePlan& namespaces, RootfsPlan& rootfs);
CgroupPlan plan_cgroup(const PlanContext& context, const NamespacePlan& namespaces);
std::map<std::string, std::string> plan_sysctl(const PlanContext& context,
                                               const NamespacePlan& namespaces);
std::optional<IntelRdtPlan> plan_intel_rdt(const PlanContext& context);

// The process: `gained` says that a user namespace gives it every capability at first.
struct ProcessContext {
  const oci::Config& container;
  const oci::Linux& linux_;
  const HostFacts& facts;
  bool new_user = false, joined_user = false;
  bool setgroups_denied = false;
  Problems& problems;
};
ProcessPlan plan_process(const oci::Process& process, const ProcessContext& context);
void plan_scheduling(const oci::Process& process, const ProcessContext& context, ProcessPlan& plan);

// ---- id maps
// Problems of one list of mappings: sizes, overflow, overlaps, number of entries.
void check_id_mappings(const std::vector<oci::IdMapping>& mappings, const std::string& path,
                       Problems& problems);
// The id on the outside, nullopt when it is not mapped.
std::optional<uint32_t> map_to_host(const std::vector<oci::IdMapping>& mappings, uint32_t id);

// ---- lists such as "0-3,7" as cpuset(7) has them; nullopt when malformed, "" is the empty set
std::optional<CpuSet> parse_cpu_list(std::string_view text);

// ---- paths
// Without "." and "..", empty parts and a trailing "/"; ".." stops at the root. Text only: not for
// paths that are followed in a container's root.
std::string clean_absolute(std::string_view path);

}  // namespace vessel
