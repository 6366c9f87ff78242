#!/usr/bin/env python3
# slow
# alone
# Docker Engine with runc and with vessel as its default runtime: containers, builds, compose.
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sandbox
import suite
from docker_engine import docker
from suite import contains, equal, eventually

lines = suite.Suite('docker')
RUN = ['create', 'start', 'delete']


@lines.line('info: the default runtime')
def _(e):
    equal(e('info', '--format', '{{.DefaultRuntime}}').out, e.runtime.name)


@lines.line('run --rm: output, exit code')
def _(e):
    ran, verbs = e.once('probe:1', 'sh', '-c', 'echo $GREETING; echo problem >&2; pwd; exit 7', code=7)
    equal((ran.out, ran.err), ('hello\n/www', 'problem'))
    return verbs


@lines.line('run -it')
def _(e):
    code, out = e.terminal([('#', 'tty; echo a$((40+2))b\n'), ('a42b', 'exit 5\n')], 'run', '-it', '--rm', 'probe:1', 'sh')
    equal(code, 5)
    contains(out, '/dev/pts/0')
    return {'': RUN}


@lines.line('run -d, ps, inspect, logs -f')
def _(e):
    with e.running(command=('sh', '-c', 'echo one; sleep 1; echo two; echo three >&2')) as c:
        contains(e('ps', '--no-trunc').out, c)
        equal(e.inspect(c, '{{.State.Status}} {{.HostConfig.Runtime}}'), f'running {e.runtime.name}')
        ran = e('logs', '-f', c)
        equal((ran.out, ran.err), ('one\ntwo', 'three'))
    return {c: RUN}


@lines.line('a program that is not there: 127; one that cannot be executed: 126')
def _(e):
    contains(e('run', '--rm', 'probe:1', 'nothing-of-this-name', code=127).err, 'executable file not found')
    contains(e('run', '--rm', 'probe:1', '/etc/passwd', code=126).err, 'permission denied')
    return {'': ['create', 'delete', 'create', 'delete']}


@lines.line('exec: output, exit code, user, environment, input')
def _(e):
    with e.running() as c:
        ran = e('exec', '-u', 'probe', '-e', 'A=b c', '-w', '/tmp', c, 'sh', '-c', 'id -u; echo $A; pwd; exit 9', code=9)
        equal(ran.out, '1234\nb c\n/tmp')
        equal(e('exec', '-i', c, 'cat', input='through stdin').out, 'through stdin')
        code, out = e.terminal([('#', 'tty\n'), ('/dev/pts', 'exit 6\n')], 'exec', '-it', c, 'sh')
        equal(code, 6)
        e('exec', '-d', c, 'touch', '/tmp/done')
        eventually('the file', lambda: e('exec', c, 'test', '-e', '/tmp/done', code=None).code == 0)
    return {c: ['create', 'start', 'exec', 'exec', 'exec', 'exec', 'exec', 'delete']}


@lines.line('exec of a program that is not there: 127 or 126')
def _(e):
    with e.running() as c:
        ran = e('exec', c, 'nothing-of-this-name', code=None)
        contains(ran.out + ran.err, 'executable file not found')
        equal(ran.code, 126 if '20.10' in e.version else 127)
    return {c: ['create', 'start', 'exec', 'delete']}


@lines.line('stop, start, restart, kill, wait, rm -f')
def _(e):
    with e.running(command=('sh', '-c', 'trap "exit 3" TERM; trap "exit 4" USR1; echo ready; while :; do sleep 0.1; done')) as c:
        ready = lambda n: eventually('ready', lambda: e('logs', c).out.count('ready') == n)
        ready(1)
        e('stop', c)
        equal(e.inspect(c, '{{.State.Status}} {{.State.ExitCode}}'), 'exited 3')
        e('start', c)
        ready(2)
        e('restart', c)
        ready(3)
        e('kill', '-s', 'USR1', c)
        equal(e('wait', c).out, '4')
        e('start', c)
        e('rm', '-f', c)
        e('inspect', c, code=1)
    return {c: ['create', 'start', 'kill', 'delete', 'create', 'start', 'kill', 'delete', 'create', 'start', 'kill', 'delete',
                'create', 'start', 'kill', 'delete']}


