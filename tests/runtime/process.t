#!/usr/bin/env python3
# What the container's process is: user, environment, directory, limits, descriptors, terminal; and
# the same for exec.
import array, fcntl, json, os, socket, subprocess, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bundle import *


def sh(script, **process):
    c = config('sh', '-c', script)
    c['process'].update(process)
    return c


r = run(sh('id -u; id -g; id -G; umask; pwd; echo $HOME',
           user={'uid': 1000, 'gid': 7, 'additionalGids': [5, 6], 'umask': 0o27}, cwd='/made/here'))
check(r.out == '1000\n7\n7 5 6\n0027\n/made/here\n/home/user\n', 'user, groups, umask, cwd, HOME', r)
r = run(sh('echo $HOME', user={'uid': 77, 'gid': 0}))
check(r.out == '/\n', 'HOME of an unknown user', r)
r = run(sh('echo $HOME $A', env=['PATH=/bin', 'HOME=/mine', 'A=1', 'A=2']))
check(r.out == '/mine 2\n', 'the environment as given, the last duplicate wins', r)
r = run(sh('ulimit -n; ulimit -c',
           rlimits=[{'type': 'RLIMIT_NOFILE', 'soft': 100, 'hard': 200},
                    {'type': 'RLIMIT_CORE', 'soft': 0, 'hard': 0}]))
check(r.out == '100\n0\n', 'rlimits', r)
r = run(sh('ulimit -n', rlimits=[{'type': 'RLIMIT_NOFILE', 'soft': 3, 'hard': 3}]))
check(r.out == '3\n', 'an rlimit too low for the set-up itself', r)
r = run(sh('cat /proc/self/oom_score_adj', oomScoreAdj=321))
check(r.out == '321\n', 'oomScoreAdj', r)
r = run(sh('grep -E "NoNewPrivs|CapBnd|CapInh|CapPrm|CapAmb|SigBlk" /proc/self/status'))
check(r.out.split() == ['SigBlk:', '0' * 16, 'CapInh:', '0' * 16, 'CapPrm:', '0000000020000020',
                        'CapBnd:', '0000000020000020', 'CapAmb:', '0' * 16, 'NoNewPrivs:', '1'],
      'capabilities, no_new_privs, signal mask', r)
r = run(sh('grep Cap /proc/self/status', user={'uid': 1000, 'gid': 1000}))
check('CapPrm:\t' + '0' * 16 in r.out and 'CapEff:\t' + '0' * 16 in r.out,
      'a user without ambient capabilities has none', r)
r = run(sh('ls /proc/self/fd'))
check(r.out.split() == ['0', '1', '2', '3'], 'no descriptor but stdio (3 is ls\'s own)', r)
a, b = os.pipe()
a, b = fcntl.fcntl(a, fcntl.F_DUPFD, 10), fcntl.fcntl(b, fcntl.F_DUPFD, 10)
os.dup2(b, 3, inheritable=True)
r = run(sh('echo through >&3'), '--preserve-fds', '1', fds=(3,))
check(os.read(a, 100) == b'through\n', '--preserve-fds', r)
r = run(sh('echo "$LISTEN_FDS $LISTEN_PID" >&3'), env={'LISTEN_FDS': '1', 'PATH': '/bin'}, fds=(3,))
check(os.read(a, 100) == b'1 1\n', 'LISTEN_FDS', r)
os.close(3)
r = run(sh('hostname; cat /proc/sys/kernel/domainname'), )
check(r.out.startswith('inside\n'), 'hostname', r)
c = sh('cat /proc/sys/kernel/domainname /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax')
c['domainname'] = 'example'
c['linux']['sysctl'] = {'net.ipv4.ip_forward': '1', 'kernel.msgmax': '12345'}
r = run(c)
check(r.out == 'example\n1\n12345\n', 'domainname and sysctl', r)
r = run(sh('ip addr show lo'))
check('UP' in r.out and '127.0.0.1' in r.out, 'lo is up', r)
c = sh('true')
c['process']['cwd'] = '/proc/self/fd/9'
r = run(c)
check(r.code == 1, 'a working directory that leads out is refused', r)

# A working directory that only root, or only the process's user, may enter: it is tried both before and
# after the change of user, for the container's process and for exec.


