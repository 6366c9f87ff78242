#!/usr/bin/env python3
# slow
# kaniko CVE-2026-28406, go-archive CVE-2026-17106: entries of a tar that are named, linked or sized so
# that unpacking leaves the root; in images from files, from a registry, in ADD and in contexts.
# Seen to fail with the refusal of ".." taken out of TarReader::clean() and RESOLVE_IN_ROOT out of
# try_open_in_root(): 1, 3, 4, 6 and on, and apply_fuzz_test.cc; with the bound on extension headers taken out: that one.
from builder_attack import *

import_base()
busybox = busybox_layer()
HOSTREL = HOST[1:]
big = lambda n: b'\x80' + n.to_bytes(11, 'big')  # GNU's base 256
deep = 'd/' * 40
hostile = {
    # name: (entries, what has to be said if it is refused at once, or None if it is safe)
    'a name with ..': (file('../' * 12 + HOSTREL + '/new'), 'contains ".."'),
    'a name with .. in the middle': (file('a/../../' + HOSTREL[:60] + '/new'), 'contains ".."'),
    'a long name with ..': (pax(path=(UP + HOSTREL + '/new').encode()) + file('x'), 'contains ".."'),
    'a GNU name with ..': (header('././@LongLink', b'L', 200, raw=(UP + HOSTREL + '/new').encode().ljust(200, b'\0')) + file('x'), 'contains ".."'),
    'an absolute name': (file(HOST + '/new'), None),
    'a link, and a file through it': (symlink('l', HOST) + file('l/new'), None),
    'a relative link, and a file through it': (symlink('l', UP + HOSTREL) + file('l/new') + file('l/secret', 'changed'), None),
    'a chain of links': (symlink('a', 'b') + symlink('b', UP + HOSTREL) + file('a/dir/new') + folder('a/dir/deep', 0o777), None),
    'a link for a directory of the base': (symlink('etc', HOST) + file('etc/passwd', 'root:x:0:0::/:/bin/sh\n'), None),
    'a directory, its link, its mode': (folder('l') + symlink('l', HOST) + folder('l', 0o777) + header('l', b'5', mode=0o777, uid=5), None),
    'a file where a link was': (symlink('l', HOST + '/secret') + file('l', 'changed'), None),
    'a device where a link was': (symlink('l', HOST + '/secret') + header('l', b'3', major=1, minor=3), None),
    'a hard link to the outside': (hardlink('h', UP + HOSTREL + '/secret'), 'contains ".."'),
    'an absolute hard link': (hardlink('h', HOST + '/secret'), 'No such file'),
    'a hard link through a link': (symlink('l', HOST) + hardlink('h', 'l/secret') + file('h', 'changed'), 'No such file'),
    'a hard link to a link': (symlink('l', HOST + '/secret') + hardlink('h', 'l') + file('h', 'changed'), None),
    'a hard link in a linked directory': (file('f') + symlink('l', HOST) + hardlink('l/h', 'f'), None),
    'a hard link to a directory': (folder('f') + hardlink('h', 'f'), 'directory'),
    'a hard link to itself': (hardlink('h', 'h'), 'itself'),
    'a whiteout through a link': (symlink('l', HOST) + header('l/.wh.secret') + header('l/.wh..wh..opq'), None),
    'a whiteout of ..': (header('.wh...'), 'whiteout'),
    'a whiteout of .': (header('.wh..'), 'whiteout'),
    'a whiteout of nothing': (header('a/.wh.'), 'whiteout'),
    'a whiteout of everything': (header('.wh..wh..opq') + file('bin/x'), None),
    'a whiteout with ..': (header('../' * 12 + HOSTREL + '/.wh.secret'), 'contains ".."'),
    'AUFS files': (header('.wh..wh.aufs') + folder('.wh..wh.plnk') + file('.wh..wh.plnk/1.2') + hardlink('x', '.wh..wh.plnk/1.2'), 'No such file'),
    'a name with NUL': (pax(path=b'a\0b') + file('x'), 'NUL'),
    'a link with NUL': (pax(linkpath=b'/etc\0/x') + symlink('x', 'y'), 'NUL'),
    'an empty name': (file(''), 'without a name'),
    'the root as a link': (symlink('.', HOST) + symlink('/', HOST) + file('new'), 'without a name'),
    'a huge extended header': (header('pax', b'x', 1 << 40) + file('x'), 'larger than 1 MiB'),
    'a huge long name': (header('l', b'L', 1 << 30) + file('x'), 'larger than 1 MiB'),
    'extended headers without end': (b''.join(pax(**{'SCHILY__xattr__user__a%d' % i: b'v' * 900000}) for i in range(400)) + file('x'), 'extension headers'),
    'a component too long': (pax(path=b'n' * 300) + file('x'), '255'),
    'a path too long': (pax(path=b'd/' * 3000 + b'f') + file('x'), '4095'),
    'a negative size': (header('f', size_field=b'\xff' * 12), 'negative size'),
    'a size of 2^63': (header('f', size_field=big(1 << 63)), 'size'),
    'a size of 2^64': (header('f', size_field=big(1 << 64)), 'size'),
    'a size of 2^63 - 512': (header('f', size_field=big((1 << 63) - 512)), 'size'),
    'a size of 2^62': (header('f', size_field=big(1 << 61)), None),
    'a pax size that lies': (pax(size=b'99999999999') + file('x'), 'truncated'),
    'a pax size that overflows': (pax(size=b'99999999999999999999999') + file('x'), 'malformed number'),
    'a size that lies': (header('f', size=4096), 'truncated'),
    'no octal digits': (header('f', size_field=b'0x10\0       '), 'size'),
    'an owner out of range': (pax(uid=b'4294967295') + file('x'), 'owner'),
    'a device out of range': (header('n', b'3', major=0o7777777, minor=1), 'device number'),
    'overlay attributes': (pax(**{'SCHILY__xattr__trusted__overlay__redirect': HOST.encode(), 'SCHILY__xattr__trusted__overlay__opaque': b'y', 'SCHILY__xattr__user__overlay__redirect': HOST.encode()}) + folder('bin') + pax(**{'SCHILY__xattr__trusted__overlay__metacopy': b''}) + file('mc', ''), None),
    'other attributes': (pax(**{'SCHILY__xattr__security__selinux': b'x', 'SCHILY__xattr__trusted__x': b'y', 'SCHILY__xattr__security__ima': b'z'}) + file('x'), None),
    'entries that change their type': (file('t') + folder('t') + file('t/in') + symlink('t', HOST) + file('t/secret', 'changed') + hardlink('t2', 't') + header('t', b'6') + folder('t') + file('t/new'), None),
    'a directory through itself': (symlink('s', '.') + file('s/s/s/s/x') + folder('s/s', 0o700), None),
    'links that grow deep': (folder(deep) + symlink('a', deep[:90]) + folder('a/' + deep) + symlink('b', 'a/' + deep[:80]) + file('b/' + deep + 'f'), None),
    'sparse files': (header('s', b'S', 0), 'sparse'),
    'an unknown kind': (header('s', b'Z', 0), 'unknown'),
    'a damaged header': (b'y' + file('x')[1:], 'checksum'),
}
archives = {name: archive(entries) for name, (entries, _) in hostile.items()}


