// Owns: seeing, through a seccomp listener, what a RUN asks for that a user namespace cannot give:
// owners and ids that are not mapped, device nodes. Such a call fails, a shell that says `|| true`
// goes on, and the image would silently be another one.
// Does not own: what is done about it.
#pragma once

#include <linux/seccomp.h>

#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "builder/sys/fd.hh"
#include "oci-spec/runtime_config.hh"

namespace kiln {

// Listens from its making on and until its end. The runtime connects to path().
class OwnershipWatch {
 public:
  // `directory`: of a bundle, where the socket is made. `ids`: how many from 0 on are mapped.
  OwnershipWatch(int directory, uint32_t ids);
  ~OwnershipWatch();
  OwnershipWatch(const OwnershipWatch&) = delete;
  OwnershipWatch& operator=(const OwnershipWatch&) = delete;

  // Makes the filter of `config` (a permissive one where it has none) report to this listener.
  void watch(oci::Config& config) const;

  // What was asked for and refused, each as "chown(33, 33) of /f", without repetitions.
  std::vector<std::string> refused();

 private:
  void serve();
  void accept_one(int socket, std::vector<Fd>& listeners);
  void answer(int listener);
  // Whether the kernel will refuse the call; then noted.
  bool judge(const seccomp_notif& call);
  void note(std::string text);

  uint32_t ids_;
  Fd directory_;
  std::string name_;
  Fd socket_, stop_;
  std::mutex mutex_;
  std::vector<std::string> refused_;
  std::thread thread_;
};

}  // namespace kiln
