"""Runs one list of lines through runc and through vessel and says where they differ, as TAP.

It owns the runtimes that the engine sees (a wrapper that notes every call, traps in place of all
others), the verdicts and their comparison with the checked-in ones. It knows no engine.
"""
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
CALLED_FROM = os.getcwd()  # read before sandbox.enter() changes it
END = '\x1e'
# Words of a command line that name what the runtime shall do.
VERBS = {'create', 'start', 'run', 'exec', 'kill', 'delete', 'pause', 'resume', 'update', 'state', 'ps', 'list',
         'events', 'features', 'spec', 'checkpoint', 'restore'}


# A static program with glibc has no resolver for names: ask for the address, then fetch from that.
FETCH = "wget -qO- http://$(nslookup {0} | sed -n '/^Name/,$s/^Address[^:]*: *\\([0-9.]*\\).*/\\1/p' | head -n1)/"


class Lacks(Exception):
    """The host cannot do what the line wants; the text names what is missing."""


class Runtime:
    """One runtime behind a wrapper of a given name which notes its arguments."""

    def __init__(self, directory, name, program):
        self.name, self.program = name, program
        self.log = f'{directory}/{name}.calls'
        self.trapped = f'{directory}/trapped.calls'
        self.path = f'{directory}/bin/{name}'
        os.makedirs(f'{directory}/bin', exist_ok=True)
        self.wrap(self.path, program)

    def wrap(self, path, program):
        with open(path, 'w') as f:
            # One write, so that calls that run at the same time do not mix.
            f.write("#!/bin/bash\n"
                    f"printf '%s\\037' \"$@\" $'{END}' >> {self.log}\n"
                    f"exec {program} \"$@\"\n")
        os.chmod(path, 0o755)

    def calls(self):
        if not os.path.exists(self.log):
            return []
        with open(self.log, errors='replace') as f:
            return [c.strip('\x1f').split('\x1f') for c in f.read().split(END + '\x1f') if c]

    def verbs(self, container):
        """The verbs that were called for a container, in order; every verb with container ''."""
        found = []
        for call in self.calls():
            if container == '' or any(container in word for word in call):
                found += [w for w in call if w in VERBS][:1]
        return found

    def others(self):
        """Calls that went to a runtime that should not run."""
        if not os.path.exists(self.trapped):
            return []
        with open(self.trapped) as f:
            return f.read().splitlines()


def trap_runtimes(directory):
    """Puts a program that notes its call and fails in place of every installed runtime. Returns a copy of runc."""
    real = shutil.which('runc')
    kept = f'{directory}/runc-itself'
    shutil.copy(real, kept)
    trap = f'{directory}/trap'
    with open(trap, 'w') as f:
        f.write(f"#!/bin/bash\necho \"$0 $*\" >> {directory}/trapped.calls\n"
                "echo 'this runtime must not run here' >&2\nexit 1\n")
    os.chmod(trap, 0o755)
    for name in ('runc', 'crun', 'runsc', 'youki', 'docker-runc'):
        path = shutil.which(name)
        if path:
            subprocess.run(['mount', '--bind', trap, os.path.realpath(path)], check=True)
    return kept


def build_images(directory):
    """The images of image/Dockerfile, built by kiln (RUN by vessel) into OCI and Docker archives."""
    context = directory + '/context'
    os.makedirs(context)
    root = context + '/root'
    subprocess.run([TOP + '/tests/make-busybox-root', root], check=True)
    for applet in os.listdir(root + '/bin'):  # symbolic, so that no copy makes 400 files of one
        if applet != 'busybox':
            os.unlink(f'{root}/bin/{applet}')
            os.symlink('busybox', f'{root}/bin/{applet}')
    store = directory + '/kiln'
    kiln = program('KILN', 'build/builder/kiln')
    for name, options in (('probe', []), ('pause', ['--target', 'pause'])):
        subprocess.run([kiln, 'build', '--store', store, '-q', '-t', name + ':1', '-f', HERE + '/image/Dockerfile',
                        '--runtime', program('VESSEL', 'build/runtime/vessel'),
                        '-o', f'type=oci,dest={directory}/{name}-oci.tar',
                        '-o', f'type=docker,dest={directory}/{name}-docker.tar', *options, context],
                       check=True, stdout=subprocess.DEVNULL)


