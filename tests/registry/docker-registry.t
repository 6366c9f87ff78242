#!/usr/bin/env python3
"""kiln against Debian's docker-registry: anonymous, htpasswd, TLS, tokens; beside skopeo and podman."""
import http.server, os, shutil, sys, threading, urllib.parse
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from registry_case import *

DATA = {'a': os.urandom(3 << 20), 'b': b'hello\n' * 1000}


def value(r, key):
    return next((l.split(': ', 1)[1] for l in r.out.splitlines() if l.startswith(key + ': ')), '')


# ---- anonymous ----
host, directory = docker_registry()
make_image('one:1', DATA)
r = kiln('push', 'one:1', f'{host}/team/one:1')
pushed = value(r, 'Digest')
point(r.code == 0 and pushed.startswith('sha256:'), 'anonymous: push', r)
r = kiln('--store', store('b'), 'pull', f'{host}/team/one:1')
point(r.code == 0 and value(r, 'Digest') == pushed, 'and pull, the same digest', r)
r = kiln('--store', store('b'), 'fsck')
point(r.code == 0, 'fsck calls the store clean', r)
before = len(requests_of(directory))
r = kiln('--store', store('b'), 'pull', f'{host}/team/one:1')
asked = requests_of(directory)[before:]
point('Up to date' in r.out and not any('GET' in l and '/blobs/' in l for l in asked),
      'pulled again, nothing is fetched', r, asked)
before = len(requests_of(directory))
r = kiln('push', 'one:1', f'{host}/team/one:1')
asked = requests_of(directory)[before:]
point(r.code == 0 and not any(l.startswith(('POST', 'PATCH')) for l in asked),
      'pushed again, no blob is sent', r, asked)
r = kiln('tag', 'one:1', f'{host}/team/one:1')
before = len(requests_of(directory))
r = kiln('push', 'one:1', f'{host}/other/two:1')
asked = requests_of(directory)[before:]
mounts = [l for l in asked if 'mount=' in l and 'from=team' in l and l.endswith(' 201')]
point(r.code == 0 and len(mounts) == 2 and not any(l.startswith('PUT') and '/blobs/' in l for l in asked),
      'another repository of the registry: blobs are mounted', r, asked)
r = kiln('--store', store('b'), 'pull', f'{host}/team/one@{pushed}')
point(r.code == 0, 'by digest', r)
r = kiln('--store', store('b'), 'pull', f'{host}/team/one:11')
point(r.code == 1 and 'no such image' in r.last and 'near tags: 1' in r.last, 'no such tag: near ones are named', r)
r = kiln('--store', store('b'), 'pull', f'{host}/nobody/none:1')
point(r.code == 1 and 'no such image' in r.last, 'no such repository', r)
r = kiln('pull', f'127.0.0.1:{free_port()}/a:1')
point(r.code == 1 and 'cannot reach 127.0.0.1' in r.last and r.seconds < 3, 'nobody listens', r)
kiln('tag', 'one:1', f'{host}/team/one:2', f'{host}/team/one:3')
r = kiln('push', '-a', f'{host}/team/one')
r = kiln('--store', store('tags'), 'pull', '-a', '-q', f'{host}/team/one')
point(r.code == 0 and len(r.out.split()) == 3, 'push --all-tags, pull --all-tags', r)

# ---- beside skopeo and podman ----
if shutil.which('skopeo'):
    layout = f'{scratch}/skopeo'
    r = Run('copy', '--src-tls-verify=false', f'docker://{host}/team/one:1', f'oci:{layout}:1', program='skopeo')
    got = json.load(open(f'{layout}/index.json'))['manifests'][0]['digest'] if r.code == 0 else ''
    point(got == pushed, 'skopeo pulls what kiln pushed, the same digest', r)
    for form in ('v2s2', 'oci'):
        r = Run('copy', '--dest-tls-verify=false', '--format', form, f'oci:{layout}:1',
                f'docker://{host}/skopeo/{form}:1', program='skopeo')
        raw = Run('inspect', '--raw', '--tls-verify=false', f'docker://{host}/skopeo/{form}:1', program='skopeo')
        k = kiln('--store', store(form), 'pull', f'{host}/skopeo/{form}:1')
        ok = kiln('--store', store(form), 'fsck').code == 0
        point(k.code == 0 and value(k, 'Digest') == digest(raw.out.encode()) and ok,
              f'kiln pulls what skopeo pushed as {form}, the same digest', r, k)
