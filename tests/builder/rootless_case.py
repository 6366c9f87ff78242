"""Ordinary users for the rootless tests: known only in a mount namespace of the test's own."""
import glob, os, shutil, subprocess, time
import build_case as case

T = case.T


def _shadow(path, text):
    """Adds `text` to the file `path` as this mount namespace sees it."""
    copy = T + '/etc-' + os.path.basename(path)
    if not os.path.exists(copy):
        with open(copy, 'w') as f:
            f.write(open(path).read() if os.path.exists(path) else '')
        os.chmod(copy, 0o644)
        if not os.path.exists(path):
            print('1..0 # SKIP no', path)
            raise SystemExit(0)
        subprocess.run(['mount', '--bind', copy, path], check=True)
    with open(copy, 'a') as f:
        f.write(text)


def programs():
    """Where any user can run them, side by side as installed."""
    bin = T + '/bin'
    if not os.path.isdir(bin):
        os.chmod(T, 0o755)
        os.mkdir(bin)
        shutil.copy(case.KILN, bin + '/kiln')
        shutil.copy(case.RUNTIME, bin + '/vessel')
    return bin


class User:
    def __init__(self, name, uid, ranges):
        self.name, self.uid = name, uid
        self.home = T + '/home-' + name
        self.store = self.home + '/store'
        os.mkdir(self.home, 0o700)
        os.chown(self.home, uid, uid)
        _shadow('/etc/passwd', '%s:x:%d:%d::%s:/bin/sh\n' % (name, uid, uid, self.home))
        _shadow('/etc/group', '%s:x:%d:\n' % (name, uid))
        if ranges:
            _shadow('/etc/subuid', '%s:%d:65536\n' % (name, uid * 100000))
            _shadow('/etc/subgid', '%s:%d:65536\n' % (name, uid * 100000))
        self.kiln_path = programs() + '/kiln'

    def command(self, *words, program=None):
        return ['setpriv', '--reuid', str(self.uid), '--regid', str(self.uid), '--clear-groups',
                '--inh-caps=-all', program or self.kiln_path, *words]

    def env(self, more=None):
        e = {'PATH': os.environ.get('PATH', '/usr/sbin:/usr/bin:/sbin:/bin'), 'HOME': self.home,
             'KILN_STORE': self.store}
        e.update(more or {})
        return e

    def kiln(self, *words, env=None, input=None, timeout=120, program=None, wrap=()):
        r = subprocess.run([*wrap, *self.command(*words, program=program)], capture_output=True,
                           input=input, env=self.env(env), cwd='/', timeout=timeout)
        return case.Result(r.returncode, r.stdout.decode(errors='replace'),
                           r.stderr.decode(errors='replace'))

    def start(self, *words):
        return subprocess.Popen(self.command(*words), env=self.env(), cwd='/',
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def processes(self):
        out = []
        for path in glob.glob('/proc/[0-9]*/status'):
            try:
                lines = open(path).read().splitlines()
            except OSError:
                continue
            uid = next(l.split()[1] for l in lines if l.startswith('Uid:'))
            state = next(l.split()[1] for l in lines if l.startswith('State:'))
            if state != 'Z' and (int(uid) == self.uid or int(uid) // 100000 == self.uid):
                out.append(path)
        return out


def processes(words):
    """Pids whose command line is `words`."""
    out = []
    for path in glob.glob('/proc/[0-9]*/cmdline'):
        try:
            text = open(path, errors='replace').read().replace('\0', ' ').strip()
        except OSError:
            continue
        if text == words:
            out.append(path.split('/')[2])
    return out


def wait_until(true, seconds=20):
    end = time.time() + seconds
    while not true():
        if time.time() > end:
            raise SystemExit('# waited in vain')
        time.sleep(0.02)


def find(directory):
    for top, dirs, files in os.walk(directory):
        for name in dirs + files:
            yield os.path.join(top, name)
