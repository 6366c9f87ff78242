#!/usr/bin/env python3
# Every property of root, mounts, linux.devices, masked and read-only paths and propagation, read
# inside; every option of mounts by what it does or by what mountinfo shows.
import os, re, stat, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bundle import *
from probing import *


def mounted(mounts, script, prepare=None, **linux):
    c = config('sh', '-c', script)
    c['mounts'] += mounts
    c['linux'].update(linux)
    b = bundle(c)
    for d in ('source/sub', 'rootfs/m'):
        os.makedirs(os.path.join(b, d))
    with open(b + '/source/file', 'w') as f:
        f.write('content\n')
    if prepare:
        prepare(b)
    return vessel('run', '--bundle', b, name())


def bind(*options, **more):
    return dict({'destination': '/m', 'type': 'bind', 'source': 'source',
                 'options': ['bind', *options]}, **more)


def tmpfs(*options):
    return {'destination': '/m', 'type': 'tmpfs', 'source': 'mytmp', 'options': list(options)}


INFO = 'grep " /m[ /]" /proc/self/mountinfo'


def options_of(r, at='/m'):
    for line in r.out.splitlines():
        words = line.split()
        if words[4] == at:
            dash = words.index('-')
            return set(words[5].split(',')), words[6:dash], words[dash + 1:]
    return set(), [], ['', '', '']


r = mounted([tmpfs()], INFO)
o = options_of(r)
check(o[2][0] == 'tmpfs', 'mounts[].type', r)
check(o[2][1] == 'mytmp', 'mounts[].source: a name of a file system\'s own', r)
r = mounted([bind()], 'cat /m/file')
check(r.out == 'content\n', 'mounts[].source: relative to the bundle', r)
r = mounted([dict(bind(), destination='/made/by/it')], 'cat /made/by/it/file')
check(r.out == 'content\n', 'mounts[].destination: made when missing', r)
r = mounted([dict(bind(), destination='m')], 'cat /m/file')
check(r.out == 'content\n', 'mounts[].destination: a relative one is below the root', r)
r = mounted([dict(bind(), source='source/file', destination='/a/file')], 'cat /a/file')
check(r.out == 'content\n', 'mounts[].destination: of a file', r)

# Options of the mount itself.
for option, shown in (('ro', 'ro'), ('nosuid', 'nosuid'), ('nodev', 'nodev'), ('noexec', 'noexec'),
                      ('noatime', 'noatime'), ('nodiratime', 'nodiratime'),
                      ('relatime', 'relatime'), ('nosymfollow', 'nosymfollow')):
    r = mounted([tmpfs(option)], INFO)
    s = mounted([bind(option)], INFO)
    check(shown in options_of(r)[0] and shown in options_of(s)[0], 'mounts[].options[]=' + option, (r, s))
for clear, gone in (('rw', 'ro'), ('suid', 'nosuid'), ('dev', 'nodev'), ('exec', 'noexec'),
                    ('atime', 'noatime'), ('diratime', 'nodiratime'),
                    ('symfollow', 'nosymfollow'), ('norelatime', 'relatime'),
                    ('strictatime', 'relatime'), ('nostrictatime', 'strictatime')):
    setter = [gone] if gone not in ('relatime', 'strictatime') else []
    r = mounted([tmpfs(*setter, clear)], INFO)
    if clear == 'norelatime':
        check(r.code == 0, 'mounts[].options[]=norelatime', r)
    else:
        check(options_of(r)[0] and gone not in options_of(r)[0], 'mounts[].options[]=' + clear, r)
r = mounted([tmpfs('defaults')], INFO)
check(r.code == 0 and 'rw' in options_of(r)[0], 'mounts[].options[]=defaults', r)
for option, shown in (('sync', 'sync'), ('dirsync', 'dirsync'), ('lazytime', 'lazytime'),
                      ('mand', ''), ('iversion', ''), ('silent', '')):
    r = mounted([tmpfs(option)], INFO)
    check(r.code == 0 and (not shown or shown in options_of(r)[2][2].split(',')),
          'mounts[].options[]=' + option, r)