else:
    skip('skopeo pulls and pushes', 'no skopeo')
if shutil.which('podman'):
    podman = ['--root', f'{scratch}/podman', '--runroot', f'{scratch}/podman-run', '--storage-driver', 'vfs']
    r = Run(*podman, 'pull', '-q', '--tls-verify=false', f'{host}/team/one:1', program='podman')
    i = Run(*podman, 'image', 'inspect', '--format', '{{.Digest}} {{.Id}}', f'{host}/team/one:1', program='podman')
    point(r.code == 0 and i.out.split()[:1] == [pushed], 'podman pulls what kiln pushed, the same digest', r, i)
    r = Run(*podman, 'push', '-q', '--tls-verify=false', '--digestfile', f'{scratch}/podman-digest',
            f'{host}/team/one:1', f'{host}/podman/one:1', program='podman')
    k = kiln('--store', store('podman'), 'pull', f'{host}/podman/one:1')
    told = open(f'{scratch}/podman-digest').read().strip() if r.code == 0 else ''
    point(r.code == 0 and k.code == 0 and value(k, 'Digest') == told and
          kiln('--store', store('podman'), 'fsck').code == 0,
          'kiln pulls what podman pushed, the same digest', r, k)
    r = kiln('--store', store('run'), 'run', '--rm', '--network', 'none', f'{host}/podman/one:1', 'true')
    point(value(kiln('--store', store('run'), 'pull', f'{host}/podman/one:1'), 'Digest') == told and
          'pull' in r.err, 'run pulls an image that is not there', r)
else:
    skip('podman pulls and pushes', 'no podman')

# ---- copies without a store, and an index ----
layout = f'{scratch}/layout'
r = kiln('copy', f'{host}/team/one:1', f'oci:{layout}:x')
point(r.code == 0 and value(r, 'Digest') == pushed and sorted(os.listdir(layout)) == ['blobs', 'index.json', 'oci-layout'],
      'copy: registry to layout, which holds nothing else', r)
host2, directory2 = docker_registry()
r = kiln('copy', f'{host}/team/one:1', f'{host2}/copied/one:1')
point(r.code == 0 and value(r, 'Digest') == pushed, 'copy: registry to registry', r)
r = kiln('copy', f'oci:{layout}:x', f'oci-archive:{scratch}/a.tar')
r2 = kiln('copy', f'oci-archive:{scratch}/a.tar', f'{host2}/copied/two:1')
point(r.code == 0 and r2.code == 0 and value(r2, 'Digest') == pushed, 'copy: layout to archive to registry', r, r2)
r = kiln('copy', f'{host2}/copied/two:1', f'docker-archive:{scratch}/d.tar:some/name:1')
r2 = kiln('--store', store('archive'), 'load', '-i', f'{scratch}/d.tar')
point(r.code == 0 and 'some/name:1' in r2.out, 'copy: registry to docker-archive, which load reads', r, r2)
point(not [n for n in os.listdir(scratch) if n.startswith('kiln.')], 'temporary stores are gone')
# An index of two platforms
m = json.load(open(f'{layout}/index.json'))['manifests'][0]
make_image(f'{host}/team/arm:1', {'c': b'arm'}, options=['--platform', 'linux/arm64'])
kiln('push', f'{host}/team/arm:1')
kiln('copy', f'{host}/team/arm:1', f'oci:{layout}:arm')
entries = json.load(open(f'{layout}/index.json'))['manifests']
for e, arch in zip(entries, ('amd64', 'arm64')):
    e.pop('annotations', None)
    e['platform'] = {'os': 'linux', 'architecture': arch}
index = json.dumps({'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.index.v1+json', 'manifests': entries}).encode()
with open(f'{layout}/blobs/sha256/{digest(index)[7:]}', 'wb') as f:
    f.write(index)
with open(f'{layout}/index.json', 'w') as f:
    json.dump({'schemaVersion': 2, 'manifests': [{
        'mediaType': 'application/vnd.oci.image.index.v1+json', 'digest': digest(index), 'size': len(index),
        'annotations': {'org.opencontainers.image.ref.name': 'both'}}]}, f)
r = kiln('copy', f'oci:{layout}:both', f'{host}/team/both:1')
point(r.code == 0 and value(r, 'Digest') == digest(index), 'copy: an index with all its platforms', r)
r = kiln('--store', store('arm'), 'pull', '--platform', 'linux/arm64', f'{host}/team/both:1')
point(r.code == 0 and value(r, 'Digest') == digest(index) and len(blobs_of(store('arm'))) == 4,
      'pull --platform fetches the index and one manifest with its blobs', r, blobs_of(store('arm')))
