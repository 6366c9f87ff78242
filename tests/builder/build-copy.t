#!/usr/bin/env python3
"""COPY: the rules of sources, destinations, owners and modes (Dockerfile reference, "COPY")."""
import os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from build_case import *

import_base()
FILES = {'a.txt': 'A\n', 'b.txt': 'B\n', 'c.md': 'C\n', 'd/one': '1\n', 'd/two/deep': '2\n', 'd/empty': None,
         'e/one': 'other\n', 'link': ('l', 'a.txt'), 'd/inner': ('l', '../b.txt'), 'odd name [1]': 'odd\n',
         'x/a/f.txt': 'xaf\n', 'x/b/f.txt': 'xbf\n', 'x/b/g.txt': 'xbg\n'}
number = 0


def copy(steps, name, wanted, options=(), files=None, before='', base='base:1', show=None):
    """Builds FROM base + steps and compares what is new with `wanted` ({path: text or Node repr})."""
    global number
    number += 1
    d = context('c%d' % number, 'FROM %s\n%s\n%s\n' % (base, before, steps), files or FILES)
    r = build(d, *options)
    if isinstance(wanted, str):  # an error with this text
        return check(r.rc != 0 and wanted in r.err, name, 'exit %d' % r.rc, r.err)
    if not check(r.rc == 0, name + ': builds', r.err):
        return None
    new = new_files(r.id)
    got = {p: (show(n) if show else n.text if n.kind == 'f' else n.kind + (n.link or ''))
           for p, n in new.items()}
    equal(got, wanted, name)
    return new


copy('COPY a.txt /new', 'a file to a new name', {'new': 'A\n'})
copy('COPY a.txt /dir/', 'a trailing slash makes a directory', {'dir': 'd', 'dir/a.txt': 'A\n'})
copy('COPY a.txt /tmp', 'an existing directory takes the file', {'tmp/a.txt': 'A\n'})
copy('COPY a.txt .', 'WORKDIR / and a dot', {'a.txt': 'A\n'})
copy('WORKDIR /w/x\nCOPY a.txt .\nCOPY b.txt ./src/\nCOPY c.md /data/\nCOPY c.md ../up', 'relative to WORKDIR',
     {'w': 'd', 'w/x': 'd', 'w/x/a.txt': 'A\n', 'w/x/src': 'd', 'w/x/src/b.txt': 'B\n', 'data': 'd', 'data/c.md': 'C\n',
      'w/up': 'C\n'})
copy('COPY a.txt b.txt /many/', 'several sources', {'many': 'd', 'many/a.txt': 'A\n', 'many/b.txt': 'B\n'})
copy('COPY a.txt b.txt /many', 'several sources need a slash', 'end with a')
copy('COPY ["a.txt", "odd name [[]1]", "/j/"]', 'JSON form with blanks and an escaped bracket',
     {'j': 'd', 'j/a.txt': 'A\n', 'j/odd name [1]': 'odd\n'})
copy('COPY *.txt /w/', 'wildcard', {'w': 'd', 'w/a.txt': 'A\n', 'w/b.txt': 'B\n'})
copy('COPY ?.md /w/', 'question mark', {'w': 'd', 'w/c.md': 'C\n'})
copy('COPY [ab].txt /w/', 'class', {'w': 'd', 'w/a.txt': 'A\n', 'w/b.txt': 'B\n'})
copy('COPY x/*/f.txt /w/', 'a wildcard in the middle: the later file wins', {'w': 'd', 'w/f.txt': 'xbf\n'})
copy('COPY d /dst', 'a directory: its contents',
     {'dst': 'd', 'dst/one': '1\n', 'dst/two': 'd', 'dst/two/deep': '2\n', 'dst/empty': 'd', 'dst/inner': 'l../b.txt'})
copy('COPY d/ /tmp/', 'a directory into an existing one',
     {'tmp/one': '1\n', 'tmp/two': 'd', 'tmp/two/deep': '2\n', 'tmp/empty': 'd', 'tmp/inner': 'l../b.txt'})
