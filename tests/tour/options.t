#!/usr/bin/env python3
# slow
"""`kiln run` with environment, files of the host, volumes, users, limits and networks."""
from tour import *

need()
base_image()
vol = os.path.join(STORE, 'kiln/volumes')

# Environment.
env_file = os.path.join(DIR, 'env')
write(DIR, {'env': '# comment\nA=from file\nB=also\n\nFROM_HOST\n'})
r = run('--rm', '-e', 'DB_HOST=db.example', '-e', 'A=wins', '--env-file', env_file, 'base:1', 'env', env={'FROM_HOST': 'x'})
check({'DB_HOST=db.example', 'A=wins', 'B=also', 'FROM_HOST=x'} <= set(r.out.split('\n')), '-e and --env-file', r)

# A source directory of the host.
src = context('src', index__js='one\n')
r = run('-d', '--name', 'dev', '-v', src + ':/app/src', 'base:1', 'sleep', '100')
check(r.code == 0, 'run -d -v', r)
equal(vessel('exec', 'dev', 'cat', '/app/src/index.js').out, 'one\n', '-v: the host\'s file')
write(src, {'index.js': 'two\n'})
equal(vessel('exec', 'dev', 'cat', '/app/src/index.js').out, 'two\n', 'an edit on the host is seen at once')
vessel('exec', 'dev', 'sh', '-c', 'echo made >/app/src/new')
equal(open(src + '/new').read(), 'made\n', 'and the other way round')
vessel('delete', '-f', 'dev')
r = call(KILN, 'run', '--root', ROOT, '--rm', '-v', './rel:/r', 'base:1', 'touch', '/r/x', cwd=DIR)
check(r.code == 0 and os.path.exists(DIR + '/rel/x'), '-v ./rel: from the working directory, made when missing', r)
r = run('--rm', '--mount', 'type=bind,source=%s/absent,target=/m' % DIR, 'base:1', 'true')
check(r.code == 125 and 'does not exist' in r.err and not os.path.exists(DIR + '/absent'), '--mount type=bind wants its source', r)
r = run('--rm', '--mount', 'type=bind,src=%s,dst=/m,readonly' % src, 'base:1', 'touch', '/m/y')
check(r.code == 1 and 'Read-only' in r.err, '--mount ...,readonly', r)
r = run('--rm', '--mount', 'type=tmpfs,target=/t,tmpfs-size=1m', 'base:1', 'mount')
check(re.search(r' on /t type tmpfs .*size=1024k', r.out), '--mount type=tmpfs', r)
r = run('--rm', '--mount', 'type=bind,from=x,target=/m', 'base:1', 'true')
check(r.code == 125 and "unknown key 'from'" in r.err, '--mount with an unknown key', r)

# Volumes.
df = context('db', Dockerfile="FROM base:1\nRUN mkdir -p /var/db/sub && echo seed >/var/db/sub/seed && chown -R 70:71 /var/db && "
             "chmod 750 /var/db && ln -s /etc /var/link\nVOLUME /var/db\nCMD [\"ls\", \"/var/db\"]\n")
r = build(df, '-t', 'db')
check(r.code == 0, 'an image with a VOLUME', r)
r = run('--rm', '-v', 'data:/var/db', 'db', 'sh', '-c', 'cat /var/db/sub/seed; stat -c %u:%g:%a /var/db; echo row >/var/db/row')
st = os.stat(vol + '/data/_data')
check(r.out == 'seed\n70:71:750\n' and (st.st_uid, st.st_gid, st.st_mode & 0o7777) == (70, 71, 0o750),
      'a new named volume is filled from the image, with owner and mode', r, st)
equal(sorted(os.listdir(vol)), ['data'], '--rm keeps the named volume, and no anonymous one was made beside it')
equal(run('--rm', '-v', 'data:/var/db', 'db', 'cat', '/var/db/row').out, 'row\n', 'what is in it outlives the container')
r = run('--rm', '-v', 'data:/elsewhere', 'base:1', 'cat', '/elsewhere/row')
equal(r.out, 'row\n', 'and another image sees it')
run('--rm', '-v', 'bare:/var/db:nocopy', 'db', 'true')
equal(os.listdir(vol + '/bare/_data'), [], 'nocopy: stays empty')
run('--rm', '-v', 'linked:/var/link', 'db', 'true')
check(os.path.exists(vol + '/linked/_data/passwd') and 'root:x:0' in open(vol + '/linked/_data/passwd').read(),
      'a link is resolved in the image')