def in_directory(what, modes, cwd, **linux):
    """modes: path → owner, group, mode."""
    c = sh('exec sleep 1000', user={'uid': 1000, 'gid': 1000}, cwd=cwd, capabilities={})
    c['linux']['namespaces'] += [{'type': 'user'}] if linux else []
    c['linux'].update(linux)
    b = bundle(c)
    for path, (uid, gid, mode) in modes.items():
        os.mkdir(b + '/rootfs' + path)
        os.chown(b + '/rootfs' + path, uid, gid)
        os.chmod(b + '/rootfs' + path, mode)
    os.mkdir(b + '/rootfs' + cwd + '/found')
    id = name()
    r = vessel('run', '-d', '--bundle', b, id, detached=True)
    check(r.code == 0 and os.readlink('/proc/%d/cwd' % state(id)['pid']) == cwd, what, r)
    r = vessel('exec', id, 'sh', '-c', 'pwd; id -u; ls')
    check(r.out == cwd + '\n1000\nfound\n', what + ', exec', r)
    if linux:
        r = vessel('exec', '--user', '0:0', '--cwd', cwd, id, 'true')
        check(r.code == 255 and 'chdir to cwd' in r.err and 'ermission denied' in r.err, 'nor may it by exec', r)
    vessel('delete', '--force', id)


os.chmod(DIR, 0o755)
in_directory('a cwd that is its user\'s alone', {'/own': (1000, 1000, 0o700)}, '/own')
in_directory('a cwd below a directory that is root\'s alone',
             {'/root': (0, 0, 0o700), '/root/work': (1000, 1000, 0o700)}, '/root/work')
# The rights of a user namespace's root end where an owner or a group is none of its own (user_namespaces(7)).
ids = [{'containerID': 0, 'hostID': 100000, 'size': 65536}]
in_directory('a cwd that not even root may enter', {'/own': (101000, 0, 0o700)}, '/own',
             uidMappings=ids, gidMappings=ids)

# A terminal by --console-socket.


def receive_terminal(listener):
    conn, _ = listener.accept()
    data, anc, _, _ = conn.recvmsg(100, socket.CMSG_SPACE(4))
    return array.array('i', anc[0][2])[0]


path = os.path.join(DIR, 'console')
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen(1)
listener.settimeout(10)
c = sh('tty; stty size; ls -l /dev/console | cut -c1; sleep 0.1')
c['process']['terminal'] = True
c['process']['consoleSize'] = {'height': 33, 'width': 77}
id = name()
r = vessel('create', '--bundle', bundle(c), '--console-socket', path, id)
check(r.code == 0, 'create with a terminal', r)
master = receive_terminal(listener)
vessel('start', id)
text = b''
try:
    while True:
        text += os.read(master, 1000)
except OSError:
    pass
check(text == b'/dev/pts/0\r\n33 77\r\nc\r\n', 'terminal and its size', text)
os.close(master)
vessel('delete', '--force', id)
r = vessel('create', '--bundle', bundle(c), name())
check(r.code == 1 and 'cannot allocate tty' in r.err, 'a terminal needs a console socket', r)
c['process']['terminal'] = False
r = vessel('create', '--bundle', bundle(c), '--console-socket', path, name())
check(r.code == 1 and 'cannot use console socket' in r.err, 'and the socket a terminal', r)

