#!/usr/bin/env python3
# slow
# alone
# Pods, kube play and building under podman and buildah, with runc and with vessel.
import os
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sandbox
import suite
from podman_engine import podman
from suite import contains, equal, eventually

lines = suite.Suite('pods')
RUN = ['create', 'start', 'delete']
BUILT = ['create', 'start', 'delete']


@lines.line('a pod: two containers share network, ipc and uts; localhost connects them')
def _(e):
    e('pod', 'create', '--name', 'pair', '--hostname', 'pairhost')
    try:
        web = e('run', '-d', '--pod', 'pair', '--name', 'web', 'probe:1', 'httpd', '-f', '-h', '/www').out
        get = lambda: e('run', '--rm', '--pod', 'pair', 'probe:1', 'wget', '-qO-', 'http://127.0.0.1/', code=None).out
        eventually('the page', lambda: get() == 'hello from the image')
        equal(e('exec', web, 'hostname').out, 'pairhost')
        contains(e('pod', 'ps').out, 'pair', 'Running')
        infra = e('pod', 'inspect', '--format', '{{.InfraContainerID}}', 'pair').out
        for kind in ('net', 'ipc', 'uts'):
            mine = e('exec', web, 'readlink', f'/proc/self/ns/{kind}').out
            pid = e.inspect(infra, '{{.State.Pid}}')
            equal(mine, os.readlink(f'/proc/{pid}/ns/{kind}'))
    finally:
        e('pod', 'rm', '-f', '-t', '0', 'pair', code=None)
    return {web: ['create', 'start', 'exec', 'delete'], infra: RUN}


@lines.line('pod stop, start, pause, unpause, kill, rm')
def _(e):
    e('pod', 'create', '--name', 'steps')
    try:
        c = e('run', '-d', '--pod', 'steps', '--stop-timeout', '1', 'probe:1', 'sleep', '1000').out
        infra = e('pod', 'inspect', '--format', '{{.InfraContainerID}}', 'steps').out
        state = lambda: e('pod', 'inspect', '--format', '{{.State}}', 'steps').out
        e('pod', 'pause', 'steps')
        equal(state(), 'Paused')
        e('pod', 'unpause', 'steps')
        equal(state(), 'Running')
        e('pod', 'stop', '-t', '0', 'steps')
        equal(state(), 'Exited')
        e('pod', 'start', 'steps')
        equal(state(), 'Running')
        e('pod', 'kill', 'steps')
        eventually('an exited pod', lambda: state() in ('Exited', 'Degraded'))
    finally:
        e('pod', 'rm', '-f', '-t', '0', 'steps', code=None)
    return {c: ['create', 'start', 'pause', 'resume', 'kill', 'delete', 'create', 'start', 'kill', 'delete'],
            infra: ['create', 'start', 'pause', 'resume']}


@lines.line('a pod with a shared pid namespace')
def _(e):
    e('pod', 'create', '--name', 'onepid', '--share', '+pid')
    try:
        c = e('run', '-d', '--pod', 'onepid', 'probe:1', 'sleep', '1234').out
        contains(e('exec', c, 'ps').out, 'sleep 1234', 'sleep 10000')
        # Without a pid namespace of its own the container is killed by its cgroup.
        e('exec', '-d', c, 'sleep', '4321')
        eventually('the second process', lambda: 'sleep 4321' in e('exec', c, 'ps').out)
        e('rm', '-f', '-t', '0', c)
        cmdlines = lambda: [suite.command_line(p) for p in os.listdir('/proc') if p.isdigit()]
        eventually('its end', lambda: not [line for line in cmdlines() if '4321' in line])
    finally:
        e('pod', 'rm', '-f', '-t', '0', 'onepid', code=None)
    return {c: ['create', 'start', 'exec', 'exec', 'kill', 'delete']}


@lines.line('limits of a pod')
def _(e):
    suite.needs_controllers('cpu', 'memory')
    e('pod', 'create', '--name', 'small', '--cpus', '0.5', '--memory', '64m')
    try:
        c = e('run', '-d', '--pod', 'small', 'probe:1', 'sleep', '1000').out
        values = []
        for where, _, files in os.walk('/sys/fs/cgroup'):
            values += [open(f'{where}/{n}').read().split()[0] for n in ('cpu.cfs_quota_us', 'cpu.max') if n in files]
        equal('50000' in values, True)
    finally:
        e('pod', 'rm', '-f', '-t', '0', 'small', code=None)
    return {c: RUN}