def program(variable, default):
    path = os.path.normpath(os.path.join(CALLED_FROM, os.environ.get(variable) or os.path.join(TOP, default)))
    if not os.access(path, os.X_OK):
        print(f'1..1\nnot ok 1 - {path} is not built')
        sys.stdout.flush()
        os._exit(1)
    return path


class Ran:
    def __init__(self, command, code, out, err):
        self.command, self.code, self.out, self.err = command, code, out, err

    def __repr__(self):
        return f'{" ".join(self.command)}\n  exit {self.code}\n  out: {self.out[-600:]}\n  err: {self.err[-900:]}'


def run(command, input=None, code=0, timeout=60, environment=None):
    """Runs a command; an exit code other than `code` is an error (None: any is right)."""
    p = subprocess.run(command, input=input, stdin=subprocess.DEVNULL if input is None else None,
                       capture_output=True, timeout=timeout, text=True, errors='replace', env=environment)
    ran = Ran(command, p.returncode, p.stdout.strip(), p.stderr.strip())
    if code is not None and ran.code != code:
        raise AssertionError(f'exit code {code} expected: {ran}')
    return ran


def on_terminal(command, typed, timeout=40, environment=None):
    """Runs a command on a terminal; `typed` is a list of (text to wait for, what to type then). Gives code, output."""
    pid, terminal = pty.fork()
    if pid == 0:
        if environment:
            os.environ.clear()
            os.environ.update(environment)
        os.execvp(command[0], command)
    output, end, typed, seen = b'', time.monotonic() + timeout, list(typed), 0
    try:
        while time.monotonic() < end:
            if select.select([terminal], [], [], 0.2)[0]:
                try:
                    chunk = os.read(terminal, 4096)
                except OSError:  # EIO: the last holder of the other side is gone
                    chunk = b''
                if not chunk:
                    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), output.decode(errors='replace')
                output += chunk
            if typed and typed[0][0].encode() in output[seen:]:
                seen = len(output)
                os.write(terminal, typed.pop(0)[1].encode())
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        raise AssertionError(f'{command} still runs after {timeout} s; printed {output.decode(errors="replace")!r}')
    finally:
        os.close(terminal)


def eventually(what, condition, timeout=15):
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f'not within {timeout} s: {what}')
        time.sleep(0.1)


def equal(got, expected):
    if got != expected:
        raise AssertionError(f'got {got!r}, expected {expected!r}')


def contains(text, *parts):
    for part in parts:
        if part not in text:
            raise AssertionError(f'{part!r} is not in {text!r}')


ID = re.compile('[0-9a-f]{12,}')


def needs_controllers(*names):
    """Of the cgroups: on v2 those of the root, on v1 all."""
    file = '/sys/fs/cgroup/cgroup.controllers'
    if not os.path.exists(file):
        return
    with open(file) as f:
        lacking = set(names) - set(f.read().split())
    if lacking:
        raise Lacks(f'cgroup v2 controllers {", ".join(sorted(lacking))}')


def has_every_capability():
    with open('/proc/sys/kernel/cap_last_cap') as f:
        last = int(f.read())
    with open('/proc/self/status') as f:
        mine = next(int(r.split()[1], 16) for r in f if r.startswith('CapEff'))
    return mine == (2 << last) - 1


def command_line(pid):
    """'' for a process that is gone."""
    try:
        with open(f'/proc/{pid}/cmdline') as f:
            return f.read().replace('\0', ' ').strip()
    except OSError:
        return ''


def remains():
    """What there is of containers: processes, cgroups, state of a runtime at its default place; and the files
    of the directory that the program was called in, where an engine has nothing to write."""
    found = {'file ' + os.path.join(CALLED_FROM, name) for name in os.listdir(CALLED_FROM)}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        line = command_line(pid)
        if line and int(pid) not in (1, os.getpid()):
            found.add('process ' + line)
    for where, directories, _ in os.walk('/sys/fs/cgroup'):
        found.update('cgroup ' + os.path.join(where, d) for d in directories)
    for root in ('/run/vessel', '/run/runc'):
        if os.path.isdir(root):
            found.update(f'state {root}/{name}' for name in os.listdir(root))
    return found


