#!/usr/bin/env python3
# slow
# alone
# containerd's shim io.containerd.runc.v2 with BinaryName set to runc and to vessel, driven by ctr.
import contextlib
import json
import os
import subprocess
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sandbox
import suite
from suite import contains, equal, eventually

lines = suite.Suite('containerd')
RUN = ['create', 'start', 'delete']
IMAGE = 'docker.io/library/probe:1'


class Containerd:
    def __init__(self, directory, runtime):
        self.directory, self.runtime, self.serial = directory, runtime, 0
        self.address = f'{directory}/containerd.sock'

    def __call__(self, *arguments, **options):
        return suite.run(['ctr', '-a', self.address, '-n', 'test', *arguments], **options)

    def options(self):
        return ['--runc-binary', self.runtime.path, '--runc-root', f'{self.directory}/state']

    def new(self):
        self.serial += 1
        return f'line{self.serial}of{self.runtime.name}'

    def once(self, options, *command, code=0, **more):
        c = self.new()
        ran = self('run', '--rm', *self.options(), *options, IMAGE, c, *command, code=code, **more)
        return ran, {c: RUN}

    @contextlib.contextmanager
    def running(self, *options, command=('sleep', '1000')):
        c = self.new()
        self('run', '-d', *self.options(), '--log-uri', f'file://{self.directory}/{c}.log', *options, IMAGE, c, *command)
        try:
            yield c
        finally:
            self('task', 'kill', '-s', 'KILL', '-a', c, code=None)
            self('task', 'delete', '-f', c, code=None)
            self('container', 'delete', c, code=None)

    def log(self, c):
        with open(f'{self.directory}/{c}.log') as f:
            return f.read()

    def status(self, c):
        return next((r.split()[2] for r in self('task', 'ls').out.splitlines() if r.startswith(c)), 'gone')


