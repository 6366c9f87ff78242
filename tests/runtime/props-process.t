#!/usr/bin/env python3
# Every property of `process` (and of linux what belongs to the process), read from inside.
# Points are named by the property's path: conformance/properties maps each path to its point.
import os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bundle import *
from probing import *


def process(*args, **more):
    c = config(*args)
    c['process'].update(more)
    return c


r = run(process('sh', '-c', 'echo "$0:$1:$2"', '', 'a b', '*'))
check(r.out == ':a b:*\n', 'process.args[]: passed one by one, empty ones too', r)
r = run(process('sh', '-c', 'echo "$A|$B"', env=['PATH=/bin', 'A=x=y', 'B=']))
check(r.out == 'x=y|\n', 'process.env[]', r)
r = run(process('pwd', cwd='/made/for/it'))
check(r.out == '/made/for/it\n', 'process.cwd: made when missing', r)
r = run(process('true', commandLine='something else'))
check(r.code == 0, 'process.commandLine: of Windows, has no effect', r)
r = run(process('id', '-u', user={'uid': 7, 'gid': 8, 'username': 'root'}))
check(r.out == '7\n', 'process.user.username: of Windows, has no effect', r)
r = run(process('sh', '-c', 'id -u; id -g; id -G; umask',
                user={'uid': 12, 'gid': 34, 'additionalGids': [56, 78], 'umask': 0o77}))
lines = r.out.split('\n')
check(lines[0] == '12', 'process.user.uid', r)
check(lines[1] == '34', 'process.user.gid', r)
check(lines[2] == '34 56 78', 'process.user.additionalGids[]', r)
check(lines[3] == '0077', 'process.user.umask', r)

# Five different sets, in bits: what the kernel lets be told apart.
BIT = {'CAP_CHOWN': 0, 'CAP_KILL': 5, 'CAP_SETGID': 6, 'CAP_SETUID': 7, 'CAP_NET_RAW': 13}
sets = {'bounding': ['CAP_CHOWN', 'CAP_KILL', 'CAP_SETGID', 'CAP_SETUID'],
        'permitted': ['CAP_CHOWN', 'CAP_KILL', 'CAP_SETGID'],
        'inheritable': ['CAP_CHOWN', 'CAP_KILL', 'CAP_SETUID'],
        'effective': ['CAP_CHOWN', 'CAP_SETGID'], 'ambient': ['CAP_CHOWN', 'CAP_KILL']}
r = run(process('cat', '/proc/self/status', user={'uid': 5, 'gid': 5}, capabilities=sets))
got = {l.split(':')[0]: int(l.split()[1], 16) for l in r.out.splitlines() if l.startswith('Cap')}


def bits(names):
    return sum(1 << BIT[n] for n in names)


# execve of a user that is not root: ambient becomes permitted and effective (capabilities(7)).
check(got.get('CapBnd') == bits(sets['bounding']), 'process.capabilities.bounding[]', (r, got))
check(got.get('CapInh') == bits(sets['inheritable']), 'process.capabilities.inheritable[]', got)
check(got.get('CapAmb') == bits(sets['ambient']), 'process.capabilities.ambient[]', got)
check(got.get('CapPrm') == got.get('CapEff') == bits(sets['ambient']),
      'process.capabilities: after execve a user has the ambient ones', got)
# root with no_new_privs: all of the bounding set that was permitted.
r = run(process('cat', '/proc/self/status', noNewPrivileges=True,
                capabilities=dict(sets, ambient=[])))
got = {l.split(':')[0]: int(l.split()[1], 16) for l in r.out.splitlines() if l.startswith('Cap')}
check(got.get('CapPrm') == bits(sets['permitted']), 'process.capabilities.permitted[]', (r, got))
r = run(process('cat', '/proc/self/status', noNewPrivileges=False,
                capabilities=dict(sets, ambient=[])))
