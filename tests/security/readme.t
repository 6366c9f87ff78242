#!/usr/bin/env python3
# The table of README.md names tests that exist, every test beside it, and the incidents that each
# test says it is about.
import os, re
here = os.path.dirname(os.path.abspath(__file__))
rows = re.findall(r'^\| (?!incident|---)(.*) \| (.*) \|$', open(here + '/README.md').read(), re.M)
named = {name for _, tests in rows for name in re.findall(r'`([^`]+)`', tests)}
count = 0


def check(bad, name):
    global count
    count += 1
    print('not ok' if bad else 'ok', count, '-', name)
    for b in bad:
        print('#', b)


head = lambda name: ''.join(open(os.path.join(here, name), errors='replace').readlines()[:12])
missing = sorted(n for n in named if not os.path.isfile(os.path.join(here, n)))
check(missing, 'every test in the table exists')
check(sorted(n for n in os.listdir(here) if n.endswith('.t') and n != 'readme.t' and n not in named), 'every test is in the table')
check([(i, t) for incidents, tests in rows for i in re.findall(r'CVE-\d+-\d+', incidents) if not any(i in head(t) for t in re.findall(r'`([^`]+)`', tests) if t not in missing)], 'a test of each row names the incident')
check([n for n in named if n.startswith('builder_') and 'Seen to fail' not in head(n)], 'the tests of kiln say with which defence taken out they were seen to fail')
print('1..%d' % count)