copy('COPY d e /dst', 'two directories are merged, the later wins',
     {'dst': 'd', 'dst/one': 'other\n', 'dst/two': 'd', 'dst/two/deep': '2\n', 'dst/empty': 'd',
      'dst/inner': 'l../b.txt'})
copy('COPY link /t', 'a link as source is followed', {'t': 'A\n'})
copy('COPY ../../a.txt /t', '.. does not rise above the context', {'t': 'A\n'})
copy('COPY nosuch /t', 'a missing source', 'nosuch: not found in the build context')
copy('COPY a.txt /bin/sh/', 'a slash after a file of the base', 'is a file')
copy('COPY a.txt /etc/passwd', 'a file replaces a file', {'etc/passwd': 'A\n'})
copy('COPY d /etc/passwd', 'a directory over a file', 'file')
copy('COPY d /dst', 'a directory of the source over a file of the base', 'cannot copy', before='RUN mkdir /dst && touch /dst/two')
copy('COPY d /dst', 'a file of the source over a directory of the base', 'cannot', before='RUN mkdir -p /dst/one')
copy('COPY d /dst', 'a directory over a link inside the destination', 'cannot copy',
     before='RUN mkdir /dst && ln -s /tmp /dst/two')
copy('COPY a.txt /dst/lnk', 'a link to a directory as destination', {'real': 'd', 'dst': 'd', 'dst/lnk': 'l../real', 'real/a.txt': 'A\n'},
     before='RUN mkdir /real /dst && ln -s ../real /dst/lnk')
copy('COPY a.txt /lnk/x/y', 'an absolute link on the way is resolved inside the root',
     {'real': 'd', 'lnk': 'l/real', 'real/x': 'd', 'real/x/y': 'A\n'}, before='RUN mkdir /real && ln -s /real /lnk')
copy('COPY a.txt /lnk/y', 'a link out of the root stays inside',
     {'lnk': 'l../../../../real', 'real': 'd', 'real/y': 'A\n'}, before='RUN mkdir /real && ln -s ../../../../real /lnk')
copy('COPY a.txt /lnk', 'a link to a file: what it names is written', {'lnk': 'lreal', 'real': 'A\n'},
     before='RUN echo old > /real && ln -s real /lnk')
copy('COPY a.txt /l1/f', 'a loop of links', 'l1', before='RUN ln -s l2 /l1 && ln -s l1 /l2')
owner = lambda n: n.owner
copy('COPY --chown=www-data a.txt /t', '--chown by name takes the group of the user', {'t': '33:33'}, show=owner)
copy('COPY --chown=www-data:wheel a.txt /t', '--chown user:group by name', {'t': '33:10'}, show=owner)
copy('COPY --chown=7:8 a.txt /n/t', '--chown by number, made directories too', {'n': '7:8', 'n/t': '7:8'}, show=owner)
copy('COPY --chown=7 a.txt /t', '--chown by uid alone', {'t': '7:7'}, show=owner)
copy('COPY --chown=nosuch a.txt /t', '--chown of an unknown name', 'nosuch')
copy('USER www-data\nCOPY a.txt /t', 'USER does not matter to COPY', {'t': '0:0'}, show=owner)
copy('ARG O=5:6\nCOPY --chown=$O a.txt /t', '--chown expands variables', {'t': '5:6'}, show=owner)
mode = lambda n: '%s%o' % (n.kind, n.mode)
copy('COPY --chmod=755 a.txt /t', '--chmod octal', {'t': 'f755'}, show=mode)
copy('COPY --chmod=4711 a.txt /t', '--chmod with set-uid', {'t': 'f4711'}, show=mode)
copy('COPY --chmod=u=rwX,go=rX d /t', '--chmod symbolic',
     {'t': 'd755', 't/one': 'f644', 't/two': 'd755', 't/two/deep': 'f644', 't/empty': 'd755', 't/inner': 'l777'}, show=mode)