class Suite:
    """A list of lines; `line` registers one. A line is called with the engine and returns
    {container id: verbs that must have been called for it, in that order}."""

    def __init__(self, name):
        self.name = name
        self.lines = []

    def line(self, title):
        def register(function):
            self.lines.append((title, function))
            return function
        return register

    def expected(self):
        path = f'{HERE}/verdicts/{self.name}'
        with open(path) as f:
            rows = [r.rstrip('\n').split(' ', 1) for r in f if r.strip() and not r.startswith('#')]
        return {title: verdict for verdict, title in rows}

    def one(self, engine, runtime, title, function):
        """Verdict of a line ('pass', 'fail' or 'skip') and the reason."""
        before = len(runtime.others())
        try:
            for container, wanted in (function(engine) or {}).items():
                got = iter(runtime.verbs(container))
                if not all(verb in got for verb in wanted):
                    return 'fail', f'{runtime.name} was called for {container or "all"} with ' \
                                   f'{runtime.verbs(container)}, expected {wanted}'
            strange = runtime.others()[before:]
            if strange:
                return 'fail', f'another runtime ran: {strange}'
            return 'pass', ''
        except Lacks as e:
            return 'skip', str(e)
        except (AssertionError, subprocess.TimeoutExpired) as e:
            return 'fail', str(e)
        except Exception:  # a slip of the line is a failed line, not the end of the list
            return 'fail', traceback.format_exc()

    def main(self, directory, make_engine):
        """make_engine(directory, runtime) is a context manager that gives the engine."""
        chosen = re.compile(os.environ.get('ORCHESTRATOR_LINES', '.'))
        lines = [(t, f) for t, f in self.lines if chosen.search(t)]
        expected = self.expected()
        runc = trap_runtimes(directory)
        build_images(directory)
        number, bad, passed = 0, 0, {}
        left = {}
        programs = {'runc': runc, 'vessel': program('VESSEL', 'build/runtime/vessel')}
        only = os.environ.get('ORCHESTRATOR_RUNTIME')
        for name, path in programs.items():
            passed[name] = 0
            if only and only != name:
                continue
            place = f'{directory}/{name}'
            os.makedirs(place)
            os.symlink(f'{directory}/trapped.calls', f'{place}/trapped.calls')
            runtime = Runtime(place, name, path)
            before = remains()
            with make_engine(place, runtime) as engine:
                for title, function in lines:
                    began = time.monotonic()
                    verdict, reason = self.one(engine, runtime, title, function)
                    if os.environ.get('ORCHESTRATOR_TIMES'):
                        print(f'# {time.monotonic() - began:.1f} s')
                    number += 1
                    passed[name] += verdict == 'pass'
                    wanted = expected.get(title, 'without')
                    if name == 'runc' and verdict not in (('pass', 'skip') if wanted == 'host' else (wanted,)):
                        bad += 1
                        print(f'not ok {number} - harness: runc: {title}: {verdict}, checked in is {wanted}')
                    elif verdict == 'fail' and wanted == 'fail':
                        print(f'ok {number} - {name}: {title} # SKIP no support of it by runc here either')
                    elif verdict == 'skip':
                        print(f'ok {number} - {name}: {title} # SKIP {reason}')
                    elif verdict == 'fail':
                        bad += 1
                        print(f'not ok {number} - {name}: {title}')
                    else:
                        print(f'ok {number} - {name}: {title}')
                    if verdict != 'pass':
                        print('\n'.join('#   ' + r for r in reason.splitlines()[-25:]))
                    sys.stdout.flush()
            # Directories that the engine itself forgets are forgotten with runc too.
            now = remains()
            end = time.monotonic() + 3
            while any(r.startswith('process') for r in now - before) and time.monotonic() < end:
                time.sleep(0.1)
                now = remains()
            left[name] = {ID.sub('ID', r.replace(name, 'RUNTIME')) for r in now - before}
            forgiven = left[name] if only else left['runc']
            surplus = left[name] - {r for r in forgiven if r.startswith('cgroup')}
            number += 1
            bad += bool(surplus)
            print(f'{"not ok" if surplus else "ok"} {number} - {name}: nothing is left')
            for r in sorted(surplus):
                print(f'#   {r}')
        missing = set(expected) - {t for t, _ in self.lines}
        if missing:
            number += 1
            bad += 1
            print(f'not ok {number} - harness: verdicts for lines that are gone: {sorted(missing)}')
        print(f'1..{number}')
        print(f'# in the end: passed with vessel {passed["vessel"]} / passed with runc {passed["runc"]}')
        sys.stdout.flush()
        os._exit(1 if bad else 0)