got = {l.split(':')[0]: int(l.split()[1], 16) for l in r.out.splitlines() if l.startswith('Cap')}
check(got.get('CapPrm') == got.get('CapEff') == bits(sets['bounding']),
      'process.capabilities.effective[]: execve gives root the bounding set', (r, got))
r = run(process('sh', '-c', 'chown 1:1 /tmp && echo yes; kill -0 1 && echo yes',
                capabilities={s: ['CAP_KILL'] for s in sets}))
check(r.out == 'yes\n', 'process.capabilities: what is not there cannot be done', r)

r = run(process('grep', 'NoNewPrivs', '/proc/self/status', noNewPrivileges=True))
s = run(process('grep', 'NoNewPrivs', '/proc/self/status', noNewPrivileges=False))
check(r.out.endswith('1\n') and s.out.endswith('0\n'), 'process.noNewPrivileges', (r, s))
r = run(process('cat', '/proc/self/oom_score_adj', oomScoreAdj=77))
check(r.out == '77\n', 'process.oomScoreAdj', r)

LIMITS = {'CPU': 'cpu time', 'FSIZE': 'file size', 'DATA': 'data size', 'STACK': 'stack size',
          'CORE': 'core file size', 'RSS': 'resident set', 'NPROC': 'processes',
          'NOFILE': 'open files', 'MEMLOCK': 'locked memory', 'AS': 'address space',
          'LOCKS': 'file locks', 'SIGPENDING': 'pending signals', 'MSGQUEUE': 'msgqueue size',
          'NICE': 'nice priority', 'RTPRIO': 'realtime priority', 'RTTIME': 'realtime timeout'}
