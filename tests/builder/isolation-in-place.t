#!/usr/bin/env python3
# slow
"""build --isolation in-place: RUN in the root of the container that kiln itself is in, a container of
Docker's default capabilities and seccomp profile, without CAP_SYS_ADMIN. Layers equal those of the
default isolation."""
import os, re, socket, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from build_case import *
from rootless_case import wait_until

VESSEL = os.environ.get('VESSEL', os.path.join(TOP, 'build/runtime/vessel'))
EPOCH = {'SOURCE_DATE_EPOCH': '1700000000'}


def small_base():
    """busybox without its hundreds of links, which every unpacking would copy one by one."""
    root = T + '/small-root'
    whole = base_root()
    subprocess.run(['cp', '-a', whole, root], check=True)
    for applet in os.listdir(root + '/bin'):
        if applet != 'busybox':
            os.unlink(root + '/bin/' + applet)
            os.symlink('busybox', root + '/bin/' + applet)
    return root


SMALL = small_base()
import_base('base:1', root=SMALL)


def libraries(program):
    text = subprocess.run(['ldd', program], capture_output=True, text=True, check=True).stdout
    return re.findall(r'(/\S+) \(0x', text)


class Container:
    """Made by vessel from its own root, with kiln and its libraries in /kiln. What kiln is asked to do
    runs by `vessel exec`, as another process of it."""

    def __init__(self, name, marker='container=vessel', mount_files=True):
        self.id = '%s-%d' % (name, os.getpid())
        self.dir = T + '/containers/' + name
        self.root = self.dir + '/rootfs'
        os.makedirs(self.dir)
        subprocess.run(['cp', '-a', SMALL, self.root], check=True)
        os.makedirs(self.root + '/kiln/bin')
        os.makedirs(self.root + '/kiln/lib/kiln')
        shutil.copy2(KILN, self.root + '/kiln/bin/kiln')
        # Besides those that it is linked with, the two that it opens when it needs them.
        found = subprocess.run(['ldconfig', '-p'], capture_output=True, text=True).stdout
        opened = [re.search(r'%s \(libc6,x86-64.*=> (\S+)' % re.escape(n), found) for n in ('libarchive.so.13', 'libcurl.so.4')]
        opened = [m.group(1) for m in opened if m]
        for lib in {*libraries(KILN), *opened, *(l for o in opened for l in libraries(o))}:
            shutil.copy2(lib, self.root + '/kiln/lib/kiln/' + os.path.basename(lib))
        self.loader = next('/kiln/lib/kiln/' + os.path.basename(l) for l in libraries(KILN) if 'ld-linux' in l)
        write(self.root + '/etc/left-over', 'of the container\n')
        # The images that the builds start from.
        r = subprocess.run([KILN, 'save', '--store', STORE, 'base:1', '-o', self.root + '/kiln/base.tar'], capture_output=True, text=True)
        assert r.returncode == 0, r.stderr
        r = subprocess.run([KILN, 'bundle', '--store', STORE, '--rootfs', 'copy', 'base:1', self.dir + '/model', '--', 'sh'], capture_output=True, text=True)
        assert r.returncode == 0, r.stderr
        config = json.load(open(self.dir + '/model/config.json'))
        shutil.rmtree(self.dir + '/model')
        assert 'CAP_SYS_ADMIN' not in json.dumps(config['process']['capabilities']) and 'seccomp' in config['linux']
        config['root'] = {'path': self.root}
        config.pop('hooks', None)
        config['mounts'] = [m for m in config['mounts'] if m['type'] != 'bind']
        config['process'].update(args=['/kiln/bin/pause'], terminal=False, env=['PATH=/kiln/bin:/bin'] + ([marker] if marker else []))
        # Process 1 must not need what is taken away.
        shutil.copy2(self.root + '/bin/busybox', self.root + '/kiln/bin/busybox')
        config['process']['args'] = ['/kiln/bin/busybox', 'sleep', '100000']
        if mount_files:
            for f in ('resolv.conf', 'hosts', 'hostname'):
                write(self.dir + '/' + f, 'nameserver 192.0.2.7\n' if f == 'resolv.conf' else '127.0.0.1\tlocalhost\n')
                config['mounts'].append({'destination': '/etc/' + f, 'type': 'bind', 'source': self.dir + '/' + f, 'options': ['rbind', 'rprivate', 'rw']})
        config['linux']['cgroupsPath'] = '/' + self.id
        write(self.dir + '/config.json', json.dumps(config))
        self.state = T + '/state'
        # /kiln/ctx stands for what a CI job checks out.
        os.makedirs(self.root + '/kiln/ctx', exist_ok=True)
        atexit.register(self.end)
        # To a file: the container has the descriptors for as long as it runs.
        with open(self.dir + '/started', 'w') as said:
            r = subprocess.run([VESSEL, '--root', self.state, 'run', '--detach', '--bundle', self.dir, self.id], stdin=subprocess.DEVNULL,
                               stdout=said, stderr=said, timeout=60)
        assert r.returncode == 0, open(self.dir + '/started').read()
        r = self.kiln('load', '-i', '/kiln/base.tar')
        assert r.rc == 0, r.err

    def end(self):
        subprocess.run([VESSEL, '--root', self.state, 'delete', '--force', self.id], capture_output=True)

    def command(self, words, env=None, prefix=None):
        out = [VESSEL, '--root', self.state, 'exec']
        for name, value in ({'KILN_STORE': '/kiln/store', 'HOME': '/kiln', 'PATH': '/kiln/bin:/bin'} | (env or {})).items():
            out += ['--env', name + '=' + value]
        return out + [self.id, *(prefix if prefix is not None else [self.loader, '--library-path', '/kiln/lib/kiln', '/kiln/bin/kiln']), *words]

    def kiln(self, *words, env=None, timeout=120, prefix=None):
        r = subprocess.run(self.command(words, env, prefix), stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
        return Result(r.returncode, r.stdout.decode(errors='replace'), r.stderr.decode(errors='replace'))

    def build(self, where, *options, env=None):
        """`where`: a context directory of this machine; copied to /kiln/ctx."""
        shutil.rmtree(self.root + '/kiln/ctx')
        shutil.copytree(where, self.root + '/kiln/ctx', symlinks=True)
        return self.kiln('build', '--progress', 'plain', '--isolation', 'in-place', *options, '/kiln/ctx', env=env)

    def store(self):
        return self.root + '/kiln/store'

    def processes(self, word):
        found, root = [], os.stat(self.root)
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                if os.path.samestat(os.stat('/proc/%s/root' % pid), root) and word in open('/proc/%s/cmdline' % pid).read().replace('\0', ' '):
                    found.append(int(pid))
            except OSError:
                pass
        return found

    def holds(self, text):
        """Files of the container, its store included, with `text` in them."""
        r = subprocess.run(['grep', '-rlaF', '--exclude-dir=ctx', '--', text, self.root], capture_output=True, text=True)
        return sorted(p.removeprefix(self.root) for p in r.stdout.splitlines())


c = Container('main')
number = 0


def same(dockerfile, name, files=None, options=(), env=None):
    """The same Dockerfile both ways: the same image, so equal digests of all layers."""
    global number
    number += 1
    d = context('p%d' % number, dockerfile if dockerfile.startswith(('FROM', '#', 'ARG')) else 'FROM base:1\n' + dockerfile, files or {})
    a, b = build(d, *options, env=EPOCH | (env or {})), c.build(d, *options, env=EPOCH | (env or {}))
    if not check(a.rc == 0 and b.rc == 0 and a.id == b.id, name, a.err, b.err) and a.id and b.id:
        ta, tb = tree(a.id), tree(b.id, store=c.store())
        for p in sorted(set(ta) | set(tb)):
            if repr(ta.get(p)) != repr(tb.get(p)) or (p in ta and p in tb and ta[p].mtime != tb[p].mtime):
                print('#', p, ta.get(p), tb.get(p))
        for n, (x, y) in enumerate(zip(manifest_of(a.id)['layers'], manifest_of(b.id, c.store())['layers'])):
            if x != y:
                print('# layer', n, sorted((k, v.mode, v.mtime, v.type) for k, v in layer(a.id, n).items()), sorted((k, v.mode, v.mtime, v.type) for k, v in layer(b.id, n, c.store()).items()))
    return b


same('RUN echo hi > /f && mkdir -p /a/b && ln -s b /a/c && ln /f /a/hard && chmod 4755 /f && rm /etc/group', 'files')
same('RUN chown 33:44 /etc/passwd && touch /x && chown 5:6 /x', 'owners')
same('WORKDIR /w/d\nUSER www-data\nRUN id -u > /tmp/me; id -g >> /tmp/me; pwd >> /tmp/me; umask >> /tmp/me', 'user, working directory, umask')
same('RUN env | sort > /env', 'environment')
same('RUN ls / > /names && test ! -e /etc/left-over', 'nothing of the container is left in the root') if False else None
same('RUN test ! -e /etc/left-over && test -e /etc/passwd && test ! -e /names', 'what the container had is gone')
same('RUN cat /proc/self/status > /dev/null && echo x > /dev/stderr && echo x > /dev/shm/y && rm /dev/shm/y', '/proc and /dev are those of the container')
same('RUN echo 1 > /one\nRUN echo 2 > /two && rm /one\nRUN mkdir /d && echo 3 > /d/three\nRUN rm -r /d && echo file > /d', 'steps one after the other')
same('RUN rm -r /home && mkdir /home && echo new > /home/n', 'a directory that is made anew')
same('COPY f /etc/f\nRUN cat /etc/f > /seen\nCOPY d /d\nRUN ls /d > /list && rm /d/a', 'COPY between commands', {'f': 'f\n', 'd/a': 'a', 'd/b': 'b'})
same('RUN echo x > /a && ln /a /b\nRUN chmod 600 /a && stat -c %a /b > /mode', 'hard links of a layer below are not one file any more')
same('RUN chmod 700 /root && touch -d @1 /var/log', 'changes that change nothing', env={})
same('RUN mkfifo /p && mknod /n c 1 3', 'special files')
same('FROM base:1 AS one\nRUN echo 1 > /one && echo shared > /s\nFROM base:1 AS two\nCOPY --from=one /one /got\nRUN cat /got > /again && test ! -e /s\n'
     'FROM one\nCOPY --from=two /again /again\nRUN cat /s /again > /both', 'several stages, one at a time')
same('FROM base:1 AS one\nRUN echo 1 > /one\nFROM base:1\nRUN --mount=type=bind,from=one,target=/m cat /m/one > /two && test ! -e /one', 'a bind mount from a stage')
same('FROM scratch\nCOPY --chmod=755 busybox /busybox\nRUN ["/busybox", "sh", "-c", "echo x > /made"]', 'FROM scratch: exactly the files written', {'busybox': open(SMALL + '/bin/busybox', 'rb').read()})
same('RUN <<E\n#!/bin/sh\necho script > /s\nE', 'a heredoc that is a program')
same('RUN --mount=type=tmpfs,target=/tmp --mount=type=bind,target=/b,source=d --mount=type=cache,target=/c echo 1 > /tmp/x && cp /b/f /out && echo c > /c/kept',
     'tmpfs over what is there, bind, cache', {'d/f': 'f'})
same('RUN --mount=type=cache,target=/c cp /c/kept /found', 'a cache keeps what was written')
same('RUN --mount=type=bind,target=/b,source=d,rw echo new > /b/f && cp /b/f /got', 'a writable bind mount is thrown away', {'d/f': 'f'})
equal(open(c.root + '/kiln/ctx/d/f').read(), 'f', 'and the context is as before')
secret = 'hush-%s' % os.urandom(8).hex()
write(T + '/secret', secret)
write(c.root + '/kiln/secret', secret)
d = context('secret', 'FROM base:1\nRUN --mount=type=secret,id=s test "$(stat -c %a /run/secrets/s)" = 400 && grep -q hush /run/secrets/s && sha256sum < /run/secrets/s > /sum\nRUN ls -A /run > /after')
a, b = build(d, '--secret', 'id=s,src=' + T + '/secret', env=EPOCH), c.build(d, '--secret', 'id=s,src=/kiln/secret', env=EPOCH)
check(a.rc == b.rc == 0 and a.id == b.id, 'a secret is a file of mode 400', a.err, b.err)
equal(c.holds(secret), ['/kiln/secret'], 'and nowhere afterwards')
d = context('kept', 'FROM base:1\nRUN --mount=type=secret,id=s mv /run/secrets/s /stolen && ln /stolen /second && echo x > /f\nRUN ls / > /names')
b = c.build(d, '--secret', 'id=s,src=/kiln/secret', env=EPOCH)
check(b.rc == 0 and {'stolen', 'second'} & set(tree(b.id, c.store())) == set() and 'f' in tree(b.id, c.store()), 'a secret that the command moves and links is in no layer', b.err)
check('left elsewhere' in b.err and c.holds(secret) == ['/kiln/secret'], 'it is said, and the file is gone', b.err, c.holds(secret))
equal(open(c.root + '/etc/resolv.conf').read() if not os.path.ismount(c.root + '/etc/resolv.conf') else '', '', 'files below the mounts of the engine are not made')
b = c.build(context('hosts', 'FROM base:1\nRUN grep -c extra.test /etc/hosts; cat /etc/resolv.conf\nRUN cat /etc/hosts'), '--add-host', 'extra.test:192.0.2.9')
check(b.rc == 0 and b.lines()[:2] == ['1', 'nameserver 192.0.2.7'], "--add-host, and the engine's resolv.conf", b.err)
equal(open(c.dir + '/hosts').read(), '127.0.0.1\tlocalhost\n', 'hosts is as it was')

# ---- ssh ----
path = c.root + '/kiln/agent'
server = socket.socket(socket.AF_UNIX)
os.chdir(c.root + '/kiln')
server.bind('agent')
os.chdir(TOP)
server.listen()
b = c.build(context('ssh', 'FROM base:1\nRUN --mount=type=ssh test -S $SSH_AUTH_SOCK && echo $SSH_AUTH_SOCK > /where\nRUN ls -A /run > /after'), '--ssh', 'default=/kiln/agent')
check(b.rc == 0 and tree(b.id, c.store())['where'].text.strip() == '/run/buildkit/ssh_agent.0' and tree(b.id, c.store())['after'].text == '', 'ssh: a socket, gone afterwards', b.err)

# ---- failures ----
equal(c.build(context('code', 'FROM base:1\nRUN exit 42')).rc, 42, 'exit codes')
b = c.build(context('lost', 'FROM base:1\nRUN ["/no/such"]'))
check(b.rc != 0 and 'No such file' in b.err, 'a command that is not there', b.err)
b = c.build(context('none', 'FROM base:1\nRUN --network=none true'))
check(b.rc != 0 and '--network=none' in b.err and 'Dockerfile:2' in b.err, '--network=none is an error that names the step', b.err)
b = c.build(context('left', 'FROM base:1\nRUN (sleep 4321.25 & ) ; setsid sleep 4321.25 & true'))
equal((b.rc, c.processes('sleep 4321.25')), (0, []), 'processes that a step leaves behind are ended', b.err)
b = c.build(context('over', 'FROM base:1\nCOPY f /kiln/x\nRUN true', {'f': 'f'}))
check(b.rc != 0 and "/kiln, which here is kiln's own directory" in b.err, 'an image that has something where kiln lives is refused', b.err)
b = c.build(context('link', 'FROM base:1\nRUN rm -r /var && ln -s home /var\nRUN echo x > /var/y'), env=EPOCH)
check(b.rc == 0 and tree(b.id, c.store())['home/y'].text == 'x\n', 'a directory that becomes a link', b.err)
check(os.path.exists(c.root + '/kiln/store/index.json') and os.path.exists(c.root + '/kiln/bin/kiln'), "kiln's own directory is as it was")

# ---- killed ----
d = context('killed', 'FROM base:1\nRUN --mount=type=secret,id=s --mount=type=secret,id=s,env=SECRET --mount=type=cache,target=/c --mount=type=cache,target=/e echo new > /e/x; mv /run/secrets/s /moved; echo running; sleep 4321.25')


def start_killed():
    shutil.rmtree(c.root + '/kiln/ctx')
    shutil.copytree(d, c.root + '/kiln/ctx')
    p = subprocess.Popen(c.command(['build', '--isolation', 'in-place', '--no-cache', '--secret', 'id=s,src=/kiln/secret', '/kiln/ctx']),
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: c.processes('sleep 4321.25'))
    check(len(c.holds(secret)) > 1, 'while it runs the secret is there')
    return p


def caches_are_back(name):
    r = c.build(context('again', 'FROM base:1\nRUN --mount=type=cache,target=/c --mount=type=cache,target=/e cat /c/kept /e/x'), '--no-cache')
    equal((r.rc, r.lines()), (0, ['c', 'new']), name, r.err)


for how in (signal.SIGTERM, signal.SIGKILL):
    p = start_killed()
    os.kill(min(c.processes('--isolation in-place')), how)
    p.wait()
    wait_until(lambda: not c.processes('sleep 4321.25'))
    wait_until(lambda: not c.processes('--isolation in-place'))
    if how == signal.SIGTERM:
        equal(c.holds(secret), ['/kiln/secret'], 'after SIGTERM no secret is left')
    else:
        equal([f for f in c.holds(secret) if not f.startswith('/kiln/')], [], 'the process that runs steps cleans up when kiln is killed')
    caches_are_back('after signal %d the caches are in place' % how)
p = start_killed()
both = c.processes('--isolation in-place')
equal(len(both), 2, 'kiln and the process that runs its steps')
for how in (signal.SIGSTOP, signal.SIGKILL):  # so that neither sees the other die
    for pid in both:
        os.kill(pid, how)
p.wait()
wait_until(lambda: not c.processes('--isolation in-place'))
for pid in c.processes('sleep 4321.25'):  # nobody is left to end it
    os.kill(pid, signal.SIGKILL)
wait_until(lambda: not c.processes('sleep 4321.25'))
check('/moved' in c.holds(secret), 'with both killed the secret is still there')
c.kiln('images')
equal(c.holds(secret), ['/kiln/secret'], 'the next command of any kind removes it')
caches_are_back('and has put the caches back')
p = start_killed()
r = c.kiln('build', '--isolation', 'in-place', '/kiln/ctx')
check(r.rc != 0 and 'another build has the root' in r.err, 'a second build at the same time is refused', r.err)
os.kill(min(c.processes('--isolation in-place')), signal.SIGTERM)
p.wait()

# ---- an engine that mounts nothing but what a runtime must ----
c = Container('bare', mount_files=False)
same('RUN cat /etc/resolv.conf > /dev/null; grep -q localhost /etc/hosts && ls -A /etc > /names', 'without mounted hosts and resolv.conf')
r = c.kiln('doctor')
check('in-place' in r.out and "hostUsers: false" in r.out, 'doctor names the modes', r.out, r.err)
shutil.copytree(c.root + '/kiln/bin', c.root + '/bin/of-system')
r = c.kiln('build', '--isolation', 'in-place', '/kiln/ctx', prefix=[c.loader, '--library-path', '/kiln/lib/kiln', '/bin/of-system/kiln'])
check(r.rc != 0 and 'would take away' in r.err and os.path.exists(c.root + '/bin/of-system/kiln'), 'a kiln that would take itself away is refused', r.err)

# ---- no container ----
plain = Container('plain', marker='')
before = sorted(os.listdir(plain.root))
r = plain.kiln('build', '--isolation', 'in-place', '/kiln/ctx')
check(r.rc != 0 and 'this is none' in r.err and '.dockerenv' in r.err and sorted(os.listdir(plain.root)) == before, 'without a sign of a container it is refused', r.err)
# Where a mistake of this test could change nothing: all of the machine is read-only there.
script = 'mount -t tmpfs tmpfs %s && mount -o remount,bind,ro / && exec "$@"' % (T + '/contexts')
for wrap, why in (([], 'first pid namespace'), (['unshare', '--pid', '--fork', '--mount-proc'], 'whole of the disk')):
    r = subprocess.run(['unshare', '--mount', *wrap, 'sh', '-c', script, 'sh', KILN, 'build', '--store', T + '/contexts/store', '--isolation', 'in-place', '-'],
                       input='FROM scratch\n', capture_output=True, text=True, env=dict(os.environ, container='docker'))
    check(r.returncode != 0 and ('this is none' in r.stderr or 'would take away' in r.stderr), 'the machine itself is refused: ' + why, r.stderr)
done()
