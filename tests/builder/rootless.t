#!/usr/bin/env python3
"""kiln as an ordinary user: with ranges of ids the same layers as root makes; with one id either the
same or an error that names call, path and line; nothing left behind."""
import os, sys
if os.geteuid() == 0 and 'KILN_ROOTLESS_TEST' not in os.environ:
    # The test's users stand in copies of /etc/passwd and /etc/subuid of this mount namespace only.
    os.environ['KILN_ROOTLESS_TEST'] = '1'
    os.execvp('unshare', ['unshare', '-m', '--propagation', 'private', sys.executable, *sys.argv])
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from build_case import *
from rootless_case import *

BASE = base_root()
write(BASE + '/srv/owned', 'x\n')
os.chown(BASE + '/srv/owned', 33, 33)
os.mkdir(BASE + '/srv/dir')
os.chown(BASE + '/srv/dir', 33, 4)
os.mknod(BASE + '/dev/odd', 0o600 | stat.S_IFCHR, os.makedev(1, 3))
tar = T + '/base.tar'
# Old, so that no step runs in the second in which its base was made and finds its directories unchanged.
subprocess.run(['tar', '-C', BASE, '--numeric-owner', '--mtime=@1500000000', '-cf', tar, '.'], check=True)
os.chmod(tar, 0o644)
root_store = T + '/root-store'
users = {'ranges': User('kilnmany', 4242, True), 'single': User('kilnone', 4243, False)}
# The base is the same image for all of them: made at one time.
made = {'SOURCE_DATE_EPOCH': '1600000000'}
subprocess.run([KILN, 'import', '--store', root_store, tar, 'base:1'], check=True, capture_output=True,
               env=dict(os.environ, **made))
for who, user in users.items():
    r = user.kiln('import', tar, 'base:1', env=made)
    check(r.rc == 0, 'import as a user: ' + who, r.err)


def both(dockerfile, name, users=users, files=None, **more):
    """The same Dockerfile as root and as each user: layers and ids agree."""
    d = context('c%d' % len(os.listdir(T + '/contexts')) if os.path.isdir(T + '/contexts') else 'c0',
                'FROM base:1\n' + dockerfile, files or {})
    env = {'SOURCE_DATE_EPOCH': '1700000000'}
    root = kiln('build', '--progress', 'plain', '--store', root_store, '--runtime', RUNTIME, d, env=env)
    for who, user in users.items():
        mine = user.kiln('build', '--progress', 'plain', d, env=env, **more)
        if not check(root.rc == 0 and mine.rc == 0, '%s (%s): builds' % (name, who), root.err, mine.err):
            continue
        equal([l['digest'] for l in manifest_of(mine.id, user.store)['layers']],
              [l['digest'] for l in manifest_of(root.id, root_store)['layers']],
              '%s (%s): the layers that root makes' % (name, who))
        equal(mine.id, root.id, '%s (%s): the same image' % (name, who))


many = {'ranges': users['ranges']}
both('RUN echo hi > /f && mkdir -p /a/b && ln -s b /a/c && ln /f /a/hard && chmod 4755 /f', 'files')
both('RUN rm -r /srv/dir && mv /srv/owned /srv/moved && mkdir /srv/dir', 'deletions and a file of another owner moved')
both('RUN echo more >> /srv/owned && chmod 700 /srv/dir', 'files of owners that the base brought')
both('RUN chown 0:0 /srv/owned', 'given to root')
both('COPY --chown=33:44 f /copied\nRUN cat /copied && touch -d @1000 /copied', 'COPY --chown, then a RUN that touches it', files={'f': 'f\n'})
both('RUN chown 33:33 /etc/passwd && mkdir /d && chown 100:65535 /d', 'chown', many)
both('USER www-data\nRUN id -u > /tmp/me', 'USER', many)
both('RUN mkfifo /p && ls /proc/self/fd >/dev/null && head -c 3 /dev/zero > /z && ls /sys/class >/dev/null && echo x > /dev/shm/x && readlink /dev/stdin',
     'devices, /proc, /sys, /dev/shm')
