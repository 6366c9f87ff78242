#!/usr/bin/env python3
# Namespaces: every kind new, joined and inherited, with no, a new and a joined user namespace.
import json, os, subprocess, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bundle import *

LINK = {'pid': 'pid', 'network': 'net', 'ipc': 'ipc', 'uts': 'uts', 'mount': 'mnt',
        'cgroup': 'cgroup', 'time': 'time', 'user': 'user'}
OWN = {k: os.readlink('/proc/self/ns/' + l) for k, l in LINK.items()}
KINDS = ['pid', 'network', 'ipc', 'uts', 'cgroup', 'time']
# And where the process is in each hierarchy, as seen from there.
SHOW = ('for n in pid net ipc uts mnt cgroup time user; do readlink /proc/self/ns/$n; done; '
        'cut -d: -f3 /proc/self/cgroup')
MAPS = {'uidMappings': [{'containerID': 0, 'hostID': 100000, 'size': 65536}],
        'gidMappings': [{'containerID': 0, 'hostID': 100000, 'size': 65536}]}


def holder(user):
    """A process with one namespace of each kind to be joined, in a user namespace of its own or in
    the caller's."""
    args = ['unshare', '--pid', '--net', '--ipc', '--uts', '--cgroup', '--time', '--fork',
            '--kill-child', '--mount']
    if user:
        args += ['--user']
    p = subprocess.Popen(args + ['sh', '-c', 'echo ready; exec sleep 1000'], stdout=subprocess.PIPE)
    if p.stdout.readline() != b'ready\n':
        raise SystemExit('unshare failed')
    if user:
        for kind in ('uid', 'gid'):
            with open('/proc/%d/%s_map' % (p.pid, kind), 'w') as f:
                f.write('0 100000 65536')
    child = open('/proc/%d/task/%d/children' % (p.pid, p.pid)).read().split()[0]
    return p, child


def namespaces(cfg, new, joined, of):
    cfg['linux']['namespaces'] = (
        [{'type': k} for k in new] +
        [{'type': k, 'path': '/proc/%s/ns/%s' % (of, LINK[k])} for k in joined])
    # The rights over a joined namespace are those of its own user namespace.
    if 'uts' not in new:
        del cfg['hostname']
    if 'user' in new:
        cfg['linux'].update(MAPS)


def try_out(what, new, joined, of, cfg=None):
    cfg = cfg or config('sh', '-c', SHOW)
    if 'mount' not in joined:
        new = ['mount'] + new
    namespaces(cfg, new, joined, of)
    # A procfs of a pid namespace is made with rights over that one; without them a bind.
    if 'pid' not in new:
        cfg['mounts'][0].update(type='bind', source='/proc', options=['rbind'])
    b = bundle(cfg)
    r = vessel('run', '--bundle', b, name())
    words = r.out.split()
    got = dict(zip(('pid', 'network', 'ipc', 'uts', 'mount', 'cgroup', 'time', 'user'), words))
    good = r.code == 0 and len(got) == 8
    # A cgroup namespace of its own starts at the container's cgroup, in every hierarchy.
    if good and 'cgroup' in new:
        good = set(words[8:]) == {'/'}
    elif good and 'cgroup' not in joined:
        good = '/' not in {w for w in words[8:] if TAG in w} and any(TAG in w for w in words[8:])
    for k in KINDS + ['mount', 'user'] if good else []:
        if k in joined:
            good = good and got[k] == os.readlink('/proc/%s/ns/%s' % (of, LINK[k]))
        elif k in new:
            good = good and got[k] != OWN[k]
        else:
            good = good and got[k] == OWN[k]
    check(good, what, (r, got))


