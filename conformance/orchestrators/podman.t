#!/usr/bin/env python3
# slow
# alone
# Containers under podman with runc and with vessel: each line must pass with vessel where it passes with runc.
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sandbox
import suite
from podman_engine import podman
from suite import contains, equal, eventually

lines = suite.Suite('podman')
RUN = ['create', 'start', 'delete']


@lines.line('run --rm gives output and exit code')
def _(e):
    ran, verbs = e.once('probe:1', 'sh', '-c', 'echo $GREETING; echo problem >&2; pwd; exit 7', code=7)
    equal((ran.out, ran.err), ('hello\n/www', 'problem'))
    return verbs


@lines.line('run -d, ps, inspect')
def _(e):
    with e.running('--name', 'detached') as c:
        contains(e('ps', '--format', '{{.Names}} {{.Status}}').out, 'detached Up')
        d = e.details(c)
        equal((d['State']['Status'], d['OCIRuntime']), ('running', e.runtime.name))
        with open(f'/proc/{d["State"]["Pid"]}/cmdline') as f:
            equal(f.read(), 'sleep\x001000\x00')
    return {c: RUN}


@lines.line('run -it: terminal, its size, exit code')
def _(e):
    code, out = e.terminal([('/www #', 'tty; stty size; echo a$((40+2))b\n'), ('a42b', 'exit 5\n')],
                           'run', '-it', '--rm', '--name', 'onterminal', 'probe:1', 'sh')
    equal(code, 5)
    contains(out, '/dev/pts/0', 'a42b')
    return {'': RUN}


@lines.line('exec: output, exit code, user, environment, directory')
def _(e):
    with e.running() as c:
        ran = e('exec', '-u', 'probe', '-e', 'A=b c', '-w', '/tmp', c, 'sh', '-c', 'id -u; echo $A; pwd; exit 9', code=9)
        equal(ran.out, '1234\nb c\n/tmp')
        equal(e('exec', '-i', c, 'cat', input='through stdin').out, 'through stdin')
        e('exec', c, 'nothing-of-this-name', code=127)
        e('exec', c, '/etc/passwd', code=126)
    return {c: ['create', 'start', 'exec', 'exec', 'exec', 'exec', 'delete']}


@lines.line('exec -it')
def _(e):
    with e.running() as c:
        code, out = e.terminal([('#', 'tty\n'), ('/dev/pts', 'exit 6\n')], 'exec', '-it', c, 'sh')
        equal(code, 6)
        contains(out, '/dev/pts/')
    return {c: ['create', 'start', 'exec']}


@lines.line('exec -d')
def _(e):
    with e.running() as c:
        e('exec', '-d', c, 'sh', '-c', 'echo done > /tmp/done; sleep 100')
        equal(eventually('the file', lambda: e('exec', c, 'cat', '/tmp/done', code=None).out), 'done')
    return {c: ['create', 'start', 'exec']}


@lines.line('a program that is not there: 127; one that cannot be executed: 126')
def _(e):
    e('run', '--rm', 'probe:1', 'nothing-of-this-name', code=127)
    e('run', '--rm', 'probe:1', '/etc/passwd', code=126)
    return {'': ['create', 'delete', 'create', 'delete']}


@lines.line('logs -f follows to the end')
def _(e):
    with e.running(command=('sh', '-c', 'echo one; sleep 1; echo two; echo three >&2')) as c:
        ran = e('logs', '-f', c)
        equal((ran.out, ran.err), ('one\ntwo', 'three'))
    return {c: ['create', 'start', 'delete']}


@lines.line('stop, start, restart')
def _(e):
    with e.running(command=('sh', '-c', 'trap "exit 3" TERM; sleep 1000 & wait')) as c:
        e('stop', c)
        equal(e.inspect(c, '{{.State.Status}} {{.State.ExitCode}}'), 'exited 3')
        e('start', c)
        equal(e.inspect(c, '{{.State.Status}}'), 'running')
        e('restart', c)
        equal(e.inspect(c, '{{.State.Status}}'), 'running')
    return {c: ['create', 'start', 'kill', 'delete', 'create', 'start', 'kill', 'delete', 'create', 'start', 'delete']}


