"""What the attacks on kiln share: a part of the host that is watched, archives and images that no
honest tool writes, kiln with its memory and time measured. Builds and readers are build_case's."""
import os, re, socket, sys, threading, time
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'builder'))
from build_case import *
import build_case

PROGRAMS = os.path.join(os.path.dirname(os.path.abspath(RUNTIME)), '../tests/security')
PROBE = os.path.join(os.path.dirname(os.path.abspath(KILN)), '../tests/builder/kiln-tree-probe')
MARK = 'hostsecret%d' % (7919 * os.getpid())  # nobody but the watched part of the host has it
UP = '../' * 14
HOST = T + '/host'  # the part of the host that no attack may read or change


def make_host():
    shutil.rmtree(HOST, ignore_errors=True)
    for d in ('', '/dir', '/dir/deep', '/empty'):
        os.makedirs(HOST + d, exist_ok=True)
    for name in ('secret', 'dir/secret', 'dir/deep/file'):
        write(HOST + '/' + name, MARK + '\n', 0o600)
    write(HOST + '/passwd', 'root:x:0:0::/:/bin/sh\n%s:x:4711:4711:%s:/:/bin/sh\n' % (MARK, MARK))
    write(HOST + '/group', '%s:x:4712:\n' % MARK)
    os.symlink('secret', HOST + '/link')
    os.utime(HOST + '/dir', (1000000000, 1000000000))


def look(top=HOST):
    """Everything about a tree that a write, a chown, a new name or a mount would change."""
    out = {}
    for d, dirs, files in os.walk(top):
        for n in [''] + dirs + files:
            p = os.path.join(d, n) if n else d
            s = os.lstat(p)
            what = (stat.S_IFMT(s.st_mode), s.st_mode, s.st_uid, s.st_gid, s.st_nlink, s.st_mtime_ns, s.st_dev, s.st_ino)
            if stat.S_ISREG(s.st_mode):
                what += (open(p, 'rb').read(), )
            elif stat.S_ISLNK(s.st_mode):
                what += (os.readlink(p), )
            out[p] = what + (tuple(os.listxattr(p, follow_symlinks=False)), )
    return out


make_host()
_before = look()


def unharmed(name, *why):
    """A point: the host is as it was."""
    global _before
    now = look()
    changes = ['%s: %r -> %r' % (p, _before.get(p), now.get(p)) for p in sorted(_before | now) if _before.get(p) != now.get(p)]
    _before = now  # the next point is about what comes after this one
    return check(not changes, name, *changes, *why)


def holds_mark(image_id):
    """Whether anything of the host got into an image: layers, names, config."""
    m = manifest_of(image_id)
    if MARK.encode() in blob(image_id):
        return True
    return any(MARK.encode() in plain(d) for d in m['layers'])


def plain(descriptor):
    data = blob(descriptor['digest'])
    return gzip.decompress(data) if descriptor['mediaType'].endswith('gzip') else data


def kept_out(r, name, fails=None):
    """A point: the build shows nothing of the host, in its output or in its image. `fails`: what the
    message of a refused build has to say, if it may not succeed."""
    seen = MARK in r.out + r.err
    inside = r.rc == 0 and r.id.startswith('sha256:') and holds_mark(r.id)
    right = fails is None or (r.rc != 0 and fails in r.err)
    return check(not seen and not inside and right, name, 'shown: %s, in the image: %s' % (seen, inside), r.out, r.err)