copy('COPY --chmod=go-r,u+x a.txt /t', '--chmod symbolic, relative', {'t': 'f700'}, show=mode)
copy('COPY --chmod=bad a.txt /t', '--chmod nonsense', 'invalid mode')
copy('COPY --parents x/a/f.txt x/b /p/', '--parents',
     {'p': 'd', 'p/x': 'd', 'p/x/a': 'd', 'p/x/a/f.txt': 'xaf\n', 'p/x/b': 'd', 'p/x/b/f.txt': 'xbf\n', 'p/x/b/g.txt': 'xbg\n'})
copy('COPY --parents ./x/./*/f.txt /p/', '--parents with a pivot',
     {'p': 'd', 'p/a': 'd', 'p/a/f.txt': 'xaf\n', 'p/b': 'd', 'p/b/f.txt': 'xbf\n'})
copy('COPY --exclude=*.md --exclude=b.* *.txt *.md /w/', '--exclude', {'w': 'd', 'w/a.txt': 'A\n'})
copy('COPY --exclude=two d /w', '--exclude a directory', {'w': 'd', 'w/one': '1\n', 'w/empty': 'd', 'w/inner': 'l../b.txt'})
copy('COPY --link a.txt /new/x/', '--link', {'new': 'd', 'new/x': 'd', 'new/x/a.txt': 'A\n'})
r = copy('COPY --link a.txt /lnk/y', '--link does not follow links of the base', {'lnk': 'd', 'lnk/y': 'A\n', 'real': 'd'},
         before='RUN mkdir /real && ln -s /real /lnk')
copy('COPY --from=s /src /got', 'from a stage: owners, modes and links of what is in a directory stay; it is made anew',
     {'got': 'd755 0:0', 'got/f': 'f640 5:6', 'got/l': 'l777 0:0', 'got/s': 'f4755 0:0'}, base='base:1 AS s\nRUN mkdir /src && '
     'echo x > /src/f && chown 5:6 /src/f && chmod 640 /src/f && ln -s f /src/l && cp /bin/true /src/s && chmod 4755 /src/s && '
     'chown 3:4 /src && chmod 700 /src\nFROM base:1', show=lambda n: '%s%o %s' % (n.kind, n.mode, n.owner))
copy('COPY --from=0 --chown=9:9 /src /got', 'from a stage by number, --chown wins', {'got': '9:9', 'got/f': '9:9'}, show=owner,
     base='base:1\nRUN mkdir /src && echo x > /src/f && chown 5:6 /src/f\nFROM base:1')
copy('COPY --from=base:1 /etc/passwd /p', 'from an image', {'p': '0:0'}, show=owner)
copy('COPY --from=s /lib64/f /p', 'from a stage through a link', {'p': 'x\n'},
     base='base:1 AS s\nRUN mkdir -p /usr/lib64 && ln -s /usr/lib64 /lib64 && echo x > /usr/lib64/f\nFROM base:1')
copy('COPY --from=strange /x /y', 'from a name that is nothing', 'no image strange')
copy('FROM base:1 AS builder\nFROM base:1\nCOPY --from=bulider /x /y', 'a mistyped stage', 'builder')
copy('COPY <<one <<-two /h/\nfirst $A\none\n\tsecond\n\ttwo', 'heredocs: expanded, tabs stripped',
     {'h': 'd', 'h/one': 'first v\n', 'h/two': 'second\n'}, before='ENV A=v')
copy("COPY <<'F' /h\n$A ${B}\nF", 'a quoted heredoc is literal', {'h': '$A ${B}\n'})
copy('COPY --chown=1:2 --chmod=600 <<F /h\nx\nF', 'a heredoc with owner and mode', {'h': 'f600 1:2'},
     show=lambda n: '%s%o %s' % (n.kind, n.mode, n.owner))
copy('COPY a.txt <<F /h/\nx\nF', 'a heredoc beside a file', {'h': 'd', 'h/a.txt': 'A\n', 'h/F': 'x\n'})
copy('COPY . /all/', '.dockerignore: patterns, ! and **',
     {'all': 'd', 'all/.dockerignore': '*.log\nnode_modules\n**/tmp\n!keep.log\nDockerfile\n', 'all/keep.log': 'k', 'all/src': 'd', 'all/src/a.js': 'a'},
     files={'.dockerignore': '*.log\nnode_modules\n**/tmp\n!keep.log\nDockerfile\n', 'x.log': '', 'keep.log': 'k', 'node_modules/m/i.js': '',
            'src/a.js': 'a', 'src/tmp/f': ''})
