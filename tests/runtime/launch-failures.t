#!/usr/bin/env python3
# What fails late on the way to a container's program is told by run and exec all the same, and nothing of it
# stays: behind the gate at which a container with a seccomp listener waits, and under its filter.
import os, socket, sys, threading, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bundle import *

path = os.path.join(DIR, 'listener')
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen(8)


def accept():
    while True:
        with server.accept()[0] as conn:
            conn.recv(65536)


threading.Thread(target=accept, daemon=True).start()


def listened(*args):
    c = config(*args)
    c['linux']['seccomp'] = {'defaultAction': 'SCMP_ACT_ALLOW', 'listenerPath': path,
                             'syscalls': [{'names': ['acct'], 'action': 'SCMP_ACT_NOTIFY'}]}
    b = bundle(c)
    with open(b + '/rootfs/bin/broken', 'w') as f:
        f.write('neither ELF nor script')
    os.chmod(b + '/rootfs/bin/broken', 0o755)
    return b


r = vessel('run', '--bundle', listened('/bin/broken'), name())
check(r.code == 1 and 'exec format error' in r.err and 'neither a program nor a script' in r.err,
      'run of a program that cannot be executed', r)
check(left_over() == [], 'nothing is left', left_over())
pid_file = os.path.join(DIR, 'pid')
r = vessel('run', '-d', '--pid-file', pid_file, '--bundle', listened('/bin/broken'), name())
check(r.code == 1 and 'exec format error' in r.err and not os.path.exists(pid_file) and left_over() == [], 'run --detach of it', r)
b = listened('true')
with open(b + '/config.json') as f:
    c = json.load(f)
c['hooks'] = {'startContainer': [{'path': '/bin/sh', 'args': ['sh', '-c', 'exit 7']}]}
with open(b + '/config.json', 'w') as f:
    json.dump(c, f)
r = vessel('run', '--bundle', b, name())
check(r.code == 1 and 'startContainer hook 0' in r.err and left_over() == [], 'run with a startContainer hook that fails', r)

id = name()
r = vessel('run', '-d', '--bundle', listened('sleep', '1000'), id, detached=True)
check(r.code == 0, 'a container', r)
for more in ([], ['--detach', '--pid-file', pid_file]):
    r = vessel('exec', *more, id, '/bin/broken')
    check(r.code == 255 and 'exec format error' in r.err and 'neither a program nor a script' in r.err,
          'exec %s of a program that cannot be executed' % ' '.join(more[:1]), r)
check(not os.path.exists(pid_file), 'there is no pid file')
r = vessel('exec', id, 'sh', '-c', 'echo ran; exit 5')
check(r.code == 5 and r.out == 'ran\n', 'exec of one that can', r)
r = vessel('delete', '--force', id)
check(r.code == 0 and left_over() == [], 'nothing is left', left_over())

# A filter that is loaded before the capabilities are dropped, and denies just that and all that is not needed.
c = config('sleep', '1000')
id = name()
b = bundle(c)
vessel('run', '-d', '--bundle', b, id, detached=True)
c['process']['noNewPrivileges'] = False
c['linux']['seccomp'] = {'defaultAction': 'SCMP_ACT_ERRNO', 'syscalls': [
    {'names': ['write', 'execve', 'exit_group'], 'action': 'SCMP_ACT_ALLOW'}]}
c['hooks'] = {'poststop': [{'path': '/bin/sh', 'args': ['sh', '-c', 'echo $$ >>%s/stopped' % DIR]}]}
with open(os.path.join(ROOT, id, 'config.json'), 'w') as f:
    json.dump(c, f)
r = vessel('exec', id, 'true')
check(r.code == 255 and 'capget: operation not permitted' in r.err, 'exec under a filter that denies capget', r)
check(state(id)['status'] == 'running', 'the container goes on')
vessel('delete', '--force', id)
r = run(c)
check(r.code == 1 and 'capget: operation not permitted' in r.err and left_over() == [], 'run under a filter that denies capget', r)
c['hooks'] = {'startContainer': [{'path': '/bin/true'}]}
c['linux']['seccomp']['syscalls'][0]['names'] += ['capget', 'capset', 'prctl']
r = run(c)
check(r.code == 1 and 'startContainer hook 0 (/bin/true): pipe2' in r.err and left_over() == [],
      'run with a startContainer hook that the filter does not let run', r)

# The creator dies while the listener does not answer: its container must not go on without it.
silent = socket.socket(socket.AF_UNIX)
path = os.path.join(DIR, 'silent')
silent.bind(path)
silent.listen(0)
full = []
for _ in range(2):  # more than the backlog holds
    full.append(socket.socket(socket.AF_UNIX))
    full[-1].setblocking(False)
    full[-1].connect_ex(path)
b = listened('sh', '-c', 'echo >/tmp/ran; sleep 1000')
id = name()
p = subprocess.Popen([VESSEL, '--root', ROOT, 'run', '--bundle', b, id], stdin=subprocess.DEVNULL,
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, restore_signals=False)  # SIGPIPE is ignored
pid = 0
for _ in range(200):
    pid = (state(id) or {'pid': 0})['pid'] or pid
    if pid and open('/proc/%d/syscall' % pid).read().startswith('1 '):  # write(2), at the gate
        break
    time.sleep(0.02)
p.kill()
p.wait()
for _ in range(100):
    if not os.path.exists('/proc/%d' % pid) or os.path.exists(b + '/rootfs/tmp/ran'):
        break
    time.sleep(0.02)
check(pid and not os.path.exists(b + '/rootfs/tmp/ran') and not os.path.exists('/proc/%d' % pid),
      'a creator that is killed while its container waits at the gate takes it along', pid)
r = vessel('delete', '--force', id)
check(r.code == 0 and left_over() == [], 'nothing is left', left_over())
done()
