// Owns: a program that needs no system call but execve, write and exit_group, for filters that
// allow no other. Does not own: the filter.
namespace {

long call(long number, long a, long b, long c) {
  long result;
#if defined(__x86_64__)
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c)
               : "rcx", "r11", "memory");
#elif defined(__aarch64__)
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  asm volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
  result = x0;
#endif
  return result;
}

#if defined(__x86_64__)
constexpr long write_number = 1, exit_number = 231;
#elif defined(__aarch64__)
constexpr long write_number = 64, exit_number = 94;
#endif

}  // namespace

extern "C" [[noreturn]] void _start() {
  const char text[] = "alive\n";
  call(write_number, 1, reinterpret_cast<long>(text), sizeof text - 1);
  for (;;) call(exit_number, 0, 0, 0);
}
