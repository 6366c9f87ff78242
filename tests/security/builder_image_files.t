#!/usr/bin/env python3
# CVE-2024-9676, podman's advisories on WORKDIR: /etc/passwd, /etc/group and the working directory of
# an image are links, fifos, devices or endless; USER, --chown and WORKDIR must not follow them out.
# Seen to fail with RESOLVE_IN_ROOT taken out of try_open_in_root(), and O_NONBLOCK and the question for a
# regular file out of read_file_in_root(): 1, 6, 15 (it waits for the fifo), and those of kiln bundle.
from builder_attack import *

busybox = busybox_layer()
HUGE = 3 << 20  # past what is read of such a file


def image(name, *entries):
    """busybox with /etc/passwd, /etc/group or more replaced."""
    r = load(oci_archive([busybox, archive(header('etc/.wh.passwd'), header('etc/.wh.group'), *entries)]), name)
    if r.rc != 0:
        print('# load:', r.err)


number = 0


def tried(base, instructions, *options):
    global number
    number += 1
    d = context('n%d' % number, 'FROM %s\n%s\n' % (base, instructions), {'f': 'x\n'})
    return Measured('build', '--progress', 'plain', '--runtime', RUNTIME, *options, d, limit=30)


def within(r, name, fails=None):
    good = r.seconds < 20 and r.memory < 200 << 20 and r.rc != -9
    return kept_out(r, name, fails) & check(good, name + ': no waiting, no memory', r)


hostile = {
    'relative link': (symlink('etc/passwd', UP + HOST[1:] + '/passwd'), symlink('etc/group', UP + HOST[1:] + '/group')),
    'absolute link': (symlink('etc/passwd', HOST + '/passwd'), symlink('etc/group', HOST + '/group')),
    'loop': (symlink('etc/passwd', 'group'), symlink('etc/group', 'passwd')),
    'proc link': (symlink('etc/passwd', '/proc/self/environ'), symlink('etc/group', '/proc/1/environ')),
    'fifo': (header('etc/passwd', b'6'), header('etc/group', b'6')),
    'device': (header('etc/passwd', b'3', major=1, minor=5), header('etc/group', b'3', major=1, minor=5)),
    'tty': (header('etc/passwd', b'3', major=5, minor=0), header('etc/group', b'3', major=5, minor=0)),
    'directory': (folder('etc/passwd'), folder('etc/group')),
    'gigantic': (file('etc/passwd', b'a:x:1:1::/:/\n' * (HUGE // 13)), file('etc/group', b'a:x:1:\n' * (HUGE // 7))),
    'one endless line': (file('etc/passwd', MARK.encode() * 0 + b'x' * (HUGE // 4)), file('etc/group', b'x' * (HUGE // 4))),
    'etc itself a link': (header('.wh.etc'), symlink('etc', UP + HOST[1:])),
}
for name, entries in hostile.items():
    tag = name.replace(' ', '-') + ':1'
    image(tag, *entries)
    for instructions in ('USER %s\nRUN id' % MARK, 'COPY --chown=%s:%s f /f' % (MARK, MARK), 'RUN true\nCOPY --chown=%s f /f' % MARK, 'USER %s\nWORKDIR /new/dir' % MARK):
        r = tried(tag, instructions)
        shown = (r.out + r.err).replace('user ' + MARK, '').replace('group ' + MARK, '')
        shown = '\n'.join(l for l in shown.splitlines() if not re.search(r'(USER|COPY|\|) ', l))
        good = r.rc != 0 and r.seconds < 20 and r.memory < 200 << 20 and '4711' not in shown and '4712' not in shown
        if not good or name == 'relative link' or instructions.startswith('USER'):
            check(good, '%s: %s is refused' % (name, instructions.split(' ')[0] + (' --chown' if 'chown' in instructions else '')), r)
    # By number nothing of it is needed, except that a device must not be opened.
    r = tried(tag, 'USER 5:6\nCOPY --chown=7:8 f /f')
    check(r.rc == 0 and tree(r.id)['f'].owner == '7:8', name + ': numbers need no such file', r)
unharmed('nothing of the host was changed for a user or a group')
r = kiln('bundle', 'absolute-link:1', '--user', MARK, T + '/b1')
check(r.rc != 0 and '4711' not in r.out + r.err, 'kiln bundle looks a user up in the image alone', r.err)

# ---- WORKDIR ----
image('workdirs:1', symlink('up', UP + HOST[1:]), symlink('abs', HOST), symlink('loop', 'loop'), symlink('chain', 'abs/dir'), symlink('dots', 'dots2/../..' + HOST), folder('dots2'),
      file('etc/passwd', 'root:x:0:0::/:/bin/sh\nuser:x:1:1::/:/bin/sh\n'), file('etc/group', 'g:x:1:\n'), symlink('dangling', HOST + '/made-by-workdir'))
for path in ('/up/new', '/abs/new', '/abs', '/chain/new/deep', '/dots/new', '/dangling', '/dangling/x', '/loop/x', UP + HOST[1:] + '/new', '/dots2/../up/new', '/abs/link'):
    for instructions in ('WORKDIR %s' % path, 'USER user\nWORKDIR %s\nRUN pwd; echo x > written; ls -la' % path, 'RUN true\nWORKDIR %s\nCOPY f here' % path):
        r = tried('workdirs:1', instructions)
        if r.rc != 0 and 'Too many levels' in r.err and 'loop' in path:
            continue
        if r.rc != 0 or MARK in r.out + r.err or holds_mark(r.id):
            check(False, 'WORKDIR %s' % path, instructions, r)
check(True, 'every WORKDIR through links was followed')
unharmed('WORKDIR made and changed nothing on the host')
load(oci_archive([busybox, archive(symlink('abs', HOST), symlink('up', UP + HOST[1:]))], config=lambda c: c['config'].update(WorkingDir='/abs/made/by/bundle')), 'cwd:1')
for path in ('/abs/made', '/up/made', '/' + UP + HOST[1:] + '/made', None):
    shutil.rmtree(T + '/bundle', ignore_errors=True)
    r = kiln('bundle', *(['--workdir', path] if path else []), 'cwd:1', T + '/bundle')
    check(r.rc == 0 or 'in root: No such file' in r.err, 'kiln bundle with working directory %s' % str(path).replace(T, '…'), r.err)
    kiln('bundle', '--rm', T + '/bundle')
unharmed('and made none of them on the host')
done()
