"""A machine within the machine for one engine: what it owns is the isolation and its removal.

It does not know any engine or runtime. `enter()` starts the calling program again in new mount,
network, pid, ipc, uts and cgroup namespaces. Below it lie: a cgroup of its own as root of every
hierarchy, an empty /run, /dev/shm and /var/lib/cni, and a temporary directory. When the program
ends, or is killed, the pid namespace takes every process along, the mount and network namespaces
every mount, link and packet rule; the outer half removes cgroups and files.
"""
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

_INSIDE = 'ORCHESTRATOR_SANDBOX'


def mounted_hierarchies():
    """(directory, filesystem type, options) of every cgroup mount, as /proc/self/mountinfo has them."""
    found = []
    with open('/proc/self/mountinfo') as f:
        for row in f:
            left, right = row.rstrip('\n').split(' - ', 1)
            kind, _, options = right.split(' ', 2)
            if kind in ('cgroup', 'cgroup2'):
                found.append((left.split(' ')[4], kind, options))
    return found


def _own_cgroup(where):
    """The path of this process below the hierarchy mounted at `where`."""
    with open('/proc/self/mountinfo') as f:
        options = next(r.rstrip().rsplit(' ', 1)[1].split(',') for r in f if r.split(' ')[4] == where)
    with open('/proc/self/cgroup') as f:
        for row in f:
            number, controllers, path = row.rstrip('\n').split(':', 2)
            if number == '0' and where in _V2:
                return path
            if controllers and set(controllers.split(',')) <= set(options):
                return path
    return '/'


_V2 = set()


def _make_cgroups(tag):
    made = []
    for where, kind, _ in mounted_hierarchies():
        if kind == 'cgroup2':
            _V2.add(where)
        path = os.path.join(where, _own_cgroup(where).lstrip('/'), tag)
        os.makedirs(path, exist_ok=True)
        made.append(path)
        if kind == 'cgroup2':
            os.makedirs(path + '/harness', exist_ok=True)
        for name in ('cpuset.cpus', 'cpuset.mems'):  # v1: empty until they are copied down
            file = os.path.join(path, name)
            if kind == 'cgroup' and os.path.exists(file):
                with open(os.path.join(os.path.dirname(path), name)) as f:
                    value = f.read()
                with open(file, 'w') as f:
                    f.write(value)
    return made


def _remove_cgroups(made):
    for top in made:
        end = time.monotonic() + 5
        while os.path.isdir(top) and time.monotonic() < end:
            for where, _, _ in os.walk(top, topdown=False):
                try:
                    os.rmdir(where)
                except OSError:
                    pass
            time.sleep(0.05)


def _outer():
    # No underscores as in mkdtemp's names: buildah reads the path of a layout as an image's name, too.
    directory = os.path.join(tempfile.gettempdir(), 'orchestrator.' + os.urandom(5).hex())
    os.mkdir(directory, 0o700)
    os.chmod(directory, 0o755)  # containers with mapped users look into it
    cgroups = _make_cgroups(os.path.basename(directory))

    def join_cgroups():
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        for path in cgroups:
            with open(path + '/cgroup.procs', 'w') as f:
                f.write('0')

    environment = {k: v for k, v in os.environ.items()
                   if not k.startswith(('DOCKER', 'CONTAINER', 'BUILDAH', 'REGISTRY', 'XDG_', 'COMPOSE'))
                   and k.lower() not in ('http_proxy', 'https_proxy', 'no_proxy', 'notify_socket')}
    environment.update({_INSIDE: directory, 'HOME': directory + '/home', 'TMPDIR': directory + '/tmp',
                        'PYTHONDONTWRITEBYTECODE': '1', 'LC_ALL': 'C.UTF-8'})
    os.makedirs(directory + '/home')
    os.makedirs(directory + '/tmp')
    # The cgroup namespace first. On v2 a cgroup with processes cannot hand its controllers down, so
    # that everything starts one below what is the root inside.
    moves = ''.join(f'echo 0 > {path}/harness/cgroup.procs; ' for path in cgroups if os.path.isdir(path + '/harness'))
    command = ['unshare', '--cgroup', '--', 'sh', '-c', moves + 'exec "$@"', 'sh', 'unshare', '--mount', '--net', '--pid', '--ipc', '--uts', '--fork', '--kill-child',
               '--mount-proc', '--propagation', 'private', sys.executable, *sys.argv]
    inner = None
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: sys.exit(1))
        inner = subprocess.Popen(command, env=environment, preexec_fn=join_cgroups)
        return inner.wait()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if inner and inner.poll() is None:
            inner.kill()  # --kill-child: the namespace's first process goes with it, and all others with that
            inner.wait()
        _remove_cgroups(cgroups)
        shutil.rmtree(directory, ignore_errors=True)
        if os.path.exists(directory):
            print(f'# could not remove {directory}', flush=True)


