#!/usr/bin/env python3
# Every property of linux.resources and linux.cgroupsPath: its effect read inside, through the
# container's own mount of its cgroups. v1, v2 and hybrid hosts have different files for one thing.
import os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bundle import *
from probing import *

V2_ONLY = os.path.exists('/sys/fs/cgroup/cgroup.controllers')
CGROUP = {'destination': '/sys/fs/cgroup', 'type': 'cgroup', 'source': 'cgroup', 'options': ['ro']}
SYSFS = {'destination': '/sys', 'type': 'sysfs', 'source': 'sysfs', 'options': ['ro']}


def limited(resources, *args):
    c = config(*args)
    c['mounts'] += [SYSFS, CGROUP]
    c['linux']['resources'] = resources
    return c


# PROPERTY: resources; v1 controller, file, content; v2 file, content. A content may be a test.
page = os.sysconf('SC_PAGE_SIZE')
MB = 1 << 20
TABLE = {
    'linux.resources.memory.limit': ({'memory': {'limit': 64 * MB}},
        'memory', 'memory.limit_in_bytes', '67108864', 'memory.max', '67108864'),
    'linux.resources.memory.reservation': ({'memory': {'reservation': 32 * MB}},
        'memory', 'memory.soft_limit_in_bytes', '33554432', 'memory.low', '33554432'),
    'linux.resources.memory.swap': ({'memory': {'limit': 64 * MB, 'swap': 96 * MB}},
        'memory', 'memory.memsw.limit_in_bytes', '100663296', 'memory.swap.max', '33554432'),
    'linux.resources.memory.swappiness': ({'memory': {'swappiness': 33}},
        'memory', 'memory.swappiness', '33', None, None),
    'linux.resources.memory.disableOOMKiller': ({'memory': {'disableOOMKiller': True}},
        'memory', 'memory.oom_control', lambda t: 'oom_kill_disable 1' in t, None, None),
    'linux.resources.memory.useHierarchy': ({'memory': {'useHierarchy': True}},
        'memory', 'memory.use_hierarchy', '1', None, None),
    'linux.resources.memory.kernelTCP': ({'memory': {'kernelTCP': 8 * MB}},
        'memory', 'memory.kmem.tcp.limit_in_bytes', '8388608', None, None),
    'linux.resources.cpu.shares': ({'cpu': {'shares': 512}},
        'cpu', 'cpu.shares', '512', 'cpu.weight', lambda t: t.strip().isdigit() and t.strip() != '100'),
    'linux.resources.cpu.quota': ({'cpu': {'quota': 30000}},
        'cpu', 'cpu.cfs_quota_us', '30000', 'cpu.max', '30000 100000'),
    'linux.resources.cpu.period': ({'cpu': {'quota': 30000, 'period': 60000}},
        'cpu', 'cpu.cfs_period_us', '60000', 'cpu.max', '30000 60000'),
    'linux.resources.cpu.burst': ({'cpu': {'quota': 30000, 'burst': 10000}},
        'cpu', 'cpu.cfs_burst_us', '10000', 'cpu.max.burst', '10000'),
    'linux.resources.cpu.idle': ({'cpu': {'idle': 1}}, 'cpu', 'cpu.idle', '1', 'cpu.idle', '1'),
    'linux.resources.cpu.realtimePeriod': ({'cpu': {'realtimePeriod': 900000}},
        'cpu', 'cpu.rt_period_us', '900000', None, None),
    'linux.resources.cpu.realtimeRuntime': ({'cpu': {'realtimeRuntime': 0}},
        'cpu', 'cpu.rt_runtime_us', '0', None, None),
    'linux.resources.cpu.cpus': ({'cpu': {'cpus': '0'}},
        'cpuset', 'cpuset.cpus', '0', 'cpuset.cpus', '0'),
    'linux.resources.cpu.mems': ({'cpu': {'mems': '0'}},
        'cpuset', 'cpuset.mems', '0', 'cpuset.mems', '0'),
    'linux.resources.pids.limit': ({'pids': {'limit': 77}},
        'pids', 'pids.max', '77', 'pids.max', '77'),
    'linux.resources.hugepageLimits[].limit': (
        {'hugepageLimits': [{'pageSize': '2MB', 'limit': 4 * MB}]},
        'hugetlb', 'hugetlb.2MB.limit_in_bytes', '4194304', 'hugetlb.2MB.max', '4194304'),
    'linux.resources.hugepageLimits[].pageSize': (
        {'hugepageLimits': [{'pageSize': '1GB', 'limit': 1 << 30}]},
        'hugetlb', 'hugetlb.1GB.limit_in_bytes', '1073741824', 'hugetlb.1GB.max', '1073741824'),
    'linux.resources.blockIO.weight': ({'blockIO': {'weight': 300}},
        'blkio', 'blkio.bfq.weight', '300', 'io.bfq.weight', lambda t: '300' in t),
    'linux.resources.blockIO.leafWeight': ({'blockIO': {'leafWeight': 300}},
        'blkio', 'blkio.leaf_weight', '300', None, None),
    'linux.resources.network.classID': ({'network': {'classID': 0x100001}},
        'net_cls', 'net_cls.classid', '1048577', None, None),
    'linux.resources.network.priorities[]': (
        {'network': {'priorities': [{'name': 'lo', 'priority': 5}]}},
        'net_prio', 'net_prio.ifpriomap', lambda t: 'lo 5' in t, None, None),
    'linux.resources.rdma.*': ({'rdma': {'mlx5_1': {'hcaHandles': 3, 'hcaObjects': 10}}},
        'rdma', 'rdma.max', lambda t: 'hca_handle=3 hca_object=10' in t,
        'rdma.max', lambda t: 'hca_handle=3 hca_object=10' in t),
}