both('RUN --network=none cat /proc/net/dev | wc -l > /n', '--network=none')
both('RUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t --mount=type=bind,target=/b,source=. echo 1 > /c/x && cp /b/f /t && cat /t/f > /out',
     'mounts', files={'f': 'f\n'})
both('\n'.join('RUN echo %d > /f%d' % (i, i) for i in range(5)), 'five steps')


def refused(who, line, texts, name, rc=1, options=()):
    d = context('bad', 'FROM base:1\n' + line)
    r = users[who].kiln('build', '--progress', 'plain', *options, d)
    check(r.rc == rc and all(t in r.err for t in texts), '%s (%s)' % (name, who), 'exit %d' % r.rc, r.err)


refused('single', 'RUN chown 33:33 /etc/passwd || true', ['chown(33, 33) of /etc/passwd', 'Dockerfile:2', 'kilnone has no range in /etc/subuid'],
        'a chown whose failure is swallowed ends the build')
refused('single', 'RUN cd /etc && chown -h 33 group; true', ['of /etc/group', 'Dockerfile:2'], 'a relative path')
refused('single', 'USER 33\nRUN true', ['user 33:', 'Dockerfile:3'], 'a USER that is not mapped')
refused('single', 'RUN su www-data -s /bin/sh -c true || true', ['set', 'Dockerfile:2'], 'setuid or setgroups')
refused('ranges', 'RUN chown 70000:1 /etc/passwd || true', ['chown(70000, 1) of /etc/passwd'], 'an id beyond the range')
for who in users:
    refused(who, 'RUN mknod /null c 1 3 || true', ['mknod', '/null', 'Dockerfile:2'], 'a device node')
    refused(who, 'RUN exit 7', ['exit code 7'], 'exit codes come through', 7)
d = context('fine', 'FROM base:1\nRUN chown 33 /nowhere || true\nRUN chown -R 0:0 /etc/group && chown :0 /etc/group')
check(users['single'].kiln('build', d).rc == 0, 'a chown that fails for another reason, and one to what is mapped (single)')

# ---- in a changed root ----
IN_CHROOT = ('--isolation', 'chroot')
refused('ranges', 'RUN mknod /n c 1 3 || true', ['of the device /n', 'Dockerfile:2'], 'chroot: a device node whose failure is swallowed', options=IN_CHROOT)
refused('ranges', 'RUN chown 70000 /etc/passwd || true', ['chown(70000, 0) of /etc/passwd'], 'chroot: an id beyond the range', options=IN_CHROOT)
refused('ranges', 'RUN cd /etc && chown 70000 group; true', ['(70000, 0) of /etc/group'], 'chroot: a relative path', options=IN_CHROOT)
refused('single', 'RUN chown 33:33 /etc/passwd || true', ['chown(33, 33) of /etc/passwd', 'kilnone has no range in /etc/subuid'], 'chroot: any other id', options=IN_CHROOT)
refused('single', 'RUN su www-data -s /bin/sh -c true || true', ['set', 'Dockerfile:2'], 'chroot: setuid or setgroups', options=IN_CHROOT)
for who in users:
    refused(who, 'RUN exit 7', ['exit code 7'], 'chroot: exit codes come through', 7, options=IN_CHROOT)
d = context('fine', 'FROM base:1\nRUN echo x > /f && chown 0:0 /f && chown 33 /nowhere || true\nRUN id -u > /me')
for who in users:
    r = users[who].kiln('build', '--no-cache', *IN_CHROOT, d)
    check(r.rc == 0, 'chroot: what is mapped, and what fails for another reason (%s)' % who, r.err)
d = context('owners', 'FROM base:1\nUSER 33\nRUN id -u > /tmp/me && chown 33 /tmp/me\nUSER 0\nRUN chown 65000:5 /etc/group && mkfifo /p')
r = users['ranges'].kiln('build', *IN_CHROOT, d)
check(r.rc == 0, 'chroot: owners within the range', r.err)

