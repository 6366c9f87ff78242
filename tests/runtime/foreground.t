#!/usr/bin/env python3
# run and exec in the foreground: the caller's terminal, its size, signals, exit codes, orphans; and
# seccomp from the outside: default deny, a listener.
import array, fcntl, json, os, pty, signal, socket, struct, subprocess, sys, termios, threading, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bundle import *


def with_terminal(args, act=lambda master: None, size=(30, 90)):
    """Runs a command on a pty; its output and exit code."""
    pid, master = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', *size, 0, 0))
        os.execv(args[0], args)
    text = b''
    acted = False
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:
            break
        if not part:
            break
        text += part
        if b'READY' in text and not acted:
            acted = True
            act(master)
    _, status = os.waitpid(pid, 0)
    os.close(master)
    return text.decode(), os.waitstatus_to_exitcode(status)


def terminal_config(script):
    c = config('sh', '-c', script)
    c['process']['terminal'] = True
    return c


text, code = with_terminal([VESSEL, '--root', ROOT, 'run', '--bundle', bundle(terminal_config(
    'stty size; tty; echo READY; read x; echo got-$x; exit 5')), name()],
    lambda m: os.write(m, b'line\n'))
check(code == 5 and '30 90' in text and '/dev/pts/0' in text and 'got-line' in text,
      'run with a terminal', (text, code))
text, code = with_terminal([VESSEL, '--root', ROOT, 'run', '--bundle', bundle(terminal_config(
    'trap "stty size; exit 4" WINCH; echo READY; while :; do sleep 0.05; done')), name()],
    lambda m: fcntl.ioctl(m, termios.TIOCSWINSZ, struct.pack('HHHH', 11, 22, 0, 0)))
check(code == 4 and '11 22' in text, 'the window\'s size follows', (text, code))
text, code = with_terminal([VESSEL, '--root', ROOT, 'run', '--bundle', bundle(terminal_config(
    'trap "echo interrupted; exit 6" INT; echo READY; while :; do sleep 0.05; done')), name()],
    lambda m: os.write(m, b'\x03'))
check(code == 6 and 'interrupted' in text, 'Ctrl-C reaches the container', (text, code))

# Signals.
out = open(os.path.join(DIR, 'out'), 'w+')
p = subprocess.Popen([VESSEL, '--root', ROOT, 'run', '--bundle', bundle(config(
    'sh', '-c', 'trap "exit 9" TERM; trap "echo usr1" USR1; echo READY; while :; do sleep 0.05; done')),
    name()], stdout=out, stdin=subprocess.DEVNULL)


def wait_for(text):
    for _ in range(200):
        if text in open(out.name).read():
            return True
        time.sleep(0.02)
    return False


check(wait_for('READY'), 'it runs')
p.send_signal(signal.SIGUSR1)
check(wait_for('usr1'), 'SIGUSR1 is forwarded')
p.send_signal(signal.SIGTERM)
check(p.wait(10) == 9, 'SIGTERM is forwarded, and the exit code is init\'s')

# exec
id = name()
vessel('run', '-d', '--bundle', bundle(config('sleep', '1000')), id)
text, code = with_terminal([VESSEL, '--root', ROOT, 'exec', '-t', id, 'sh', '-c',
                            'stty size; tty; echo READY; read x; exit 3'],
                           lambda m: os.write(m, b'\n'))
check(code == 3 and '30 90' in text and '/dev/pts/0' in text, 'exec -t', (text, code))
r = vessel('exec', id, 'sh', '-c', 'kill -9 $$')
check(r.code == 137, 'exec of a process that is killed', r)
vessel('delete', '-f', id)

# seccomp
c = config('/bin/busybox', 'true')
c['linux']['seccomp'] = {'defaultAction': 'SCMP_ACT_ERRNO', 'architectures': ['SCMP_ARCH_X86_64'],
                         'syscalls': [{'names': ['execve', 'write', 'exit_group'],
                                       'action': 'SCMP_ACT_ALLOW'}]}
for nnp in (True, False):
    c['process']['noNewPrivileges'] = nnp
    allowed = c['linux']['seccomp']['syscalls'][0]['names']
    if not nnp:  # the filter is loaded while the capabilities to load it are still there
        allowed += ['capset', 'capget', 'prctl']
    id = name()
    r = vessel('create', '--bundle', bundle(c), id)
    check(r.code == 0, 'create with default deny, no_new_privs %s' % nnp, r)
    r = vessel('start', id)
    check(r.code == 0, 'start', r)
    vessel('delete', '-f', id)
c = config('sh', '-c', 'mkdir /x 2>/dev/null; ls -d /x; grep Seccomp: /proc/self/status')
c['linux']['seccomp'] = {'defaultAction': 'SCMP_ACT_ALLOW', 'syscalls': [
    {'names': ['mkdir', 'mkdirat'], 'action': 'SCMP_ACT_ERRNO', 'errnoRet': 99}]}
for nnp in (True, False):
    c['process']['noNewPrivileges'] = nnp
    r = run(c)
    check('Seccomp:\t2' in r.out and '/x\n' not in r.out, 'a filter in run, nnp %s' % nnp, r)

# A listener: the descriptor comes over the socket with the state.
path = os.path.join(DIR, 'listener')
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen(5)
got = []


def listen(times):
    for _ in range(times):
        conn, _ = listener.accept()
        data, anc, _, _ = conn.recvmsg(65536, socket.CMSG_SPACE(16))
        fds = array.array('i')
        for _, _, d in anc:
            fds.frombytes(d)
        got.append((json.loads(data), list(fds)))


c = config('sleep', '1000')
c['linux']['seccomp'] = {
    'defaultAction': 'SCMP_ACT_ALLOW', 'listenerPath': path, 'listenerMetadata': 'meta',
    'syscalls': [{'names': ['sendmsg', 'close', 'read', 'openat', 'chdir'],
                  'action': 'SCMP_ACT_NOTIFY'}]}
c['linux']['seccomp']['syscalls'][0]['names'] = ['sendmsg', 'chdir', 'mkdir', 'close', 'recvmsg']
c['process']['args'] = ['/bin/busybox', 'sleep', '1000']
for verb in ('create', 'run'):
    got.clear()
    t = threading.Thread(target=listen, args=(1,))
    t.start()
    id = name()
    r = vessel(verb, *(['-d'] if verb == 'run' else []), '--bundle', bundle(c), id, timeout=10)
    t.join(5)
    check(r.code == 0 and got and got[0][0]['metadata'] == 'meta' and len(got[0][1]) == 1 and
          got[0][0]['state']['id'] == id and got[0][0]['fds'] == ['seccompFd'],
          'the listener gets its descriptor (%s)' % verb, (r, got))
    vessel('delete', '-f', id)
check(left_over() == [], 'nothing is left', left_over())
done()
