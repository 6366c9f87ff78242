#!/usr/bin/env python3
"""The cache: the scenarios of a tutorial step by step, --explain, --no-cache, time stamps, stages
side by side, interruption and resumption, two builds at once."""
import glob, os, signal, subprocess, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from build_case import *

import_base()
NODE = ('FROM base:1\nWORKDIR /app\nCOPY package*.json ./\nRUN echo install >> /log && cp package.json /installed\n'
        'COPY . .\nRUN cat src/index.js > /built\nEXPOSE 3000\nCMD ["sh", "src/index.js"]\n')
FILES = {'package.json': '{"v": 1}\n', 'package-lock.json': '{}\n', 'src/index.js': 'echo 1\n', 'README': 'r\n',
         '.dockerignore': 'ignored\n', 'ignored/x': '1'}
d = context('node', NODE, FILES)
INSTALL, COPY, BUILD = 'RUN echo install >> /log && cp package.json /installed', 'COPY . .', 'RUN cat src/index.js > /built'
ALL = ['WORKDIR /app', 'COPY package*.json ./', INSTALL, COPY, BUILD]


def cached(r):
    s = r.steps()
    return [x for x in ALL if s.get(x) == 'CACHED']


r1 = build(d, '-t', 'node:1')
equal((r1.rc, cached(r1)), (0, []), 'the first build runs every step', r1.err)
r2 = build(d)
equal((cached(r2), r2.id), (ALL, r1.id), 'nothing changed: all CACHED, the same image', r2.err)
began = time.time(); build(d); took = time.time() - began
check(True, 'a cached build takes %.0f ms' % (took * 1000))
write(d + '/src/index.js', 'echo 2\n')
r = build(d, '--explain')
equal(cached(r), ALL[:3], 'src changed: everything up to the install is CACHED', r.err)
check('not cached: sources changed' in r.err and 'not cached: root changed' in r.err, '--explain: the sources of COPY changed', r.err)
write(d + '/package.json', '{"v": 2}\n')
r = build(d, '--explain')
equal(cached(r), ALL[:1], 'package.json changed: the install runs again', r.err)
equal(tree(r.id)['installed'].text, '{"v": 2}\n', 'with the new file')
os.utime(d + '/src/index.js', (1, 1)); os.utime(d + '/package.json')
equal(cached(build(d)), ALL, 'touched files: all CACHED')
write(d + '/ignored/x', '2')
equal(cached(build(d)), ALL, 'an ignored file changed: all CACHED')
os.chmod(d + '/src/index.js', 0o755)
equal(cached(build(d)), ALL[:3], 'a mode changed')
os.chmod(d + '/src/index.js', 0o644)
write(d + '/package.json', '{"v": 1}\n'); write(d + '/src/index.js', 'echo 1\n')
equal(build(d).id, r1.id, 'back to the first state: the first image again')
other = T + '/elsewhere'
shutil.copytree(d, other)
r = build(other)
equal((cached(r), r.id), (ALL, r1.id), 'another directory: all CACHED')
write(d + '/Dockerfile', NODE.replace('>> /log', '>> /log2'))
r = build(d, '--explain')
check('not cached: command changed' in r.err and '/log' in r.err, '--explain: the command changed', r.err)
r = build(context('fresh', 'FROM base:1\nRUN echo never seen\n'), '--explain')
check('never built here' in r.err, '--explain: a step that was never built', r.err)
write(d + '/Dockerfile', NODE)
r = build(d, '--no-cache', '--explain')
check(cached(r) in ([], ['WORKDIR /app']) and 'the cache is off' in r.err, '--no-cache', r.err)
d = context('args', 'FROM base:1\nARG A=1\nRUN echo one\nARG B\nRUN echo two\nENV E=1\nRUN echo three\n')
build(d)
s = build(d, '--build-arg', 'B=x', '--explain')
equal(s.steps().get('RUN echo one'), 'CACHED', 'an ARG declared later does not matter')
equal(s.steps().get('RUN echo two'), 'DONE', 'an ARG declared before does', s.err)
check('environment' in s.err and 'B=x' in s.err, '--explain: the environment changed', s.err)
s = build(d, '--build-arg', 'http_proxy=http://x')
equal([v for k, v in s.steps().items() if k.startswith('RUN')], ['CACHED'] * 3, 'a proxy is in no key', s.err)
s = build(d, '--label', 'a=b')
equal([v for k, v in s.steps().items() if k.startswith('RUN')], ['CACHED'] * 3, 'nor a label')

