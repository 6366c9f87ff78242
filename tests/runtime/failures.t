#!/usr/bin/env python3
# Failures at every step leave nothing behind, say which step it was and why; commands that meet on
# one container; pids that became another process's; the creator killed at any moment.
import json, os, signal, subprocess, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bundle import *


def processes():
    """Commands of every process with this test's tag in its cgroup, or working below DIR."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            # A zombie is its reaper's business.
            stat = open('/proc/%s/stat' % pid).read().rsplit(')', 1)[1].split()
            if stat[0] != 'Z' and TAG in open('/proc/%s/cgroup' % pid).read():
                found.append(open('/proc/%s/cmdline' % pid).read())
        except OSError:
            pass
    return found


def mounts():
    return [l for l in open('/proc/self/mountinfo') if DIR in l]


def fails(cfg, text, what, raw=None, extra=()):
    id = name()
    r = vessel('create', *extra, '--bundle', bundle(cfg, raw), id)
    left = left_over() + processes() + mounts()
    check(r.code == 1 and text in r.err and state(id) is None and left == [], what, (r, left))


def changed(change):
    c = config('true')
    change(c)
    return c


fails(None, 'config.json', 'not JSON', raw='{')
# config.md: process is required when start is called, not before.
id = name()
b = bundle(None, raw='{"ociVersion":"1.0.2","root":{"path":"rootfs"}}')
r = vessel('run', '--bundle', b, name())
check(r.code == 1 and 'process' in r.err and left_over() == [], 'run without process', r)
c = config()
del c['process']
b = bundle(c)
r = vessel('create', '--bundle', b, id)
check(r.code == 0, 'create without process', r)
r = vessel('start', id)
check(r.code == 1 and 'process' in r.err and state(id)['status'] == 'created',
      'start without process is an error and changes nothing', r)
r = vessel('delete', '--force', id)
check(r.code == 0 and left_over() == [], 'and it can be deleted', (r, left_over()))
fails(changed(lambda c: c['root'].update(path='none')), 'none', 'no root')
fails(changed(lambda c: c['mounts'].append(
    {'destination': '/x', 'type': 'bind', 'source': '/nonexistent', 'options': ['bind']})),
    'mounts[3] (/x)', 'a missing source')
fails(changed(lambda c: c['mounts'].append(
    {'destination': '/x', 'type': 'nofs', 'source': 'x'})), 'mounts[3]', 'an unknown file system')
fails(changed(lambda c: c['linux'].update(sysctl={'net.nonexistent': '1'})), 'nonexistent',
      'an unknown sysctl')
fails(changed(lambda c: c['linux'].update(sysctl={'kernel.panic': '1'})), 'kernel.panic',
      'a sysctl of the host')
fails(changed(lambda c: c['process'].update(cwd='/etc/passwd')), 'chdir to cwd', 'a cwd that is a file')
fails(changed(lambda c: c['process'].update(
    rlimits=[{'type': 'RLIMIT_NOFILE', 'soft': 5, 'hard': 4}])), 'process.rlimits[0]', 'a wrong rlimit')
for variable, text in (('A=\0', 'must not contain a NUL character'), ('A', 'expected NAME=value'),
                       ('=a', 'expected NAME=value')):
    fails(changed(lambda c: c['process']['env'].append(variable)), 'config.json: process.env[1]: ' + text,
          'the variable %r' % variable)
fails(changed(lambda c: c['process'].update(args=['none'])), 'executable file not found', 'no program')
fails(changed(lambda c: c['process'].update(terminal=True)), '/nonexistent/socket', 'no console socket',
      extra=('--console-socket', '/nonexistent/socket'))
fails(config('true'), '/nonexistent/pid', 'no place for the pid file',
      extra=('--pid-file', '/nonexistent/pid'))
fails(config('true'), '/nonexistent/socket', 'no pidfd socket',
      extra=('--pidfd-socket', '/nonexistent/socket'))
r = vessel('create', '--bundle', bundle(config('true')), '../x')
check(r.code == 1 and 'invalid id' in r.err, 'an id that leads out', r)

# Memory that ends during set-up is told.
if os.path.isdir('/sys/fs/cgroup/memory') or 'memory' in open('/sys/fs/cgroup/cgroup.controllers').read():
    # What the kernel needs for the clone itself is the caller's; the first pages of the child are not.
    r = run(changed(lambda c: c['linux'].update(resources={'memory': {'limit': 4096}})))
    check(r.code == 1 and 'during set-up' in r.err and 'memory limit was reached (oom_kill)' in r.err and
          left_over() == [], 'too little memory to start', r)
else:
    skip('too little memory to start', 'no memory controller')

# The creator is killed at any moment.
b = bundle(config('sleep', '1000'))
for step in range(30):
    id = name()
    p = subprocess.Popen([VESSEL, '--root', ROOT, 'create', '--bundle', b, id],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.0004 * step)
    p.kill()
    p.wait()
    s = state(id)
    r = vessel('delete', '--force', id)
    if r.code:
        break
for _ in range(50):
    if not processes():
        break
    time.sleep(0.02)
check(r.code == 0 and left_over() + processes() + mounts() == [],
      'create killed at 30 moments; delete --force cleans up', (r, s, left_over(), processes()))

# delete --force during create wins.
c = config('sleep', '1000')
ran = os.path.join(DIR, 'poststop-ran')
c['hooks'] = {'createRuntime': [{'path': '/bin/sleep', 'args': ['sleep', '0.3']}],
              'poststop': [{'path': '/bin/sh', 'args': ['sh', '-c', 'echo ran >>' + ran]}]}
b = bundle(c)
id = name()
p = subprocess.Popen([VESSEL, '--root', ROOT, 'create', '--bundle', b, id],
                     stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
for _ in range(100):
    s = state(id)
    if s and s['pid']:
        break
    time.sleep(0.002)
check(s and s['status'] == 'creating', 'creating is visible', s)
r = vessel('delete', id)
check(r.code == 1 and 'not stopped: creating' in r.err, 'delete during create is refused', r)
r = vessel('delete', '--force', id)
err = p.communicate()[1].decode()
check(r.code == 0 and p.returncode == 1 and left_over() + processes() == [],
      'delete --force during create', (r, err, left_over(), processes()))
check(open(ran).read() == 'ran\n', 'its poststop hooks run once', open(ran).read())
os.unlink(ran)
c['hooks'].pop('createRuntime')
b = bundle(c)
for _ in range(5):
    id = name()
    vessel('create', '--bundle', b, id, detached=True)
    ps = [subprocess.Popen([VESSEL, '--root', ROOT, 'delete', '--force', id], stderr=subprocess.PIPE) for _ in range(4)]
    errors = [p.communicate()[1] for p in ps]
    if any(p.returncode for p in ps):
        break
check(not any(p.returncode for p in ps), 'four delete --force at once', errors)
check(open(ran).read() == 'ran\n' * 5, 'and the poststop hooks of each container ran once', open(ran).read())

# Many at once on one id: exactly one wins.
b = bundle(config('sleep', '1000'))
id = name()
ps = [subprocess.Popen([VESSEL, '--root', ROOT, 'create', '--bundle', b, id],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(6)]
check(sorted(p.wait() for p in ps) == [0, 1, 1, 1, 1, 1], 'six creates of one id')
ps = [subprocess.Popen([VESSEL, '--root', ROOT, 'start', id], stderr=subprocess.DEVNULL)
      for _ in range(6)]
check(sorted(p.wait() for p in ps) == [0, 1, 1, 1, 1, 1], 'six starts')
ps = [subprocess.Popen([VESSEL, '--root', ROOT, *verb, id] + (['KILL'] if verb == ['kill'] else []),
                       stderr=subprocess.DEVNULL)
      for verb in (['delete', '--force'], ['kill'], ['delete', '--force'], ['kill'], ['state'])]
for p in ps:
    p.wait()
vessel('delete', '--force', id)
check(left_over() + processes() == [], 'kill and delete at once', (left_over(), processes()))

# A pid that went to another process.
other = subprocess.Popen(['sleep', '1000'])
for what, change in (('start time', {'startTime': 1}), ('boot', {'bootId': 'another'})):
    id = name()
    vessel('run', '-d', '--bundle', b, id)
    vessel('kill', id, 'KILL')
    time.sleep(0.05)
    file = os.path.join(ROOT, id, 'state.json')
    j = json.load(open(file))
    stat = open('/proc/%d/stat' % other.pid).read().rsplit(')', 1)[1].split()
    j.update(pid=other.pid, startTime=int(stat[19]))
    j.update(change)
    json.dump(j, open(file, 'w'))
    check(state(id)['status'] == 'stopped', 'another %s: stopped' % what, state(id))
    check(vessel('kill', id, 'KILL').code == 1, 'kill refuses')
    check(vessel('delete', '--force', id).code == 0 and other.poll() is None,
          'delete leaves the other process alone')
other.kill()
other.wait()

# What a crash may have left of the state.
for content in (None, '', '{', '{"format":99}'):
    id = name()
    os.makedirs(os.path.join(ROOT, id))
    if content is not None:
        with open(os.path.join(ROOT, id, 'state.json'), 'w') as f:
            f.write(content)
    vessel('list')
    r = vessel('delete', '--force', id)
    check(r.code == 0 and not os.path.exists(os.path.join(ROOT, id)),
          'delete --force with the state file %r' % content, r)
# A record that was lost while the container runs: forgotten, nothing would find its processes.
id = name()
vessel('run', '-d', '--bundle', b, id)
file = os.path.join(ROOT, id, 'state.json')
pid = json.load(open(file))['pid']
with open(file, 'w') as f:
    f.write('{"format":1,')
r = vessel('delete', '--force', id)
check(r.code == 1 and '1 process(es) found in it' in r.err and 'end them and delete again' in r.err and
      os.path.exists(file) and os.path.exists('/proc/%d' % pid), 'delete --force does not forget what still runs', r)
os.kill(pid, signal.SIGKILL)
for _ in range(100):
    r = vessel('delete', '--force', id)
    if r.code == 0:
        break
    time.sleep(0.02)
check(r.code == 0 and not os.path.exists(file), 'delete --force once its processes have ended', r)
check(left_over() + processes() + mounts() == [], 'nothing is left', left_over())
done()
