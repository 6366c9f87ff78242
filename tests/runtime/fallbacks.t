#!/usr/bin/env python3
# slow
# System calls that a kernel or a filter around vessel does not have: the container runs all the
# same, or the error names what is missing and nothing is left. The floor is Linux 5.11.
import os, re, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bundle import *
import realistic

WITHOUT = os.path.join(TOP, 'build/tests/runtime/without_syscalls')


def without(error, names, *args, **more):
    """vessel behind the filter. The runtime's own name is the program that the filter executes."""
    out = tempfile.TemporaryFile(dir=DIR)
    err = tempfile.TemporaryFile(dir=DIR)
    p = subprocess.run([WITHOUT, error, names, VESSEL, '--root', ROOT, *args], stdin=subprocess.DEVNULL,
                       stdout=out, stderr=err, timeout=30)
    out.seek(0)
    err.seek(0)
    return Result(p.returncode, out.read().decode(errors='replace'), err.read().decode(errors='replace'))


def users():
    c = config('sh', '-c', 'id -u; cat /proc/self/uid_map')
    c['linux']['namespaces'].append({'type': 'user'})
    c['linux']['uidMappings'] = c['linux']['gidMappings'] = [
        {'containerID': 0, 'hostID': 0, 'size': 70000}]
    return c


def ordinary_user():
    c = config('id', '-u')
    c['process']['user'] = {'uid': 1000, 'gid': 1000}
    c['process']['rlimits'] = [{'type': 'RLIMIT_NOFILE', 'soft': 512, 'hard': 512}]
    return c


def timed():
    c = config('cat', '/proc/self/timens_offsets')
    c['linux']['namespaces'].append({'type': 'time'})
    c['linux']['timeOffsets'] = {'boottime': {'secs': 1000}}
    return c


def hooked():
    c = config('echo', 'hooked')
    c['hooks'] = {k: [{'path': '/bin/true', 'args': ['true']}] for k in
                  ('prestart', 'createContainer', 'startContainer', 'poststop')}
    return c


CONFIGS = {'plain': (lambda: config('echo', 'ran'), 'ran\n'),
           'realistic': (lambda: realistic.config('cat', '/etc/hosts'), 'hosts\n'),
           'user namespace': (users, '0\n         0          0      70000\n'),
           'ordinary user': (ordinary_user, '1000\n'), 'hooks': (hooked, 'hooked\n')}
# What has another way, both for a kernel that lacks it and for a filter that refuses it.
for names in ('clone3', 'close_range', 'openat2', 'mount_setattr', 'faccessat2', 'open_tree_attr',
              'pidfd_getfd', 'statmount,listmount', 'kernel-5.11',
              'clone3,close_range,openat2,mount_setattr,open_tree_attr,faccessat2'):
    for error in ('ENOSYS', 'EPERM'):
        wrong = []
        for what, (make, want) in list(CONFIGS.items())[:5 if error == 'ENOSYS' else 2]:
            r = without(error, names, 'run', '--bundle', realistic.files(bundle(make())), name())
            if r.code or r.out != want:
                wrong.append((what, r))
        check(not wrong and left_over() == [], '%s answers %s: containers run' % (names, error),
              (wrong, left_over()))
r = without('ENOSYS', 'clone3', 'run', '--bundle', bundle(timed()), name())
check(r.code == 0 and 'boottime' in r.out and '1000' in r.out, 'a time namespace without clone3', r)

# A whole life on the floor.
b = bundle(config('sleep', '1000'))
id = name()
wrong = []
for args in (['create', '--bundle', b, id], ['start', id], ['exec', id, 'true'], ['state', id],
             ['pause', id], ['resume', id], ['ps', id], ['update', '--pids-limit', '50', id],
             ['kill', id, 'KILL'], ['delete', '--force', id]):
    r = without('ENOSYS', 'kernel-5.11', *args)
    if r.code:
        wrong.append((args, r))
check(not wrong and left_over() == [], 'kernel 5.11: every verb of a life', wrong)

# What 5.11 has no way for is named before anything exists.
c = config('true')
os.makedirs(os.path.join(DIR, 'source'), exist_ok=True)
c['mounts'].append({'destination': '/m', 'type': 'bind', 'source': os.path.join(DIR, 'source'),
                    'options': ['rbind', 'idmap'],
                    'uidMappings': [{'containerID': 0, 'hostID': 1000, 'size': 1}],
                    'gidMappings': [{'containerID': 0, 'hostID': 1000, 'size': 1}]})
r = without('ENOSYS', 'kernel-5.11', 'run', '--bundle', bundle(c), name())
check(r.code == 1 and 'mount' in r.err and left_over() == [], 'kernel 5.11: an id-mapped mount is refused by name', r)

# What the floor has and nothing replaces: the error says which call, and nothing is left.
for names in ('open_tree', 'move_mount', 'fsopen', 'fsconfig', 'fsmount', 'memfd_create'):
    for error in ('ENOSYS', 'EPERM'):
        c = realistic.config('true')
        del c['linux']['seccomp']
        r = without(error, names, 'run', '--bundle', realistic.files(bundle(c)), name())
        good = r.code == 0 or (names in r.err and re.search('not implemented|not permitted', r.err))
        check(good and left_over() == [], '%s answers %s: it runs, or the error names it' % (names, error),
              (r, left_over()))
done()
