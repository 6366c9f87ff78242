#!/usr/bin/env python3
# A creator that is killed right after it made its cgroup, before that is on record: `delete --force`
# removes both, from whatever cgroup it is called in.
import os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bundle import *

KILLED = [os.path.join(TOP, 'build/tests/runtime/without_syscalls'), 'KILL', 'setxattr']  # what follows mkdir
TOPS = ['/sys/fs/cgroup'] if os.path.exists('/sys/fs/cgroup/cgroup.controllers') else \
    [os.path.join('/sys/fs/cgroup', n) for n in os.listdir('/sys/fs/cgroup') if not os.path.islink('/sys/fs/cgroup/' + n)]
if not all(os.path.exists(t + '/cgroup.procs') for t in TOPS):
    print('1..0 # SKIP no cgroups are mounted in the usual places')
    sys.exit(0)


def place(name):
    """The directories of one cgroup in every hierarchy, made."""
    dirs = [os.path.join(t, TAG, name) for t in TOPS]
    for dir in dirs:
        os.makedirs(dir, exist_ok=True)
        for file in ('cpuset.cpus', 'cpuset.mems'):  # v1: none of its own until they are copied down
            for level in (os.path.dirname(dir), dir):
                if os.path.exists(os.path.join(level, file)) and not os.path.exists(level + '/cgroup.controllers'):
                    with open(os.path.join(os.path.dirname(level), file)) as f:
                        value = f.read()
                    with open(os.path.join(level, file), 'w') as f:
                        f.write(value)
    return dirs


def inside(dirs, *args):
    """A program called in these cgroups."""
    def enter():
        for dir in dirs:
            with open(dir + '/cgroup.procs', 'w') as f:
                f.write('0')
    p = subprocess.run(args, stdin=subprocess.DEVNULL, capture_output=True, text=True, preexec_fn=enter)
    return Result(p.returncode, p.stdout, p.stderr)


here, elsewhere = place('creator'), place('deleter')
standing = set(left_over())
for path in ('made', 'between/made', '/%s/creator/absolute' % TAG):
    c = config('true')
    c['linux']['cgroupsPath'] = path
    id = name()
    r = inside(here, *KILLED, VESSEL, '--root', ROOT, 'create', '--bundle', bundle(c), id)
    made = set(left_over()) - standing
    check(r.code < 0 and any(path.strip('/') in m for m in made), '%s: the creator is killed and leaves its cgroup' % path, (r, made))
    r = vessel('state', id)
    check(r.code == 0 and json.loads(r.out)['pid'] == 0, '%s: the state of it' % path, r)
    r = inside(elsewhere, VESSEL, '--root', ROOT, 'delete', '--force', id)
    left = {m for m in set(left_over()) - standing if not m.endswith('/between')}
    check(r.code == 0 and r.err == '' and not left, '%s: delete --force from another cgroup leaves nothing' % path, (r, left))
    for m in sorted(set(left_over()) - standing, reverse=True):
        os.rmdir(m)
for dir in here + elsewhere:
    os.rmdir(dir)
check(left_over() == [], 'nothing is left', left_over())
done()
