#!/usr/bin/env python3
"""What a build does to its base and its sources: a base that no step runs in is not unpacked, deep stacks,
volatile uppers, extended attributes and ACLs of layers, sources of bind mounts that stay as they are."""
import glob, os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from build_case import *

EPOCH = {'SOURCE_DATE_EPOCH': '1700000000'}
root = base_root()
for name in os.listdir(root + '/bin'):
    if name != 'busybox':  # unpacking hundreds of hard links takes its time, with copies above all
        os.unlink(root + '/bin/' + name)
        os.symlink('busybox', root + '/bin/' + name)
# Ways that lead to one directory, and some that lead nowhere.
os.makedirs(root + '/real/deep')
for name, target in (('abs', '/real'), ('rel', 'real'), ('chain', 'abs'), ('up', '../../../real'), ('loop', 'pool'), ('pool', 'loop'), ('tofile', 'real/file'), ('hanging', '/none/such')):
    os.symlink(target, root + '/' + name)
write(root + '/real/file', 'old\n')
tar = T + '/base.tar'
subprocess.run(['tar', '-C', root, '--numeric-owner', '-cf', tar, '.'], check=True)


def fresh(name):
    """A store of its own with the base, unpacked nowhere."""
    store = T + '/' + name
    subprocess.run([KILN, 'import', '--store', store, tar, 'base:1'], check=True, capture_output=True, env=dict(os.environ, **EPOCH))
    return store


def unpacked(store):
    """Trees of snapshots, of either kind."""
    return [p for kind in ('snapshots', 'snapshot-copies') for p in glob.glob('%s/kiln/%s/s/*' % (store, kind))]


def layers(r, store):
    return [l['digest'] for l in manifest_of(r.id, store)['layers']] if r.rc == 0 else r.err


# ---- a base is unpacked only where a command runs in it ----
FILES = {'f': 'f\n', 'd/g': 'g\n', 'd/h/i': 'i\n'}
archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode='w') as t:
    member = tarfile.TarInfo('in/archive')
    member.size = 2
    t.addfile(member, io.BytesIO(b't\n'))
FILES['t.tar'] = archive.getvalue()
PLAIN = {
    'nothing but a base': '',
    'configuration': 'ENV A=1\nLABEL a=b\nUSER www-data\nEXPOSE 80\nVOLUME /v\nSTOPSIGNAL 9\nHEALTHCHECK CMD true\nENTRYPOINT ["a"]\nCMD ["b"]\n',
    'a file': 'COPY f /f\n',
    'a file over one of the base': 'COPY f /etc/passwd\n',
    'a tree, with an owner by name': 'COPY --chown=www-data:wheel d /srv/d\n',
    'an archive': 'ADD t.tar /x/\n',
    'a heredoc': 'COPY <<E /h\ntext\nE\n',
    'WORKDIR: one of the base, new ones, below a user': 'WORKDIR /tmp\nCOPY f .\nWORKDIR /new/dir\nUSER www-data\nWORKDIR own\nCOPY f ./\n',
    'an absolute link': 'COPY f /abs/a\nCOPY d /abs/new/\n',
    'a relative link': 'COPY f /rel/a\nCOPY f /rel/deep\n',
    'a chain of links': 'COPY f /chain/deep/a\nCOPY f /chain/file\n',
    'a link that climbs': 'COPY f /up/a\n',
    'a link to a file': 'COPY f /tofile\n',
    'a link that hangs': 'COPY f /hanging\nCOPY d /hanging2/\n',
    'a WORKDIR behind links': 'WORKDIR /chain/work\nCOPY f .\nWORKDIR ../side\nCOPY f .\n',
    '--link': 'COPY --link f /rel/a\n',
}
stores = {kind: fresh(kind) for kind in ('streamed', 'unpacked', 'copied')}
for kind in ('unpacked', 'copied'):
    r = build(context('force', 'FROM base:1\nRUN true\n'), '--snapshotter', 'copy' if kind == 'copied' else 'auto', env={'KILN_STORE': stores[kind]})
    check(r.rc == 0 and unpacked(stores[kind]), 'a command has the base unpacked (%s)' % kind, r.err)
