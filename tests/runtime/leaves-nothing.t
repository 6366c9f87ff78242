#!/usr/bin/env python3
# alone
# slow
# What a host has of mounts, cgroups, processes, namespaces, programs, keys, memfds and state is the
# same before and after containers: a hundred one after another, eight at once, failures, kill -9.
import os, sys
if os.environ.get('LEAVES_NOTHING') != 'inside':
    # Namespaces of one's own, so that whatever appears there is vessel's. bash reaps orphans there.
    os.environ['LEAVES_NOTHING'] = 'inside'
    os.execvp('unshare', ['unshare', '--pid', '--fork', '--kill-child=SIGKILL', '--mount',
                          '--mount-proc', '--propagation', 'private', 'bash', '-c',
                          '"$0" "$@" & wait $!', sys.executable, *sys.argv])
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ctypes, random, struct, time
from bundle import *
import realistic

random.seed(2026)
SYS_bpf, PROG_GET_NEXT_ID, PROG_GET_FD_BY_ID, OBJ_GET_INFO_BY_FD = 321, 11, 13, 15
libc = ctypes.CDLL(None, use_errno=True)


def device_programs():
    """Ids of loaded BPF programs that have vessel's name."""
    found, id = set(), 0
    while os.uname().machine == 'x86_64':
        attr = ctypes.create_string_buffer(struct.pack('IIII', id, 0, 0, 0), 120)
        if libc.syscall(SYS_bpf, PROG_GET_NEXT_ID, attr, 120) != 0:
            break
        id = struct.unpack_from('I', attr, 4)[0]
        attr = ctypes.create_string_buffer(struct.pack('I', id), 120)
        fd = libc.syscall(SYS_bpf, PROG_GET_FD_BY_ID, attr, 120)
        if fd < 0:
            continue
        info = ctypes.create_string_buffer(256)
        attr = ctypes.create_string_buffer(
            struct.pack('IIQ', fd, 256, ctypes.addressof(info)), 120)
        if libc.syscall(SYS_bpf, OBJ_GET_INFO_BY_FD, attr, 120) == 0 and b'vessel' in info.raw:
            found.add(id)
        os.close(fd)
    return found


def processes():
    return {p for p in os.listdir('/proc') if p.isdigit()} - {'1', str(os.getpid())}


def counts():
    """Name → what there is of it (a list, sorted)."""
    now = {'processes': sorted(processes())}
    with open('/proc/self/mountinfo') as f:
        now['mounts'] = sorted(l.split()[4] for l in f)
    namespaces, memfds = set(), []
    for p in os.listdir('/proc'):
        if not p.isdigit():
            continue
        try:
            for kind in os.listdir('/proc/%s/ns' % p):
                namespaces.add(os.readlink('/proc/%s/ns/%s' % (p, kind)))
            for fd in os.listdir('/proc/%s/fd' % p):
                target = os.readlink('/proc/%s/fd/%s' % (p, fd))
                if target.startswith(('/memfd:', 'mnt:', 'net:', 'user:')):
                    memfds.append(target)
        except OSError:
            pass
    now['namespaces'], now['memfds'] = sorted(namespaces), sorted(memfds)
    now['cgroups'] = sorted(d for top in glob.glob('/sys/fs/cgroup/' + TAG) +
                            glob.glob('/sys/fs/cgroup/*/' + TAG)
                            for d, _, _ in os.walk(top) if d != top)
    dying = 0
    for stat in (glob.glob('/sys/fs/cgroup/%s/cgroup.stat' % TAG) +
                 glob.glob('/sys/fs/cgroup/unified/%s/cgroup.stat' % TAG)):
        with open(stat) as f:
            dying += sum(int(l.split()[1]) for l in f if l.startswith('nr_dying_descendants'))
    now['dying cgroups'] = ['one'] * dying
    with open('/proc/keys') as f:
        now['keys'] = sorted(l.split(None, 7)[-1].strip() for l in f if TAG in l)
    now['state'] = sorted(os.listdir(ROOT)) if os.path.isdir(ROOT) else []
    now['device programs'] = sorted(device_programs())
    return now


def extra():
    now = counts()
    return {k: [x for x in v if x not in before[k]] + (['more'] if len(v) > len(before[k]) else [])
            for k, v in now.items() if len(v) > len(before[k]) or set(v) - set(before[k])}


def check_nothing(what, detail=''):
    # The kernel takes keys, programs and dying cgroups away a moment later.
    for _ in range(100):
        left = extra()
        if not left:
            break
        time.sleep(0.05)
    check(not left, what + ': nothing is left', (left, detail))


