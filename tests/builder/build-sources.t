#!/usr/bin/env python3
"""ADD, contexts of every kind, named contexts, outputs, image configuration, ONBUILD."""
import functools, http.server, os, socket, subprocess, sys, threading, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from build_case import *

import_base()
B = 'FROM base:1\n'
number = 0


def made(dockerfile, *options, files=None, **more):
    global number
    number += 1
    return build(context('s%d' % number, dockerfile, files or {}), *options, **more)


def adds(r, wanted, name, show=lambda n: n.text if n.kind == 'f' else n.kind):
    return equal({p: show(n) for p, n in new_files(r.id).items()} if r.rc == 0 else r.err, wanted, name)


# ---- local archives ----
def tar_bytes(members=(('in/a', 'A\n', 0o640, 5, 6),), mode='w'):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as t:
        for name, text, m, uid, gid in members:
            i = tarfile.TarInfo(name)
            i.size, i.mode, i.uid, i.gid, i.mtime = len(text), m, uid, gid, 1000000000
            t.addfile(i, io.BytesIO(text.encode()))
    return out.getvalue()


plain = tar_bytes()
kinds = {'t.tar': plain, 't.tar.gz': gzip.compress(plain)}
for tool, name in (('bzip2', 't.tar.bz2'), ('xz', 't.tar.xz'), ('zstd', 't.tar.zst')):
    if shutil.which(tool):
        kinds[name] = subprocess.run([tool, '-c'], input=plain, capture_output=True).stdout
for name, data in kinds.items():
    r = made(B + 'ADD %s /x/\n' % name, files={name: data})
    adds(r, {'x': 'd 0:0 755', 'x/in': 'd 0:0 755', 'x/in/a': 'f 5:6 640'}, 'ADD extracts ' + name, lambda n: '%s %s %o' % (n.kind, n.owner, n.mode))
r = made(B + 'ADD t.tar /x/\nADD --unpack=false t.tar /y/\nCOPY t.tar /z/', files={'t.tar': plain})
equal(sorted(new_files(r.id)) if r.rc == 0 else r.err, ['x', 'x/in', 'x/in/a', 'y', 'y/t.tar', 'z', 'z/t.tar'], 'ADD --unpack=false and COPY do not extract')
r = made(B + 'ADD --chown=7:8 --chmod=600 t.tar f.txt /x/', files={'t.tar': plain, 'f.txt': 'F'})
equal({p: n.owner for p, n in new_files(r.id).items() if n.kind == 'f'} if r.rc == 0 else r.err, {'x/in/a': '7:8', 'x/f.txt': '7:8'}, 'ADD --chown of an archive and a file')
adds(made(B + 'ADD fake.tar.gz /x/', files={'fake.tar.gz': 'no archive'}), {'x': 'd', 'x/fake.tar.gz': 'no archive'}, 'a file that is no archive is copied')
evil = tar_bytes((('../../../../%s/evil' % T.strip('/'), 'x', 0o644, 0, 0),))
r = made(B + 'ADD e.tar /x/', files={'e.tar': evil})
check(not os.path.exists(T + '/evil'), 'an archive with .. does not leave the root')

# ---- http ----
www = T + '/www'
write(www + '/file.txt', 'from http\n'); write(www + '/t.tar.gz', kinds['t.tar.gz']); os.utime(www + '/file.txt', (1234567890, 1234567890))
ctx_tar = tar_bytes((('Dockerfile', 'FROM base:1\nCOPY in /got\n', 0o644, 0, 0), ('in', 'ctx\n', 0o644, 0, 0)))
write(www + '/ctx.tar', ctx_tar); write(www + '/Plain', B + 'RUN echo plain > /p\n')


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *a):
        pass


server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=www))
threading.Thread(target=server.serve_forever, daemon=True).start()
U = 'http://127.0.0.1:%d' % server.server_port
digest = lambda p: 'sha256:' + hashlib.sha256(open(www + '/' + p, 'rb').read()).hexdigest()
NP = {'no_proxy': '127.0.0.1', 'NO_PROXY': '127.0.0.1'}
r = made(B + 'ADD %s/file.txt /h/\nADD --checksum=%s --chmod=644 %s/file.txt /named' % (U, digest('file.txt'), U), env=NP)
adds(r, {'h': 'd', 'h/file.txt': 'from http\n', 'named': 'from http\n'}, 'ADD of a URL, with --checksum')
if r.rc == 0:
    n = tree(r.id)
    equal((n['h/file.txt'].mode, n['named'].mode, n['h/file.txt'].mtime), (0o600, 0o644, 1234567890), 'mode 0600 unless --chmod, time of Last-Modified')