def block_device():
    for name in sorted(os.listdir('/sys/block')):
        if not name.startswith(('loop', 'ram', 'zram')):
            with open('/sys/block/%s/dev' % name) as f:
                return tuple(int(n) for n in f.read().split(':'))
    return None


disk = block_device()
if disk:
    for key, v1, v2 in (('throttleReadBpsDevice', 'read_bps', 'rbps'),
                        ('throttleWriteBpsDevice', 'write_bps', 'wbps'),
                        ('throttleReadIOPSDevice', 'read_iops', 'riops'),
                        ('throttleWriteIOPSDevice', 'write_iops', 'wiops')):
        TABLE['linux.resources.blockIO.%s[]' % key] = (
            {'blockIO': {key: [{'major': disk[0], 'minor': disk[1], 'rate': 123456}]}},
            'blkio', 'blkio.throttle.%s_device' % v1, '%d:%d 123456' % disk,
            'io.max', lambda t, v2=v2: v2 + '=123456' in t)
    TABLE['linux.resources.blockIO.weightDevice[]'] = (
        {'blockIO': {'weightDevice': [
            {'major': disk[0], 'minor': disk[1], 'weight': 500, 'leafWeight': 300}]}},
        'blkio', 'blkio.bfq.weight_device', lambda t: '500' in t, 'io.bfq.weight', lambda t: '500' in t)


def controllers():
    found = {}
    for dir in os.listdir('/sys/fs/cgroup'):
        path = os.path.join('/sys/fs/cgroup', dir)
        if not V2_ONLY and os.path.isdir(path) and dir != 'unified':
            for one in dir.split(','):
                found[one] = 1
    unified = '/sys/fs/cgroup' if V2_ONLY else '/sys/fs/cgroup/unified'
    if os.path.exists(unified + '/cgroup.controllers'):
        with open(unified + '/cgroup.controllers') as f:
            for one in f.read().split():
                found.setdefault(one, 2)
    return found


HAS = controllers()
for prop, (resources, controller, v1, want1, v2, want2) in TABLE.items():
    group = {'blkio': 'io'}.get(controller, controller)
    version = HAS.get(controller) or HAS.get(group)
    file, want = (v1, want1) if version == 1 else (v2, want2)
    if version == 1:
        path = '/sys/fs/cgroup/%s/%s' % (controller, file)
    else:
        path = '/sys/fs/cgroup/%s%s' % ('' if V2_ONLY else 'unified/', file)
    c = limited(resources, 'cat', path)
    if version == 2:
        # A cgroup namespace shows the container's own at the top of the unified hierarchy.
        c['linux']['namespaces'].append({'type': 'cgroup'})
    r = run(c)
    if version and file and r.code == 0:
        good = want(r.out) if callable(want) else r.out.strip() == want
        check(good, prop, (r, path))
    elif r.code == 0 or 'No such file' in r.err and 'linux.resources' not in r.err:
        # The process ran without a file that tells: fine only where the host has none, and then the
        # limit was named in a warning.
        check('linux.resources' in r.err or not version or not file,
              prop + ': not on this host, told or without meaning', (r, version, path))
    else:
        # What this kernel has no file for is a named error, and nothing is left.
        check('linux.resources' in r.err and left_over() == [],
              prop + ': not on this host, a named error', (r, version, path))

