#!/usr/bin/env python3
# slow
"""build --isolation chroot: RUN with neither mounts nor namespaces, without CAP_SYS_ADMIN."""
import atexit, os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from build_case import *
from rootless_case import processes, wait_until

EPOCH = {'SOURCE_DATE_EPOCH': '1700000000'}
# Older than whatever a step does to it, by more than the second that layers tell.
subprocess.run(['find', base_root(), '-depth', '-exec', 'touch', '-h', '-d', '@1600000000', '{}', '+'], check=True)
os.environ.update(EPOCH)  # the base is to be the same in both stores, whenever it gets there
import_base()
# As in a container whose seccomp profile forbids namespaces: no CAP_SYS_ADMIN, no user namespace.
WRAP = ['setpriv', '--bounding-set=-sys_admin', '--inh-caps=-sys_admin']
other = T + '/other-store'
import_base(store=other)
del os.environ['SOURCE_DATE_EPOCH']


def chroot(where, *options, env=None):
    e = dict(os.environ, KILN_STORE=other, **(env or {}))
    r = subprocess.run([*WRAP, KILN, 'build', '--progress', 'plain', '--isolation', 'chroot', *options, where],
                       capture_output=True, env=e, timeout=120)
    return Result(r.returncode, r.stdout.decode(errors='replace'), r.stderr.decode(errors='replace'))


number = 0


def same(dockerfile, name, files=None, options=()):
    global number
    number += 1
    d = context('c%d' % number, 'FROM base:1\n' + dockerfile, files or {})
    a, b = build(d, *options, env=EPOCH), chroot(d, *options, env=EPOCH)
    check(a.rc == 0 and b.rc == 0 and a.id == b.id, name, a.err, b.err)


same('RUN echo hi > /f && mkdir -p /a/b && ln -s b /a/c && ln /f /a/hard && chmod 4755 /f && rm /etc/group', 'files')
same('RUN chown 33:44 /etc/passwd && touch /x && chown 5:6 /x', 'owners')
same('WORKDIR /w/d\nUSER www-data\nRUN id -u > /tmp/me; id -g >> /tmp/me; pwd >> /tmp/me; umask >> /tmp/me', 'user, working directory, umask')
same('RUN env | sort > /env', 'environment')
same('RUN echo x > /dev/null && head -c 4 /dev/zero > /z', '/dev/null and /dev/zero')
same('RUN <<E\n#!/bin/sh\necho script > /s\nE', 'a heredoc that is a program')
same('RUN --mount=type=tmpfs,target=/t --mount=type=bind,target=/b,source=d --mount=type=cache,target=/c echo 1 > /t/x && cp /b/f /out && echo c > /c/kept',
     'tmpfs, bind, cache', {'d/f': 'f'})
same('RUN --mount=type=cache,target=/c cp /c/kept /found', 'a cache keeps what was written')
write(T + '/secret', 'hush')
same('RUN --mount=type=secret,id=s cp /run/secrets/s /tmp/s && stat -c %a /run/secrets/s > /m && rm /tmp/s', 'secrets', options=('--secret', 'id=s,src=' + T + '/secret'))
secret = 'hush-%s' % os.urandom(8).hex()
write(T + '/secret', secret)
with_secret = ('--secret', 'id=s,src=' + T + '/secret')


def holds(text, store):
    """Files of the store with `text` in them."""
    return subprocess.run(['grep', '-rlaF', '--', text, store], capture_output=True, text=True).stdout.splitlines()


r = chroot(context('kept', 'FROM base:1\nRUN --mount=type=secret,id=s mv /run/secrets/s /stolen && ln /stolen /second && echo x > /f\nRUN ls / > /names'), *with_secret, env=EPOCH)
left = tree(r.id, other) if r.rc == 0 else {}
check('f' in left and {'stolen', 'second'} & set(left) == set() and 'second' not in left['names'].text, 'a secret that the command moves and links is in no layer', r.err)
check('left elsewhere' in r.err and holds(secret, other) == [], 'it is said, and the file is gone', r.err, holds(secret, other))
r = chroot(context('env', 'FROM base:1\nRUN --mount=type=secret,id=s,env=S test "$S" != "" && exit 9'), *with_secret)
equal((r.rc, holds(secret, other)), (9, []), 'nor is one in the environment left by a step that fails')
same('RUN --mount=type=bind,target=/etc/conf,source=f cat /etc/conf > /c && touch /etc/new', 'a file below a directory that changes', {'f': 'f'})
agent = subprocess.Popen(['ssh-agent', '-D', '-a', T + '/agent'], stdout=subprocess.DEVNULL)
atexit.register(agent.kill)
wait_until(lambda: os.path.exists(T + '/agent'))
same('COPY --chmod=755 root /\nRUN --mount=type=ssh stat -c "%a %u %g" $SSH_AUTH_SOCK > /s && ssh-add -l > /l; ls -A /run > /after\n'
     'USER 1000\nRUN --mount=type=ssh,uid=1000 ssh-add -l > /tmp/l; test -s /tmp/l', 'ssh: a socket that leads to the agent', with_libraries('/usr/bin/ssh-add'), ('--ssh', 'default=' + T + '/agent'))
