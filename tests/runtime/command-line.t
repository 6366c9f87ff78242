#!/usr/bin/env python3
# What callers write on the command line: every limit of `update` by its flag, long options with a
# single dash, the options of exec, pid files, the global options, TERM as the signal, KILL without a
# pid namespace, an empty XDG_RUNTIME_DIR.
import json, os, subprocess, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bundle import *


def cgroup_file(v1_controller, v1_file, v2_file):
    """That of the container with the config of `config`, on either version; None without it."""
    tail = c['linux']['cgroupsPath']
    for path in ('/sys/fs/cgroup/%s%s/%s' % (v1_controller, tail, v1_file),
                 '/sys/fs/cgroup%s/%s' % (tail, v2_file)):
        if os.path.exists(path):
            with open(path) as f:
                return f.read().strip()
    return None


c = config('sleep', '1000')
c['linux']['resources'] = {'memory': {'limit': 64 << 20, 'swap': 64 << 20}}
if cgroup_file('memory/..', 'memory/memory.memsw.limit_in_bytes', 'memory.swap.max') is None:
    del c['linux']['resources']['memory']['swap']  # this kernel does not account for it
id = name()
r = vessel('run', '-d', '--bundle', bundle(c), id)
check(r.code == 0, 'a container', r)

V2 = os.path.exists('/sys/fs/cgroup/cgroup.controllers')
CPUS = open('/proc/self/status').read().split('Cpus_allowed_list:\t')[1].split('\n')[0]
# Flags → v1 controller, v1 file, its content, v2 file, its content.
UPDATES = (
    (['--memory', '32m', '--memory-swap', '48m'], 'memory', 'memory.limit_in_bytes', str(32 << 20), 'memory.max', str(32 << 20)),
    (['--memory=40M'], 'memory', 'memory.limit_in_bytes', str(40 << 20), 'memory.max', str(40 << 20)),
    (['--memory-reservation', '16777216'], 'memory', 'memory.soft_limit_in_bytes', str(16 << 20), 'memory.low', str(16 << 20)),
    (['--memory-swap', '-1'], 'memory', 'memory.memsw.limit_in_bytes', None, 'memory.swap.max', 'max'),
    (['--cpu-period', '50000', '--cpu-quota', '20000'], 'cpu', 'cpu.cfs_quota_us', '20000', 'cpu.max', '20000 50000'),
    (['--cpu-quota', '30000'], 'cpu', 'cpu.cfs_quota_us', '30000', 'cpu.max', '30000 50000'),
    (['--cpu-period', '60000'], 'cpu', 'cpu.cfs_period_us', '60000', 'cpu.max', '30000 60000'),
    (['--cpu-burst', '5000'], 'cpu', 'cpu.cfs_burst_us', '5000', 'cpu.max.burst', '5000'),
    (['--cpu-share', '512'], 'cpu', 'cpu.shares', '512', 'cpu.weight', None),
    (['--cpu-idle', '1'], 'cpu', 'cpu.idle', '1', 'cpu.idle', '1'),
    (['--cpuset-cpus', CPUS.split(',')[0].split('-')[0]], 'cpuset', 'cpuset.cpus', CPUS.split(',')[0].split('-')[0], 'cpuset.cpus', CPUS.split(',')[0].split('-')[0]),
    (['--cpuset-mems', '0'], 'cpuset', 'cpuset.mems', '0', 'cpuset.mems', '0'),
    (['--pids-limit', '77'], 'pids', 'pids.max', '77', 'pids.max', '77'),
    (['--pids-limit', '-1'], 'pids', 'pids.max', 'max', 'pids.max', 'max'),
    (['--blkio-weight', '500'], 'blkio', 'blkio.bfq.weight', '500', 'io.weight', None),
    (['--cpu-rt-period', '500000'], 'cpu', 'cpu.rt_period_us', '500000', 'no such file', None),
    # What its parent has none of.
    (['--cpu-rt-runtime', '100'], 'cpu', 'cpu.rt_runtime_us', 'linux.resources.cpu.realtimeRuntime', 'no such file', None),
)
for flags, controller, v1, v1_want, v2, v2_want in UPDATES:
    what = 'update ' + ' '.join(flags)
    before = cgroup_file(controller, v1, v2)
    r = vessel('update', *flags, id)
    if before is None:
        # A limit that this kernel does not have must not be taken silently.
        check(r.code == 1 and left_over() != [], what + ': not in this kernel, and told', r)
        continue
    if r.code == 1 and v1_want and v1_want.startswith('linux.') and v1_want in r.err:
        check(left_over() != [], what + ': refused by the kernel, and told', r)
        continue
    after, want = cgroup_file(controller, v1, v2), v2_want if V2 else v1_want
    check(r.code == 0 and (after == want if want else after != '' and (after != before or flags[1] == '-1')),
          what, (r, before, after, want))