r = made(B + 'ADD --checksum=sha256:%s %s/file.txt /x' % ('0' * 64, U), env=NP)
check(r.rc != 0 and 'digest is ' + digest('file.txt') in r.err, 'a wrong checksum', r.err)
r = made(B + 'ADD %s/missing /x' % U, env=NP)
check(r.rc != 0 and '404' in r.err, 'a URL that is not there', r.err)
r = made(B + 'ADD %s/t.tar.gz /x/\nADD --unpack %s/t.tar.gz /y/' % (U, U), env=NP)
equal(sorted(new_files(r.id)) if r.rc == 0 else r.err, ['x', 'x/t.tar.gz', 'y', 'y/in', 'y/in/a'], 'an archive of a URL is extracted only with --unpack')
for order in (('', '--unpack '), ('--unpack ', '')):
    kinds_seen = []
    for option in order:
        r = made(B + 'ADD %s%s/t.tar.gz /same%d/' % (option, U, len(order[0])), env=NP)
        kinds_seen.append('t.tar.gz' in ' '.join(new_files(r.id)) if r.rc == 0 else r.err)
    equal(kinds_seen, [not o for o in order], 'ADD of a URL with and without --unpack are two steps (%r first)' % order[0])
first = made(B + 'ADD %s/file.txt /x\nRUN cat /x' % U, env=NP)
second = made(B + 'ADD %s/file.txt /x\nRUN cat /x' % U, env=NP)
write(www + '/file.txt', 'changed\n')
third = made(B + 'ADD %s/file.txt /x\nRUN cat /x' % U, env=NP)
equal((second.lines(), third.lines()), ([], ['changed']), 'ADD of a URL is cached by content', third.err)