def attempts(name, tar):
    """Every way into kiln: what it is called, and the run."""
    tag = 'evil:1'
    write(T + '/evil.tar', tar), write(T + '/ctx/evil.tar', tar), write(T + '/ctx/f', 'x\n')
    use = 'FROM %s\nRUN ls -laR / > /dev/null 2>&1; cat /l/secret /etc/secret /h /t/secret; true\nCOPY --from=base:1 /bin/busybox /l/busybox\nCOPY --from=base:1 /bin/busybox /t/busybox\n' % tag
    run = ['--progress', 'plain', '--runtime', RUNTIME, '--no-cache']
    yield 'import', Measured('import', T + '/evil.tar')
    yield 'import from standard input', Measured('import', '-', input=tar)
    write(T + '/load.tar', oci_archive([busybox, tar]))
    r = Measured('load', '-i', T + '/load.tar')
    yield 'load', r
    if r.rc == 0:
        write(T + '/ctx/Dockerfile', use)
        yield 'RUN on it', Measured('build', *run, T + '/ctx')
        write(T + '/ctx/Dockerfile', 'FROM %s\nCOPY f /f\n' % tag)
        shutil.rmtree(T + '/out', ignore_errors=True)
        yield 'exported', Measured('build', '--output', T + '/out', T + '/ctx')
        if name in OFTEN:
            yield 'exported over itself', Measured('build', '--output', T + '/out', T + '/ctx')
            for rootfs in ('overlay', 'copy'):
                yield 'bundle of it (%s)' % rootfs, Measured('bundle', '--rootfs', rootfs, tag, T + '/bundle', '--', '/bin/true')
                kiln('bundle', '--rm', T + '/bundle')
        if name == 'a relative link, and a file through it':
            # A store of its own: without overlay.
            kiln('load', '-i', T + '/load.tar', env={'KILN_STORE': T + '/copies'})
            write(T + '/ctx/Dockerfile', use)
            yield 'RUN on it, copied', Measured('build', '--snapshotter', 'copy', *run, T + '/ctx', env={'KILN_STORE': T + '/copies'})
            yield 'RUN on it in a chroot', Measured('build', '--isolation', 'chroot', '--progress', 'plain', '--no-cache', T + '/ctx', env={'KILN_STORE': T + '/copies'})
        kiln('rmi', tag)
    if name in OFTEN:
        write(T + '/load.tar', docker_archive([busybox, tar]))
        yield 'load (Docker)', Measured('load', '-i', T + '/load.tar')
        kiln('rmi', tag)
    write(T + '/ctx/Dockerfile', 'FROM base:1\nADD evil.tar /x/\nRUN ls -laR /x > /dev/null; cat /x/l/secret /x/h /x/t/secret; true\n')
    yield 'ADD', Measured('build', *run, T + '/ctx')
    write(T + '/ctx/Dockerfile', 'FROM base:1\nRUN ln -s %s /x\nADD --unpack=true evil.tar /x/\n' % HOST)
    yield 'ADD through a link', Measured('build', '--progress', 'plain', '--runtime', RUNTIME, T + '/ctx')
    yield 'context', Measured('build', *run, '-', input=tar[:-1024] + archive(file('Dockerfile', 'FROM base:1\nCOPY . /x/\nRUN cat /x/l/secret /x/h; true\n')))


