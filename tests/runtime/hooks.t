#!/usr/bin/env python3
# The six kinds of hooks: moment, namespaces, state, environment, failure (runtime.md "Lifecycle").
import json, os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bundle import *

OUT = os.path.join(DIR, 'hooks')
os.mkdir(OUT)


def hook(kind, script='', **more):
    text = ('cat >%s/%s.state; readlink /proc/self/ns/mnt >%s/%s.mnt; env >%s/%s.env; pwd >%s/%s.pwd; ' %
            (OUT, kind, OUT, kind, OUT, kind, OUT, kind)) + script
    return dict({'path': '/bin/sh', 'args': ['sh', '-c', text]}, **more)


def read(file):
    with open(os.path.join(OUT, file)) as f:
        return f.read()


def forget():
    for f in os.listdir(OUT):
        os.unlink(os.path.join(OUT, f))


HOST = ('prestart', 'createRuntime', 'poststart', 'poststop')
own_mnt = os.readlink('/proc/self/ns/mnt') + '\n'

# All kinds in one life. Hooks in the container's namespace before the root changes still see the
# host's files; startContainer sees the container's.
c = config('sleep', '1000')
c['hooks'] = {k: [hook(k)] for k in HOST + ('createContainer',)}
c['hooks']['startContainer'] = [
    {'path': '/bin/sh', 'args': ['sh', '-c', 'cat >/start.state; env >/start.env; pwd >/start.pwd']}]
c['annotations'] = {'k': 'v'}
id = name()
b = bundle(c)
r = vessel('create', '--bundle', b, id)
check(r.code == 0, 'create with every kind of hook', r)
check(not os.path.exists(OUT + '/poststart.state'), 'poststart does not run in create')
check(not os.path.exists(b + '/rootfs/start.state'), 'startContainer does not run in create')
s = state(id)
for kind in ('prestart', 'createRuntime'):
    j = json.loads(read(kind + '.state'))
    check(j['id'] == id and j['pid'] == s['pid'] and j['status'] == 'created' and
          j['bundle'] == b and j['annotations'] == {'k': 'v'}, kind + ' reads the state', j)
j = json.loads(read('createContainer.state'))
check(j['pid'] == 1 and j['status'] == 'created', 'createContainer: the pid in the container', j)
check(read('createContainer.mnt') != own_mnt, 'createContainer is in the mount namespace')
r = vessel('start', id)
check(r.code == 0, 'start', r)
j = json.load(open(b + '/rootfs/start.state'))
check(j['id'] == id and j['pid'] == 1 and j['status'] == 'created', 'startContainer', j)
check('PATH=/bin\n' in open(b + '/rootfs/start.env').read(),
      'startContainer has the container\'s environment')
j = json.loads(read('poststart.state'))
check(j['status'] == 'running' and j['pid'] == s['pid'], 'poststart', j)
vessel('delete', '--force', id)
j = json.loads(read('poststop.state'))
for kind in HOST:
    check(read(kind + '.pwd') == b + '\n', kind + ' finds the bundle as its working directory', read(kind + '.pwd'))
check(j['status'] == 'stopped' and j['id'] == id, 'poststop', j)
for kind in HOST:
    check(read(kind + '.mnt') == own_mnt, kind + ' is in the caller\'s namespace')
    check('HOME=' not in read(kind + '.env') and 'PATH=/bin\n' not in read(kind + '.env'),
          kind + ' has an empty environment', read(kind + '.env'))

# Environment, arguments, order.
c = config('true')
c['hooks'] = {'prestart': [hook('prestart', env=['X=1', 'Y=a b']),
                           {'path': '/bin/sh', 'args': ['sh', '-c', 'echo 1 >>%s/order' % OUT]},
                           {'path': '/bin/sh', 'args': ['sh', '-c', 'echo 2 >>%s/order' % OUT]}]}
r = run(c)
check(r.code == 0 and 'X=1\nY=a b\n' in read('prestart.env') and read('order') == '1\n2\n',
      'environment and order', r)

