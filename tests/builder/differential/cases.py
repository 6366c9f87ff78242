r"""The notation of the *.cases files, and the contexts that it describes.

A file holds cases; a case holds sections:

    === name, which is the test's name
    --- Dockerfile          as it is
    --- context             a tree: files of the build context beside the Dockerfile
    --- context NAME        a tree given as --build-context NAME=…
    --- options             words of the command line of both builders
    --- kiln                words of kiln's command line alone
    --- buildah             words of buildah's
    --- secret NAME         a file whose path is @NAME@ in the options
    --- output              what the image prints when it is run
    --- refused             both builders must refuse it; kiln's message must hold this text
    --- differs             KIND of known.py, then what kiln has: an entry, or `config Key = JSON`

A case that has a `rule` is not compared with buildah but with what the Dockerfile reference says:

    --- rule                LINE Section title | the rule in our words
    --- tree                a tree: all that differs from the base image
    --- config              Key = JSON, of the image's config

A tree is a line for each entry, the path first, then in any order:

    0644 0755 …   mode: of three or four digits. Files have 644, directories 755, links 777 without
    1:2           owner and group; 0:0 without
    @N @src @base @new  time in seconds, of a context, of the base, or not before the test began;
                  without: that of a context, and any elsewhere
    +NAME=TEXT    extended attribute
    "text"        a file with this content (escapes of Python; \xNN in names too)
    fill N        a file of N bytes
    hole N "end"  a file that begins with N bytes of nothing
    -> target     a symbolic link
    == path       a hard link to an entry before it
    fifo, c1:3    special files
    gone          (tree) the base's entry is not there
    tar {         (context) an archive, compressed as its name says, of the entries up to the line }

A path that ends in / is a directory. c{200} in a path is the character c 200 times.
"""
import ast
import io
import os
import re
import subprocess
import tarfile

EPOCH = 1111111111  # the time of what a context holds, and
BASE = 1222222222   # of what base.tree adds to the base
HERE = os.path.dirname(os.path.abspath(__file__))
TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|\+[\w.]+=(?:"(?:[^"\\]|\\.)*"|\S*)|\S+)')


class Case:
    def __init__(self, file, line, name):
        self.where, self.name = '%s:%d' % (os.path.basename(file), line), name
        self.sections = {}

    def __getattr__(self, name):
        return self.sections.get(name)

    @property
    def rules(self):
        """(line, section title, text) of the Dockerfile reference."""
        return [re.fullmatch(r'(\d+) (.+?) \| (.+)', line).groups() for line in (self.rule or '').splitlines()]


class Entry:
    def __init__(self, path):
        self.path, self.kind, self.mode, self.owner = path.rstrip('/'), 'd' if path.endswith('/') else 'f', None, (0, 0)
        self.time, self.xattrs, self.data, self.target, self.rdev = None, {}, b'', '', None
        self.inner = None  # of an archive
        self.hole = 0
        self.said = set()  # what the line names and does not leave to the defaults


def load():
    """The cases of every file, in order. ValueError says file and line of what is not notation."""
    found = []
    for name in sorted(os.listdir(HERE)):
        if not name.endswith('.cases'):
            continue
        file, case, section = os.path.join(HERE, name), None, None
        for number, line in enumerate(open(file, encoding='utf-8'), 1):
            if line.startswith('=== '):
                case, section = Case(file, number, line[4:].strip()), None
                found.append(case)
            elif line.startswith('--- ') and case:
                section = line[4:].strip()
                case.sections[section] = ''
            elif section:
                case.sections[section] += line
            elif line.strip() and not line.startswith('#'):
                raise ValueError('%s:%d: outside of any section' % (file, number))
    for case in found:
        for section in case.sections:  # one empty line ends a section for the eye
            case.sections[section] = re.sub(r'\n\n$', '\n', case.sections[section])
    return found


def unquoted(token):
    """The bytes that a quoted token means."""
    return ast.literal_eval('b' + token) if token.isascii() else ast.literal_eval(token).encode()


def path_of(token):
    token = re.sub(r'(.)\{(\d+)\}', lambda m: m[1] * int(m[2]), token)
    return os.fsdecode(unquoted('"' + token + '"')) if '\\' in token else token


