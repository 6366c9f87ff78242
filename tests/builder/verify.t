#!/usr/bin/env python3
# slow
"""kiln verify: the same input built again, without cache, and compared with what is stored."""
import os, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from build_case import *

import_base()


def verify(*words, **more):
    return kiln('verify', '--progress', 'plain', '--runtime', RUNTIME, *words, **more)


EPOCH = {'SOURCE_DATE_EPOCH': '1700000000'}
d = context('same', 'FROM base:1\nARG V=1\nCOPY f /f\nRUN echo $V > /ran && mkdir /d && echo x > /d/x\nENV A=b\n', {'f': 'f\n'})
first = build(d, '-t', 'same:1', '--build-arg', 'V=7', env=EPOCH)
r = verify('--build-arg', 'V=7', 'same:1', d)
check(r.rc == 0 and r.out == 'equal: %s\n' % [x['digest'] for x in json.load(open(STORE + '/index.json'))['manifests'] if 'same' in json.dumps(x)][0],
      "equal: the epoch is the image's own", r.out, r.err)
check('CACHED' not in r.err and r.steps().get('RUN echo $V > /ran && mkdir /d && echo x > /d/x') == 'DONE', 'its steps ran', r.err)
equal(verify('--build-arg', 'V=7', 'same:1', d, env={'SOURCE_DATE_EPOCH': '1700000000'}).rc, 0, 'the same with the epoch given')
r = verify('--build-arg', 'V=7', '--compression', 'zstd', 'same:1', d)
check(r.rc == 0 and 'only the compression differs, of 2 of 3 layers' in r.out, 'a difference of the compression alone is named as such', r.out, r.err)
r = verify('--build-arg', 'V=7', '--annotation', 'a=b', 'same:1', d)
check(r.rc == 0 and 'only the manifest differs' in r.out, 'a difference of the manifest alone', r.out, r.err)
r = verify('--build-arg', 'V=8', 'same:1', d)
check(r.rc == 1 and 'layer 3: ' in r.out and '  M /ran  (content)' in r.out and 'M /d/x' not in r.out, 'another argument: the file that differs is named', r.out, r.err)
r = verify('--build-arg', 'V=7', '--label', 'x=y', 'same:1', d)
check(r.rc == 1 and 'configuration:\n  config.Labels' in r.out and 'layer' not in r.out, 'a difference of the configuration', r.out)
write(d + '/f', 'g\n')
os.chmod(d + '/f', 0o600)
r = verify('--build-arg', 'V=7', 'same:1', d)
check(r.rc == 1 and '  M /f  (mode 644 -> 600, content)' in r.out, 'a file of the context that changed', r.out)

d = context('chance', 'FROM base:1\nRUN cat /proc/sys/kernel/random/uuid > /log && echo same > /fixed\n')
first = build(d, '-t', 'chance:1', env=EPOCH)
names = open(STORE + '/index.json').read()
r = verify('chance:1', d)
check(r.rc == 1 and '  M /log  (content)' in r.out and 'fixed' not in r.out, 'a step that is not deterministic: its file is named', r.out, r.err)
equal(open(STORE + '/index.json').read(), names, 'no name is left in the store')
again = build(d, env=EPOCH)
equal((again.id, again.steps().get('RUN cat /proc/sys/kernel/random/uuid > /log && echo same > /fixed')), (first.id, 'CACHED'), 'the cache is as it was')

# Remembered digests of files are not asked: a file that changed without any of its fields.
d = context('memo', 'FROM scratch\nCOPY f /f\n', {'f': 'aaaa'})
old = time.time() - 100
os.utime(d + '/f', (old, old))
build(d, '-t', 'memo:1', env=EPOCH)
equal(verify('memo:1', d).rc, 0, 'a copied file')
without = context('now', 'FROM base:1\nRUN echo x > /f && touch -d @1500000000 /f && touch /g\n')
build(without, '-t', 'now:1')
r = verify('now:1', without)
check(r.rc in (0, 1) and (r.rc == 0 or 'SOURCE_DATE_EPOCH' in r.out), 'an image that was built without an epoch', r.out, r.err)
r = verify('no-such:1', d)
check(r.rc == 2 and 'no-such' in r.err, 'no such image', r.err)
r = verify('memo:1', context('fails', 'FROM base:1\nRUN exit 7'))
check(r.rc == 2 and 'Dockerfile:2' in r.err and 'kiln: verify: ' in r.err, 'a build that fails is no difference', r.err)
r = verify('memo:1')
check(r.rc == 2 and 'expected IMAGE CONTEXT' in r.err, 'the context is missing', r.err)
r = verify('-t', 'x:1', 'memo:1', d)
check(r.rc == 2 and 'unknown option' in r.err, 'names are not for it', r.err)
done()