# ---- stages ----
M = ('FROM base:1 AS build\nCOPY in /in\nRUN cp /in /out; date +%N > /when\nFROM base:1 AS unused\nRUN false\n'
     'FROM base:1\nCOPY --from=build /out /out\nRUN cat /out\n')
d = context('multi', M, {'in': 'x'})
r1 = build(d)
check(r1.rc == 0 and 'RUN false' not in r1.err, 'a stage that nobody needs is not built', r1.err)
check(build(d, '--target', 'unused').rc == 1, '--target')
check(build(d, '--target', 'nosuch').rc == 1, '--target of an unknown stage')
equal('in' in tree(r1.id) or 'when' in tree(r1.id), False, 'the final image has nothing of the builder but what was copied')
r = build(d, '--no-cache-filter', 'BUILD')  # names of stages have no case
equal(r.steps()['RUN cp /in /out; date +%N > /when'], 'DONE', '--no-cache-filter takes a name in any case', r.err)
r = build(d, '--no-cache-filter', 'build')
s = r.steps()
equal((s['RUN cp /in /out; date +%N > /when'], s['COPY --from=build /out /out'], s['RUN cat /out'], r.id), ('DONE', 'CACHED', 'CACHED', r1.id),
      '--no-cache-filter: the builder ran again, gave the same, the final stage is CACHED', r.err)
P = 'FROM base:1 AS a\nRUN sleep 1.5 # %s\nFROM base:1 AS b\nRUN sleep 1.5 # %s\nFROM base:1\nCOPY --from=a /etc/group /a\nCOPY --from=b /etc/group /b\n'
began = time.time(); r = build(context('par', P % (1, 1))); took = time.time() - began
check(r.rc == 0 and took < 2.9, 'independent stages run side by side (%.1f s)' % took, r.err)
began = time.time(); r = build(context('par', P % (2, 2)), '--jobs', '1'); took = time.time() - began
check(r.rc == 0 and took >= 3, '--jobs 1: one after the other (%.1f s)' % took)
r = build(context('failpar', 'FROM base:1 AS a\nRUN sleep 30 # failpar\nFROM base:1 AS b\nRUN sleep 0.3; exit 9\nFROM base:1\nCOPY --from=a /x /x\nCOPY --from=b /x /y\n'), timeout=20)
check(r.rc == 9 and 'exit code 9' in r.err and 'canceled' not in r.err.split('kiln: build:')[-1], 'one stage fails: the others are stopped, its error is shown', r.err)
# The owner of a parent that --parents carries.
d = context('parents', 'FROM base:1 AS s\nARG OWNER=5\nRUN mkdir -p /p/q && echo x > /p/q/f && chown $OWNER:$OWNER /p\nFROM base:1\nCOPY --parents --from=s /p/q/f /got/\n')
a, b = build(d), build(d, '--build-arg', 'OWNER=6')
equal([new_files(r.id)['got/p'].owner if r.rc == 0 else r.err for r in (a, b)], ['5:5', '6:6'], 'COPY --parents: the owner of a parent is part of the key')

# xattrs and metadata in the content key of COPY --from
d = context('meta', 'FROM base:1 AS s\nRUN echo x > /f\nRUN chmod 600 /f\nFROM base:1\nCOPY --from=s /f /f\n')
a = build(d)
write(d + '/Dockerfile', 'FROM base:1 AS s\nRUN echo x > /f\nRUN chmod 640 /f\nFROM base:1\nCOPY --from=s /f /f\n')
b = build(d)
equal(tree(b.id)['f'].mode, 0o640, 'COPY --from: a changed mode is seen')

# ---- time ----
D = ('FROM base:1\nCOPY a /w/a\nRUN echo x > /made && mkdir -p /d/e && touch -d "2001-01-01 00:00:00" /old && echo "${SOURCE_DATE_EPOCH-unset}"\n'
     'WORKDIR /wd\nADD t.tar /t/\nENV X=1\nRUN ls -lR /made /d > /ls\n')
