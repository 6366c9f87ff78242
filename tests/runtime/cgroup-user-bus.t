#!/usr/bin/env python3
"""The systemd cgroup driver of an ordinary user: his own bus, where he is known by the id that the host
has for him; as himself and as root of a user namespace; against a bus of the test's own, on cgroup v2."""
import os, sys
HERE = os.path.dirname(os.path.abspath(__file__))
if sys.argv[1:] != ['inside']:
    wrap = os.path.join(HERE, '../cgroup-namespace')
    os.execv(wrap, [wrap, 'v2', os.path.abspath(__file__), 'inside'])
sys.path.insert(0, HERE)
from bundle import *
import time

UID = 54321
CGROUPS = '/sys/fs/cgroup/' + TAG          # what systemd has delegated to the user's manager
SESSION = CGROUPS + '/session.scope'       # where his commands run
RUN = os.path.join(DIR, 'run')             # his XDG_RUNTIME_DIR
program = os.path.join(DIR, 'vessel')
server = holder = None


def own(*paths):
    for path in paths:
        os.chown(path, UID, UID)


def delegated(directory):
    os.mkdir(directory)
    own(directory, *(directory + '/' + f for f in ('cgroup.procs', 'cgroup.threads', 'cgroup.subtree_control')))


class Bus:
    """The user's message bus, run by him in a cgroup of his own."""

    def __init__(self, socket, behaviour=''):
        self.socket, self.log = socket, socket + '.log'
        for path in socket, self.log:
            if os.path.exists(path):
                os.unlink(path)
        self.process = subprocess.Popen(
            command([sys.executable, HERE + '/systemd_bus.py', socket, self.log, CGROUPS, behaviour]),
            stderr=open(DIR + '/bus.err', 'w'))
        for _ in range(500):
            if os.path.exists(socket) or self.process.poll() is not None:
                break
            time.sleep(0.01)

    def end(self):
        self.process.kill()
        self.process.wait()

    def entries(self, member=None):
        with open(self.log) as f:
            every = [json.loads(line) for line in f]
        return [e for e in every if member is None or e.get('member') == member]

    def members(self):
        return [e['member'] for e in self.entries() if 'member' in e]

    def users(self):
        return {e['uid'] for e in self.entries() if 'auth' in e}


def command(words, namespace=False):
    """`words` as the user, in his session's cgroup; with `namespace` as root of his user namespace."""
    global holder
    enter = 'echo $$ >%s/cgroup.procs && exec "$@"' % SESSION
    drop = ['setpriv', '--reuid', str(UID), '--regid', str(UID), '--clear-groups']
    inner = []
    if namespace:
        if not holder:  # one namespace for all calls, as podman keeps one
            holder = subprocess.Popen([*drop, 'unshare', '--user', '--map-root-user', '--mount', 'sh', '-c', 'echo; exec sleep 1000'],
                                      stdout=subprocess.PIPE)
            holder.stdout.readline()
        inner = ['nsenter', '--user', '--mount', '--preserve-credentials', '--target', str(holder.pid)]
    return ['sh', '-c', enter, 'sh', *drop, *inner, *words]


def as_user(*words, namespace=False, stdin=None, **environment):
    with open(DIR + '/out', 'w+') as out, open(DIR + '/err', 'w+') as err:
        given = dict(stdin=subprocess.DEVNULL) if stdin is None else dict(input=stdin.encode())
        p = subprocess.run(command([program, *words], namespace), stdout=out, stderr=err, timeout=60,
                           env={'PATH': os.environ['PATH'], **environment}, **given)
        out.seek(0)
        err.seek(0)
        return Result(p.returncode, out.read(), err.read())


def user_bundle(namespace, cgroups_path='ut-x.slice:test:c1'):
    c = config('sleep', '1000')
    c['linux']['cgroupsPath'] = cgroups_path
    c['linux']['namespaces'].append({'type': 'cgroup'})
    c['annotations'] = {'org.systemd.property.TimeoutStopUSec': 'uint64 5000000'}
    if not namespace:
        c['linux']['namespaces'].append({'type': 'user'})
        for kind in 'uidMappings', 'gidMappings':
            c['linux'][kind] = [{'containerID': 0, 'hostID': UID, 'size': 1}]
    path = bundle(c)
    subprocess.run(['chown', '-R', '%d:%d' % (UID, UID), path], check=True)
    return path