# Sysctls are written after the hooks that may make the interfaces they are about.
c = config('cat', '/proc/sys/net/ipv4/conf/made7/forwarding')
c['linux']['sysctl'] = {'net.ipv4.conf.made7.forwarding': '1'}
r = run(c)
check(r.code == 1 and 'linux.sysctl' in r.err and 'made7' in r.err, 'a sysctl of an interface that nobody makes', r)
for kind in ('prestart', 'createRuntime'):
    c['hooks'] = {kind: [{'path': '/bin/sh', 'env': ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'], 'args': [
        'sh', '-c', 'pid=$(jq .pid) && nsenter --net=/proc/$pid/ns/net ip link add made7 type bridge']}]}
    r = run(c)
    what = 'a sysctl of an interface that a %s hook makes' % kind
    if r.code and 'Unknown device type' in r.err:
        skip(what, 'no bridges in this kernel')
    else:
        check(r.code == 0 and r.out == '1\n', what, r)

# Failures.
for kind in ('prestart', 'createRuntime', 'createContainer'):
    forget()
    c = config('true')
    c['hooks'] = {kind: [hook(kind, 'echo because >&2; exit 7'), hook('second')],
                  'poststop': [hook('poststop')]}
    id = name()
    r = vessel('create', '--bundle', bundle(c), id)
    check(r.code == 1 and kind + ' hook 0 (/bin/sh): exit status 7: because' in r.err,
          kind + ' fails: create fails and says why', r)
    check(not os.path.exists(OUT + '/second.state'), 'the next hook of the kind does not run')
    check(state(id) is None and left_over() == [], 'nothing is left', left_over())
    check(os.path.exists(OUT + '/poststop.state'), 'poststop runs')
forget()
c = config('touch', '/ran')
c['hooks'] = {'startContainer': [{'path': '/bin/sh', 'args': ['sh', '-c', 'exit 3']},
                                 {'path': '/bin/touch', 'args': ['touch', '/second']}],
              'poststop': [hook('poststop')]}
id = name()
b = bundle(c)
vessel('create', '--bundle', b, id)
r = vessel('start', id)
check(r.code == 1 and 'startContainer hook 0' in r.err, 'startContainer fails: start fails', r)
check(not os.path.exists(b + '/rootfs/ran') and not os.path.exists(b + '/rootfs/second'),
      'neither the program nor the next hook ran')
check(state(id) is None and left_over() == [], 'the container is gone', left_over())
check(os.path.exists(OUT + '/poststop.state'), 'and its poststop hooks ran')
forget()
r = run(c)
check(r.code == 1 and 'startContainer hook 0' in r.err and left_over() == [], 'and so does run', r)
c = config('sleep', '1000')
c['hooks'] = {'poststart': [hook('poststart', 'exit 1')], 'poststop': [hook('poststop')]}
id = name()
vessel('create', '--bundle', bundle(c), id)
r = vessel('start', id)
check(r.code == 1 and 'poststart hook 0' in r.err, 'poststart fails: start fails', r)
check(state(id) is None and left_over() == [], 'the container is gone', left_over())
check(os.path.exists(OUT + '/poststop.state'), 'its poststop hooks ran')
forget()
c = config('true')
c['hooks'] = {'poststop': [hook('poststop', 'exit 1'), hook('second')]}
r = run(c)
check(r.code == 0 and 'poststop hook 0' in r.err and left_over() == [],
      'a failing poststop hook is told and changes nothing', r)
check(os.path.exists(OUT + '/second.state'), 'the poststop hook behind it runs')

# seccomp is for the user's program: hooks come before it. Without noNewPrivileges it is loaded while init has its
# privileges, before them; they never run with those privileges.
c = config('sh', '-c', 'mkdir /tmp/mine || echo refused')
c['linux']['seccomp'] = {'defaultAction': 'SCMP_ACT_ALLOW',
                         'syscalls': [{'names': ['mkdir', 'mkdirat'], 'action': 'SCMP_ACT_ERRNO'}]}