r = kiln('--store', store('arm'), 'fsck')
point(r.code == 0, 'fsck: a platform that was never fetched is no damage', r)
r = kiln('--store', store('arm'), 'pull', '--platform', 'linux/s390x', f'{host}/team/both:1')
point(r.code == 1 and 'linux/amd64, linux/arm64' in r.last, 'no such platform: those that are there are named', r)
r = kiln('--store', store('arm'), 'push', f'{host}/team/both:1', f'{host2}/new/both:1')
point(r.code == 1 and '--platform' in r.last, 'push of a partly fetched index says what to do', r)
r = kiln('--store', store('arm'), 'push', f'{host}/team/both:1', f'{host}/new/both:1')
r = kiln('--store', store('arm'), 'pull', '--platform', 'linux/amd64', f'{host}/team/both:1')
r = kiln('--store', store('arm'), 'push', f'{host}/team/both:1', f'{host2}/new/both:1')
point(r.code == 0, 'and works when the rest has come', r)

# ---- referrers: docker-registry has no API for them, so a tag holds the list ----
signature = json.dumps({
    'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.manifest.v1+json',
    'artifactType': 'application/x-signature',
    'config': {'mediaType': 'application/vnd.oci.empty.v1+json', 'digest': digest(b'{}'), 'size': 2},
    'layers': [{'mediaType': 'text/plain', 'digest': digest(b'signed'), 'size': 6}],
    'subject': {'mediaType': m['mediaType'], 'digest': m['digest'], 'size': m['size']}}).encode()
for data in (signature, b'{}', b'signed'):
    with open(f'{layout}/blobs/sha256/{digest(data)[7:]}', 'wb') as f:
        f.write(data)
with open(f'{layout}/index.json', 'w') as f:
    json.dump({'schemaVersion': 2, 'manifests': [{
        'mediaType': 'application/vnd.oci.image.manifest.v1+json', 'digest': digest(signature), 'size': len(signature),
        'annotations': {'org.opencontainers.image.ref.name': 'signature'}}]}, f)
r = kiln('copy', f'oci:{layout}:signature', f'{host}/team/one:signature')
r2 = kiln('copy', '--referrers', f'{host}/team/one@{pushed}', f'{host2}/signed/one:1')


def get(where):
    import urllib.request
    request = urllib.request.Request(f'http://{where}', headers={'Accept': 'application/vnd.oci.image.index.v1+json'})
    return json.load(urllib.request.urlopen(request, timeout=10))


listed = get(f'{host2}/v2/signed/one/manifests/{pushed.replace(":", "-")}')['manifests'] if r2.code == 0 else []
point(r.code == 0 and [d['digest'] for d in listed] == [digest(signature)] and
      listed[0].get('artifactType') == 'application/x-signature',
      'copy --referrers: signatures go along, listed by the fallback tag', r, r2, listed)

# ---- build ----
context = f'{scratch}/context'
os.makedirs(context)
with open(f'{context}/Dockerfile', 'w') as f:
    f.write(f'FROM {host}/team/one:1\nCOPY Dockerfile /d\n')
r = kiln('--store', store('build'), 'build', '-t', f'{host}/built/app:1', '--push', context)
point(r.code == 0, 'build pulls its base and pushes the result', r)
r = kiln('--store', store('built'), 'pull', f'{host}/built/app:1')
point(r.code == 0, 'which can be pulled', r)

# ---- mirrors, rewritten and blocked names ----
conf = f'{scratch}/own.conf'
with open(conf, 'w') as f:
    f.write(f'mirror gone.example {host}\nrewrite corp/ {host}/team/\nblocked bad.example\nrewrite hub {host}/team/one\n')
own = {'KILN_REGISTRIES': conf}
r = kiln('--store', store('m'), 'pull', 'gone.example/team/one:1', **own)
point(r.code == 0 and value(r, 'Digest') == pushed, 'a mirror is asked first', r)
r = kiln('--store', store('m'), 'pull', 'corp/one:1', **own)
r2 = kiln('--store', store('m'), 'pull', 'hub:1', **own)
point(r.code == 0 and r2.code == 0, 'short names are rewritten', r, r2)
r = kiln('--store', store('m'), 'pull', 'bad.example/x', **own)
point(r.code == 1 and 'blocked' in r.last, 'a blocked registry is not asked', r)
with open(conf, 'a') as f:
    f.write('mirrors x y\n')