def populated(scope):
    try:
        with open(scope + '/cgroup.procs') as f:
            return f.read().split()
    except OSError:
        return []


try:
    os.chmod(DIR, 0o755)
    shutil.copy(VESSEL, program)
    os.mkdir(RUN)
    own(RUN)
    delegated(CGROUPS)
    delegated(SESSION)

    for namespace, who in (False, 'a user'), (True, 'root of a user namespace'):
        # One time by XDG_RUNTIME_DIR, one time by an address that says where.
        bus = server = Bus(RUN + '/bus' if not namespace else RUN + '/elsewhere')
        environment = {'XDG_RUNTIME_DIR': RUN}
        if namespace:
            environment['DBUS_SESSION_BUS_ADDRESS'] = 'unix:path=/nonexistent;unix:path=' + bus.socket
        call = lambda *w, **m: as_user('--systemd-cgroup', *w, namespace=namespace, **environment, **m)
        r = call('run', '--detach', '--bundle', user_bundle(namespace), 'c1')
        scope = CGROUPS + '/ut.slice/ut-x.slice/test-c1.scope'
        check(r.code == 0 and os.path.isdir(scope), who + ': a container in a scope below the user\'s manager', r)
        check(bus.entries()[0] == {'auth': ['AUTH', 'EXTERNAL'], 'uid': str(UID)} and bus.users() == {str(UID)},
              who + ': authenticated by EXTERNAL with the id that the host has for the user', bus.entries()[:1])
        check(bus.members() == ['Hello', 'AddMatch', 'StartTransientUnit'], who + ': the calls, in their order', bus.members())
        unit, mode, properties, auxiliary = bus.entries('StartTransientUnit')[0]['body']
        properties = dict(properties)
        check((unit, mode, auxiliary) == ('test-c1.scope', 'replace', []), who + ': the unit', (unit, mode, auxiliary))
        check([properties.get(p) for p in ('Slice', 'Delegate', 'DefaultDependencies', 'TimeoutStopUSec')] ==
              ['ut-x.slice', True, False, 5000000], who + ': slice, Delegate, a property of an annotation', properties)
        check(all(properties.get(p) is True for p in ('MemoryAccounting', 'CPUAccounting', 'IOAccounting', 'TasksAccounting')),
              who + ': accounting', properties)
        s = json.loads(call('state', 'c1').out or '{}')
        check(s.get('status') == 'running' and populated(scope) == [str(s.get('pid'))],
              who + ': the container\'s process alone is in it', (s, populated(scope)))
        r = call('exec', 'c1', 'cat', '/proc/self/cgroup')
        check(r.code == 0 and r.out.endswith('\n0::/\n'), who + ': exec enters it', r)
        # systemd has a property for memory.high and none for hugetlb: both ways of an update. Whether the
        # kernel has the files too is up to the host's controllers; systemd hears of it in any case.
        r = call('update', '--resources', '-', 'c1', stdin=json.dumps(
            {'unified': {'memory.high': '1048576', 'cpu.max': '20000 50000'}, 'pids': {'limit': 77}}))
        changed = bus.entries('SetUnitProperties')
        check(len(changed) == 1 and changed[0]['signature'] == 'sba(sv)' and changed[0]['body'] ==
              ['test-c1.scope', True, [['TasksMax', 77], ['CPUQuotaPeriodUSec', 50000], ['CPUQuotaPerSecUSec', 400000],
                                       ['MemoryHigh', 1048576]]], who + ': update changes properties of the unit', (r, changed))
        has_pids = os.path.exists(scope + '/pids.max')
        check((r.code == 0) == has_pids and (has_pids or 'cgroup controller \\"pids\\" is not available here' in r.err),
              who + ': … and says when the controller is lacking', r)
        if os.path.exists(scope + '/hugetlb.2MB.max'):
            r = call('update', '--resources', '-', 'c1', stdin='{"unified": {"hugetlb.2MB.max": "4194304"}}')
            with open(scope + '/hugetlb.2MB.max') as f:
                check(r.code == 0 and f.read() == '4194304\n', who + ': what systemd has no property for is written by the user', r)
        else:
            skip(who + ': what systemd has no property for is written by the user', 'no hugetlb controller on v2')
        r = call('pause', 'c1')
        check(r.code == 0 and json.loads(call('state', 'c1').out)['status'] == 'paused', who + ': pause', r)
        check(call('resume', 'c1').code == 0, who + ': resume')
        before = len(bus.members())
        r = call('delete', '--force', 'c1')
        check(r.code == 0 and bus.members()[before:] == ['Hello', 'AddMatch', 'StopUnit', 'ResetFailedUnit'],
              who + ': delete stops the unit on the same bus, and resets it', (r, bus.members()[before:]))
        check(bus.entries('StopUnit')[0]['body'] == ['test-c1.scope', 'replace'], who + ': … that very unit',
              bus.entries('StopUnit'))
        check(not os.path.exists(scope) and not os.listdir(RUN + '/vessel'), who + ': nothing is left')
        bus.end()

    # Slices, as `podman pod create` makes them; nothing named: the user's own.
    bus = server = Bus(RUN + '/bus')
    r = as_user('--systemd-cgroup', 'run', '--detach', '--bundle', user_bundle(False, '::c2'), 'c2', XDG_RUNTIME_DIR=RUN)
    check(r.code == 0 and os.path.isdir(CGROUPS + '/user.slice/c2.scope'), 'without a slice: user.slice', r)
    as_user('delete', '--force', 'c2', XDG_RUNTIME_DIR=RUN)
    check('StopUnit' in bus.members(), 'delete without --systemd-cgroup remembers the unit', bus.members())
    bus.end()

    def refused(behaviour, words, *texts, calls=None, **environment):
        """`run` fails with these texts and leaves neither state nor cgroups nor processes."""
        global server
        bus = server = Bus(RUN + '/bus', behaviour) if behaviour is not None else None
        r = as_user('--systemd-cgroup', 'run', '--detach', '--bundle', user_bundle(False), 'c3', **environment)
        check(r.code == 1 and all(t in r.err for t in texts) and r.err.count('\n') == 1, words, r)
        scopes = [d for d, _, _ in os.walk(CGROUPS) if d.endswith('.scope') and d != SESSION and populated(d)]
        check(not scopes and not os.listdir(RUN + '/vessel'), '… and leaves nothing', scopes)
        if calls:
            check(calls in bus.members(), '… after ' + calls, bus.members())
        if bus:
            bus.end()
            os.unlink(bus.socket)

    here = {'XDG_RUNTIME_DIR': RUN}
    refused('refuse', 'a bus that takes the user for another says so', 'systemd cgroup driver: ', RUN + '/bus',
            'authentication as user %d was refused' % UID, **here)
    refused('denied', 'what systemd answers is the error\'s text', 'systemd unit test-c1.scope: StartTransientUnit: Interactive '
            'authentication required.', **here)
    refused('fail', 'a start job that fails is an error that names unit and result',
            'systemd unit test-c1.scope: start job ended with \\"failed\\"', calls='StopUnit', **here)
    refused('closes', 'a bus that goes away in the middle', 'the bus closed the connection', **here)
    refused(None, 'no bus at the place of XDG_RUNTIME_DIR', 'systemd cgroup driver: connect to unix:path=%s/bus' % RUN,
            'No such file', **here)
    refused(None, 'an address of a kind that is not spoken', 'connect to tcp:host=127.0.0.1', DBUS_SESSION_BUS_ADDRESS='tcp:host=127.0.0.1',
            **here)
    r = as_user('--root', RUN + '/vessel', '--systemd-cgroup', 'run', '--detach', '--bundle', user_bundle(False), 'c4')
    check(r.code == 1 and 'neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set' in r.err, 'no bus is known', r)
finally:
    if server:
        server.end()
    if holder:
        holder.kill()
        holder.wait()
done()