for name, lines in PLAIN.items():
    d = context('plain', 'FROM base:1\n' + lines, FILES)
    r = build(d, env=EPOCH | {'KILN_STORE': stores['streamed']})
    equal((r.rc, unpacked(stores['streamed'])), (0, []), name + ': the base is not unpacked', r.err)
    for kind in ('unpacked', 'copied'):
        r2 = build(d, '--snapshotter', 'copy' if kind == 'copied' else 'auto', env=EPOCH | {'KILN_STORE': stores[kind]})
        equal((r2.id, layers(r2, stores[kind])), (r.id, layers(r, stores['streamed'])), '%s: the same where it is (%s)' % (name, kind), r2.err)
    # A command that follows has the copies unpacked, too. It sees what the layers say.
    write(d + '/Dockerfile', 'FROM base:1\n' + lines + 'USER 0\nRUN find / -xdev -path "/bin" -prune -o -type f -print0 | xargs -0 md5sum > /sums\n')
    r2 = build(d, '--no-cache', env=EPOCH | {'KILN_STORE': stores['unpacked']})
    if not equal(layers(r2, stores['unpacked'])[:-1], layers(r, stores['streamed']), name + ': the same where it is unpacked for a command', r2.err):
        continue
    files = {p: n for p, n in tree(r2.id, stores['unpacked']).items() if n.kind == 'f' and not p.startswith('bin/')}
    said = dict(reversed(line.split('  ', 1)) for line in files.pop('sums').text.splitlines())
    mounted = ('etc/hosts', 'etc/resolv.conf', 'etc/hostname')
    wrong = [p for p, n in files.items() if p not in mounted and said.get('/' + p) != hashlib.md5(n.data).hexdigest()]
    equal((wrong, len(files) > 3), ([], True), name + ': and the command sees the files of the layers')
for name, lines in (('a loop', 'COPY f /loop/x\n'), ('a loop as the file itself', 'COPY f /loop\n')):
    ends = [build(context('plain', 'FROM base:1\n' + more + lines, FILES), env={'KILN_STORE': stores['unpacked']}) for more in ('', 'RUN true\n')]
    equal([(r.rc, 'loop' in r.err, 'Too many levels' in r.err) for r in ends], [(1, True, True)] * 2, name + ' of links is an error, unpacked or not', *[r.err for r in ends])
r = build(context('stages', 'FROM base:1 AS a\nCOPY f /f\nFROM a\nCOPY d /d\nFROM a AS b\nRUN false\n', FILES), '--target', '1', '-o', 'type=oci,dest=' + T + '/o.tar', env={'KILN_STORE': stores['streamed']})
equal((r.rc, unpacked(stores['streamed'])), (0, []), 'a stage upon a stage, written as an archive: nothing is unpacked', r.err)

# ---- 127 layers ----
store = fresh('deep')
env = EPOCH | {'KILN_STORE': store}
r = build(context('deep', 'FROM base:1\n' + ''.join('COPY <<E /n/f%d\n%d\nE\n' % (i, i) for i in range(124)) + 'COPY <<E /n/f3\nover\nE\nRUN rm /n/f5\n'), '-t', 'deep:127', env=env)
equal(len(manifest_of(r.id, store)['layers']) if r.rc == 0 else r.err, 127, 'an image of 127 layers')
LOOK = 'cd /n && ls | wc -l && cat f0 f3 f123'
d = context('ondeep', 'FROM deep:127\nRUN %s && rm f0 && echo new > f1\nRUN ls /n | wc -l; cat /n/f1\n' % LOOK)
SEEN = ['123', '0', 'over', '123', '122', 'new']
shutil.rmtree(store + '/kiln/snapshots')
on = build(d, '--no-cache', env=env)
equal(on.lines(), SEEN, 'commands on 127 layers, unpacked from blobs', on.err)
equal(sorted(layer(on.id, 127, store)) if on.rc == 0 else None, ['n', 'n/.wh.f0', 'n/f1'], 'and the layer of what they changed')
copied = build(d, '--no-cache', '--snapshotter', 'copy', env=env)
equal((copied.id, len(unpacked(store)) > 0), (on.id, True), 'the same with copied trees: one of the image, not one for each layer', copied.err)
trees = [p for p in glob.glob(store + '/kiln/snapshot-copies/s/*') if '.' not in os.path.basename(p)]
equal(len(trees), 3, 'of the image and of the two steps', trees)
# (Without lowerdir+: snapshot.t.)
ran = kiln('run', '--rm', '--runtime', RUNTIME, 'deep:127', 'sh', '-c', LOOK, env=env)
equal(ran.out.split(), SEEN[:4], 'kiln run of 127 layers', ran.err)

# ---- a layer that is not what its image says ----
store = fresh('lies')
index = json.load(open(store + '/index.json'))
def put(value):
    data = json.dumps(value).encode()
    digest = 'sha256:' + hashlib.sha256(data).hexdigest()
    write(store + '/blobs/' + digest.replace(':', '/'), data)
    return {'digest': digest, 'size': len(data)}