r = kiln('--store', store('m'), 'pull', 'corp/one:1', **own)
point(r.code == 1 and 'own.conf:5: unknown word' in r.last, 'a slip in the configuration names its line', r)

# ---- htpasswd ----
SECRET = 'pass-WORD-471'
if shutil.which('htpasswd'):
    line = subprocess.run(['htpasswd', '-nbB', 'me', SECRET], capture_output=True, text=True).stdout
else:
    # bcrypt of SECRET by crypt(3), which docker-registry reads as well
    import warnings
    warnings.simplefilter('ignore')
    import crypt
    hashed = crypt.crypt(SECRET, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)) if hasattr(crypt, 'METHOD_BLOWFISH') and crypt.METHOD_BLOWFISH in crypt.methods else ''
    line = f'me:{hashed}\n'
with open(f'{scratch}/htpasswd', 'w') as f:
    f.write(line.replace('$2b$', '$2y$'))
host, directory = docker_registry(auth={'htpasswd': {'realm': 'r', 'path': f'{scratch}/htpasswd'}})
auth = f'{scratch}/auth/auth.json'
mine = {'REGISTRY_AUTH_FILE': auth}
r = kiln('push', 'one:1', f'{host}/team/one:1')
point(r.code == 1 and 'kiln login' in r.last, 'htpasswd: without credentials the way to log in is named', r)
r = kiln('login', '-u', 'me', '--password-stdin', host, stdin=b'wrong\n', **mine)
point(r.code == 1 and 'refuses' in r.last and not os.path.exists(auth), 'login with a wrong password keeps nothing', r)
r = kiln('login', '-u', 'me', '--password-stdin', host, stdin=SECRET.encode() + b'\n', **mine)
point(r.code == 0 and os.stat(auth).st_mode & 0o777 == 0o600 and SECRET not in r.out + r.err,
      'login keeps the credentials for their owner alone', r)
r = kiln('--debug', 'push', 'one:1', f'{host}/team/one:1', **mine)
encoded = base64.b64encode(f'me:{SECRET}'.encode()).decode()
point(r.code == 0 and SECRET not in r.err and encoded not in r.err, 'push with them', r)
with open(auth, 'w') as f:
    json.dump({'auths': {host: {'auth': base64.b64encode(b'me:no-SECRET').decode()}}}, f)
r = kiln('--store', store('pw'), 'pull', f'{host}/team/one:1', **mine)
point(r.code == 1 and 'denied for user me' in r.last and 'no-SECRET' not in r.err, 'bad credentials: who, not what', r)
# a credential helper
helper = f'{scratch}/bin/docker-credential-ours'
os.makedirs(f'{scratch}/bin')
with open(helper, 'w') as f:
    f.write('#!/bin/sh\nread server\ncase $1 in get) echo "{\\"ServerURL\\":\\"$server\\",\\"Username\\":\\"me\\",\\"Secret\\":\\"' + SECRET +
            '\\"}";; store) cat > ' + scratch + '/told;; erase) echo gone > ' + scratch + '/told;; esac\n')
os.chmod(helper, 0o755)
os.makedirs(f'{scratch}/docker')
with open(f'{scratch}/docker/config.json', 'w') as f:
    json.dump({'credHelpers': {host: 'ours'}, 'other': 1}, f)
helped = {'DOCKER_CONFIG': f'{scratch}/docker', 'PATH': f'{scratch}/bin:{os.environ["PATH"]}'}
r = kiln('--store', store('helped'), 'pull', f'{host}/team/one:1', **helped)
point(r.code == 0, 'a credential helper is asked', r)
r = kiln('login', '-u', 'me', '--password-stdin', host, stdin=SECRET.encode(), **helped)
point(r.code == 0 and SECRET not in open(f'{scratch}/docker/config.json').read(), 'login tells it, not the file', r)
r = kiln('logout', host, **helped)
point(r.code == 0 and open(f'{scratch}/told').read() == 'gone\n', 'and logout too', r)
r = kiln('login', '-u', 'me', '--password-stdin', host, stdin=SECRET.encode(), **mine)
r = kiln('logout', host, **mine)
point(r.code == 0 and host not in open(auth).read(), 'logout forgets', r)

