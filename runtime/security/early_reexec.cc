// Owns: the program's entry point on x86_64, which goes over to the read-only clone of
// sealed_self.hh before the C library starts. Does not own: whether this process is protected; that
// is looked at in main, which also does all else that protection needs.
//
// The C library's start asks the processor some fifty questions (CPUID), and each costs 5 µs in a
// virtual machine: 0.3 ms that the first of the two executions has no use for. So where the verb is
// one that clones containers, the first thing done is what ensure_protected_self() would do first.
// If anything fails, the program starts as usual and main does it with its fallbacks and messages.
//
// Nothing is relocated or initialised here: no library calls, no thread-local data, no pointers in
// static data.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>

#include "runtime/security/clone_in_namespaces.hh"

namespace {

constexpr long at_execfn = 31;  // <linux/auxvec.h>

[[gnu::always_inline]] inline long call(long number, long a, long b, long c, long d, long e) {
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
               : "rcx", "r11", "memory");
  return result;
}

template <size_t size>
[[gnu::always_inline]] inline bool is(const char* text, const char (&word)[size], size_t length) {
  for (size_t i = 0; i < length; ++i)
    if (text[i] != word[i]) return false;
  return true;
}
template <size_t size>
[[gnu::always_inline]] inline bool is(const char* text, const char (&word)[size]) {
  return is(text, word, size);  // with the NUL
}

template <typename T>
long number_of(T* pointer) {
  return reinterpret_cast<long>(pointer);
}

}  // namespace

// `stack` is what the kernel hands a new program: argc, argv, NULL, envp, NULL, auxiliary vector.
extern "C" [[gnu::visibility("hidden"), gnu::used, gnu::no_stack_protector,
             gnu::optimize("no-tree-loop-distribute-patterns")]] void
vessel_early_reexec(long* stack) {
  const long count = stack[0];
  long* argv = stack + 1;
  bool clones = false;
  for (long i = 1; i < count && !clones; ++i) {
    const char* arg = reinterpret_cast<const char*>(argv[i]);
    // A container of that name costs one needless execution.
    clones = is(arg, "create") || is(arg, "run") || is(arg, "exec");
    if (is(arg, "state") || is(arg, "start") || is(arg, "kill") || is(arg, "delete")) return;
  }
  if (!clones) return;

  long* envp = argv + count + 1;
  long* aux = envp;
  while (*aux != 0) ++aux;
  for (++aux; aux[0] != 0; aux += 2)
    // Already the execution of a descriptor: main finds out what kind of.
    if (aux[0] == at_execfn && is(reinterpret_cast<const char*>(aux[1]), "/dev/fd/", 8)) return;

  const char self[] = "/proc/self/exe", empty[] = "";
  long tree = call(SYS_open_tree, AT_FDCWD, number_of(self), 1 | O_CLOEXEC, 0, 0);
  bool read_only = false;
  if (tree == -EPERM) {
    tree = vessel::clone_self_in_namespaces(
        [](long number, long a, long b, long c, long d, long e)
            __attribute__((always_inline)) { return call(number, a, b, c, d, e); });
    read_only = true;
  }
  if (tree < 0) return;
  mount_attr attributes{
      .attr_set = MOUNT_ATTR_RDONLY, .attr_clr = 0, .propagation = 0, .userns_fd = 0};
  if (read_only || call(SYS_mount_setattr, tree, number_of(empty), AT_EMPTY_PATH,
                        number_of(&attributes), sizeof attributes) == 0)
    call(SYS_execveat, tree, number_of(empty), number_of(argv), number_of(envp), AT_EMPTY_PATH);
  call(SYS_close, tree, 0, 0, 0, 0);
}

// rdx is what the C library is to call at exit (none, in a static program); the stack is as the
// kernel left it when _start takes over.
asm(R"(
  .section .text.vessel_entry, "ax", @progbits
  .globl vessel_entry
  .type vessel_entry, @function
vessel_entry:
  xor %ebp, %ebp
  mov %rsp, %rdi
  push %rdx
  push %rdx
  call vessel_early_reexec
  pop %rdx
  pop %rdx
  jmp _start
  .previous
)");

#endif
