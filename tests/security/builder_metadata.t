#!/usr/bin/env python3
# slow
# containerd CVE-2026-53488 and others, GHSA-77vh-xpmg-72qh: what an image says about
# itself is hostile input: labels that steer a runtime, users that are numbers by accident, names that
# are paths, documents without end or in circles, text that steers a terminal.
# Seen to fail with steers_a_runtime() always false: 2; with numbers read as strtoul does: 8 to 46; with
# printable() and json_text() letting everything stand: 86 to 111; without a bound on nested indexes: 139;
# without O_NONBLOCK and the question for a regular file in LayoutSource::open(): the layout with a fifo.
import os
from builder_attack import *

import_base()
busybox = busybox_layer()
LIMIT = 150 << 20
number = 0


def tried(name, *, says=None, layers=(busybox,), verbs=('history', 'inspect', 'images', 'bundle', 'build'), **more):
    """The image through every way in and every verb. `says`: what a refusal says; None: it is taken."""
    global number
    number += 1
    wrong, outputs = [], []
    try:
        data = oci_archive(list(layers), **more)
        where = layout('m%d' % number, list(layers), **more)
    except (TypeError, ValueError) as error:
        return check(False, name, error)
    write(T + '/load.tar', data)
    runs = [('load', Measured('load', '-i', T + '/load.tar')), ('copy', Measured('copy', 'oci:' + where, 'oci:' + where + '-copied:1'))]
    write(T + '/Dockerfile', 'FROM lay\nRUN true\n')
    shutil.rmtree(T + '/fresh', ignore_errors=True)
    runs.append(('oci-layout', Measured('build', '--store', T + '/fresh', '--runtime', RUNTIME, '--build-context', 'lay=oci-layout://' + where, '-f', T + '/Dockerfile', T + '/empty')))
    if runs[0][1].rc == 0 and says is None:
        for verb in verbs:
            kiln('bundle', '--rm', T + '/bundle')
            words = {'history': ['history', '--no-trunc', 'evil:1'], 'inspect': ['inspect', 'evil:1'], 'images': ['images'], 'bundle': ['bundle', 'evil:1', T + '/bundle', '--', 'id'],
                     'build': ['build', '--runtime', RUNTIME, '--progress', 'plain', '-']}[verb]
            r = Measured(*words, input=b'FROM evil:1\nRUN true\n' if verb == 'build' else None)
            runs.append((verb, r))
    for how, r in runs:
        outputs.append(r.out + r.err)
        if r.rc not in (0, 1) or r.memory > LIMIT or r.seconds > 15 or re.search(r'[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]', r.out + r.err):
            wrong.append('%s: %s' % (how, str(r)))
        if says is not None and how != 'copy' and (r.rc != 1 or not re.search(says, r.err)):
            wrong.append('%s was not refused with %r: %s' % (how, says, r))
        if says is None and r.rc != 0:
            wrong.append('%s: %s' % (how, r))
    kiln('rmi', 'evil:1')
    check(not wrong, name, *wrong)
    return outputs


os.makedirs(T + '/empty')
set = lambda **fields: lambda c: c['config'].update(fields)


def bundle_of(*words):
    kiln('bundle', '--rm', T + '/bundle')
    r = kiln('bundle', *words, 'evil:1', T + '/bundle', '--', '/bin/sh', '-c', 'id; pwd; env')
    c = json.load(open(T + '/bundle/config.json')) if r.rc == 0 else None
    return r, c


# ---- labels become annotations, and annotations are orders to runtimes ----
orders = {'org.systemd.property.ExecStartPost': "'/bin/touch /x'", 'org.systemd.property.DeviceAllow': "[('/dev/sda', 'rwm')]", 'run.oci.hooks.stdout': HOST + '/secret', 'run.oci.hooks.stderr': HOST + '/new', 'run.oci.delegate-cgroup': 'x', 'run.oci.systemd.subgroup': 'x',
          'run.oci.keep_original_groups': '1', 'run.oci.handler': 'wasm', 'run.oci.seccomp.receiver': HOST + '/socket', 'run.oci.seccomp_bpf_data': 'AAAA', 'run.oci.seccomp_fail_unknown_syscall': '0', 'run.oci.mount_context_type': 'x', 'run.oci.pidfd_receiver': HOST + '/socket',
          'org.criu.config': HOST + '/secret', 'run.vessel.ports': 'x', 'run.vessel.healthcheck': '{"Test":["CMD-SHELL","touch /x"]}', 'module.wasm.image/variant': 'compat', 'io.katacontainers.config.hypervisor.path': '/bin/sh', 'dev.gvisor.flag.debug': 'true', 'io.kubernetes.cri-o.userns-mode': 'x', '': 'empty'}
