#!/usr/bin/env python3
# Mounts and paths that the kernel takes without the container seeing anything of them, or refuses
# with an errno that says nothing: each is either made to work or refused with the reason.
import sys, os
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bundle import *


def changed(*args, mounts=(), **linux):
    c = config('sh', '-c', *args)
    c['mounts'] += mounts
    c['linux'].update(linux)
    return c


def bind(source, destination, *options):
    return {'destination': destination, 'source': source, 'options': ['rbind', *options]}


def run_in(b):
    return vessel('run', '--bundle', b, name())


data = os.path.join(DIR, 'data')
os.mkdir(data)
file = os.path.join(data, 'file')
with open(file, 'w') as f:
    f.write('data\n')

# The root itself.
r = run(changed('echo ran', mounts=[bind(data, '/')]))
check(r.code == 1 and 'mounts[3].destination: is the root itself' in r.err, 'a mount on /', r)
b = bundle(changed('echo ran', mounts=[bind(data, '/top')]))
os.symlink('/', b + '/rootfs/top')
r = run_in(b)
check(r.code == 1 and 'leads from /top to the root itself' in r.err, 'a mount on a link to /', r)
b = bundle(changed('cat /data/file', mounts=[bind(data, '/top/data')]))
os.symlink('/', b + '/rootfs/top')
r = run_in(b)
check((r.code, r.out) == (0, 'data\n'), 'a mount below a link to /', r)
r = run(changed('echo ran', maskedPaths=['/']))
check(r.code == 1 and 'the root itself cannot be masked' in r.err, 'the root masked', r)
r = run(changed('touch /x || touch /dev/x && echo ran', readonlyPaths=['/']))
check(r.out == 'ran\n' and 'Read-only file system' in r.err, 'the root as a read-only path', r)

# A file and a directory.
b = bundle(changed('echo ran', mounts=[bind(file, '/tmp')]))
r = run_in(b)
check(r.code == 1 and 'the source %s is a file, but the destination is a directory: Not a directory' % file in r.err,
      'a file onto a directory', r)
b = bundle(changed('echo ran', mounts=[bind(data, '/etc/passwd', 'ro')]))
r = run_in(b)
check(r.code == 1 and 'the source %s is a directory, but the destination is a file: Not a directory' % data in r.err,
      'a directory onto a file', r)

# The option as podman passes it on from --volume.
os.chown(file, 5, 6)
r = run(changed('ls -ln /tmp/file', mounts=[bind(data, '/tmp', 'idmap=uids=0-1000-10;gids=0-2000-10')]))
check(r.code == 0 and r.err == '' and r.out.split()[2:4] == ['1005', '2006'], 'idmap=', r)
r = run(changed('ls -ln /tmp/file', mounts=[bind(data, '/tmp', 'idmap=uids=0-1000-10')]))
check(r.code == 1 and 'uids=… and gids=… must be given both' in r.err, 'idmap= with half of it', r)

# All the way down from a mount whose parts are only made under it.
r = run(changed('grep -c " /sys/fs/cgroup.* rw,[^-]* - cgroup" /proc/self/mountinfo; ls /sys/fs/cgroup | wc -l',
                mounts=[{'destination': '/sys', 'type': 'sysfs', 'source': 'sysfs'},
                        {'destination': '/sys/fs/cgroup', 'type': 'cgroup', 'source': 'cgroup', 'options': ['rro']}]))
check(r.code == 0 and r.out.split()[0] == '0' and r.out.split()[1] != '0', 'rro of the cgroup tree', r)
check(left_over() == [], 'nothing is left', left_over())
done()