vessel('update', '--memory', '32m', '--memory-swap', '48m', id)
r = vessel('update', '--memory', '64m', id)
if V2:
    check(r.code == 0, 'update --memory alone', r)
else:
    check(r.code == 1 and 'linux.resources.memory.limit: 67108864 is above 50331648' in r.err and 'raise that too' in r.err,
          'update --memory above the limit of memory and swap', r)
r = vessel('update', '--resources=-', id, stdin=b'{"pids": {"limit": 78}}')
check(r.code == 0 and cgroup_file('pids', 'pids.max', 'pids.max') == '78', 'update --resources=-', r)
for flags in (['--kernel-memory', '1m'], ['--kernel-memory-tcp', '1m']):
    r = vessel('update', *flags, id)
    check(r.code == 0, 'update ' + flags[0] + ' is taken: gone from Linux, as in runc', r)
for flags, text in ((['--memory', '12x'], '--memory'), (['--pids-limit', 'many'], '--pids-limit'),
                    (['--cpu-quota', '1.5'], '--cpu-quota'), (['--cpu-share', '-4'], '--cpu-share'),
                    (['--mem-bw-schema', 'L3:0=f'], '--mem-bw-schema')):
    r = vessel('update', *flags, id)
    check(r.code == 1 and text in r.err, 'update %s: a value that is none is named' % ' '.join(flags), r)
r = vessel('update', '--l3-cache-schema', 'L3:0=f', id)
check(r.code == 1 and 'linux.intelRdt' in r.err, 'update --l3-cache-schema of a container without intelRdt', r)

# Go's flag package takes one dash and two; go-runc writes `-no-subreaper`.
r = vessel('exec', '-env', 'A=b', '-cwd=/tmp', '-user', '7:8', id, 'sh', '-c', 'echo $A $PWD; id -u; id -g')
check(r.out == 'b /tmp\n7\n8\n', 'exec with single dashes', r)
check(json.loads(vessel('ps', '-format', 'json', id).out) != [], 'ps -format json')
check(vessel('kill', '-all', id, 'KILL').code == 0, 'kill -all')
check(vessel('delete', '-force', id).code == 0 and state(id) is None, 'delete -force')
pid_file, plain_file = os.path.join(DIR, 'pid'), os.path.join(DIR, 'plain')
open(plain_file, 'w').close()
plain = bundle(config('true'))
id = name()
r = vessel('run', '-no-subreaper', '-no-new-keyring', '-pid-file', pid_file, '-keep=true', '-bundle', bundle(config('true')), id)
check(r.code == 0 and open(pid_file).read().isdigit() and state(id)['status'] == 'stopped', 'run with single dashes', r)
vessel('delete', id)

# kill without a signal, on a container that shows which it got.
c = config('sh', '-c', 'for s in HUP INT QUIT TERM; do trap "echo $s >/tmp/got; exit" $s; done; '
           'echo >/tmp/ready; while :; do sleep 0.05; done')
c['process']['noNewPrivileges'] = False
id = name()
b = bundle(c)
r = vessel('run', '-d', '--pid-file', pid_file, '--bundle', b, id, detached=True)
with open(pid_file) as f:
    text = f.read()
check(r.code == 0 and text == str(state(id)['pid']), 'run --detach --pid-file', (r, text))


def wait_for(what):
    for _ in range(500):
        if what():
            return True
        time.sleep(0.01)
    return False