load(oci_archive([busybox], config=set(Labels=orders | {'com.example.plain': 'kept', 'org.opencontainers.image.title': 'kept'})))
r, c = bundle_of()
if check(r.rc == 0, 'an image whose labels are orders to a runtime becomes a bundle', r.err):
    given = c.get('annotations', {})
    check(not [k for k in orders if k in given], 'none of them is an annotation of it', given)
    equal([given.get(k) for k in ('com.example.plain', 'org.opencontainers.image.title')], ['kept', 'kept'], 'other labels are (image-spec, conversion.md)')
    for runtime in [RUNTIME] + [p for p in (shutil.which('crun'), shutil.which('runc')) if p]:
        run = subprocess.run([runtime, '--root', T + '/state', 'run', '--bundle', T + '/bundle', 'metadata-%d' % os.getpid()], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if 'hybrid mode not supported' in run.stderr:
            skip('and it runs under ' + os.path.basename(runtime), 'cgroups of one version for ' + os.path.basename(runtime))
            continue
        check(run.returncode == 0 and 'uid=0' in run.stdout, 'and it runs under ' + os.path.basename(runtime), run.stderr)
unharmed('and writes nothing to the host')
kiln('bundle', '--rm', T + '/bundle')

# ---- users ----
for user in ('-1', '4294967296', '4294967295', '0x0', '00x', '1e3', ' 0', '0 ', '+0', '0:', 'nobody:-1', '0:4294967295', ':', 'root:root:root', '١', '../etc/passwd', '%s', '1;id', '$(id)', '18446744073709551616'):
    load(oci_archive([busybox], config=set(User=user)))
    r, c = bundle_of()
    good = r.rc == 1 and ('not in the image' in r.err or 'no /etc/passwd' in r.err) if user not in ('0:', ':') else r.rc == 0 and c['process']['user']['uid'] == 0
    check(good, 'user %r is refused, or root by what it says' % user, r.err, c and c['process']['user'])
    kiln('bundle', '--rm', T + '/bundle')
    b = build('FROM evil:1\nRUN id\n')
    check(b.rc == (0 if user in ('0:', ':') else 1), 'and in RUN', b.err)
for user in ('root\n', 'root\nUSER x', '\x1b[2J', 'a' * 5000, 'root\0x'):
    tried('user %r' % user[:12], config=set(User=user), says='User.*(control|too long|NUL)')

# ---- working directory, environment, ports, volumes ----
for cwd in ('/../../../' + HOST, HOST + '/dir', '/proc/self/fd/7', '//..//x', '/a/./b/../../../x'):
    load(oci_archive([busybox], config=set(WorkingDir=cwd)))
    r, c = bundle_of()
    check(r.rc == 0, 'working directory %r is inside the root' % cwd.replace(T, '…'), r.err)
    kiln('bundle', '--rm', T + '/bundle')
    b = build('FROM evil:1\nRUN pwd; ls; echo x > made-in-cwd\nCOPY --from=base:1 /bin/busybox here\n')
    check((b.rc == 0 or 'fd' in cwd) and MARK not in b.err, 'and in RUN', b.err)
for cwd in ('relative', '../..', '.', ' /x'):
    load(oci_archive([busybox], config=set(WorkingDir=cwd)))
    r, c = bundle_of()
    check(r.rc == 1 and 'no absolute path' in r.err, 'working directory %r is refused' % cwd, r.err)
    b = build('FROM evil:1\nRUN pwd\n')
    check(b.rc == 0 or 'absolute' in b.err, 'and in RUN it is refused or means the root\'s', b.err)
unharmed('no working directory was made on the host')
tried('a working directory with a newline', config=set(WorkingDir='/x\ny'), says='WorkingDir')
tried('an environment with NUL', config=set(Env=['A=1\0B=2']), says='Env.*NUL')
tried('a command with NUL', config=set(Cmd=['/bin/sh\0x']), says='Cmd.*NUL')
tried('an entrypoint with NUL', config=set(Entrypoint=['a\0']), says='Entrypoint.*NUL')
tried('a trigger with NUL', config=set(OnBuild=['RUN a\0b']), says='OnBuild.*NUL')
load(oci_archive([busybox], config=set(Env=['NOVALUE', '=x', '', 'A=two\nlines', 'LD_PRELOAD=' + HOST + '/x', 'B=$(touch %s/new)' % HOST, 'é=1'])))
r, c = bundle_of()
check(r.rc == 0 and 'A=two\nlines' in c['process']['env'] and not [e for e in c['process']['env'] if e.find('=') < 1], 'an environment without = or names', r.err, c and c['process']['env'])
kiln('bundle', '--rm', T + '/bundle')
b = build('FROM evil:1\nRUN env\n')
check(b.rc == 0, 'and in RUN', b.err)
tried('ports that are none', config=set(ExposedPorts={'99999/tcp': {}, '-1': {}, 'x/y': {}, '80/../..': {}, '$(id)': {}}), verbs=('inspect', 'build'))
tried('ports with a control character', config=set(ExposedPorts={'80\x1b[2J': {}}), says='ExposedPorts')
load(oci_archive([busybox], config=set(Volumes={'/../../' + HOST: {}, '/proc': {}, '/a': {}})))
r, c = bundle_of()
check(r.rc == 1 or not any(m.get('source', '').startswith(HOST) for m in c['mounts']), 'volumes that climb are in the root', r.err)
kiln('bundle', '--rm', T + '/bundle')
unharmed('volumes made nothing on the host')
tried('a stop signal with a newline', config=set(StopSignal='KILL\nx'), says='StopSignal')
tried('a health check of huge numbers', config=set(Healthcheck={'Test': ['CMD', 'x'], 'Interval': 1 << 62, 'Retries': 1 << 62}))
tried('numbers that are none', config=set(Healthcheck={'Interval': '1'}), says='Interval')

# ---- terminals ----
E = '\x1b]0;owned\x07\x1b[2J\x1b[31m\u009b2J\x07\x08\x7f\u202e'
def steer(c):
    c['history'] = [{'created_by': 'RUN ' + E + ' x' * 30 + E, 'comment': E, 'author': E}]
    c['author'] = E
    c['config']['Labels'] = {'l' + E: E}
    c['config']['Env'] = ['A=' + E]
    c['config']['Cmd'] = ['/bin/sh', E]
out = tried('text for a terminal in history, labels, environment', config=steer, manifest=lambda m: m.update(annotations={'a' + E: E}))
check(any('\\x1b' in o or '\\u001b' in o for o in out), 'is shown, by numbers')
load(oci_archive([busybox], config=steer))
for words in (['history', 'evil:1'], ['history', '--format', '{{.CreatedBy}}', 'evil:1'], ['history', '--format', 'json', 'evil:1'], ['inspect', '--format', '{{.Author}} {{json .Config}}', 'evil:1'], ['inspect', '--type', 'config', 'evil:1'], ['inspect', '--type', 'manifest', 'evil:1'],
              ['images', '--format', 'json'], ['diff', 'evil:1', 'base:1'], ['diff', '--format', 'json', 'evil:1', 'base:1'], ['build', '--progress', 'plain', '-'], ['build', '--progress', 'json', '-'], ['run', '--rm', 'evil:1', '/none' + E], ['bundle', '--user', 'x' + E, 'evil:1', T + '/b9']):
    r = kiln(*words, input=b'FROM evil:1\nRUN true\nCOPY --from=evil:1 /none\x1b[2J /x\n')
    check(not re.search('[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]', r.out + r.err), 'nothing of it reaches a terminal: kiln ' + ' '.join(words).replace(E, '…'), repr(r.out[-500:]), repr(r.err[-500:]))
names = archive(file('evil' + E), symlink('l' + E, E), pax(**{'SCHILY__xattr__trusted__' + E.replace('=', ''): b'x'}) + file('f'))
load(oci_archive([busybox, names]))
r = kiln('diff', 'evil:1', 'base:1')
check('\x1b' not in r.out + r.err and 'evil' in r.out, 'nor do names of files', r.out)
kiln('rmi', 'evil:1')
for name in ('a' + E, '../../x', 'UPPER/x', 'x:' + E, '/etc/passwd'):
    tried('an image of the name %r' % name[:9], index=lambda i, _: i['manifests'][0]['annotations'].update({'org.opencontainers.image.ref.name': name}), verbs=())
    r = kiln('images')
    check(not re.search('[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]', r.out + r.err), 'and it is listed by numbers, or not', repr(r.out))

# ---- sizes, digests, circles, kinds ----
layer = lambda **f: lambda m: m['layers'][0].update(f)
tried('a negative size', manifest=layer(size=-1), says='negative')
tried('a size of 2^63', manifest=layer(size=1 << 63), says='size')
tried('a size that lies', manifest=layer(size=10), says='size|bytes')
tried('a size that is a float', manifest=layer(size=1.5), says='size')
for d in ('sha256:../../x', 'sha256:' + '../' * 21 + 'x', 'sha256:' + 'A' * 64, 'sha256:' + 'a' * 63, 'md5:' + 'a' * 32, '../../../etc/passwd', 'sha256:' + 'a' * 64 + '\n', 'sha256:', '', HOST + '/secret'):
    tried('the digest %r' % d[:20], manifest=layer(digest=d), says='digest')
    tried('the diff id %r' % d[:20], config=lambda c: c['rootfs'].update(diff_ids=[d]), says='digest')
tried('fewer diff ids than layers', config=lambda c: c['rootfs'].update(diff_ids=[]), says='diff ids')
tried('a thousand layers of one blob', manifest=lambda m: m.update(layers=m['layers'] * 5000), says='layers|items|larger|members|diff')
INDEX = 'application/vnd.oci.image.index.v1+json'


def nested(depth):
    def change(i, blobs):
        for _ in range(depth):
            data = json.dumps({'schemaVersion': 2, 'mediaType': INDEX, 'manifests': i['manifests']}).encode()
            blobs[sha(data)] = data
            i['manifests'] = [{'mediaType': INDEX, 'digest': sha(data), 'size': len(data), 'annotations': {'org.opencontainers.image.ref.name': 'docker.io/library/evil:1'}}]
    return change


tried('an index in an index', index=nested(1))
tried('indexes without end', index=nested(50), says='nested too deeply')
tried('a manifest that is named an index', index=lambda i, _: i['manifests'][0].update(mediaType=INDEX), says='index')
tried('an index that is named a manifest', index=lambda i, b: (nested(1)(i, b), i['manifests'][0].update(mediaType='application/vnd.oci.image.manifest.v1+json'))[0], says='manifest|mediaType')
tried('a manifest that is both', manifest=lambda m: m.update(manifests=[]), says='must not occur')
tried('a config that is a layer', manifest=lambda m: m['config'].update(m['layers'][0]), says='larger|config|JSON|line 1')
tried('100 MB of config', config=lambda c: json.dumps(c).encode()[:-1] + b',"x":"' + b'a' * (100 << 20) + b'"}', says='larger|too large')
tried('15 MB of one label', config=set(Labels={'x': 'a' * (15 << 20)}), says='Labels|larger|long')
tried('a config of 200,000 labels', config=set(Labels={'l%d' % i: '' for i in range(200000)}), says='Labels|members|items')
tried('a config nested deeply', config=lambda c: json.dumps(c).encode()[:-1] + b',"x":' + b'[' * 100000 + b']' * 100000 + b'}', says='nested|deep')
tried('a config that is no UTF-8', config=lambda c: json.dumps(c).encode()[:-1] + b',"author":"\xff\xfe"}', says='no JSON')
tried('a config that comes twice', config=lambda c: json.dumps(c).encode() * 2, says='no JSON')
tried('dates that are none', config=lambda c: c.update(created='yesterday\x1b[2J'), says='created')
for kind in ('blobs', 'index'):
    where = layout('fifo-' + kind, [busybox])
    name = where + '/index.json' if kind == 'index' else where + '/blobs/' + sha(busybox).replace(':', '/')
    os.unlink(name), os.mkfifo(name)
    shutil.rmtree(T + '/fresh', ignore_errors=True)
    r = Measured('build', '--store', T + '/fresh', '--build-context', 'lay=oci-layout://' + where, '-f', T + '/Dockerfile', T + '/empty', limit=10)
    check(r.rc == 1 and r.seconds < 5 and 'regular file' in r.err, 'a layout with a fifo: ' + kind, r)
unharmed('the host is as it was')
done()
