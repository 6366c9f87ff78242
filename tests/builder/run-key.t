#!/usr/bin/env python3
"""What the key of a RUN depends on, a part at a time, and what it does not; --mount of a stage, of a
named context and of the context are keyed by the content that is mounted."""
import concurrent.futures, os, re, socket, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from build_case import *

import_base()
number = 0
points = []  # each answers for one point, in this order
pool = concurrent.futures.ThreadPoolExecutor(4)


def last_run(r):
    """Of the last stage's last RUN: how it ended, and the parts of its key that --explain names. (The
    stages s and t may begin theirs later.)"""
    number, end, parts = None, r.err, []
    for line in r.err.splitlines():
        at, _, rest = line.partition(' ')
        if re.match(r'\[(?![st] )[^]]*\] run ', rest, re.I):
            number, parts = at, []
        elif at == number and rest.startswith('-- not cached: '):
            parts.append(re.sub(r' (changed|is new|is gone)(:.*)?$', '', rest[15:]))
        elif at == number and rest.split(' ')[0] in ('CACHED', 'DONE'):
            end = rest.split(' ')[0]
    return end, parts


def key(name, before, after, parts, files=None, options=((), ()), env=(None, None), change=None, back=None):
    """Builds `before`, then `after` with `change` made to the context: its last RUN is run again
    because of exactly these parts of its key, or, without any, is CACHED. With `back`, which undoes
    `change`, `before` is CACHED."""
    global number
    number += 1
    # A Dockerfile says @ where each case is to have a key of its own.
    text = [(t if t.startswith('FROM') else 'FROM base:1\n' + t).replace('@', ': %d' % number) + '\n' for t in (before, after)]
    where = 'k%d' % number

    def ends():
        d = context(where, text[0], files)
        out = [last_run(build(d, *options[0], env=env[0]))[0]]
        write(d + '/Dockerfile', text[1])
        if change:
            change(d)
        out.append(last_run(build(d, '--explain', *options[1], env=env[1])))
        if back:
            back(d)
            write(d + '/Dockerfile', text[0])
            out.append(last_run(build(d, *options[0], env=env[0]))[0])
        return out

    wanted = ['DONE', ('DONE', parts) if parts else ('CACHED', [])] + (['CACHED'] if back else [])
    points.append((pool.submit(ends), wanted, name))


# ---- what the command sees, a part at a time ----
SEEN = {
    'the command': ('RUN @', 'RUN @ more', ['command']),
    'shell form and exec form': ('RUN true @', 'RUN ["true", "@"]', ['command']),
    'where a word ends': ('RUN ["true", "@ a", "b"]', 'RUN ["true", "@ a b"]', ['command']),
    'SHELL': ('SHELL ["/bin/sh", "-c"]\nRUN @', 'SHELL ["/bin/sh", "-ec"]\nRUN @', ['command']),
    'a heredoc for the shell': ('RUN <<E\n@\necho 1\nE', 'RUN <<E\n@\necho 2\nE', ['command']),
    'a heredoc that is a program': ('RUN <<E\n#!/bin/sh\n@ 1\nE', 'RUN <<E\n#!/bin/sh\n@ 2\nE', ['script']),
    'a heredoc of a command': ('RUN cat <<E\n@ 1\nE', 'RUN cat <<E\n@ 2\nE', ['command']),
    'whether it expands a heredoc': ('RUN cat <<E\n@ $HOME\nE', 'RUN cat <<"E"\n@ $HOME\nE', ['command']),
    'USER': ('USER root\nRUN @', 'USER www-data\nRUN @', ['user']),
    'the group of USER': ('USER root:5\nRUN @', 'USER root:10\nRUN @', ['user']),
    'WORKDIR': ('WORKDIR /tmp\nRUN @', 'WORKDIR /etc\nRUN @', ['directory']),
    'ENV': ('ENV A=1\nRUN @', 'ENV A=2\nRUN @', ['environment']),
    'the name of a variable': ('ENV A=1\nRUN @', 'ENV B=1\nRUN @', ['environment']),
    'a further ENV': ('ENV A=1\nRUN @', 'ENV A=1 B=\nRUN @', ['environment']),
    'where a variable ends': ('ENV A=1 B=2\nRUN @', 'ENV A="1 B=2"\nRUN @', ['environment']),
    'the default of an ARG': ('ARG A=1\nRUN @ $A', 'ARG A=2\nRUN @ $A', ['environment']),
    'the value of an ARG': ('ARG A=1\nRUN @ $A', 'ARG A=1\nRUN @ $A', ['environment'], ('--build-arg', 'A=2')),
    'an ARG before FROM': ('ARG V=1\nFROM base:1\nARG V\nRUN @ $V', 'ARG V=1\nFROM base:1\nARG V\nRUN @ $V', ['environment'], ('--build-arg', 'V=2')),
    '--network of the step': ('RUN @', 'RUN --network=none @', ['network']),
    '--network of the build': ('RUN @', 'RUN @', ['network'], ('--network', 'none')),
    '--security': ('RUN @', 'RUN --security=insecure @', ['security'], ('--allow', 'security.insecure')),
    '--add-host': ('RUN @', 'RUN @', ['hosts'], ('--add-host', 'a.example:192.0.2.1')),
    'what the step before left': ('RUN echo 1 > /f\nRUN @', 'RUN echo 2 > /f\nRUN @', ['root']),
    'a file copied before': ('COPY f /f\nRUN @', 'COPY g /f\nRUN @', ['root']),
}
for name, (before, after, parts, *options) in SEEN.items():
    if before.startswith('ARG V'):
        # The base is named so that key() leaves the text alone.
        before, after = (t.replace('ARG V=1\nFROM base:1', 'FROM base:1\nARG V=1') for t in (before, after))
    key(name, before, after, parts, {'f': '1', 'g': '2'}, ((), options[0] if options else ()))