class Measured:
    """kiln run to its end: rc, out, err, seconds, peak memory of the process in bytes."""

    def __init__(self, *words, input=None, env=None, limit=60):
        e = dict(os.environ) | {'KILN_STORE': build_case.STORE} | (env or {})
        begin = time.monotonic()
        out, err = open(T + '/measured.out', 'w+b'), open(T + '/measured.err', 'w+b')
        p = subprocess.Popen([KILN, *words], stdin=subprocess.PIPE if input else subprocess.DEVNULL, stdout=out, stderr=err, env=e)
        timer = threading.Timer(limit, p.kill)
        timer.start()
        if input:
            try:
                for piece in (input if not isinstance(input, bytes) else [input]):
                    p.stdin.write(piece)
                p.stdin.close()
            except BrokenPipeError:
                pass
        # (ru_maxrss of a child begins with that of its parent)
        self.memory = 0
        while p.poll() is None:
            try:
                text = open('/proc/%d/status' % p.pid).read()
            except OSError:
                break
            peak = re.search(r'VmHWM:\s+(\d+) kB', text)
            if peak and 'Name:\tkiln\n' in text:
                self.memory = int(peak[1]) << 10
            time.sleep(0.003)
        self.rc, self.seconds = p.wait(), time.monotonic() - begin
        timer.cancel()
        for f in (out, err):
            f.seek(0)
        self.out, self.err = out.read().decode(errors='replace'), err.read().decode(errors='replace')
        self.id = self.out.strip().splitlines()[-1] if self.out.strip() else ''

    def __str__(self):
        return 'exit %d, %.1f s, %d MB\n%s\n%s' % (self.rc, self.seconds, self.memory >> 20, self.out[-2000:], self.err[-2000:])


