"""Shared by the build-*.t programs: a store and contexts below one temporary directory, builds, and
a reader of image layouts of its own (so that what kiln wrote is not judged by kiln's reader)."""
import atexit, gzip, hashlib, io, json, os, shutil, signal, stat, subprocess, sys, tarfile, tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KILN = os.environ.get('KILN', os.path.join(TOP, 'build/builder/kiln'))
RUNTIME = os.environ.get('RUNTIME') or os.environ.get(
    'VESSEL', os.path.join(TOP, 'build/runtime/vessel'))
# No underscores as in mkdtemp's names: buildah reads the path of a layout as an image's name, too.
T = os.path.join(tempfile.gettempdir(), 'kiln-build-' + os.urandom(5).hex())
os.mkdir(T, 0o700)
STORE = T + '/store'
count = failed = 0

if os.geteuid() != 0:
    print('1..0 # SKIP no root')
    sys.exit(0)


def clean_up():
    for line in open('/proc/self/mountinfo').read().splitlines()[::-1]:
        point = line.split()[4]
        if point.startswith(T + '/'):
            subprocess.run(['umount', '-l', point], stderr=subprocess.DEVNULL)
    shutil.rmtree(T, ignore_errors=True)


atexit.register(clean_up)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def check(good, name, *why):
    global count, failed
    count += 1
    failed += not good
    print('ok' if good else 'not ok', count, '-', name, flush=True)
    if not good:
        for w in why:
            for line in str(w).splitlines()[-40:]:
                print('#', line)
    return good


def equal(got, wanted, name, *why):
    return check(got == wanted, name, 'got:      %r' % (got,), 'expected: %r' % (wanted,), *why)


def skip(name, lacking):
    global count
    count += 1
    print('ok', count, '-', name, '# SKIP no', lacking, flush=True)


def done():
    print('1..%d' % count, flush=True)
    sys.exit(1 if failed else 0)


def base_root():
    """The busybox root, made once."""
    root = T + '/base-root'
    if not os.path.isdir(root):
        subprocess.run([TOP + '/tests/make-busybox-root', root], check=True)
    return root


def import_base(name='base:1', root=None, store=None):
    r = subprocess.run([KILN, 'import', '--store', store or STORE, root or base_root(), name],
                       capture_output=True, text=True)
    if r.returncode:
        print('1..0 # cannot import:', r.stderr)
        sys.exit(1)
    return r.stdout.strip()


class Result:
    def __init__(self, rc, out, err):
        self.rc, self.out, self.err = rc, out, err
        self.id = out.strip().splitlines()[-1] if rc == 0 and out.strip() else ''

    def steps(self):
        """Instruction text → 'CACHED', 'DONE' …"""
        names, ends = {}, {}
        for line in self.err.splitlines():
            number, _, rest = line.partition(' ')
            if not number.startswith('#'):
                continue
            if rest.startswith('[') and number not in names:
                names[number] = rest.split('] ', 1)[1] if '] ' in rest else rest
            elif rest.split(' ')[0] in ('CACHED', 'DONE', 'ERROR', 'CANCELED'):
                ends[number] = rest.split(' ')[0]
        return {names[n]: e for n, e in ends.items() if n in names}

    def lines(self):
        """What the commands printed."""
        out = []
        for line in self.err.splitlines():
            w = line.split(' ', 2)
            if len(w) > 1 and w[0].startswith('#') and w[1].replace('.', '').isdigit():
                out.append(w[2] if len(w) > 2 else '')
        return out


def write(path, text='', mode=None):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    if mode is not None:
        os.chmod(path, mode)


def context(name, dockerfile=None, files=None):
    """A fresh context directory; `files`: path → text, or None for an empty directory."""
    d = T + '/contexts/' + name
    shutil.rmtree(d, ignore_errors=True)
    os.makedirs(d)
    os.chmod(d, 0o755)
    for path, text in (files or {}).items():
        if text is None:
            os.makedirs(d + '/' + path, exist_ok=True)
        elif isinstance(text, tuple):
            os.makedirs(os.path.dirname(d + '/' + path), exist_ok=True)
            os.symlink(text[1], d + '/' + path)
        else:
            write(d + '/' + path, text)
    if dockerfile is not None:
        write(d + '/Dockerfile', dockerfile)
    return d


def with_libraries(program):
    """Files of a context, for COPY root /: a program of this machine and what it loads."""
    loaded = subprocess.run(['ldd', program], capture_output=True, text=True, check=True).stdout
    files = [program] + [w for line in loaded.splitlines() for w in line.split() if w.startswith('/')]
    return {'root' + f: open(f, 'rb').read() for f in files}


