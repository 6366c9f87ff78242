#!/usr/bin/env python3
# slow: it waits for what drips
"""kiln against a registry that lies: a clear error within bounds, and nothing half-stored."""
import os, resource, signal, subprocess, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from registry_case import *
from liar import *

liar, other = Liar(), Liar()
liar.other = other.host


def pull(lie, name=None, **kw):
    where = store(name or lie)
    return kiln('--store', where, 'pull', '--platform', 'linux/amd64', f'{liar.host}/{lie}/x:1', **kw), where


def refused(lie, *needed, within=20, may_keep=1):
    r, where = pull(lie)
    layer = digest(BLOB)[7:]
    left = blobs_of(where)
    names = kiln('--store', where, 'images', '-q').out.strip()
    fsck = kiln('--store', where, 'fsck')
    good = (r.code == 1 and all(n in r.last for n in needed) and r.seconds < within and not names and
            len(left) <= may_keep and fsck.code == 0 and 'Traceback' not in r.err)
    point(good, f'{lie}: refused, nothing half-stored', r, f'expected {needed}', f'left: {left}',
          f'names: {names}', fsck)


def taken(lie, name):
    r, where = pull(lie)
    point(r.code == 0 and digest(BLOB)[7:] in blobs_of(where) and
          kiln('--store', where, 'fsck').code == 0, name, r)
    return r


taken('good', 'the truth is taken')
refused('altered', 'digest')
refused('small', 'wrong size')
refused('endless', 'longer than')
refused('truncated', 'bytes')
refused('drip', 'too slow', within=30)
refused('drip-manifest', 'too slow', within=30)
refused('loop', 'redirects without end')
refused('file-scheme', 'no http(s) URL')
refused('with-user', 'user or password')
refused('wrong-range', 'asked from byte 100000')
refused('later', '429', 'slow down', within=5)
refused('html', 'web page')
refused('wrong-type', 'wrong media type')
refused('ambiguous', 'as a manifest and as an index')
refused('wrong-header', 'the registry says')
refused('huge', '4194304 bytes', within=5)
refused('deep', '', within=5)
refused('headers', 'bytes that are taken', within=5)
refused('small-config', 'size')
refused('huge-config', 'config of', within=5)
refused('traversal', 'digest')
refused('diff-ids', 'diff ids', may_keep=4)
refused('schema-1', 'schema 1')
refused('nested', 'nested too deeply')
refused('false-data', 'digest')

taken('data', 'the data field of a descriptor stands for the blob')
taken('busy', '429 with Retry-After and 503 are waited out')
taken('cut', 'a cut blob is resumed')
ranges = [h for h in liar.asked('GET', '/v2/cut/', 'Range') if h]
point(len(ranges) == 1 and 0 < int(ranges[0][6:-1]) <= 100000, 'and by range', ranges)
taken('cut-no-range', 'a cut blob of a registry without ranges is resumed')

r = kiln('--store', store('pin'), 'pull', f'{liar.host}/good/x@sha256:' + 'a' * 64)
point(r.code == 1 and 'another digest' in r.last, 'a pinned digest is compared', r)
r = kiln('--store', store('tricks'), 'pull', '-a', f'{liar.host}/tricks/x')
point(r.code == 1 and 'is no tag' in r.last, 'a tag that is a path is refused', r)
r = kiln('--store', store('circle'), 'pull', '-a', f'{liar.host}/circle/x')
point(r.code == 1 and 'circle' in r.last and r.seconds < 10, 'pages in a circle', r)
r = kiln('--store', store('pages'), 'pull', '--platform', 'linux/amd64', '-a', f'{liar.host}/pages/x')
got = kiln('--store', store('pages'), 'images').out
point(r.code == 0 and all(t in got for t in ('t1', 't2', 't3')), 'all pages of tags', r, got)

# Credentials go to their host alone.
authfile = f'{scratch}/auth.json'
with open(authfile, 'w') as f:
    json.dump({'auths': {liar.host: {'auth': base64.b64encode(b'me:SECRET-93').decode()}}}, f)
other.log.clear()
r, where = pull('elsewhere')
point(r.code == 0 and other.log and not any('Authorization' in h for _, _, h in other.log),
      'a redirect to another host takes no credentials along', r, other.log)

# A proxy
conf = f'{scratch}/proxy.conf'
with open(conf, 'w') as f:
    f.write('mirror gone.example http://registry.test\nblocked docker.io\n')
other.proxied = False
r = kiln('--store', store('proxy'), 'pull', '--platform', 'linux/amd64', 'gone.example/good/x:1',
         KILN_REGISTRIES=conf, HTTP_PROXY=f'http://{other.host}')
point(r.code == 0 and other.proxied, 'HTTP_PROXY is asked', r)
r = kiln('--store', store('no-proxy'), 'pull', '--platform', 'linux/amd64', f'{liar.host}/good/x:1',
         HTTP_PROXY='http://127.0.0.1:1', http_proxy='http://127.0.0.1:1')
point(r.code == 0, 'this machine is never reached through one', r)

# Memory stays flat, whatever is announced.
before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
point(before < 300 << 10, 'no kiln used more than 300 MB', f'{before} KB')

# kill -9 in the middle
where = store('killed')
p = subprocess.Popen([KILN, '--store', where, 'pull', '--platform', 'linux/amd64', f'{liar.host}/slow/x:1'],
                     env=environment(), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
time.sleep(2)
p.send_signal(signal.SIGKILL)
p.wait()
half = os.listdir(f'{where}/kiln/ingest')
fsck = kiln('--store', where, 'fsck')
point(half and fsck.code == 0, 'kill -9 during a pull: fsck finds the store clean', half, fsck)
r = kiln('--store', where, 'fsck', '--repair')
point(r.code == 0 and not os.listdir(f'{where}/kiln/ingest'), 'and --repair removes the half blob', r)

# Ctrl-C
p = subprocess.Popen([KILN, '--store', where, 'pull', '--platform', 'linux/amd64', f'{liar.host}/slow/x:1'],
                     env=environment(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
time.sleep(2)
p.send_signal(signal.SIGINT)
_, err = p.communicate(timeout=10)
point(p.returncode != 0 and b'canceled' in err and not os.listdir(f'{where}/kiln/ingest'),
      'Ctrl-C leaves nothing half-written', err)

# A large blob goes in chunks, and an upload that was cut goes on where it ended.
make_image(f'{liar.host}/up/x:1', {'zeros': bytes(200 << 20)}, options=['--compression', 'none'])
liar.cut_upload_after = 100 << 20
r = kiln('push', f'{liar.host}/up/x:1')
point(r.code == 1, 'a push that is cut for good fails', r)
records = os.listdir(f'{scratch}/store/kiln/uploads')
modes = [os.stat(f'{scratch}/store/kiln/uploads/{n}').st_mode & 0o777 for n in records]
point(len(records) == 1 and modes == [0o600], 'and remembers how far it came, for its owner alone', modes)
liar.cut_upload_after = None
liar.log.clear()
r = kiln('push', f'{liar.host}/up/x:1')
starts = [int(h.split('-')[0]) for h in liar.asked('PATCH', '/up/', 'Content-Range')]
point(r.code == 0 and starts and min(starts) >= 64 << 20, 'run again it sends only the rest', r, starts)
point(not os.listdir(f'{scratch}/store/kiln/uploads'), 'and forgets what it remembered')
done()
