#!/usr/bin/env python3
# slow
# What programs read of a runtime: the same calls to runc and to vessel for the same container, compared by exit code,
# by the shape of what they print (keys, types, columns) and by the message of a failure.
import json
import os
import re
import subprocess
import sys
import time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sandbox
import suite

# Keys that vessel's answer has beyond those of Debian's runc: they came with later specifications.
MORE = {
    'features': {'.linux.mountExtensions', '.linux.intelRdt', '.linux.netDevices', '.linux.memoryPolicy', '.linux.selinux',
                 '.linux.seccomp.knownFlags', '.linux.seccomp.supportedFlags', '.potentiallyUnsafeConfigAnnotations',
                 '.linux.cgroup.rdma', '.annotations.vessel.version'},
}
# vessel compiles seccomp profiles itself, and is not runc.
LESS = {'.annotations.io.github.seccomp.libseccomp.version', '.annotations.org.opencontainers.runc.commit',
        '.annotations.org.opencontainers.runc.version',
        # Written only when they are not zero: a container whose pages were cached before reads none.
        '.data.memory.cache', '.data.blkio.ioServiceBytesRecursive',
        '.data.blkio.ioServicedRecursive'}
points = []


def point(good, name, *why):
    points.append(good)
    print(f'{"ok" if good else "not ok"} {len(points)} - {name}')
    if not good:
        for line in '\n'.join(str(w) for w in why).splitlines():
            print('#   ' + line)
    sys.stdout.flush()


class Runtime:
    def __init__(self, directory, name, program):
        self.name, self.program = name, program
        self.root = f'{directory}/state-{name}'
        self.directory = directory

    def __call__(self, *words, root=True):
        log = f'{self.directory}/log-{self.name}'
        if os.path.exists(log):
            os.unlink(log)
        p = subprocess.run([self.program, *(['--root', self.root, '--log', log, '--log-format', 'json'] if root else []), *words],
                           capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
        lines = open(log).read().splitlines() if root and os.path.exists(log) else []
        return p.returncode, p.stdout, p.stderr, lines


def shape(value):
    """Keys and types; elements of a list are laid over each other, numbers are numbers."""
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items()}
    if isinstance(value, list):
        merged = None
        for element in value:
            s = shape(element)
            merged = {**merged, **s} if isinstance(merged, dict) and isinstance(s, dict) else s
        return [merged]
    return 'number' if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


def differences(runc, vessel, path='', more=frozenset()):
    if isinstance(runc, dict) and isinstance(vessel, dict):
        found = []
        for key in runc.keys() | vessel.keys():
            where = f'{path}.{key}'
            if key not in vessel and where in LESS:
                continue
            if key not in vessel:
                found.append(f'{where} is missing')
            elif key not in runc:
                if where not in more:
                    found.append(f'{where} is not in runc\'s')
            else:
                found += differences(runc[key], vessel[key], where, more)
        return found
    if isinstance(runc, list) and isinstance(vessel, list):
        if runc == [None] or vessel == [None]:
            return []
        return differences(runc[0], vessel[0], path + '[]', more)
    return [] if runc == vessel else [f'{path}: {vessel}, runc has {runc}']


def message(lines):
    try:
        return json.loads(lines[-1])['msg'] if lines else ''
    except (ValueError, KeyError):
        return '(not one object a line)'


def normal(text, runtime):
    return text.replace(runtime.root, 'ROOT').replace(runtime.name, 'RUNTIME')


def well_formed(lines):
    for line in lines:
        entry = json.loads(line)
        if set(entry) < {'level', 'msg', 'time'} or not re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)', entry['time']):
            return False
    return True


