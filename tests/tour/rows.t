#!/usr/bin/env python3
# slow
# alone
"""Every row of the tutorials' list (`rows`) is done by tests, and the points that do it pass."""
import os, re, sys
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, 'tests'))
from points import points_of

ROWS = 23
programs = [os.environ.setdefault(name, os.path.join(TOP, default))
            for name, default in (('VESSEL', 'build/runtime/vessel'), ('KILN', 'build/builder/kiln'))]
rows, malformed = [], []
with open(os.path.join(TOP, 'tests/tour/rows')) as f:
    for line in f:
        line = line.rstrip('\n')
        found = re.fullmatch(r'  (tests/\S+\.t): (.*)', line)
        if found and rows:
            rows[-1][1].append(found.groups())
        elif line and not line.startswith(('#', ' ')):
            rows.append((line, []))
        elif line and not line.startswith('#'):
            malformed.append(line)
count = bad = 0


def check(good, name, detail=()):
    global count, bad
    count += 1
    bad += not good
    print('%s %d - %s' % ('ok' if good else 'not ok', count, name))
    for line in () if good else detail:
        print('# ' + line)


check(not malformed and len({r for r, _ in rows}) == len(rows) == ROWS, 'there are %d rows, each once' % ROWS,
      malformed or [r for r, _ in rows])
said = {test: points_of(test, *programs) for test in sorted({t for _, points in rows for t, _ in points})}
for row, points in rows:
    why, lacks = [] if points else ['no test'], []
    for test, point in points:
        passed, failed, skipped = said[test]
        if any(p.startswith(point) for p in failed):
            why.append('%s: fails: %s' % (test, next(p for p in failed if p.startswith(point))))
        elif any(p.startswith(point) for p in passed):
            continue
        # A program that skips itself, or this very point: what else is skipped there excuses nothing.
        elif reason := next((p for p in skipped if p.startswith((point, ' # SKIP'))), None):
            lacks.append('%s skips: %s' % (test, reason.split('# SKIP')[-1].strip()))
        else:
            why.append('%s: has no point "%s"' % (test, point))
    check(not why, row + (' # SKIP ' + lacks[0] if lacks and not why else ''), why)
print('1..%d' % count)
sys.exit(1 if bad else 0)
