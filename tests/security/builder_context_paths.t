#!/usr/bin/env python3
# slow
# GHSA on context sub-directories, BuildKit CVE-2026-33748: "..", links and races that lead out of the
# build context, of a git repository or of a named context, in COPY, ADD, -f and .dockerignore.
# Seen to fail with RESOLVE_IN_ROOT taken out of try_open_in_root() and links followed by Context::stat(): 1 to 3,
# 18 to 21, the sub-directories of git, and all four races; with -f taken as a path of the host: 4 to 7 and 11
# to 14; with GIT_ALLOW_PROTOCOL taken out of git()'s environment: submodules by file://.
from builder_attack import *

import_base()
B = 'FROM base:1\n'
LINKS = {'rel': UP + HOST[1:], 'abs': HOST, 'file': UP + HOST[1:] + '/secret', 'absfile': HOST + '/secret', 'loop': 'loop', 'chain': 'rel/dir', 'proc': '/proc/self/root' + HOST, 'cwd': '/proc/self/cwd'}


def linked(name, dockerfile=None, **files):
    d = context(name, dockerfile, {'f': 'x\n', 'sub/f': 'x\n', **files})
    for link, to in LINKS.items():
        os.symlink(to, d + '/' + link)
        os.symlink(to, d + '/sub/' + link)
    return d


SOURCES = ['rel/secret', 'rel/', 'rel/dir', 'abs/secret', 'abs/', 'file', 'absfile', 'chain/secret', 'proc/secret', 'loop', 'loop/x', 'sub/rel/secret', 'sub/../rel/secret', UP + HOST[1:] + '/secret', HOST + '/secret',
           're?/secret', '*/secret', 'sub/*/secret', 'rel/*', 'f/../../../' + HOST, '.', '']


def all_of(where, ways, *options, **more):
    """Each source in each way, as builds of their own where it may fail. The failures' messages."""
    wrong = []
    for way in ways:
        for s in SOURCES:
            r = where(B + way % (s or '/'), *options, **more)
            said = re.sub(r'(?m)^.*\b(COPY|ADD|-->|\|)\b.*$', '', r.err)
            if MARK in r.out + r.err or (r.rc == 0 and holds_mark(r.id)) or (r.rc != 0 and not re.search('not found in|Too many levels|no such|No such|malformed|directory', said)):
                wrong.append((way % s, r.rc, r.err[-500:]))
    return wrong


WAYS = ('COPY %s /d/', 'ADD %s /d/', 'COPY --link --parents %s /d/')
d = linked('ctx')


def local(dockerfile, *options, **more):
    write(d + '/Dockerfile', dockerfile)
    return build(d, *options, **more)


wrong = all_of(local, WAYS)
check(not wrong, 'links and .. of a context end in it', *wrong)
tar = io.BytesIO()
with tarfile.open(fileobj=tar, mode='w') as t:
    t.add(d, '.')


def by_tar(dockerfile, *options, **more):
    out = io.BytesIO(tar.getvalue())
    with tarfile.open(fileobj=out, mode='a') as t:
        i = tarfile.TarInfo('Dockerfile')
        i.size = len(dockerfile)
        t.addfile(i, io.BytesIO(dockerfile.encode()))
    return build('-', *options, input=out.getvalue())


wrong = all_of(by_tar, WAYS[:1])
check(not wrong, 'of a context that comes as a tar', *wrong)
SOURCES = [s for s in SOURCES if s not in ('.', '')]
wrong = all_of(local, ('COPY --from=named %s /d/',), '--build-context', 'named=' + d)
check(not wrong, 'of a named context', *wrong)

# ---- the Dockerfile and the ignore file ----
for name, to in (('absolute', HOST + '/secret'), ('relative', UP + HOST[1:] + '/secret')):
    e = context('dockerfile-' + name, None, {'f': 'x\n', 'sub/f': 'x\n'})
    os.symlink(to, e + '/Dockerfile'), os.symlink(os.path.dirname(to), e + '/sub/out')
    kept_out(build(e), 'a Dockerfile that is a link (%s)' % name, 'no Dockerfile')
    kept_out(build(e, '-f', e + '/Dockerfile'), 'named by -f', 'inside the context')
    kept_out(build(e, '-f', e + '/sub/out/secret'), 'named by -f through a linked directory', 'inside the context')
    kept_out(kiln('build', '--progress', 'plain', '-f', 'sub/../Dockerfile', '.', cwd=e), 'named by -f from within', 'inside the context')
    os.unlink(e + '/Dockerfile')
    write(e + '/Dockerfile', B + 'COPY . /d\n')
    os.symlink(to, e + '/.dockerignore')
    r = build(e)
    kept_out(r, 'a .dockerignore that is a link (%s)' % name)
    check(r.rc == 0 and 'd/f' in tree(r.id), 'is no .dockerignore', r.err)
    os.symlink(to, e + '/Dockerfile.dockerignore')
    kept_out(build(e, '-f', e + '/Dockerfile'), 'a Dockerfile.dockerignore that is a link')