# exec, still in this container.
process = {'args': ['sh', '-c', 'echo $X; pwd; id -u'], 'env': ['PATH=/bin', 'X=y'], 'cwd': '/etc',
           'user': {'uid': 3, 'gid': 4}}
r = vessel('exec', '--process', '-', id, stdin=json.dumps(process).encode())
check(r.code == 0 and r.out == 'y\n/etc\n3\n', 'exec --process -', r)
r = vessel('exec', '--process', '-', id, stdin=b'{"args": ["true"],\n "cwd": 1}')
check(r.code == 255 and 'cwd: expected a string, got a number' in r.err, 'exec --process - with a mistake says where', r)
for flags, want in (([], '0'), (['--no-new-privs'], '1'), (['--no-new-privs=false'], '0')):
    r = vessel('exec', *flags, id, 'grep', 'NoNewPrivs', '/proc/self/status')
    check(r.out.split() == ['NoNewPrivs:', want], '%s: no_new_privs is %s' % (' '.join(['exec'] + flags), want), r)
os.unlink(pid_file)
p = subprocess.Popen([VESSEL, '--root', ROOT, 'exec', '--pid-file', pid_file, id, 'cat'], stdin=subprocess.PIPE,
                     stdout=subprocess.DEVNULL)
wait_for(lambda: os.path.exists(pid_file))
with open(pid_file) as f:
    text = f.read()
check(text.isdigit() and wait_for(lambda: open('/proc/%s/cmdline' % text).read() == 'cat\0'),
      'exec --pid-file while it runs', text)
p.communicate()
check(p.returncode == 0, '… in the foreground', p.returncode)
# A pid file that cannot be is an error before there is a process.
for where, why in (('/nonexistent/pid', 'No such file'), (DIR + '/', 'Is a directory'), (plain_file + '/pid', 'Not a directory')):
    for args, code in ((['exec', id, 'true'], 255), (['exec', '-d', id, 'true'], 255), (['run', '--bundle', plain, name()], 1),
                       (['run', '-d', '--bundle', plain, name()], 1), (['create', '--bundle', plain, name()], 1)):
        verb = args[:1 + args.count('-d')]
        r = vessel('--debug', *verb, '--pid-file', where, *args[len(verb):])
        check(r.code == code and 'write the pid file ' + where in r.err and why in r.err and 'cloned' not in r.err,
              '%s --pid-file %s: nothing runs' % (' '.join(verb), where), r)
vessel('pause', id)
p = subprocess.Popen([VESSEL, '--root', ROOT, 'exec', '--ignore-paused', id, 'touch', '/tmp/thawed'],
                     stdin=subprocess.DEVNULL)
time.sleep(0.3)
waits = p.poll() is None and not os.path.exists(b + '/rootfs/tmp/thawed') and state(id)['status'] == 'paused'
vessel('resume', id)
check(waits and p.wait(10) == 0 and os.path.exists(b + '/rootfs/tmp/thawed'),
      'exec --ignore-paused waits and runs after the thaw', (waits, p.returncode))

check(wait_for(lambda: os.path.exists(b + '/rootfs/tmp/ready')) and vessel('kill', id).code == 0 and
      wait_for(lambda: state(id)['status'] == 'stopped'), 'kill without a signal', state(id))
with open(b + '/rootfs/tmp/got') as f:
    check(f.read() == 'TERM\n', 'it is TERM')
vessel('delete', '--force', id)