def start(*args):
    return subprocess.Popen([VESSEL, '--root', ROOT, *args], stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


configs = {'plain': config, 'realistic': realistic.config}
bundles = {}
for kind, make in configs.items():
    bundles[kind] = realistic.files(bundle(make('/bin/true')))
    r = vessel('run', '--bundle', bundles[kind], name())  # makes the mount points
    check(r.code == 0, 'a %s container runs' % kind, r)
before = counts()
before.update({k: [] for k in ('processes', 'cgroups', 'dying cgroups', 'keys', 'state')})

# No container has the others' cgroup, so the config's path is left to the id.
for kind in configs:
    with open(bundles[kind] + '/config.json') as f:
        c = json.load(f)
    del c['linux']['cgroupsPath']
    c['linux']['cgroupsPath'] = '/%s/each' % TAG
    failed = 0
    for _ in range(100):
        with open(bundles[kind] + '/config.json', 'w') as f:
            json.dump(c, f)
        failed += vessel('run', '--bundle', bundles[kind], name()).code != 0
    check(failed == 0, '%s: a hundred one after another' % kind, failed)
    check_nothing('%s, one after another' % kind)
    eight = []
    for n in range(8):
        b = realistic.files(bundle(configs[kind]('/bin/true')))
        with open(b + '/config.json') as f:
            c = json.load(f)
        c['linux']['cgroupsPath'] = '/%s/eight-%d' % (TAG, n)
        with open(b + '/config.json', 'w') as f:
            json.dump(c, f)
        eight.append(b)
    failed = 0
    for _ in range(13):
        ps = [start('run', '--bundle', b, name()) for b in eight]
        failed += sum(p.wait() != 0 for p in ps)
    check(failed == 0, '%s: 104, eight at a time' % kind, failed)
    check_nothing('%s, eight at a time' % kind)

# Failures, each at another step.


def change(key, value):
    def apply(c):
        place = c
        *path, last = key
        for k in path:
            place = place.setdefault(k, {})
        place[last] = place[last] + value if isinstance(place.get(last), list) else value
    return apply


bad_hook = [{'path': '/bin/sh', 'args': ['sh', '-c', 'exit 1']}]
failures = {
    'a program that is missing': change(('process', 'args'), []),
    'a mount whose source is missing': change(('mounts',), [
        {'destination': '/x', 'type': 'bind', 'source': '/nonexistent', 'options': ['rbind']}]),
    'a file system that is unknown': change(('mounts',), [
        {'destination': '/x', 'type': 'nosuchfs', 'source': 'x'}]),
    'an option the file system refuses': change(('mounts',), [
        {'destination': '/x', 'type': 'tmpfs', 'source': 'x', 'options': ['size=wrong']}]),
    'a sysctl that does not exist': change(('linux', 'sysctl', 'net.ipv4.nosuchthing'), '1'),
    'a namespace path that is missing': change(('linux', 'namespaces'), [
        {'type': 'user', 'path': '/nonexistent'}]),
    'a limit that cannot be': change(('linux', 'resources', 'memory'), {'limit': 1}),
    'a resource the kernel refuses': change(('linux', 'resources', 'cpu'), {'cpus': '4000'}),
    'a seccomp rule that cannot be': change(('linux', 'seccomp', 'defaultAction'), 'SCMP_ACT_X'),
    'a working directory that is a file': change(('process', 'cwd'), '/etc/passwd'),
    'a network device that is missing': change(('linux', 'netDevices', 'nosuchdev0'), {}),
}
for kind in ('prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart'):
    failures['a failing %s hook' % kind] = change(('hooks', kind), bad_hook)
for kind, make in configs.items():
    wrong = []
    for what, apply in failures.items():
        c = make('/bin/true')
        apply(c)
        if what == 'a program that is missing':
            c['process']['args'] = ['/nonexistent']
        r = vessel('run', '--bundle', realistic.files(bundle(c)), name())
        if r.code == 0 or not r.err:
            wrong.append((what, r))
        if extra():
            time.sleep(0.2)
            if set(extra()) - {'keys', 'dying cgroups', 'device programs'}:
                wrong.append((what, extra()))
    check(not wrong, '%s: %d failures are told' % (kind, len(failures)), wrong)
    check_nothing('%s, after failures' % kind)

# The creator is killed at any moment; what it left, delete --force takes away.
for kind in configs:
    wrong = []
    b = bundles[kind]
    for n in range(40):
        id = name()
        p = start('run', '--bundle', b, id)
        time.sleep(random.uniform(0, 0.03))
        p.kill()
        p.wait()
        r = vessel('delete', '--force', id)
        if r.code:
            wrong.append(r)
    check(not wrong, '%s: run killed at 40 moments, then delete --force' % kind, wrong)
    check_nothing('%s, after kill -9 of run' % kind)
b = realistic.files(bundle(realistic.config('sleep', '1000')))
wrong = []
for verb in ('create', 'start', 'exec', 'pause', 'kill', 'delete'):
    for n in range(8):
        id = name()
        if verb != 'create':
            r = vessel('create', '--bundle', b, id, detached=True)
            if verb != 'start':
                vessel('start', id)
        p = start(*{'create': ['create', '--bundle', b, id], 'start': ['start', id],
                    'exec': ['exec', id, 'sleep', '1000'], 'pause': ['pause', id],
                    'kill': ['kill', id, 'KILL'], 'delete': ['delete', '--force', id]}[verb])
        time.sleep(random.uniform(0, 0.012))
        p.kill()
        p.wait()
        r = vessel('delete', '--force', id)
        if r.code:
            wrong.append((verb, r))
check(not wrong, 'create, start, exec, pause, kill and delete killed, then delete --force', wrong)
check_nothing('after kill -9 of other verbs')

# On a host with a thousand mounts more, of which each container's namespace begins with a copy.
many = tempfile.mkdtemp(dir=DIR)
for n in range(1000):
    os.mkdir('%s/%d' % (many, n))
    libc.mount(b'tmpfs', ('%s/%d' % (many, n)).encode(), b'tmpfs', 0, b'size=4k')
before['mounts'] = counts()['mounts']
check(len(before['mounts']) > 1000, 'a thousand mounts more', len(before['mounts']))
for kind in configs:
    wrong = [r for r in (vessel('run', '--bundle', bundles[kind], name()) for _ in range(20)) if r.code]
    check(not wrong, '%s: twenty of them with a thousand mounts of the host' % kind, wrong)
    check_nothing('%s, with a thousand mounts of the host' % kind)
r = vessel('run', '--bundle', bundle(config('/bin/sh', '-c', 'wc -l < /proc/self/mountinfo')), name())
check(r.code == 0 and int(r.out) < 30, 'the container sees none of them', r)
done()
