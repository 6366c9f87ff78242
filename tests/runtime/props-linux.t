#!/usr/bin/env python3
# Properties of linux that belong to namespaces, the network, names and hooks, read inside; and what
# of the command line has an effect inside.
import array, os, socket, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bundle import *
from probing import *

KINDS = {'pid': 'pid', 'network': 'net', 'mount': 'mnt', 'ipc': 'ipc', 'uts': 'uts', 'user': 'user',
         'cgroup': 'cgroup', 'time': 'time'}
MAPS = {'uidMappings': [{'containerID': 0, 'hostID': 100000, 'size': 1000},
                        {'containerID': 5000, 'hostID': 300000, 'size': 2}],
        'gidMappings': [{'containerID': 0, 'hostID': 200000, 'size': 1000},
                        {'containerID': 6000, 'hostID': 400000, 'size': 3}]}


def plain(script, kinds=(), **linux):
    c = config('sh', '-c', script)
    c['linux']['namespaces'] += [{'type': k} for k in kinds]
    c['linux'].update(linux)
    return c


def open_root(b):
    """Lets the container's root, another user outside, into its files."""
    os.chmod(DIR, 0o755)
    for top, dirs, files in os.walk(b + '/rootfs'):
        for n in [top] + [os.path.join(top, f) for f in files]:
            os.chown(n, 100000, 200000, follow_symlinks=False)
    return b


LINKS = 'for k in %s; do readlink /proc/self/ns/$k; done' % ' '.join(KINDS.values())
own = {k: os.readlink('/proc/self/ns/' + v) for k, v in KINDS.items()}
c = plain(LINKS, ['user', 'cgroup', 'time'], **MAPS)
r = vessel('run', '--bundle', open_root(bundle(c)), name())
inside = dict(zip(KINDS, r.out.split()))
c = plain(LINKS)
c['linux']['namespaces'] = [{'type': 'mount'}]
del c['hostname']
s = run(c)
inherited = dict(zip(KINDS, s.out.split()))
NEW = {'pid': 'linux.namespaces[].type=pid', 'network': 'linux.namespaces[].type=network',
       'mount': 'linux.namespaces[].type=mount', 'ipc': 'linux.namespaces[].type=ipc',
       'uts': 'linux.namespaces[].type=uts', 'user': 'linux.namespaces[].type=user',
       'cgroup': 'linux.namespaces[].type=cgroup', 'time': 'linux.namespaces[].type=time'}
for kind, what in NEW.items():
    check(inside.get(kind, own[kind]) != own[kind] and
          (kind == 'mount' or inherited.get(kind) == own[kind]), what, (r, s))

# Joined by path: those of another container.
c = plain('sleep 1000')
holder = name()
vessel('run', '--detach', '--bundle', bundle(c), holder, detached=True)
pid = state(holder)['pid']
wrong = []
for kind in ('network', 'ipc', 'uts', 'pid'):
    path = '/proc/%d/ns/%s' % (pid, KINDS[kind])
    c = plain('readlink /proc/self/ns/' + KINDS[kind])
    c['linux']['namespaces'] = [n for n in c['linux']['namespaces'] if n['type'] != kind]
    c['linux']['namespaces'].append({'type': kind, 'path': path})
    if kind == 'uts':
        del c['hostname']
    r = run(c)
    if r.out.strip() != os.readlink(path):
        wrong.append((kind, r))
check(not wrong, 'linux.namespaces[].path', wrong)
vessel('delete', '--force', holder)

c = plain('cat /proc/self/uid_map /proc/self/gid_map; id -u', ['user'], **MAPS)
r = vessel('run', '--bundle', open_root(bundle(c)), name())
check(r.out.split()[:6] == ['0', '100000', '1000', '5000', '300000', '2'], 'linux.uidMappings[]', r)
check(r.out.split()[6:12] == ['0', '200000', '1000', '6000', '400000', '3'], 'linux.gidMappings[]', r)
r = run(plain('cat /proc/self/timens_offsets', ['time'],
              timeOffsets={'monotonic': {'secs': 86400, 'nanosecs': 5},
                           'boottime': {'secs': 172800, 'nanosecs': 7}}))
check('monotonic      86400         5' in r.out or 'monotonic 86400 5' in ' '.join(r.out.split()),
      'linux.timeOffsets.monotonic.secs and nanosecs', r)
