#!/usr/bin/env python3
# A container with a seccomp listener waits at a gate until that has its descriptor. What fails behind
# the gate is told by run and exec all the same, and nothing of it stays.
import os, socket, sys, threading
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
done()