@lines.line('--restart brings a container back')
def _(e):
    with e.running('--restart', 'on-failure:2', command=('sh', '-c', 'exit 1')) as c:
        eventually('two restarts', lambda: e.inspect(c, '{{.RestartCount}} {{.State.Status}}') == '2 exited')
    return {c: ['create', 'start', 'delete'] * 3}


@lines.line('stats')
def _(e):
    suite.needs_controllers('memory', 'pids')
    with e.running('--memory', '64m', command=('sh', '-c', 'while :; do :; done')) as c:
        out = e('stats', '--no-stream', '--format', '{{.MemUsage}}|{{.PIDs}}|{{.CPUPerc}}', c).out.split('|')
        contains(out[0], '64MiB')
        equal(out[1], '1')
        equal(float(out[2].rstrip('%')) > 1, True)
    return {c: RUN}


@lines.line('top, pause, unpause, update')
def _(e):
    suite.needs_controllers('memory', 'cpu')
    with e.running(command=('sh', '-c', 'while :; do echo tick; sleep 0.1; done')) as c:
        contains(e('top', c).out, 'while')
        e('pause', c)
        equal(e.inspect(c, '{{.State.Status}}'), 'paused')
        before = len(e('logs', c).out)
        contains(e('exec', c, 'true', code=1).err, 'paused')
        equal(len(e('logs', c).out), before)
        e('unpause', c)
        eventually('a tick', lambda: len(e('logs', c).out) > before)
        e('update', '--memory', '48m', '--memory-swap', '48m', '--cpus', '0.5', c)
        equal(e.value(c, 'memory.limit_in_bytes', 'memory.max'), str(48 << 20))
        equal(e.value(c, 'cpu.cfs_quota_us', 'cpu.max').split()[0], '50000')
    return {c: ['create', 'start', 'ps', 'pause', 'resume', 'update', 'delete']}


@lines.line('limits: memory, pids, cpus, shares, cpuset')
def _(e):
    suite.needs_controllers('memory', 'pids', 'cpu', 'cpuset')
    with e.running('--memory', '32m', '--pids-limit', '17', '--cpus', '0.5', '--cpu-shares', '512', '--cpuset-cpus', '0') as c:
        equal(e.value(c, 'memory.limit_in_bytes', 'memory.max'), '33554432')
        equal(e.value(c, 'pids.max'), '17')
        equal(e.value(c, 'cpu.cfs_quota_us', 'cpu.max').split()[0], '50000')
        equal(e.value(c, 'cpuset.cpus'), '0')
    with e.running('--memory', '16m', '--memory-swap', '16m', command=('sh', '-c', 'tail /dev/zero')) as d:
        e('wait', d)
        equal(e.inspect(d, '{{.State.OOMKilled}}'), 'true')
    return {c: RUN, d: RUN}


@lines.line('ports: a published port answers')
def _(e):
    with e.running('-p', '127.0.0.1:8082:80', command=('httpd', '-f', '-h', '/www')) as c:
        get = lambda: suite.run(['curl', '-s', '-m', '3', 'http://127.0.0.1:8082/'], code=None).out
        eventually('the page', lambda: get() == 'hello from the image')
    return {c: RUN}


@lines.line('volumes: a directory of the host, a named one, a tmpfs')
def _(e):
    place = f'{e.directory}/shared'
    os.makedirs(place, exist_ok=True)
    with open(place + '/in', 'w') as f:
        f.write('from the host')
    ran, verbs = e.once('-v', f'{place}:/a:ro', '-v', 'kept:/data', '--tmpfs', '/t:size=1m', 'probe:1', 'sh', '-c',
                        'cat /a/in; echo kept > /data/f; echo > /a/no 2>/dev/null || echo -n " ro"; df -k /t | tail -1 | awk "{print \\$2}"')
    equal(ran.out, 'from the host ro1024')
    equal(e.once('-v', 'kept:/data', 'probe:1', 'cat', '/data/f')[0].out, 'kept')
    e('volume', 'rm', 'kept')
    return verbs


