#!/usr/bin/env python3
"""Fifty and more typical mistakes, and the exact words that answer them (tests/errors/expected).

`errors.t --write` rewrites the file of expectations: read what it changed as the person who made the
mistake would.
"""
import base64, difflib, http.server, json, os, re, shutil, socket, struct, subprocess, sys, tempfile, threading

here = os.path.dirname(os.path.abspath(__file__))
top = os.path.dirname(os.path.dirname(here))
kiln = os.environ.get('KILN', os.path.join(top, 'build/builder/kiln'))
vessel = os.environ.get('VESSEL', os.path.join(top, 'build/runtime/vessel'))
work = tempfile.mkdtemp(prefix='errors-')
env = dict(os.environ, KILN_STORE=work + '/store', LC_ALL='C', NO_COLOR='1',
           KILN_REGISTRIES=work + '/registries')  # no network, whatever the machine has
with open(work + '/registries', 'w') as f:
    f.write('blocked docker.io\n')
env.pop('SOURCE_DATE_EPOCH', None)
ctx = work + '/ctx'


def call(*words, **more):
    return subprocess.run(words, capture_output=True, text=True, env=env, cwd=work, timeout=60,
                          **more)


def said(result):
    text = result.stdout + result.stderr
    text = '\n'.join(l for l in text.splitlines() if not re.match(r'#\d+ ', l))
    text = re.sub(r'time="[^"]*"', 'time="T"', text)
    text = text.replace(f'127.0.0.1:{taken.getsockname()[1]}', '127.0.0.1:TAKEN').replace(f'127.0.0.1:{registry.server_port}', 'REGISTRY')
    text = re.sub(r'after \d+ ms', 'after N ms', text)
    text = text.replace(work, 'WORK').replace(kiln, 'kiln').replace(vessel, 'vessel')
    return text.strip() + f'\nexit {result.returncode}\n'


def build(dockerfile, *options):
    with open(ctx + '/Dockerfile', 'w') as f:
        f.write(dockerfile)
    return said(call(kiln, 'build', '--progress', 'plain', *options, 'ctx'))


def k(*words):
    return said(call(kiln, *words))


def v(*words):
    return said(call(vessel, '--root', work + '/state', *words))


def bundle(change=None, verb='run', text=None):
    b = work + '/bundle'
    shutil.rmtree(b, ignore_errors=True)
    os.mkdir(b)
    call(vessel, 'spec', '--bundle', b)
    os.symlink(work + '/root', b + '/rootfs')
    c = json.load(open(b + '/config.json'))
    c['process']['terminal'] = False
    c['process']['args'] = ['true']
    if change:
        change(c)
    with open(b + '/config.json', 'w') as f:
        f.write(json.dumps(c) if text is None else text)
    return v(verb, '--bundle', b, 'c1')


class Registry(http.server.BaseHTTPRequestHandler):
    """One that knows nobody."""

    def do_GET(self):
        self.send_response(401)
        self.send_header('WWW-Authenticate', 'Basic realm="r"')
        self.send_header('Content-Length', '0')
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


taken = socket.create_server(('127.0.0.1', 0))
registry = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Registry)
threading.Thread(target=registry.serve_forever, daemon=True).start()
env['REGISTRY_AUTH_FILE'] = work + '/auth.json'
with open(work + '/auth.json', 'w') as f:
    json.dump({'auths': {f'127.0.0.1:{registry.server_port}': {'auth': base64.b64encode(b'ada:wrong').decode()}}}, f)


def as_nobody(program, *words):
    """As an ordinary user who has neither a store nor a state directory of his own."""
    copy = shutil.copy(program, work + '/bin/' + os.path.basename(program))
    return said(call('setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', copy, *words)).replace(
        'WORK/bin/', '')


def full_disk(*words):
    """With a store on a filesystem that has hardly any room."""
    script = 'mkdir -p full && mount -t tmpfs -o size=256k full full && KILN_STORE=$PWD/full/store exec "$@"'
    return said(call('unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', kiln, *words))


def foreign(dockerfile, *words):
    """A program for arm64: of its file only the head, which nobody gets beyond."""
    if os.path.exists('/proc/sys/fs/binfmt_misc/qemu-aarch64'):
        return None  # an emulator would take it
    with open(ctx + '/program', 'wb') as f:
        f.write(b'\x7fELF\2\1\1' + bytes(9) + struct.pack('<HHI', 2, 183, 1) + bytes(200))
    os.chmod(ctx + '/program', 0o755)
    built = build(dockerfile, '-t', 'foreign')
    return k(*words) if words else built


def setting(path, value):
    def change(c):
        *way, last = path.split('.')
        for p in way:
            c = c[int(p)] if p.isdigit() else c.setdefault(p, {})
        c[last] = value
    return change