def dated(name, umask=0o22):
    before = os.umask(umask)
    d = context(name, D, {'a': 'A'})
    os.chmod(d + '/a', 0o644)
    with tarfile.open(d + '/t.tar', 'w') as t:
        t.add(d + '/a', 'in/a')
    os.utime(d + '/a', (1111111111, 1111111111) if umask == 0o22 else None)
    os.umask(before)
    os.chmod(d + '/t.tar', 0o644)
    return d
d1 = dated('time1')
shutil.copytree(d1, T + '/contexts/time2'); d2 = T + '/contexts/time2'
for p in ('a', 't.tar'):
    os.utime(d2 + '/' + p)
E = '1700000000'
r1 = build(d1, env={'SOURCE_DATE_EPOCH': E})
check(r1.rc == 0 and 'unset' in r1.lines(), 'RUN does not see SOURCE_DATE_EPOCH unless it is declared', r1.err)
n = new_files(r1.id)
equal({p: n[p].mtime for p in ('w', 'w/a', 'made', 'd/e', 'old', 'wd', 't/in/a', 'ls')},
      {'w': int(E), 'w/a': int(E), 'made': int(E), 'd/e': int(E), 'old': 978307200, 'wd': int(E), 't/in/a': int(E), 'ls': int(E)},
      'times of COPY, RUN, WORKDIR and ADD')
c = config_of(r1.id)
equal((c['created'], {h['created'] for h in c['history'][-7:] if 'created_by' in h and 'import' not in h['created_by']}), ('2023-11-14T22:13:20Z', {'2023-11-14T22:13:20Z'}), 'created and history')


def elsewhere(name, *options, where=d2, umask=0o22, **env):
    """The same in a fresh store."""
    store = T + '/store-' + name
    import_image = subprocess.run([KILN, 'save', '--store', STORE, '-o', T + '/base.tar', 'base:1'], capture_output=True, text=True)
    subprocess.run([KILN, 'load', '--store', store, '-i', T + '/base.tar'], capture_output=True)
    before = os.umask(umask)
    r = build(where, *options, env=dict({'KILN_STORE': store}, **env))
    os.umask(before)
    return r, store


time.sleep(1.1)
r, store = elsewhere('t2', '--timestamp', E, '--jobs', '1', umask=0o77)
equal((r.id, manifest_of(r.id, store)['layers'] if r.rc == 0 else r.err), (r1.id, manifest_of(r1.id)['layers']),
      'another second, directory, umask, --jobs, --timestamp: the same digests')
r, store = elsewhere('t3', '--build-arg', 'SOURCE_DATE_EPOCH=' + E, '--snapshotter', 'copy')
equal(r.id, r1.id, 'the copying snapshotter gives the same', r.err)
# A copy of many files that a RUN follows is not unpacked where its layer can be mounted as it lies
# (Linux 6.12); the copying snapshotter always unpacks. What a command sees and changes is the same.
many = {'m/f%d' % i: 'text %d' % i for i in range(400)}
many.update({'m/deep/er/' + 'n' * 200: 'long', 'm/keep/k': 'k', 'm/gone/g': 'g', 'm/link': ('l', 'f1'), 'm/empty': None})
dm = context('many', 'FROM base:1\nCOPY pre /m/keep/\nCOPY --chown=7:8 m /m\n'
             'RUN chmod 600 /m/f1 && rm -r /m/gone /m/f2 && mv /m/deep /m/moved && echo new > /m/keep/n && ln /m/f3 /m/f3too && echo more >> /m/hard1\n'
             "RUN find /m | sort | while read -r f; do stat -c '%n %F %a %u:%g %Y' \"$f\"; done > /seen; find /m -type f | sort | xargs cat | md5sum >> /seen; cat /m/keep/* /m/link >> /seen\n"
             'RUN rm -r /m/moved && touch /m/f9\n', many)
write(dm + '/pre', 'from below')
os.link(dm + '/m/f5', dm + '/m/hard1'); os.link(dm + '/m/f5', dm + '/m/hard2')
os.chmod(dm + '/m/f7', 0o4711); os.mkfifo(dm + '/m/fifo')
r, store = elsewhere('many', '--timestamp', E, '-t', 'many:1', where=dm)
images = glob.glob(store + '/kiln/snapshots/s/*.i')
copied, copy_store = elsewhere('many-copy', '--timestamp', E, '--snapshotter', 'copy', where=dm)
equal((r.id, manifest_of(r.id, store)['layers'] if r.rc == 0 else r.err), (copied.id, manifest_of(copied.id, copy_store)['layers'] if copied.rc == 0 else copied.err),
      'commands on a layer of many files: the same layers with either snapshotter')
