#!/usr/bin/env python3
# Every property of linux.seccomp: what a system call answers inside, for each action and operator.
import array, os, signal, socket, struct, sys, threading
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bundle import *
from probing import *

if os.uname().machine != 'x86_64':
    print('1..0 # SKIP the numbers here are those of x86_64')
    sys.exit(0)
GETPPID, GETPGRP, PERSONALITY, LSEEK = 110, 111, 135, 8


def filtered(seccomp, *words, nnp=True):
    c = config('/bin/probe', *[str(w) for w in words])
    c['process']['noNewPrivileges'] = nnp
    c['linux']['seccomp'] = dict({'defaultAction': 'SCMP_ACT_ALLOW'}, **seccomp)
    return run_probe(c)


def rule(action, *names, **more):
    return {'syscalls': [dict({'names': list(names), 'action': action}, **more)]}


def died(r):
    return r.code in (159, -31, 31 + 128)


r = filtered(rule('SCMP_ACT_ERRNO', 'getppid'), 'call', GETPPID)
check(r.out == '-1 1\n', 'linux.seccomp.syscalls[].action=SCMP_ACT_ERRNO: EPERM by itself', r)
r = filtered(rule('SCMP_ACT_ERRNO', 'getppid', errnoRet=99), 'call', GETPPID)
check(r.out == '-1 99\n', 'linux.seccomp.syscalls[].errnoRet', r)
r = filtered(rule('SCMP_ACT_ERRNO', 'getpgrp', 'getppid', 'no_such_call'), 'call', GETPPID)
check(r.out == '-1 1\n', 'linux.seccomp.syscalls[].names[]: several, unknown ones are left out', r)
for action in ('SCMP_ACT_KILL', 'SCMP_ACT_KILL_PROCESS'):
    r = filtered(rule(action, 'getppid'), 'call', GETPPID)
    check(died(r), 'linux.seccomp.syscalls[].action=' + action, r)
for action, alive in (('SCMP_ACT_KILL_THREAD', True), ('SCMP_ACT_KILL_PROCESS', False)):
    r = filtered(rule(action, 'getppid'), 'thread', GETPPID)
    check((r.out == 'alive\n') == alive,
          'linux.seccomp.syscalls[].action=%s: in a thread' % action, r)
r = filtered(rule('SCMP_ACT_TRAP', 'getppid'), 'trap', GETPPID)
check(r.out.startswith('trapped syscall=110'), 'linux.seccomp.syscalls[].action=SCMP_ACT_TRAP', r)
c = config('/bin/probe', 'trace', str(GETPPID))
c['process']['capabilities'] = {s: ['CAP_SYS_PTRACE'] for s in
                                ('bounding', 'effective', 'permitted')}
c['linux']['seccomp'] = dict(rule('SCMP_ACT_TRACE', 'getppid', errnoRet=42),
                             defaultAction='SCMP_ACT_ALLOW')
r = run_probe(c)
check(r.out == 'message=42\n', 'linux.seccomp.syscalls[].action=SCMP_ACT_TRACE: the tracer\'s message', r)
r = filtered(rule('SCMP_ACT_TRACE', 'getppid'), 'call', GETPPID)
check(r.out == '-1 38\n', 'linux.seccomp.syscalls[].action=SCMP_ACT_TRACE: ENOSYS without a tracer', r)
for action in ('SCMP_ACT_ALLOW', 'SCMP_ACT_LOG'):
    r = filtered(rule(action, 'getppid'), 'call', GETPPID)
    check(r.out == '0 0\n', 'linux.seccomp.syscalls[].action=' + action, r)

# Defaults. What the probe and libc need is allowed.
NEEDED = ['execve', 'write', 'exit_group', 'exit', 'brk', 'mmap', 'munmap', 'mprotect', 'arch_prctl',
          'set_tid_address', 'set_robust_list', 'rseq', 'prlimit64', 'readlinkat', 'readlink',
          'getrandom', 'newfstatat', 'fstat', 'futex', 'rt_sigaction', 'rt_sigprocmask']