def kiln(*words, input=None, env=None, cwd=None, timeout=120, text=True):
    e = dict(os.environ) | {'KILN_STORE': STORE} | (env or {})
    for drop in ('SOURCE_DATE_EPOCH',):
        if not env or drop not in env:
            e.pop(drop, None)
    r = subprocess.run([KILN, *words], capture_output=True, input=input, env=e, cwd=cwd,
                       timeout=timeout)
    out = r.stdout.decode(errors='surrogateescape') if text else r.stdout
    return Result(r.returncode, out if text else '', r.stderr.decode(errors='replace')) if text \
        else (r.returncode, r.stdout, r.stderr.decode(errors='replace'))


def build(where, *options, **more):
    """`where`: a context directory, or a Dockerfile's text (then there is no context)."""
    runtime = ['--runtime', RUNTIME] if '--runtime' not in options else []
    if '\n' in where:
        more['input'] = where.encode()
        where = '-'
    shown = ['--progress', 'plain'] if not {'--progress', '--quiet'} & set(options) else []
    return kiln('build', *shown, *runtime, *options, where, **more)


def blob(digest, store=None):
    with open('%s/blobs/%s' % (store or STORE, digest.replace(':', '/')), 'rb') as f:
        return f.read()


def manifest_of(image_id, store=None):
    """The manifest whose config is `image_id` (the newest one that the index names)."""
    store = store or STORE
    index = json.load(open(store + '/index.json'))
    for d in reversed(index['manifests']):
        m = json.loads(blob(d['digest'], store))
        if m.get('config', {}).get('digest') == image_id:
            return m
    raise KeyError(image_id)


def config_of(image_id, store=None):
    return json.loads(blob(image_id, store))


def layer_tar(descriptor, store=None):
    data = blob(descriptor['digest'], store)
    if descriptor['mediaType'].endswith('gzip'):
        data = gzip.decompress(data)
    elif descriptor['mediaType'].endswith('zstd'):
        data = subprocess.run(['zstd', '-dc'], input=data, capture_output=True, check=True).stdout
    return tarfile.open(fileobj=io.BytesIO(data))


def layer(image_id, number=-1, store=None):
    """Path → TarInfo of one layer."""
    tar = layer_tar(manifest_of(image_id, store)['layers'][number], store)
    return {m.name.rstrip('/').removeprefix('./'): m for m in tar}


KINDS = {tarfile.REGTYPE: 'f', tarfile.AREGTYPE: 'f', tarfile.DIRTYPE: 'd', tarfile.SYMTYPE: 'l',
         tarfile.LNKTYPE: 'h', tarfile.CHRTYPE: 'c', tarfile.BLKTYPE: 'b', tarfile.FIFOTYPE: 'p'}


class Node:
    def __init__(self, m, data=b''):
        self.kind, self.mode, self.uid, self.gid = KINDS[m.type], m.mode & 0o7777, m.uid, m.gid
        self.mtime, self.link, self.data = int(m.mtime), m.linkname, data
        self.xattrs = {k[13:]: v for k, v in m.pax_headers.items() if k.startswith('SCHILY.xattr.')}
        self.rdev = (m.devmajor, m.devminor) if self.kind in 'cb' else None
        self.inode = object()  # hard links have that of what they were made of

    @property
    def text(self):
        return self.data.decode(errors='replace')

    @property
    def owner(self):
        return '%d:%d' % (self.uid, self.gid)

    def __repr__(self):
        return '%s %o %s %s' % (self.kind, self.mode, self.owner, self.link or self.data[:60])


def tree(image_id, store=None, layers=None):
    """Path → Node of the whole root filesystem, whiteouts applied (image-spec layer.md)."""
    out = {}
    for d in layers or manifest_of(image_id, store)['layers']:
        tar = layer_tar(d, store)
        members = list(tar)
        names = [m.name.rstrip('/').removeprefix('./') for m in members]
        for m, name in zip(members, names):
            head, _, base = name.rpartition('/')
            if base == '.wh..wh..opq':
                for p in [p for p in out if p.startswith(head + '/')]:
                    del out[p]
            elif base.startswith('.wh.'):
                gone = (head + '/' if head else '') + base[4:]
                for p in [p for p in out if p == gone or p.startswith(gone + '/')]:
                    del out[p]
        for m, name in zip(members, names):
            if name.rpartition('/')[2].startswith('.wh.') or name in ('', '.'):
                continue
            node = Node(m, tar.extractfile(m).read() if m.isreg() else b'')
            if node.kind != 'd':
                for p in [p for p in out if p.startswith(name + '/')]:
                    del out[p]
            if node.kind == 'h':
                target = out[m.linkname.removeprefix('./')]
                link, node = node, Node(m)
                node.__dict__.update(target.__dict__)
                node.hard = link.link
            out[name] = node
    return out


def new_files(image_id, base='base:1'):
    """Of the layers above the busybox base: path → Node, directories of the base left out."""
    m = manifest_of(image_id)
    if base is None:
        return tree(image_id)
    below = tree(None, layers=m['layers'][:1])
    return {p: n for p, n in tree(image_id).items()
            if p not in below or repr(below[p]) != repr(n)}
