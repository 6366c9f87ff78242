// Owns: the filter that runc would load for a profile: libseccomp's program behind a check that
// gives ENOSYS to calls newer than the profile. Does not own: vessel's compiler, which it is
// compared with.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "oci-spec/runtime_config.hh"

class ReferenceFilter {
 public:
  // nullopt when libseccomp refuses a rule (two that contradict each other).
  static std::optional<ReferenceFilter> make(const oci::Seccomp& profile);

  uint32_t decide(const seccomp_data& data) const;
  size_t size() const { return program_.size(); }
  const std::vector<sock_filter>& program() const { return program_; }

 private:
  // By libseccomp's architecture token: the highest number named.
  std::map<uint32_t, uint32_t> last_;
  std::vector<sock_filter> program_;
};
