#!/usr/bin/env python3
# exec where the container's v2 cgroup cannot take a process any more: it goes where init is now,
# unless --cgroup says where to (CLONE_INTO_CGROUP answers EBUSY and ENOENT).
import os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bundle import *

V2 = next((d for d in ('/sys/fs/cgroup', '/sys/fs/cgroup/unified')
           if os.path.exists(d + '/cgroup.controllers')), None)
if V2 is None:
    print('1..0 # SKIP no cgroup v2 is mounted in the usual places')
    sys.exit(0)


def place(*options):
    """Where exec lands in the v2 hierarchy, or its failure."""
    r = vessel('exec', *options, id, 'grep', '^0::', '/proc/self/cgroup')
    return r.out.strip()[3:] if r.code == 0 else r


def put(file, text):
    with open(file, 'w') as f:
        f.write(text)


# A limit of a kind that only v2 has here, so that the cgroup has a controller to hand on.
c = config('sleep', '1000')
sizes = [s for s in os.listdir('/sys/kernel/mm/hugepages')] if os.path.isdir('/sys/kernel/mm/hugepages') else []
if sizes:
    kb = int(sizes[0].split('-')[1][:-2])
    size = '%dGB' % (kb >> 20) if kb >> 20 else '%dMB' % (kb >> 10) if kb >> 10 else '%dKB' % kb
    c['linux']['resources'] = {'hugepageLimits': [{'pageSize': size, 'limit': 1 << 30}]}
id = name()
r = vessel('run', '-d', '--bundle', bundle(c), id)
check(r.code == 0, 'a container', r)
own = c['linux']['cgroupsPath']
cgroup = V2 + own
check(place() == own, 'exec goes into the container\'s cgroup', place())

os.mkdir(cgroup + '/sub')
put(cgroup + '/sub/cgroup.procs', str(state(id)['pid']))
check(place() == own, 'exec stays in the container\'s cgroup while that takes processes', place())
controllers = open(cgroup + '/cgroup.controllers').read().split()
if controllers:
    put(cgroup + '/cgroup.subtree_control', '+' + controllers[0])
    check(place() == own + '/sub', 'EBUSY: exec goes where init is', place())
    check(place('--cgroup', ':/sub') == own + '/sub', 'exec --cgroup into the one below', place('--cgroup', ':/sub'))
    r = place('--cgroup', '/')
    check(isinstance(r, Result) and r.code == 255 and 'cgroup' in r.err, 'EBUSY: exec --cgroup says where to, so it is an error', r)
    put(cgroup + '/cgroup.subtree_control', '-' + controllers[0])
else:
    skip('EBUSY: exec goes where init is', 'a v2 controller')

# Somebody moved the container elsewhere and took its cgroup away.
other = V2 + '/' + TAG + '/elsewhere'
os.mkdir(other)
put(other + '/cgroup.procs', str(state(id)['pid']))
os.rmdir(cgroup + '/sub')
os.rmdir(cgroup)
check(place() == '/%s/elsewhere' % TAG, 'ENOENT: exec goes where init is', place())
r = vessel('delete', '--force', id)
check(r.code == 0, 'delete', r)
os.rmdir(other)
check(left_over() == [], 'nothing is left', left_over())
done()
