#!/usr/bin/env python3
# slow
# Runs every program of a built runtime-tools validation suite (RUNTIME_TOOLS names its tree) against
# $VESSEL and compares with the list `expected` beside this file. No program is left out.
import os, re, signal, subprocess, sys, tempfile

if os.environ.get('RUN_SUITE') != 'inside':
    # Some of its containers have no mount namespace and are left behind: their mounts stay in here.
    os.environ['RUN_SUITE'] = 'inside'
    os.execvp('unshare', ['unshare', '--mount', '--propagation', 'private', sys.executable, *sys.argv])
here = os.path.dirname(os.path.abspath(__file__))
top = os.path.dirname(os.path.dirname(here))
tools = os.environ.get('RUNTIME_TOOLS', '')
vessel = os.environ.get('VESSEL', os.path.join(top, 'build/runtime/vessel'))
if not os.path.isdir(os.path.join(tools, 'validation')):
    print('1..0 # SKIP no built runtime-tools tree (set RUNTIME_TOOLS; needs Go 1.21)')
    sys.exit(0)

expected = {}
for line in open(os.path.join(here, 'expected')):
    line = line.split('#', 1)[0].strip() if line.startswith('#') else line.strip()
    if line:
        name, rest = line.split(None, 1)
        expected[name] = rest
programs = {}
for d in sorted(os.listdir(os.path.join(tools, 'validation'))):
    p = os.path.join(tools, 'validation', d, d + '.t')
    if os.path.exists(p):
        programs[d] = p


def run(path):
    p = subprocess.Popen([path], cwd=tools, env=dict(os.environ, RUNTIME=vessel),
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         start_new_session=True)
    try:
        out, err = p.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL)
        out, err = p.communicate()
        return 'timeout', out.decode(errors='replace') + err.decode(errors='replace')
    text = out.decode(errors='replace')
    ok = bad = skip = 0
    plan = None
    for line in text.splitlines():
        m = re.match(r'(ok|not ok)\b(.*)', line)
        if m:
            if re.search(r'#\s*skip', m.group(2), re.I):
                skip += 1
            elif m.group(1) == 'ok':
                ok += 1
            else:
                bad += 1
        m = re.match(r'1\.\.(\d+)', line)
        if m:
            plan = max(plan or 0, int(m.group(1)))  # linux_cgroups_cpus prints a second one, of nothing
    all_text = text + err.decode(errors='replace')
    if not plan and ok + bad == 0 and p.returncode == 0:
        # Nothing counted: what it found wrong is in a diagnostic, or it printed nothing at all.
        found = re.findall(r'^ *"error": "(.+)"', text, re.M)
        return ('told' if found else 'empty'), '\n'.join(found) + '\n' + all_text
    if plan == ok + bad + skip and bad == 0 and p.returncode == 0 and (ok or skip):
        return 'pass', all_text
    return 'fail', all_text


names = sorted(set(programs) | set(expected))
print(f'1..{len(names)}')
passing = unfailing = 0
for n, name in enumerate(names, 1):
    if name not in programs or name not in expected:
        print(f'not ok {n} - {name} is in the suite or in the list, but not in both')
        continue
    state, text = run(programs[name])
    passing += state == 'pass'
    unfailing += state in ('pass', 'told', 'empty')
    want = expected[name]
    if want == 'pass':
        good = state == 'pass'
    elif want == 'silent':
        good = state == 'empty'
    elif want.startswith('refused='):
        good = state == 'empty' and re.search(want[8:], text) is not None
    elif want.startswith('told='):
        regex = want[5:].split(' because=')[0]
        good = state == 'told' and re.search(regex, text) is not None
    elif want.startswith('race='):
        good = state in ('pass', 'fail')
    else:
        good = state != 'pass'
    print(('ok' if good else 'not ok') + f' {n} - {name}: {state}, expected {want.split("=")[0]}')
    if not good:
        for l in text.splitlines()[-15:]:
            print('  # ' + l)
print(f'# in the end: {passing} programs of {len(programs)} pass; with those that count no point, '
      f'{unfailing} have none that fails')
