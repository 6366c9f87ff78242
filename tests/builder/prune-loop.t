#!/usr/bin/env python3
# slow
"""`kiln prune` in a loop beside 50 runs and builds: nothing that is in use is taken away."""
import os, sys, threading
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from build_case import *

import_base()
r = build('FROM base:1\nRUN echo app > /app\nCMD ["cat", "/app"]\n', '-t', 'app:1')
check(r.rc == 0, 'an image to run', r.err)
over = threading.Event()
pruned, failures, numbers = [], [], iter(range(50))
lock = threading.Lock()


def prune():
    kinds = ([], ['--keep-storage', '0'], ['--filter', 'until=1s'])
    while not over.is_set():
        r = kiln('prune', *kinds[len(pruned) % len(kinds)])
        pruned.append(r.rc)
        if r.rc:
            failures.append('prune: ' + r.err)


def work():
    while True:
        with lock:
            n = next(numbers, None)
        if n is None:
            return
        if n % 2:
            r = kiln('run', '--rm', '--runtime', RUNTIME, 'app:1')
            good = r.rc == 0 and r.out == 'app\n'
        else:
            r = build('FROM base:1 AS one\nRUN --mount=type=cache,target=/c echo %d > /n && cp /n /c/n\nFROM base:1\nCOPY --from=one /n /n\nRUN test "$(cat /n)" = %d\n' % (n, n), '-t', 'n%d:1' % n)
            good = r.rc == 0
        if not good:
            failures.append('%d: %s %s' % (n, r.out, r.err))


threads = [threading.Thread(target=work) for _ in range(3)]
pruner = threading.Thread(target=prune)
pruner.start()
for t in threads:
    t.start()
for t in threads:
    t.join()
over.set()
pruner.join()
check(not failures, '25 runs and 25 builds beside %d prunes' % len(pruned), *failures[:5])
check(len(pruned) > 3, 'it was pruned meanwhile')
for n in (0, 24, 48):
    r = kiln('run', '--rm', '--runtime', RUNTIME, 'n%d:1' % n, 'cat', '/n')
    equal((r.rc, r.out), (0, '%d\n' % n), 'image n%d is whole' % n, r.err)
r = kiln('fsck')
equal(r.rc, 0, 'fsck finds nothing wrong', r.out, r.err)
done()