# ---- git ----
if shutil.which('git'):
    repo = T + '/git/repo.git'
    g = lambda *w, cwd=None: subprocess.run(['git', '-c', 'user.name=n', '-c', 'user.email=e@x', '-c', 'init.defaultBranch=main', *w], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()
    work = T + '/git-work'
    os.makedirs(work); g('init', work)
    write(work + '/f', 'main\n'); write(work + '/sub/Dockerfile', B + 'COPY g /g\n'); write(work + '/sub/g', 'sub\n'); write(work + '/Dockerfile', B + 'COPY f /f\n')
    os.symlink('/etc', work + '/out')
    g('add', '.', cwd=work); g('commit', '-m', 'one', cwd=work); commit = g('rev-parse', 'HEAD', cwd=work); g('tag', 'v1', cwd=work)
    g('checkout', '-b', 'dev', cwd=work); write(work + '/f', 'dev\n'); g('commit', '-am', 'two', cwd=work)
    g('checkout', 'main', cwd=work); g('clone', '--bare', work, repo)
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0)); port = s.getsockname()[1]
    daemon = subprocess.Popen(['git', 'daemon', '--reuseaddr', '--listen=127.0.0.1', '--port=%d' % port, '--base-path=' + T + '/git', '--export-all'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    atexit.register(lambda: os.killpg(daemon.pid, signal.SIGTERM))
    for _ in range(100):
        try:
            socket.create_connection(('127.0.0.1', port), 1).close(); break
        except OSError:
            time.sleep(0.05)
    G = 'git://127.0.0.1:%d/repo.git' % port
    adds(made(B + 'ADD %s /r' % G), {'r': 'd', 'r/f': 'main\n', 'r/Dockerfile': B + 'COPY f /f\n', 'r/sub': 'd', 'r/sub/Dockerfile': B + 'COPY g /g\n', 'r/sub/g': 'sub\n', 'r/out': 'l'}, 'ADD of a git repository')
    adds(made(B + 'ADD %s#dev:sub /r' % G), {'r': 'd', 'r/Dockerfile': B + 'COPY g /g\n', 'r/g': 'sub\n'}, 'ADD of a branch and sub-directory')
    r = made(B + 'ADD --chmod=700 --exclude=sub --exclude=*file %s /r' % G)
    equal({p: '%s %o' % (n.kind, n.mode) for p, n in new_files(r.id).items() if p != 'r/out'} if r.rc == 0 else r.err,
          {'r': 'd 700', 'r/f': 'f 700'}, 'ADD --chmod --exclude of a git repository')
    r = made(B + 'ADD --chmod=700 --exclude=f %s /r' % G)
    check(r.rc == 0 and 'r/sub/g' in tree(r.id) and 'r/f' not in tree(r.id), 'another --exclude is another step', r.err)
    adds(made(B + 'COPY --from=more f /got', '--build-context', 'more=' + G), {'got': 'main\n'}, 'a git repository as named context')
    adds(made(B + 'COPY --from=more . /got', '--build-context', 'more=' + G + '#:sub'), {'got': 'd', 'got/g': 'sub\n', 'got/Dockerfile': B + 'COPY g /g\n'}, 'a sub-directory of it')
    r = made(B + 'ADD --keep-git-dir=true %s#v1 /r' % G)
    check(r.rc == 0 and 'r/.git/HEAD' in tree(r.id), 'ADD --keep-git-dir, of a tag', r.err)
    r = made(B + 'ADD %s#%s /r' % (G, commit))
    check(r.rc == 0 and tree(r.id)['r/f'].text == 'main\n', 'ADD of a commit', r.err)
    check(made(B + 'ADD --checksum=%s %s#main /r' % (commit, G)).rc == 0, 'ADD of git with --checksum')
    check(made(B + 'ADD --checksum=%s %s#dev /r' % (commit, G)).rc != 0, 'another commit than --checksum says')
    adds(build(G), {'f': 'main\n'}, 'a git repository as context')
    adds(build(G + '#dev'), {'f': 'dev\n'}, 'a branch as context')
    adds(build(G + '#:sub'), {'g': 'sub\n'}, 'a sub-directory as context')
    r = build(G + '#:out')
    check(r.rc != 0, 'a sub-directory that is a link out of the tree', r.err)
    r = build(G + '#--upload-pack=touch ' + T + '/pwned')
    check(r.rc != 0 and not os.path.exists(T + '/pwned'), 'a reference that looks like an option', r.err)
else:
    skip('git sources', 'git')

# ---- contexts ----
adds(kiln('build', '--progress', 'plain', '--runtime', RUNTIME, '-', input=ctx_tar), {'got': 'ctx\n'}, 'a tar on standard input')
adds(kiln('build', '--progress', 'plain', '--runtime', RUNTIME, '-', input=gzip.compress(ctx_tar)), {'got': 'ctx\n'}, 'a compressed tar on standard input')
adds(kiln('build', '--progress', 'plain', '--runtime', RUNTIME, '-', input=(B + 'RUN echo x > /x\n').encode()), {'x': 'x\n'}, 'a Dockerfile on standard input, no context')
r = kiln('build', '--progress', 'plain', '-', input=(B + 'COPY x /x\n').encode())
check(r.rc != 0 and 'no context' in r.err, 'COPY without a context', r.err)
adds(build(U + '/ctx.tar', env=NP), {'got': 'ctx\n'}, 'a tar at a URL')
adds(build(U + '/Plain', env=NP), {'p': 'plain\n'}, 'a Dockerfile at a URL')
d = context('ff', None, {'in': 'x\n', 'sub/My.docker': B + 'COPY in /in\n'})
adds(kiln('build', '--progress', 'plain', '-f', '-', d, input=(B + 'COPY in /stdin\n').encode()), {'stdin': 'x\n'}, '-f -')
adds(build(d, '-f', d + '/sub/My.docker'), {'in': 'x\n'}, '-f PATH')
adds(kiln('build', '--progress', 'plain', '-f', 'sub/My.docker', '.', cwd=d), {'in': 'x\n'}, '-f relative to the working directory')
check('Dockerfile' in build(d).err, 'no Dockerfile: says so')
other = context('other', None, {'o': 'o\n'})
adds(made(B + 'COPY --from=more o /o', '--build-context', 'more=' + other), {'o': 'o\n'}, 'a directory as named context')
write(other + '/.dockerignore', 'left*\n'); write(other + '/left-out', 'x')
adds(made(B + 'COPY --from=more . /o', '--build-context', 'more=' + other), {'o': 'd', 'o/o': 'o\n', 'o/.dockerignore': 'left*\n'}, 'its .dockerignore holds for it')
os.unlink(other + '/.dockerignore'); os.unlink(other + '/left-out')
twins = []
for n in (1, 2):
    twin = context('twin%d' % n, None, {'o': 'o\n'})
    os.utime(twin + '/o', (1800000000 + n, 1800000000 + n))
    twins.append(made('FROM more\nENV A=b\n', '--build-context', 'more=' + twin, env={'SOURCE_DATE_EPOCH': '1700000000'}))
equal((twins[0].id == twins[1].id, layer(twins[0].id)['o'].mtime if twins[0].rc == 0 else twins[0].err), (True, 1700000000), 'a directory as base, with an epoch: its times are that')
adds(made('FROM it\nCOPY Dockerfile /d', '--build-context', 'it=docker-image://base:1'), {'d': 'FROM it\nCOPY Dockerfile /d'}, 'docker-image:// as base')
kiln('save', '--format', 'oci', '-o', T + '/lay.tar', 'base:1')
os.makedirs(T + '/layout'); subprocess.run(['tar', 'xf', T + '/lay.tar', '-C', T + '/layout'], check=True)
r = made('FROM lay\nRUN echo l > /l', '--build-context', 'lay=oci-layout://' + T + '/layout')
adds(r, {'l': 'l\n'}, 'oci-layout:// as base')
r = made('FROM base:1 AS s\nRUN false\nFROM base:1\nCOPY --from=s o /o', '--build-context', 's=' + other)
adds(r, {'o': 'o\n'}, 'a named context replaces a stage')

# ---- configuration ----
C = r'''FROM base:1
MAINTAINER me
LABEL a=1 b="two words"
ENV E=1 F="x y"
EXPOSE 80 53/udp
VOLUME /v ["/w"]
VOLUME ["/j"]
USER www-data:wheel
WORKDIR /wd
STOPSIGNAL SIGINT
SHELL ["/bin/sh", "-ec"]
HEALTHCHECK --interval=5s --timeout=2s --start-period=1s --retries=4 CMD true
ONBUILD RUN echo fired > /tmp/fired
ENTRYPOINT ["/bin/sh", "-c"]
CMD echo hi
'''
r = made(C, '-t', 'conf:1', '--label', 'b=three', '--label', 'c', '--annotation', 'org.example.x=y')
if check(r.rc == 0, 'all metadata instructions', r.err):
    c = config_of(r.id)
    k = c['config']
    equal((k['Labels'], [e for e in k['Env'] if not e.startswith('PATH')], k['ExposedPorts'], k['User'], k['WorkingDir'], k['StopSignal'], k['Shell'], k['Entrypoint'], k['Cmd'], k['OnBuild'], c['author']),
          ({'a': '1', 'b': 'three', 'c': ''}, ['E=1', 'F=x y'], {'80/tcp': {}, '53/udp': {}}, 'www-data:wheel', '/wd', 'SIGINT', ['/bin/sh', '-ec'], ['/bin/sh', '-c'],
           ['/bin/sh', '-ec', 'echo hi'], ['RUN echo fired > /tmp/fired'], 'me'), 'configuration')
    equal(k['Healthcheck'], {'Test': ['CMD-SHELL', 'true'], 'Interval': 5000000000, 'Timeout': 2000000000, 'StartPeriod': 1000000000, 'Retries': 4}, 'health check')
    check('/j' in k['Volumes'] and '/v' in k['Volumes'], 'volumes', k['Volumes'])
    m = manifest_of(r.id)
    layered = [h for h in c['history'] if not h.get('empty_layer')]
    equal((len(layered), len(c['rootfs']['diff_ids']), len(m['layers'])), (2, 2, 2), 'history, diff ids and layers agree')
    equal([c['rootfs']['diff_ids'][i] == 'sha256:' + hashlib.sha256(gzip.decompress(blob(l['digest']))).hexdigest() for i, l in enumerate(m['layers'])], [True] * 2, 'each diff id is that of its layer')
    a = m['annotations']
    equal((a['org.example.x'], a['org.opencontainers.image.base.name'], a['org.opencontainers.image.created'] == c['created'], a['org.opencontainers.image.base.digest'][:7]),
          ('y', 'docker.io/library/base:1', True, 'sha256:'), 'annotations')
    equal((tree(r.id)['wd'].owner), '33:10', 'WORKDIR belongs to USER')
    r = made('FROM conf:1\nRUN cat /tmp/fired\n')
    check(r.rc == 0 and r.lines() == ['fired'], 'ONBUILD fires in the next build', r.err)
    equal(config_of(r.id)['config'].get('OnBuild'), None, 'once')

# ---- outputs ----
F = B + 'RUN echo o > /o && rm /etc/group && chown 3:4 /o\n'
d = context('outs', F)
want = ('o\n', 3, 4)
for kind in ('oci', 'docker'):
    r = build(d, '-t', 'out:1', '-t', 'out:2', '--output', 'type=%s,dest=%s/%s.tar' % (kind, T, kind), '--iidfile', T + '/iid', '--metadata-file', T + '/meta')
    names = tarfile.open(T + '/%s.tar' % kind).getnames() if r.rc == 0 else []
    check('index.json' in names and 'oci-layout' in names and (kind == 'oci' or 'manifest.json' in names), 'type=' + kind, r.err, names)
    if shutil.which('skopeo'):
        s = subprocess.run(['skopeo', 'inspect', '--config', '%s-archive:%s/%s.tar' % (kind, T, kind) + (':docker.io/library/out:1' if kind == 'docker' else ':docker.io/library/out:1')], capture_output=True, text=True)
        check(s.returncode == 0 and 'rootfs' in s.stdout, 'skopeo reads type=' + kind, s.stderr)
    else:
        skip('skopeo reads type=' + kind, 'skopeo')
equal(open(T + '/iid').read(), r.id, '--iidfile')
meta = json.load(open(T + '/meta'))
equal((meta['containerimage.config.digest'], meta['image.name'], meta['containerimage.digest'] in json.dumps(json.load(open(STORE + '/index.json')))),
      (r.id, 'docker.io/library/out:1,docker.io/library/out:2', True), '--metadata-file')
r = build(d, '--output', 'type=oci,dest=%s/dir,tar=false' % T, '-t', 'out:1')
check(r.rc == 0 and os.path.exists(T + '/dir/oci-layout') and os.path.exists(T + '/dir/index.json'), 'type=oci,tar=false: a directory', r.err)
if r.rc == 0 and shutil.which('umoci'):
    u = subprocess.run(['umoci', 'unpack', '--image', T + '/dir:' + json.load(open(T + '/dir/index.json'))['manifests'][0]['annotations']['org.opencontainers.image.ref.name'], T + '/umoci'], capture_output=True, text=True)
    check(u.returncode == 0 and open(T + '/umoci/rootfs/o').read() == 'o\n', 'umoci unpacks it', u.stderr)
r = build(d, '--output', 'type=tar,dest=' + T + '/root.tar')
t = tarfile.open(T + '/root.tar')
names = {m.name.removeprefix('./'): m for m in t}
equal((t.extractfile(names['o']).read(), names['o'].uid, 'etc/group' in names, 'bin/busybox' in names), (b'o\n', 3, False, True), 'type=tar: the files')
r = build(d, '-o', T + '/local')
equal((open(T + '/local/o').read(), os.stat(T + '/local/o').st_uid, os.path.exists(T + '/local/etc/group')), ('o\n', 3, False), '-o DIR: the files')
rc, out, err = kiln('build', '--runtime', RUNTIME, '-q', '-o', '-', d, text=False)
check(rc == 0 and b'o' in [m.name.encode() for m in tarfile.open(fileobj=io.BytesIO(out))], '-o -: a tar on standard output', err)
r = build(d, '-q')
check(r.rc == 0 and r.err == '' and r.out.strip().startswith('sha256:') and len(r.out.splitlines()) == 1, '--quiet prints only the id', r.out, r.err)
r = build(d, '--progress', 'json')
events = [json.loads(l) for l in r.err.splitlines()]
check({e['event'] for e in events} >= {'begin', 'end'}, '--progress json', r.err)
r0 = build(d)
r = build(d, '--compression', 'zstd')
check(r.rc == 0 and 'CACHED' in r.err and manifest_of(r.id)['layers'][-1]['mediaType'].endswith('+zstd'), '--compression zstd of what the cache has as gzip', r.err)
equal(build(d).id, r0.id, 'and gzip again gives the image of before')
r = build(d, '-o', 'type=oci,compression=zstd,dest=' + T + '/zstd.tar')
with tarfile.open(T + '/zstd.tar') as archive:
    load = lambda n: json.load(archive.extractfile(n))
    ours = load('blobs/' + load('index.json')['manifests'][0]['digest'].replace(':', '/'))
check(ours['layers'][-1]['mediaType'].endswith('+zstd'), '--output compression=zstd', ours)
r = build(d, '--compression', 'gzip', '-o', 'type=oci,compression=zstd,dest=' + T + '/zstd.tar')
check(r.rc != 0 and 'compression=zstd' in r.err, 'two compressions at once are refused', r.err)
r = build(d, '--compression', 'zstd', '--no-cache')
check(r.rc == 0 and manifest_of(r.id)['layers'][-1]['mediaType'].endswith('+zstd') and (not shutil.which('zstd') or tree(r.id)['o'].text == 'o\n'), '--compression zstd', r.err)
# No Docker reads zstd in an archive: there such a layer is a plain tar, named by its diff id.
kiln('tag', r.id, 'packed:zstd')
for name, words in (('type=docker with --compression zstd', ('build', '--runtime', RUNTIME, '--compression', 'zstd', '-t', 'packed:zstd', '-o', 'type=docker,dest=' + T + '/d.tar', d)),
                    ('type=docker,compression=zstd', ('build', '--runtime', RUNTIME, '-t', 'packed:zstd', '-o', 'type=docker,compression=zstd,dest=' + T + '/d.tar', d)),
                    ('save --format docker of an image with zstd', ('save', '--format', 'docker', '-o', T + '/d.tar', 'packed:zstd'))):
    if os.path.exists(T + '/d.tar'):
        os.unlink(T + '/d.tar')
    r2 = kiln(*words)
    if not check(r2.rc == 0 and manifest_of(r.id)['layers'][-1]['mediaType'].endswith('+zstd'), name, r2.err):
        continue
    with tarfile.open(T + '/d.tar') as archive:
        parts = {m.name: archive.extractfile(m).read() for m in archive if m.isreg()}
    equal([n for n, data in parts.items() if data[:4] == b'\x28\xb5\x2f\xfd'], [], name + ': nothing in it is zstd')
    config, top = config_of(r.id), json.loads(parts['index.json'])['manifests'][0]['digest']
    ours = json.loads(parts['blobs/' + top.replace(':', '/')])
    equal([l['mediaType'].rpartition('.')[2] for l in ours['layers']], ['tar+gzip', 'tar'], name + ': what its manifest says')
    equal([(l['digest'], l['size']) for l in ours['layers']], [('sha256:' + hashlib.sha256(x).hexdigest(), len(x)) for x in (parts['blobs/' + l['digest'].replace(':', '/')] for l in ours['layers'])],
          name + ': which is true')
    row = json.loads(parts['manifest.json'])[0]
    equal((row['Layers'][-1], row['Config']), ('blobs/' + config['rootfs']['diff_ids'][-1].replace(':', '/'), 'blobs/' + r.id.replace(':', '/')), name + ": Docker's manifest.json")
    loaded = kiln('load', '-i', T + '/d.tar', env={'KILN_STORE': T + '/loaded'})
    equal((tree(r.id, T + '/loaded')['o'].text, tree(r.id, T + '/loaded')['o'].uid) if loaded.rc == 0 else loaded.err, ('o\n', 3), name + ': it can be loaded')
    shutil.rmtree(T + '/loaded', ignore_errors=True)
d3 = context('sq', B + 'RUN echo a > /a && mkdir /p && chown 9:9 /p\nRUN rm /a; echo b > /p/b\nRUN rm -r /home\nENV X=1\n')
a, b = build(d3), build(d3, '--squash')
if check(b.rc == 0, '--squash', b.err):
    equal((len(manifest_of(b.id)['layers']), 'a' in layer(b.id), {p: repr(n) for p, n in tree(b.id).items()} == {p: repr(n) for p, n in tree(a.id).items()}),
          (2, False, True), '--squash: one layer above the base, the same files')
    c = config_of(b.id)
    equal((len([h for h in c['history'] if not h.get('empty_layer')]), len(c['rootfs']['diff_ids'])), (2, 2), '--squash: history agrees')
    e = {'SOURCE_DATE_EPOCH': '1700000000'}
    x = build(d3, '--squash', env=e); time.sleep(1.1)
    equal(build(d3, '--squash', env=e).id, x.id, '--squash is reproducible with an epoch')
done()