@lines.line('stop kills what does not listen after its timeout')
def _(e):
    with e.running(command=('sh', '-c', 'trap "" TERM; while :; do sleep 1; done')) as c:
        e('stop', '-t', '1', c)
        equal(e.inspect(c, '{{.State.ExitCode}}'), '137')
    return {c: ['create', 'start', 'kill', 'kill', 'delete']}


@lines.line('kill with a signal of choice')
def _(e):
    with e.running(command=('sh', '-c', 'trap "exit 44" USR1; echo ready; while :; do sleep 0.1; done')) as c:
        eventually('ready', lambda: 'ready' in e('logs', c).out)
        e('kill', '-s', 'USR1', c)
        equal(e('wait', c).out, '44')
    return {c: ['create', 'start', 'kill', 'delete']}


@lines.line('rm -f of a running container leaves nothing')
def _(e):
    with e.running() as c:
        pid = e.inspect(c, '{{.State.Pid}}')
        e('rm', '-f', '-t', '0', c)
        equal(os.path.exists(f'/proc/{pid}'), False)
        e('inspect', c, code=125)
        left = [w for w, _, _ in os.walk('/sys/fs/cgroup') if w.endswith(c)]
        equal(left, [])
    return {c: ['create', 'start', 'kill', 'delete']}


@lines.line('create, start --attach, inspect of the exit')
def _(e):
    c = e('create', 'probe:1', 'sh', '-c', 'echo attached; exit 4').out
    equal(e('start', '--attach', c, code=4).out, 'attached')
    equal(e.inspect(c, '{{.State.ExitCode}}'), '4')
    e('rm', c)
    return {c: ['create', 'start', 'delete']}


@lines.line('stats')
def _(e):
    suite.needs_controllers('memory', 'pids')
    with e.running('--memory', '64m', command=('sh', '-c', 'while :; do :; done')) as c:
        out = e('stats', '--no-stream', '--format', '{{.MemUsage}} {{.PIDs}}', c).out
        contains(out, '67.11MB')
        equal(out.split()[-1], '1')
    return {c: RUN}


@lines.line('top')
def _(e):
    with e.running() as c:
        contains(e('top', c).out, 'sleep 1000')
        contains(e('top', c, 'pid', 'user', 'comm', 'capeff', 'seccomp').out, 'root', 'sleep', 'CHOWN', 'filter')
    return {c: RUN}


@lines.line('pause and unpause')
def _(e):
    with e.running(command=('sh', '-c', 'while :; do echo tick; sleep 0.1; done')) as c:
        e('pause', c)
        equal(e.inspect(c, '{{.State.Status}}'), 'paused')
        before = len(e('logs', c).out)
        e('exec', c, 'true', code=None)
        equal(len(e('logs', c).out), before)
        e('unpause', c)
        eventually('a tick', lambda: len(e('logs', c).out) > before)
    return {c: ['create', 'start', 'pause', 'resume', 'delete']}


@lines.line('rm -f of a paused container')
def _(e):
    with e.running() as c:
        e('pause', c)
        e('rm', '-f', '-t', '0', c)
        e('inspect', c, code=125)
    return {c: ['create', 'start', 'pause', 'delete']}


@lines.line('-p: a published port answers')
def _(e):
    with e.running('-p', '8081:80', command=('httpd', '-f', '-h', '/www')) as c:
        get = lambda: suite.run(['curl', '-s', '-m', '3', 'http://127.0.0.1:8081/'], code=None).out
        eventually('the page', lambda: get() == 'hello from the image')
        equal(e('port', c).out, '80/tcp -> 0.0.0.0:8081')
    return {c: RUN}