# ---- mounts: every option that changes what the command sees ----
S = 'FROM base:1 AS s\nRUN mkdir -p /o/o && echo 1 > /o/f && cp /o/f /o/o/f\nFROM base:1 AS t\nRUN mkdir -p /o && echo 2 > /o/f\nFROM base:1\n'
MOUNTS = {
    'no mount and one': ('', 'type=tmpfs,target=/m', ['mount 0']),
    'the type': ('type=tmpfs,target=/m', 'type=cache,target=/m', ['mount 0']),
    'a second mount': ('type=tmpfs,target=/m', 'type=tmpfs,target=/m --mount=type=tmpfs,target=/n', ['mount 1']),
    'their order': ('type=tmpfs,target=/m --mount=type=cache,target=/m/n', 'type=cache,target=/m/n --mount=type=tmpfs,target=/m', ['mount 0', 'mount 1']),
    'bind: target': ('from=s,source=/o,target=/m', 'from=s,source=/o,target=/n', ['mount 0']),
    'bind: source, of the same content': ('from=s,source=/o/f,target=/m', 'from=s,source=/o/o/f,target=/m', ['mount 0']),
    'bind: source, of another content': ('from=s,source=/o,target=/m', 'from=s,source=/o/o,target=/m', ['mount 0', 'mount 0 content']),
    'bind: from': ('from=s,source=/o,target=/m', 'from=t,source=/o,target=/m', ['mount 0', 'mount 0 content']),
    'bind: rw': ('from=s,source=/o,target=/m', 'from=s,source=/o,target=/m,rw', ['mount 0']),
    'cache: target': ('type=cache,id=c,target=/m', 'type=cache,id=c,target=/n', ['mount 0']),
    'cache: id': ('type=cache,id=c,target=/m', 'type=cache,id=d,target=/m', ['mount 0']),
    'cache: ro': ('type=cache,target=/m', 'type=cache,target=/m,ro', ['mount 0']),
    'cache: sharing': ('type=cache,target=/m', 'type=cache,target=/m,sharing=private', ['mount 0']),
    'cache: mode': ('type=cache,target=/m', 'type=cache,target=/m,mode=0700', ['mount 0']),
    'cache: uid': ('type=cache,target=/m', 'type=cache,target=/m,uid=33', ['mount 0']),
    'cache: gid': ('type=cache,target=/m', 'type=cache,target=/m,gid=33', ['mount 0']),
    'cache: from': ('type=cache,target=/m,id=@,from=s,source=/o', 'type=cache,target=/m,id=@,from=t,source=/o', ['mount 0', 'mount 0 content']),
    'cache: source': ('type=cache,target=/m,id=@,from=s,source=/o', 'type=cache,target=/m,id=@,from=s,source=/o/o', ['mount 0', 'mount 0 content']),
    'tmpfs: target': ('type=tmpfs,target=/m', 'type=tmpfs,target=/n', ['mount 0']),
    'tmpfs: size': ('type=tmpfs,target=/m,size=1m', 'type=tmpfs,target=/m,size=2m', ['mount 0']),
    'secret: id': ('type=secret,id=s1,target=/m', 'type=secret,id=s2,target=/m', ['mount 0']),
    'secret: target': ('type=secret,id=s1', 'type=secret,id=s1,target=/m', ['mount 0']),
    'secret: env': ('type=secret,id=s1,env=A', 'type=secret,id=s1,env=B', ['mount 0']),
    'secret: mode': ('type=secret,id=s1', 'type=secret,id=s1,mode=0444', ['mount 0']),
    'secret: uid': ('type=secret,id=s1', 'type=secret,id=s1,uid=33', ['mount 0']),
    'secret: gid': ('type=secret,id=s1', 'type=secret,id=s1,gid=33', ['mount 0']),
    'ssh: id': ('type=ssh', 'type=ssh,id=other', ['mount 0']),
    'ssh: target': ('type=ssh', 'type=ssh,target=/m', ['mount 0']),
    'ssh: mode': ('type=ssh', 'type=ssh,mode=0666', ['mount 0']),
    'ssh: uid': ('type=ssh', 'type=ssh,uid=33', ['mount 0']),
    'ssh: gid': ('type=ssh', 'type=ssh,gid=33', ['mount 0']),
}
write(T + '/s1', 'one')
write(T + '/s2', 'two')
agents = []
for name in ('agent', 'agent2'):
    agents.append(socket.socket(socket.AF_UNIX))
    agents[-1].bind(T + '/' + name)
    agents[-1].listen()
