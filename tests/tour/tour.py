"""A store, a state root, images of busybox, calls of kiln and vessel, ptys and TAP, for the tests beside this file."""
import atexit, fcntl, json, os, pty, re, select, shutil, signal, socket, struct, subprocess, sys, tempfile, termios, time
import urllib.error, urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VESSEL = os.environ.get('VESSEL', os.path.join(TOP, 'build/runtime/vessel'))
KILN = os.environ.get('KILN', os.path.join(TOP, 'build/builder/kiln'))
DIR = tempfile.mkdtemp(prefix='tour-')
ROOT = os.path.join(DIR, 'state')
STORE = os.path.join(DIR, 'store')
ENV = dict(os.environ, KILN_STORE=STORE, VESSEL=VESSEL)
TAG = 'tour%d' % os.getpid()
_count = _bad = 0


def clean_up():
    if os.path.isdir(ROOT):
        for name in os.listdir(ROOT):
            subprocess.run([VESSEL, '--root', ROOT, 'delete', '--force', name], capture_output=True)
    bundles = os.path.join(STORE, 'kiln/bundles')
    for name in os.listdir(bundles) if os.path.isdir(bundles) else []:
        subprocess.run([KILN, 'bundle', '--rm', os.path.join(bundles, name)], env=ENV, capture_output=True)
    for line in open('/proc/self/mountinfo').read().splitlines():
        if line.split()[4].startswith(DIR + '/'):
            subprocess.run(['umount', '-l', line.split()[4]], capture_output=True)
    shutil.rmtree(DIR, ignore_errors=True)


atexit.register(clean_up)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def need(*programs):
    if os.geteuid() != 0:
        print('1..0 # SKIP no root')
        sys.exit(0)
    for program in ('busybox', 'pasta') + programs:
        if not shutil.which(program):
            print('1..0 # SKIP no ' + program)
            sys.exit(0)


def check(good, name, *detail):
    global _count, _bad
    _count += 1
    _bad += not good
    print('%s %d - %s' % ('ok' if good else 'not ok', _count, name))
    if not good:
        for d in detail:
            print('\n'.join('# ' + line for line in str(d)[:2000].splitlines()))
    sys.stdout.flush()
    return good


def equal(got, expected, name, *detail):
    return check(got == expected, name, 'got:      %r' % (got,), 'expected: %r' % (expected,), *detail)


def skip(name, what):
    global _count
    _count += 1
    print('ok %d - %s # SKIP no %s' % (_count, name, what))


def finish():
    print('1..%d' % _count)
    sys.exit(1 if _bad else 0)


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __str__(self):
        return 'exit %s\nstdout: %s\nstderr: %s' % (self.code, self.out, self.err)


def call(*words, input=None, timeout=60, cwd=None, env=None):
    p = subprocess.run([str(w) for w in words], input=input, stdin=None if input is not None else subprocess.DEVNULL,
                       capture_output=True, text=True, timeout=timeout, cwd=cwd, env=dict(ENV, **(env or {})))
    return Result(p.returncode, p.stdout, p.stderr)


def vessel(*words, **more):
    return call(VESSEL, '--root', ROOT, *words, **more)


def kiln(*words, **more):
    return call(KILN, *words, **more)


def run(*words, **more):
    """kiln run, with the state root of this test."""
    return call(KILN, 'run', '--root', ROOT, *words, **more)


def state(name):
    r = vessel('state', name)
    return json.loads(r.out)['status'] if r.code == 0 else 'gone'


def listed(name):
    """Columns of `vessel list` for one container, by heading."""
    lines = vessel('list').out.splitlines()
    heads = lines[0].split()
    for line in lines[1:]:
        if line.split()[0] == name:
            return dict(zip(heads, line.split()))
    return None


def wait_until(condition, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def get(port, path='/', host='127.0.0.1', seconds=10):
    """What a browser would see; None when nobody answers in time."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + seconds
    while True:
        try:
            with opener.open('http://%s:%d%s' % (host, port, path), timeout=5) as answer:
                return answer.read().decode()
        except (urllib.error.URLError, OSError):
            if time.monotonic() > end:
                return None
            time.sleep(0.05)


APPLETS = ('sh cat echo ls id env grep sed wc sleep touch mkdir rm mv cp chmod chown hostname true false test '
           'stty tty trap kill ps mount httpd wget nc ip seq head tail date uname whoami pwd find stat '
           'sort nslookup dd').split()


def busybox_root(path):
    os.makedirs(os.path.join(path, 'bin'))
    for d in ('etc', 'tmp', 'root', 'proc', 'dev', 'sys', 'var', 'home'):
        os.makedirs(os.path.join(path, d))
    os.chmod(os.path.join(path, 'tmp'), 0o1777)
    shutil.copy(shutil.which('busybox'), os.path.join(path, 'bin/busybox'))
    for applet in APPLETS:
        os.link(os.path.join(path, 'bin/busybox'), os.path.join(path, 'bin', applet))
    with open(os.path.join(path, 'etc/passwd'), 'w') as f:
        f.write('root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n')
    with open(os.path.join(path, 'etc/group'), 'w') as f:
        f.write('root:x:0:\nnobody:x:65534:\n')


def base_image(name='base:1'):
    path = os.path.join(DIR, 'base-root')
    busybox_root(path)
    r = kiln('import', path, name)
    assert r.code == 0, r


def context(name, **files):
    """A directory of files; __ in a keyword stands for a dot, ___ for a slash."""
    path = os.path.join(DIR, name)
    write(path, {k.replace('___', '/').replace('__', '.'): v for k, v in files.items()})
    return path


def write(path, files):
    for name, text in files.items():
        file = os.path.join(path, name)
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(file, 'w') as f:
            f.write(text)


def build(path, *words, **more):
    return kiln('build', '--progress', 'plain', *words, '.', cwd=path, **more)


class Terminal:
    """A program on a pty of its own, as a person has it."""

    def __init__(self, *words, rows=30, columns=100):
        self.text = ''
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.environ.update(ENV)
            os.environ['TERM'] = 'xterm-256color'
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
            os.execv(words[0], [str(w) for w in words])
        self.before = termios.tcgetattr(self.master)

    def type(self, text):
        os.write(self.master, text.encode())

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))

    def _read(self, seconds):
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return None
        self.text += data.decode(errors='replace')
        return True if data else None

    def until(self, pattern, seconds=15):
        """Reads until the pattern matches what came since the last match."""
        end = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.text)
            if found:
                self.text = self.text[found.end():]
                return found
            if time.monotonic() > end or self._read(0.1) is None:
                found = re.search(pattern, self.text)
                return found

    def modes(self):
        return termios.tcgetattr(self.master)

    def end(self, seconds=20):
        """Waits for its end; the exit code, 128 + signal."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._read(0.02)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                while self._read(0.05):
                    pass
                return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return 'hangs'