for option in ('async', 'nolazytime', 'nomand', 'noiversion', 'loud'):
    r = mounted([tmpfs(option)], INFO)
    check(r.code == 0, 'mounts[].options[]=' + option, r)
r = mounted([tmpfs('size=1m', 'mode=711', 'uid=5', 'gid=6')], INFO + '; ls -ldn /m')
check('size=1024k' in r.out and 'drwx--x--x' in r.out and re.search(r'\b5 +6\b', r.out),
      'mounts[].options[]: data of the file system', r)
r = mounted([tmpfs('nosuchoption')], 'true')
check(r.code == 1 and 'nosuchoption' in r.err, 'mounts[].options[]: what a file system refuses is named', r)


def with_sub(b):
    subprocess.run(['mount', '-t', 'tmpfs', 'sub', b + '/source/sub'], check=True)
    open(b + '/source/sub/deep', 'w').close()
    with_sub.last = b + '/source/sub'


def sub(options, script):
    try:
        return mounted([bind(*options)], script, with_sub)
    finally:
        subprocess.run(['umount', '--lazy', with_sub.last])


r = sub([], 'ls /m/sub')
s = sub(['rbind'], 'ls /m/sub')
check(r.out == '' and s.out == 'deep\n', 'mounts[].options[]=bind and rbind', (r, s))
for option, shown in (('rro', 'ro'), ('rnosuid', 'nosuid'), ('rnodev', 'nodev'),
                      ('rnoexec', 'noexec'), ('rnoatime', 'noatime'),
                      ('rnodiratime', 'nodiratime'), ('rnosymfollow', 'nosymfollow')):
    r = sub(['rbind', option], INFO)
    s = sub(['rbind', option[1:]], INFO)
    check(shown in options_of(r)[0] and shown in options_of(r, '/m/sub')[0] and
          shown not in options_of(s, '/m/sub')[0], 'mounts[].options[]=' + option, (r, s))
for option, gone in (('rrw', 'ro'), ('rsuid', 'nosuid'), ('rdev', 'nodev'), ('rexec', 'noexec'),
                     ('rsymfollow', 'nosymfollow'), ('ratime', 'noatime'),
                     ('rdiratime', 'nodiratime'), ('rrelatime', 'noatime'),
                     ('rstrictatime', 'noatime'), ('rnorelatime', ''), ('rnostrictatime', '')):
    r = sub(['rbind', option], INFO)
    check(options_of(r, '/m/sub')[0] and gone not in options_of(r, '/m/sub')[0],
          'mounts[].options[]=' + option, r)
for option, letter in (('shared', 'shared:'), ('slave', 'master:'), ('private', ''),
                       ('unbindable', 'unbindable')):
    for prefix in ('', 'r'):
        def shared(b):
            with_sub(b)
            subprocess.run(['mount', '--bind', b + '/source', b + '/source'], check=True)
            subprocess.run(['mount', '--make-shared', b + '/source'], check=True)
            shared.path = b + '/source'
        try:
            r = mounted([bind(prefix + option)], INFO, shared)
        finally:
            subprocess.run(['umount', '--lazy', shared.path])
            subprocess.run(['umount', '--lazy', with_sub.last])
        fields = options_of(r)[1]
        check(r.code == 0 and (fields == [] if not letter else any(f.startswith(letter) for f in fields)),
              'mounts[].options[]=' + prefix + option, (r, fields))
r = mounted([dict(tmpfs('tmpcopyup'), destination='/etc')], 'cat /etc/passwd; echo x >/etc/new; ls /etc')
check('root:x:0:0' in r.out and 'new' in r.out, 'mounts[].options[]=tmpcopyup', r)
r = mounted([tmpfs(), {'destination': '/m', 'options': ['remount', 'ro', 'bind'], 'source': '/m'}], INFO)
check('ro' in options_of(r)[0], 'mounts[].options[]=remount', r)

# Mounts with owners mapped: a file of host uid 0 is seen as another one.
for option in ('idmap', 'ridmap'):
    m = bind(option, uidMappings=[{'containerID': 0, 'hostID': 7000, 'size': 10}],
             gidMappings=[{'containerID': 0, 'hostID': 8000, 'size': 10}])
    r = mounted([m], 'ls -ln /m/file')
    check(re.search(r'\b7000 +8000\b', r.out), 'mounts[].uidMappings[] and gidMappings[]: ' + option, r)