def entry_of(line):
    tokens = TOKEN.findall(line)
    first = tokens.pop(0)
    e = Entry(os.fsdecode(unquoted(first)) if first.startswith('"') else path_of(first))
    while tokens:
        t = tokens.pop(0)
        if re.fullmatch(r'[0-7]{3,4}', t):
            e.mode = int(t, 8)
            e.said.add('mode')
        elif re.fullmatch(r'\d+:\d+', t):
            e.owner = tuple(map(int, t.split(':')))
            e.said.add('owner')
        elif t.startswith('@'):
            e.time = {'@new': 'new', '@src': EPOCH, '@base': BASE}.get(t) or int(t[1:])
            e.said.add('time')
        elif t.startswith('+'):
            name, _, value = t[1:].partition('=')
            e.xattrs[name] = unquoted(value) if value.startswith('"') else value.encode()
        elif t.startswith('"'):
            e.data = b'\0' * e.hole + unquoted(t)
        elif t == 'fill':
            size = int(tokens.pop(0))
            e.data = (b'0123456789abcdef' * (size // 16 + 1))[:size]
        elif t == 'hole':
            e.hole = int(tokens.pop(0))
            e.data = b'\0' * e.hole
        elif t in ('->', '=='):
            e.kind, target = ('l' if t == '->' else 'h'), tokens.pop(0)
            e.target = path_of(target)
        elif t == 'fifo':
            e.kind = 'p'
        elif re.fullmatch(r'[cb]\d+:\d+', t):
            e.kind, e.rdev = t[0], tuple(map(int, t[1:].split(':')))
        elif t == 'gone':
            e.kind = 'gone'
        elif t == 'tar' and tokens == ['{']:
            e.inner = []
            return e
        else:
            raise ValueError('no notation: %r in %r' % (t, line))
    if e.mode is None:
        e.mode = {'d': 0o755, 'l': 0o777}.get(e.kind, 0o644)
    return e


def entries(text):
    out, archive = [], None
    for line in (text or '').splitlines():
        if not line.strip() or line.startswith('#'):
            continue
        if line.strip() == '}':
            archive = None
            continue
        e = entry_of(line.strip())
        (out if archive is None else archive).append(e)
        if e.inner is not None:
            archive = e.inner
            e.mode = 0o644
    return out


def archive_of(e):
    """The bytes of a tar archive, compressed as the name of the entry says."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode='w', format=tarfile.PAX_FORMAT, errors='surrogateescape') as tar:
        for i in e.inner:
            if i.kind == 'h':  # as tar writes them: a link's header says what the file's says
                same = next(o for o in e.inner if o.path == i.target)
                i.mode, i.owner, i.time = same.mode, same.owner, same.time
            m = tarfile.TarInfo(i.path)
            m.type = {'f': tarfile.REGTYPE, 'd': tarfile.DIRTYPE, 'l': tarfile.SYMTYPE, 'h': tarfile.LNKTYPE,
                      'p': tarfile.FIFOTYPE, 'c': tarfile.CHRTYPE, 'b': tarfile.BLKTYPE}[i.kind]
            m.mode, (m.uid, m.gid), m.linkname = i.mode, i.owner, i.target
            m.mtime, m.size = EPOCH if i.time is None else i.time, len(i.data)
            m.devmajor, m.devminor = i.rdev or (0, 0)
            m.pax_headers = {'SCHILY.xattr.' + k: os.fsdecode(v) for k, v in i.xattrs.items()}
            tar.addfile(m, io.BytesIO(i.data))
    command = {'.gz': ['gzip', '-n'], '.tgz': ['gzip', '-n'], '.bz2': ['bzip2'], '.xz': ['xz'],
               '.zst': ['zstd', '-q']}.get(os.path.splitext(e.path)[1])
    if not command:
        return raw.getvalue()
    return subprocess.run(command + ['-c'], input=raw.getvalue(), capture_output=True, check=True).stdout


def lay_out(directory, items, time=EPOCH):
    """Writes the entries below `directory`, which is made. Directories get their times last."""
    os.makedirs(directory, exist_ok=True)
    os.chmod(directory, 0o755)
    made = []
    for e in items:
        path = os.path.join(directory, e.path)
        missing = os.path.dirname(path)
        while not os.path.isdir(missing):
            made.append((missing, time))
            missing = os.path.dirname(missing)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if e.kind == 'd':
            os.makedirs(path, exist_ok=True)
        elif e.kind == 'l':
            os.symlink(e.target, path)
        elif e.kind == 'h':
            os.link(os.path.join(directory, e.target), path)
            continue
        elif e.kind == 'p':
            os.mkfifo(path)
        elif e.kind in 'cb':
            os.mknod(path, e.mode | (0o020000 if e.kind == 'c' else 0o060000), os.makedev(*e.rdev))
        else:
            with open(path, 'wb') as f:
                f.seek(e.hole)
                f.write((archive_of(e) if e.inner is not None else e.data)[e.hole:])
                f.truncate(max(f.tell(), e.hole))
        os.lchown(path, *e.owner)
        if e.kind != 'l':
            os.chmod(path, e.mode)
        for name, value in e.xattrs.items():
            os.setxattr(path, name, value, follow_symlinks=False)
        made.append((path, time if e.time is None else e.time))
    for path, at in made[::-1]:
        os.utime(path, (at, at), follow_symlinks=False)