# sd_notify, with the test in the place of the program inside.
notify = os.path.join(DIR, 'notify')
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.bind(notify)
manager.settimeout(10)
for verb in ('create', 'run'):
    id = name()
    env = {'NOTIFY_SOCKET': notify, 'PATH': '/usr/bin:/bin'}
    b = bundle(sh('echo $NOTIFY_SOCKET >/tmp/env; exec sleep 1000'))
    if verb == 'create':
        vessel('create', '--bundle', b, id, env=env)
    args = ['start', id] if verb == 'create' else ['run', '-d', '--bundle', b, id]
    p = subprocess.Popen([VESSEL, '--root', ROOT, *args], env=env, stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    inner = os.path.join(ROOT, id, 'notify/notify.sock')
    for _ in range(200):
        if os.path.exists(b + '/rootfs/tmp/env'):
            break
        time.sleep(0.01)
    waits = p.poll() is None
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sender.sendto(b'STATUS=busy\nREADY=1\n', inner)
    got = manager.recv(1000).decode()
    check(waits and p.wait(10) == 0 and got == 'READY=1\nMAINPID=%d\n' % state(id)['pid'] and
          open(b + '/rootfs/tmp/env').read() == '/run/notify/notify.sock\n',
          'readiness is passed on (%s)' % args[0], (waits, got))
    vessel('delete', '-f', id)

# In the foreground: it is this vessel that the manager watches.
id = name()
b = bundle(sh('echo ready >/tmp/env; exec sleep 1000'))
p = subprocess.Popen([VESSEL, '--root', ROOT, 'run', '--bundle', b, id], env=env, stdin=subprocess.DEVNULL,
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
for _ in range(200):
    if os.path.exists(b + '/rootfs/tmp/env'):
        break
    time.sleep(0.01)
sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sender.sendto(b'STATUS=busy\n', os.path.join(ROOT, id, 'notify/notify.sock'))
sender.sendto(b'READY=1\n', os.path.join(ROOT, id, 'notify/notify.sock'))
manager.settimeout(10)
try:
    got = manager.recv(1000).decode()
except OSError as e:
    got = str(e)
check(got == 'READY=1\nMAINPID=%d\n' % p.pid and p.poll() is None, 'readiness is passed on (run in the foreground)', got)
vessel('kill', id, 'KILL')
check(p.wait(10) == 137, 'and it still waits for the end', p.returncode)

# exec
id = name()
c = config('sleep', '1000')
c['process']['env'] += ['FROM=config']
r = vessel('run', '-d', '--bundle', bundle(c), id)
pid = state(id)['pid']
r = vessel('exec', id, 'sh', '-c', 'id -u; pwd; echo $FROM $HOME; exit 9')
check(r.code == 9 and r.out == '0\n/\nconfig /root\n', 'exec takes the container\'s process', r)
r = vessel('exec', '--user', '1000:8', '-g', '5', '-g', '6', '--cwd', '/tmp', '-e', 'A=1', '--env',
           'B=2 3', id, 'sh', '-c', 'id -u; id -G; pwd; echo $A $B $HOME')
check(r.out == '1000\n8 5 6\n/tmp\n1 2 3 /home/user\n', 'exec with a user, groups, cwd, env', r)
r = vessel('exec', '--cap', 'CAP_NET_ADMIN', id, 'grep', 'CapEff', '/proc/self/status')
check(r.out == 'CapEff:\t0000000020001020\n', 'exec --cap', r)
r = vessel('exec', id, 'sh', '-c', 'for n in cgroup ipc mnt net pid uts; do '
           'readlink /proc/self/ns/$n; done; grep -c NSpid /proc/self/status; echo $$')
want = [os.readlink('/proc/%d/ns/%s' % (pid, n)) for n in ('cgroup', 'ipc', 'mnt', 'net', 'pid', 'uts')]
check(r.out.split()[:6] == want, 'exec is in every namespace of the container', r)
r = vessel('exec', id, 'cat', '/proc/self/cgroup')
check(r.out == open('/proc/%d/cgroup' % pid).read(), 'exec is in the container\'s cgroup', r)
process = os.path.join(DIR, 'process.json')
with open(process, 'w') as f:
    json.dump({'args': ['sh', '-c', 'echo $X; pwd; id -u'], 'env': ['PATH=/bin', 'X=y'],
               'cwd': '/etc', 'user': {'uid': 3, 'gid': 4}}, f)
r = vessel('exec', '--process', process, id)
check(r.out == 'y\n/etc\n3\n', 'exec --process', r)
# What a process object leaves out is the container's; it must not be freer than the container.
for capabilities, effective in ((None, '0000000020000020'), ({}, '0000000000000000')):
    bare = {'args': ['grep', 'CapEff', '/proc/self/status'], 'env': ['PATH=/bin'], 'cwd': '/', 'capabilities': capabilities}
    r = vessel('exec', '--process', '-', id, stdin=json.dumps(bare).encode())
    check(r.out == 'CapEff:\t%s\n' % effective, 'exec --process with capabilities %s' % capabilities, r)
pid_file = os.path.join(DIR, 'exec.pid')
r = vessel('exec', '-d', '--pid-file', pid_file, id, 'sleep', '500')
p = open(pid_file).read()
check(r.code == 0 and open('/proc/%s/cmdline' % p).read() == 'sleep\000500\000', 'exec --detach', r)
r = vessel('exec', '--process', process, '--tty', id)
check(r.code == 0, 'exec --process decides about the terminal itself', r)
for args, text in ((['nonexist'], 'exec failed: unable to start container process: exec: '
                    '\\"nonexist\\": executable file not found in $PATH'),
                   (['/etc/passwd'], 'permission denied'), (['--cwd', '/nope', 'true'], 'No such')):
    if args[0] == '--cwd':
        r = vessel('exec', *args[:2], id, *args[2:])
    else:
        r = vessel('exec', id, *args)
    check(r.code == 255 and text in r.err, 'exec of %s fails' % ' '.join(args), r)
for user in ('1x', '-1', '4294967296', '', '1:', ':1', 'root'):
    r = vessel('exec', '--user', user, id, 'id', '-u')
    check(r.code in (1, 255) and r.out.split()[-1:] != ['0'] , 'exec --user %r is refused' % user, r)
check(vessel('exec', id).code == 255, 'exec without a command')
check(vessel('pause', id).code == 0, 'pause')
start = time.monotonic()
check(vessel('exec', id, 'true').code == 255, 'exec in a paused container')
vessel('resume', id)
vessel('delete', '--force', id)
check(not os.path.exists('/proc/' + p), 'delete takes exec\'s processes along')
check(left_over() == [], 'nothing is left', left_over())
done()