@lines.line('user, groups, hostname, environment, read-only, init')
def _(e):
    ran, verbs = e.once('-u', 'probe', '--group-add', 'wheel', '-h', 'box', '-e', 'A=1', '--read-only', '--init', 'probe:1', 'sh', '-c',
                        'id; hostname; echo $A; cat /proc/1/comm; echo > /tmp/x || echo ro')
    contains(ran.out, 'uid=1234(probe)', '10(wheel)', 'box\n1\n', 'init', 'ro')
    return verbs


@lines.line('capabilities, seccomp, no-new-privileges')
def _(e):
    status = ('grep', '-E', 'CapInh|CapEff|NoNewPrivs|Seccomp:', '/proc/self/status')
    ran, verbs = e.once('--cap-drop', 'all', '--cap-add', 'net_admin', '--security-opt', 'no-new-privileges', 'probe:1', *status)
    contains(ran.out, 'CapEff:\t0000000000001000', 'NoNewPrivs:\t1', 'Seccomp:\t2')
    with open(f'{e.directory}/profile.json', 'w') as f:
        f.write('{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":95}]}')
    ran, more = e.once('--security-opt', f'seccomp={e.directory}/profile.json', 'probe:1', 'mkdir', '/tmp/x', code=1)
    contains(ran.err.lower(), 'not supported')
    return verbs | more


@lines.line('privileged')
def _(e):
    if e.runtime.name == 'runc' and not suite.has_every_capability():
        raise suite.Lacks('a root with every capability, without which runc refuses Docker\'s list')
    ran, verbs = e.once('--privileged', 'probe:1', 'sh', '-c', 'mount -t tmpfs t /tmp && echo mounted; grep Seccomp: /proc/self/status; ls /dev | wc -l')
    contains(ran.out, 'mounted', 'Seccomp:\t0')
    return verbs


@lines.line('namespaces: host, of another container')
def _(e):
    for kind, option in (('net', '--network'), ('pid', '--pid'), ('ipc', '--ipc'), ('uts', '--uts')):
        ran, verbs = e.once(option, 'host', 'probe:1', 'readlink', f'/proc/self/ns/{kind}')
        equal(ran.out, os.readlink(f'/proc/self/ns/{kind}'))
    with e.running() as c:
        mine = e('exec', c, 'readlink', '/proc/self/ns/net').out
        ran, more = e.once('--network', 'container:' + c, 'probe:1', 'readlink', '/proc/self/ns/net')
        equal(ran.out, mine)
    return verbs | more


@lines.line('sysctl, ulimit, device, shm-size, cgroup-parent')
def _(e):
    ran, verbs = e.once('--sysctl', 'net.ipv4.ip_unprivileged_port_start=77', '--ulimit', 'nofile=99:100', '--device', '/dev/zero:/dev/f:r',
                        '--shm-size', '2m', '--cgroup-parent', '/own', 'probe:1', 'sh', '-c',
                        'cat /proc/sys/net/ipv4/ip_unprivileged_port_start; ulimit -n; stat -c %F /dev/f; df -k /dev/shm | tail -1 | awk "{print \\$2}"')
    equal(ran.out.split('\n'), ['77', '99', 'character special file', '2048'])
    return verbs


@lines.line('healthcheck: becomes healthy')
def _(e):
    with e.running('--health-cmd', 'test -e /tmp/well', '--health-interval', '1s', '--health-retries', '1') as c:
        eventually('unhealthy', lambda: e.inspect(c, '{{.State.Health.Status}}') == 'unhealthy')
        e('exec', c, 'touch', '/tmp/well')
        eventually('healthy', lambda: e.inspect(c, '{{.State.Health.Status}}') == 'healthy')
    return {c: ['create', 'start', 'exec', 'exec', 'delete']}


@lines.line('two containers of a network find each other by name')
def _(e):
    e('network', 'create', 'between')
    try:
        with e.running('--network', 'between', '--name', 'site', command=('httpd', '-f', '-h', '/www')) as c:
            ran = lambda: e('run', '--rm', '--network', 'between', 'probe:1', 'sh', '-c', suite.FETCH.format('site'), code=None)
            eventually('the page', lambda: ran().out == 'hello from the image')
    finally:
        e('network', 'rm', 'between', code=None)
    return {c: RUN}