GIVEN = ('--secret', 'id=s1,src=%s/s1' % T, '--secret', 'id=s2,src=%s/s2' % T, '--ssh', 'default=%s/agent' % T, '--ssh', 'other=%s/agent' % T)
for name, (before, after, parts) in MOUNTS.items():
    # A mount that the command before had, too, is "new" or "gone" with all that belongs to it.
    run = [S + 'RUN %s@' % ('--mount=%s ' % m if m else '') for m in (before, after)]
    key('mount ' + name, *(r.replace('id=@', 'id=m%d' % number) for r in run), parts, options=(GIVEN, GIVEN))

# ---- what the command does not see, or what is nobody's business ----
UNSEEN = {
    'nothing': ('RUN @', 'RUN @'),
    'a value for an ARG that is nowhere declared': ('RUN @', 'RUN @', ('--build-arg', 'UNUSED=1')),
    'a value for an ARG that is declared later': ('RUN @\nARG A', 'RUN @\nARG A', ('--build-arg', 'A=1')),
    'an ARG of another stage': ('FROM base:1 AS s\nARG A=1\nRUN true\nFROM base:1\nCOPY --from=s /etc/group /g\nRUN @',
                                'FROM base:1 AS s\nARG A=2\nRUN true\nFROM base:1\nCOPY --from=s /etc/group /g\nRUN @'),
    'an ENV instead of an equal ARG': ('ARG A=1\nRUN @', 'ENV A=1\nRUN @'),
    'an ENV by way of a variable': ('ENV A=1\nENV B=1\nRUN @', 'ENV A=1\nENV B=$A\nRUN @'),
    'ENV in the older form': ('ENV A=1\nRUN @', 'ENV A 1\nRUN @'),
    'a WORKDIR that comes to the same': ('WORKDIR /usr/bin\nRUN @', 'WORKDIR /usr\nWORKDIR bin\nRUN @'),
    'a USER before the last': ('USER root\nRUN @', 'USER www-data\nUSER root\nRUN @'),
    'LABEL': ('RUN @', 'LABEL a=b\nRUN @'),
    'EXPOSE': ('RUN @', 'EXPOSE 80\nRUN @'),
    'CMD': ('CMD ["a"]\nRUN @', 'CMD ["b"]\nRUN @'),
    'ENTRYPOINT': ('RUN @', 'ENTRYPOINT ["a"]\nRUN @'),
    'STOPSIGNAL': ('RUN @', 'STOPSIGNAL 9\nRUN @'),
    'HEALTHCHECK': ('RUN @', 'HEALTHCHECK CMD true\nRUN @'),
    'ONBUILD': ('RUN @', 'ONBUILD RUN true\nRUN @'),
    'VOLUME': ('RUN @', 'VOLUME /v\nRUN @'),
    'MAINTAINER': ('RUN @', 'MAINTAINER me\nRUN @'),
    'what follows': ('RUN @', 'RUN @\nLABEL a=b\nENV A=1\nUSER www-data'),
    'the name of the stage': ('FROM base:1\nRUN @', 'FROM base:1 AS named\nRUN @'),
    'comments and empty lines': ('RUN @', '# a comment\n\n\nRUN @'),
    'a comment between continued lines': ('RUN @ && \\\n  true', 'RUN @ && \\\n# a comment\n  true'),
    'the case of the keyword': ('RUN @', 'run @'),
    'the name of a heredoc': ('RUN <<E\n@\nE', 'RUN <<OTHER\n@\nOTHER'),
    'mount type=bind, which is the default': ('RUN --mount=from=base:1,target=/m @', 'RUN --mount=type=bind,from=base:1,target=/m @'),
    'src and dst, which are source and target': ('RUN --mount=from=base:1,source=/etc,target=/m @', 'RUN --mount=from=base:1,src=/etc,dst=/m @'),
    '--network=default': ('RUN @', 'RUN --network=default @'),
    '--security=sandbox': ('RUN @', 'RUN --security=sandbox @'),
    '--jobs, --tag, --label, --annotation': ('RUN @', 'RUN @', ('--jobs', '1', '-t', 'any:1', '--label', 'a=b', '--annotation', 'a=b')),
}
for name, (before, after, *options) in UNSEEN.items():
    key('not in the key: ' + name, before, after, [], options=((), options[0] if options else ()))