script = 'grep -E "^(Cap(Prm|Eff)|NoNewPrivs|Seccomp):" /proc/self/status; mkdir /tmp/hooked'
c['hooks'] = {'startContainer': [{'path': '/bin/sh', 'args': ['sh', '-c', '(%s) >/tmp/said' % script]}]}
for nnp in (True, False):
    c['process']['noNewPrivileges'] = nnp
    b = bundle(c)
    os.symlink('busybox', b + '/rootfs/bin/mkdir')
    r = vessel('run', '--bundle', b, name())
    made = os.path.isdir(b + '/rootfs/tmp/hooked')
    with open(b + '/rootfs/tmp/said') as f:
        said = f.read().split()
    check(said == ['CapPrm:', '0000000020000020', 'CapEff:', '0000000020000020', 'NoNewPrivs:', str(int(nnp)),
                   'Seccomp:', '0' if nnp else '2'], 'startContainer has the container\'s privileges, noNewPrivileges %s' % nnp, said)
    if nnp:
        check(r.code == 0 and made and r.out == 'refused\n', 'startContainer runs before the seccomp filter', r)
    else:
        check(r.code == 1 and not made and 'startContainer hook 0' in r.err, 'startContainer runs under the seccomp filter', r)
        r = vessel('check', '--bundle', b)
        check(r.code == 0 and 'warning hooks.startContainer: run under linux.seccomp' in r.out, 'and check tells', r)

# Time, and hooks that call back.
c = config('true')
c['hooks'] = {'prestart': [{'path': '/bin/sleep', 'args': ['sleep', '100'], 'timeout': 1}]}
r = run(c)
check(r.code == 1 and 'prestart hook 0 (/bin/sleep): timed out' in r.err, 'timeout', r)
call = '%s --root %s state $(sed "s/.*\\"id\\":\\"\\([^\\"]*\\)\\".*/\\1/") >%s/called.' % (VESSEL, ROOT, OUT)
c = config('true')
c['process']['args'] = ['sleep', '1000']
c['hooks'] = {k: [{'path': '/bin/sh', 'args': ['sh', '-c', call + k],
                   'env': ['PATH=/usr/bin:/bin'], 'timeout': 10}]
              for k in ('prestart', 'createRuntime', 'createContainer', 'poststart')}
# After it is deleted there is no such container, and the call returns all the same.
c['hooks']['poststop'] = [{'path': '/bin/sh', 'args': [
    'sh', '-c', call + 'poststop 2>%s/refused.poststop; echo $? >%s/code.poststop' % (OUT, OUT)],
    'env': ['PATH=/usr/bin:/bin'], 'timeout': 10}]
id = name()
b = bundle(c)
r = vessel('create', '--bundle', b, id)
check(r.code == 0, 'create with hooks that call state', r)
r = vessel('start', id)
check(r.code == 0, 'start with a hook that calls state', r)
for kind, status in (('prestart', 'creating'), ('createRuntime', 'creating'),
                     ('createContainer', 'creating'), ('poststart', 'running')):
    j = json.loads(read('called.' + kind) or 'null')
    check(j and j['status'] == status and j['id'] == id, 'state in ' + kind, j)
r = vessel('delete', '--force', id)
check(r.code == 0 and read('code.poststop') == '1\n' and
      'container does not exist' in read('refused.poststop'), 'state in poststop', r)

# exec is legal once the container has its root: in poststart. In hooks before that it would run a
# program of the host's, so it is an error (that does not wait for the create it is part of).
for kind, want in (('poststart', '0'), ('prestart', '255'), ('createRuntime', '255'),
                   ('createContainer', '255')):
    forget()
    script = ('%s --root %s exec $(sed "s/.*\\"id\\":\\"\\([^\\"]*\\)\\".*/\\1/") echo from %s >%s/out 2>&1; '
              'echo $? >%s/code' % (VESSEL, ROOT, kind, OUT, OUT))
    c = config('sleep', '1000')
    c['hooks'] = {kind: [{'path': '/bin/sh', 'args': ['sh', '-c', script],
                          'env': ['PATH=/usr/bin:/bin'], 'timeout': 10}]}
    id = name()
    r = vessel('run', '-d', '--bundle', bundle(c), id)
    check(r.code == 0 and read('code') == want + '\n' and
          (want != '0' or read('out') == 'from poststart\n'), 'exec in ' + kind, (r, read('code'), read('out')))
    vessel('delete', '--force', id)
check(left_over() == [], 'nothing is left', left_over())
done()
