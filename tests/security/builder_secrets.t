#!/usr/bin/env python3
# BuildKit CVE-2023-26054: credentials in logs, history, configuration, provenance. Secrets of --secret,
# users and passwords of URLs, of registries and of proxies reach whom they are for and nobody else.
# Seen to fail with without_credentials() returning what it was given and git having the address as it was
# written: 9 to 14, 16 to 41 and 50; with a secret of the environment in the key of its step: 1 to 4.
import base64, http.server
from builder_attack import *

import_base()
SECRETS = {name: 'cred%s%d' % (name, 7919 * os.getpid()) for name in ('file', 'env', 'url', 'gituser', 'gitpass', 'auth', 'proxy', 'token', 'ctx')}
S = SECRETS
ARGUMENTS = T + '/arguments'  # of git and of the runtime, which every user of the machine can read (ps)
for name, program in (('git', shutil.which('git')), ('runtime', RUNTIME)):
    write(T + '/bin/' + name, '#!/bin/sh\necho "%s $*" >> %s\nexec %s "$@"\n' % (name, ARGUMENTS, program), 0o755)
os.environ['PATH'] = T + '/bin:' + os.environ['PATH']
build_case.RUNTIME = RUNTIME = T + '/bin/runtime'
scanned = {}


def places(r, *texts):
    """Where one of the secrets is found: the output, the store, the texts."""
    found = []
    for name, secret in SECRETS.items():
        for form in (secret, base64.b64encode(secret.encode()).decode().rstrip('='), secret.encode().hex()):
            for label, text in (('output', r.out + r.err), *texts):
                if form in text:
                    found.append('%s in %s' % (name, label))
    for d, _, files in os.walk(STORE):
        for f in files:
            p = os.path.join(d, f)
            try:
                state = os.lstat(p)
                if not stat.S_ISREG(state.st_mode) or scanned.get(p) == (state.st_ino, state.st_mtime_ns, state.st_size):
                    continue
                data = open(p, 'rb').read()
            except OSError:
                continue
            scanned[p] = (state.st_ino, state.st_mtime_ns, state.st_size)
            if data[:2] == b'\x1f\x8b':
                data = gzip.decompress(data)
            found += ['%s in %s' % (name, p.removeprefix(STORE)) for name, s in SECRETS.items() if s.encode() in data]
    return found


def clean(r, name, *texts, ok=True):
    found = places(r, *texts)
    return check(not found and (r.rc == 0) == ok, name, *found, 'exit %d' % r.rc, r.err[-3000:])


# ---- servers that ask for a user ----
class Asking(http.server.BaseHTTPRequestHandler):
    asked = []

    def do_GET(self):
        Asking.asked.append((self.path, self.headers.get('Authorization', '')))
        wanted = {'/git': S['gituser'] + ':' + S['gitpass'], '/fil': 'me:' + S['url'], '/ctx': 'me:' + S['ctx']}.get(self.path[:4])
        if wanted and self.headers.get('Authorization') != 'Basic ' + base64.b64encode(wanted.encode()).decode():
            self.send_response(401)
            self.send_header('WWW-Authenticate', 'Basic realm="x"')
            self.send_header('Content-Length', '0')
            return self.end_headers()
        if self.path.startswith('/git'):
            return self.git()
        path = T + '/www' + self.path.split('?')[0]
        if not os.path.isfile(path):
            self.send_response(404)
            self.send_header('Content-Length', '0')
            return self.end_headers()
        data = open(path, 'rb').read()
        self.send_response(200)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_GET

    def git(self):
        path, _, query = self.path.partition('?')
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        if self.headers.get('Content-Encoding') == 'gzip':
            body = gzip.decompress(body)
        r = subprocess.run(['/usr/lib/git-core/git-http-backend'], input=body, capture_output=True, env={'PATH': '/usr/bin:/bin', 'GIT_PROJECT_ROOT': T + '/www', 'GIT_HTTP_EXPORT_ALL': '1', 'PATH_INFO': path, 'QUERY_STRING': query,
                           'REQUEST_METHOD': self.command, 'CONTENT_TYPE': self.headers.get('Content-Type', ''), 'GIT_PROTOCOL': self.headers.get('Git-Protocol', '')})
        head, _, data = r.stdout.partition(b'\r\n\r\n')
        fields = [l.split(': ', 1) for l in head.decode().split('\r\n') if ': ' in l]
        self.send_response(int(dict(fields).get('Status', '200').split()[0]))
        for name, value in fields:
            if name != 'Status':
                self.send_header(name, value)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Asking)