@lines.line('-v: a directory of the host, rw and ro')
def _(e):
    place = f'{e.directory}/shared'
    os.makedirs(place, exist_ok=True)
    with open(place + '/in', 'w') as f:
        f.write('from the host')
    ran, verbs = e.once('-v', f'{place}:/a', '-v', f'{place}:/b:ro', 'probe:1', 'sh', '-c',
                        'cat /b/in; echo out > /a/out; echo no > /b/no 2>/dev/null || echo read-only')
    equal(ran.out, 'from the hostread-only')
    equal(open(place + '/out').read(), 'out\n')
    return verbs


@lines.line('a named volume outlives its containers')
def _(e):
    ran, verbs = e.once('-v', 'kept:/data', 'probe:1', 'sh', '-c', 'echo kept > /data/file')
    ran, more = e.once('-v', 'kept:/data', 'probe:1', 'cat', '/data/file')
    equal(ran.out, 'kept')
    e('volume', 'rm', 'kept')
    return verbs | more


@lines.line('--tmpfs, --mount, --shm-size')
def _(e):
    ran, verbs = e.once('--tmpfs', '/t:size=1m,mode=1770', '--mount', 'type=tmpfs,destination=/u', '--shm-size', '2m',
                        'probe:1', 'sh', '-c', 'stat -c %a /t; df -k /t /dev/shm | awk "{print \\$2}"; mount | grep -c " /u "')
    equal(ran.out.split(), ['1770', '1K-blocks', '1024', '2048', '1'])
    return verbs


@lines.line('-e, --env-file, --hostname, --add-host, --workdir')
def _(e):
    e.write('env', 'FROM_FILE=yes\n')
    ran, verbs = e.once('-e', 'A=1', '--env-file', f'{e.directory}/env', '--hostname', 'box', '--add-host', 'other:10.9.8.7',
                        '-w', '/tmp', 'probe:1', 'sh', '-c', 'echo $A $FROM_FILE $(hostname) $(pwd); grep other /etc/hosts')
    equal(ran.out.split(), ['1', 'yes', 'box', '/tmp', '10.9.8.7', 'other'])
    return verbs


@lines.line('--user by name, by number, with groups')
def _(e):
    ran, verbs = e.once('--user', 'probe', '--group-add', '10', 'probe:1', 'id')
    contains(ran.out, 'uid=1234(probe) gid=1234(probe)', '10(wheel)')
    ran, more = e.once('--user', '77:88', 'probe:1', 'sh', '-c', 'id -u; id -g')
    equal(ran.out, '77\n88')
    return verbs | more


@lines.line('--read-only')
def _(e):
    ran, verbs = e.once('--read-only', 'probe:1', 'sh', '-c', 'echo a > /file || echo b > /tmp/file && cat /tmp/file')
    equal(ran.out, 'b')
    return verbs


@lines.line('--memory, --memory-swap: the limit is set and kills')
def _(e):
    suite.needs_controllers('memory')
    script = 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max'
    ran, verbs = e.once('--memory', '32m', '--memory-swap', '32m', 'probe:1', 'sh', '-c', script)
    equal(ran.out, '33554432')
    with e.running('--memory', '16m', '--memory-swap', '16m',
                   command=('sh', '-c', 'head -c 64m /dev/zero | tail -c 60m > /dev/null; exit 12')) as c:
        equal(e('wait', c).out, '12')
    return verbs | {c: RUN}


@lines.line('--pids-limit')
def _(e):
    suite.needs_controllers('pids')
    script = 'cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max'
    ran, verbs = e.once('--pids-limit', '17', 'probe:1', 'sh', '-c', script)
    equal(ran.out, '17')
    return verbs