def compare(name, runtimes, *words, kind='text', values=(), more=frozenset(), same_message=True):
    """One call to both."""
    (rc_a, out_a, err_a, log_a), (rc_b, out_b, err_b, log_b) = answers = [r(*words) for r in runtimes]
    problems = []
    if rc_a != rc_b:
        problems.append(f'exit code {rc_b}, runc {rc_a}')
    if kind == 'json' and rc_a == 0:
        try:
            a, b = json.loads(out_a), json.loads(out_b)
            problems += differences(shape(a), shape(b), more=more)
            for key in values:
                if a[key] != b[key]:
                    problems.append(f'{key} is {b[key]!r}, runc has {a[key]!r}')
        except ValueError as e:
            problems.append(f'no JSON: {e}: {out_b!r}')
    elif kind == 'table':
        heads = [o.splitlines()[0].split() if o else [] for o in (out_a, out_b)]
        if heads[0] != heads[1] or out_a.count('\n') != out_b.count('\n'):
            problems.append(f'{out_b!r}, runc {out_a!r}')
    elif kind == 'text' and normal(out_a, runtimes[0]) != normal(out_b, runtimes[1]):
        problems.append(f'{out_b!r}, runc {out_a!r}')
    if rc_a != 0:
        messages = [normal(message(log), r) for log, r in zip((log_a, log_b), runtimes)]
        if same_message and messages[0] != messages[1]:
            problems.append(f'message {messages[1]!r}, runc {messages[0]!r}')
        if len(log_b) != 1 or not well_formed(log_b):
            problems.append(f'the log is not one well-formed line: {log_b}')
        elif message(log_b) not in err_b:
            problems.append(f'the message is not on stderr: {err_b!r}')
    elif log_b and not well_formed(log_b):
        problems.append(f'log {log_b}')
    point(not problems, name, *problems)
    return answers


def bundle(directory, runc):
    root = f'{directory}/bundle/rootfs'
    os.makedirs(root)
    subprocess.run([suite.TOP + '/tests/make-busybox-root', root], check=True)
    subprocess.run([runc, 'spec', '--bundle', f'{directory}/bundle'], check=True)
    with open(f'{directory}/bundle/config.json') as f:
        config = json.load(f)
    config['process'].update(terminal=False, args=['sleep', '1000'])
    config['process'].pop('rlimits', None)
    config['annotations'] = {'a.b/c': 'd'}
    config['linux']['cgroupsPath'] = '/golden'
    config['linux']['resources'].update(memory={'limit': 64 << 20}, pids={'limit': 50})
    for name in ('runc', 'vessel'):
        os.makedirs(f'{directory}/{name}')
        config['linux']['cgroupsPath'] = f'/golden/{name}'
        config['root']['path'] = root
        with open(f'{directory}/{name}/config.json', 'w') as f:
            json.dump(config, f)