check('boottime 172800 7' in ' '.join(r.out.split()), 'linux.timeOffsets.boottime.secs and nanosecs', r)
c = plain('hostname; cat /proc/sys/kernel/domainname')
c['domainname'] = 'of.it'
r = run(c)
check(r.out.startswith('inside\n'), 'hostname', r)
check(r.out.endswith('of.it\n'), 'domainname', r)
r = run(plain('cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax /proc/sys/fs/mqueue/msg_max',
              sysctl={'net.ipv4.ip_forward': '1', 'kernel.msgmax': '12345', 'fs/mqueue/msg_max': '7'}))
check(r.out == '1\n12345\n7\n', 'linux.sysctl.*', r)
r = run(plain('true', sysctl={'vm.swappiness': '1'}))
check(r.code == 1 and 'vm.swappiness' in r.err, 'linux.sysctl.*: not of a namespace, refused', r)

# A network device moves in, with its new name, and out of the host.
a, b = 'vt%da' % (os.getpid() % 100000), 'vt%db' % (os.getpid() % 100000)
made = subprocess.run(['ip', 'link', 'add', a, 'type', 'veth', 'peer', 'name', b], capture_output=True)
if made.returncode:
    skip('linux.netDevices.*.name', 'veth devices')
else:
    subprocess.run(['ip', 'addr', 'add', '192.0.2.7/24', 'dev', b])
    r = run(plain('ip addr show eth7', netDevices={b: {'name': 'eth7'}}))
    check('eth7' in r.out and '192.0.2.7/24' in r.out, 'linux.netDevices.*.name', r)
    subprocess.run(['ip', 'link', 'del', a], capture_output=True)
r = run(plain('true', netDevices={'nosuchdev9': {}}))
check(r.code == 1 and 'nosuchdev9' in r.err, 'linux.netDevices.*: a missing one is named', r)

# The limits of a real host are its own, so a group there gets the root's. (What is written where is
# a unit test on a fake tree: resctrl_test.cc.)
RDT = {'closID': 'vessel-' + TAG, 'schemata': ['L3:0=f'], 'l3CacheSchema': 'L3:0=f',
       'memBwSchema': 'MB:0=20', 'enableMonitoring': True}
if os.path.exists('/sys/fs/resctrl/schemata'):
    lines = [l.strip() for l in open('/sys/fs/resctrl/schemata')]
    id = name()
    r = vessel('run', '-d', '--bundle', bundle(plain('sleep 1000', intelRdt={'schemata': lines})), id)
    tasks = open('/sys/fs/resctrl/%s/tasks' % id).read().split() if r.code == 0 else []
    check(r.code == 0 and str(state(id)['pid']) in tasks, 'linux.intelRdt.schemata[]: a group of its own', (r, tasks))
    vessel('delete', '--force', id)
    check(not os.path.exists('/sys/fs/resctrl/' + id), 'linux.intelRdt: the group goes with the container')
    r = run(plain('true', intelRdt={'closID': '/'}))
    check(r.code == 0, 'linux.intelRdt.closID: the default class of service', r)
    r = run(plain('true', intelRdt={'closID': 'vessel-none-' + TAG}))
    check(r.code == 1 and 'linux.intelRdt.closID' in r.err, 'linux.intelRdt.closID: one that is missing', r)
else:
    for part in ('closID', 'schemata', 'l3CacheSchema', 'memBwSchema', 'enableMonitoring'):
        r = run(plain('true', intelRdt={part: RDT[part]}))
        check(r.code == 1 and 'linux.intelRdt: no resctrl file system is mounted' in r.err and
              'CONFIG_X86_CPU_RESCTRL' in r.err and 'mount -t resctrl' in r.err and left_over() == [],
              'linux.intelRdt.%s: without resctrl an error that says what it takes' % part, r)
r = run(plain('true', intelRdt=RDT))
check(r.code == 0 or 'linux.intelRdt' in r.err, 'linux.intelRdt: all of it set, or a named error', r)
rdt = json.loads(vessel('features').out)['linux']['intelRdt']
check(rdt == {'enabled': True, 'schemata': True, 'monitoring': True}, 'features: linux.intelRdt', rdt)

