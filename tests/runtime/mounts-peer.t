#!/usr/bin/env python3
"""The same bundles under vessel and under runc: what the container sees of its mounts is compared."""
import json, os, shutil, subprocess, sys, tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VESSEL = os.environ.get('VESSEL', os.path.join(TOP, 'build/runtime/vessel'))
RUNC, BUSYBOX = shutil.which('runc'), shutil.which('busybox')
lacks = 'root' if os.geteuid() != 0 else 'busybox' if not BUSYBOX else 'runc' if not RUNC else ''
if lacks:
    print(f'1..0 # SKIP no {lacks}')
    sys.exit(0)

work = tempfile.mkdtemp(prefix='vessel-mounts-')
os.chmod(work, 0o755)
count = 0

USUAL = [
    {'destination': '/proc', 'type': 'proc', 'source': 'proc'},
    {'destination': '/dev', 'type': 'tmpfs', 'source': 'tmpfs', 'options': ['nosuid', 'strictatime', 'mode=755', 'size=65536k']},
    {'destination': '/dev/pts', 'type': 'devpts', 'source': 'devpts',
     'options': ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5']},
]


def bundle(name, change):
    path = os.path.join(work, name)
    os.makedirs(os.path.join(path, 'rootfs/bin'))
    for directory in ('proc', 'dev', 'sys', 'etc', 'fixed', 'hidden/x', 'shaped'):
        os.makedirs(os.path.join(path, 'rootfs', directory))
    os.chmod(os.path.join(path, 'rootfs/shaped'), 0o711)
    with open(os.path.join(path, 'rootfs/secret'), 'w') as f:
        f.write('secret')
    shutil.copy(BUSYBOX, os.path.join(path, 'rootfs/bin/busybox'))
    for applet in ('sh', 'cat', 'ls', 'stat', 'touch', 'find', 'sed', 'awk', 'sort', 'id', 'readlink'):
        os.symlink('busybox', os.path.join(path, 'rootfs/bin', applet))
    os.makedirs(os.path.join(path, 'source/below'))
    with open(os.path.join(path, 'source/file'), 'w') as f:
        f.write('content')
    config = {'ociVersion': '1.0.2', 'root': {'path': 'rootfs'}, 'mounts': list(USUAL),
              'process': {'terminal': False, 'cwd': '/', 'user': {'uid': 0, 'gid': 0}, 'env': ['PATH=/bin'],
                          'args': ['/bin/sh', '-c', LOOK]},
              'linux': {'namespaces': [{'type': t} for t in ('pid', 'mount', 'ipc', 'uts')]}}
    change(config, path)
    with open(os.path.join(path, 'config.json'), 'w') as f:
        json.dump(config, f)
    return path


# Mount points with the options of the mount, the type and the peer groups' kinds; modes; effects.
LOOK = r'''
awk '{ tags=""; for (i=7; $i != "-"; i++) { sub(/:.*/, "", $i); tags = tags "," $i }
       print "mount", $5, $6, tags, $(i+1) }' /proc/self/mountinfo | sort
for p in /dev/* /dev/pts/ptmx /shaped /data /fixed /secret /hidden; do
  [ -e $p ] && echo "node $p $(stat -c '%F %a %u:%g %t:%T' $p)"; done
for p in /x /fixed/x /data/x /volume/x /volume/below/x; do touch $p 2>/dev/null && echo "writes $p"; done
ls /hidden /data /volume 2>/dev/null; cat /secret /volume/file 2>/dev/null; readlink /dev/ptmx; readlink /dev/fd; exit 0
'''


def run(program, path, name):
    root = tempfile.mkdtemp(prefix='state-', dir=work)
    done = subprocess.run([program, '--root', root, 'run', '--bundle', path, name], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20)
    return done.returncode, done.stdout


def compare(name, change, expected=lambda line: line):
    """`expected` maps a line of runc's to vessel's, None where vessel has none."""
    global count
    count += 1
    results = []
    for program, label in ((VESSEL, 'v'), (RUNC, 'r')):
        path = bundle(f'{name}-{label}', change)
        status, output = run(program, path, f'mp-{os.getpid()}-{name}-{label}')
        results.append((status, [line for line in output.replace(path, 'BUNDLE').splitlines()]))
    (mine, own), (theirs, peer) = results
    peer = [line for line in map(expected, peer) if line is not None]
    good = mine == theirs == 0 and sorted(own) == sorted(peer)
    print(f"{'ok' if good else 'not ok'} {count} - {name}")
    if not good:
        print(f'# exit {mine}, runc {theirs}')
        for line in own:
            if line not in peer:
                print('# only vessel: ' + line)
        for line in peer:
            if line not in own:
                print('# only runc:   ' + line)
    sys.stdout.flush()


def mounts(*entries):
    def change(config, path):
        for destination, kind, source, options in entries:
            config['mounts'].append({'destination': destination, 'type': kind,
                                     'source': source.replace('BUNDLE', path), 'options': options})
    return change


def linux(**members):
    return lambda config, path: config['linux'].update(members)


def readonly(config, path):
    config['root']['readonly'] = True


def user_namespace(config, path):
    config['linux']['namespaces'] += [{'type': 'user'}, {'type': 'network'}]
    for kind in ('uidMappings', 'gidMappings'):
        config['linux'][kind] = [{'containerID': 0, 'hostID': 100000, 'size': 65536}]
    os.chown(os.path.join(path, 'rootfs'), 100000, 100000)
    mounts(('/volume', 'bind', 'BUNDLE/source', ['rbind', 'ro', 'nosuid']),
           ('/sys', 'sysfs', 'sysfs', ['nosuid', 'noexec', 'nodev', 'ro']),
           ('/data', 'tmpfs', 'tmpfs', ['mode=700']))(config, path)


# vessel's masks of files are read-only (chmod of one would change the node behind it), those of
# directories have more flags as well.
def masks(line):
    words = line.split()
    if len(words) < 3:
        return line
    if words[0] == 'mount' and words[1] in ('/secret', '/proc/keys'):
        return line.replace(' rw,', ' ro,')
    if words[0] == 'mount' and words[1] == '/hidden':
        return line.replace(' ro,', ' ro,nosuid,nodev,noexec,')
    return line.replace('node /hidden directory 1777', 'node /hidden directory 1777')


try:
    compare('usual', lambda config, path: None)
    compare('readonly-root', readonly)
    compare('tmpfs', mounts(('/data', 'tmpfs', 'tmpfs', ['nosuid', 'noexec', 'size=64k', 'mode=1770', 'uid=3'])))
    compare('tmpfs-shape', mounts(('/shaped', 'tmpfs', 'tmpfs', [])))
    compare('tmpfs-readonly', mounts(('/data', 'tmpfs', 'tmpfs', ['ro', 'mode=755'])))
    compare('tmpcopyup', mounts(('/hidden', 'tmpfs', 'tmpfs', ['tmpcopyup', 'nodev', 'mode=755'])))
    compare('bind-ro', mounts(('/volume', 'bind', 'BUNDLE/source', ['bind', 'ro', 'nodev'])))
    compare('rbind-private', mounts(('/volume', 'bind', 'BUNDLE/source', ['rbind', 'rprivate', 'rw', 'nosuid'])))
    compare('bind-shared', mounts(('/volume', 'bind', 'BUNDLE/source', ['rbind', 'rshared'])))
    compare('bind-slave', mounts(('/volume', 'bind', 'BUNDLE/source', ['rbind', 'rslave'])))
    compare('bind-file', mounts(('/volume/file', 'bind', 'BUNDLE/source/file', ['bind', 'noexec'])))
    compare('bind-noatime', mounts(('/volume', 'bind', 'BUNDLE/source', ['bind', 'noatime', 'nodiratime'])))
    compare('sysfs', mounts(('/sys', 'sysfs', 'sysfs', ['nosuid', 'noexec', 'nodev', 'ro'])))
    compare('mqueue', mounts(('/dev/mqueue', 'mqueue', 'mqueue', ['nosuid', 'noexec', 'nodev'])))
    compare('masked', linux(maskedPaths=['/secret', '/hidden', '/proc/keys', '/none']), masks)
    compare('readonly-paths', linux(readonlyPaths=['/fixed', '/proc/sys', '/none']))
    compare('devices', linux(devices=[
        {'path': '/dev/fuse', 'type': 'c', 'major': 10, 'minor': 229, 'fileMode': 0o600, 'uid': 5, 'gid': 6},
        {'path': '/dev/pipe', 'type': 'p', 'fileMode': 0o640}]))
    # Not shared: runc 1.1 leaves such a root private, which the spec does not say.
    for kind in ('slave', 'private', 'rslave', 'rprivate'):
        compare(f'root-{kind}', linux(rootfsPropagation=kind))
    compare('user-namespace', user_namespace)
finally:
    shutil.rmtree(work, ignore_errors=True)
print(f'1..{count}')
