// syscall-loop N: makes N cheap system calls and prints what one cost in nanoseconds: what a
// seccomp filter costs the container's own program for as long as it lives.
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>

int main(int argc, char** argv) {
  long count = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 1'000'000;
  timespec begin{}, end{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
  for (long i = 0; i < count; ++i) ::syscall(SYS_getppid);
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
  double spent = static_cast<double>(end.tv_sec - begin.tv_sec) * 1e9 +
                 static_cast<double>(end.tv_nsec - begin.tv_nsec);
  std::printf("%.1f\n", spent / static_cast<double>(count));
}