os.chmod(DIR, 0o755)
host, target = holder(False)
in_user, user_target = holder(True)
try:
    for k in KINDS:
        try_out('no user namespace, new ' + k, [k], [], None)
    for k in KINDS:
        try_out('no user namespace, joined ' + k, [], [k], target)
    try_out('no user namespace, all new', KINDS, [], None)
    try_out('no user namespace, all joined', [], KINDS, target)
    for k in KINDS:
        try_out('new user namespace, new ' + k, sorted({'user', 'pid', 'network', k}), [], None)
    for k in KINDS:
        rest = [n for n in ('user', 'pid', 'network') if n != k]
        try_out('new user namespace, joined ' + k, rest, [k], target)
    try_out('new user namespace, all new', ['user'] + KINDS, [], None)
    for k in KINDS:
        rest = [n for n in ('pid', 'network') if n != k]
        try_out('joined user namespace, new ' + k, sorted({'pid', 'network', k}), ['user'],
                user_target)
        try_out('joined user namespace, joined ' + k, rest, ['user', k], user_target)
    try_out('all joined, the user namespace too', [], ['user'] + KINDS, user_target)
    # The container's root becomes that of every process in the mount namespace, so each has its own.
    for user in (False, True):
        p, of = holder(user)
        try:
            more = ['user'] if user else []
            try_out('%s user namespace, joined mount' % ('joined' if user else 'no'), ['pid', 'network'],
                    more + ['mount'], of)
            check(os.path.exists('/proc/%s/root/bin/busybox' % of) and
                  not os.path.exists('/proc/%s/root%s' % (of, DIR)),
                  'its root is the container\'s, for those who were in it too', os.listdir('/proc/%s/root' % of))
        finally:
            p.kill()
            p.wait()

    c = config('sh', '-c', 'id -u; cat /proc/self/uid_map /proc/self/gid_map; ls -ln / | head -3')
    namespaces(c, ['mount', 'user', 'pid', 'network'], [], None)
    r = vessel('run', '--bundle', bundle(c), name())
    check(r.out.split()[:7] == ['0', '0', '100000', '65536', '0', '100000', '65536'], 'id maps', r)
    c = config('sh', '-c', 'cat /proc/uptime | cut -d. -f1')
    c['linux']['namespaces'].append({'type': 'time'})
    c['linux']['timeOffsets'] = {'boottime': {'secs': 100000000}}
    r = run(c)
    check(r.code == 0 and int(r.out) > 100000000, 'time offsets', r)
    c['linux']['namespaces'].append({'type': 'user'})
    c['linux'].update(MAPS)
    r = run(c)
    check(r.code == 0 and int(r.out) > 100000000, 'time offsets in a new user namespace', r)
    r = run(config('true'))
    c = config('true')
    c['linux']['namespaces'] = [{'type': 'mount'}, {'type': 'network', 'path': '/proc/%s/ns/uts' % target}]
    del c['hostname']
    r = run(c)
    check(r.code == 1 and 'network namespace' in r.err, 'a path to another kind is refused', r)
    c['linux']['namespaces'][1]['path'] = '/nonexistent'
    r = run(c)
    check(r.code == 1 and 'network' in r.err and '/nonexistent' in r.err, 'a missing path', r)

    # exec enters them all
    c = config('sleep', '1000')
    namespaces(c, ['mount', 'user'] + KINDS, [], None)
    id = name()
    r = vessel('run', '-d', '--bundle', bundle(c), id)
    check(r.code == 0, 'a container with every kind', r)
    pid = state(id)['pid']
    r = vessel('exec', id, 'sh', '-c', SHOW + '; id -u')
    want = [os.readlink('/proc/%d/ns/%s' % (pid, n))
            for n in ('pid', 'net', 'ipc', 'uts', 'mnt', 'cgroup', 'time', 'user')]
    got = r.out.split()
    check(got[:8] == want and set(got[8:-1]) == {'/'} and got[-1] == '0', 'exec enters every kind', (r, want))
    vessel('delete', '-f', id)
    check(left_over() == [], 'nothing is left', left_over())
finally:
    for p in (host, in_user):
        p.kill()
        p.wait()
done()