# Kernel memory limits are gone from Linux; the spec calls them NOT RECOMMENDED.
r = run(limited({'memory': {'kernel': 16 * MB}}, 'true'))
check(r.code == 0 or 'linux.resources.memory.kernel' in r.err,
      'linux.resources.memory.kernel: ignored or a named error', r)

# checkBeforeUpdate: a limit below the usage is refused instead of killing.
id = name()
c = limited({'memory': {'limit': 64 * MB}}, 'sh', '-c', 'head -c 20000000 /dev/zero | tail -c 19000000 | sleep 1000')
vessel('run', '--detach', '--bundle', bundle(c), id, detached=True)
import time
time.sleep(0.5)
for checked in (True, False):
    if 'memory' not in HAS:
        skip('linux.resources.memory.checkBeforeUpdate', 'no memory controller')
        break
    r = vessel('update', '--resources', '-', id, stdin=json.dumps(
        {'memory': {'limit': 1 * MB, 'checkBeforeUpdate': checked}}).encode())
    if checked:
        check(r.code == 1 and ('checkBeforeUpdate' in r.err or 'usage' in r.err),
              'linux.resources.memory.checkBeforeUpdate', r)
vessel('delete', '--force', id)

# unified: names of files as they are.
unified = 'hugetlb.2MB.max' if HAS.get('hugetlb') == 2 else 'pids.max' if HAS.get('pids') == 2 else ''
if unified:
    c = limited({'unified': {unified: '6291456'}}, 'cat',
                '/sys/fs/cgroup/%s%s' % ('' if V2_ONLY else 'unified/', unified))
    c['linux']['namespaces'].append({'type': 'cgroup'})
    r = run(c)
    check(r.out.strip() == '6291456', 'linux.resources.unified.*', r)
else:
    skip('linux.resources.unified.*', 'no v2 hierarchy with hugetlb or pids')
r = run(limited({'unified': {'memory.nosuchfile': '1'}}, 'true'))
check(r.code == 1 and 'memory.nosuchfile' in r.err and left_over() == [],
      'linux.resources.unified.*: a file that does not exist is named', r)

# Devices: what may be opened and made, in the order of the rules.
rules = [{'allow': False, 'access': 'rwm'},
         {'allow': True, 'type': 'c', 'major': 10, 'minor': 229, 'access': 'r'},
         {'allow': False, 'type': 'c', 'major': 1, 'minor': 5, 'access': 'rw'}]
c = limited({'devices': rules}, 'sh', '-c', '''
sh -c ': </dev/fuse' && echo fuse-read; sh -c ': >/dev/fuse' && echo fuse-write
sh -c ': </dev/zero' && echo zero-read
echo x >/dev/null && echo null-write''')
c['linux']['devices'] = [{'path': '/dev/fuse', 'type': 'c', 'major': 10, 'minor': 229,
                          'fileMode': 0o666, 'uid': 0, 'gid': 0}]
r = run(c)
check('fuse-read' in r.out and 'fuse-write' not in r.out, 'linux.resources.devices[].access', r)
check('zero-read' not in r.out, 'linux.resources.devices[].allow: false denies a default device', r)
check('null-write' in r.out, 'linux.resources.devices[].major and minor: others stay', r)
c = limited({'devices': [{'allow': False, 'access': 'rwm'},
                         {'allow': True, 'type': 'b', 'major': 7, 'minor': 200, 'access': 'm'}]},
            'sh', '-c', 'mknod /tmp/b b 7 200 && echo made; mknod /tmp/c c 7 200 && : </tmp/c')
c['process']['capabilities'] = {s: ['CAP_MKNOD'] for s in ('bounding', 'effective', 'permitted')}
b = bundle(c)
os.symlink('busybox', b + '/rootfs/bin/mknod')
r = vessel('run', '--bundle', b, name())
check('made' in r.out and r.code != 0, 'linux.resources.devices[].type', r)

# cgroupsPath: absolute as it is, relative below the caller's.
for path in ('/%s/absolute' % TAG, '%s-relative' % TAG):
    c = config('cat', '/proc/self/cgroup')
    c['linux']['cgroupsPath'] = path
    r = run(c)
    lines = r.out.split()
    check(lines and all(l.endswith('/' + path.lstrip('/')) for l in lines if 'unified' not in l),
          'linux.cgroupsPath: ' + ('absolute' if path[0] == '/' else 'relative'), r)
check(left_over() == [], 'nothing is left', left_over())
done()