m = bind('idmap', uidMappings=[{'containerID': 5, 'hostID': 7000, 'size': 10}],
         gidMappings=[{'containerID': 5, 'hostID': 8000, 'size': 10}])
r = mounted([m], 'ls -ln /m/file', lambda b: os.chown(b + '/source/file', 6, 7))
check(re.search(r'\b7001 +8002\b', r.out),
      'mounts[].uidMappings[].containerID, hostID and size: the offset', r)
r = mounted([m], 'ls -ln /m/file')
check(re.search(r'\b65534 +65534\b', r.out), 'mounts[].uidMappings[].size: nobody outside', r)

# The root.
c = config('sh', '-c', 'echo x >/new; echo x >/tmp/new; cat /mark')
c['root'] = {'path': 'other', 'readonly': True}
b = bundle(c)
os.rename(b + '/rootfs', b + '/other')
with open(b + '/other/mark', 'w') as f:
    f.write('this one\n')
r = vessel('run', '--bundle', b, name())
check(r.out == 'this one\n', 'root.path', r)
check(r.err.count('Read-only file system') == 2 and not os.path.exists(b + '/other/new'),
      'root.readonly', r)

# Devices.
c = config('sh', '-c', 'for d in block char fifo; do stat -c "%F %a %u %g %t:%T" /dev/$d; done')
c['linux']['devices'] = [
    {'path': '/dev/block', 'type': 'b', 'major': 7, 'minor': 250, 'fileMode': 0o640, 'uid': 1, 'gid': 2},
    {'path': '/dev/char', 'type': 'c', 'major': 10, 'minor': 229, 'fileMode': 0o604, 'uid': 3, 'gid': 4},
    {'path': '/dev/fifo', 'type': 'p', 'fileMode': 0o600, 'uid': 5, 'gid': 6}]
b = bundle(c)
os.symlink('busybox', b + '/rootfs/bin/stat')
r = vessel('run', '--bundle', b, name())
lines = (r.out.split('\n') + ['', '', ''])[:3]
check(lines[0].startswith('block') and lines[1].startswith('character') and lines[2].startswith('fifo'),
      'linux.devices[].type', r)
check(len(r.out.split('\n')) == 4, 'linux.devices[].path', r)
check(lines[0].endswith('7:fa') and lines[1].endswith('a:e5'),
      'linux.devices[].major and linux.devices[].minor', r)
check([' 640 ' in lines[0], ' 604 ' in lines[1], ' 600 ' in lines[2]] == [True] * 3,
      'linux.devices[].fileMode', r)
check(' 1 2 ' in lines[0] and ' 3 4 ' in lines[1] and ' 5 6 ' in lines[2],
      'linux.devices[].uid and linux.devices[].gid', r)

# Masked and read-only paths.
r = mounted([], 'cat /etc/passwd; ls /tmp | wc -l; echo x >/etc/new; ls /etc',
            maskedPaths=['/etc/passwd', '/tmp', '/missing'], readonlyPaths=['/etc', '/missing'])
check('root:' not in r.out and r.out.startswith('0\n'), 'linux.maskedPaths[]', r)
check('Read-only' in r.err and 'new' not in r.out, 'linux.readonlyPaths[]', r)

# Propagation of the root: shows in a mount made inside, and what the host sees of it.
for wanted, letter in (('shared', 'shared:'), ('slave', ''), ('private', ''), ('unbindable', 'unbindable')):
    r = mounted([], 'grep " / / " /proc/self/mountinfo; cat /proc/self/mountinfo | head -1', rootfsPropagation=wanted)
    line = r.out.split('\n')[0].split()
    fields = line[6:line.index('-')] if '-' in line else ['?']
    good = any(f.startswith(letter) for f in fields) if letter else not any(
        f.startswith(('shared', 'unbindable')) for f in fields)
    check(r.code == 0 and good, 'linux.rootfsPropagation=' + wanted, r)
check(left_over() == [], 'nothing is left', left_over())
done()