@contextlib.contextmanager
def containerd(directory, runtime):
    config = f'{directory}/config.toml'
    with open(config, 'w') as f:
        f.write(f'''
version = 2
root = "{directory}/root"
state = "{directory}/run"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "{directory}/containerd.sock"
''')
    engine = Containerd(directory, runtime)
    with open(f'{directory}/daemon.log', 'w') as log:
        daemon = subprocess.Popen(['containerd', '--config', config], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        eventually('containerd answers', lambda: engine('version', code=None).code == 0, 30)
        engine('image', 'import', os.path.dirname(directory) + '/probe-oci.tar', code=0)
        names = engine('image', 'ls', '-q').out.split()
        if IMAGE not in names:
            engine('image', 'tag', names[0], IMAGE)
        yield engine
    finally:
        daemon.terminate()
        daemon.wait(20)


@lines.line('run --rm: output, environment, directory, exit code')
def _(e):
    ran, verbs = e.once(['--env', 'A=b', '--cwd', '/tmp'], 'sh', '-c', 'echo $GREETING $A; pwd; exit 7', code=7)
    equal(ran.out, 'hello b\n/tmp')
    return verbs


@lines.line('run with input')
def _(e):
    ran, verbs = e.once([], 'head', '-c', '13', input='through stdin')  # ctr does not hand on the end of its input
    equal(ran.out, 'through stdin')
    return verbs


@lines.line('run --tty')
def _(e):
    c = e.new()
    code, out = suite.on_terminal(['ctr', '-a', e.address, '-n', 'test', 'run', '--rm', '-t', *e.options(), IMAGE, c, 'sh'],
                                  [('#', 'tty; echo a$((40+2))b\n'), ('a42b', 'exit 5\n')])
    equal(code, 5)
    contains(out, '/dev/pts/0')
    return {c: RUN}


@lines.line('run -d, task ls, task ps')
def _(e):
    with e.running() as c:
        equal(e.status(c), 'RUNNING')
        pid = next(r.split()[1] for r in e('task', 'ls').out.splitlines() if r.startswith(c))
        contains(e('task', 'ps', c).out, pid)
        equal(suite.command_line(pid), 'sleep 1000')
    return {c: ['create', 'start', 'ps', 'delete']}


@lines.line('a program that is not there')
def _(e):
    c = e.new()
    ran = e('run', '--rm', *e.options(), IMAGE, c, 'nothing-of-this-name', code=1)
    contains(ran.err, 'executable file not found in $PATH')
    e('container', 'delete', c, code=None)
    return {c: ['create', 'delete']}


@lines.line('task exec: output, exit code, user, terminal')
def _(e):
    with e.running() as c:
        ran = e('task', 'exec', '--exec-id', 'x1', '--user', '1234:1234', '--cwd', '/tmp', c, 'sh', '-c', 'id -u; pwd; exit 9', code=9)
        equal(ran.out, '1234\n/tmp')
        equal(e('task', 'exec', '--exec-id', 'x2', c, 'head', '-c', '5', input='stdin').out, 'stdin')
        code, out = suite.on_terminal(['ctr', '-a', e.address, '-n', 'test', 'task', 'exec', '-t', '--exec-id', 'x3', c, 'sh'],
                                      [('#', 'tty\n'), ('/dev/pts', 'exit 6\n')])
        equal(code, 6)
        contains(e('task', 'exec', '--exec-id', 'x4', c, 'nothing-of-this-name', code=1).err, 'executable file not found')
    return {c: ['create', 'start', 'exec', 'exec', 'exec', 'exec', 'delete']}


@lines.line('task exec -d')
def _(e):
    with e.running() as c:
        e('task', 'exec', '-d', '--exec-id', 'd1', '--log-uri', f'file://{e.directory}/exec.log', c, 'sh', '-c', 'echo > /tmp/done; sleep 100', code=None)
        eventually('the file', lambda: e('task', 'exec', '--exec-id', f'w{os.urandom(4).hex()}', c, 'test', '-e', '/tmp/done', code=None).code == 0)
    return {c: ['create', 'start', 'exec', 'exec', 'delete']}


@lines.line('pause and resume')
def _(e):
    with e.running(command=('sh', '-c', 'while :; do echo tick; sleep 0.05; done')) as c:
        eventually('a tick', lambda: 'tick' in e.log(c))
        e('task', 'pause', c)
        equal(e.status(c), 'PAUSED')
        before = len(e.log(c))
        contains(e('task', 'exec', '--exec-id', 'p', c, 'true', code=1).err, 'paused')
        equal(len(e.log(c)), before)
        e('task', 'resume', c)
        equal(e.status(c), 'RUNNING')
        eventually('a tick', lambda: len(e.log(c)) > before)
    return {c: ['create', 'start', 'pause', 'resume', 'delete']}


@lines.line('metrics: the numbers of its cgroup')
def _(e):
    with e.running('--memory-limit', str(64 << 20), command=('sh', '-c', 'while :; do :; done')) as c:
        def busy():
            metrics = json.loads(e('task', 'metrics', '--format', 'json', c).out)
            cpu = metrics['cpu'] if 'cpu' in metrics else metrics['CPU']
            return (cpu.get('usage') or {}).get('total') or cpu.get('usage_usec')
        eventually('processor time', busy)
        contains(json.dumps(json.loads(e('task', 'metrics', '--format', 'json', c).out)), str(64 << 20))
    return {c: RUN}


@lines.line('kill with a signal of choice; the exit code; delete')
def _(e):
    with e.running(command=('sh', '-c', 'trap "exit 44" USR1; echo ready; while :; do sleep 0.05; done')) as c:
        eventually('ready', lambda: 'ready' in e.log(c))
        e('task', 'kill', '-s', 'SIGUSR1', c)
        eventually('stopped', lambda: e.status(c) == 'STOPPED')
        contains(e('task', 'delete', c).err, 'code 44')
        e('container', 'delete', c)
        contains(e('task', 'kill', c, code=1).err, 'not found')
    return {c: ['create', 'start', 'kill', 'delete']}


@lines.line('kill of a task that has stopped: not found')
def _(e):
    with e.running(command=('true',)) as c:
        eventually('stopped', lambda: e.status(c) == 'STOPPED')
        contains(e('task', 'kill', c, code=1).err, 'not found')
    return {c: RUN}


@lines.line('kill --all reaches every process; delete --force')
def _(e):
    with e.running(command=('sh', '-c', 'sleep 7654 & sleep 7654 & wait')) as c:
        e('task', 'kill', '-a', '-s', 'KILL', c)
        eventually('stopped', lambda: e.status(c) == 'STOPPED')
        equal([p for p in os.listdir('/proc') if p.isdigit() and 'sleep 7654' == suite.command_line(p)], [])
        e('task', 'delete', '-f', c, code=None)
    with e.running() as d:
        e('task', 'delete', '-f', d, code=None)
        equal(e.status(d), 'gone')
    return {c: ['create', 'start', 'kill', 'delete'], d: ['create', 'start', 'kill', 'delete']}


@lines.line('--memory-limit, --cpus, --cpu-shares')
def _(e):
    with e.running('--memory-limit', str(48 << 20), '--cpus', '0.5', '--cpu-shares', '512') as c:
        values = set()
        for where, _, files in os.walk('/sys/fs/cgroup'):
            if where.endswith('/' + c):
                values |= {n + ' ' + open(f'{where}/{n}').read().strip() for n in files
                           if n in ('memory.limit_in_bytes', 'cpu.cfs_quota_us', 'cpu.shares', 'memory.max', 'cpu.max')}
        equal(bool(values & {f'memory.limit_in_bytes {48 << 20}', f'memory.max {48 << 20}'}), True)
        equal(bool(values & {'cpu.cfs_quota_us 50000', 'cpu.max 50000 100000'}), True)
    return {c: RUN}


@lines.line('--read-only, --mount')
def _(e):
    place = f'{e.directory}/given'
    os.makedirs(place, exist_ok=True)
    ran, verbs = e.once(['--read-only', '--mount', f'type=bind,src={place},dst=/mnt,options=rbind:rw'],
                        'sh', '-c', 'echo a > /mnt/file; cat /mnt/file; echo b > /b || exit 3', code=3)
    equal(ran.out, 'a')
    return verbs


@lines.line('--seccomp, --cap-drop, no-new-privileges by default')
def _(e):
    ran, verbs = e.once(['--seccomp', '--cap-drop', 'CAP_CHOWN'], 'grep', '-E', 'CapEff|NoNewPrivs|Seccomp:', '/proc/self/status')
    contains(ran.out, '00000000a80425fa', 'NoNewPrivs:\t1', 'Seccomp:\t2')
    return verbs


@lines.line('--privileged')
def _(e):
    ran, verbs = e.once(['--privileged', '--allow-new-privs'], 'sh', '-c', 'mount -t tmpfs t /media 2>/dev/null || mount -t tmpfs t /tmp && echo mounted')
    equal(ran.out, 'mounted')
    return verbs


@lines.line('--net-host, --with-ns')
def _(e):
    ran, verbs = e.once(['--net-host'], 'readlink', '/proc/self/ns/net')
    equal(ran.out, os.readlink('/proc/self/ns/net'))
    with e.running() as c:
        pid = next(r.split()[1] for r in e('task', 'ls').out.splitlines() if r.startswith(c))
        wanted = os.readlink(f'/proc/{pid}/ns/ipc')
        ran, more = e.once(['--with-ns', f'ipc:/proc/{pid}/ns/ipc'], 'readlink', '/proc/self/ns/ipc')
        equal(ran.out, wanted)
    return verbs | more


@lines.line('a seccomp profile of choice')
def _(e):
    with open(f'{e.directory}/profile.json', 'w') as f:
        json.dump({'defaultAction': 'SCMP_ACT_ALLOW', 'syscalls': [
            {'names': ['mkdir', 'mkdirat'], 'action': 'SCMP_ACT_ERRNO', 'errnoRet': 95}]}, f)
    ran, verbs = e.once(['--seccomp', '--seccomp-profile', f'{e.directory}/profile.json'], 'mkdir', '/tmp/x', code=1)
    contains(ran.err.lower(), 'not supported')
    return verbs


@lines.line('the pid file')
def _(e):
    file = f'{e.directory}/pid'
    with e.running('--pid-file', file) as c:
        equal(suite.command_line(open(file).read()), 'sleep 1000')
    return {c: RUN}


if __name__ == '__main__':
    lines.main(sandbox.enter('containerd', 'ctr', 'runc'), containerd)