r = chroot(context('fail', 'FROM base:1\nRUN cat /proc/self/status'))
check(r.rc == 1 and 'no /proc' in r.err and 'Dockerfile:2' in r.err, 'a failing step says what there is not', r.err)
equal(chroot(context('code', 'FROM base:1\nRUN exit 42')).rc, 42, 'exit codes')
for text, rc, name in (('RUN true', 1, 'is one error that names the step'), ('COPY f /f\nWORKDIR /w', 0, 'builds what has no RUN')):
    d = context('no-chroot', 'FROM base:1\n' + text, {'f': 'f'})
    r = subprocess.run(['unshare', '-U', '-r', 'sh', '-c', 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"', 'sh', 'setpriv', '--bounding-set=-sys_admin,-sys_chroot', '--inh-caps=-sys_admin,-sys_chroot', KILN, 'build', '--isolation', 'chroot', '--no-cache', '--quiet', d],
                       capture_output=True, text=True, env=dict(os.environ, KILN_STORE=other), timeout=60)
    said = [l for l in r.stderr.splitlines() if l.startswith('kiln: ')]
    equal((r.returncode, len(said), all(t in ''.join(said) for t in ('CAP_SYS_CHROOT', 'Dockerfile:2'))), (rc, rc, rc == 1), 'without CAP_SYS_CHROOT and user namespaces: ' + name, r.stderr)
r = chroot(context('none', 'FROM base:1\nRUN --network=none true'))
check(r.rc != 0 and '--network=none' in r.err and 'Dockerfile:2' in r.err, '--network=none is an error that names the step', r.err)
r = chroot(context('lost', 'FROM base:1\nRUN ["/no/such"]'))
check(r.rc != 0 and 'No such file' in r.err, 'a command that is not there', r.err)
r = chroot(context('daemon', 'FROM base:1\nRUN (sleep 4321.5 & ) ; setsid sleep 4321.5 & true'))
equal((r.rc, processes('sleep 4321.5')), (0, []), 'processes that a step leaves behind are ended', r.err)
d = context('sleeps', 'FROM base:1\nRUN --mount=type=cache,target=/c --mount=type=cache,target=/e echo new > /e/x; sleep 4321.5')
for how in (signal.SIGTERM, signal.SIGKILL):
    p = subprocess.Popen([*WRAP, KILN, 'build', '--isolation', 'chroot', '--no-cache', d], env=dict(os.environ, KILN_STORE=other),
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: processes('sleep 4321.5'))
    p.send_signal(how)
    p.wait()
    r = chroot(context('again', 'FROM base:1\nRUN --mount=type=cache,target=/c --mount=type=cache,target=/e cat /c/kept /e/x'), '--no-cache')
    equal((r.rc, r.lines(), processes('sleep 4321.5')), (0, ['c', 'new'], []), 'after signal %d nothing runs and the caches are in place' % how, r.err)


def descendants(pid):
    found = [pid]
    for at in found:
        for task in os.listdir('/proc/%d/task' % at):
            found += map(int, open('/proc/%d/task/%s/children' % (at, task)).read().split())
    return found


d = context('killed', 'FROM base:1\nRUN --mount=type=secret,id=s --mount=type=secret,id=s,env=S mv /run/secrets/s /moved && ln /moved /second; sleep 4321.75')
for wrap, name, what in ((WRAP, 'a copied root', 'build'), ([], 'an overlay', 'build'), (WRAP, 'a copied root', 'prune'), ([], 'an overlay', 'prune')):
    store = T + '/store-' + name.split()[-1] + '-' + what
    import_base(store=store)
    command = [*wrap, KILN, 'build', '--store', store, '--isolation', 'chroot']
    p = subprocess.Popen([*command, *with_secret, d], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: processes('sleep 4321.75'))
    all = descendants(p.pid)
    check(len(all) >= 3 and holds(secret, store) != [], 'while it runs the secret is there (%s)' % name, all)
    for how in (signal.SIGSTOP, signal.SIGKILL):  # so that none sees another die
        for pid in all:
            os.kill(pid, how)
    p.wait()
    wait_until(lambda: not processes('sleep 4321.75'))
    check(holds(secret, store) != [], 'with all of them killed it is still there (%s)' % name)
    if what == 'prune':
        r = subprocess.run([*wrap, KILN, 'prune', '--store', store], capture_output=True, text=True)
    else:
        r = subprocess.run([*command, context('next', 'FROM base:1\nRUN true')], capture_output=True, text=True)
    equal((r.returncode, holds(secret, store)), (0, []), 'the next %s removes it (%s)' % (what, name), r.stderr)

# The runtime alone is killed: what the command had sent into the background ends with the step.
own = '%d' % (os.getpid() + 100000)  # of no other run of this test that was cut off
d = context('orphan', 'FROM base:1\nRUN setsid sleep 5432.%s & sleep 4321.%s' % (own, own))
p = subprocess.Popen([KILN, 'build', '--store', T + '/store-overlay-build', '--isolation', 'chroot', d], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
wait_until(lambda: processes('sleep 4321.' + own) and processes('sleep 5432.' + own))
runtimes = [pid for pid in descendants(p.pid) if b'chroot-runtime' in open('/proc/%d/cmdline' % pid, 'rb').read()]
check(len(runtimes) == 1, 'one runtime', runtimes)
os.kill(runtimes[0], signal.SIGKILL)
err = p.communicate()[1]
wait_until(lambda: not processes('sleep 5432.' + own))
check(p.returncode not in (0, None) and not processes('sleep 4321.' + own) and not processes('sleep 5432.' + own), 'the runtime is killed: nothing goes on', p.returncode, err)
done()