F = 'FROM base:1\n'
cases = [
    ('misspelt instruction', lambda: build(F + 'RUNN true\n')),
    ('file that .dockerignore hides', lambda: build(F + 'COPY secret.txt /\n')),
    ('file that is not there', lambda: build(F + 'COPY nofile.txt /\n')),
    ('misspelt stage', lambda: build(F[:-1] + ' AS builder\n' + F + 'COPY --from=biulder /x /\n')),
    ('misspelt base image', lambda: build('FROM basee:1\n')),
    ('tag that is not there', lambda: build('FROM base:2\n')),
    ('no FROM', lambda: build('RUN true\n')),
    ('empty Dockerfile', lambda: build('')),
    ('COPY without destination', lambda: build(F + 'COPY a.txt\n')),
    ('ENV without value', lambda: build(F + 'ENV A\n')),
    ('misspelt mount type', lambda: build(F + 'RUN --mount=type=bnd,target=/x true\n')),
    ('secret not given', lambda: build(F + 'RUN --mount=type=secret,id=x,required=true true\n')),
    ('unknown user', lambda: build(F + 'USER ghost\nRUN true\n')),
    ('unknown owner', lambda: build(F + 'COPY --chown=ghost a.txt /\n')),
    ('bad mode', lambda: build(F + 'COPY --chmod=9x a.txt /\n')),
    ('several sources to a file', lambda: build(F + 'COPY a.txt b.txt /x\n')),
    ('port out of range', lambda: build(F + 'EXPOSE 99999\n')),
    ('duration without unit', lambda: build(F + 'HEALTHCHECK --interval=5 CMD true\n')),
    ('unknown signal', lambda: build(F + 'STOPSIGNAL SIGFOO\n')),
    ('heredoc without end', lambda: build(F + 'RUN <<EOF\necho\n')),
    ('unknown target', lambda: build(F + 'RUN true\n', '--target', 'nope')),
    ('missing runtime', lambda: build(F + 'RUN true\n', '--runtime', '/nonexist')),
    ('misspelt option', lambda: build(F, '--platfrm', 'x')),
    ('insecure step', lambda: build(F + 'RUN --security=insecure true\n')),
    ('short digest', lambda: build('FROM base:1@sha256:abc\n')),
    ('upper case in a name', lambda: build('FROM Base:1\n')),
    ('unreachable download', lambda: build(F + 'ADD http://127.0.0.1:1/x /x\n')),
    ('WORKDIR on a file', lambda: build(F + 'WORKDIR /bin/busybox\n')),
    ('quote without end', lambda: build(F + 'LABEL a="b\n')),
    ('command that fails', lambda: build(F + 'RUN echo before && \\\n    exit 7\n')),
    ('command that is missing', lambda: build(F + 'RUN ["/bin/nosuch"]\n')),
    ('no such context', lambda: k('build', 'nodir')),
    ('no such Dockerfile', lambda: k('build', '-f', 'nofile', 'ctx')),
    ('bad tag', lambda: k('build', '-t', 'x:y:z', 'ctx')),
    ('bad output', lambda: k('build', '-o', 'type=foo', 'ctx')),
    ('secret file missing', lambda: k('build', '--secret', 'id=a,src=/nonexist', 'ctx')),
    ('rmi of nothing', lambda: k('rmi', 'nope')),
    ('run of nothing', lambda: k('run', 'nope')),
    ('misspelt verb', lambda: k('imagess')),
    ('program not in the image', lambda: k('run', '--rm', 'base:1', 'nosuchprog')),
    ('program not executable', lambda: k('run', '--rm', 'base:1', '/etc/passwd')),
    ('volume without destination', lambda: k('run', '-v', 'nope', 'base:1', 'ls')),
    ('no command at all', lambda: k('run', '--rm', 'base:1')),
    ('load of no archive', lambda: k('load', '-i', '/etc/passwd')),
    ('size without a number', lambda: k('run', '--memory', '4x', 'base:1')),
    ('unknown capability', lambda: k('run', '--cap-add', 'FOO', 'base:1', 'id')),
    ('wrong type in config.json',
     lambda: bundle(setting('linux.resources', {'memory': {'limit': 'lots'}}))),
    ('two problems at once',
     lambda: bundle(lambda c: (setting('process.cwd', 'tmp')(c),
                               setting('linux.namespaces.0.type', 'pidd')(c)))),
    ('config.json that is no JSON', lambda: bundle(text='{"ociVersion": "1.0.0",}')),
    ('no bundle', lambda: v('run', '--bundle', work + '/nobundle', 'c1')),
    ('unknown mount option',
     lambda: bundle(lambda c: c['mounts'].append(
         {'destination': '/x', 'type': 'tmpfs', 'source': 'tmpfs', 'options': ['nosiud']}))),
    ('bind source missing',
     lambda: bundle(lambda c: c['mounts'].append(
         {'destination': '/x', 'type': 'bind', 'source': '/nonexist', 'options': ['bind']}))),
    ('sysctl of the host', lambda: bundle(setting('linux.sysctl', {'kernel.panic': '1'}))),
    ('program not in the root', lambda: bundle(setting('process.args', ['nosuch']))),
    ('hook that is missing',
     lambda: bundle(setting('hooks', {'createRuntime': [{'path': '/nonexist/hook'}]}))),
    ('hook that fails',
     lambda: bundle(setting('hooks', {'createRuntime': [{'path': '/bin/false'}]}))),
    ('bad container id', lambda: v('run', '--bundle', work + '/bundle', '../c1')),
    ('state of nothing', lambda: v('state', 'nope')),
    ('misspelt command', lambda: v('strat', 'c1')),
    ('misspelt option of a verb', lambda: k('rmi', '--forse', 'x')),
    ('exec in nothing', lambda: v('exec', 'nope', 'true')),
    ('port in use', lambda: k('run', '--rm', '-p', f'127.0.0.1:{taken.getsockname()[1]}:80', 'base:1', 'true')),
    ('slip in the name of an image to remove', lambda: k('rmi', 'bsae:1')),
    ('slip in the name of an image to run', lambda: k('run', '--rm', 'bsae:1', 'true')),
    ('another tag of an image to tag', lambda: k('tag', 'base:latest', 'mine')),
    ('unreachable registry', lambda: k('pull', '--progress', 'quiet', '127.0.0.1:1/team/app:1')),
    ('bad credentials', lambda: k('pull', '--progress', 'quiet', f'127.0.0.1:{registry.server_port}/team/app:1')),
    ('disk full', lambda: full_disk('import', work + '/root', 'base:1')),
    ('somebody else\'s store', lambda: as_nobody(kiln, 'tag', 'base:1', 'mine')),
    ('somebody else\'s state directory', lambda: as_nobody(vessel, '--root', work + '/state', 'run', '--bundle', work + '/bundle', 'c1')),
    ('no right to make namespaces', lambda: (bundle(), as_nobody(vessel, '--root', work + '/nobody', 'run', '--bundle', work + '/bundle', 'c1'))[1]),
    ('a step for another platform', lambda: foreign(F + 'COPY program /program\nRUN ["/program"]\n')),
    ('an image for another platform', lambda: foreign(F + 'COPY program /program\n', 'run', '--rm', 'foreign', '/program')),
    ('bad signal', lambda: v('kill', 'nope', 'SIGFOO')),
]

