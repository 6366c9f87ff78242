#!/usr/bin/env python3
# slow
"""The monitor of `run --detach --log-output`: what it costs, its log, its death, starting again; and that nobody else has one."""
from tour import *

need()


def bundle(name, script, terminal=False, **more):
    path = os.path.join(DIR, name)
    busybox_root(os.path.join(path, 'rootfs'))
    caps = ['CAP_KILL']
    config = {'ociVersion': '1.0.2', 'root': {'path': 'rootfs'},
              'process': {'args': ['sh', '-c', script], 'cwd': '/', 'env': ['PATH=/bin'], 'terminal': terminal,
                          'user': {'uid': 0, 'gid': 0}, 'capabilities': {s: caps for s in ('bounding', 'effective', 'permitted')}},
              'mounts': [{'destination': '/proc', 'type': 'proc', 'source': 'proc'},
                         {'destination': '/dev', 'type': 'tmpfs', 'source': 'tmpfs'},
                         {'destination': '/dev/pts', 'type': 'devpts', 'source': 'devpts'}],
              'linux': {'namespaces': [{'type': t} for t in ('pid', 'mount', 'ipc', 'uts', 'network')]}, **more}
    with open(path + '/config.json', 'w') as f:
        json.dump(config, f)
    return path


def monitor(id):
    return json.loads(vessel('inspect', id).out)[0]['monitor']


def alive(pid):
    try:
        return open('/proc/%d/stat' % pid).read().rsplit(')', 1)[1].split()[0] not in 'ZX'
    except OSError:
        return False


TICK = 'i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.1; done'
b = bundle('tick', TICK)
log = os.path.join(DIR, 'tick.log')
began = time.monotonic()
r = vessel('run', '-d', '--log-output', log, '-b', b, 'tick')
check(r.code == 0 and r.out == '' and r.err == '' and time.monotonic() - began < 5, 'run -d --log-output FILE returns at once', r)
m = monitor('tick')
check(m['alive'] and wait_until(lambda: 'tick 3' in vessel('logs', 'tick').out), 'a monitor writes the log')
check(re.fullmatch(r'(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z stdout F tick \d+\n)+', open(log).read()), 'in CRI\'s format')
# Not Private_Dirty: the executable's own pages count there until they are written back.
dirty = int(re.search(r'Anonymous: +(\d+)', open('/proc/%d/smaps_rollup' % m['pid']).read()).group(1))
check(dirty < 1024, 'it has less than 1 MB of memory of its own', '%d KiB' % dirty)
links = sorted(os.readlink('/proc/%d/fd/%s' % (m['pid'], fd)) for fd in os.listdir('/proc/%d/fd' % m['pid']))
check(links.count('/dev/null') == 3 and len(links) == 9, 'holds what it needs and nothing of its caller', links)
check(os.readlink('/proc/%d/cwd' % m['pid']) == '/' and os.getsid(m['pid']) == m['pid'], 'in a session of its own')

os.kill(m['pid'], signal.SIGKILL)
check(wait_until(lambda: not alive(m['pid'])), 'kill -9 of the monitor')
pid = json.loads(vessel('state', 'tick').out)['pid']
time.sleep(0.5)
check(state('tick') == 'running' and alive(pid), 'leaves the container running, whose writes do not kill it')
equal(listed('tick')['NOTE'], 'no-monitor', 'list says so')
check(vessel('logs', 'tick').code == 0 and vessel('logs', '-f', 'tick').code == 0, 'the log up to then can be read')
equal(vessel('exec', 'tick', 'echo', 'in').out, 'in\n', 'exec goes on')
vessel('stop', '--time', '0', 'tick')
check(state('tick') == 'stopped' and listed('tick')['NOTE'] == 'exit=unknown', 'it stops; nobody knows the exit code')
r = vessel('wait', 'tick')
check(r.code == 1 and 'nobody recorded' in r.err, 'wait says so', r)
check(vessel('start', 'tick').code == 0 and monitor('tick')['alive'], 'started again it has a new one')
check(vessel('delete', '-f', 'tick').code == 0 and not os.path.exists(ROOT + '/tick'), 'delete cleans up')
check(wait_until(lambda: not any(alive(int(p)) for p in os.listdir('/proc') if p.isdigit() and
                                 b'tick\0' in open('/proc/%s/cmdline' % p, 'rb').read() and
                                 os.path.exists('/proc/%s/exe' % p))), 'nothing is left')

# Log: rotation, long lines, bytes, no newline at the end, both streams.
b = bundle('talk', 'i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo "line $i of a log that grows"; done; echo problem >&2; printf last')
r = vessel('run', '-d', '--log-output', 'auto', '--log-size', '8192', '-b', b, 'talk')
check(wait_until(lambda: state('talk') == 'stopped' and not monitor('talk')['alive']), 'a container that ends', r)
log = b + '/talk.log'
check(os.path.getsize(log) <= 8192 and os.path.getsize(log + '.1') <= 8192, 'auto: BUNDLE/ID.log, rotated, one old kept')
r = vessel('logs', 'talk')
check(r.out.endswith('line 399 of a log that grows\nline 400 of a log that grows\nlast') and r.err == 'problem\n', 'logs: old and new in order', r.out[-300:])
lines = vessel('logs', '--tail', '150', 'talk').out.split('\n')
check(lines[0] == 'line 253 of a log that grows' or lines[0] == 'line 252 of a log that grows', '--tail across both', lines[0])
equal(vessel('wait', 'talk').out, '0\n', 'wait on a stopped one')
vessel('delete', 'talk')
b = bundle('long', "head -c 40000 /dev/zero | sed 's/./x/g' | cat; echo; printf '\\377\\001\\n'")
vessel('run', '-d', '--log-output', 'auto', '-b', b, 'long')
wait_until(lambda: state('long') == 'stopped' and not monitor('long')['alive'])
p = subprocess.run([VESSEL, '--root', ROOT, 'logs', 'long'], capture_output=True)
equal((len(p.stdout), p.stdout[-3:]), (40004, b'\xff\x01\n'), 'a long line in parts comes out whole, bytes as they were')
equal(p.stdout.count(b'\n'), 2, 'and no newline was added')

