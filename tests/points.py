"""What the points of other tests said: for tables whose lines name a test and a point of it."""
import os, re, subprocess

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def points_of(test, *programs, seconds=600):
    """(names of points that passed, that failed, that were skipped with what they lack) of the TAP program
    `test`, a path from the top; a program that skips itself has one, its reason. They are taken from the logs of ./check when these are newer than the test and the programs; else it is run."""
    source = os.path.join(TOP, test)
    log = os.path.join(TOP, 'build/test-logs', test.replace('/', '-') + '.log')
    try:
        if os.path.getmtime(log) > max(os.path.getmtime(p) for p in (source, *programs)):
            with open(log, errors='replace') as f:
                return read_points(f.read())
    except OSError:
        pass
    try:
        p = subprocess.run([source], cwd=TOP, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=seconds)
        return read_points(p.stdout.decode(errors='replace'))
    except (OSError, subprocess.TimeoutExpired) as e:
        return [], [f'{test}: {e}'], []


def read_points(text):
    passed, failed, skipped = [], [], []
    for line in text.splitlines():
        m = re.match(r'(ok|not ok) \d+ - (.*)', line) or re.match(r'(1\.\.0)( # SKIP .*)', line)
        if not m:
            continue
        if m.group(1) == 'not ok':
            failed.append(m.group(2))
        else:
            (skipped if re.search(r'# SKIP', m.group(2), re.I) else passed).append(m.group(2))
    return passed, failed, skipped