import resource
wanted = {}
for kind in LIMITS:
    soft, hard = resource.prlimit(os.getpid(), getattr(resource, 'RLIMIT_' + kind, 10))
    if not hasattr(resource, 'RLIMIT_' + kind):  # python has no LOCKS
        soft = hard = resource.RLIM_INFINITY
    value = 1 << 30 if hard == resource.RLIM_INFINITY else max(hard - 1, 0)
    wanted[kind] = (value // 2, value)
rlimits = [{'type': 'RLIMIT_' + k, 'soft': s, 'hard': h} for k, (s, h) in wanted.items()]
for uid in (0, 1000):
    r = run(process('cat', '/proc/self/limits', rlimits=rlimits, user={'uid': uid, 'gid': uid}))
    seen = {}
    for line in r.out.splitlines()[1:]:
        for kind, text in LIMITS.items():
            if line[4:].startswith(text):
                seen[kind] = tuple(int(x) if x.isdigit() else -1 for x in line[26:].split()[:2])
    what = ('process.rlimits[].type', 'process.rlimits[].soft and process.rlimits[].hard as a user')
    check(seen == wanted, what[uid != 0] + ': all sixteen', (r.err, seen, wanted))
r = run(process('true', rlimits=[{'type': 'RLIMIT_TEST', 'soft': 1, 'hard': 1}]))
check(r.code == 1 and 'RLIMIT_TEST' in r.err, 'process.rlimits[].type: an unknown one is refused', r)


def probed(*words, linux=None, **more):
    c = process('/bin/probe', *words, **more)
    c['linux'].update(linux or {})
    return run_probe(c)


# nice, and policies that any process may take.
POLICY = {'SCHED_OTHER': 0, 'SCHED_FIFO': 1, 'SCHED_RR': 2, 'SCHED_BATCH': 3, 'SCHED_ISO': 4,
          'SCHED_IDLE': 5, 'SCHED_DEADLINE': 6}
r = probed('scheduler', scheduler={'policy': 'SCHED_OTHER', 'nice': 7})
check(r.out.startswith('policy=0 ') and 'nice=7 ' in r.out, 'process.scheduler.nice', r)
for policy in ('SCHED_BATCH', 'SCHED_IDLE'):
    r = probed('scheduler', scheduler={'policy': policy})
    check(r.out.startswith('policy=%d ' % POLICY[policy]), 'process.scheduler.policy=' + policy, r)
r = probed('scheduler', scheduler={'policy': 'SCHED_ISO'})
check(r.code == 1 and 'scheduler' in r.err, 'process.scheduler.policy=SCHED_ISO: Linux has none', r)
r = probed('scheduler', scheduler={'policy': 'SCHED_OTHER',
                                   'flags': ['SCHED_FLAG_RESET_ON_FORK']})
check('flags=1 ' in r.out, 'process.scheduler.flags[]', r)
refused = 'Operation not permitted'
for policy in ('SCHED_FIFO', 'SCHED_RR'):
    r = probed('scheduler', scheduler={'policy': policy, 'priority': 3})
    what = 'process.scheduler.priority, policy=' + policy
    if r.code and refused in r.err:
        # CAP_SYS_NICE, or no realtime time in the cgroup (RT_GROUP_SCHED).
        check('process.scheduler' in r.err and left_over() == [], what + ': a clean error', r)
    else:
        check(r.out.startswith('policy=%d ' % POLICY[policy]) and 'priority=3 ' in r.out, what, r)
r = probed('scheduler', scheduler={'policy': 'SCHED_DEADLINE', 'runtime': 1000000,
                                   'deadline': 5000000, 'period': 10000000})
what = 'process.scheduler.runtime, deadline and period'
if r.code:
    check('process.scheduler' in r.err and left_over() == [], what + ': a clean error', r)
else:
    check('policy=6 ' in r.out and 'runtime=1000000 deadline=5000000 period=10000000' in r.out,
          what, r)

for name_, number in (('IOPRIO_CLASS_BE', 2), ('IOPRIO_CLASS_IDLE', 3)):
    level = 5 if number == 2 else 0
    r = probed('ioprio', ioPriority={'class': name_, 'priority': level})
    check(r.out == 'class=%d level=%d\n' % (number, level), 'process.ioPriority.class=' + name_, r)
r = probed('ioprio', ioPriority={'class': 'IOPRIO_CLASS_RT', 'priority': 6})
check(r.out == 'class=1 level=6\n' or (r.code == 1 and 'process.ioPriority' in r.err),
      'process.ioPriority.priority, class=IOPRIO_CLASS_RT', r)

# The affinity is that of exec, says config.md: initial until the process is in its cgroup, final
# for the program; initial alone stays.
c = process('/bin/probe', 'pause')
id = name()
b = bundle(c)
add_probe(b)
vessel('run', '--detach', '--bundle', b, id, detached=True)
cpus = sorted(os.sched_getaffinity(0))
for key in ('initial', 'final'):
    p = os.path.join(DIR, 'process.json')
    with open(p, 'w') as f:
        json.dump(dict(c['process'], args=['/bin/probe', 'affinity'],
                       execCPUAffinity={key: str(cpus[-1])}), f)
    r = vessel('exec', '--process', p, id)
    check(r.out.split() == [str(cpus[-1])], 'process.execCPUAffinity.' + key, r)
c = process('/bin/probe', 'affinity')
c['process']['execCPUAffinity'] = {'initial': str(cpus[-1]), 'final': str(cpus[-1])}
r = run_probe(c)
check(r.out.split() == [str(n) for n in cpus], 'process.execCPUAffinity is not of init', r)
os.sched_setaffinity(0, cpus[:1])
r = probed('affinity')
os.sched_setaffinity(0, cpus)
check(r.out.split() == [str(c) for c in cpus], 'the caller\'s affinity is not inherited', r)
vessel('delete', '--force', id)

r = probed('personality', linux={'personality': {'domain': 'LINUX32'}})
check(r.out == '8\n', 'linux.personality.domain=LINUX32', r)
r = probed('personality', linux={'personality': {'domain': 'LINUX'}})
check(r.out == '0\n', 'linux.personality.domain=LINUX', r)
r = probed('personality', linux={'personality': {'domain': 'LINUX', 'flags': ['ADDR_NO_RANDOMIZE']}})
check(r.out == '40000\n' or (r.code == 1 and 'linux.personality.flags' in r.err),
      'linux.personality.flags[]: set, or refused by name', r)

MODE = {'MPOL_DEFAULT': 0, 'MPOL_PREFERRED': 1, 'MPOL_BIND': 2, 'MPOL_INTERLEAVE': 3,
        'MPOL_LOCAL': 4, 'MPOL_PREFERRED_MANY': 5, 'MPOL_WEIGHTED_INTERLEAVE': 6}
numa = not probed('mempolicy').out.startswith('errno=38')
for mode, number in MODE.items():
    policy = {'mode': mode}
    if mode not in ('MPOL_DEFAULT', 'MPOL_LOCAL'):
        policy['nodes'] = '0'
    r = probed('mempolicy', linux={'memoryPolicy': policy})
    what = 'linux.memoryPolicy.mode=' + mode
    if not numa:
        check(r.code == 1 and 'linux.memoryPolicy' in r.err, what + ': no NUMA, a clean error', r)
    else:
        want = 'mode=%d flags=0 nodes=%s\n' % (number, '1' if 'nodes' in policy else '0')
        check(r.out == want or (number > 4 and r.code == 1), what, r)
r = probed('mempolicy', linux={'memoryPolicy': {'mode': 'MPOL_BIND', 'nodes': '0',
                                                'flags': ['MPOL_F_STATIC_NODES']}})
check(r.out == 'mode=2 flags=128 nodes=1\n' if numa else 'linux.memoryPolicy' in r.err,
      'linux.memoryPolicy.nodes and linux.memoryPolicy.flags[]', r)

# The terminal.
c = process('sh', '-c', 'stty size; test -t 0 -a -t 1 -a -t 2 && tty; sleep 0.2', terminal=True,
            consoleSize={'height': 21, 'width': 43})
code, text = run_terminal(c)
check('21 43' in text, 'process.consoleSize.height and process.consoleSize.width', (code, text))
check('/dev/pts/0' in text, 'process.terminal', (code, text))

# What this host has no module for is left out, and told.
apparmor = os.path.exists('/sys/kernel/security/apparmor/profiles')
selinux = os.path.exists('/sys/fs/selinux/enforce')
for field, has in (('apparmorProfile', apparmor), ('selinuxLabel', selinux)):
    what = 'process.' + field + ': left out with a warning where the host has none'
    if has:
        skip(what, 'host without it')
        continue
    r = run(process('true', **{field: 'confined_t'}))
    check(r.code == 0 and 'process.' + field in r.err and 'level=warning' in r.err, what, r)
c = process('true')
c['linux']['mountLabel'] = 'system_u:object_r:container_file_t:s0'
if selinux:
    skip('linux.mountLabel: without SELinux no effect', 'host without SELinux')
else:
    r = run(c)
    check(r.code == 0, 'linux.mountLabel: without SELinux no effect', r)

# The session keyring.
r = probed('keyring')
s = run_probe(process('/bin/probe', 'keyring'), '--no-new-keyring')
check('_ses' in r.out and s.out != r.out and '_ses.' + TAG not in s.out,
      'a session keyring of its own, and none with --no-new-keyring', (r, s))
for option in ([], ['--no-new-keyring']):
    id = name()
    b = add_probe(bundle(process('/bin/probe', 'pause')))
    vessel('run', '--detach', *option, '--bundle', b, id, detached=True)
    r = vessel('exec', id, '/bin/probe', 'keyring')
    check(r.code == 0 and ('_ses.' + id in r.out) == (not option),
          'exec joins the keyring of the container' if not option else 'and none of its own with --no-new-keyring', r)
    vessel('delete', '--force', id)
check(left_over() == [], 'nothing is left', left_over())
done()