if tuple(map(int, os.uname().release.split('-')[0].split('.')[:2])) >= (6, 12) and 'erofs' in open('/proc/filesystems').read():
    equal(len(images), 1, 'and it was mounted as it lies')
    write(dm + '/Dockerfile', open(dm + '/Dockerfile').read() + 'RUN md5sum < /seen\n')
    again = build(dm, '--timestamp', E, env={'KILN_STORE': store})
    equal(list(again.steps().values()).count('CACHED'), 5, 'another process goes on from it', again.err)
    ran = kiln('run', '--rm', '--runtime', RUNTIME, 'many:1', 'sh', '-c', 'cat /m/f8; ls /m | wc -l', env={'KILN_STORE': store})
    equal(ran.out, 'text 8406\n', 'a container has its files', ran.err)
    equal([m for m in open('/proc/self/mountinfo') if store in m], [], 'and nothing stays mounted')
    kiln('prune', '--all', env={'KILN_STORE': store})
    equal(kiln('fsck', env={'KILN_STORE': store}).rc, 0, 'fsck has nothing to say')
else:
    skip('and it was mounted as it lies', 'EROFS of files (Linux 6.12)')
r = build(d1, env={'SOURCE_DATE_EPOCH': '1700000001'})
equal((not r.lines(), r.id != r1.id), (True, True), 'epoch + 1: no command runs, another digest', r.err)
n = new_files(r.id)
equal({p: n[p].mtime for p in ('w', 'w/a', 'made', 'old', 'wd', 't/in/a')}, dict.fromkeys(('w', 'w/a', 'made', 'wd', 't/in/a'), 1700000001) | {'old': 978307200}, 'epoch + 1: its times')
r4, store = elsewhere('t4', where=d1, SOURCE_DATE_EPOCH='1700000001')
n4 = tree(r4.id, store) if r4.rc == 0 else {}
equal({p: n4[p].mtime for p in n4 if p != 'ls'}, {p: x.mtime for p, x in tree(r.id).items() if p != 'ls'}, 'epoch + 1 re-stamped is epoch + 1 built', r4.err)
place = lambda digest: STORE + '/blobs/' + digest.replace(':', '/')
inodes = lambda id: [os.stat(place(l['digest'])).st_ino for l in manifest_of(id)['layers']]
layer_files = lambda id, n: tree(None, layers=[manifest_of(id)['layers'][n]])
packed = inodes(r.id)
r = build(d1, env={'SOURCE_DATE_EPOCH': '1700000001'})
equal(inodes(r.id) if r.rc == 0 else r.err, packed, 'the re-stamped layers are remembered')
# A base that is newer than the epoch: its directories keep their times, also where a layer lists
# them for what changed in them.
newer = T + '/newer'
subprocess.run(['cp', '-a', base_root(), newer], check=True)
for p in ('n/same/f', 'n/more/g'):
    write(newer + '/' + p, 'text')
for p in ('n/same/f', 'n/more/g', 'n/same', 'n/more', 'n'):
    os.utime(newer + '/' + p, (1900000000, 1900000000))
import_base('newer:1', newer)
dn = context('newer', 'FROM newer:1\nRUN echo x >> /n/same/f && echo y > /n/more/h\nRUN stat -c "%n %Y" /n /n/* /n/*/* > /seen\n')
r = build(dn, '--timestamp', E)
first = layer_files(r.id, -2) if r.rc == 0 else {}
equal({p: first[p].mtime for p in first}, {'n': 1900000000, 'n/same': 1900000000, 'n/same/f': int(E), 'n/more': int(E), 'n/more/h': int(E)},
      'directories of the base keep their times', r.err)
seen = tree(r.id)['seen'].text if r.rc == 0 else ''
shutil.rmtree(STORE + '/kiln/snapshots')
write(dn + '/Dockerfile', open(dn + '/Dockerfile').read() + 'RUN stat -c "%n %Y" /n /n/* /n/*/* > /again\n')
r = build(dn, '--timestamp', E)
equal(tree(r.id)['again'].text if r.rc == 0 else r.err, seen, 'and a build that goes on from the layer sees the same')
build(dn, '--no-cache')
was = build(dn)
r = build(dn, '--timestamp', E)
check(r.rc == 0 and not r.lines(), 'the same of layers that were made without an epoch', r.err)
r, first = (r, layer_files(r.id, -3)) if r.rc == 0 else (r, {})
equal({p: first[p].mtime for p in first}, {'n': 1900000000, 'n/same': 1900000000, 'n/same/f': int(E), 'n/more': int(E), 'n/more/h': int(E)},
      're-stamped: directories of the base keep their times')

