#!/usr/bin/env python3
# CVE-2024-1753, CVE-2024-9675, CVE-2024-11218, BuildKit CVE-2024-23651 and CVE-2024-23652: sources,
# targets and ids of RUN --mount, and the clean-up of mount points, taken as paths of the host.
# Seen to fail with ids of caches taken as names of directories: 2 to 4; with RESOLVE_IN_ROOT taken out of
# try_open_in_root(): 6 to 13; with stubs removed by their path and not by inode under the directory that was
# held: 14, 15, 17. What is raced for at the end is vessel's resolver, taken out in raced_mount_target.t.
from builder_attack import *

root = base_root()
shutil.copy(PROGRAMS + '/swapper', root + '/swapper')
links = {'up': UP + HOST[1:], 'abs': HOST, 'file': UP + HOST[1:] + '/secret', 'loop': 'loop', 'chain': 'chain2', 'chain2': 'abs'}
for name, to in links.items():
    os.symlink(to, root + '/' + name)
os.mkdir(root + '/in')
os.symlink(UP + HOST[1:], root + '/in/out')
import_base()
os.makedirs(HOST + '/stubs/deep'), write(HOST + '/stubs/token', ''), write(HOST + '/stubs/name')
import builder_attack
builder_attack._before = look()
B = 'FROM base:1\n'
READ = 'for f in $(find /m -maxdepth 3); do echo $f; cat $f; done'

# ---- ids of caches ----
ids = [UP + HOST[1:] + '/dir', HOST + '/dir', '../../../' + os.path.relpath(HOST, STORE + '/kiln') + '/dir', '.', '..', 'a/../../b', 'x' * 300]
steps = ''.join('RUN --mount=type=cache,id=%s,target=/m ls -la /m; %s; echo x > /m/written\n' % (i, READ) for i in ids)
r = build(B + steps)
kept_out(r, 'ids of caches that are paths show nothing of the host')
check(r.rc == 0, 'and they are ids like others', r.err)
unharmed('and change nothing there')
names = os.listdir(STORE + '/kiln/cache-mounts')
check(len(names) == len(ids) and all(re.fullmatch('[0-9a-f]{64}', n) for n in names), 'each has a directory of a fixed form', names)
r = build(B + 'RUN --mount=type=cache,target=%s%s/dir %s\n' % (UP, HOST[1:], READ))
kept_out(r, 'nor does a target that climbs, which is an id, too')

# ---- sources: links in an image, in a stage, in the context ----
d = context('sources', None, {'f': 'x\n'})
for name, to in links.items():
    os.symlink(to, d + '/' + name)
write(d + '/.dockerignore', 'unused\n')  # (this one is copied before it is mounted)
e = context('plain-sources', None, {'f': 'x\n'})
for name, to in links.items():
    os.symlink(to, e + '/' + name)
sources = ['up', 'up/secret', 'abs/secret', 'file', 'loop', 'chain/secret', UP + HOST[1:], HOST, 'f/../up/secret', 'in/out/secret']
failed = []
for mount in ('bind,from=base:1', 'bind,from=base:1,rw', 'bind,from=s', 'bind,from=s,rw', 'cache,from=s,id=c%d', 'bind', 'bind,rw'):
    for i, source in enumerate(sources):
        dockerfile = 'FROM base:1 AS s\nRUN ln -s %s /made || true\n' % HOST + B + 'RUN --mount=type=%s,source=%s,target=/m %s; echo x > /m/written; true\n' % (mount.replace('%d', str(i)), source, READ)
        for where in (d, e) if 'from' not in mount else (d,):
            write(where + '/Dockerfile', dockerfile)
            r = build(where)
            if MARK in r.out + r.err or (r.rc != 0 and 'not found in' not in r.err and 'Too many levels' not in r.err and 'No such file' not in r.err):
                failed.append((mount, source, r.rc, r.err[-600:]))
check(not failed, 'sources of bind and cache mounts end in their tree', *failed)
unharmed('and nothing was written where they point')

