#!/usr/bin/env python3
# alone
# Every property of the runtime-spec's schema has a test that reads its effect from inside: each line
# of `properties` names a point, and the point exists and passes. What it printed is taken from the
# logs of this ./check when they are newer than the test and the program; else the test is run.
import os, re, subprocess, sys

here = os.path.dirname(os.path.abspath(__file__))
top = os.path.dirname(here)
sys.path.insert(0, os.path.join(top, 'tests'))
from points import points_of
vessel = os.environ['VESSEL'] = os.environ.get('VESSEL', os.path.join(top, 'build/runtime/vessel'))
points = 0


def check(good, what, detail=()):
    global points
    points += 1
    print(('ok' if good else 'not ok') + f' {points} - {what}')
    if not good:
        for line in detail:
            print('# ' + line)
    return good


table, malformed = [], []
with open(os.path.join(here, 'properties')) as f:
    for line in f:
        if line.startswith('#') or not line.strip():
            continue
        words = re.split(r'  +', line.rstrip('\n'))
        if len(words) == 3:
            table.append(words)
        else:
            malformed.append(line.strip())
names = [p for p, _, _ in table]
good = [check(not malformed, 'every line names a property, a file and a point', malformed),
        check(len(set(names)) == len(names) and len(names) > 200, 'no property twice',
              sorted(n for n in set(names) if names.count(n) > 1))]


for file in sorted({f for _, f, _ in table}):
    passed, failed, skipped = points_of('tests/runtime/' + file, vessel, seconds=240)
    passed += skipped
    lacking = []
    for name, of, point in table:
        if of != file:
            continue
        if any(p.startswith(point) for p in failed):
            lacking.append(f'{name}: its point fails: {point}')
        elif not any(p.startswith(point) for p in passed):
            lacking.append(f'{name}: no point "{point}" in {file}')
    count = sum(of == file for _, of, _ in table)
    good.append(check(not lacking, f'{file} reads the effect of {count} properties', lacking))

schema = os.environ.get('RUNTIME_SPEC_SCHEMA', '')
if schema:
    r = subprocess.run([os.path.join(here, 'list-properties'), schema], stdout=subprocess.PIPE, text=True)
    listed = r.stdout.split()
    good.append(check(listed and set(listed) == set(names), 'the table has what the schema lists',
                      ['only in the schema: ' + p for p in sorted(set(listed) - set(names))] +
                      ['only in the table: ' + p for p in sorted(set(names) - set(listed))]))
else:
    points += 1
    print(f'ok {points} - the table has what the schema lists # SKIP no schema of the runtime-spec '
          '(set RUNTIME_SPEC_SCHEMA to its directory)')
print(f'1..{points}')
sys.exit(0 if all(good) else 1)