SECRET = 'RUN --mount=type=secret,id=s1 --mount=type=secret,id=s1,env=S @'
key('not in the key: the value of a secret', SECRET, SECRET, [], options=(GIVEN, ('--secret', 'id=s1,src=%s/s2' % T)))
key('not in the key: whether a secret comes from a file or a variable', SECRET, SECRET, [], options=(GIVEN, ('--secret', 'id=s1,env=S1')), env=(None, {'S1': 'x'}))
key('not in the key: whether a secret is there', SECRET, SECRET, [], options=(GIVEN, ()))
key('not in the key: which agent', 'RUN --mount=type=ssh @', 'RUN --mount=type=ssh @', [], options=(GIVEN, ('--ssh', 'default=%s/agent2' % T)))
CACHE = 'RUN --mount=type=cache,target=/m,id=filled @'
key('not in the key: what is in a cache', CACHE, CACHE, [], change=lambda d: build(context('fill', 'FROM base:1\nRUN --mount=type=cache,target=/m,id=filled echo x > /m/x\n')))
PROXIES = [p for name in ('http_proxy', 'https_proxy', 'ftp_proxy', 'no_proxy', 'all_proxy') for p in (name, name.upper())]
key('not in the key: proxies', 'RUN @', 'RUN @', [], options=((), [w for p in PROXIES for w in ('--build-arg', p + '=http://192.0.2.1:1')]))
key('not in the key: the environment of kiln', 'ARG A\nRUN @', 'ARG A\nRUN @', [], env=({'A': '1', 'UNUSED': '1'}, {'A': '1', 'UNUSED': '2'}))