# Global options.
users = config('true')
users['linux']['namespaces'].append({'type': 'user'})
users['linux']['uidMappings'] = users['linux']['gidMappings'] = [{'containerID': 0, 'hostID': 0, 'size': 65536}]
users = bundle(users)
# A caller who is without root by its own word does without a cgroup, and root does not.
READ_ONLY = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', 'for d in /sys/fs/cgroup /sys/fs/cgroup/*; do '
             'mount -o remount,bind,ro "$d" 2>/dev/null; done; exec "$@"', 'sh']
NO_ADMIN = ['setpriv', '--bounding-set=-sys_admin,-bpf', '--inh-caps=-sys_admin,-bpf']
MAPPED = ['unshare', '--user', '--map-root-user']
for value, want in (('true', True), ('false', False), ('auto', False)):
    r = vessel('--rootless=' + value, 'plan', '--format', 'json', '--bundle', users)
    check(r.code == 0 and json.loads(r.out)['rootless'] is want, '--rootless=%s plan' % value, r)
    r = vessel('--rootless', value, 'run', '--bundle', users, name())
    check(r.code == 0, '--rootless %s run' % value, r)
    r = subprocess.run(READ_ONLY + [VESSEL, '--root', ROOT, '--rootless=' + value, 'run', '--bundle', plain, name()],
                       stdin=subprocess.DEVNULL, capture_output=True, text=True)
    check((r.returncode == 0 and 'level=warning' in r.stderr and 'no cgroup of its own' in r.stderr) if want else
          (r.returncode == 1 and 'Read-only file system' in r.stderr), '--rootless=%s where cgroups cannot be made' % value, r)
# Device rules need privileges in the first user namespace: they are done without by the same word.
for prefix, value, does_without in ((NO_ADMIN, 'auto', False), (NO_ADMIN, 'true', True),
                                    (MAPPED, 'auto', True), (MAPPED, 'false', False)):
    r = subprocess.run(prefix + [VESSEL, '--root', ROOT, '--rootless=' + value, 'run', '--bundle',
                                 users if prefix is NO_ADMIN else plain, name()],
                       stdin=subprocess.DEVNULL, capture_output=True, text=True)
    check((r.returncode == 0 and r.stderr == '') if does_without else
          (r.returncode == 1 and 'linux.resources.devices' in r.stderr and 'not permitted' in r.stderr),
          '--rootless=%s for device rules that %s may not set' % (
              value, 'root without CAP_SYS_ADMIN' if prefix is NO_ADMIN else 'root of a user namespace'), r)
r = vessel('--rootless=perhaps', 'list')
check(r.code == 1 and 'rootless' in r.err and 'perhaps' in r.err, '--rootless with another value', r)
for format in ('text', 'json'):
    for debug in ([], ['--debug']):
        log = os.path.join(DIR, 'log-%s%s' % (format, ''.join(debug)))
        r = vessel('--log', log, '--log-format=' + format, *debug, 'run', '--bundle', plain, name())
        with open(log) as f:
            lines = f.read().splitlines()
        steps = [l for l in lines if ('level=debug' in l if format == 'text' else json.loads(l)['level'] == 'debug')]
        check(r.code == 0 and r.err == '' and len(steps) == len(lines) and bool(steps) == bool(debug),
              'the steps are in the log (%s)' % format if debug else 'no step is in the log (%s)' % format, (r, lines))

# Without a pid namespace of its own init's end ends nobody: KILL reaches the whole cgroup.
for all in ([], ['--all']):
    c = config('sh', '-c', 'sleep 1000 & sleep 1000 & wait')
    c['linux']['namespaces'] = [{'type': 'mount'}]
    del c['hostname']
    id = name()
    b = bundle(c)
    r = vessel('run', '-d', '--bundle', b, id)
    for _ in range(200):
        pids = json.loads(vessel('ps', '-f', 'json', id).out)
        if len(pids) == 3:
            break
        time.sleep(0.01)
    r = vessel('kill', *all, id, 'KILL')
    for _ in range(200):
        alive = [p for p in pids if os.path.exists('/proc/%d' % p) and
                 open('/proc/%d/stat' % p).read().rsplit(')', 1)[1].split()[0] not in 'ZX']
        if not alive:
            break
        time.sleep(0.01)
    check(len(pids) == 3 and r.code == 0 and not alive,
          'kill %sKILL without a pid namespace kills all of them' % ''.join(a + ' ' for a in all), (r, pids, alive))
    vessel('delete', '--force', id)

# podman's clean-up calls with nothing but this in the environment.
r = subprocess.run([VESSEL, 'state', 'no-such-%d' % os.getpid()], env={'XDG_RUNTIME_DIR': ''}, capture_output=True, text=True)
check(r.returncode == 1 and 'container does not exist' in r.stderr, 'an empty XDG_RUNTIME_DIR is the default root', r)
check(left_over() == [], 'nothing is left', left_over())
done()
