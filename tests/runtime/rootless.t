#!/usr/bin/env python3
# As an ordinary user: with its own id only and with subordinate ranges, no cgroup that it may
# write to; create, exec, kill, delete; mounts of the host whose flags it may add to and not clear.
import json, os, pwd, shutil, subprocess, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bundle import *

user = next((u for u in pwd.getpwall() if u.pw_uid and os.path.exists('/etc/subuid') and any(
    l.startswith(u.pw_name + ':') for l in open('/etc/subuid'))), None)
made = None
locked = os.path.join(DIR, 'locked')
if user is None and shutil.which('useradd'):
    made = 'vt%d' % (os.getpid() % 100000)
    subprocess.run(['useradd', '-M', made], check=True)
    user = pwd.getpwnam(made)
try:
    os.chmod(DIR, 0o755)
    home = os.path.join(DIR, 'home')
    os.mkdir(home)
    program = os.path.join(DIR, 'vessel')
    shutil.copy(VESSEL, program)

    def as_user(*args):
        p = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=open(home + '/out', 'w'),
                           stderr=open(home + '/err', 'w'), user=user.pw_uid, group=user.pw_gid,
                           extra_groups=[], timeout=30, env={'XDG_RUNTIME_DIR': home + '/run'})
        return Result(p.returncode, open(home + '/out').read(), open(home + '/err').read())

    def rootless(ranges, *args, mounts=()):
        c = config(*args)
        c['mounts'] += mounts
        c['linux']['namespaces'].append({'type': 'user'})
        del c['linux']['cgroupsPath']
        for kind, own in (('uid', user.pw_uid), ('gid', user.pw_gid)):
            c['linux'][kind + 'Mappings'] = [{'containerID': 0, 'hostID': own, 'size': 1}]
            if ranges:
                start, size = next(l.split(':')[1:] for l in open('/etc/sub' + kind)
                                   if l.startswith(user.pw_name + ':'))
                c['linux'][kind + 'Mappings'].append(
                    {'containerID': 1, 'hostID': int(start), 'size': int(size)})
        b = bundle(c)
        subprocess.run(['chown', '-R', '%d:%d' % (user.pw_uid, user.pw_gid), b], check=True)
        return b

    os.chown(home, user.pw_uid, user.pw_gid)
    r = as_user(program, 'run', '--bundle', rootless(False, 'sh', '-c', 'id -u; ls -ld /bin | tr -s " " | cut -d" " -f3'), 'a')
    check(r.code == 0 and r.out == '0\nroot\n', 'run with one\'s own id', r)
    # mount_namespaces(7): the flags of what came from a more privileged mount namespace are locked.
    os.mkdir(locked)
    subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', locked], check=True)
    subprocess.run(['mount', '-o', 'remount,bind,ro,nosuid', locked], check=True)
    show = ['sh', '-c', 'grep " /data " /proc/self/mountinfo | cut -d" " -f6']
    for options, want in ((['bind'], 'ro,nosuid,relatime'), (['rbind'], 'ro,nosuid,relatime'),
                          (['bind', 'nodev', 'noexec'], 'ro,nosuid,nodev,noexec,relatime'),
                          (['bind', 'dev'], 'ro,nosuid,relatime'),
                          (['bind', 'rw'], 'clear ro (locked in a user namespace?)'),
                          (['rbind', 'rw'], 'clear ro (locked in a user namespace?)'),
                          (['bind', 'suid', 'ro'], 'clear nosuid (locked in a user namespace?)')):
        data = {'destination': '/data', 'type': 'bind', 'source': locked, 'options': options}
        r = as_user(program, 'run', '--bundle', rootless(False, *show, mounts=[data]), 'locked')
        what = 'a mount of the host with ro and nosuid, bound with %s: ' % ','.join(options)
        if want.startswith('clear'):
            check(r.code == 1 and 'mounts[3] (/data): ' + want in r.err and 'Operation not permitted' in r.err,
                  what + 'refused', r)
        else:
            check(r.code == 0 and r.out == want + '\n', what + want, r)
    with open('/proc/self/mountinfo') as f:
        flags = [l.split()[5] for l in f if l.split()[4] == locked]
    check(flags == ['ro,nosuid,relatime'], 'it is on the host as it was', flags)
    if shutil.which('newuidmap'):
        b = rootless(True, 'sleep', '1000')
        r = as_user(program, 'create', '--bundle', b, 'b')
        check(r.code == 0 and os.path.isdir(home + '/run/vessel/b'),
              'create with subordinate ids, below XDG_RUNTIME_DIR', r)
        r = as_user(program, 'start', 'b')
        check(r.code == 0, 'start', r)
        r = as_user(program, 'exec', '--user', '7:8', 'b', 'sh', '-c', 'id -u; id -g')
        check(r.code == 0 and r.out == '7\n8\n', 'exec as another user', r)
        r = as_user(program, 'exec', 'b', 'sh', '-c', 'kill -9 $$')
        check(r.code == 137, 'exec passes the signal on', r)
        s = json.loads(as_user(program, 'state', 'b').out)
        r = as_user(program, 'exec', 'b', 'sh', '-c',
                    'for n in user pid net mnt uts ipc; do readlink /proc/self/ns/$n; done')
        check(r.out.split() == [os.readlink('/proc/%d/ns/%s' % (s['pid'], n))
                                for n in ('user', 'pid', 'net', 'mnt', 'uts', 'ipc')],
              'exec is in its namespaces', r)
        check(as_user(program, 'kill', 'b', 'KILL').code == 0, 'kill')
        r = as_user(program, 'delete', '--force', 'b')
        check(r.code == 0 and os.listdir(home + '/run/vessel') == [], 'delete', r)
    else:
        skip('subordinate ids', 'no newuidmap')
finally:
    subprocess.run(['umount', locked], stderr=subprocess.DEVNULL)
    if made:
        subprocess.run(['userdel', made])
done()