check('/bin/bash' not in open(vol + '/linked/_data/passwd').read(), 'never on the host')
r = run('-d', '--name', 'anon', 'db', 'sleep', '100')
names = [v for v in os.listdir(vol) if len(v) == 64]
check(len(names) == 1 and os.path.exists(vol + '/' + names[0] + '/_data/sub/seed'), 'VOLUME without -v: an anonymous one, filled', os.listdir(vol))
r = kiln('volume', 'rm', names[0])
check(r.code != 0 and 'in use by container anon' in r.err, 'volume rm of one in use', r)
equal(kiln('volume', 'prune', '--all').out.split(), ['bare', 'data', 'linked'], 'volume prune --all keeps it too')
r = kiln('volume', 'ls')
check(re.search(r'^%s +anonymous +\S+ +container anon$' % names[0], r.out, re.M), 'volume ls', r)
vessel('delete', '-f', 'anon')
equal(kiln('volume', 'ls', '-q').out.split(), names, 'an anonymous volume outlives a container without --rm')
equal(kiln('volume', 'prune').out.split(), names, 'until volume prune')
run('--rm', 'db', 'true')
run('--rm', '-v', '/scratch', 'base:1', 'touch', '/scratch/x')
r = run('-d', '--rm', 'db', 'true')
check(wait_until(lambda: os.listdir(vol) == []), '--rm takes anonymous ones away, in the background too', os.listdir(vol))
equal(kiln('volume', 'create', 'made').out, 'made\n', 'volume create')
equal(json.loads(kiln('volume', 'inspect', 'made').out)[0]['Mountpoint'], vol + '/made/_data', 'volume inspect')
equal(kiln('volume', 'rm', 'made').out, 'made\n', 'volume rm')
check(kiln('volume', 'rm', 'made').code == 1 and kiln('volume', 'rm', '-f', 'made').code == 0, 'volume rm of none')
r = kiln('volume', 'create', '../x')
check(r.code == 1 and 'a name has' in r.err, 'a volume\'s name is checked', r)
ps = [subprocess.Popen([KILN, 'run', '--root', ROOT, '--rm', '-v', 'race:/var/db', '--network', 'none', 'db', 'cat', '/var/db/sub/seed'],
                       stdout=subprocess.PIPE, env=ENV, text=True) for _ in range(4)]
equal([p.communicate(timeout=60)[0] for p in ps], ['seed\n'] * 4, 'four containers that begin with the same new volume')

# Who and what it may.
df = context('user', Dockerfile='FROM base:1\nRUN echo app:x:1000: >>/etc/group && echo appuser:x:1000:1000::/:/bin/sh >>/etc/passwd\nUSER appuser\nCMD id -un\n')
build(df, '-t', 'user')
equal(run('--rm', 'user').out, 'appuser\n', 'USER: not root')
r = run('--rm', 'user', 'sh', '-c', 'echo x >/etc/x || echo refused; echo y >/dev/stdout')
equal(r.out, 'refused\ny\n', 'which cannot write where root can', r)
r = run('-d', '--name', 'logs-user', 'user', 'sh', '-c', 'echo reopened >/dev/stdout')
check(wait_until(lambda: 'reopened' in vessel('logs', 'logs-user').out), 'and can reopen /dev/stdout of a detached container', vessel('logs', 'logs-user'))
r = run('--rm', '--read-only', '--tmpfs', '/run', 'base:1', 'sh', '-c', 'touch /x || touch /run/x && echo fine')
equal(r.out, 'fine\n', '--read-only with --tmpfs', r)
equal(run('--rm', '--cap-drop', 'ALL', 'base:1', 'grep', 'CapEff', '/proc/self/status').out.split()[1], '0' * 16, '--cap-drop ALL')
equal(run('--rm', '--security-opt', 'no-new-privileges', 'base:1', 'grep', 'NoNewPrivs', '/proc/self/status').out.split()[1], '1', 'no-new-privileges')
equal(run('--rm', '--security-opt', 'seccomp=unconfined', 'base:1', 'grep', 'Seccomp:', '/proc/self/status').out.split()[1], '0', 'seccomp=unconfined')
equal(run('--rm', 'base:1', 'grep', '-E', '^(Seccomp:|NoNewPrivs)', '/proc/self/status').out.split()[1::2], ['0', '2'], 'and what they are otherwise')
r = run('-d', '--name', 'limits', '--memory', '64m', '--cpus', '0.5', '--pids-limit', '20', 'base:1', 'sleep', '100')
r = vessel('stats', '--no-stream', 'limits')
check('/ 64.0MiB' in r.out, '--memory shows in stats', r)
r = vessel('exec', 'limits', 'sh', '-c', 'i=0; while [ $i -lt 40 ]; do sleep 5 & i=$((i+1)); done')
check("can't fork" in r.err, '--pids-limit', r)
equal(run('--rm', '-w', '/some/where', '--hostname', 'box', 'base:1', 'sh', '-c', 'pwd; hostname; cat /etc/hostname; grep -c box /etc/hosts').out,
      '/some/where\nbox\nbox\n1\n', '-w and --hostname')