manifest = json.loads(blob(index['manifests'][0]['digest'], store))
config = json.loads(blob(manifest['config']['digest'], store))
config['rootfs']['diff_ids'][0] = 'sha256:' + 64 * 'a'
manifest['config'].update(put(config))
index['manifests'][0].update(put(manifest))
write(store + '/index.json', json.dumps(index))
d = context('lies', 'FROM base:1\nRUN true\n')
for kind in ('overlay', 'copy', 'overlay'):  # twice: nothing of the first attempt is believed
    r = build(d, *(['--snapshotter', 'copy'] if kind == 'copy' else []), env=EPOCH | {'KILN_STORE': store})
    check(r.rc == 1 and 'its image says sha256:' + 64 * 'a' in r.err, 'a layer with another diff id is refused (%s)' % kind, r.err)
for kind in ('overlay', 'copy', 'overlay'):
    to = T + '/lies-bundle'
    r = kiln('bundle', '--rootfs', kind, 'base:1', to, env={'KILN_STORE': store})
    check(r.rc == 1 and r.err.count('layer sha256:') == 1 and 'its image says sha256:' + 64 * 'a' in r.err, 'nor is it put into a bundle (%s)' % kind, r.err)
    equal((os.path.exists(to), unpacked(store)), (False, []), 'nothing of it stays (%s)' % kind)

# ---- volatile uppers ----
import_base('base:1', tar)
r = build(context('volatile', 'FROM base:1\nRUN grep " / / " /proc/self/mountinfo\n'))
check(r.rc == 0 and 'overlay' in ''.join(r.lines()) and 'volatile' in ''.join(r.lines()).split('upperdir=')[1], "a command's upper is volatile", r.err)
store = fresh('boots')
d = context('boots', 'FROM base:1\nRUN echo 1 > /one\nRUN cat /one; echo 2 > /two\n')
r = build(d, env={'KILN_STORE': store})
equal(r.lines(), ['1'], 'two commands', r.err)
old = unpacked(store)
for top in old:
    if os.path.isdir(top + '/etc') or os.path.exists(top + '/one'):
        write(top + '/one', 'lost\n')
        write(top + '/etc/forged', 'forged\n')
write(d + '/Dockerfile', open(d + '/Dockerfile').read() + 'RUN cat /one; cat /etc/forged 2>/dev/null; true\n')
said = [build(d, env={'KILN_STORE': store}).lines()]
for record in glob.glob(store + '/kiln/snapshots/k/*'):
    text = open(record).read().split('\n')
    text[1] = '01234567-89ab-cdef-0123-456789abcdef'
    write(record, '\n'.join(text))
write(d + '/Dockerfile', open(d + '/Dockerfile').read().replace('cat /one; cat', 'cat  /one; cat'))
r = build(d, env={'KILN_STORE': store})
said.append(r.lines())
equal(said, [['lost', 'forged'], ['1']], 'what another boot left is not used, but unpacked again from blobs', r.err)
equal([p for p in old if os.path.exists(p)], [], 'and is gone')
equal([v for k, v in r.steps().items() if k.startswith('RUN')], ['CACHED', 'CACHED', 'DONE'], 'no command runs again for that')

# ---- extended attributes ----
tools = with_libraries('/usr/bin/setfacl') | with_libraries('/usr/bin/getfacl') | with_libraries('/usr/bin/setfattr')
r = build(context('tools', 'FROM base:1\nCOPY --chmod=755 root /\n', tools), '-t', 'tools:1')
equal(r.rc, 0, 'an image with tools', r.err)
TOOLS = 'FROM tools:1\n'
r = build(context('x', TOOLS + 'RUN --security=insecure touch /a /b /c && setfattr -n trusted.note -v 1 /a && setfattr -n trusted.note -v 2 /b && setfattr -n security.ima -v 3 /c && setfattr -n user.kept -v 4 /a && '
                  'setfattr -n user.overlay.opaque -v y /b; setfattr -n user.rootlesscontainers -v 5 /c\n'), '--allow', 'security.insecure')
n = layer(r.id) if r.rc == 0 else {}
equal({p: {k.removeprefix('SCHILY.xattr.'): v for k, v in m.pax_headers.items() if 'xattr' in k} for p, m in n.items()}, {'a': {'user.kept': '4'}, 'b': {}, 'c': {}}, 'of the attributes a command sets a layer keeps user.*', r.err)
notes = sorted(l.split('-- ')[1] for l in r.err.splitlines() if 'extended attributes' in l)
equal([x for x in notes if 'trusted' in x or 'ima' in x], ['1 extended attributes security.ima are not kept in the layer', '2 extended attributes trusted.note are not kept in the layer'],
      'and the build says how many of the others it dropped', *notes)