# ---- forbidden ----
FORBID = ['unshare', '-U', '-r', 'sh', '-c', 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"', 'sh']
NO_ADMIN = ['capsh', '--drop=cap_sys_admin', '--', '-c', 'exec "$0" "$@"']
user = users['ranges']
d = context('forbidden', 'FROM base:1\nRUN true')
plain = context('no-run', 'FROM base:1\nCOPY f /f\nWORKDIR /w', {'f': 'f'})
env = {**os.environ, 'KILN_STORE': root_store}
inner = ['setpriv', '--bounding-set=-sys_admin', '--inh-caps=-sys_admin', KILN]
r = subprocess.run([*FORBID, *inner, 'build', d], capture_output=True, text=True, env=env)
check(r.returncode == 1 and 'sysctl user.max_user_namespaces is 0' in r.stderr and 'Dockerfile:2' in r.stderr,
      'no user namespaces: the setting is named', r.stderr)
r = subprocess.run([*FORBID, *inner, 'build', plain], capture_output=True, text=True, env=env)
equal(r.returncode, 0, 'no user namespaces: a Dockerfile without RUN builds', r.stderr)
r = subprocess.run([*FORBID, *inner, 'doctor'], capture_output=True, text=True, env=env)
check(r.returncode == 1 and 'max_user_namespaces is 0' in r.stdout and 'hostUsers: false' in r.stdout,
      'doctor says what is missing', r.stdout, r.stderr)
for who, user in users.items():
    r = user.kiln('doctor')
    wanted = {'ranges': '65537 ids mapped', 'single': 'kilnone has no range in /etc/subuid'}[who]
    check(r.rc == 0 and wanted in r.out, 'doctor (%s)' % who, r.out, r.err)
r = subprocess.run([KILN, 'doctor'], capture_output=True, text=True, env=env)
check(r.returncode == 0 and 'CAP_SYS_ADMIN' in r.stdout, 'doctor as root', r.stdout, r.stderr)

# ---- bundle and run ----
for who, user in users.items():
    r = user.kiln('run', '--rm', '--network', 'none', 'base:1', 'sh', '-c', 'id -u; stat -c %u:%g /srv/owned; cat /proc/self/uid_map | wc -l; exit 3',
                  env={'XDG_RUNTIME_DIR': user.home})
    equal((r.rc, r.out.split()), (3, {'ranges': ['0', '33:33', '2'], 'single': ['0', '0:0', '1']}[who]), 'kiln run (%s)' % who, r.err)
    r = user.kiln('bundle', 'base:1', user.home + '/b', '--', 'true')
    check(r.rc == 0, 'bundle (%s)' % who, r.err)
    r = user.kiln('--root', user.home + '/state', 'run', '--bundle', user.home + '/b', 'c1', program=programs() + '/vessel')
    check(r.rc == 0, 'which vessel runs (%s)' % who, r.err)
    r = user.kiln('bundle', '--rm', user.home + '/b')
    check(r.rc == 0 and not os.path.exists(user.home + '/b'), 'bundle --rm (%s)' % who, r.err)

# ---- signals, left-overs, removal ----
for who, user in users.items():
    d = context('sleeps', 'FROM base:1\nRUN sleep 1234.5')
    p = user.start('build', '--progress', 'plain', d)
    wait_until(lambda: processes('sleep 1234.5'))
    p.send_signal(signal.SIGTERM)
    rc = p.wait(20)
    equal((rc, processes('sleep 1234.5'), user.processes()), (130, [], []), 'SIGTERM ends the build (%s)' % who)
    p = user.start('build', '--progress', 'plain', d)
    wait_until(lambda: processes('sleep 1234.5'))
    p.kill()
    p.wait()
    r = user.kiln('build', context('after', 'FROM base:1\nRUN echo %s' % who))
    equal((r.rc, processes('sleep 1234.5')), (0, []), 'the build after a kill -9 ends what was left (%s)' % who, r.err)
    mounts = [l for l in open('/proc/self/mountinfo') if user.home in l]
    equal(mounts, [], 'no mount is left (%s)' % who)
    user.kiln('tag', 'base:1', 'other:1')
    r = user.kiln('rmi', 'base:1', 'other:1')
    r2 = user.kiln('prune', '--all')
    equal((r.rc, r2.rc), (0, 0), 'rmi and prune (%s)' % who, r.err, r2.err)
    left = [p for p in find(user.store) if os.lstat(p).st_uid != user.uid]
    equal(left, [], 'files of the ranges are gone after prune (%s)' % who)
done()
