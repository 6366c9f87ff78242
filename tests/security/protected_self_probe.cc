// Owns: a stand-in for vessel that protects itself and then shows itself to an attacker, so that
// each kind of protection can be attacked without a container. Does not own: the attack.
//
// protected_self_probe KIND READY GO: begins with the KIND-th kind of protection (or does without,
// for "none"), prints which one it got, creates READY once it can be looked at, and waits until GO
// exists.
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "runtime/security/sealed_self.hh"
#include "runtime/sys/error.hh"

int main(int argc, char** argv, char** envp) {
  if (argc < 2) return 2;
  if (std::strcmp(argv[1], "none") != 0) try {
      auto kind = vessel::ensure_protected_self(
          argv, envp, static_cast<vessel::SelfProtection>(std::atoi(argv[1])));
      std::printf("%s\n", vessel::name_of(kind));
      std::fflush(stdout);
    } catch (const vessel::Error& e) {
      std::fprintf(stderr, "%s\n", e.what());
      return 1;
    }
  if (argc < 4) return 0;
  close(open(argv[2], O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  const timespec pause = {0, 10'000'000};
  for (int i = 0; i < 1000 && access(argv[3], F_OK) != 0; ++i) nanosleep(&pause, nullptr);
  return 0;
}