# A terminal, exit codes, poststop, --rm.
b = bundle('pty', 'tty; stty -echo 2>/dev/null; echo to-terminal; exit 4', terminal=True)
vessel('run', '-d', '--log-output', 'auto', '-b', b, 'pty')
check(wait_until(lambda: state('pty') == 'stopped' and not monitor('pty')['alive']), 'a container with a terminal')
check('/dev/pts/0\nto-terminal\n' in vessel('logs', 'pty').out and listed('pty')['NOTE'] == 'exit=4', 'its output and exit code', vessel('logs', 'pty'))
seen = os.path.join(DIR, 'seen')
hook = os.path.join(DIR, 'hook')
write(DIR, {'hook': '#!/bin/sh\ncat >>%s\necho >>%s\n' % (seen, seen)})
os.chmod(hook, 0o755)
b = bundle('again', 'echo run; exit 6', hooks={'poststop': [{'path': hook}]})
vessel('run', '-d', '--log-output', 'auto', '-b', b, 'again')
wait_until(lambda: state('again') == 'stopped' and not monitor('again')['alive'])
first = json.loads(vessel('state', 'again').out)['created']
check(vessel('start', 'again').code == 0 and wait_until(lambda: vessel('logs', 'again').out == 'run\nrun\n'), 'start again', vessel('logs', 'again'))
states = [json.loads(l) for l in open(seen)]
check(len(states) == 1 and states[0]['annotations']['run.vessel.restarting'] == 'true', 'poststop ran in between, and was told', states)
wait_until(lambda: not monitor('again')['alive'])
config = open(b + '/config.json').read()
write(b, {'config.json': config.replace('"sh"', '"no-such"')})
r = vessel('start', 'again')
check(r.code == 1 and 'no-such' in r.err and state('again') == 'stopped' and listed('again')['NOTE'] == 'exit=6',
      'start again that fails leaves it stopped as it was', r, listed('again'))
write(b, {'config.json': config})
check(vessel('start', 'again').code == 0 and wait_until(lambda: vessel('logs', 'again').out.count('run\n') == 3), 'to be tried once more')
wait_until(lambda: not monitor('again')['alive'])
vessel('delete', 'again')
check('run.vessel.restarting' not in open(seen).read().strip().split('\n')[-1], 'delete\'s poststop is the last')
b = bundle('gone', 'exit 0', hooks={'poststop': [{'path': hook}]})
os.unlink(seen)
r = vessel('run', '-d', '--rm', '--log-output', 'auto', '-b', b, 'gone')
check(r.code == 0 and wait_until(lambda: state('gone') == 'gone') and wait_until(lambda: os.path.exists(seen)) and
      wait_until(lambda: not os.path.exists(b + '/gone.log')), '--rm: state and log go, poststop hooks run', r)
b = bundle('w', 'sleep 0.5; exit 11')
vessel('run', '-d', '--rm', '--log-output', 'auto', '-b', b, 'w')
equal(vessel('wait', 'w').out, '11\n', 'wait on one that is deleted at its end')

# Errors, and that nobody else gets a monitor.
b = bundle('bad', 'true')
for words, text in ((['--log-output', 'auto'], 'is for --detach'),
                    (['-d', '--rm'], 'needs --log-output'),
                    (['-d', '--log-output', '/dev/null'], 'not a regular file'),
                    (['-d', '--log-output', DIR + '/no/such/log'], 'No such file'),
                    (['-d', '--log-output', 'auto', '--log-size', '1'], 'at least 4096')):
    r = vessel('run', *words, '-b', b, 'bad')
    check(r.code == 1 and text in r.err and state('bad') == 'gone', 'run %s: %s' % (' '.join(words[:3]), text), r)
write(b, {'config.json': open(b + '/config.json').read().replace('"sh"', '"absent"')})
r = vessel('run', '-d', '--log-output', 'auto', '-b', b, 'bad')
check(r.code == 1 and 'absent' in r.err and state('bad') == 'gone', 'a start that fails is run\'s error', r)
b = bundle('plain', 'sleep 100')
subprocess.run([VESSEL, '--root', ROOT, 'create', '-b', b, 'plain'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
               stderr=subprocess.DEVNULL)
vessel('start', 'plain')
check(not os.path.exists(ROOT + '/plain/monitor.json') and
      vessel('logs', 'plain').code == 1, 'create and start make no monitor; logs says how to have one', vessel('logs', 'plain'))
vessel('kill', 'plain', 'KILL')
wait_until(lambda: state('plain') == 'stopped')
r = vessel('start', 'plain')
check(r.code == 1 and 'cannot start a container that has stopped' in r.err, 'and start of a stopped one is an error as ever', r)
check(vessel('pause', 'long').code == 1, 'pause of a stopped one')
b = bundle('frozen', 'trap "exit 8" TERM; while :; do sleep 0.1; done')
vessel('run', '-d', '--log-output', 'auto', '-b', b, 'frozen')
time.sleep(0.3)
vessel('pause', 'frozen')
r = vessel('stop', 'frozen')
check(r.code == 0 and listed('frozen')['NOTE'] == 'exit=8', 'stop of a paused one thaws it', r, listed('frozen'))
finish()