# ---- the content that is mounted ----
STAGE = 'FROM base:1 AS s\nRUN mkdir -p /o/d && echo 1 > /o/f && echo 1 > /other && ln -s f /o/l%s\nFROM base:1\nRUN --mount=from=s,source=/o,target=/m%s @'
CONTENT = ['mount 0 content']
BEFORE = STAGE % ('', '')
for name, more in (('a mounted file changed', 'echo 2 > /o/f'), ('a mounted file is new', 'echo 1 > /o/d/new'), ('a mounted file has another mode', 'chmod 600 /o/f'),
                   ('a mounted file has another owner', 'chown 5 /o/f'), ('a mounted link leads elsewhere', 'ln -sfn d /o/l'),
                   ('a mounted directory instead of a file', 'rm /o/f && mkdir /o/f')):
    key('a stage: ' + name, BEFORE, STAGE % (' && ' + more, ''), CONTENT)
key('a stage, rw: a mounted file changed', STAGE % ('', ',rw'), STAGE % (' && echo 2 > /o/f', ',rw'), CONTENT)
for name, more in (('another file changed', 'echo 2 > /other'), ('the same content made in another way', 'printf "1\\n" > /o/g && mv /o/g /o/f'),
                   ('another time of a file', 'touch -d "2001-01-01 00:00:00" /o/f')):
    key('a stage: ' + name, BEFORE, STAGE % (' && ' + more, ''), [])
key('a stage, rw: another file changed', STAGE % ('', ',rw'), STAGE % (' && echo 2 > /other', ',rw'), [])
key('a stage: another environment, the same content', BEFORE, BEFORE.replace('AS s\n', 'AS s\nENV A=1\n'), [])

FILES = {'sub/f': '1\n', 'sub/d/g': '1\n', 'other': '1\n'}


def replace(path, text):
    write(path + '.new', text)
    os.rename(path + '.new', path)


CHANGES = {  # of files: what changes, (the part of the key, how to undo it) or nothing
    'a mounted file changed': (lambda d: write(d + '/sub/f', '2\n'), lambda d: write(d + '/sub/f', '1\n')),
    'another content of the same size and time': (lambda d: (write(d + '/sub/d/g', '3\n'), os.utime(d + '/sub/d/g', (1, 1))), lambda d: write(d + '/sub/d/g', '1\n')),
    'a mounted file is new': (lambda d: write(d + '/sub/new'), lambda d: os.unlink(d + '/sub/new')),
    'a mounted file is gone': (lambda d: os.unlink(d + '/sub/f'), lambda d: write(d + '/sub/f', '1\n')),
    'a mounted file has another mode': (lambda d: os.chmod(d + '/sub/f', 0o600), lambda d: os.chmod(d + '/sub/f', 0o644)),
    'a mounted file is a link': (lambda d: (os.unlink(d + '/sub/f'), os.symlink('d/g', d + '/sub/f')), lambda d: replace(d + '/sub/f', '1\n')),
    'another file changed': (lambda d: write(d + '/other', '2\n'), None),
    'another time of a file': (lambda d: os.utime(d + '/sub/f', (1, 1)), None),
    'the same content in another inode': (lambda d: replace(d + '/sub/f', '1\n'), None),
    'the owner of a file, which no context has': (lambda d: os.chown(d + '/sub/f', 5, 5), None),
}
for name, (change, back) in CHANGES.items():
    parts = CONTENT if back else []
    key('the context: ' + name, 'RUN --mount=source=sub,target=/m @', 'RUN --mount=source=sub,target=/m @', parts, FILES, change=change, back=back)
    named = context('named%d' % number, None, FILES)
    on = lambda what, named=named: (lambda d: what(named)) if what else None
    options = ('--build-context', 'n=' + named)
    key('a named context: ' + name, 'RUN --mount=from=n,source=sub,target=/m @', 'RUN --mount=from=n,source=sub,target=/m @', parts, None, (options, options), change=on(change), back=on(back))
twice = [('--build-context', 'n=' + context('named-' + name, None, FILES)) for name in ('here', 'there')]
key('a named context: another directory of the same content', 'RUN --mount=from=n,source=sub,target=/m @', 'RUN --mount=from=n,source=sub,target=/m @', [], None, twice)
key('the context: what .dockerignore hides does not count', 'RUN --mount=source=sub,target=/m @', 'RUN --mount=source=sub,target=/m @', [], dict(FILES, **{'.dockerignore': 'sub/d\n'}),
    change=lambda d: write(d + '/sub/d/g', '2\n'))

for ends, wanted, name in points:
    equal(ends.result(), wanted, name)
done()