def _call(*command):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def _arrange(directory):
    """Mounts and links of the new namespaces."""
    _call('ip', 'link', 'set', 'lo', 'up')
    hierarchies = mounted_hierarchies()
    staging = directory + '/cgroup'
    os.mkdir(staging)
    top = next((h for h in hierarchies if h[0] == '/sys/fs/cgroup'), None)
    if top:  # v2 alone
        _call('mount', '-t', 'cgroup2', 'cgroup2', staging)
        with open(staging + '/cgroup.controllers') as f:
            controllers = f.read().split()
        with open(staging + '/cgroup.subtree_control', 'w') as f:
            f.write(' '.join('+' + c for c in controllers))
    else:
        _call('mount', '-t', 'tmpfs', '-o', 'mode=755', 'cgroup-root', staging)
        for where, kind, options in hierarchies:
            inside = os.path.join(staging, os.path.relpath(where, '/sys/fs/cgroup'))
            os.mkdir(inside)
            chosen = ','.join(o for o in options.split(',') if o not in ('rw', 'ro', 'xattr', 'clone_children')
                              and not o.startswith('release_agent'))
            if 'name=' in chosen:
                chosen = 'none,' + chosen
            _call('mount', '-t', kind, *(['-o', chosen] if kind == 'cgroup' else []), 'cgroup', inside)
        for name in os.listdir('/sys/fs/cgroup'):
            link = os.path.join('/sys/fs/cgroup', name)
            if os.path.islink(link):
                os.symlink(os.readlink(link), os.path.join(staging, name))
    _call('umount', '--recursive', '--lazy', '/sys/fs/cgroup')
    _call('mount', '--move', staging, '/sys/fs/cgroup')
    for path in ('/run', '/dev/shm', '/var/lib/cni'):
        os.makedirs(path, exist_ok=True)
        _call('mount', '-t', 'tmpfs', '-o', 'mode=755' if path != '/dev/shm' else 'mode=1777', 'sandbox', path)
    os.mkdir('/run/lock')
    for path, text in (('/etc/resolv.conf', 'nameserver 127.0.0.1\n'),
                       ('/etc/subuid', 'containers:200000:262144\n'), ('/etc/subgid', 'containers:200000:262144\n')):
        file = directory + '/' + os.path.basename(path)
        with open(file, 'w') as f:
            f.write(text)
        if not os.path.exists(path):
            open(path, 'w').close()
        _call('mount', '--bind', file, os.path.realpath(path))


def _reap_until(child):
    """What the first process of a pid namespace owes: wait for every orphan."""
    while True:
        pid, status = os.wait()
        if pid == child:
            sys.stdout.flush()
            os._exit(os.waitstatus_to_exitcode(status) & 0xff)


def enter(*programs):
    """Returns in the sandbox with its directory; elsewhere never returns. Skips without `programs`."""
    directory = os.environ.get(_INSIDE)
    if not directory:
        if os.geteuid() != 0:
            print('1..0 # SKIP no root')
            sys.exit(0)
        lacking = [p for p in programs if not shutil.which(p, path=os.environ['PATH'] + ':/usr/sbin:/sbin')]
        if lacking:
            print(f'1..0 # SKIP no {", ".join(lacking)} (./check installs it)')
            sys.exit(0)
        sys.exit(_outer())
    del os.environ[_INSIDE]
    # Engines leave files where they are called: conmon makes one named `oom`.
    os.chdir(os.environ['TMPDIR'])
    os.environ['PATH'] += ':/usr/sbin:/sbin'
    _arrange(directory)
    child = os.fork()
    if child:
        _reap_until(child)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    os.setsid()
    return directory
