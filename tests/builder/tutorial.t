#!/usr/bin/env python3
# slow
"""The Dockerfiles of tutorials, built and run: Node with packages of the registry and the three cache
scenarios, Python with a venv in several stages, nginx serving a page, ENTRYPOINT with CMD. Bases are made of Debian's packages."""
import os, socket, subprocess, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from build_case import *


def debian(name, *packages):
    root = T + '/debian'
    r = subprocess.run([TOP + '/tests/make-debian-root', root, *packages], capture_output=True, text=True)
    if r.returncode == 0 and 'nodejs' in packages and os.path.isdir('/usr/lib/node_modules/npm'):
        # npm replaces itself where it was updated: as it stands, whatever its package lists.
        subprocess.run(['cp', '-a', '/usr/lib/node_modules/npm', root + '/usr/lib/node_modules/'])
    if r.returncode == 0:
        r = subprocess.run([KILN, 'import', '--store', STORE, root, name], capture_output=True, text=True)
    shutil.rmtree(root, ignore_errors=True)
    return '' if r.returncode == 0 else r.stderr.strip().splitlines()[-1]


def answers(port, path='/'):
    for _ in range(100):
        try:
            with socket.create_connection(('127.0.0.1', port), 2) as s:
                s.sendall(b'GET %s HTTP/1.0\r\n\r\n' % path.encode())
                data = b''
                while chunk := s.recv(65536):
                    data += chunk
                return data.decode(errors='replace')
        except OSError:
            time.sleep(0.1)
    return ''


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def run(image, *args, options=()):
    return kiln('run', '--rm', '--runtime', RUNTIME, *options, image, *args)


# ---- Node ----
registry = subprocess.run(['npm', 'config', 'get', 'registry'], capture_output=True, text=True, timeout=60).stdout.strip() if shutil.which('npm') else ''
why = debian('node:bare', 'nodejs') if registry else 'npm'
if not why:
    # Node brings certificates of its own; machines behind a proxy need theirs.
    build(context('node-base', 'FROM node:bare\nENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt\nCMD ["node"]\n'), '-t', 'node:20')
NODE = ('FROM node:20\nWORKDIR /app\nCOPY package*.json ./\nRUN npm ci --no-audit --no-fund --loglevel=error\nCOPY . .\n'
        'EXPOSE 3000\nCMD ["node", "src/index.js"]\n')
APP = ("const ms = require('ms');\nrequire('http').createServer((q, r) => { r.end('v1 ' + ms('2 days') + '\\n'); setTimeout(() => process.exit(0), 200); })"
       ".listen(process.env.PORT || 3000, () => console.log('up'));\n")
if why:
    skip('the Node tutorial', why)
