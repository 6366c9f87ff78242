#!/usr/bin/env python3
"""BuildKit's and patternmatcher's own test data, read in place, through `kiln debug`.

BUILDKIT_CHECKOUT and PATTERNMATCHER_CHECKOUT name checkouts: a work tree, or a git directory.
Without one its cases are skipped; the tables of builder/dockerfile/*_test.cc cover the same ground.
"""
import os, re, subprocess, sys, tempfile

KILN = os.path.abspath(os.environ.get('KILN', 'build/builder/kiln'))
points = failures = 0


def point(ok, name, detail=''):
    global points, failures
    points += 1
    name = name.replace('#', r'\#').replace('\n', ' ')
    print(('ok' if ok else 'not ok'), points, '-', name)
    if not ok:
        failures += 1
        for line in detail.splitlines():
            print('#', line)


def skip(name, why):
    global points
    points += 1
    print('ok', points, '-', name, '# SKIP', why)


def kiln(*args):
    p = subprocess.run([KILN, 'debug', *args], capture_output=True, timeout=30)
    return p.returncode, p.stdout.decode('utf-8', 'surrogateescape'), p.stderr.decode('utf-8', 'replace')


def checkout(variable, subdir, temp):
    """The directory `subdir` of a checkout, extracted first when it is a git directory."""
    path = os.environ.get(variable)
    if not path:
        return None
    tree = os.path.join(path, subdir)
    if os.path.isdir(tree) and (subdir or not os.path.exists(os.path.join(path, 'HEAD'))):
        return tree
    out = os.path.join(temp, variable)
    os.mkdir(out)
    archive = subprocess.run(['git', '--git-dir', path, 'archive', 'HEAD', subdir or '.'],
                             stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(['tar', '-x', '-C', out], input=archive, check=True)
    return os.path.join(out, subdir)


def parser_files(root):
    for name in sorted(os.listdir(f'{root}/parser/testfiles')):
        directory = f'{root}/parser/testfiles/{name}'
        want = open(f'{directory}/result', 'rb').read().decode()
        code, out, err = kiln('ast', f'{directory}/Dockerfile')
        point(code == 0 and out == want, f'ast {name}', f'exit {code}\n{err}\n--- wanted\n{want}--- got\n{out}')
    for name in sorted(os.listdir(f'{root}/parser/testfiles-negative')):
        code, out, err = kiln('ast', f'{root}/parser/testfiles-negative/{name}/Dockerfile')
        point(code == 1 and 'Dockerfile:' in err, f'refused: {name}', f'exit {code}\n{out}{err}')


def expansion_rows(root):
    env = [f'--env={v}' for v in ('PWD=/home', 'SHELL=bash', 'KOREAN=한국어', 'NULL=')]
    for number, line in enumerate(open(f'{root}/shell/envVarTest', encoding='utf-8'), 1):
        line = line.rstrip('\n')
        if line.startswith('#') or not line.strip():
            continue
        platform, source, want = (part.strip() for part in line.strip().split('|'))
        if platform == 'W':
            continue
        code, out, err = kiln('expand', *env, '--', source)
        got = 'error' if code else out[:-1]
        point(got == want and code in (0, 1), f'expand line {number}: {source}',
              f'wanted {want!r}, got {got!r} {err}')


def word_rows(root):
    env = []
    for number, line in enumerate(open(f'{root}/shell/wordsTest', encoding='utf-8'), 1):
        line = line.rstrip('\n')
        if line.startswith('#'):
            continue
        if line.startswith('ENV '):
            env.append('--env=' + line[3:].lstrip(' '))
            continue
        source, want = line.split('|')
        want = want.lstrip(' ').split(',')
        code, out, err = kiln('words', *env, '--', source.strip())
        got = ['error'] if code else out.split('\n')[:-1]
        point(got == want and code in (0, 1), f'words line {number}: {source}',
              f'wanted {want!r}, got {got!r} {err}')


def go_strings(text):
    r"""The string literals of a piece of Go source; the tables use \\ as their only escape."""
    return [s.replace('\\\\', '\\') for s in re.findall(r'"((?:[^"\\]|\\.)*)"', text)]


def pattern_rows(root, temp):
    source = open(f'{root}/patternmatcher_test.go', encoding='utf-8').read()
    rows = []
    # {"pattern", "text", true}
    for row in re.findall(r'\{("(?:[^"\\]|\\.)*", "(?:[^"\\]|\\.)*", (?:true|false))\},', source):
        rows.append((go_strings(row)[:1], go_strings(row)[1], row.rsplit(' ', 1)[1]))
    # {[]string{"p", "!q"}, "text", false}
    for patterns, text, result in re.findall(
            r'\{\[\]string\{([^}]*)\}, ("(?:[^"\\]|\\.)*"), (true|false)\},', source):
        rows.append((go_strings(patterns), go_strings(text)[0], result))
    # {"pattern", "text", true, nil}, or filepath.ErrBadPattern
    for row, result, error in re.findall(
            r'\{("(?:[^"\\]|\\.)*", "(?:[^"\\]|\\.)*"), (true|false), (nil|filepath\.ErrBadPattern)\}', source):
        rows.append((go_strings(row)[:1], go_strings(row)[1], result if error == 'nil' else 'error'))
    # Single tests: Matches("path", []string{…}) with `if match` or `if !match` behind it.
    for path, patterns, rest in re.findall(
            r'match, _ := Matches\(("[^"]*"), \[\]string\{([^}]*)\}\)\n\tif (!?match)', source):
        rows.append((go_strings(patterns), go_strings(path)[0], 'true' if rest == '!match' else 'false'))
    rows += [(['!'], 'fileutils.go', 'error'), (['['], '/any/path/there', 'error'),
             ([], '/any/path/there', 'false'), (['[Local-Only]/'], 'x', 'error')]
    file = os.path.join(temp, 'patterns')
    for patterns, path, want in rows:
        with open(file, 'w', encoding='utf-8') as f:
            f.write('\n'.join(patterns) + '\n')
        code, out, err = kiln('ignore', '--', file, path)
        got = 'error' if code else {'ignored': 'true', 'kept': 'false'}[out.split('\t')[0]]
        point(got == want and code in (0, 1), f'ignore {patterns} {path}: {want}', f'got {got} {err}')
    point(len(rows) > 120, f'{len(rows)} rows of patterns read')


with tempfile.TemporaryDirectory() as temp:
    root = checkout('BUILDKIT_CHECKOUT', 'frontend/dockerfile', temp)
    if root:
        parser_files(root)
        expansion_rows(root)
        word_rows(root)
    else:
        skip("BuildKit's parser, expansion and word tables", 'no BUILDKIT_CHECKOUT')
    root = checkout('PATTERNMATCHER_CHECKOUT', '', temp)
    if root:
        pattern_rows(root, temp)
    else:
        skip("patternmatcher's tables", 'no PATTERNMATCHER_CHECKOUT')
print(f'1..{points}')
sys.exit(1 if failures else 0)
