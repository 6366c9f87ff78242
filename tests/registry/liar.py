"""A registry that lies, in the way that the first component of a repository's name asks for."""
import base64, gzip, http.server, io, json, re, tarfile, threading, time
from registry_case import digest

OCI = 'application/vnd.oci.image.'
MANIFEST, INDEX = OCI + 'manifest.v1+json', OCI + 'index.v1+json'
CONFIG, LAYER = OCI + 'config.v1+json', OCI + 'layer.v1.tar+gzip'


def make_layer(size=300000):
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode='w') as tar:
        info = tarfile.TarInfo('file')
        info.size = size
        tar.addfile(info, io.BytesIO(bytes(i * i % 251 for i in range(size))))
    # Stored, not deflated: the size on the wire is what was asked for.
    return plain.getvalue(), gzip.compress(plain.getvalue(), 0, mtime=0)


PLAIN, BLOB = make_layer()
CONFIGURATION = json.dumps({'architecture': 'amd64', 'os': 'linux', 'config': {},
                            'rootfs': {'type': 'layers', 'diff_ids': [digest(PLAIN)]}}).encode()


def descriptor(kind, content, **more):
    return {'mediaType': kind, 'digest': digest(content), 'size': len(content), **more}


def manifest(**changes):
    m = {'schemaVersion': 2, 'mediaType': MANIFEST, 'config': descriptor(CONFIG, CONFIGURATION),
         'layers': [descriptor(LAYER, BLOB)]}
    m.update(changes)
    return json.dumps(m).encode()


GOOD = manifest()