@lines.line('cp, commit, diff')
def _(e):
    with e.running() as c:
        e('exec', c, 'sh', '-c', 'echo made > /made')
        e('cp', f'{c}:/made', f'{e.directory}/copied')
        equal(open(f'{e.directory}/copied').read(), 'made\n')
        contains(e('diff', c).out, 'A /made')
        e('commit', c, 'committed:1')
        equal(e.once('committed:1', 'cat', '/made')[0].out, 'made')
        e('rmi', '-f', 'committed:1')
    return {c: ['create', 'start', 'exec', 'delete']}


FILE = '''
FROM probe:1
ARG WORD=none
RUN echo $WORD > /word && id -u > /who
USER probe
RUN id -u > /tmp/who; test ! -w /word
USER root
WORKDIR /made/here
RUN pwd > /pwd
COPY given /given
CMD cat /word /who /tmp/who /pwd /given
'''


@lines.line('build, classic')
def _(e):
    place = e.context(FILE)
    e('build', '-q', '--no-cache', '--build-arg', 'WORD=classic', '-t', 'built:1', place, environment=dict(e.environment, DOCKER_BUILDKIT='0'))
    ran, verbs = e.once('built:1')
    equal(ran.out.split(), ['classic', '0', '1234', '/made/here', 'given'])
    return verbs | {'': ['create', 'start', 'delete'] * 4}


@lines.line('build, BuildKit')
def _(e):
    place = e.context(FILE.replace('COPY given', 'RUN --mount=type=bind,source=given,target=/bound cat /bound\nRUN --mount=type=cache,target=/c echo > /c/x\nCOPY given'))
    before = e.runtime.verbs('').count('run')
    e('build', '--no-cache', '--build-arg', 'WORD=buildkit', '-t', 'built:2', place, environment=dict(e.environment, DOCKER_BUILDKIT='1'), timeout=90)
    equal(e.runtime.verbs('').count('run') - before, 5)
    ran, verbs = e.once('built:2')
    equal(ran.out.split(), ['buildkit', '0', '1234', '/made/here', 'given'])
    return verbs


@lines.line('build, BuildKit: a failing RUN fails with its code')
def _(e):
    place = e.context('FROM probe:1\nRUN echo before && exit 23\n')
    ran = e('build', place, environment=dict(e.environment, DOCKER_BUILDKIT='1'), code=1)
    contains(ran.err, 'before', 'exit code: 23')
    return {'': ['run']}


COMPOSE = '''
version: "3"
services:
  web:
    image: probe:1
    command: httpd -f -h /data
    volumes: ["data:/data"]
    healthcheck: {test: ["CMD", "test", "-e", "/data/index.html"], interval: 1s}
    ports: ["127.0.0.1:8083:80"]
  client:
    image: probe:1
    depends_on: [web]
    environment: {WHO: client}
    volumes: ["data:/data"]
    command: sh -c 'echo written by $$WHO > /data/index.html; sleep 1000'
volumes:
  data: {}
'''


@lines.line('compose: two services talk to each other')
def _(e):
    place = f'{e.directory}/composed'
    os.makedirs(place, exist_ok=True)
    with open(place + '/docker-compose.yml', 'w') as f:
        f.write(COMPOSE)
    compose = lambda *a, **o: suite.run(['docker-compose', '-f', place + '/docker-compose.yml', '-p', 'pair', *a], environment=e.environment, **o)
    compose('up', '-d', timeout=90)
    try:
        web, client = (compose('ps', '-q', s).out for s in ('web', 'client'))
        fetched = lambda: compose('exec', '-T', 'client', 'sh', '-c', suite.FETCH.format('web'), code=None).out
        eventually('the page', lambda: fetched() == 'written by client')
        equal(suite.run(['curl', '-s', 'http://127.0.0.1:8083/']).out, 'written by client')
        contains(compose('ps').out, 'Up')
        compose('restart', '-t', '1', 'web')
        eventually('the page', lambda: fetched() == 'written by client')
    finally:
        compose('down', '-v', '-t', '0', code=None)
    return {web: ['create', 'start', 'kill', 'delete', 'create', 'start', 'delete'], client: ['create', 'start', 'exec', 'delete']}


if __name__ == '__main__':
    lines.main(sandbox.enter('dockerd', '/usr/bin/docker', 'docker-compose', 'runc', 'curl', 'iptables'), docker)