# ---- another version of the compressor ----
dz = context('compressor', 'FROM base:1\nRUN seq 1000 > /numbers\n')
r = build(dz)
ours = manifest_of(r.id)['layers'][-1]
other = gzip.compress(gzip.decompress(blob(ours['digest'])), 9, mtime=0)
other_digest = 'sha256:' + hashlib.sha256(other).hexdigest()
write(place(other_digest), other)
for path in glob.glob(STORE + '/kiln/cache/*'):
    text = open(path).read()
    if ours['digest'] in text:
        record = json.loads(text.splitlines()[0])
        record['layers'][0]['blob'].update(digest=other_digest, size=len(other))
        patch = json.loads(record['patch'])
        patch['compression'] = 'gzip of other days'
        record['patch'] = json.dumps(patch)
        line = json.dumps(record)
        os.unlink(path)
        write(path, line + '\nsha256:' + hashlib.sha256(line.encode()).hexdigest() + '\n')
os.unlink(place(ours['digest']))
r = build(dz)
check(r.rc == 0 and r.steps().get('RUN seq 1000 > /numbers') == 'CACHED' and manifest_of(r.id)['layers'][-1] == ours,
      'a layer that another compressor made is made anew: the same digest as without the cache', r.err)

dd = context('declared', 'FROM base:1\nARG SOURCE_DATE_EPOCH\nRUN echo "[$SOURCE_DATE_EPOCH]"\n')
equal(build(dd, '--build-arg', 'SOURCE_DATE_EPOCH=5').lines(), ['[5]'], 'a RUN sees it when declared')
equal(build(dd, '--build-arg', 'SOURCE_DATE_EPOCH=6').lines(), ['[6]'], 'and runs again when it changes')
equal((build(dd, env={'SOURCE_DATE_EPOCH': '7'}).lines(), build(dd, env={'SOURCE_DATE_EPOCH': '8'}).lines()), (['[7]'], ['[8]']), 'by environment, too')
equal(build(dd, '--timestamp', '9').lines(), ['[9]'], 'and by --timestamp')
check(build(dd, '--timestamp', '-3').rc != 0, '--timestamp -3 is refused')

# ---- interruption ----
def alive(word):
    out = []
    for pid in os.listdir('/proc'):
        if pid.isdigit():
            try:
                c = open('/proc/%s/cmdline' % pid, 'rb').read()
            except OSError:
                continue
            if word.encode() in c and b'build-cache' not in c:
                out.append((pid, c[:80]))
    return out


def mounts():
    return [l for l in open('/proc/self/mountinfo') if STORE in l]


