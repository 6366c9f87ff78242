#!/usr/bin/env python3
# slow
"""Layer bytes are the same on every CPU: kiln compresses under qemu-user with two CPU models, and here."""
import os, random, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from build_case import *

QEMU = shutil.which('qemu-x86_64-static')
if os.uname().machine != 'x86_64' or not QEMU:
    print('1..0 # SKIP no', 'x86_64' if QEMU else 'qemu-x86_64-static')
    sys.exit(0)
# Several shards of text, and what cannot be compressed.
random.seed(1)
words = ['alpha', 'beta', 'gamma', '\n'] + ['delta %d' % random.randrange(10000) for _ in range(50)]
d = context('cpu', 'FROM scratch\nCOPY text noise /\n', {'text': ' '.join(random.choice(words) for _ in range(400000)), 'noise': random.randbytes(300000)})


def layers(store, *prefix, compression):
    r = subprocess.run([*prefix, KILN, 'build', '--store', T + '/' + store, '--progress', 'plain', '--compression', compression, d],
                       capture_output=True, text=True, timeout=280, env=dict(os.environ, SOURCE_DATE_EPOCH='1700000000'))
    if r.returncode:
        return r.stderr
    return manifest_of(r.stdout.strip(), T + '/' + store)['layers']


for kind in ('gzip', 'zstd'):
    here = layers('here-' + kind, compression=kind)
    check(isinstance(here, list) and here[0]['size'] > 300000, kind + ' on this machine', here)
    # With nothing newer than SSE2, and with AVX2 and BMI2: the library takes other code paths.
    for model in ('qemu64', 'Haswell'):
        equal(layers('%s-%s' % (model, kind), QEMU, '-cpu', model, compression=kind), here, '%s: the same bytes on a %s' % (kind, model))
done()