def main():
    directory = sandbox.enter('runc')
    import shutil
    both = [Runtime(directory, 'runc', shutil.which('runc')),
            Runtime(directory, 'vessel', suite.program('VESSEL', 'build/runtime/vessel'))]
    bundle(directory, both[0].program)
    # A container keeps stdout and stderr open: not the pipes that are read to their end here.
    for r in both:
        subprocess.run([r.program, '--root', r.root, 'create', '--bundle', f'{directory}/{r.name}', 'c1'],
                       check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    fixed = ('id', 'status', 'annotations', 'owner', 'rootfs')
    compare('state of a created container', both, 'state', 'c1', kind='json', values=fixed)
    compare('start', both, 'start', 'c1')
    compare('start of a running container', both, 'start', 'c1')
    answers = compare('state of a running container', both, 'state', 'c1', kind='json', values=fixed)
    point(all(re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}Z', json.loads(a[1])['created']) for a in answers),
          'state: created is RFC 3339 with fractions in UTC', answers)
    point([list(json.loads(a[1])) for a in answers][0] == [list(json.loads(a[1])) for a in answers][1], 'state: order of the keys', answers)
    compare('list', both, 'list', kind='table')
    compare('list -f json', both, 'list', '-f', 'json', kind='json')
    compare('list --format=json', both, 'list', '--format=json', kind='json')
    compare('list -q', both, 'list', '-q')
    compare('list -f of no known kind', both, 'list', '-f', 'xml')
    compare('ps', both, 'ps', 'c1', kind='table')
    compare('ps -f json', both, 'ps', '-f', 'json', 'c1', kind='json')
    compare('ps with options', both, 'ps', 'c1', '-o', 'pid,comm', kind='table')
    compare('events --stats', both, 'events', '--stats', 'c1', kind='json', values=('type', 'id'))
    answers = [r('events', '--stats', 'c1') for r in both]
    point(len({json.loads(a[1])['data']['memory']['usage']['limit'] for a in answers}) == 1 and
          len({json.loads(a[1])['data']['pids']['limit'] for a in answers}) == 1, 'events --stats: limits are the same numbers', answers)
    compare('delete of a running container', both, 'delete', 'c1')
    compare('pause', both, 'pause', 'c1')
    compare('pause of a paused container', both, 'pause', 'c1')
    compare('state of a paused container', both, 'state', 'c1', kind='json', values=fixed)
    compare('exec in a paused container', both, 'exec', 'c1', 'true')
    compare('resume', both, 'resume', 'c1')
    compare('resume of a running container', both, 'resume', 'c1')
    compare('exec: output', both, 'exec', 'c1', 'echo', 'word')
    compare('exec of what is not there', both, 'exec', 'c1', 'nonexist')
    compare('exec of what cannot be executed', both, 'exec', 'c1', '/etc/passwd')
    compare('exec in a directory that is not there', both, 'exec', '--cwd', '/nowhere/x', 'c1', 'true', same_message=False)
    compare('update', both, 'update', '--memory', '50331648', 'c1')
    compare('kill of no known signal', both, 'kill', 'c1', 'NOSUCH')
    compare('kill', both, 'kill', 'c1', 'KILL')
    for r in both:
        end = time.monotonic() + 10
        while json.loads(r('state', 'c1')[1])['status'] != 'stopped' and time.monotonic() < end:
            time.sleep(0.02)
    answers = compare('state of a stopped container', both, 'state', 'c1', kind='json', values=(*fixed, 'pid'))
    compare('list of a stopped container', both, 'list', '-f', 'json', kind='json')
    compare('kill of a stopped container', both, 'kill', 'c1', '9')
    compare('kill --all of a stopped container', both, 'kill', '-a', 'c1', '9')
    compare('exec in a stopped container', both, 'exec', 'c1', 'true')
    compare('ps of a stopped container', both, 'ps', 'c1', kind='table')
    compare('pause of a stopped container', both, 'pause', 'c1')
    compare('start of a stopped container', both, 'start', 'c1')
    compare('create with an id that exists', both, 'create', '--bundle', f'{directory}/vessel', 'c1')
    compare('events --stats of a stopped container', both, 'events', '--stats', 'c1')
    compare('update of a stopped container', both, 'update', '--memory', '50331648', 'c1')
    compare('delete', both, 'delete', 'c1')
    compare('delete of none', both, 'delete', 'c1')
    compare('delete --force of none', both, 'delete', '--force', 'c1')
    for verb in (['state', 'c1'], ['kill', 'c1', '9'], ['exec', 'c1', 'true'], ['start', 'c1'], ['ps', 'c1'], ['pause', 'c1'],
                 ['resume', 'c1'], ['events', '--stats', 'c1'], ['update', '--memory', '50331648', 'c1']):
        compare(f'{verb[0]} of none', both, *verb)
    compare('list of none', both, 'list', kind='table')
    compare('list -f json of none', both, 'list', '-f', 'json')
    compare('create with a bad id', both, 'create', '--bundle', f'{directory}/vessel', 'a/b', same_message=False)
    compare('create without a bundle', both, 'create', '--bundle', f'{directory}/none', 'c2', same_message=False)
    compare('features', both, 'features', kind='json', more=MORE['features'])

    code, out, err, _ = both[1]('--version', root=False)
    lines = out.splitlines()
    theirs = both[0]('--version', root=False)[1].splitlines()
    point(code == 0 and lines[0].startswith('runc version ') and 'vessel' in out, '--version: the prefix that go-runc takes, and the own name', out)
    point({l.split(':')[0] for l in theirs[1:] if l.split(':')[0] in ('commit', 'spec')} <= {l.split(':')[0] for l in lines[1:]},
          '--version: the lines that are read', out, theirs)
    point(both[1]('-v', root=False)[1] == out, '-v is --version', both[1]('-v', root=False))
    for words in (['frobnicate'], ['create'], ['state'], ['kill'], ['state', 'a', 'b'], ['delete', '--nonsense', 'c1']):
        codes = [r(*words, root=False)[0] for r in both]
        point(codes[0] == codes[1], f'exit code of wrong usage: {" ".join(words)}', codes)
    print(f'1..{len(points)}')
    sys.stdout.flush()
    os._exit(0 if all(points) else 1)


main()
