"""Bundles of busybox, calls of vessel, TAP, and cleaning up: for the tests beside this file."""
import atexit, glob, json, os, shutil, signal, subprocess, sys, tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VESSEL = os.environ.get('VESSEL', os.path.join(TOP, 'build/runtime/vessel'))
DIR = tempfile.mkdtemp(prefix='vessel-test-')
ROOT = os.path.join(DIR, 'state')
TAG = 'vt%d' % os.getpid()
_count = 0
_points = []


def clean_up():
    if os.path.isdir(ROOT):
        for name in os.listdir(ROOT):
            subprocess.run([VESSEL, '--root', ROOT, 'delete', '--force', name],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    shutil.rmtree(DIR, ignore_errors=True)
    # The parent of this test's cgroups, in every hierarchy; it goes once they are gone.
    for dir in glob.glob('/sys/fs/cgroup/' + TAG) + glob.glob('/sys/fs/cgroup/*/' + TAG):
        for below, _, _ in os.walk(dir, topdown=False):
            try:
                os.rmdir(below)
            except OSError:
                pass


atexit.register(clean_up)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def name():
    global _count
    _count += 1
    return '%s-%d' % (TAG, _count)


def config(*args):
    """A plain config with its own namespaces, no network device beyond lo, no limits."""
    return {
        'ociVersion': '1.0.2',
        'process': {
            'user': {'uid': 0, 'gid': 0}, 'args': list(args) or ['sleep', '1000'], 'cwd': '/',
            'env': ['PATH=/bin'], 'noNewPrivileges': True,
            'capabilities': {s: ['CAP_KILL', 'CAP_AUDIT_WRITE']
                             for s in ('bounding', 'effective', 'permitted')}},
        'root': {'path': 'rootfs', 'readonly': False},
        'hostname': 'inside',
        'mounts': [
            {'destination': '/proc', 'type': 'proc', 'source': 'proc'},
            {'destination': '/dev', 'type': 'tmpfs', 'source': 'tmpfs',
             'options': ['nosuid', 'strictatime', 'mode=755', 'size=65536k']},
            {'destination': '/dev/pts', 'type': 'devpts', 'source': 'devpts',
             'options': ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620']}],
        'linux': {
            'cgroupsPath': '/%s/%d' % (TAG, _count),
            'namespaces': [{'type': t} for t in ('pid', 'network', 'ipc', 'uts', 'mount')]}}


def bundle(cfg, raw=None):
    """A directory with the config and a root of busybox; its path."""
    path = tempfile.mkdtemp(prefix='bundle-', dir=DIR)
    os.chmod(path, 0o755)
    root = os.path.join(path, 'rootfs')
    for d in ('bin', 'etc', 'tmp', 'proc', 'dev', 'sys'):
        os.makedirs(os.path.join(root, d))
    shutil.copy('/bin/busybox', os.path.join(root, 'bin/busybox'))
    for applet in ('sh', 'ls', 'cat', 'true', 'false', 'sleep', 'id', 'env', 'pwd', 'kill', 'echo',
                   'readlink', 'grep', 'mount', 'tty', 'stty', 'hostname', 'touch', 'ip', 'head',
                   'sed', 'cut', 'wc', 'seq', 'tr'):
        os.symlink('busybox', os.path.join(root, 'bin', applet))
    with open(os.path.join(root, 'etc/passwd'), 'w') as f:
        f.write('root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n')
    with open(os.path.join(path, 'config.json'), 'w') as f:
        f.write(raw if raw is not None else json.dumps(cfg))
    return path


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return 'exit %s, out %r, err %r' % (self.code, self.out, self.err)


def vessel(*args, stdin=None, env=None, timeout=30, fds=(), detached=False):
    """Runs vessel. `detached`: the container keeps the output, so it goes to a file."""
    out = tempfile.TemporaryFile(dir=DIR)
    err = tempfile.TemporaryFile(dir=DIR)
    p = subprocess.run([VESSEL, '--root', ROOT, *args], input=stdin, stdout=out, stderr=err,
                       stdin=None if stdin is not None else subprocess.DEVNULL,
                       env=env, timeout=timeout, pass_fds=fds)
    out.seek(0)
    err.seek(0)
    return Result(p.returncode, out.read().decode(errors='replace'),
                  err.read().decode(errors='replace'))


def run(cfg, *args, **more):
    """vessel run in the foreground."""
    return vessel('run', *args, '--bundle', bundle(cfg), name(), **more)


def state(id):
    r = vessel('state', id)
    return json.loads(r.out) if r.code == 0 else None


def check(good, what, detail=''):
    _points.append(bool(good))
    print('%sok %d - %s' % ('' if good else 'not ', len(_points), what))
    if not good:
        print('# ' + str(detail).replace('\n', '\n# '))
    sys.stdout.flush()


def skip(what, why):
    _points.append(True)
    print('ok %d - %s # SKIP %s' % (len(_points), what, why))


def done():
    print('1..%d' % len(_points))
    sys.exit(0 if all(_points) else 1)


def left_over():
    """What containers of this test may have left: cgroups and state; a list of names."""
    found = []
    for dir, _, _ in os.walk('/sys/fs/cgroup'):
        if ('/' + TAG + '/') in dir + '/' and dir.rstrip('/').rsplit('/', 1)[-1] != TAG:
            found.append(dir)
    if os.path.isdir(ROOT):
        found += [os.path.join(ROOT, n) for n in os.listdir(ROOT)]
    return found
