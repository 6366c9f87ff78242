#!/usr/bin/env python3
# slow
"""A small application from its Dockerfile to its page: cache, stages, destinations, what is ignored, names, secrets; other runtimes."""
from tour import *

need()
base_image('node:20-alpine')
app = context('app', package__json='{"name": "my-app"}\n', package_lock__json='{}\n', src___index__js='hello from my-app\n',
              Dockerfile='''FROM node:20-alpine
WORKDIR /app
COPY package*.json ./
RUN mkdir node_modules && echo installed >node_modules/.done
COPY . .
EXPOSE 3000
CMD ["httpd", "-f", "-p", "3000", "-h", "/app/src"]
''')
write(app, {'.dockerignore': 'node_modules\n.git\n.env\n*.log\ndist\n', '.env': 'SECRET=1\n', 'debug.log': 'x\n',
            'dist/old': 'x\n', 'node_modules/host': 'x\n', '.git/HEAD': 'x\n'})


def cached(r):
    """The instructions that were taken from the cache."""
    names, done = {}, []
    for line in r.err.split('\n'):
        m = re.match(r'#(\d+) \[[^\]]*\] (\w+ \S+)', line)
        if m:
            names[m.group(1)] = m.group(2)
        m = re.match(r'#(\d+) CACHED', line)
        if m:
            done.append(names.get(m.group(1), '?'))
    return done


r = build(app, '-t', 'my-app:latest', '-t', 'my-app:1.0')
check(r.code == 0 and cached(r) == [], 'build, two tags', r)
port = free_port()
run('-d', '--name', 'my-app', '-p', '127.0.0.1:%d:3000' % port, 'my-app:latest')
equal(get(port, '/index.js'), 'hello from my-app\n', 'the application answers on its port')
ls = vessel('exec', 'my-app', 'sh', '-c', 'ls -A; ls -A node_modules').out.split()
equal(sorted(ls), ['.dockerignore', '.done', 'Dockerfile', 'node_modules', 'package.json', 'package_lock.json', 'src'],
      'nothing that .dockerignore hides is in the image', ls)
check(not {'.env', 'debug.log', 'dist', 'host', '.git'} & set(ls), 'neither .env nor logs nor node_modules of the host', ls)
vessel('delete', '-f', 'my-app')

began = time.monotonic()
r = build(app, '-t', 'my-app:latest')
check(len(cached(r)) == 4 and time.monotonic() - began < 5, 'nothing changed: all CACHED, at once', r, cached(r))
write(app, {'src/index.js': 'changed\n'})
r = build(app, '-t', 'my-app:latest')
equal(cached(r), ['WORKDIR /app', 'COPY package*.json', 'RUN mkdir'], 'src/ changed: everything up to the install is CACHED', r)
write(app, {'package.json': '{"name": "my-app", "version": "2"}\n'})
r = build(app, '-t', 'my-app:latest')
equal(cached(r), ['WORKDIR /app'], 'package.json changed: the install runs again', r)
equal(cached(build(app, '--no-cache', '-t', 'my-app:latest')), [], '--no-cache')

stages = context('stages', Dockerfile='''FROM node:20-alpine AS unneeded
RUN echo must not run && false
FROM node:20-alpine AS builder
WORKDIR /app
RUN mkdir dist && echo built >dist/out && echo tool >/bin/compiler
FROM node:20-alpine
ARG WHO=nobody
WORKDIR /app
COPY --from=builder /app/dist ./dist
COPY one /data/
COPY one .
COPY one ./src/
RUN echo $WHO >/who
CMD ["sh", "-c", "cat dist/out; ls /bin/compiler; find /data /app -type f | sort; cat /who"]
''', one='1\n')
r = build(stages, '-t', 'stages', '--build-arg', 'WHO=me')
check(r.code == 0 and 'must not run' not in r.out + r.err.replace('RUN echo must not run', ''), 'stages that nothing needs are not built', r)
r = run('--rm', 'stages')
check(r.out == 'built\n/app/dist/out\n/app/one\n/app/src/one\n/data/one\nme\n' and 'No such file' in r.err,
      'COPY --from, destinations, --build-arg; none of the build tools', r)

r = kiln('images')
check(re.search(r'my-app +latest', r.out) and re.search(r'my-app +1\.0', r.out), 'images', r)
check(kiln('tag', 'my-app:latest', 'user/my-app:2').code == 0 and kiln('run', '--root', ROOT, '--rm', 'user/my-app:2', 'true').code == 0, 'tag')
r = kiln('history', 'my-app:latest')
check('EXPOSE' in r.out and 'COPY' in r.out, 'history', r)
check('3000/tcp' in kiln('inspect', 'my-app:latest').out, 'inspect')
check(kiln('rmi', 'user/my-app:2').code == 0 and run('--rm', 'user/my-app:2').code == 125, 'rmi')
check(kiln('prune').code == 0 and run('--rm', 'my-app:latest', 'true').code == 0, 'prune keeps what has a name')

secret = context('secret', Dockerfile='FROM node:20-alpine\nRUN --mount=type=secret,id=token wc -c </run/secrets/token >/length\n')
write(DIR, {'token': 's3cr3t-t0ken'})
r = build(secret, '--secret', 'id=token,src=' + DIR + '/token', '-t', 'secret')
check(r.code == 0 and run('--rm', 'secret', 'cat', '/length').out.strip() == '12', 'RUN --mount=type=secret', r)
found = subprocess.run(['grep', '-rlF', 's3cr3t-t0ken', STORE], capture_output=True, text=True).stdout
found += 's3cr3t' if 's3cr3t' in r.err + kiln('history', 'secret').out else ''
equal(found, '', 'the secret is nowhere: blobs, history, cache, log')
r = kiln('check', context('lint', Dockerfile='FROM node:20-alpine\nENV API_TOKEN=abc\nCMD ["sh"]\n'))
check('USER' in r.out + r.err and 'API_TOKEN' in r.out + r.err, 'check warns of ENV secrets and of a missing USER', r)

scratch = context('scratch', Dockerfile='FROM scratch\nCOPY --chmod=755 busybox /busybox\nENTRYPOINT ["/busybox"]\nCMD ["echo", "small"]\n')
shutil.copy(shutil.which('busybox'), scratch + '/busybox')
build(scratch, '-t', 'scratch-app')
equal(run('--rm', '--read-only', '--cap-drop', 'ALL', 'scratch-app').out, 'small\n', 'FROM scratch, read-only, without capabilities')

# The same bundle under other runtimes: ports, network and clean-up are in config.json.
for other in 'runc', 'crun':
    program = shutil.which(other)
    if not program:
        skip(other + ' serves the same bundle', other)
        continue
    state_root = os.path.join(DIR, 'state-' + other)
    port, name = free_port(), TAG + other
    r = call(KILN, 'run', '--root', state_root, '--runtime', program, '-d', '--name', name, '-p', '127.0.0.1:%d:3000' % port,
             'my-app:latest')
    if 'hybrid' in r.err:
        skip(other + ' serves the same bundle', 'pure cgroup hierarchy for crun')
        continue
    try:
        check(r.code == 0 and get(port, '/index.js') == 'changed\n', other + ' serves the same bundle', r)
    finally:
        call(program, '--root', state_root, 'delete', '--force', name)
    check(get(port, seconds=0) is None and not os.path.exists(STORE + '/kiln/bundles/' + name), 'and its delete takes all away')
finish()