for sig, name in ((signal.SIGINT, 'Ctrl-C'), (signal.SIGTERM, 'TERM')):
    d = context('long', 'FROM base:1\nRUN trap "" INT TERM; sleep 33.%d\n' % sig)
    p = subprocess.Popen([KILN, 'build', '--store', STORE, '--progress', 'plain', '--runtime', RUNTIME, d], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    until = time.time() + 20
    while not alive('sleep\00033.%d' % sig) and time.time() < until:
        time.sleep(0.02)
    began = time.time()
    p.send_signal(sig)
    try:
        _, err = p.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        p.kill(); err = 'no end'
    equal((p.returncode, alive('sleep\00033.%d' % sig), mounts(), os.listdir(STORE + '/kiln/run')), (130, [], [], []), name + ' leaves nothing running, mounted or lying about (%.1f s)' % (time.time() - began), err)
# At once: the runtime may not have made the container yet.
for delay in (0.0, 0.03, 0.06, 0.09):
    d = context('early', 'FROM base:1\nRUN sleep 34.5 # %s\n' % delay)
    p = subprocess.Popen([KILN, 'build', '--store', STORE, '--progress', 'plain', '--runtime', RUNTIME, d], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    line = ''
    while 'RUN sleep' not in line:
        line = p.stderr.readline()
        if not line:
            break
    time.sleep(delay)
    p.send_signal(signal.SIGINT)
    try:
        p.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        p.kill()
    equal((p.returncode, alive('sleep\00034.5')), (130, []), 'interrupted %d ms after the start of a step' % (delay * 1000))
N = 12
d = context('many', 'FROM base:1\n' + ''.join('RUN echo %d > /f%d\n' % (i, i) for i in range(N)) + 'RUN sleep 0.5; echo end > /end\n')
p = subprocess.Popen([KILN, 'build', '--store', STORE, '--progress', 'plain', '--runtime', RUNTIME, d], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
finished = 0
for line in p.stderr:
    if ' DONE ' in line:
        finished += 1
        if finished == 7:  # FROM and six steps
            p.kill()
            break
rest = p.stderr.read()
p.wait()
r = build(d)
s = [v for k, v in r.steps().items() if k.startswith('RUN')]
finished += rest.count(' DONE ')
check(r.rc == 0 and s.count('CACHED') >= finished - 1 and s[:s.count('CACHED')] == ['CACHED'] * s.count('CACHED') and s.count('DONE') == N + 1 - s.count('CACHED'),
      'kill -9 after %d steps: the resumed build runs exactly the rest (%d)' % (finished - 1, s.count('DONE')), r.err)
equal([tree(r.id)['f%d' % i].text for i in range(N)], ['%d\n' % i for i in range(N)], 'and its image is whole')
equal(kiln('fsck').rc if 'fsck' in kiln('--help').out else 0, 0, 'the store is sound')

# ---- two at once ----
d1 = context('at1', 'FROM base:1\nRUN sleep 0.2; echo same > /same\nRUN echo 1 > /one\n')
d2 = context('at2', 'FROM base:1\nRUN sleep 0.2; echo same > /same\nRUN echo 2 > /two\n')
ps = [subprocess.Popen([KILN, 'build', '--store', STORE, '--runtime', RUNTIME, '-q', '-t', 'at:%d' % i, x], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
      for i, x in enumerate([d1, d2] * 4)]
outs = [p.communicate(timeout=60) for p in ps]
equal([p.returncode for p in ps], [0] * 8, 'eight builds at once on one store', *[o[1] for o in outs])
names = kiln('images').out
check(all('%d ' % i in names for i in range(8)) and names.count('at ') == 8, 'all of their names are there', names)
trees = [tree(o[0].strip()) for o in outs]
check(all(t['same'].text == 'same\n' and (('one' in t) == (i % 2 == 0)) for i, t in enumerate(trees)), 'and each image is right')

# ---- trash ----
trash = [STORE + '/kiln/' + d + 'trash' for d in ('', 'snapshots/', 'snapshot-copies/')]
for d in trash:
    for i in range(3):
        write(d + '/%d/a/b/f' % i, 'x')
    os.chmod(d + '/0/a', 0)
    write(d + '/file', 'x')
made = {'0', '1', '2', 'file'}
d = context('emptied', 'FROM base:1\nRUN sleep 1\n')
r = build(d, '--no-cache')
check(r.rc == 0 and not [n for t in trash for n in made & set(os.listdir(t))], 'a build removes what was in trash when it began', r.err)
many = STORE + '/kiln/trash/many'
for i in range(40):
    for j in range(100):
        write(many + '/%d/%d' % (i, j))
both = [subprocess.Popen([KILN, 'build', '--no-cache', d], env=dict(os.environ, KILN_STORE=STORE), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)]
said = [p.communicate()[1] for p in both]
check([p.returncode for p in both] == [0, 0], 'two builds at once do not mind each other', said)

# ---- two kinds of snapshots ----
kiln('tag', build(context('below', 'FROM base:1\nRUN echo 1 > /one\n')).id, 'layers:2')
d = context('kinds', 'FROM layers:2\nRUN cat /one > /three\n')
r = build(d, '--no-cache')
r2 = build(d, '--no-cache', '--snapshotter', 'copy')
check(r.rc == 0 and r2.rc == 0 and tree(r2.id)['three'].text == '1\n',
      'whole trees and what overlay stacks are not taken for each other', r.err, r2.err)
r = kiln('prune', '--all')
left = [k for d in ('snapshots', 'snapshot-copies') for k in os.listdir(STORE + '/kiln/' + d + '/k')]
check(r.rc == 0 and left == [], 'prune collects both', r.err, left)
done()