@lines.line('--cpus, --cpu-shares, --cpuset-cpus')
def _(e):
    suite.needs_controllers('cpu', 'cpuset')
    with e.running('--cpus', '0.5', '--cpu-shares', '512', '--cpuset-cpus', '0') as c:
        def value(*names):
            for name in names:
                for where, _, files in os.walk('/sys/fs/cgroup'):
                    if c in where and name in files:
                        return open(f'{where}/{name}').read().strip()
        got = value('cpu.cfs_quota_us', 'cpu.max')
        equal(got in ('50000', '50000 100000'), True)
        equal(value('cpu.shares', 'cpu.weight') in ('512', '20'), True)
        equal(value('cpuset.cpus'), '0')
    return {c: RUN}


@lines.line('update of limits')
def _(e):
    suite.needs_controllers('cpu', 'memory')
    with e.running('--cpus', '0.5', '--memory', '64m') as c:
        e('container', 'update', '--cpus', '0.25', '--memory', '32m', c)
        script = 'cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null ||' \
                 'cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/memory.max'
        equal(e('exec', c, 'sh', '-c', script).out.split()[0::1][-1], '33554432')
        equal(e('exec', c, 'sh', '-c', script).out.split()[0], '25000')
    return {c: ['create', 'start', 'update', 'exec', 'delete']}


@lines.line('--cap-drop, --cap-add')
def _(e):
    ran, verbs = e.once('--cap-drop', 'all', '--cap-add', 'net_admin,chown', 'probe:1', 'grep', 'Cap', '/proc/self/status')
    equal([w for w in ran.out.split() if not w.startswith('Cap')][1:4], ['0000000000001001'] * 3)
    equal(ran.out.split()[1], '0' * 16)
    return verbs


@lines.line('--privileged')
def _(e):
    ran, verbs = e.once('--privileged', 'probe:1', 'sh', '-c', 'ls /dev | wc -l; grep Seccomp: /proc/self/status; mount -t tmpfs t /mnt || mkdir /mnt && mount -t tmpfs t /mnt && echo mounted')
    contains(ran.out, 'Seccomp:\t0', 'mounted')
    return verbs


@lines.line('a seccomp profile of choice; none')
def _(e):
    e.write('profile.json', '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":95}]}')
    ran, verbs = e.once('--security-opt', f'seccomp={e.directory}/profile.json', 'probe:1', 'mkdir', '/tmp/x', code=1)
    contains(ran.err.lower(), 'not supported')
    ran, more = e.once('--security-opt', 'seccomp=unconfined', 'probe:1', 'grep', 'Seccomp:', '/proc/self/status')
    equal(ran.out, 'Seccomp:\t0')
    ran, third = e.once('probe:1', 'grep', '-E', 'Seccomp:|NoNewPrivs', '/proc/self/status')
    equal(ran.out.split(), ['NoNewPrivs:', '0', 'Seccomp:', '2'])
    return verbs | more | third


@lines.line('--security-opt no-new-privileges')
def _(e):
    ran, verbs = e.once('--security-opt', 'no-new-privileges', 'probe:1', 'grep', 'NoNewPrivs', '/proc/self/status')
    equal(ran.out.split(), ['NoNewPrivs:', '1'])
    return verbs


@lines.line('--userns=auto')
def _(e):
    ran, verbs = e.once('--userns=auto:size=4096', 'probe:1', 'sh', '-c', 'id -u; cat /proc/self/uid_map; touch /tmp/f; stat -c %u /tmp/f')
    rows = ran.out.split()
    equal((rows[0], rows[1], int(rows[2]) >= 200000, rows[-1]), ('0', '0', True, '0'))
    return verbs


@lines.line('--uidmap, --gidmap, exec into it')
def _(e):
    with e.running('--uidmap', '0:300000:5000', '--gidmap', '0:300000:5000') as c:
        equal(e('exec', c, 'cat', '/proc/self/uid_map').out.split(), ['0', '300000', '5000'])
        pid = e.inspect(c, '{{.State.Pid}}')
        equal(os.stat(f'/proc/{pid}').st_uid, 300000)
    return {c: ['create', 'start', 'exec', 'delete']}