# ---- targets that are links in the image ----
targets = ['/up', '/abs/new', '/abs/new/deep/er', '/up/dir', '/chain/new', '/in/out/new', '/loop/x', '/abs/../up/new', UP + HOST[1:] + '/new']
for kind in ('type=cache,id=t', 'type=tmpfs', 'type=bind,source=sub', 'type=bind,source=f', 'type=secret,id=s'):
    failed = []
    d = context('targets', None, {'f': 'x\n', 'sub/f': 'x\n', 's': 'secret\n'})
    for t in targets:
        write(d + '/Dockerfile', B + 'RUN --mount=%s,target=%s true; echo x > %s/written; true\n' % (kind, t, t))
        r = build(d, '--secret', 'id=s,src=' + d + '/s')
        if MARK in r.out + r.err or (r.rc != 0 and 'leads nowhere' not in r.err and 'is needed' not in r.err):
            failed.append((t, r.rc, r.err[-600:]))
    check(not failed, 'targets of %s that lead out: inside the image, or refused' % kind, *failed)
unharmed('no directory or file was made on the host for a target')

# ---- clean-up of mount points ----
static = context('static', 'FROM scratch\nCOPY busybox /busybox\n', {'busybox': open(shutil.which('busybox'), 'rb').read()})
os.chmod(static + '/busybox', 0o755)
build(static, '-t', 'static:1')
swap = '/busybox mv /made /other && /busybox ln -s %s/stubs /made'
for name, to in (('absolute', HOST), ('relative', UP + HOST[1:])):
    r = build(context('stubs', '''FROM static:1
RUN --mount=type=cache,target=/made/deep ["/busybox", "sh", "-c", "%s"]
''' % (swap % to)))
    if check(r.rc == 0, 'a mount point moved away and replaced by a link (%s)' % name, r.err):
        got = {p: n.kind for p, n in tree(r.id).items() if p != 'busybox'}
        equal(got, {'made': 'l', 'other': 'd'}, 'the layer has what the command made, and no mount point')
r = build(context('stub-file', '''FROM static:1
RUN --mount=type=secret,id=s,target=/made/token ["/busybox", "sh", "-c", "%s"]
''' % (swap % HOST), {'s': 'x\n'}), '--secret', 'id=s,src=' + T + '/contexts/stub-file/s')
check(r.rc == 0, 'a file to mount on, its directory replaced by a link', r.err)
unharmed('what stands on the host where the links lead was not removed')

# ---- a step that swaps, beside steps that mount ----
lines = ''.join('RUN --mount=type=cache,id=race,target=/c --mount=type=%s,target=/c/d/made%d/deep find /c/ -maxdepth 2 -name secret -exec cat {} +; true\n' % (kind, i) for i, kind in enumerate(('tmpfs', 'cache,id=o', 'bind,from=base:1,source=/in')))
race = subprocess.Popen([KILN, 'build', '--progress', 'plain', '--runtime', RUNTIME, '-'], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=dict(os.environ, KILN_STORE=STORE))
race.stdin.write((B + 'RUN --mount=type=cache,id=race,target=/c mkdir -p /c/d && ln -s %s /c/l && echo swapping && exec timeout 12 /swapper /c/d /c/l\n' % links['up']).encode())
race.stdin.close()
while b' swapping' not in (line := race.stderr.readline()) or b'RUN' in line:
    if not line:
        break
rounds = succeeded = 0
shown = ''
while race.poll() is None and rounds < 40 and not shown:
    rounds += 1
    r = build(B + 'ENV ROUND=%d\n' % rounds + lines)
    succeeded += r.rc == 0
    shown = r.err if MARK in r.out + r.err else ''
raced = race.poll() is None
race.terminate()
race.stderr.read()
race.wait()
check(raced and rounds == 40, 'the race was on during %d builds (%d of them got through)' % (rounds, succeeded))
check(not shown, 'no step saw the host through a cache that another one changes', shown)
unharmed('and nothing was made or mounted there')
done()
