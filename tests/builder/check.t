#!/usr/bin/env python3
"""kiln check and kiln debug as a user meets them: places, exit codes, JSON, ignore files, contexts."""
import json, os, subprocess, sys, tempfile

KILN = os.path.abspath(os.environ.get('KILN', 'build/builder/kiln'))
points = failures = 0


def point(ok, name, detail=''):
    global points, failures
    points += 1
    print('ok' if ok else 'not ok', points, '-', name)
    if not ok:
        failures += 1
        for line in str(detail).splitlines():
            print('#', line)


def kiln(*args, stdin=b'', cwd=None):
    p = subprocess.run([KILN, *args], input=stdin, capture_output=True, timeout=30, cwd=cwd)
    return p.returncode, p.stdout.decode(errors='replace'), p.stderr.decode(errors='replace')


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as f:
        f.write(text)


def rules(*args, **kw):
    """Exit code and the names of the rules that were broken, or the error."""
    code, out, err = kiln('check', '--format', 'json', *args, **kw)
    return (code, [f['rule'] for f in json.loads(out)['findings']]) if out else (code, err)


GOOD = 'FROM debian:12\nCOPY app.log /\nUSER 1\n'

with tempfile.TemporaryDirectory() as top:
    ctx = f'{top}/ctx'
    write(f'{ctx}/Dockerfile', GOOD)
    code, out, err = kiln('check', ctx)
    point(code == 0 and out == 'no findings\n' and not err, 'nothing wrong: exit 0', out + err)
    point(kiln('check', cwd=ctx)[0] == 0, 'the context is the current directory by default')

    write(f'{ctx}/.dockerignore', '*.log\n')
    code, out, err = kiln('check', '.', cwd=ctx)
    want = ("Dockerfile:2: CopyIgnoredFile: 'app.log' is excluded by the ignore file\n"
            "  2 | COPY app.log /\n    |      ^^^^^^^\n")
    point(code == 1 and out.startswith(want), 'a finding: exit 1, place, caret', out + err)
    write(f'{ctx}/Dockerfile.dockerignore', 'other\n')
    point(rules(ctx) == (0, []), 'Dockerfile.dockerignore comes before .dockerignore')
    os.remove(f'{ctx}/Dockerfile.dockerignore')
    write(f'{top}/other.df', GOOD)
    point(rules('-f', f'{top}/other.df', ctx) == (1, ['CopyIgnoredFile']), '--file with a context')
    write(f'{top}/other.df.dockerignore', '')
    point(rules('-f', f'{top}/other.df', ctx) == (0, []), 'FILE.dockerignore beside --file')
    point(rules('-', stdin=b'FROM a\nUSER 1\n') == (1, ['UntaggedBase']), 'standard input')
    point(rules('-f', '-', ctx, stdin=b'FROM a:1\nUSER 1\nCOPY a.log /\n') == (1, ['CopyIgnoredFile']),
          '--file - with a context')

    write(f'{top}/bad/Dockerfile', GOOD)
    write(f'{top}/bad/.dockerignore', 'a[\n')
    for verb in (['check'], ['build', '--check', '--store', f'{top}/unused']):
        code, out, err = kiln(*verb, f'{top}/bad')
        point(code == 1 and 'ignore file (.dockerignore): a[: syntax error in pattern' in err,
              f'{verb[0]}: a malformed pattern names its file', out + err)

    # A link out of the context is not followed: neither as Dockerfile nor as ignore file.
    write(f'{top}/outside/.dockerignore', '*.log\n')
    evil = f'{top}/evil'
    write(f'{evil}/Dockerfile', GOOD)
    os.symlink('../outside/.dockerignore', f'{evil}/.dockerignore')
    point(rules(evil) == (0, []), 'an ignore file that links out of the context is not read')
    os.remove(f'{evil}/Dockerfile')
    os.symlink(f'{top}/other.df', f'{evil}/Dockerfile')
    code, text = rules(evil)
    point(code == 1 and 'no Dockerfile' in text, 'a Dockerfile that links out of the context', text)

    arg = b'ARG V\nFROM a:1\nARG MODE\nWORKDIR /${MODE:?say how}\nUSER 1\n'
    code, out, err = kiln('check', '-', stdin=arg)
    point(code == 1 and '-:4: failed to process' in err and 'MODE: say how' in err and '    | ^' in err,
          'a failing expansion is an error at its line', out + err)
    point(rules('--build-arg', 'MODE=x', '-', stdin=arg) == (0, []), '--build-arg')
    two = b'FROM a:1 AS one\nUSER 1\nFROM scratch AS two\nUSER 1\n'
    point(rules('-', stdin=two) == (1, ['UnreachableStage']), 'an unreachable stage')
    point(rules('--target', 'one', '-', stdin=two) == (0, []), '--target')
    code, out, err = kiln('check', '--target', 'tow', '-', stdin=two)
    point(code == 1 and 'did you mean two?' in err, 'an unknown target', err)

    code, out, err = kiln('check', '-', stdin=b'FROM a:1\nRUN \x1b[31mx\nFORM b\n')
    point(code == 1 and err.startswith('kiln: check: -:3: unknown instruction: FORM\n'
                                       '  3 | FORM b\n    | ^^^^\ndid you mean FROM?'),
          'an unknown instruction: line, caret, the nearest one', err)
    code, out, err = kiln('check', '-', stdin=b'FROM a:1\n\x1b]0;x\x07 b\n')
    point(code == 1 and '\x1b' not in err and '\x07' not in err, 'control characters do not reach the terminal', repr(err))
    point(kiln('check', f'{top}/none')[0] == 1, 'a context that is not there')

    # Variables of a base that the store does not have are unknown; of one that it has, known.
    write(f'{top}/root/f', 'x')
    base = b'FROM base:1\nENV a=$NOT_THERE\nUSER 1\n'
    point(rules('--store', f'{top}/store', '-', stdin=base) == (0, []), 'an unknown base')
    point(not os.path.exists(f'{top}/store'), 'a check makes no store')
    code, out, err = kiln('import', '--store', f'{top}/store', f'{top}/root', 'base:1')
    point(code == 0, 'import a base', err)
    point(rules('--store', f'{top}/store', '-', stdin=base) == (1, ['UndefinedVar']), 'a base from the store')

    write(f'{top}/based/Dockerfile', base.decode())
    code, out, err = kiln('build', '--check', '--store', f'{top}/store', f'{top}/based')
    point((code, 'UndefinedVar' in out) == (1, True), 'build --check knows the base, too', out + err)

    code, out, err = kiln('debug', 'ast', f'{top}/other.df')
    point(out == '(from "debian:12")\n(copy "app.log" "/")\n(user "1")\n', 'debug ast', out + err)
    code, out, err = kiln('debug', 'expand', '-e', 'v=a.b.c', '--', '${v%%.*}', '$v"$w"')
    point(out == 'a\na.b.c\n', 'debug expand', out + err)
    code, out, err = kiln('debug', 'words', '--env=v=a b', '--', '$v "$v"')
    point(out == 'a\nb\na b\n', 'debug words', out + err)
    code, out, err = kiln('debug', 'ignore', f'{ctx}/.dockerignore', 'a.log', 'a/b.log', 'c')
    point(out == 'ignored\ta.log\nkept\ta/b.log\nkept\tc\n', 'debug ignore', out + err)
    code, out, err = kiln('debug', 'ast', '-', stdin=b'\xff\xfe\x00\n')
    point(code == 0 and out.startswith('('), 'bytes that are no text do no harm', out + err)
print(f'1..{points}')
sys.exit(1 if failures else 0)
