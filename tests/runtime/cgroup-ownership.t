#!/usr/bin/env python3
"""config-linux.md "Cgroup ownership": with version 2, a cgroup namespace of its own and a writable mount
the container's cgroup belongs to its process's user, in a user namespace by the host's id for it."""
import os, sys
HERE = os.path.dirname(os.path.abspath(__file__))
if sys.argv[1:] != ['inside']:
    wrap = os.path.join(HERE, '../cgroup-namespace')
    os.execv(wrap, [wrap, 'v2', os.path.abspath(__file__), 'inside'])
sys.path.insert(0, HERE)
from bundle import *


def owner(uid, user_namespace, options=('rw',), namespaces=('cgroup',)):
    """Owners of the cgroup, of a file to delegate and of one not, as the host sees them; and the run."""
    c = config('sleep', '1000')
    c['process']['user'] = {'uid': uid, 'gid': uid}
    c['linux']['namespaces'] += [{'type': t} for t in namespaces if {'type': t} not in c['linux']['namespaces']]
    if user_namespace:
        c['linux']['namespaces'].append({'type': 'user'})
        for kind in ('uidMappings', 'gidMappings'):
            c['linux'][kind] = [{'containerID': 0, 'hostID': 200000, 'size': 1000},
                                {'containerID': 1000, 'hostID': 300000, 'size': 1000}]
    c['mounts'] += [{'destination': '/sys', 'type': 'tmpfs', 'source': 'tmpfs'},
                    {'destination': '/sys/fs/cgroup', 'type': 'cgroup', 'source': 'cgroup', 'options': list(options)}]
    c['linux']['cgroupsPath'] = '/%s/own' % TAG
    id = name()
    b = bundle(c)
    subprocess.run(['chmod', '-R', 'a+rX', b], check=True)
    r = vessel('run', '--detach', '--bundle', b, id, detached=True)
    directory = '/sys/fs/cgroup/%s/own' % TAG
    found = None
    if r.code == 0:
        found = [os.stat(directory + f).st_uid for f in ('', '/cgroup.procs', '/cgroup.type')]
    vessel('delete', '--force', id)
    return found, r


for what, expected, arguments in (
        ('root', [0, 0, 0], (0, False)),
        ('another user', [1000, 1000, 0], (1000, False)),
        ('root of a user namespace', [200000, 200000, 0], (0, True)),
        ('another user of a user namespace', [300005, 300005, 0], (1005, True)),
        ('a mount that is read-only', [0, 0, 0], (1000, False, ('ro',)))):
    found, r = owner(*arguments)
    check(found == expected, what, (found, r))
check(left_over() == [], 'nothing is left', left_over())
done()