@lines.line('--init reaps and forwards')
def _(e):
    with e.running('--init', command=('sh', '-c', 'trap "exit 21" TERM; while :; do sleep 0.1; done')) as c:
        contains(e('exec', c, 'cat', '/proc/1/cmdline').out, 'init')
        e('stop', '-t', '5', c)
        equal(e.inspect(c, '{{.State.ExitCode}}'), '21')
    return {c: ['create', 'start', 'exec', 'kill', 'delete']}


@lines.line('healthcheck run: healthy and not')
def _(e):
    with e.running('--health-cmd', 'test -e /tmp/well', '--health-interval', 'disable') as c:
        e('healthcheck', 'run', c, code=1)
        e('exec', c, 'touch', '/tmp/well')
        e('healthcheck', 'run', c)
        equal(e.details(c)['State']['Health']['Status'], 'healthy')
    return {c: ['create', 'start', 'exec', 'exec', 'exec', 'delete']}


@lines.line('--sysctl, --ulimit, --device')
def _(e):
    ran, verbs = e.once('--sysctl', 'net.ipv4.ip_unprivileged_port_start=77', '--ulimit', 'nofile=99:100', '--ulimit', 'nproc=4096:4096', '--device', '/dev/zero:/dev/f:r',
                        'probe:1', 'sh', '-c', 'cat /proc/sys/net/ipv4/ip_unprivileged_port_start; ulimit -n; stat -c %F /dev/f')
    equal(ran.out.split('\n'), ['77', '99', 'character special file'])
    return verbs


@lines.line('--network none, host, of another container')
def _(e):
    ran, verbs = e.once('--network', 'none', 'probe:1', 'ls', '/sys/class/net')
    equal(ran.out, 'lo')
    ran, more = e.once('--network', 'host', 'probe:1', 'readlink', '/proc/self/ns/net')
    equal(ran.out, os.readlink('/proc/self/ns/net'))
    with e.running() as c:
        mine = e('exec', c, 'readlink', '/proc/self/ns/net').out
        equal(e.once('--network', 'container:' + c, 'probe:1', 'readlink', '/proc/self/ns/net')[0].out, mine)
    return verbs | more | {c: ['create', 'start', 'exec', 'delete']}


@lines.line('--pid host, --ipc of another container, --cgroupns private')
def _(e):
    ran, verbs = e.once('--pid', 'host', 'probe:1', 'readlink', '/proc/self/ns/pid')
    equal(ran.out, os.readlink('/proc/self/ns/pid'))
    ran, more = e.once('--cgroupns', 'private', 'probe:1', 'sh', '-c', 'cut -d: -f3 /proc/self/cgroup | sort -u')
    equal(ran.out, '/')
    return verbs | more


@lines.line('--preserve-fds')
def _(e):
    script = f'exec 3<<<"third" ; exec podman run --rm --preserve-fds 1 probe:1 sh -c "cat <&3"'
    equal(suite.run(['bash', '-c', script], environment=e.environment).out, 'third')
    return {'': RUN}


@lines.line('cp, commit, diff, export of a container')
def _(e):
    with e.running() as c:
        e.write('given', 'given')
        e('cp', f'{e.directory}/given', f'{c}:/tmp/given')
        equal(e('exec', c, 'cat', '/tmp/given').out, 'given')
        contains(e('diff', c).out, '/tmp/given')
        e('commit', '-q', c, 'committed:1')
        equal(e.once('committed:1', 'cat', '/tmp/given')[0].out, 'given')
        e('rmi', '-f', 'committed:1')
    return {c: ['create', 'start', 'exec', 'delete']}


@lines.line('info names the runtime and its version')
def _(e):
    contains(e('info', '--format', '{{.Host.OCIRuntime.Name}}|{{.Host.OCIRuntime.Version}}').out, e.runtime.name + '|', 'spec:')


if __name__ == '__main__':
    lines.main(sandbox.enter('podman', 'conmon', 'runc', 'curl', 'iptables'), podman)
