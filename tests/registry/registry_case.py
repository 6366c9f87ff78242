"""What the tests of registries share: TAP, kiln with a store of its own, Debian's docker-registry."""
import atexit, base64, hashlib, json, os, shutil, signal, socket, subprocess, sys, tempfile, time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KILN = os.path.abspath(os.environ.get('KILN', os.path.join(TOP, 'build/builder/kiln')))
points = failures = 0
started = []
scratch = tempfile.mkdtemp(prefix='kiln-registry-')


def point(ok, name, *why):
    global points, failures
    points += 1
    print('ok' if ok else 'not ok', points, '-', name, flush=True)
    if not ok:
        failures += 1
        for w in why:
            for line in str(w).splitlines():
                print('#', line)


def skip(name, lacks):
    global points
    points += 1
    print(f'ok {points} - {name} # SKIP {lacks}', flush=True)


def done():
    print(f'1..{points}')
    sys.exit(1 if failures else 0)


def clean():
    for p in started:
        if p.poll() is None:
            p.kill()
            p.wait()
    shutil.rmtree(scratch, ignore_errors=True)


atexit.register(clean)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def environment(**more):
    """Nobody's own configuration, credentials or proxies."""
    env = {k: v for k, v in os.environ.items()
           if not k.startswith('REGISTRY_') and 'proxy' not in k.lower() and k != 'DOCKER_CONFIG'}
    home = f'{scratch}/home'
    os.makedirs(home, exist_ok=True)
    config = f'{scratch}/registries.conf'
    if not os.path.exists(config):
        with open(config, 'w') as f:
            f.write('stall 2\nconnect 5\nblocked docker.io\n')
    env.update(HOME=home, XDG_CONFIG_HOME=f'{home}/.config', XDG_RUNTIME_DIR=f'{home}/run',
               KILN_REGISTRIES=config, KILN_STORE=f'{scratch}/store', TMPDIR=scratch)
    env.update(more)
    return env


class Run:
    def __init__(self, *words, stdin=b'', timeout=100, program=None, **env):
        begin = time.monotonic()
        p = subprocess.run([program or KILN, *words], input=stdin, capture_output=True,
                           timeout=timeout, env=environment(**env))
        self.seconds = time.monotonic() - begin
        self.code, self.out, self.err = p.returncode, p.stdout.decode(), p.stderr.decode()
        self.last = self.err.strip().splitlines()[-1] if self.err.strip() else ''

    def __str__(self):
        return f'exit {self.code} after {self.seconds:.1f} s\n{self.out}{self.err}'


def kiln(*words, **kw):
    return Run(*words, **kw)


def store(name):
    return f'{scratch}/store-{name}'


def digest(data):
    return 'sha256:' + hashlib.sha256(data).hexdigest()


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def blobs_of(path):
    """Names of the blobs of a store, and of what is half-written."""
    found = []
    for sub in ('blobs/sha256', 'kiln/ingest'):
        try:
            found += os.listdir(f'{path}/{sub}')
        except FileNotFoundError:
            pass
    return found


def make_image(name, files, where=None, **kw):
    """An image in the store with a layer of these files (name: bytes)."""
    root = tempfile.mkdtemp(dir=scratch)
    for path, content in files.items():
        with open(f'{root}/{path}', 'wb') as f:
            f.write(content)
    extra = ['--store', where] if where else []
    r = kiln('import', *extra, *kw.get('options', []), root, name)
    shutil.rmtree(root)
    assert r.code == 0, r
    return r.out.strip()


def wait_for(port, process, log):
    for _ in range(200):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(('127.0.0.1', port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit('Bail out! docker-registry does not start: ' + open(log).read())


def docker_registry(auth=None, tls=None, extra_env=None):
    """Starts one; returns host:port and its directory."""
    if not shutil.which('docker-registry'):
        print('1..0 # SKIP no docker-registry')
        sys.exit(0)
    directory = tempfile.mkdtemp(dir=scratch)
    port = free_port()
    config = {'version': 0.1,
              'storage': {'filesystem': {'rootdirectory': f'{directory}/data'},
                          'delete': {'enabled': True}},
              'http': {'addr': f'127.0.0.1:{port}', 'secret': 'x'},
              'log': {'level': 'error', 'accesslog': {'disabled': False}}}
    if auth:
        config['auth'] = auth
    if tls:
        config['http']['tls'] = tls
    path = f'{directory}/config.yml'
    with open(path, 'w') as f:
        json.dump(config, f)
    log = f'{directory}/log'
    env = {k: v for k, v in os.environ.items() if not k.startswith('REGISTRY_')}
    env.update(OTEL_TRACES_EXPORTER='none')
    p = subprocess.Popen(['docker-registry', 'serve', path], stdout=open(log, 'w'),
                         stderr=subprocess.STDOUT, env=env)
    started.append(p)
    wait_for(port, p, log)
    return f'127.0.0.1:{port}', directory


def requests_of(directory):
    """Request lines of docker-registry's access log."""
    lines = []
    for line in open(f'{directory}/log', errors='replace'):
        parts = line.split('"')
        if len(parts) > 2 and 'HTTP/' in parts[1]:
            lines.append(parts[1] + ' ' + parts[2].split()[0])
    return lines


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def openssl(*words, **kw):
    return subprocess.run(['openssl', *words], check=True, capture_output=True, **kw).stdout


def make_authority(directory, host='127.0.0.1'):
    """A private CA and a server's certificate made by it; returns their files."""
    os.makedirs(directory, exist_ok=True)
    ca, key, cert = f'{directory}/ca.crt', f'{directory}/server.key', f'{directory}/server.crt'
    ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
    openssl('req', '-x509', *ec, '-keyout', f'{directory}/ca.key', '-out', ca, '-days', '2',
            '-subj', '/CN=test authority')
    openssl('req', *ec, '-keyout', key, '-out', f'{directory}/server.csr', '-subj', f'/CN={host}')
    with open(f'{directory}/ext', 'w') as f:
        f.write(f'subjectAltName=IP:{host},DNS:localhost\n')
    openssl('x509', '-req', '-in', f'{directory}/server.csr', '-CA', ca, '-CAkey',
            f'{directory}/ca.key', '-CAcreateserial', '-out', cert, '-days', '2', '-extfile',
            f'{directory}/ext')
    return ca, key, cert
