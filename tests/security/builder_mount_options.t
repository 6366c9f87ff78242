#!/usr/bin/env python3
# CVE-2024-9407: text behind bind-propagation= reached mount(8) as options. Options of RUN --mount are
# typed; what is none of them is refused where it stands, before anything runs.
# Seen to fail with the refusal of unknown keys and of keys of other types taken out of MountReader: 1 and 2.
from builder_attack import *

import_base()
os.mkdir(T + '/ctx')
write(T + '/ctx/f', 'x\n')
hostile = ['bind-propagation=shared', 'bind-propagation=rshared,exec', 'propagation=shared', 'relabel=shared', 'z', 'Z', 'U', 'O', 'exec', 'suid', 'dev', 'rshared', 'shared', 'upperdir=/', 'lowerdir=/',
           'options=rw', 'o=bind', 'source=f,options=dev', 'device=/dev/sda', 'volume-opt=type=ext4', 'volume-driver=local', 'consistency=cached', 'ro=maybe', 'rw=2', 'readonly=rshared', 'ro=true;rshared',
           'type=volume', 'type=devpts', 'type=overlay', 'type=proc', 'type=bind;type=proc', 'type=', 'tmpfs-mode=777', 'size=1m', 'sharing=locked', 'mode=0777', 'uid=0', '=x', '=', '"ro""', '"bind-propagation=shared"', 'idmap', 'idmap=uids=0-0-1',
           'BIND-PROPAGATION=shared', 'bind-propagation', 'target=/n\\,rshared,rshared']
failed = []
for option in hostile:
    write(T + '/ctx/Dockerfile', 'FROM base:1\nRUN --mount=type=bind,target=/m,%s echo ran > /ran; cat /proc/self/mountinfo\n' % option)
    r = build(T + '/ctx')
    if r.rc == 0 or 'Dockerfile:2' not in r.err or ' / /' in r.err:
        failed.append((option, r.rc, r.err[-400:]))
check(not failed, '%d options that are none of a bind mount are refused, with their line' % len(hostile), *failed)
hostile = {'cache': ['size=1m', 'bind-propagation=shared', 'sharing=rshared', 'mode=9', 'mode=07777777777777', 'uid=-1', 'uid=4294967296', 'uid=root', 'gid=0x0', 'sharing=', 'mode=u+s'],
           'tmpfs': ['size=-1', 'size=1m,exec', 'size=1m\\,exec', 'size=0x10', 'size=99999999999999999999', 'mode=777', 'uid=1', 'nr_inodes=1', 'huge=always', 'context=x'],
           'secret': ['id=s,bind-propagation=shared', 'id=s,from=base:1', 'id=s,sharing=locked', 'id=s,source=x', 'id=s,size=1'],
           'ssh': ['bind-propagation=shared', 'size=1', 'sharing=shared']}
failed = []
for kind, options in hostile.items():
    for option in options:
        r = build('FROM base:1\nRUN --mount=type=%s,target=/m,%s echo ran\n' % (kind, option))
        if r.rc == 0 or '-:2' not in r.err:
            failed.append((kind, option, r.rc, r.err[-400:]))
check(not failed, 'nor is anything else an option of cache, tmpfs, secret or ssh', *failed)

# A size that is one reaches the runtime as a number and nothing else.
r = build('FROM base:1\nRUN --mount=type=tmpfs,target=/m,size=1m grep " /m " /proc/self/mountinfo && mount -t tmpfs | grep " /m "\n')
line = [l for l in r.lines() if ' /m ' in l][:1]
check(r.rc == 0 and line and 'nosuid,nodev' in line[0] and 'size=1024k' in line[0], 'a tmpfs has its size, nosuid and nodev', r.err)
write(T + '/ctx/Dockerfile', 'FROM base:1\nRUN --mount=type=bind,target=/m --mount=type=cache,target=/c grep -E " /[mc] " /proc/self/mountinfo\n')
r = build(T + '/ctx')
lines = [l for l in r.lines() if re.search(' /[mc] ', l)]
check(len(lines) == 2 and all('nosuid,nodev' in l and 'shared:' not in l and 'master:' not in l for l in lines), 'bind and cache mounts are private, nosuid and nodev', r.err)
failed = []
for option in ('bind-propagation=rshared;x', 'o=dev', 'exec'):
    r = kiln('bundle', '--volume', T + '/ctx:/m:' + option, 'base:1', T + '/bundle')
    if r.rc == 0 or 'unknown option' not in r.err:
        failed.append((option, r.err))
check(not failed, 'nor do options of --volume pass through', *failed)
done()