@lines.line('kube play, generate, down')
def _(e):
    suite.needs_controllers('cpu', 'memory')
    e.write('pod.yaml', '''
apiVersion: v1
kind: Pod
metadata:
  name: played
spec:
  restartPolicy: Never
  containers:
  - name: server
    image: localhost/probe:1
    imagePullPolicy: Never
    command: ["httpd", "-f", "-h", "/data"]
    env: [{name: WHO, value: kube}]
    resources: {limits: {memory: 48Mi, cpu: 500m}}
    volumeMounts: [{name: data, mountPath: /data}]
    securityContext: {readOnlyRootFilesystem: true, capabilities: {drop: [MKNOD]}}
  - name: client
    image: localhost/probe:1
    imagePullPolicy: Never
    command: ["sleep", "1000"]
    securityContext: {runAsUser: 1234}
  volumes: [{name: data, emptyDir: {}}]
''')
    file = f'{e.directory}/pod.yaml'
    e('kube', 'play', '--log-driver', 'k8s-file', file)
    try:
        server, client = e.inspect('played-server', '{{.Id}}'), e.inspect('played-client', '{{.Id}}')
        e('exec', server, 'sh', '-c', 'echo $WHO > /data/index.html')
        eventually('the page', lambda: e('exec', client, 'wget', '-qO-', 'http://127.0.0.1/', code=None).out == 'kube')
        equal(e('exec', client, 'id', '-u').out, '1234')
        equal(e.details(server)['HostConfig']['Memory'], 48 << 20)
        contains(e('kube', 'generate', 'played', code=None).out + e('generate', 'kube', 'played').out, 'kind: Pod')
    finally:
        e('kube', 'down', file, code=None)
        e('pod', 'rm', '-fa', '-t', '0', code=None)
    return {server: ['create', 'start', 'exec', 'delete'], client: ['create', 'start', 'exec', 'delete']}


FILE = '''
FROM localhost/probe:1
ARG WORD=none
RUN echo $WORD > /word && id -u > /who
USER probe
RUN id -u > /tmp/who; test ! -w /word
USER root
RUN --mount=type=cache,target=/cache echo cached > /cache/file
RUN --mount=type=bind,source=given,target=/given cat /given > /copied
WORKDIR /made/here
RUN pwd > /pwd
CMD cat /word /who /tmp/who /copied /pwd
'''


def context(e):
    place = f'{e.directory}/context'
    os.makedirs(place, exist_ok=True)
    e.write('context/Dockerfile', FILE)
    e.write('context/given', 'given\n')
    return place


@lines.line('podman build, run of what it built')
def _(e):
    place = context(e)
    e('build', '-q', '--isolation', 'oci', '--build-arg', 'WORD=built', '-t', 'built:1', place)
    ran, verbs = e.once('built:1')
    equal(ran.out.split(), ['built', '0', '1234', 'given', '/made/here'])
    return verbs | {'buildah': BUILT}


@lines.line('buildah build --isolation oci')
def _(e):
    place = context(e)
    e.buildah('build', '--runtime', e.runtime.path, '--isolation', 'oci', '--build-arg', 'WORD=buildah', '-t', 'built:2', place)
    ran, verbs = e.once('built:2')
    equal(ran.out.split(), ['buildah', '0', '1234', 'given', '/made/here'])
    return verbs | {'buildah': BUILT}


@lines.line('buildah: a failing RUN fails the build with its code')
def _(e):
    e.write('context/failing', 'FROM localhost/probe:1\nRUN exit 23\n')
    ran = e.buildah('build', '--runtime', e.runtime.path, '--isolation', 'oci', '-f', f'{e.directory}/context/failing', code=None)
    contains(ran.err, 'exit status 23')
    return {'buildah': BUILT}


@lines.line('buildah from, run, run on a terminal, copy, config, commit')
def _(e):
    c = e.buildah('from', 'localhost/probe:1').out
    options = ('--runtime', e.runtime.path, '--isolation', 'oci')
    equal(e.buildah('run', *options, c, '--', 'sh', '-c', 'echo run > /file; cat /file').out, 'run')
    equal(e.buildah('run', *options, '--user', '1234', '--env', 'A=b', c, '--', 'sh', '-c', 'id -u; echo $A').out, '1234\nb')
    equal(e.buildah('run', *options, '--cap-drop', 'CAP_CHOWN', c, '--', 'sh', '-c', 'exit 5', code=5).code, 5)
    code, out = suite.on_terminal(['buildah', 'run', '--tty', *options, c, '--', 'sh', '-c', 'tty; exit 4'], [],
                                  environment=e.environment)
    equal(code, 4)
    contains(out, '/dev/pts/')
    e.buildah('config', '--cmd', 'cat /file', c)
    e.buildah('commit', '-q', c, 'committed:2')
    e.buildah('rm', c)
    equal(e.once('committed:2')[0].out, 'run')
    return {'buildah': ['create', 'start', 'delete'] * 4}


@lines.line('buildah run with --volume, --memory, --network none')
def _(e):
    place = context(e)
    c = e.buildah('from', '--memory', '64m', 'localhost/probe:1').out
    try:
        ran = e.buildah('run', '--runtime', e.runtime.path, '--isolation', 'oci', '--network', 'none', '--volume', f'{place}:/v:ro',
                        c, '--', 'sh', '-c', 'cat /v/given; ls /sys/class/net; echo > /v/x || exit 3', code=3)
        equal(ran.out.split(), ['given', 'lo'])
    finally:
        e.buildah('rm', c)
    return {'buildah': BUILT}


if __name__ == '__main__':
    lines.main(sandbox.enter('podman', 'buildah', 'conmon', 'runc', 'iptables'), podman)