for action, errno_ret, want in (('SCMP_ACT_ERRNO', None, '-1 1\n'), ('SCMP_ACT_ERRNO', 77, '-1 77\n'),
                                ('SCMP_ACT_LOG', None, '0 0\n'), ('SCMP_ACT_KILL_PROCESS', None, None)):
    s = dict(rule('SCMP_ACT_ALLOW', *NEEDED), defaultAction=action)
    if errno_ret:
        s['defaultErrnoRet'] = errno_ret
    r = filtered(s, 'call', GETPPID)
    what = 'linux.seccomp.defaultErrnoRet' if errno_ret else 'linux.seccomp.defaultAction=' + action
    check(r.out == want if want else died(r), what, r)
r = filtered(dict(rule('SCMP_ACT_ALLOW', *NEEDED), defaultAction='SCMP_ACT_ERRNO'), 'call', 470)
check(r.out == '-1 38\n', 'a call newer than the profile is ENOSYS', r)

# Operators, on the third argument of lseek(999, 0, N): EBADF where the rule does not match. 64 bits.
BIG = 1 << 40
OPERATORS = {
    'SCMP_CMP_NE': [(5, 5, False), (5, 6, True), (5, BIG + 5, True)],
    'SCMP_CMP_LT': [(5, 4, True), (5, 5, False), (BIG, 5, True), (5, BIG, False)],
    'SCMP_CMP_LE': [(5, 5, True), (5, 6, False), (BIG, BIG, True)],
    'SCMP_CMP_EQ': [(5, 5, True), (5, 6, False), (5, BIG + 5, False)],
    'SCMP_CMP_GE': [(5, 5, True), (5, 4, False), (BIG, 5, False)],
    'SCMP_CMP_GT': [(5, 6, True), (5, 5, False), (5, BIG, True)],
    'SCMP_CMP_MASKED_EQ': [((0xf0, 0x50), 0x5a, True), ((0xf0, 0x50), 0x6a, False),
                           ((BIG, BIG), BIG + 1, True), ((BIG, BIG), 1, False)],
}
for op, cases in OPERATORS.items():
    wrong = []
    for value, given, match in cases:
        arg = {'index': 1, 'op': op}
        if isinstance(value, tuple):
            arg['value'], arg['valueTwo'] = value
        else:
            arg['value'] = value
        r = filtered(rule('SCMP_ACT_ERRNO', 'lseek', errnoRet=99, args=[arg]),
                     'call', LSEEK, 999, given, 0)
        if r.out != ('-1 99\n' if match else '-1 9\n'):
            wrong.append((value, given, match, r))
    check(not wrong, 'linux.seccomp.syscalls[].args[].op=' + op, wrong)
wrong = []
for index in range(3):
    arg = {'index': index, 'value': 7, 'op': 'SCMP_CMP_EQ'}
    given = [999, 0, 0]
    given[index] = 7
    r = filtered(rule('SCMP_ACT_ERRNO', 'lseek', errnoRet=99, args=[arg]), 'call', LSEEK, *given)
    s = filtered(rule('SCMP_ACT_ERRNO', 'lseek', errnoRet=99, args=[arg]), 'call', LSEEK, 999, 0, 0)
    if r.out != '-1 99\n' or s.out != '-1 9\n':
        wrong.append((index, r, s))
check(not wrong, 'linux.seccomp.syscalls[].args[].index', wrong)
args = [{'index': 0, 'value': 999, 'op': 'SCMP_CMP_EQ'}, {'index': 1, 'value': 3, 'op': 'SCMP_CMP_EQ'}]
r = filtered(rule('SCMP_ACT_ERRNO', 'lseek', errnoRet=99, args=args), 'call', LSEEK, 999, 3, 0)
s = filtered(rule('SCMP_ACT_ERRNO', 'lseek', errnoRet=99, args=args), 'call', LSEEK, 999, 4, 0)
check(r.out == '-1 99\n' and s.out == '-1 9\n',
      'linux.seccomp.syscalls[].args[].value: all of a rule have to match', (r, s))