copy('COPY x.log /', 'a source that .dockerignore hides', '.dockerignore hides it', files={'.dockerignore': '*.log\n', 'x.log': ''})
copy('COPY . /', 'Dockerfile.dockerignore comes first', {'b': 'b', '.dockerignore': 'b\n', 'Dockerfile': None},
     files={'.dockerignore': 'b\n', 'Dockerfile.dockerignore': 'a\nDockerfile*\n', 'a': 'a', 'b': 'b'}) if False else None
number += 1
d = context('c%d' % number, 'FROM base:1\nCOPY . /q/\n', {'.dockerignore': 'b\n', 'Dockerfile.dockerignore': 'a\nDockerfile*\n.docker*\n', 'a': 'a', 'b': 'b'})
r = build(d)
equal(sorted(new_files(r.id)), ['q', 'q/b'], '<Dockerfile>.dockerignore replaces .dockerignore', r.err)

# Hostile: a context with links that lead out.
number += 1
d = context('c%d' % number, 'FROM base:1\nCOPY out /got\n', {'out': ('l', '/etc/hostname'), 'etc/hostname': 'of the context\n'})
r = build(d)
equal(new_files(r.id)['got'].text if r.rc == 0 else r.err, 'of the context\n', 'an absolute link of the context stays inside it')
# File types of the context
number += 1
d = context('c%d' % number, 'FROM base:1\nCOPY . /q\n', {'.dockerignore': 'Dockerfile\n.dockerignore\n'})
os.mkfifo(d + '/fifo')
write(d + '/hard1', 'h'); os.link(d + '/hard1', d + '/hard2')
write(d + '/' + 'n' * 200, 'long'); write(os.fsencode(d).decode() + '/caf\udce9', 'latin1') if False else open(os.fsencode(d) + b'/caf\xe9', 'w').close()
with open(d + '/sparse', 'wb') as f:
    f.seek(10 << 20); f.write(b'end')
os.chmod(d + '/hard1', 0o2755)
os.chown(d + '/hard1', 1000, 1000)
import socket
s = socket.socket(socket.AF_UNIX); s.bind(d + '/sock')
r = build(d)
if check(r.rc == 0, 'strange files in the context', r.err):
    n = new_files(r.id)
    equal(sorted(os.path.basename(p)[:10] for p in n), sorted(['q', 'caf\udce9', 'fifo', 'hard1', 'hard2', 'n' * 10, 'sparse']),
          'fifo, hard links, long, non-UTF-8 and sparse names; no socket')
    equal((n['q/fifo'].kind, n['q/hard1'].data, len(n['q/sparse'].data), n['q/hard2'].owner), ('p', b'h', (10 << 20) + 3, '0:0'), 'their types and contents')
# Users of an image whose /etc/passwd is a link, which no index carries the text of.
number += 1
d = context('c%d' % number, 'FROM base:1\nRUN echo "app:x:77:78::/:/bin/sh" > /usr/p && rm -f /etc/passwd && ln -s /usr/p /etc/passwd\n', {})
r = build(d, '-t', 'linked:1')
if check(r.rc == 0, 'an image with a link as /etc/passwd', r.err):
    number += 1
    d = context('c%d' % number, 'FROM linked:1\nWORKDIR /as-root\nUSER app\nWORKDIR /as-app\nCOPY --chown=app f /f\n', {'f': 'f'})
    r = build(d)
    n = tree(r.id) if r.rc == 0 else {}
    equal({p: n[p].owner for p in ('as-root', 'as-app', 'f')} if n else r.err, {'as-root': '0:0', 'as-app': '77:78', 'f': '77:78'},
          'WORKDIR and --chown by name follow it')
done()