FROM_CONTEXT = 'FROM scratch\nCOPY . /x/\n'
d = context('xc', FROM_CONTEXT, {'f': 'f', 'sub/g': 'g', 'capable': 'c', '.dockerignore': 'Dockerfile\n.dockerignore\n'})
os.setxattr(d + '/f', 'user.of.context', b'1')
os.setxattr(d + '/sub', 'user.dir', b'2')
os.setxattr(d + '/f', 'trusted.never', b'3')
os.setxattr(d + '/capable', 'security.capability', b'\1\0\0\2\0\4' + bytes(14))


def xattrs(r):
    return {p: sorted(node.xattrs) for p, node in tree(r.id).items() if node.xattrs} if r.rc == 0 else r.err


kept = {'x/f': ['user.of.context'], 'x/sub': ['user.dir'], 'x/capable': ['security.capability']}
equal(xattrs(build(d)), {}, 'of the context none are taken')
equal(xattrs(build(d, '--preserve-xattrs')), kept, '--preserve-xattrs takes them')
equal(xattrs(build(d)), {}, 'and is no hit for a build without')
again = build(d, '--preserve-xattrs')
equal((xattrs(again), again.steps()['COPY . /x/']), (kept, 'CACHED'), 'nor the other way round')
os.setxattr(d + '/f', 'user.of.context', b'another')
r = build(d, '--preserve-xattrs')
equal((r.steps()['COPY . /x/'], tree(r.id)['x/f'].xattrs), ('DONE', {'user.of.context': 'another'}), '--preserve-xattrs: the value is in the key')
equal(build(d).steps()['COPY . /x/'], 'CACHED', 'without, it is not')

# ---- ACLs ----
GET = 'getfacl -cnp /acl/f /acl/d /acl/d/inherits | grep -v "^$"'
ACL = TOOLS + ('RUN mkdir -p /acl/d && touch /acl/f && setfacl -m u:33:rwx,g:10:r-- /acl/f && setfacl -d -m u:34:r-x /acl/d && touch /acl/d/inherits\nRUN %s\n' % GET)
store = fresh('acls')
kiln('save', '-o', T + '/tools.tar', 'tools:1')
kiln('load', '-i', T + '/tools.tar', env={'KILN_STORE': store})
r = build(context('acl', ACL), '-t', 'acl:1', env={'KILN_STORE': store})
SHOWN = ['user::rw-', 'user:33:rwx', 'group::r--', 'group:10:r--', 'mask::rwx', 'other::r--',
         'user::rwx', 'group::r-x', 'other::r-x', 'default:user::rwx', 'default:user:34:r-x', 'default:group::r-x', 'default:mask::r-x', 'default:other::r-x',
         'user::rw-', 'user:34:r-x\t#effective:r--', 'group::r-x\t#effective:r--', 'mask::r--', 'other::r--']
equal(r.lines(), SHOWN, 'the next command sees the ACLs', r.err)
names = {p: sorted(k[13:] for k in m.pax_headers if 'xattr' in k) for p, m in layer(r.id, -2, store).items()} if r.rc == 0 else {}
equal(names, {'acl': [], 'acl/f': ['system.posix_acl_access'], 'acl/d': ['system.posix_acl_default'], 'acl/d/inherits': ['system.posix_acl_access']}, 'they are in the layer')
check('extended attributes' not in r.err, 'nothing is said of dropped ones', r.err)
d = context('acl2', 'FROM acl:1 AS a\nFROM acl:1\nRUN rm -r /acl\nCOPY --from=a /acl /acl\nRUN %s\n' % GET)
shutil.rmtree(store + '/kiln/snapshots')
for options in ((), ('--snapshotter', 'copy')):
    r = build(context('acl1', 'FROM acl:1\nRUN %s\n' % GET), '--no-cache', *options, env={'KILN_STORE': store})
    equal(r.lines(), SHOWN, 'and in what is unpacked from it' + (': copied' if options else ''), r.err)
    r = build(d, '--no-cache', *options, env={'KILN_STORE': store})
    equal(r.lines(), SHOWN, 'and in COPY --from' + (': copied' if options else ''), r.err)
d = context('same-acl', TOOLS + 'RUN setfacl -m u:33:rwx /etc/group\nRUN setfacl -m u:33:rwx /etc/group\nRUN setfacl -b /etc/group && chmod 644 /etc/group\n')
r = build(d)
equal([sorted(layer(r.id, i)) for i in (-3, -2, -1)] if r.rc == 0 else r.err, [['etc', 'etc/group'], [], ['etc', 'etc/group']], 'an ACL that was there is no change; taking it away is one')
equal(tree(r.id)['etc/group'].xattrs if r.rc == 0 else r.err, {}, 'and leaves none')

