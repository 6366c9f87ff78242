#!/usr/bin/env python3
# slow
"""A service in the background: `run -d -p --name`, list, logs, exec, stop, start, kill, delete, inspect, stats."""
from tour import *

need()
base_image('docker.io/library/nginx:1.23')
port = free_port()
PROMPT = r'# (\x1b\[6n)?$'
SERVE = 'mkdir -p /www; echo welcome >/www/index.html; echo ready; echo problem >&2; exec httpd -f -v -p 80 -h /www'

r = run('-d', '-p', '%d:80' % port, '--name', 'web', 'nginx:1.23', 'sh', '-c', SERVE)
check(r.code == 0 and r.out == 'web\n' and r.err == '', 'run -d -p --name', r)
equal(get(port), 'welcome\n', 'the page is served on the host\'s port')
own = os.readlink('/proc/self/ns/net')
pid = json.loads(vessel('state', 'web').out)['pid']
check(os.readlink('/proc/%d/ns/net' % pid) != own, 'from a network namespace of its own')

row = listed('web')
check(row and row['STATUS'] == 'running' and row['IMAGE'] == 'docker.io/library/nginx:1.23' and
      row['PORTS'] == '0.0.0.0:%d->80/tcp' % port and re.fullmatch(r'\d+s', row['AGE']), 'list: image, age, ports', row)
heads = vessel('list').out.split('\n')[0].split()
equal(heads[:6], ['ID', 'PID', 'STATUS', 'BUNDLE', 'CREATED', 'OWNER'], 'list: runc\'s columns come first')
entry = json.loads(vessel('list', '--format', 'json').out)[0]
equal(sorted(entry), ['annotations', 'bundle', 'created', 'id', 'ociVersion', 'owner', 'pid', 'rootfs', 'status'],
      'list --format json is runc\'s')
