#!/usr/bin/env python3
# run and exec in the foreground: the caller's terminal, its size, signals, exit codes; whose child a
# detached process is, and an orphan; and seccomp from the outside: default deny, a listener.
import array, ctypes, fcntl, json, os, pty, select, signal, socket, struct, subprocess, sys, termios, threading, time
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

# When vessel returns, the process is the child of the nearest subreaper, and no helper keeps its stdio.
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def parent_of(pid):
    return int(open('/proc/%d/stat' % pid).read().rsplit(')', 1)[1].split()[1])


def with_pipe(*args):
    """vessel with a pipe for the output of the process; the pipe's end to read."""
    reader, writer = os.pipe()
    code = subprocess.run([VESSEL, '--root', ROOT, *args], stdin=subprocess.DEVNULL, stdout=writer,
                          stderr=writer, timeout=30).returncode
    os.close(writer)
    return code, reader


def read_all(reader, timeout=10):
    """What comes until the end of file; None when that does not come."""
    text = b''
    while select.select([reader], [], [], timeout)[0]:
        part = os.read(reader, 4096)
        if not part:
            return text.decode()
        text += part
    return None


def check_orphan(what, pid, reader):
    check(parent_of(pid) == os.getpid(), what + ': its parent is the caller', parent_of(pid))
    os.kill(pid, signal.SIGTERM)
    text = read_all(reader)
    os.close(reader)
    check(text == 'said\n', what + ': its output ends with it', text)
    gone, status = os.waitpid(pid, 0)
    check(gone == pid and os.waitstatus_to_exitcode(status) == 8, what + ': the caller reaps it', (gone, status))


SCRIPT = 'trap "exit 8" TERM; echo said; while :; do sleep 0.05; done'
pid_file = os.path.join(DIR, 'pid')


def wait_until_said(reader):
    """Then its trap is set too."""
    return select.select([reader], [], [], 10)[0]


id = name()
code, reader = with_pipe('create', '--pid-file', pid_file, '--bundle', bundle(config('sh', '-c', SCRIPT)), id)
check(code == 0, 'create with pipes', code)
pid = int(open(pid_file).read())
check(parent_of(pid) == os.getpid(), 'create: its parent is the caller before start too')
vessel('start', id)
wait_until_said(reader)
exec_pid_file = os.path.join(DIR, 'exec.pid')
code, exec_reader = with_pipe('exec', '-d', '--pid-file', exec_pid_file, id, 'sh', '-c', SCRIPT)
check(code == 0, 'exec --detach with pipes', code)
wait_until_said(exec_reader)
check_orphan('exec --detach', int(open(exec_pid_file).read()), exec_reader)
check_orphan('create and start', pid, reader)
vessel('delete', '-f', id)

# An orphan of a container without a pid namespace.
for more in ([], ['--no-subreaper']):
    c = config('sh', '-c', '(sleep 1000 & echo $! >/tmp/new; busybox mv /tmp/new /tmp/orphan); exec sleep 1000')
    c['linux']['namespaces'] = [{'type': 'mount'}]
    del c['hostname']
    b, id = bundle(c), name()
    p = subprocess.Popen([VESSEL, '--root', ROOT, 'run', *more, '--bundle', b, id], stdin=subprocess.DEVNULL)
    for _ in range(500):
        if os.path.exists(b + '/rootfs/tmp/orphan'):
            break
        time.sleep(0.01)
    orphan = int(open(b + '/rootfs/tmp/orphan').read())
    for _ in range(500):
        if parent_of(orphan) in (p.pid, os.getpid()):
            break
        time.sleep(0.01)
    got = parent_of(orphan)
    if more:
        check(got == os.getpid(), 'run --no-subreaper: an orphan goes to the caller', (got, p.pid, os.getpid()))
        os.kill(orphan, signal.SIGKILL)
        os.waitpid(orphan, 0)
    else:
        check(got == p.pid, 'run: an orphan goes to vessel', (got, p.pid, os.getpid()))
        os.kill(orphan, signal.SIGKILL)
        for _ in range(500):
            if not os.path.exists('/proc/%d' % orphan):
                break
            time.sleep(0.01)
        check(not os.path.exists('/proc/%d' % orphan) and p.poll() is None, 'run: it is reaped there')
    vessel('kill', id, 'KILL')
    check(p.wait(10) == 137, 'and run ends with its own process', p.returncode)

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