# ENTRYPOINT and CMD.
df = context('entry', Dockerfile='FROM base:1\nENTRYPOINT ["echo", "run"]\nCMD ["start"]\n')
build(df, '-t', 'entry')
equal([run('--rm', 'entry').out, run('--rm', 'entry', 'test').out, run('--rm', '--entrypoint', 'id', 'entry', '-u').out],
      ['run start\n', 'run test\n', '0\n'], 'ENTRYPOINT, CMD, arguments, --entrypoint')

# Networks.
own = os.readlink('/proc/self/ns/net')
r = run('--rm', '--network', 'host', 'base:1', 'ls', '-l', '/proc/self/ns/net')
check(own in r.out, '--network host', r)
r = run('--rm', '--network', 'none', 'base:1', 'sh', '-c', 'ip -o addr; wc -l </etc/resolv.conf')
check('127.0.0.1/8' in r.out and 'eth' not in r.out and r.out.endswith('\n0\n'), '--network none: a loopback only', r)
call('ip', 'netns', 'add', TAG)
try:
    r = run('--rm', '--network', 'ns:/run/netns/' + TAG, 'base:1', 'sleep', '0')
    inside = run('--rm', '--network', 'ns:/run/netns/' + TAG, 'base:1', 'ls', '-l', '/proc/self/ns/net').out
    there = call('ip', 'netns', 'exec', TAG, 'readlink', '/proc/self/ns/net').out.strip()
    check(there and there in inside, '--network ns:PATH', r, inside, there)
finally:
    call('ip', 'netns', 'del', TAG)
servers = [l.split()[1] for l in open('/etc/resolv.conf') if l.startswith('nameserver')]
inside = run('--rm', 'base:1', 'cat', '/etc/resolv.conf').out
check(all((s in inside) != (s.startswith('127.') or s == '::1') for s in servers), 'resolv.conf: the host\'s servers that can be reached', inside)
port = free_port()
web = subprocess.Popen([sys.executable, '-m', 'http.server', '--bind', '0.0.0.0', '--directory', src, str(port)],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    wait_until(lambda: get(port, '/index.js', seconds=0) is not None)
    default = call('ip', '-4', '-o', 'addr', 'show', 'scope', 'global').out.split()
    address = default[3].split('/')[0] if len(default) > 3 else None
    if address:
        r = run('--rm', 'base:1', 'wget', '-T', '3', '-q', '-O-', 'http://127.0.0.1:%d/index.js' % port)
        check(r.code != 0, 'the host\'s loopback is not the container\'s', r)
    else:
        skip('the host\'s loopback', 'address of its own')
finally:
    web.kill()
r = run('--rm', 'base:1', 'true', env={'PATH': '/nowhere'})
check(r.code == 125 and 'install the package passt' in r.err, 'without pasta: which package it is in', r)
equal(run('--rm', '--network', 'none', 'base:1', 'true', env={'PATH': '/nowhere'}).code, 0, 'which --network none does not need')
r = run('--rm', '-p', '80:80', '--network', 'host', 'base:1', 'true')
check(r.code == 125 and 'already' in r.err, '-p with --network host', r)

# Where a container without --rm ends up.
run('--name', 'kept', 'base:1', 'true')
check(state('kept') == 'stopped' and os.path.isdir(STORE + '/kiln/bundles/kept'), 'without --rm it stays, stopped')
check(vessel('delete', 'kept').code == 0 and not os.path.exists(STORE + '/kiln/bundles/kept'), 'until it is deleted, files and all')
finish()