threading.Thread(target=server.serve_forever, daemon=True).start()
H = '127.0.0.1:%d' % server.server_port
g = lambda *w, cwd=None: subprocess.run(['git', '-c', 'user.name=n', '-c', 'user.email=e@x', '-c', 'init.defaultBranch=main', *w], cwd=cwd, check=True, capture_output=True)
write(T + '/www/file.txt', 'content\n')
write(T + '/source/f', 'content\n'), write(T + '/source/Dockerfile', 'FROM base:1\nCOPY f /f\nRUN cat /f\n')
g('init', T + '/source'), g('add', '.', cwd=T + '/source'), g('commit', '-m', 'x', cwd=T + '/source')
g('clone', '--bare', T + '/source', T + '/www/git/repo.git')
with tarfile.open(T + '/www/ctx.tar', 'w') as t:
    t.add(T + '/source', '.', filter=lambda i: None if '.git' in i.name else i)
NP = {'no_proxy': '127.0.0.1', 'NO_PROXY': '127.0.0.1'}

# ---- secrets of RUN ----
write(T + '/secret', S['file'])
d = context('secrets', '''FROM base:1
RUN --mount=type=secret,id=f test "$(cat /run/secrets/f)" = %s && echo same
RUN --mount=type=secret,id=f,target=/t,mode=0444 --mount=type=secret,id=e,env=TOKEN test -n "$TOKEN" && wc -c /t
RUN --mount=type=secret,id=e,env=TOKEN --mount=type=cache,target=/c echo $TOKEN | sha256sum
''' % ('"$(echo %s | rev)"' % S['file'][::-1]))
meta = T + '/meta.json'
texts = lambda: (('metadata', open(meta).read() if os.path.exists(meta) else ''), ('arguments', open(ARGUMENTS).read()))
for progress, more in (('plain', []), ('json', ['--no-cache']), ('tty', ['--explain', '--no-cache']), ('plain', ['--isolation', 'chroot', '--no-cache'])):
    r = build(d, '--progress', progress, '--metadata-file', meta, '--secret', 'id=f,src=' + T + '/secret', '--secret', 'id=e,env=E', *more, env={'E': S['env']})
    clean(r, 'secrets of RUN (%s)' % ' '.join([progress, *more]), *texts())
r = build('FROM base:1\nRUN --mount=type=secret,id=f --mount=type=secret,id=e,env=TOKEN false\n', '--secret', 'id=f,src=' + T + '/secret', '--secret', 'id=e,env=E', env={'E': S['env']})
clean(r, 'secrets of a command that fails', ok=False)
r = build('FROM base:1\nRUN --mount=type=secret,id=f,target=/proc/x/y true\n', '--secret', 'id=f,src=' + T + '/secret', '--runtime', '/bin/false')
clean(r, 'secrets of a runtime that fails', ok=False)
check(not [m for m in open('/proc/self/mountinfo') if STORE in m], 'no mount of a secret is left')
killed = subprocess.Popen([KILN, 'build', '--runtime', RUNTIME, '--secret', 'id=f,src=' + T + '/secret', '-'], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=dict(os.environ, KILN_STORE=STORE))
killed.stdin.write(b'FROM base:1\nRUN --mount=type=secret,id=f --network=none sleep 77\n'), killed.stdin.close()
for _ in range(200):
    if any(b'sleep' in a and b'77' in a for a in [open('/proc/%s/cmdline' % p, 'rb').read() for p in os.listdir('/proc') if p.isdigit() and os.path.exists('/proc/%s/cmdline' % p)]):
        break
    time.sleep(0.02)
killed.kill(), killed.wait()
build('FROM base:1\nRUN true\n', '--no-cache')  # ends what the dead build left
clean(build('FROM base:1\nRUN true\n'), 'secrets of a build that was killed')