try:
    os.chmod(work, 0o755)
    for directory in ctx, work + '/bin', work + '/nobody':
        os.mkdir(directory)
    os.chown(work + '/nobody', 65534, 65534)
    for name in ('a.txt', 'b.txt', 'secret.txt'):
        open(f'{ctx}/{name}', 'w').write(name)
    open(ctx + '/.dockerignore', 'w').write('secret.txt\n')
    subprocess.run([os.path.join(top, 'tests/make-busybox-root'), work + '/root'], check=True)
    call(kiln, 'import', work + '/root', 'base:1', check=True)
    got = {name: make() for name, make in cases}
finally:
    shutil.rmtree(work, ignore_errors=True)

path = os.path.join(here, 'expected')
if '--write' in sys.argv:
    with open(path, 'w') as f:
        for name, text in got.items():
            if text is None:
                sys.exit(f'{name}: cannot be made here')
            f.write(f'=== {name}\n{text}\n')
    sys.exit(0)
want = {}
for part in re.split(r'^=== ', open(path).read(), flags=re.M)[1:]:
    name, _, text = part.partition('\n')
    want[name] = text.rstrip('\n') + '\n'
print(f'1..{len(got) + 1}')
failed = 0
for n, (name, text) in enumerate(got.items(), 1):
    if text is None:
        print(f'ok {n} - {name} # SKIP no machine without an emulator for arm64')
        continue
    good = want.get(name) == text
    failed += not good
    print(('ok' if good else 'not ok') + f' {n} - {name}')
    if not good:
        for l in difflib.unified_diff(want.get(name, '').splitlines(), text.splitlines(), 'expected',
                                      'got', lineterm='', n=9):
            print('#   ' + l)
good = set(want) == set(got) and len(got) >= 50
failed += not good
print(('ok' if good else 'not ok') + f' {len(got) + 1} - every expectation has its mistake, {len(got)} of them')
sys.exit(failed != 0)