# ---- sources of bind mounts ----


def state(top):
    return sorted((p, os.lstat(p).st_mode, os.lstat(p).st_mtime_ns, os.path.isfile(p) and open(p).read()) for d, dirs, files in os.walk(top) for p in [d] + [d + '/' + f for f in files])


FILES = {'f': 'old\n', 'empty': None, 'sub/g': 'g\n'}
WRITE = 'echo new > /m/f; touch /m/made; rm -r /m/sub; chmod 700 /m; mkdir -p /m/a/b; ls /m'
named = context('named', None, FILES)
for what, flags, options, files in (('the context', 'target=/m', (), FILES), ('the context with a .dockerignore', 'target=/m', (), dict(FILES, **{'.dockerignore': 'Dockerfile\n.dockerignore\n'})),
                                    ('a named context', 'from=n,target=/m', ('--build-context', 'n=' + named), {})):
    for rw in ('', ',rw'):
        d = context('binds', 'FROM base:1\nRUN --mount=%s%s (%s) 2>/dev/null; true\nRUN --mount=%s cat /m/f /m/sub/g; ls -A /m/empty /etc/hosts\n' % (flags, rw, WRITE, flags), files)
        top = d if files else named
        before = state(top)
        r = build(d, '--no-cache', *options)
        equal((r.rc, state(top) == before, sorted(layer(r.id, -2)) if r.rc == 0 else None), (0, True, []), 'a bind of %s%s: it stays as it is, and no layer has what was written' % (what, rw), r.err)
        equal([x for x in r.lines() if x in ('old', 'g', 'new')], ['old', 'g'], 'the next command sees the old files of %s%s' % (what, rw), r.err)
        check((('made' in r.lines()) == (rw != '')), 'the command itself sees what it wrote, if it may write (%s%s)' % (what, rw), r.err)
S = 'FROM base:1 AS s\nRUN mkdir -p /o/sub && echo old > /o/f && echo g > /o/sub/g\nFROM base:1\n'
for source, before in (('from=s,source=/o', S), ('from=held:1,source=/o', 'FROM base:1\n')):
    if source.startswith('from=held'):
        build(context('held', S.split('FROM base:1\n', 1)[0] + S.replace(' AS s', '').rpartition('FROM')[0]), '-t', 'held:1')
    r = build(context('bind-stage', before + 'RUN --mount=%s,target=/m,rw (%s) 2>/dev/null\nRUN --mount=%s,target=/m cat /m/f /m/sub/g; ls /m; (echo x > /m/f) 2>/dev/null || echo read-only\n' % (source, WRITE, source)), '--no-cache')
    equal((r.lines()[-5:], sorted(layer(r.id, -1)) if r.rc == 0 else None), (['old', 'g', 'f', 'sub', 'read-only'], []), 'a bind of %s, rw: what is written is thrown away' % source, r.err)
# A mount inside a mount needs a mount point, but not in what belongs to somebody.
d = context('nested', 'FROM base:1\nRUN --mount=target=/m --mount=type=tmpfs,target=/m/empty touch /m/empty/x && ls /m/empty\n', FILES)
before = state(d)
r = build(d)
equal((r.lines(), state(d) == before), (['x'], True), 'a mount upon a directory of a bind mount', r.err)
for rw in ('', ',rw'):
    write(d + '/Dockerfile', 'FROM base:1\nRUN --mount=target=/m%s --mount=type=tmpfs,target=/m/none/such touch /m/none/such/x && ls /m/none/such\n' % rw)
    before = state(d)
    r = build(d)
    equal(state(d) == before, True, 'a mount where a bind mount%s has nothing makes nothing there' % rw, r.err)
    check(r.rc == 0 and r.lines() == ['x'] or r.rc != 0 and '/m/none' in r.err and 'Dockerfile:2' in r.err, 'it works, or it is an error that names the place' + rw, r.err)
os.mkdir(T + '/to-fill')
ran = kiln('run', '--rm', '--runtime', RUNTIME, '-v', T + '/to-fill:/real', 'base:1', 'ls', '-A', '/real')
equal((ran.rc, ran.out, os.listdir(T + '/to-fill')), (0, '', []), 'kiln run -v: a directory of the host is not filled', ran.err)
equal([m for m in open('/proc/self/mountinfo') if T in m], [], 'nothing stays mounted')
done()
