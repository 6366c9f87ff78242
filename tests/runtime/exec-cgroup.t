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


def place(*options, wrapped=()):
    """Where exec lands in the v2 hierarchy, or its failure."""
    p = subprocess.run([*wrapped, VESSEL, '--root', ROOT, 'exec', *options, id, 'grep', '^0::', '/proc/self/cgroup'],
                       stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return p.stdout.strip()[3:] if p.returncode == 0 else Result(p.returncode, p.stdout, p.stderr)


WITHOUT = os.path.join(TOP, 'build/tests/runtime/without_syscalls')


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

for where in ('nosuch:/', 'nosuch:/sub', 'memory,nosuch:/'):
    r = place('--cgroup', where)
    check(isinstance(r, Result) and r.code == 255 and '--cgroup: the container is in no cgroup v1 hierarchy of nosuch' in r.err, '--cgroup %s names no hierarchy of the container' % where, r)
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
    # Without clone3 the joiner enters by itself, and is refused then.
    for error in ('ENOSYS', 'EPERM'):
        wrapped = [WITHOUT, error, 'clone3']
        check(place(wrapped=wrapped) == own + '/sub', 'EBUSY by file, clone3 answers %s: exec goes where init is' % error,
              place(wrapped=wrapped))
    r = place('--cgroup', '/', wrapped=wrapped)
    check(isinstance(r, Result) and r.code == 255 and 'cgroup' in r.err, 'EBUSY by file: exec --cgroup says where to, so it is an error', r)
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
wrapped = [WITHOUT, 'ENOSYS', 'clone3']
check(place(wrapped=wrapped) == '/%s/elsewhere' % TAG, 'ENOENT without clone3: exec goes where init is', place(wrapped=wrapped))
r = vessel('delete', '--force', id)
check(r.code == 0, 'delete', r)
os.rmdir(other)

# In a user namespace exec goes by a helper, which enters for the process.
if controllers:
    c['linux']['cgroupsPath'] = own + '-mapped'
    id = name()
    script = '''v="$1 --root $2" id=$3 cgroup=$4
$v run -d --bundle $5 $id >/dev/null && mkdir $cgroup/sub && $v state $id | jq .pid >$cgroup/sub/cgroup.procs &&
echo +$6 >$cgroup/cgroup.subtree_control && shift 6 &&
$v exec $id grep ^0:: /proc/self/cgroup && "$@" $v exec $id grep ^0:: /proc/self/cgroup
$v delete --force $id'''
    p = subprocess.run(['unshare', '--user', '--map-root-user', 'sh', '-c', script, 'sh', VESSEL, ROOT, id, cgroup + '-mapped',
                        bundle(c), controllers[0], *wrapped], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    check(p.returncode == 0 and p.stdout == ('0::%s-mapped/sub\n' % own) * 2, 'in a user namespace, with and without clone3', p)
else:
    skip('in a user namespace, with and without clone3', 'a v2 controller')
check(left_over() == [], 'nothing is left', left_over())
done()