else:
    d = context('node', NODE, {'src/index.js': APP, '.dockerignore': 'node_modules\n.git\n.env\n*.log\ndist\n', '.env': 'SECRET=1\n',
                               'package.json': json.dumps({'name': 'app', 'version': '1.0.0', 'scripts': {'start': 'node src/index.js', 'test': 'echo tested'}, 'dependencies': {'ms': '2.1.3'}})})
    lock = subprocess.run(['npm', 'install', '--package-lock-only', '--no-audit', '--no-fund'], cwd=d, capture_output=True, text=True, timeout=120)
    # Machines behind a proxy say so in the environment.
    proxies = [w for n in ('http_proxy', 'https_proxy', 'no_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY') if n in os.environ for w in ('--build-arg', n)]
    if lock.returncode:
        skip('the Node tutorial', 'npm registry')
    else:
        r = build(d, '-t', 'my-app:latest', *proxies, timeout=280)
        if check(r.rc == 0, 'npm ci with a real package', r.err):
            INSTALL, COPY, PACK = 'RUN npm ci --no-audit --no-fund --loglevel=error', 'COPY . .', 'COPY package*.json ./'
            state = lambda r: tuple(r.steps().get(x) for x in (PACK, INSTALL, COPY))
            files = tree(r.id, layers=manifest_of(r.id)['layers'][1:])
            check('app/node_modules/ms/index.js' in files and 'app/.env' not in files, 'the package is there, .env is not')
            port = free_port()
            p = subprocess.Popen([KILN, 'run', '--store', STORE, '--rm', '--name', 'tutorial-%d' % os.getpid(), '--network', 'host', '--runtime', RUNTIME, '-e', 'PORT=%d' % port, 'my-app:latest'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            text = answers(port)
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                subprocess.run([RUNTIME, 'delete', '--force', 'tutorial-%d' % os.getpid()])
                p.kill()
            check('v1 172800000' in text, 'it answers on its port', text, p.stdout.read())
            again = build(d, *proxies)
            equal((state(again), again.id), (('CACHED',) * 3, r.id), 'nothing changed: all CACHED')
            write(d + '/src/index.js', APP.replace('v1', 'v2'))
            equal(state(build(d, *proxies)), ('CACHED', 'CACHED', 'DONE'), 'only src changed: the install is CACHED')
            pj = json.load(open(d + '/package.json')); pj['version'] = '1.0.1'
            write(d + '/package.json', json.dumps(pj))
            equal(state(build(d, *proxies, timeout=280)), ('DONE', 'DONE', 'DONE'), 'package.json changed: the install runs again')
            write(d + '/Dockerfile', 'FROM node:20 AS builder\nWORKDIR /app\nCOPY package*.json ./\nRUN npm ci --no-audit --no-fund --loglevel=error\nCOPY . .\n'
                  'RUN mkdir dist && cp src/index.js dist/ && cp -r node_modules dist/\nFROM node:20\nRUN useradd -m appuser 2>/dev/null || echo "appuser:x:1000:1000::/home:/bin/sh" >> /etc/passwd\n'
                  'WORKDIR /app\nCOPY --from=builder /app/dist ./dist\nUSER appuser\nENTRYPOINT ["node"]\nCMD ["-p", "require(\'/app/dist/node_modules/ms\')(\'1s\') + process.getuid()"]\n')
            r = build(d, '-t', 'multi:1', *proxies, timeout=280)
            check(r.rc == 0 and 'app/src' not in tree(r.id), 'several stages: nothing of the builder but dist', r.err)
            equal(run('multi:1').out.strip(), '2000', 'it runs as appuser (1000 ms + uid 1000)')
            equal(run('multi:1', '-p', '6*7').out.strip(), '42', 'arguments replace CMD, ENTRYPOINT stays')
            equal(run('multi:1', '-c', 'echo over', options=('--entrypoint', '/bin/sh')).out.strip(), 'over', '--entrypoint')
# ---- Python ----
why = debian('python:3', 'python3-venv') if shutil.which('dpkg-query') else 'dpkg'
if why:
    skip('the Python tutorial', why)
else:
    d = context('py', 'FROM python:3 AS build\nRUN python3 -m venv --without-pip /venv\nCOPY greet /venv/lib/greet\nENV PATH=/venv/bin:$PATH\n'
                'RUN cp -r /venv/lib/greet "$(python -c \'import site; print(site.getsitepackages()[0])\')"\n'
                'FROM python:3\nRUN useradd --create-home --uid 1001 app\nCOPY --from=build --chown=app:app /venv /venv\n'
                'ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1\nUSER app\nWORKDIR /home/app\nCOPY app.py .\nCMD ["python", "app.py"]\n',
                {'greet/__init__.py': 'def hello(): return "hello from the venv"\n', 'app.py': 'import greet, os, sys\nprint(greet.hello(), os.getuid(), sys.prefix)\n'})
    r = build(d, '-t', 'py:1')
    if check(r.rc == 0, 'venv in a builder stage, useradd, USER', r.err):
        equal(run('py:1').out.strip(), 'hello from the venv 1001 /venv', 'it runs as its user from the copied venv')
        for tool in ('runc', 'podman'):
            if tool == 'runc' and shutil.which('runc'):
                equal(kiln('run', '--rm', '--runtime', 'runc', 'py:1').out.strip(), 'hello from the venv 1001 /venv', 'the same under runc')
# ---- nginx ----
why = debian('nginx:bare', 'nginx-light') if shutil.which('dpkg-query') else 'dpkg'
if not why:
    # What the package's scripts would do, and the official image does.
    r = build(context('nginx-base', 'FROM nginx:bare\nRUN mkdir -p /var/lib/nginx /var/log/nginx /etc/nginx/conf.d /usr/share/nginx/html \\\n'
                      ' && ln -sf /dev/stdout /var/log/nginx/access.log && ln -sf /dev/stderr /var/log/nginx/error.log\n'
                      'EXPOSE 80\nSTOPSIGNAL SIGQUIT\nCMD ["nginx", "-g", "daemon off;"]\n'), '-t', 'nginx:1')
    check(r.rc == 0, 'a base with nginx', r.err)
if why:
    skip('the nginx tutorial', why)
else:
    d = context('nginx', 'FROM nginx:1\nCOPY default.conf /etc/nginx/conf.d/\nCOPY html /usr/share/nginx/html\n',
                {'default.conf': 'server {\n  listen 80;\n  root /usr/share/nginx/html;\n  location / { try_files $uri $uri/ =404; }\n}\n',
                 'html/index.html': '<h1>served by nginx</h1>\n', 'html/deep/page.html': 'a page below\n'})
    r = build(d, '-t', 'site:1')
    if check(r.rc == 0, 'COPY of pages over the base', r.err):
        equal(config_of(r.id)['config'].get('ExposedPorts'), {'80/tcp': {}}, 'EXPOSE of the base')
        name, port = 'nginx-%d' % os.getpid(), free_port()
        lacking = '' if shutil.which('pasta') else 'pasta'
        if lacking:
            skip('a page over HTTP through a published port', lacking)
        else:
            started = kiln('run', '-d', '--name', name, '--runtime', RUNTIME, '-p', '127.0.0.1:%d:80' % port, 'site:1')
            atexit.register(lambda: subprocess.run([RUNTIME, 'delete', '--force', name], capture_output=True))
            check(started.rc == 0, 'run -d -p', started.err)
            page, below, missing = answers(port), answers(port, '/deep/page.html'), answers(port, '/nowhere')
            check(page.startswith('HTTP/1.1 200') and '<h1>served by nginx</h1>' in page and 'Server: nginx' in page, 'the page over HTTP', page, started.err)
            check('a page below' in below and missing.startswith('HTTP/1.1 404'), 'a page further down, and none', below, missing)
            subprocess.run([RUNTIME, 'kill', name, 'QUIT'], capture_output=True)
            for _ in range(100):
                state = subprocess.run([RUNTIME, 'state', name], capture_output=True, text=True).stdout
                if '"stopped"' in state or not state:
                    break
                time.sleep(0.1)
            check('"running"' not in state, 'STOPSIGNAL ends it in order', state)
            subprocess.run([RUNTIME, 'delete', '--force', name], capture_output=True)
# ---- ENTRYPOINT and CMD, each form with each, and what the command line puts in their place ----
import_base()
for entry, command, plain, with_words in (
        ('["echo", "e"]', '["c"]', 'e c', 'e w x'), ('["echo", "e"]', None, 'e', 'e w x'), (None, '["echo", "c"]', 'c', None),
        ('echo shell', '["c"]', 'shell', 'shell'), ('["echo", "e"]', 'echo c', 'e /bin/sh -c echo c', 'e w x')):
    r = build('FROM base:1\n' + ('ENTRYPOINT %s\n' % entry if entry else '') + ('CMD %s\n' % command if command else ''), '-t', 'forms:1')
    title = 'ENTRYPOINT %s, CMD %s' % (entry, command)
    equal((r.rc, run('forms:1').out.strip()), (0, plain), title, r.err)
    if with_words:
        equal(run('forms:1', 'w', 'x').out.strip(), with_words, title + ', words')
    equal(run('forms:1', 'w', options=('--entrypoint', 'echo')).out.strip(), 'w', title + ', --entrypoint: CMD counts no more')
r = build('FROM base:1\nENTRYPOINT ["echo", "e"]\nCMD ["c"]\n', '-t', 'parent:1')
r = build('FROM parent:1\nENTRYPOINT ["echo", "child"]\n', '-t', 'child:1')
equal((run('child:1').out.strip(), config_of(r.id)['config'].get('Cmd')), ('child', None), "a new ENTRYPOINT resets the base's CMD")
done()