for kind, make in (('fifo', os.mkfifo), ('device', lambda p: os.mknod(p, 0o666 | stat.S_IFCHR, os.makedev(1, 5)))):
    e = context('no-file-' + kind)
    make(e + '/Dockerfile')
    r = Measured('build', e, limit=10)
    check(r.rc == 1 and r.seconds < 5 and 'not a regular file' in r.err, 'a Dockerfile that is a ' + kind, r)
    os.unlink(e + '/Dockerfile'), write(e + '/Dockerfile', B + 'COPY f /f\n'), write(e + '/f', 'x\n'), make(e + '/.dockerignore')
    r = Measured('build', e, limit=10)
    check(r.rc == 1 and r.seconds < 5 and 'not a regular file' in r.err, 'a .dockerignore that is one', r)

# ---- git ----
g = lambda *w, cwd=None: subprocess.run(['git', '-c', 'user.name=n', '-c', 'user.email=e@x', '-c', 'init.defaultBranch=main', '-c', 'protocol.file.allow=always', *w], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()
private = HOST + '/private.git'  # a repository of the host that its user has not named
os.makedirs(T + '/served'), os.makedirs(private)
g('init', '--bare', private)
work = T + '/private-work'
g('init', work), write(work + '/secret', MARK + '\n'), g('add', '.', cwd=work), g('commit', '-m', 'one', cwd=work), g('push', private, 'main', cwd=work)
private_commit = g('rev-parse', 'HEAD', cwd=work)
import builder_attack
builder_attack._before = look()
work = linked('git', B + 'COPY . /d\n')
g('init', work), g('add', '.', cwd=work), g('commit', '-m', 'one', cwd=work), g('clone', '--bare', work, T + '/served/repo.git')
for number, address in enumerate(('file://' + private, private, '../' * 20 + private[1:], 'ext::cat ' + HOST + '/secret', '../private.git')):
    g('checkout', '-q', '-B', 'sub%d' % number, 'main', cwd=work)
    write(work + '/.gitmodules', '[submodule "s"]\n\tpath = s\n\turl = "%s"\n' % address)
    g('update-index', '--add', '--cacheinfo', '160000,%s,s' % private_commit, cwd=work), g('add', '.gitmodules', cwd=work), g('commit', '-m', 'sub', cwd=work)
    g('push', '-q', T + '/served/repo.git', 'sub%d' % number, cwd=work)
G = git_served(T + '/served') + 'repo.git'
r = build(G)
kept_out(r, 'a git repository with links as context')
check(r.rc == 0 and tree(r.id)['d/rel'].kind == 'l', 'its links are links', r.err)
for sub in ('rel', 'abs', 'rel/dir', 'sub/abs', 'chain', 'proc', UP + HOST[1:], HOST, 'sub/../../' + HOST, 'loop'):
    kept_out(build(G + '#main:' + sub), 'its sub-directory ' + sub.replace(T, '…'), ': ')
    r = build(B + 'ADD %s#main:%s /d\n' % (G, sub))
    kept_out(r, 'the same in ADD', ': ')
for number in range(5):
    r = build(G + '#sub%d' % number)
    kept_out(r, 'a submodule of the host is not fetched (%d)' % number, 'submodules of')
unharmed('nothing of the host was changed')

# ---- races ----
d = context('race', None, {'real/secret': 'mine\n', 'real/dir/secret': 'mine\n'})
os.symlink(UP + HOST[1:], d + '/link')
s = context('race-abs', None, {'real/secret': 'mine\n', 'real/dir/secret': 'mine\n'})
os.symlink(HOST, s + '/link')
ROUNDS = 40
for where, what, lines in ((d, 'COPY', 'COPY real /a\nCOPY real/secret /b/\nCOPY real/dir/ /c/\nADD rea? /d/\n'), (s, 'COPY of an absolute link', 'COPY --link real /a\nCOPY --parents real/dir/secret /b/\n'),
                           (s, 'RUN --mount=type=bind', 'RUN --mount=type=bind,source=real,target=/m cat /m/secret /m/dir/secret\n'), (d, 'RUN --mount=type=bind,rw', 'RUN --mount=type=bind,source=real,target=/m,rw cat /m/secret /m/dir/secret\n')):
    got, seen = 0, []
    with Swapper(where + '/real', where + '/link') as race:
        for number in range(ROUNDS):
            write(T + '/race.Dockerfile', B + 'ENV N=%d\n%s' % (number, lines))
            r = build(where, '--no-cache', '--no-memo', '-f', T + '/race.Dockerfile')
            got += r.rc == 0
            if MARK in r.out + r.err or (r.rc == 0 and holds_mark(r.id)):
                seen.append(r.err)
                break
    check(race.raced, 'the race was on all the time')
    check(not seen, '%s while the directory is exchanged with a link to the host: %d builds, %d got through' % (what, ROUNDS, got), *seen)
unharmed('and the host is as it was')
done()