# ---- TLS with a private authority ----
ca, key, cert = make_authority(f'{scratch}/tls')
host, directory = docker_registry(tls={'certificate': cert, 'key': key})
r = kiln('push', 'one:1', f'{host}/team/one:1')
point(r.code == 1 and f'certs.d/{host}/ca.crt' in r.last, 'TLS: an unknown authority is refused, the place for it named', r)
r = kiln('push', '--insecure', 'one:1', f'{host}/team/one:1')
point(r.code == 0, '--insecure takes it', r)
trust = f'{scratch}/home/.config/kiln/certs.d/{host}'
os.makedirs(trust)
shutil.copy(ca, trust)
r = kiln('--store', store('tls'), 'pull', f'{host}/team/one:1')
point(r.code == 0 and value(r, 'Digest') == pushed, 'certs.d makes it trusted', r)

# ---- tokens ----
authority = f'{scratch}/token'
make_authority(authority)
cert_der = openssl('x509', '-in', f'{authority}/ca.crt', '-outform', 'der')
grants = []


class TokenServer(http.server.BaseHTTPRequestHandler):
    life = 60

    def log_message(self, *_):
        pass

    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
        scopes = query.get('scope', [])
        known = self.headers.get('Authorization') == 'Basic ' + base64.b64encode(f'me:{SECRET}'.encode()).decode()
        grants.append((known, scopes))
        if self.headers.get('Authorization') and not known:
            self.send_response(401)
            self.send_header('Content-Length', '0')
            self.end_headers()
            return
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(':')
            allowed = [a for a in actions.split(',') if known or (a == 'pull' and name.startswith('public/'))]
            access.append({'type': kind, 'name': name, 'actions': allowed})
        now = int(time.time())
        head = {'typ': 'JWT', 'alg': 'ES256', 'x5c': [base64.b64encode(cert_der).decode()]}
        claims = {'iss': 'issuer', 'sub': 'me', 'aud': 'service', 'exp': now + self.life, 'nbf': now - 5,
                  'iat': now, 'jti': str(len(grants)), 'access': access}
        text = b64url(json.dumps(head).encode()) + '.' + b64url(json.dumps(claims).encode())
        der = openssl('dgst', '-sha256', '-sign', f'{authority}/ca.key', input=text.encode())
        # DER of two integers to the 64 bytes that JWS has.
        r_len = der[3]
        r_, s_ = der[4:4 + r_len], der[6 + r_len:]
        raw = b''.join(int.from_bytes(x, 'big').to_bytes(32, 'big') for x in (r_, s_))
        body = json.dumps({'token': text + '.' + b64url(raw), 'expires_in': self.life}).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)


tokens = http.server.ThreadingHTTPServer(('127.0.0.1', 0), TokenServer)
threading.Thread(target=tokens.serve_forever, daemon=True).start()
host, directory = docker_registry(auth={'token': {
    'realm': 'http://127.0.0.1:%d/token' % tokens.server_address[1], 'service': 'service', 'issuer': 'issuer',
    'rootcertbundle': f'{authority}/ca.crt'}})
r = kiln('push', 'one:1', f'{host}/public/one:1')
point(r.code == 1 and 'denied' in r.last, 'tokens: no push without credentials', r)
auth = f'{scratch}/token-auth.json'
mine = {'REGISTRY_AUTH_FILE': auth}
r = kiln('login', '-u', 'me', '--password-stdin', host, stdin=b'wrong', **mine)
point(r.code == 1 and 'refuses' in r.last, 'login with a wrong password', r)
r = kiln('login', '-u', 'me', '--password-stdin', host, stdin=SECRET.encode(), **mine)
point(r.code == 0, 'login', r)
grants.clear()
r = kiln('push', 'one:1', f'{host}/public/one:1', **mine)
point(r.code == 0 and grants and all(k for k, _ in grants), 'push with a token', r, grants)
point(len(grants) <= 2, 'one token serves all requests of a kind', grants)
r = kiln('--store', store('token'), 'pull', f'{host}/public/one:1')
point(r.code == 0 and value(r, 'Digest') == pushed, 'anonymous pull of what is public', r)
r = kiln('push', 'one:1', f'{host}/secret/one:1', **mine)
r = kiln('--store', store('token'), 'pull', f'{host}/secret/one:1')
point(r.code == 1 and ('denied' in r.last or 'kiln login' in r.last), 'and not of what is not', r)
TokenServer.life = 1
make_image('many:1', {'x': os.urandom(1 << 20)})
r = kiln('push', 'many:1', f'{host}/public/many:1', **mine)
point(r.code == 0, 'tokens that expire at once are renewed', r)
done()