# ---- users and passwords in URLs ----
U = 'http://me:%s@%s/file.txt' % (S['url'], H)
G = 'http://%s:%s@%s/git/repo.git' % (S['gituser'], S['gitpass'], H)
for more in ([], ['--no-cache', '--explain'], ['--progress', 'json']):
    r = build(context('url', 'FROM base:1\nADD %s /f\nARG WHERE\nADD ${WHERE} /g\n' % U), '--metadata-file', meta, '--build-arg', 'WHERE=' + U, *more, env=NP)
    clean(r, 'a password in the URL of ADD (%s)' % ' '.join(more), *texts())
    r = build(context('git', 'FROM base:1\nADD --keep-git-dir=true %s /r\nRUN grep -r http /r/.git; true\n' % G), *more, env=NP)
    clean(r, 'a password in the address of a repository (%s)' % ' '.join(more), *texts())
check(any(p.startswith('/git') and a for p, a in Asking.asked) and any(p.startswith('/file') and a for p, a in Asking.asked), 'the servers got them', Asking.asked)
for more in ([], ['--explain', '--no-cache'], ['--progress', 'json']):
    # (what a person types is in the arguments of kiln itself)
    clean(build(G, *more, env=NP), 'a password in the address of the context (%s)' % ' '.join(more))
    clean(build('http://me:%s@%s/ctx.tar' % (S['ctx'], H), *more, env=NP), 'in that of a tar (%s)' % ' '.join(more))
for bad in (U.replace('file.txt', 'files/none'), U.replace(H, '127.0.0.1:1'), G.replace('repo', 'none'), G + '#none', G + '#main:none', G.replace(H, '127.0.0.1:1')):
    clean(build('FROM base:1\nADD %s /f\n' % bad, env=NP), 'a URL that fails', ok=False)
    clean(build('FROM base:1\nADD --checksum=sha256:%s %s /f\n' % ('0' * 64, bad), env=NP), 'with --checksum', ok=False)
    clean(build(bad, env=NP), 'as context', ok=False)
r = build('FROM base:1\nADD --bad %s /f\n' % U, env=NP)
clean(r, 'the line of an error is shown without it', ok=False)
check('*' in r.err and '^' in r.err, 'and with its caret', r.err)
for verb in (['check', '--format', 'json'], ['check'], ['build', '--check']):
    r = kiln(*verb, context('lint', 'FROM base:1\nADD %s f\nCMD a\nCMD b\nWORKDIR x\n' % U))
    check(S['url'] not in r.out + r.err, 'kiln ' + ' '.join(verb), r.out)

# ---- proxies, registries ----
P = 'http://me:%s@127.0.0.1:1' % S['proxy']
r = build('FROM base:1\nRUN test -n "$HTTP_PROXY$http_proxy"\n', '--build-arg', 'HTTP_PROXY=' + P, '--build-arg', 'https_proxy=' + P, '--metadata-file', meta)
clean(r, 'a proxy of RUN', *texts())
write(T + '/auth.json', json.dumps({'auths': {H: {'auth': base64.b64encode(('me:' + S['auth']).encode()).decode()}}}))
for words in (['pull', H + '/git/x:1'], ['push', 'base:1'], ['build', '--pull', '-']):
    kiln('tag', 'base:1', H + '/git/x:1')
    words = [w.replace('base:1', H + '/git/x:1') for w in words]
    r = kiln(*words, env=NP | {'REGISTRY_AUTH_FILE': T + '/auth.json', 'DOCKER_CONFIG': T}, input=('FROM %s/git/y:1\n' % H).encode())
    found = places(r)
    check(not found and r.rc != 0, 'credentials of a registry: ' + words[0], *found, r.err)
r = kiln('login', '--username', 'me', '--password-stdin', H, input=S['token'].encode(), env=NP | {'REGISTRY_AUTH_FILE': T + '/login.json'})
check(not places(r), 'kiln login', r.out, r.err)
if os.path.exists(T + '/login.json'):
    equal(os.stat(T + '/login.json').st_mode & 0o777, 0o600, 'keeps them for their owner')
given = open(ARGUMENTS).read()
check('git ' in given and 'runtime ' in given and not [n for n in SECRETS if S[n] in given or base64.b64encode(S[n].encode()).decode().rstrip('=') in given], 'nothing that kiln started had one among its arguments', given)
done()