class Liar(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address='127.0.0.1'):
        super().__init__((address, 0), Answer)
        self.log = []        # (method, path, headers)
        self.counts = {}
        self.uploads = {}    # id: bytearray
        self.stored = {}     # digest: bytes, of uploads
        self.cut_upload_after = None
        self.other = None    # authority of another server
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def host(self):
        return '%s:%d' % self.server_address

    def handle_error(self, *_):
        pass

    def asked(self, method, part, header=None):
        return [h.get(header) if header else p for m, p, h in self.log if m == method and part in p]


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_):
        pass

    def send(self, status, body=b'', kind='application/json', length=None, **headers):
        self.send_response(status)
        if kind:
            self.send_header('Content-Type', kind)
        for k, v in headers.items():
            self.send_header(k.replace('_', '-'), v)
        self.send_header('Content-Length', str(len(body) if length is None else length))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)

    def count(self, what):
        with self.server.lock:
            self.server.counts[what] = self.server.counts.get(what, 0) + 1
            return self.server.counts[what]

    def note(self):
        self.server.log.append((self.command, self.path, dict(self.headers)))

    def close_hard(self):
        self.close_connection = True
        self.connection.close()

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        if self.path.startswith('http://registry.test/'):  # as a proxy is asked
            self.path = self.path[len('http://registry.test'):]
            self.server.proxied = True
        self.note()
        if self.path == '/v2/':
            return self.send(200, b'{}')
        m = re.match(r'/v2/((?:[\w.-]+/)*[\w.-]+)/(manifests|blobs|tags|referrers)/(.*)', self.path)
        if not m:
            return self.send(404)
        name, what, rest = m.groups()
        if '/uploads/' in self.path:
            return self.upload_status(rest)
        lie = name.split('/')[0]
        handler = getattr(self, what + '_' + lie.replace('-', '_'), None)
        if handler:
            return handler(rest)
        getattr(self, what)(rest)

    # ---- the truth ----
    def manifests(self, rest, body=GOOD, kind=MANIFEST, **headers):
        self.send(200, body, kind, Docker_Content_Digest=digest(body), **headers)

    def blobs(self, rest):
        body = {digest(BLOB): BLOB, digest(CONFIGURATION): CONFIGURATION,
                **self.server.stored}.get(rest)
        if body is None:
            return self.send(404)
        wanted = self.headers.get('Range')
        if wanted:
            start = int(re.match(r'bytes=(\d+)-', wanted).group(1))
            return self.send(206, body[start:], 'application/octet-stream',
                             Content_Range=f'bytes {start}-{len(body) - 1}/{len(body)}')
        self.send(200, body, 'application/octet-stream')

    def tags(self, rest, tags=('1', '2')):
        self.send(200, json.dumps({'name': 'x', 'tags': list(tags)}).encode())

    def referrers(self, rest):
        self.send(404)

    # ---- blobs ----
    def is_layer(self, rest):
        return rest == digest(BLOB)

    def blobs_altered(self, rest):
        if not self.is_layer(rest):
            return self.blobs(rest)
        self.send(200, BLOB[:-1] + bytes([BLOB[-1] ^ 1]), None)

    def blobs_small(self, rest):
        if not self.is_layer(rest):
            return self.blobs(rest)
        self.send(200, BLOB[:-5], None)

    def blobs_endless(self, rest):
        if not self.is_layer(rest):
            return self.blobs(rest)
        self.send_response(200)
        self.send_header('Transfer-Encoding', 'chunked')
        self.end_headers()
        try:
            while True:
                self.wfile.write(b'10000\r\n' + bytes(65536) + b'\r\n')
        except OSError:
            self.close_connection = True

    def blobs_truncated(self, rest):
        if not self.is_layer(rest):
            return self.blobs(rest)
        self.send(200, BLOB[:1000], None, length=len(BLOB))
        self.close_hard()

    def blobs_cut(self, rest):
        if self.is_layer(rest) and self.count('cut') == 1:
            self.send(200, BLOB[:100000], None, length=len(BLOB))
            return self.close_hard()
        self.blobs(rest)

    def blobs_cut_no_range(self, rest):
        if not self.is_layer(rest):
            return self.blobs(rest)
        if self.count('cut-no-range') == 1:
            self.send(200, BLOB[:100000], None, length=len(BLOB))
            return self.close_hard()
        self.send(200, BLOB, None)

    def blobs_wrong_range(self, rest):
        if self.is_layer(rest) and self.count('wrong-range') == 1:
            self.send(200, BLOB[:100000], None, length=len(BLOB))
            return self.close_hard()
        if self.is_layer(rest):
            return self.send(206, BLOB[5:], None, Content_Range=f'bytes 5-{len(BLOB) - 1}/{len(BLOB)}')
        self.blobs(rest)

    def drip(self, body):
        self.send_response(200)
        self.send_header('Content-Type', MANIFEST)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        try:
            for byte in body:
                self.wfile.write(bytes([byte]))
                time.sleep(0.1)
        except OSError:
            self.close_connection = True

    def blobs_drip(self, rest):
        return self.drip(BLOB) if self.is_layer(rest) else self.blobs(rest)

    def manifests_drip_manifest(self, rest):
        self.drip(GOOD)

    def blobs_slow(self, rest):
        """Slow enough to be killed in the middle."""
        if not self.is_layer(rest):
            return self.blobs(rest)
        self.send_response(200)
        self.send_header('Content-Length', str(len(BLOB)))
        self.end_headers()
        try:
            for i in range(0, len(BLOB), 4000):
                self.wfile.write(BLOB[i:i + 4000])
                time.sleep(0.2)
        except OSError:
            self.close_connection = True

    def blobs_loop(self, rest):
        self.send(307, Location=self.path)

    def blobs_elsewhere(self, rest):
        self.send(307, Location=f'http://{self.server.other}/v2/good/x/blobs/{rest}')

    def blobs_file_scheme(self, rest):
        self.send(307, Location='file:///etc/passwd')

    def blobs_with_user(self, rest):
        self.send(307, Location=f'http://user:secret@{self.server.other}/v2/good/x/blobs/{rest}')

    def blobs_busy(self, rest):
        n = self.count('busy' + rest)
        if n == 1:
            return self.send(429, Retry_After='1')
        if n == 2:
            return self.send(503)
        self.blobs(rest)

    def manifests_later(self, rest):
        self.send(429, b'{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}',
                  Retry_After='3600')

    # ---- manifests ----
    def manifests_html(self, rest):
        self.send(200, b'<html><body>Welcome to the hotel</body></html>', 'text/html')

    def manifests_wrong_type(self, rest):
        self.manifests(rest, kind=INDEX)

    def manifests_ambiguous(self, rest):
        self.manifests(rest, manifest(manifests=[]))

    def manifests_wrong_header(self, rest):
        self.send(200, GOOD, MANIFEST, Docker_Content_Digest=digest(b'other'))

    def manifests_huge(self, rest):
        self.send_response(200)
        self.send_header('Content-Type', MANIFEST)
        self.send_header('Content-Length', str(100 << 20))
        self.end_headers()
        try:
            self.wfile.write(b'{"x":"')
            for _ in range(100):
                self.wfile.write(b'a' * (1 << 20))
        except OSError:
            self.close_connection = True

    def manifests_deep(self, rest):
        self.manifests(rest, b'{"a":' * 100000)

    def manifests_headers(self, rest):
        self.send_response(200)
        self.flush_headers()
        try:
            for i in range(100000):
                self.wfile.write(b'X-%d: %s\r\n' % (i, b'y' * 1000))
        except OSError:
            self.close_connection = True

    def manifests_small_config(self, rest):
        c = descriptor(CONFIG, CONFIGURATION)
        c['size'] -= 3
        self.manifests(rest, manifest(config=c))

    def manifests_huge_config(self, rest):
        c = descriptor(CONFIG, CONFIGURATION)
        c['size'] = 1 << 40
        self.manifests(rest, manifest(config=c))

    def manifests_traversal(self, rest):
        l = descriptor(LAYER, BLOB)
        l['digest'] = 'sha256:../../../../../../etc/passwd'
        self.manifests(rest, manifest(layers=[l]))

    def manifests_diff_ids(self, rest):
        self.manifests(rest, manifest(layers=[descriptor(LAYER, BLOB)] * 2))

    def manifests_schema_1(self, rest):
        self.manifests(rest, b'{"schemaVersion":1,"fsLayers":[]}',
                       'application/vnd.docker.distribution.manifest.v1+prettyjws')

    def manifests_nested(self, rest):
        body, kind = GOOD, MANIFEST
        bodies = {digest(body): body}
        for _ in range(8):
            body = json.dumps({'schemaVersion': 2, 'mediaType': INDEX, 'manifests': [
                descriptor(kind, body, platform={'os': 'linux', 'architecture': 'amd64'})]}).encode()
            kind = INDEX
            bodies[digest(body)] = body
        body = bodies.get(rest, body)
        self.manifests(rest, body, MANIFEST if body == GOOD else INDEX)

    def manifests_data(self, rest):
        self.manifests(rest, manifest(config=descriptor(
            CONFIG, CONFIGURATION, data=base64.b64encode(CONFIGURATION).decode())))

    def blobs_data(self, rest):
        return self.blobs(rest) if self.is_layer(rest) else self.send(404)

    def manifests_false_data(self, rest):
        self.manifests(rest, manifest(config=descriptor(
            CONFIG, CONFIGURATION, data=base64.b64encode(CONFIGURATION[:-1] + b' ').decode())))

    # ---- lists ----
    def tags_tricks(self, rest):
        self.tags(rest, ['ok', '../../../etc'])

    def tags_circle(self, rest):
        self.send(200, b'{"tags":["a"]}', Link=f'<{self.path}>; rel="next"')

    def tags_pages(self, rest):
        n = self.count('pages')
        more = {'Link': f'</v2/pages/x/tags/list?last={n}&n=1000>; rel="next"'} if n < 3 else {}
        self.send(200, json.dumps({'tags': [f't{n}']}).encode(), **more)

    # ---- uploads ----
    def read_body(self):
        return self.rfile.read(int(self.headers.get('Content-Length') or 0))

    def do_POST(self):
        self.note()
        self.read_body()
        name = str(self.count('upload'))
        self.server.uploads[name] = bytearray()
        self.send(202, Location=f'/v2/up/x/blobs/uploads/{name}?state=0', Range='0-0')

    def upload_status(self, rest):
        name = rest.split('/')[-1].split('?')[0]
        data = self.server.uploads.get(name)
        if data is None:
            return self.send(404)
        self.send(204, Location=f'/v2/up/x/blobs/uploads/{name}?state={len(data)}',
                  Range=f'0-{max(len(data) - 1, 0)}')

    def do_PATCH(self):
        self.note()
        name = self.path.split('/')[-1].split('?')[0]
        data = self.server.uploads[name]
        start = int(self.headers['Content-Range'].split('-')[0])
        if start != len(data):
            self.read_body()
            return self.send(416, Range=f'0-{len(data) - 1}')
        left = int(self.headers['Content-Length'])
        while left:
            piece = self.rfile.read(min(left, 1 << 20))
            left -= len(piece)
            limit = self.server.cut_upload_after
            if limit is not None and len(data) + len(piece) > limit:
                return self.close_hard()
            data += piece
        self.send(202, Location=f'/v2/up/x/blobs/uploads/{name}?state={len(data)}',
                  Range=f'0-{len(data) - 1}')

    def do_PUT(self):
        self.note()
        body = self.read_body()
        if '/manifests/' in self.path:
            return self.send(201, Docker_Content_Digest=digest(body))
        name = self.path.split('/')[-1].split('?')[0]
        data = bytes(self.server.uploads.pop(name) + body)
        wanted = re.search(r'digest=(sha256%3A\w+)', self.path).group(1).replace('%3A', ':')
        if digest(data) != wanted:
            return self.send(400, b'{"errors":[{"code":"DIGEST_INVALID","message":"no"}]}')
        self.server.stored[wanted] = data
        self.send(201)