# ---- git ----
def git_served(directory):
    """`git daemon` over the repositories of a directory, for as long as the test runs: where it listens."""
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    daemon = subprocess.Popen(['git', 'daemon', '--reuseaddr', '--listen=127.0.0.1', '--port=%d' % port, '--base-path=' + directory, '--export-all'],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    atexit.register(lambda: os.killpg(daemon.pid, signal.SIGTERM))
    for _ in range(100):
        try:
            socket.create_connection(('127.0.0.1', port), 1).close()
            break
        except OSError:
            time.sleep(0.05)
    return 'git://127.0.0.1:%d/' % port


# ---- archives ----
def header(name, kind=b'0', size=0, link='', mode=0o644, uid=0, gid=0, size_field=None, raw=b'', major=0, minor=0):
    """One ustar header with whatever is asked for in it, and a right checksum."""
    as_bytes = lambda t: t if isinstance(t, bytes) else t.encode()
    assert len(as_bytes(link)) <= 100 and (len(as_bytes(name)) <= 100 or kind in (b'L', b'x')), (name, link)
    b = bytearray(512)
    b[0:100] = as_bytes(name)[:100].ljust(100, b'\0')
    b[100:108], b[108:116], b[116:124] = b'%07o\0' % mode, b'%07o\0' % uid, b'%07o\0' % gid
    b[124:136] = size_field if size_field is not None else b'%011o\0' % size
    b[136:148] = b'%011o\0' % 1000000000
    b[148:156] = b' ' * 8
    b[156:157] = kind
    b[157:257] = as_bytes(link)[:100].ljust(100, b'\0')
    b[257:265] = b'ustar\x0000'
    b[329:337], b[337:345] = b'%07o\0' % major, b'%07o\0' % minor
    b[148:156] = b'%06o\0 ' % sum(b)
    return bytes(b) + raw + b'\0' * (-len(raw) % 512)


def pax(**records):
    """An extended header; the values are bytes."""
    text = b''
    for k, v in records.items():
        k = k.replace('__', '.').encode()
        body = b' ' + k + b'=' + v + b'\n'
        n = len(body) + 1
        while n != len(str(n)) + len(body):
            n = len(str(n)) + len(body)
        text += str(n).encode() + body
    return header('pax', b'x', len(text), raw=text)


def file(name, text='written\n', **more):
    data = text if isinstance(text, bytes) else text.encode()
    return header(name, b'0', len(data), raw=data, **more)


def symlink(name, to):
    return header(name, b'2', link=to)


def hardlink(name, to):
    return header(name, b'1', link=to)


def folder(name, mode=0o755):
    return header(name, b'5', mode=mode)


def archive(*parts):
    return b''.join(parts) + b'\0' * 1024


# ---- images ----
def sha(data):
    return 'sha256:' + hashlib.sha256(data).hexdigest()


def image_files(layers, config=None, manifest=None, index=None, top=None):
    """Name → content of an OCI layout. `config`, `manifest`, `index` change what they are given."""
    blobs, descriptors, ids = {}, [], []
    for tar in layers:
        blobs[sha(tar)] = tar
        ids.append(sha(tar))
        descriptors.append({'mediaType': 'application/vnd.oci.image.layer.v1.tar', 'digest': sha(tar), 'size': len(tar)})
    c = {'architecture': {'x86_64': 'amd64', 'aarch64': 'arm64'}[os.uname().machine], 'os': 'linux', 'config': {'Cmd': ['/bin/sh']}, 'rootfs': {'type': 'layers', 'diff_ids': ids},
         'history': [{'created_by': 'somebody'} for _ in ids]}
    c = config(c) or c if config else c
    c = c if isinstance(c, bytes) else json.dumps(c).encode()
    blobs[sha(c)] = c
    m = {'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.manifest.v1+json', 'config': {'mediaType': 'application/vnd.oci.image.config.v1+json', 'digest': sha(c), 'size': len(c)}, 'layers': descriptors}
    m = manifest(m) or m if manifest else m
    m = m if isinstance(m, bytes) else json.dumps(m).encode()
    blobs[sha(m)] = m
    i = {'schemaVersion': 2, 'manifests': [{'mediaType': 'application/vnd.oci.image.manifest.v1+json', 'digest': sha(m), 'size': len(m), 'annotations': {'org.opencontainers.image.ref.name': 'docker.io/library/evil:1'}}]}
    i = index(i, blobs) or i if index else i
    out = {'oci-layout': b'{"imageLayoutVersion":"1.0.0"}', 'index.json': json.dumps(i).encode()}
    for digest, data in blobs.items():
        out['blobs/' + digest.replace(':', '/')] = data
    return out


def oci_archive(*args, **more):
    return archive(*[file(n, d) for n, d in image_files(*args, **more).items()])


def docker_archive(layers, names=None, extra=(), config=None):
    names = names or ['l%d/layer.tar' % i for i in range(len(layers))]
    c = {'architecture': {'x86_64': 'amd64', 'aarch64': 'arm64'}[os.uname().machine], 'os': 'linux', 'config': {'Cmd': ['/bin/sh']}, 'rootfs': {'type': 'layers', 'diff_ids': [sha(l) for l in layers]}}
    if config:
        config(c)
    c = json.dumps(c).encode()
    m = json.dumps([{'Config': 'c.json', 'RepoTags': ['evil:1'], 'Layers': names}]).encode()
    return archive(*[file(n, l) for n, l in zip(names, layers)], file('c.json', c), file('manifest.json', m), *extra)


def layout(name, *args, **more):
    """An OCI layout directory."""
    d = T + '/layouts/' + name
    for n, data in image_files(*args, **more).items():
        write(d + '/' + n, data)
    return d


def busybox_layer():
    """The busybox root as a tar."""
    path = T + '/busybox.tar'
    if not os.path.exists(path):
        subprocess.run(['tar', '-C', base_root(), '-cf', path, '.'], check=True)
    return open(path, 'rb').read()


def load(data, name=None):
    """kiln load from a file, into the store of the test; `name`: what it is called then."""
    write(T + '/load.tar', data)
    r = kiln('load', '-i', T + '/load.tar')
    if name and r.rc == 0:
        kiln('tag', 'evil:1', name)
    return r


class Swapper:
    """Exchanges two names as fast as the kernel can, while the block runs."""

    def __init__(self, a, b):
        self.paths = (a, b)

    def __enter__(self):
        self.process = subprocess.Popen([os.path.join(PROGRAMS, 'swapper'), *self.paths])
        return self

    def __exit__(self, *_):
        self.raced = self.process.poll() is None
        self.process.kill()
        self.process.wait()