bundle = os.path.join(DIR, 'bundle')
kiln('bundle', 'nginx:1.23', bundle, '--', 'sleep', '100')
subprocess.run([VESSEL, '--root', ROOT, 'create', '--bundle', bundle, 'fresh'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
for name in 'held', 'ended':
    run('-d', '--name', name, 'nginx:1.23', 'sleep', '100')
vessel('pause', 'held')
vessel('stop', '--time', '0', 'ended')
names = ('web', 'fresh', 'held', 'ended')
equal({name: (listed(name) or {}).get('STATUS') for name in names},
      dict(zip(names, ('running', 'created', 'paused', 'stopped'))), 'list shows a running, a created, a paused and a stopped container')
equal({c['id']: c['status'] for c in json.loads(vessel('list', '--format', 'json').out)},
      dict(zip(names, ('running', 'created', 'paused', 'stopped'))), 'and so does its JSON')
for name in names[1:]:
    vessel('delete', '-f', name)
kiln('bundle', '--rm', bundle)

r = vessel('logs', 'web')
check('ready\n' in r.out and 'problem' not in r.out and r.err.startswith('problem\n'), 'logs: each stream to its own', r)
check(re.match(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ready\n', vessel('logs', '--timestamps', 'web').out),
      'logs --timestamps')
r = vessel('logs', '--tail', '1', 'web')
check('ready' not in r.out + r.err and 'response:200' in r.out + r.err, 'logs --tail 1', r)
check('ready' not in vessel('logs', '--since', '2099-01-01', 'web').out and
      'ready' in vessel('logs', '--since', '1h', 'web').out, 'logs --since')
follow = subprocess.Popen([VESSEL, '--root', ROOT, 'logs', '-f', '--tail', '0', 'web'], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
time.sleep(0.3)
get(port, '/index.html')
check(select.select([follow.stdout], [], [], 10)[0] and 'response:200' in follow.stdout.readline(),
      'logs -f shows a line as it comes')

equal(vessel('exec', 'web', 'cat', '/www/index.html').out, 'welcome\n', 'exec')
t = Terminal(VESSEL, '--root', ROOT, 'exec', '-it', 'web', 'sh')
check(t.until(PROMPT), 'exec -it: a prompt', t.text)
t.type('tty; stty size; echo $((6*7))\n')
check(t.until(r'/dev/pts/\d+\r\n30 100\r\n42\r\n'), 'exec -it: a terminal with the window\'s size', t.text)
t.resize(41, 82)
time.sleep(0.3)
t.type('stty size\n')
check(t.until(r'41 82\r\n'), 'exec -it: resize', t.text)
t.until(PROMPT)
t.type('sleep 60\n')
time.sleep(0.3)
t.type('\x03')
check(t.until(PROMPT), 'exec -it: Ctrl-C ends the command, not the shell', t.text)
t.type('exit 5\n')
equal(t.end(), 5, 'exec -it: the exit code', t.text)
check(t.modes() == t.before, 'exec -it: the terminal is as before')

r = vessel('stats', '--no-stream', 'web')
check(re.search(r'^ID +CPU % +MEM USAGE / LIMIT +MEM % +PIDS +BLOCK I/O\nweb +[\d.]+% +[\d.]+\w+ / [\d.]+\w+ +[\d.]+% +\d+ ',
                r.out), 'stats --no-stream', r)
t = Terminal(VESSEL, '--root', ROOT, 'stats')
check(t.until(r'\x1b\[H\x1b\[2JID') and t.until(r'\x1b\[H\x1b\[2JID'), 'stats: a table again and again, in place', t.text)
t.type('\x03')
equal(t.end(), 130, 'stats: until Ctrl-C')
e = json.loads(vessel('events', '--stats', 'web').out)
check(e['type'] == 'stats' and e['id'] == 'web' and e['data']['memory']['usage']['usage'] > 0 and e['data']['cpu']['usage']['total'] > 0 and
      e['data']['pids']['current'] >= 1, 'events --stats: the numbers as JSON', e)
i = json.loads(vessel('inspect', 'web').out)[0]
check(i['status'] == 'running' and i['monitor']['alive'] and i['config']['process']['args'][0] == 'sh' and
      os.path.isfile(i['log']), 'inspect')

r = run('-d', '-p', '%d:80' % port, '--name', 'web2', 'nginx:1.23', 'httpd', '-f')
check(r.code == 125 and 'port 0.0.0.0:%d/tcp is in use' % port in r.err and state('web2') == 'gone' and
      not os.path.exists(STORE + '/kiln/bundles/web2'), 'a port in use is an error before anything starts', r)
r = run('-d', '--name', 'web', 'nginx:1.23', 'true')
check(r.code == 125 and 'web is in use' in r.err and state('web') == 'running', 'so is a name in use', r)
r = kiln('rmi', 'nginx:1.23')
check(r.code != 0 and 'container web' in r.err, 'and rmi of the image of a container', r)

began = time.monotonic()
r = vessel('stop', '--time', '1', 'web')
check(r.code == 0 and state('web') == 'stopped' and time.monotonic() - began < 5, 'stop', r)
out = follow.communicate(timeout=10)[0]
check(follow.returncode == 0, 'logs -f ends with the container', out)
equal(listed('web')['NOTE'], 'exit=137', 'list: how it ended (httpd as process 1 ignores TERM)')
equal(get(port, seconds=0), None, 'nobody listens any more')
equal(vessel('stop', 'web').code, 0, 'stop of a stopped one is no error')
r = vessel('start', 'web')
check(r.code == 0 and state('web') == 'running' and get(port) == 'welcome\n', 'start again: same port', r)
equal(vessel('logs', 'web').out.count('ready\n'), 2, 'the log goes on')
check(vessel('kill', 'web', 'KILL').code == 0 and wait_until(lambda: state('web') == 'stopped'), 'kill')
equal(vessel('wait', 'web').out, '137\n', 'wait: the exit code')
check(vessel('start', 'web').code == 0 and vessel('delete', 'web').code == 1, 'delete refuses a running one')
r = vessel('delete', '-f', 'web')
check(r.code == 0 and state('web') == 'gone', 'delete -f', r)
check(not os.path.exists(STORE + '/kiln/bundles/web') and DIR not in open('/proc/self/mountinfo').read(),
      'its bundle and mounts are gone')
check(wait_until(lambda: DIR not in subprocess.run(['ps', '-eo', 'args'], capture_output=True, text=True).stdout),
      'and so are pasta and the monitor')

# A program that listens to the image's stop signal.
df = context('polite', Dockerfile="FROM nginx:1.23\nSTOPSIGNAL USR1\nHEALTHCHECK --interval=5s CMD true\nEXPOSE 80\n"
             "CMD [\"sh\", \"-c\", \"trap 'echo bye; exit 3' USR1; echo up; while :; do sleep 0.1; done\"]\n")
r = build(df, '-t', 'polite')
check(r.code == 0, 'build', r)
run('-d', '--name', 'polite', 'polite')
check(wait_until(lambda: 'up' in vessel('logs', 'polite').out), 'up')
began = time.monotonic()
vessel('stop', 'polite')
check(time.monotonic() - began < 5 and listed('polite')['NOTE'] == 'exit=3' and
      'bye' in vessel('logs', 'polite').out, 'stop sends the image\'s STOPSIGNAL', listed('polite'))
a = json.loads(vessel('state', 'polite').out)['annotations']
check(a['org.opencontainers.image.stopSignal'] == 'USR1' and
      json.loads(a['run.vessel.healthcheck'])['Interval'] == 5000000000, 'HEALTHCHECK and STOPSIGNAL are annotations', a)
vessel('delete', 'polite')
r = run('-d', '--rm', '--name', 'short', 'nginx:1.23', 'true')
check(r.code == 0 and wait_until(lambda: state('short') == 'gone') and
      wait_until(lambda: not os.path.exists(STORE + '/kiln/bundles/short')), 'run -d --rm leaves nothing', r)

# busybox has no UDP server: a socket is opened in the container's namespace from here.
u = free_port(socket.SOCK_DGRAM)
run('-d', '--name', 'udp', '-p', '127.0.0.1:%d:5000/udp' % u, 'nginx:1.23', 'sleep', '60')
listener = subprocess.Popen(
    ['nsenter', '--net=/proc/%d/ns/net' % json.loads(vessel('state', 'udp').out)['pid'], sys.executable, '-c',
     'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", 5000)); '
     'print("up", flush=True); print(s.recvfrom(99)[0].decode(), flush=True)'], stdout=subprocess.PIPE, text=True)
listener.stdout.readline()
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.sendto(b'datagram', ('127.0.0.1', u))
check(select.select([listener.stdout], [], [], 10)[0] and listener.stdout.readline() == 'datagram\n', 'a UDP port')
listener.kill()
r = run('-d', '--name', 'any', '-p', '80', 'nginx:1.23', 'sh', '-c', SERVE)
found = re.fullmatch(r'0\.0\.0\.0:(\d+)->80/tcp', (listed('any') or {}).get('PORTS', ''))
check(found and get(int(found.group(1))) == 'welcome\n', '-p 80 alone: any free port of the host', r, listed('any'))
finish()