# Architectures: the 32-bit table is getpid 20, getppid 64.
r = filtered({}, 'i386', 64)
if r.out == '0\n':
    both = {'architectures': ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86']}
    r = filtered(dict(rule('SCMP_ACT_ERRNO', 'getppid', errnoRet=99), **both), 'i386', 64)
    s = filtered(dict(rule('SCMP_ACT_ERRNO', 'getppid', errnoRet=99),
                      architectures=['SCMP_ARCH_X86_64']), 'i386', 64)
    check(r.out == '-99\n' and s.out != '-99\n' and s.out != '0\n',
          'linux.seccomp.architectures[]: a rule holds in all, one that is not listed is killed', (r, s))
else:
    skip('linux.seccomp.architectures[]: a rule holds in all, one that is not listed is killed',
         '32-bit system calls in this kernel')
r = filtered({'architectures': ['SCMP_ARCH_WRONG']}, 'call', GETPPID)
check(r.code == 1 and 'SCMP_ARCH_WRONG' in r.err, 'linux.seccomp.architectures[]: an unknown one', r)

# Flags: what of them shows is that the program still loads, and which are refused.
for flag in ('SECCOMP_FILTER_FLAG_TSYNC', 'SECCOMP_FILTER_FLAG_LOG', 'SECCOMP_FILTER_FLAG_SPEC_ALLOW'):
    r = filtered(dict(rule('SCMP_ACT_ERRNO', 'getppid'), flags=[flag]), 'call', GETPPID)
    check(r.out == '-1 1\n', 'linux.seccomp.flags[]=' + flag, r)
c = config('grep', 'Speculation_Store_Bypass', '/proc/self/status')
told = []
for flags in (None, []):
    c['linux']['seccomp'] = dict(rule('SCMP_ACT_ERRNO', 'getppid'), defaultAction='SCMP_ACT_ALLOW')
    if flags is not None:
        c['linux']['seccomp']['flags'] = flags
    told.append(run(c))
check(all(r.code == 0 for r in told), 'linux.seccomp.flags[]: absent and empty', told)
r = filtered(dict(rule('SCMP_ACT_ERRNO', 'getppid'), flags=['SECCOMP_FILTER_FLAG_WRONG']), 'call', 1)
check(r.code == 1 and 'SECCOMP_FILTER_FLAG_WRONG' in r.err, 'linux.seccomp.flags[]: an unknown one', r)

# The notify descriptor goes over a socket with the state; the listener answers the call.
SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND = 0xc0502100, 0xc0182101


def listen(path, result):
    import fcntl
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(1)
    server.settimeout(10)

    def serve():
        conn, _ = server.accept()
        data, ancillary, _, _ = conn.recvmsg(65536, socket.CMSG_SPACE(4))
        result['state'] = json.loads(data)
        fd = array.array('i', ancillary[0][2])[0]
        notification = bytearray(80)
        fcntl.ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, notification)
        id, pid, _, nr = struct.unpack_from('QIIi', notification)
        result['call'] = nr
        answer = bytearray(struct.pack('Qqii', id, 4711, 0, 0))
        fcntl.ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, answer)
        os.close(fd)
    t = threading.Thread(target=serve, daemon=True)
    t.start()
    return t


for flags in ([], ['SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV']):
    result = {}
    path = os.path.join(DIR, 'listener-%d' % len(flags))
    t = listen(path, result)
    r = filtered(dict(rule('SCMP_ACT_NOTIFY', 'getppid'), listenerPath=path,
                      listenerMetadata='what to do', flags=flags), 'call', GETPPID)
    t.join(10)
    if flags and 'WAIT_KILLABLE' in r.err:
        check(r.code == 1, 'linux.seccomp.flags[]=SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: refused', r)
        continue
    what = flags[0] if flags else ''
    check(r.out == '4711 0\n' and result.get('call') == GETPPID,
          ('linux.seccomp.flags[]=' + what) if flags else
          'linux.seccomp.listenerPath: SCMP_ACT_NOTIFY is answered by the listener', (r, result))
    s = result.get('state', {})
    if not flags:
        check(s.get('metadata') == 'what to do' and s.get('fds') == ['seccompFd'] and
              s.get('state', {}).get('status') == 'creating' and s.get('pid', 0) > 0,
              'linux.seccomp.listenerMetadata', s)
r = filtered(rule('SCMP_ACT_NOTIFY', 'getppid'), 'call', GETPPID)
check(r.code == 1 and 'listenerPath' in r.err, 'linux.seccomp.listenerPath: needed for SCMP_ACT_NOTIFY', r)
check(left_over() == [], 'nothing is left', left_over())
done()
