// Owns: reading the statistics of one controller from its cgroup directory.
// Does not own: which directory that is (stats.cc). A file that is not there leaves its part zero.
#pragma once

#include <string>

#include "runtime/cgroup/stats.hh"

namespace vessel {

// stats_v1.cc: `dir` is the directory in the hierarchy of the named controller.
void read_cpu_v1(const std::string& dir, CpuStats& to);
void read_cpuacct_v1(const std::string& dir, CpuStats& to);
void read_cpuset_v1(const std::string& dir, CpusetStats& to);
void read_memory_v1(const std::string& dir, MemoryStats& to);
void read_blkio_v1(const std::string& dir, BlkioStats& to);

// stats_v2.cc
void read_cpu_v2(const std::string& dir, CpuStats& to);
void read_memory_v2(const std::string& dir, MemoryStats& to);
void read_io_v2(const std::string& dir, BlkioStats& to);

// stats.cc: the same files on both.
void read_pids(const std::string& dir, CgroupStats& to);
void read_hugetlb(const std::string& dir, bool v2, CgroupStats& to);
void read_rdma(const std::string& dir, CgroupStats& to);

// 0 when the file is missing or not a number; "max" is UINT64_MAX.
uint64_t read_counter(const std::string& dir, std::string_view file);

}  // namespace vessel