# Carried along.
c = plain('sleep 1000')
c['annotations'] = {'org.example.key': 'value', 'other': ''}
id = name()
vessel('create', '--bundle', bundle(c), id, detached=True)
s = state(id)
check(s['annotations'] == c['annotations'], 'annotations.*', s)
check(s['ociVersion'].startswith('1.'), 'ociVersion: in the state', s)
vessel('delete', '--force', id)
c = plain('true')
c['ociVersion'] = '3.0.0'
r = run(c)
check(r.code == 1 and 'ociVersion' in r.err, 'ociVersion: another major version is refused', r)
c = plain('id -G')
c['annotations'] = {'run.oci.keep_original_groups': '1'}
groups = os.getgroups()
os.setgroups([4242])
r = run(c)
os.setgroups(groups)
check('4242' in r.out, 'annotations.*: run.oci.keep_original_groups', r)
c['annotations'] = {}
os.setgroups([4242])
r = run(c)
os.setgroups(groups)
check('4242' not in r.out, 'the caller\'s groups are not inherited', r)

# Every field of a hook, for every kind. Those of startContainer run inside.
out = os.path.join(DIR, 'hook')
HOOKS = {'prestart': 'hooks.prestart[]', 'createRuntime': 'hooks.createRuntime[]',
         'createContainer': 'hooks.createContainer[]', 'startContainer': 'hooks.startContainer[]',
         'poststart': 'hooks.poststart[]', 'poststop': 'hooks.poststop[]'}
for kind, what in HOOKS.items():
    inside = kind == 'startContainer'
    file = '/hook.out' if inside else out
    c = plain('sleep 0.1')
    c['hooks'] = {kind: [
        {'path': '/bin/sh', 'args': ['sh', '-c', 'echo "$0|$1|$KEY|$HOME" >' + file, 'zero', 'one'],
         'env': ['KEY=from env', 'PATH=/bin'], 'timeout': 10},
        {'path': '/bin/sh', 'args': ['sh', '-c', 'cat >/dev/null; echo second >>' + file]}]}
    b = bundle(c)
    r = vessel('run', '--bundle', b, name())
    with open(b + '/rootfs/hook.out' if inside else out) as f:
        text = f.read()
    check(r.code == 0 and text == 'zero|one|from env|\nsecond\n', what + ': path, args, env', (r, text))
    c['hooks'] = {kind: [{'path': '/bin/sleep', 'args': ['sleep', '30'], 'timeout': 1}]}
    begin = __import__('time').monotonic()
    r = run(c)
    took = __import__('time').monotonic() - begin
    check('timed out' in r.err and took < 10 and (r.code != 0) == (kind != 'poststop') and
          left_over() == [], what + ': timeout', (r, took))

# The command line.
listener = socket.socket(socket.AF_UNIX)
listener.bind(os.path.join(DIR, 'pidfd'))
listener.listen(1)
id = name()
r = vessel('run', '--detach', '--pidfd-socket', os.path.join(DIR, 'pidfd'), '--bundle',
           bundle(plain('sleep 1000')), id, detached=True)
listener.settimeout(5)
conn, _ = listener.accept()
_, ancillary, _, _ = conn.recvmsg(100, socket.CMSG_SPACE(4))
fd = array.array('i', ancillary[0][2])[0]
with open('/proc/self/fdinfo/%d' % fd) as f:
    info = f.read()
check('Pid:\t%d\n' % state(id)['pid'] in info, '--pidfd-socket: init\'s pidfd', info)
os.close(fd)
vessel('delete', '--force', id)
id = name()
r = vessel('run', '--keep', '--bundle', bundle(plain('true')), id)
check(r.code == 0 and state(id)['status'] == 'stopped', '--keep: the container stays', r)
check(vessel('delete', id).code == 0, '--keep: and can be deleted')
path = os.path.join(DIR, 'notify')
server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
server.bind(path)
server.settimeout(5)
r = run(plain('echo $NOTIFY_SOCKET; ls -l $NOTIFY_SOCKET | cut -c1'), env={'NOTIFY_SOCKET': path, 'PATH': '/bin'})
check(r.out.startswith('/') and r.out.endswith('\ns\n'), 'NOTIFY_SOCKET: a socket inside', r)
check(left_over() == [], 'nothing is left', left_over())
done()