OFTEN = {'a name with ..', 'a relative link, and a file through it', 'a hard link through a link', 'a whiteout through a link', 'entries that change their type', 'overlay attributes', 'the root as a link'}
CLEAR = ('tar at byte', 'leads nowhere', ' is a file', 'no tar', 'device node', '.wh.', 'No such file', 'Not a directory', 'no Dockerfile', 'not found', 'mount point', 'not a regular file', 'Too many levels', 'does not name', 'no manifest', 'could not be started', 'sha256:', 'bytes of content')
import_base(store=T + '/copies')
worst = 0
before = look()
for name, (entries, refusal) in hostile.items():
    wrong, refused = [], 0
    for how, r in attempts(name, archives[name]):
        worst = max(worst, r.memory)
        if r.rc not in (0, 1) or MARK in r.out + r.err or r.memory > 160 << 20 or r.seconds > 40:
            wrong.append((how, str(r)))
        if r.rc == 1 and not (refusal and refusal in r.err) and not any(c in r.err for c in CLEAR):
            wrong.append((how, 'an unclear refusal', str(r)))
        refused += r.rc == 1
    if refusal and refused == 0:
        wrong.append('never refused')
    now = look()
    if now != before:
        wrong.append('the host was changed: %r' % [p for p in now.keys() | before.keys() if now.get(p) != before.get(p)])
        make_host()
        before = look()
    check(not wrong, name, *wrong)
check(worst < 160 << 20, 'no attempt took more than %d MB' % (worst >> 20))
left = [d + '/' + p for d in ('run', 'ingest') for p in os.listdir(STORE + '/kiln/' + d)]
check(not left, 'and none left anything behind in the store', left)
check(kiln('fsck').rc == 0, 'which is whole', kiln('fsck').out)
done()
