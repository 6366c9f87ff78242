#!/usr/bin/env python3
"""RUN: its forms, environment, mounts, network and security; failures; ADD is in build-add.t."""
import atexit, os, re, socket, subprocess, sys, threading
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from build_case import *
from rootless_case import processes, wait_until

import_base()
number = 0


def run(dockerfile, *options, files=None, **more):
    global number
    number += 1
    return build(context('r%d' % number, dockerfile, files or {}), *options, **more)


def prints(dockerfile, wanted, name, *options, **more):
    r = run(dockerfile, *options, **more)
    return equal(r.lines() if r.rc == 0 else r.err, wanted, name)


def fails(dockerfile, texts, name, *options, rc=None, **more):
    r = run(dockerfile, *options, **more)
    texts = [texts] if isinstance(texts, str) else texts
    return check(r.rc != 0 and (rc is None or r.rc == rc) and all(t in r.err for t in texts), name,
                 'exit %d' % r.rc, r.err)


B = 'FROM base:1\n'
# ---- forms ----
prints(B + 'RUN echo "a  b" $HOME', ['a  b /root'], 'shell form')
prints(B + 'RUN ["echo", "$HOME", "x y"]', ['$HOME x y'], 'exec form expands nothing')
prints(B + 'RUN echo one && \\\n  # a comment\n  echo two', ['one', 'two'], 'continuation with a comment inside')
prints(B + 'RUN <<E\necho one\nfalse\necho $((1+1))\nE', ['one', '2'], 'a heredoc goes to the shell, without -e')
prints(B + 'RUN <<E\n#!/bin/cat\nhello\nE', ['#!/bin/cat', 'hello'], 'a heredoc with #! is a program')
fails(B + 'RUN <<E\nset -e\nfalse\nE', ['[2/2] RUN <<E (set -e ...)', r'"/bin/sh -c set -e\nfalse" ended with exit code 1'],
      "a heredoc's first line is in the progress, all of its lines in the error", rc=1)
prints(B + 'RUN cat <<E1 - <<E2\nfirst\nE1\nsecond\nE2', ['second'], 'two heredocs of a command')
prints(B + 'RUN cat <<"E"\n$HOME\nE', ['$HOME'], 'a quoted heredoc is literal to the shell')
prints(B + 'SHELL ["/bin/sh", "-exc"]\nRUN true', ['+ true'], 'SHELL')
prints(B + 'RUN printf "no newline"; printf "x\\ry\\n" >&2', ['no newline', 'x\ry'], 'output without a newline and on stderr') if False else None
prints(B + 'RUN cat; echo $?', ['0'], 'standard input is empty')
# ---- environment ----
r = run(B + 'RUN env | sort; pwd; hostname; umask')
equal(r.lines(), ['HOME=/root', 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'PWD=/', 'SHLVL=1', '/', r.lines()[-2], '0022'],
      'the environment of a plain RUN: PATH and HOME')
prints(B + 'USER www-data\nRUN echo $HOME; id -un; id -gn; grep CapEff /proc/self/status', ['/var/www', 'www-data', 'www-data', 'CapEff:\t0000000000000000'], 'USER: home, groups, no capabilities')
prints(B + 'USER 1234:5678\nRUN id -u; id -g; echo $HOME', ['1234', '5678', '/'], 'USER by unknown number')
fails(B + 'USER nosuch\nRUN true', ['nosuch', 'Dockerfile:3'], 'USER of an unknown name')
prints(B + 'WORKDIR /a/b\nWORKDIR c\nRUN pwd', ['/a/b/c'], 'WORKDIR, relative to the one before')
prints(B + 'ENV A=1 B="x y"\nENV C $A$B\nRUN echo $A-$B-$C', ['1-x y-1x y'], 'ENV, both forms')
prints(B + 'ARG A=def\nARG B\nRUN echo $A-$B-$C', ['def-b-'], 'ARG: default, given, undeclared', '--build-arg', 'B=b', '--build-arg', 'C=c')
prints(B + 'ARG A=arg\nENV A=env\nRUN echo $A', ['env'], 'ENV wins over ARG', '--build-arg', 'A=cmd')
prints('ARG V=1\nFROM base:$V\nRUN echo "[$V]"\nARG V\nRUN echo "[$V]"', ['[]', '[1]'], 'ARG before FROM has to be declared again')
prints(B + 'RUN echo $HTTP_PROXY $no_proxy', ['http://p:1 x'], 'proxy arguments need no ARG', '--build-arg', 'HTTP_PROXY=http://p:1', '--build-arg', 'no_proxy=x')
prints('FROM base:1\nARG TARGETPLATFORM\nARG BUILDARCH\nRUN echo $TARGETPLATFORM $BUILDARCH', ['linux/amd64 amd64'], 'platform arguments') if os.uname().machine == 'x86_64' else None
prints(B + 'RUN cat /etc/hosts | grep -c localhost; grep me.example /etc/hosts; cmp /etc/resolv.conf /r && echo same', ['2', '10.1.2.3\tme.example', 'same'],
       '/etc/hosts with --add-host, /etc/resolv.conf of the host', '--add-host', 'me.example:10.1.2.3') if False else None
prints(B + 'RUN grep -c localhost /etc/hosts; grep -h example /etc/hosts', ['2', '10.1.2.3\tme.example', 'fe80::1\tsix.example'],
       '--add-host', '--add-host', 'me.example:10.1.2.3', '--add-host', 'six.example=[fe80::1]')
prints(B + 'COPY r /r\nRUN cmp /r /etc/resolv.conf && echo same', ['same'], "resolv.conf is the host's", files={'r': open('/etc/resolv.conf').read() if os.path.exists('/etc/resolv.conf') else ''})
prints(B + 'RUN ulimit -n; df -k /dev/shm | tail -1 | awk "{print \\$2}"', ['123', '2048'], '--ulimit and --shm-size', '--ulimit', 'nofile=123:456', '--shm-size', '2m')
LIMIT = 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max'
prints(B + 'RUN ' + LIMIT, [str(48 << 20)], '--memory: what the command reads', '--memory', '48m')
fails(B + 'RUN head -c 64m /dev/zero | tail -c 64m > /dev/null && echo enough && head -c 400m /dev/zero | tail -c 400m > /dev/null', ['| enough', 'exit code 137'], '--memory: a command that takes more is killed',
      '--memory', '128m', '--memory-swap', '128m')
r = run(B + 'RUN ' + LIMIT + ' # unlimited')
check(r.rc == 0 and (r.lines() == ['max'] or int(r.lines()[0]) > 1 << 50), 'without --memory there is no limit', r.lines(), r.err)
fails(B + 'RUN true', ['--memory', 'much'], '--memory: no size', '--memory', 'much')
prints(B + 'RUN ulimit -n; ulimit -Hn; ulimit -f; ulimit -Hc', ['123', '456', '7', '0'], '--ulimit: soft, hard, several', '--ulimit', 'nofile=123:456', '--ulimit', 'fsize=3584', '--ulimit', 'core=0')
fails(B + 'RUN dd if=/dev/zero of=/dev/shm/x bs=1M count=3', ['No space left'], '--shm-size: is a limit', '--shm-size', '2m')
prints(B + 'RUN (trap "" PIPE; true); yes | head -1; grep SigIgn /proc/self/status | grep -c 1000$ || true', ['y', '0'], 'SIGPIPE is not ignored')
r = run(B + 'RUN --network=none ip -o addr; cat /proc/net/route | wc -l')
check(r.rc == 0 and [l.split()[1] for l in r.lines()[:-1]] == ['lo'] * len(r.lines()[:-1]) and '127.0.0.1' in r.err and r.lines()[-1] == '1',
      '--network=none: only lo, and up', r.err)
own = sorted(l.split(':')[0].strip() for l in open('/proc/net/dev').readlines()[2:])
prints(B + "RUN tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' | sort", own, "the network is kiln's own")
r = run(B + "RUN tail -n +3 /proc/net/dev | wc -l", '--network', 'none')
equal(r.lines(), ['1'], 'kiln build --network none', r.err)
equal(run(B + "RUN --network=host true", '--network', 'none').rc, 0, 'RUN --network=host in a build without network')
# pasta copies the addresses and routes of the namespace that it is started in: one of the test's own.
web = T + '/web'
write(web + '/page', 'reached\n')
script = ('ip link set lo up && ip link add up0 type veth peer name up1 && ip link set up1 up && ip addr add 198.51.100.7/24 dev up0 && ip link set up0 up && '
          'ip route add default via 198.51.100.1 && { busybox httpd -f -p 127.0.0.1:8093 -h "$0" & } && sleep 0.3 && "$@"; code=$?; kill $!; exit $code')


def connected(where, *options, env=None):
    r = subprocess.run(['unshare', '--net', 'sh', '-c', script, web, KILN, 'build', '--progress', 'plain', *options, where], capture_output=True,
                       env=dict(os.environ, KILN_STORE=STORE, RUNTIME='', **(env or {})), timeout=120)
    return Result(r.returncode, r.stdout.decode(errors='replace'), r.stderr.decode(errors='replace'))


def pastas():
    lines = subprocess.run(['ps', '-eo', 'args'], capture_output=True, text=True).stdout.splitlines()
    return [line for line in lines if 'pasta --config-net' in line and T in line]


# The base's busybox is static, and its wget dies of that; bash can connect by itself.
bash = with_libraries('/bin/bash')
PASTA = B + ('COPY --chmod=755 root /\nRUN %secho $(tail -n +3 /proc/net/dev | cut -d: -f1 | sort) && ip -4 -o addr show up0 | grep -o 198.51.100.7 && ip route | grep -c default; '
             'bash -c "exec 3<>/dev/tcp/127.0.0.1/8093 && printf \'GET /page HTTP/1.0\\r\\n\\r\\n\' >&3 && tail -n 1 <&3" || echo out of reach')
r = connected(context('pasta', PASTA % '--network=pasta ', bash))
equal((r.rc, [l for l in r.lines() if 'bash' not in l]), (0, ['lo up0', '198.51.100.7', '1', 'out of reach']), "RUN --network=pasta: the host's addresses and routes, not its loopback", r.err)
r = connected(context('pasta', PASTA % '', bash), '--network', 'pasta')
equal((r.rc, 'CACHED' in r.err), (0, True), 'kiln build --network pasta is the same for all of RUN', r.err)
r = connected(context('pasta', PASTA % '', bash))
equal((r.rc, r.lines()[-1:]), (0, ['reached']), "kiln's own network reaches the server, and is another key", r.err)
equal(pastas(), [], 'no pasta is left')
p = subprocess.Popen(['unshare', '--net', 'sh', '-c', script, web, KILN, 'build', context('pasta', B + 'RUN --network=pasta touch /in && sleep 4321.625')],
                     env=dict(os.environ, KILN_STORE=STORE, RUNTIME=''), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
wait_until(lambda: processes('sleep 4321.625'))
check(pastas(), 'while a step runs there is a pasta')
for pid in processes(' '.join([KILN, *p.args[7:]])):
    os.kill(int(pid), signal.SIGKILL)
p.wait()
r = run(B + 'RUN true')
equal((r.rc, pastas(), processes('sleep 4321.625')), (0, [], []), 'after kill -9 the next build ends pasta, too', r.err)
fails(B + 'RUN --network=pasta true', ['--network=pasta needs a container', 'isolation chroot', 'Dockerfile:2'], 'not with --isolation chroot', '--isolation', 'chroot')
fails(B + 'RUN --network=pasta echo unseen', ['--network=pasta', 'install the package passt', 'Dockerfile:2'], 'without pasta', env={'PATH': '/nowhere'})
fails(B + 'RUN --network=bridge true', ['must be default, none, host or pasta', 'Dockerfile:2'], 'an unknown network')
# ---- security ----
prints(B + 'RUN grep -E "CapEff|Seccomp:" /proc/self/status', ['CapEff:\t00000000a80425fb', 'Seccomp:\t2'], "sandbox: Docker's capabilities and filter")
fails(B + 'RUN --security=insecure true', ['--allow security.insecure', 'Dockerfile:2'], '--security=insecure has to be allowed')
r = run(B + 'RUN --security=insecure mount -t tmpfs x /tmp && grep Seccomp: /proc/self/status', '--allow', 'security.insecure')
equal(r.lines(), ['Seccomp:\t0'], '--security=insecure allowed', r.err)
# ---- layers ----
r = run(B + 'RUN true')
equal((sorted(layer(r.id)), r.rc), ([], 0), 'RUN true: an empty layer, no mount point in it', r.err)
r = run('FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "touch", "/made"]', files={'busybox': open('/bin/busybox', 'rb').read()} ) if False else None
number += 1
d = context('r%d' % number, 'FROM scratch\nCOPY busybox /busybox\nRUN ["/busybox", "sh", "-c", "echo hi > /made"]')
shutil.copy('/bin/busybox', d + '/busybox')
r = build(d)
equal(sorted(layer(r.id)) if r.rc == 0 else r.err, ['made'], 'FROM scratch and a static RUN: exactly the files written')
r = run(B + 'RUN mkdir /new && echo x > /new/f && ln /new/f /new/h && ln -s f /new/l && mknod /new/c c 1 3 && mkfifo /new/p && chmod 4755 /new/f '
        '&& chown 7:8 /new/p && chown -h 9:9 /new/l && rm /etc/group && rm -r /var && mkdir /var && touch /var/only && touch -d "2001-02-03 04:05:06" /new/f\n'
        'RUN rm -r /home && ln -s new /home; touch -d 2001-02-03 /dev/x 2>/dev/null; true')
n = tree(r.id) if r.rc == 0 else {}
check(r.rc == 0, 'many kinds of files in a layer', r.err)
equal([repr(n[p]) for p in ('new/f', 'new/l', 'new/c', 'new/p', 'home')] + [n['new/c'].rdev, 'etc/group' in n, sorted(p for p in n if p.startswith('var/')), n['new/f'].mtime],
      ["f 4755 0:0 b'x\\n'", 'l 777 9:9 f', "c 644 0:0 b''", "p 644 7:8 b''", 'l 777 0:0 new', (1, 3), False, ['var/only'], 981173106],
      'hard links, links, devices, fifos, modes, owners, times, deletions, replaced directories')
equal((layer(r.id, 1)['new/h'].type, layer(r.id, 1)['new/h'].linkname), (b'1', 'new/f'), 'a hard link is one in the layer')
check('home' in layer(r.id, 2) and 'dev/x' not in layer(r.id, 2), 'nothing of /dev enters the layer')
r = run(B + 'RUN chmod 700 /tmp && mkdir /own && chown 5:6 /own && chmod 711 /own\nRUN touch /own/f\nCOPY Dockerfile /own/\nWORKDIR /own/w')
if check(r.rc == 0, 'parents', r.err):
    equal([(layer(r.id, i)['own'].uid, layer(r.id, i)['own'].mode) for i in (2, 3, 4)], [(5, 0o711)] * 3,
          'a layer lists the parents of what it changes, with what the base says of them (RUN, COPY, WORKDIR)')
    check('tmp' not in layer(r.id, 2) and layer(r.id, 3)['own'].mtime == layer(r.id, 2)['own'].mtime, 'and nothing else', list(layer(r.id, 2)))
setcap = shutil.which('setcap')
if setcap:
    number += 1
    d = context('r%d' % number, 'FROM base:1\nCOPY attr.py /\nRUN --mount=type=bind,target=/ctx true\nRUN cp /bin/true /capped\nRUN --mount=from=tool,target=/t /t/setx /capped')
    # A static helper is needed to set the attribute inside; compiled here.
    write(d + '/setx.c', '#include <sys/xattr.h>\n#include <stdio.h>\nint main(int c,char**v){unsigned char d[20]={1,0,0,2,0,4};'
          'if(setxattr(v[1],"security.capability",d,20,0)||setxattr(v[1],"user.note","n",1,0)){perror("setxattr");return 1;}return 0;}')
    os.makedirs(d + '/tool')
    if subprocess.run(['cc', '-static', '-o', d + '/tool/setx', d + '/setx.c'], capture_output=True).returncode:
        skip('file capabilities in a layer', 'static libc')
    else:
        write(d + '/attr.py', '')
        r = build(d, '--build-context', 'tool=' + d + '/tool')
        n = tree(r.id)['capped'].xattrs if r.rc == 0 else r.err
        check(r.rc == 0 and 'security.capability' in n and n.get('user.note') == 'n', 'file capabilities and user attributes in a layer', n)
        r2 = build(context('r%db' % number, 'FROM base:1 AS s\nRUN cp /bin/true /capped\nRUN --mount=from=tool,target=/t /t/setx /capped\nFROM base:1\nCOPY --from=s /capped /c'),
                   '--build-context', 'tool=' + d + '/tool')
        check(r2.rc == 0 and 'security.capability' in tree(r2.id)['c'].xattrs, 'COPY --from keeps file capabilities', r2.err)
r = run(B + 'RUN truncate -s 52428800 /big && echo x | dd of=/big bs=1 seek=30000000 conv=notrunc 2>/dev/null; n=$(printf %0200d 7); mkdir -p /$n/$n && echo deep > /$n/$n/$n; touch /$(printf "caf\\351")')
n = tree(r.id) if r.rc == 0 else {}
big = [p for p in n if p.startswith('000') and n[p].kind == 'f']
check(r.rc == 0 and len(n['big'].data) == 50 << 20 and n['big'].data[30000000:30000002] == b'x\n' and len(big) == 1 and len(big[0]) == 602
      and 'caf\udce9' in n, 'sparse files, long and non-UTF-8 names', r.err)
# ---- mounts ----
prints(B + 'RUN --mount=type=bind,target=/ctx cat /ctx/f && (echo x > /ctx/f) 2>/dev/null || echo read-only', ['in context', 'read-only'], 'bind of the context, read-only', files={'f': 'in context\n'})
number += 1
d = context('r%d' % number, B + 'RUN --mount=target=/ctx,rw echo new > /ctx/f && touch /ctx/g && cat /ctx/f', {'f': 'old\n'})
r = build(d)
check(r.lines() == ['new'] and open(d + '/f').read() == 'old\n' and not os.path.exists(d + '/g') and sorted(layer(r.id)) == [],
      'bind rw: writes reach neither the context nor the layer', r.err)
prints(B + 'RUN --mount=source=sub/f,target=/etc/one cat /etc/one', ['s'], 'bind of one file', files={'sub/f': 's\n'})
prints(B + 'RUN --mount=target=/c ls -a /c', ['.', '..', '.dockerignore', 'Dockerfile', 'f'], 'bind of the context hides what .dockerignore hides', files={'f': '', 'x.log': '', '.dockerignore': '*.log\n'})
prints('FROM base:1 AS s\nRUN mkdir /o && echo built > /o/f\nFROM base:1\nRUN --mount=from=s,source=/o,target=/m cat /m/f\nRUN --mount=from=base:1,target=/m,rw echo z > /m/z && cat /m/z /m/etc/group | head -2',
       ['built', 'z', 'root:x:0:'], 'bind from a stage and from an image, rw thrown away')
r = run(B + 'RUN --mount=type=cache,target=/c,id=k1 echo one >> /c/f; cat /c/f\nRUN --mount=type=cache,target=/d,id=k1 echo two >> /d/f; cat /d/f; ls -ld /d | cut -c1-10')
equal(r.lines(), ['one', 'one', 'two', 'drwxr-xr-x'], 'cache: kept between steps, by id', r.err)
check(r.rc == 0 and not any('c' == p or p.startswith(('c/', 'd/')) or p == 'd' for p in new_files(r.id)), 'cache: nothing of it in a layer')
prints(B + 'RUN --mount=type=cache,target=/d,id=k1,ro cat /d/f; (echo x > /d/f) 2>/dev/null || echo ro', ['one', 'two', 'ro'], 'cache: kept between builds, ro')
prints(B + 'RUN --mount=type=cache,target=/c2,mode=700,uid=33,gid=33 ls -ldn /c2 | awk "{print \\$1,\\$3,\\$4}"', ['drwx------ 33 33'], 'cache: mode, uid, gid')
prints('FROM base:1 AS s\nRUN mkdir /o && echo seed > /o/f\nFROM base:1\nRUN --mount=type=cache,target=/c,id=seeded,from=s,source=/o cat /c/f', ['seed'], 'cache: from= fills it')
prints(B + 'RUN --mount=type=cache,target=/c,id=../../../../../esc touch /c/x; ls /c', ['x'], 'cache: an id is no path')
check(not os.path.exists(T + '/esc') and not any('esc' in x for x in os.listdir(STORE + '/kiln/cache-mounts')), 'cache: an id that climbs stays inside')
prints(B + 'RUN --mount=type=tmpfs,target=/t,size=1m df -k /t | tail -1 | awk "{print \\$1,\\$2}"; touch /t/x', ['tmpfs 1024'], 'tmpfs with size')
r = run(B + 'RUN --mount=type=cache,target=/c,sharing=locked --mount=type=cache,target=/e,id=/c,sharing=locked echo > /c/x; ls /e', timeout=20)
equal(r.lines(), ['x'], 'cache: one locked cache twice in a step does not wait for itself', r.err)
S = 'FROM base:1 AS a\nRUN --mount=type=cache,id=%(id)s,target=/c,sharing=%(s)s %(c)s\nFROM base:1 AS b\nRUN --mount=type=cache,id=%(id)s,target=/c,sharing=%(s)s %(c)s # b\nFROM base:1\nCOPY --from=a /out /a\nCOPY --from=b /out /b'
r = run(S % {'id': 'lk', 's': 'locked', 'c': 'if [ -e /c/in ]; then echo overlap > /out; else touch /c/in; sleep 0.4; rm /c/in; echo alone > /out; fi'})
n = new_files(r.id) if r.rc == 0 else {}
equal([n[p].text for p in ('a', 'b')] if n else r.err, ['alone\n', 'alone\n'], 'cache: sharing=locked excludes')
r = run(S % {'id': 'pv', 's': 'private', 'c': 'echo >> /c/n; sleep 0.4; wc -l < /c/n > /out'})
n = new_files(r.id) if r.rc == 0 else {}
equal([n[p].text.strip() for p in ('a', 'b')] if n else r.err, ['1', '1'], 'cache: sharing=private gives each its own')
r = run(S % {'id': 'sh', 's': 'shared', 'c': 'echo >> /c/n; sleep 0.6; wc -l < /c/n > /out'})
n = new_files(r.id) if r.rc == 0 else {}
equal([n[p].text.strip() for p in ('a', 'b')] if n else r.err, ['2', '2'], 'cache: sharing=shared is one for both at once')
# ---- secrets ----
write(T + '/secret', 'file-SECRET-4711')
r = run(B + 'RUN --mount=type=secret,id=s1 cat /run/secrets/s1 | md5sum; ls -l /run/secrets/s1 | cut -c1-10\n'
        'RUN --mount=type=secret,id=s2,env=TOK echo ${#TOK}; cat /run/secrets/s2 2>/dev/null || echo no file\n'
        'RUN --mount=type=secret,id=s1,target=/x/y,mode=444,uid=33 --mount=type=secret,id=s2,target=z,env=Z stat -c "%a %u" /x/y; cat /z | wc -c\nCMD ["x"]',
        '--secret', 'id=s1,src=' + T + '/secret', '--secret', 'id=s2,env=MYTOK', env={'MYTOK': 'env-SECRET-4712'})
import hashlib as _h
equal(r.lines(), [_h.md5(b'file-SECRET-4711').hexdigest() + '  -', '-r--------', '15', 'no file', '444 33', '15'], 'secret: file, env, target, mode, uid', r.err)


def in_store(*needles):
    """Files of the store (decompressed too) that hold one of `needles`."""
    found = []
    for d, _, files in os.walk(STORE):
        for f in files:
            try:
                if not stat.S_ISREG(os.lstat(os.path.join(d, f)).st_mode):
                    continue
                data = open(os.path.join(d, f), 'rb').read()
            except OSError:
                continue
            if data[:2] == b'\x1f\x8b':
                data += gzip.decompress(data)
            if any(n.encode() in data for n in needles):
                found.append(os.path.join(d, f))
    return found


equal(in_store('SECRET-471'), [], 'secret: nowhere in the store: layers, config, history, cache records, bundles')
check('SECRET' not in r.err + r.out, 'secret: not in the log')
check(r.rc == 0 and not [p for p in new_files(r.id) if p.startswith(('run', 'x', 'z'))], 'secret: its mount points are in no layer')
marker = 'RUN --mount=type=secret,id=s2,env=TOK echo $TOK > /dev/null; touch /w; sleep 30 # kill'
number += 1
d = context('r%d' % number, B + marker + '\n')
p = subprocess.Popen([KILN, 'build', '--store', STORE, '--progress', 'plain', '--runtime', RUNTIME, '--secret', 'id=s2,env=MYTOK', '--secret', 'id=s1,src=' + T + '/secret', d],
                     env=dict(os.environ, MYTOK='env-SECRET-4712'), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
import time
deadline = time.time() + 20


def sleepers(word):
    out = []
    for pid in os.listdir('/proc'):
        if pid.isdigit():
            try:
                c = open('/proc/%s/cmdline' % pid, 'rb').read().replace(b'\0', b' ')
            except OSError:
                continue
            if word.encode() in c and b'kiln' not in c.split(b' ')[0] and b'python' not in c.split(b' ')[0]:
                out.append(int(pid))
    return out


while not sleepers('# kill') and time.time() < deadline:
    time.sleep(0.05)
during = in_store('SECRET-471')
p.kill(); p.wait()
equal(during, [], 'secret in a variable: not on disk while the step runs')
equal(in_store('SECRET-471'), [], 'secret: not on disk after kill -9')
equal(run(B + 'RUN true # after').rc, 0, 'the next build runs')
equal(sleepers('# kill'), [], 'and has ended the container of the killed build')
equal(os.listdir(STORE + '/kiln/run'), [], 'and removed its files')
r1 = run(B + 'RUN --mount=type=secret,id=s2,env=T touch /c', '--secret', 'id=s2,env=MYTOK', env={'MYTOK': 'one'})
r2 = run(B + 'RUN --mount=type=secret,id=s2,env=T touch /c', '--secret', 'id=s2,env=MYTOK', env={'MYTOK': 'two'})
check('CACHED' in r2.steps().values(), 'secret: its value is in no cache key', r2.err)
fails(B + 'RUN --mount=type=secret,id=nope,required=true true', ['nope', '--secret'], 'secret: required and missing')
prints(B + 'RUN --mount=type=secret,id=nope ls /run/secrets 2>/dev/null; echo on', ['on'], 'secret: optional and missing')
sock = T + '/agent'
s = socket.socket(socket.AF_UNIX); s.bind(sock); s.listen()
prints(B + 'RUN --mount=type=ssh test -S $SSH_AUTH_SOCK && echo socket\nRUN echo "[$SSH_AUTH_SOCK]"', ['socket', '[]'], 'ssh', '--ssh', 'default=' + sock)
prints(B + 'RUN --mount=type=ssh stat -c "%a %u %g" $SSH_AUTH_SOCK\nRUN --mount=type=ssh,mode=0660,uid=1000,gid=33,target=/a stat -c "%a %u %g" /a; ls -A /run',
       ['600 0 0', '660 1000 33'], 'ssh: mode, uid, gid', '--ssh', 'default=' + sock)
agent = subprocess.Popen(['ssh-agent', '-D', '-a', T + '/ssh-agent'], stdout=subprocess.DEVNULL)
atexit.register(agent.kill)
wait_until(lambda: os.path.exists(T + '/ssh-agent'))
subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'key-of-the-test', '-f', T + '/key'], check=True)
subprocess.run(['ssh-add', '-q', T + '/key'], check=True, env=dict(os.environ, SSH_AUTH_SOCK=T + '/ssh-agent'))
ssh_add = with_libraries('/usr/bin/ssh-add')
AGENT = B + 'COPY --chmod=755 root /\nUSER 1000\nRUN --mount=type=ssh%s ssh-add -l 2>&1 | cut -d " " -f 3-'
prints(AGENT % ',uid=1000', ['key-of-the-test (ED25519)'], 'ssh: another user talks to the agent', '--ssh', 'default=' + T + '/ssh-agent', files=ssh_add)
r = run(AGENT % '', '--ssh', 'default=' + T + '/ssh-agent', files=ssh_add)
check(r.rc == 0 and 'Permission denied' in r.err + r.out or 'connecting to agent' in r.err, 'ssh: not without its uid', r.err)
r = run(B + 'COPY --chmod=755 root /\nRUN --mount=type=ssh for i in 1 2 3; do ssh-add -l & ssh-add -l & done | grep -c key-of-the-test', '--ssh', 'default=' + T + '/ssh-agent', files=ssh_add)
equal(r.lines(), ['6'], 'ssh: several at once', r.err)
fails(B + 'RUN --mount=type=ssh,required true', '--ssh', 'ssh: required and missing')
fails(B + 'RUN --mount=type=bind,target=/x,bind-propagation=shared true', 'bind-propagation', 'an unknown mount option is refused')
fails(B + 'RUN --mount=from=base:1,source=/nosuch,target=/x true', ['nosuch', 'not found'], 'bind of a missing source')
# ---- failures ----
r = run(B + 'RUN true\nRUN echo last words; \\\n  exit 23\nRUN echo never')
check(r.rc == 23, 'the exit code of the command is that of the build', r.err)
check('exit code 23' in r.err and 'Dockerfile:3' in r.err and '^^^' in r.err and '| last words' in r.err and 'never' not in r.err.split('exit code 23')[0].replace('RUN echo never', ''),
      'line, caret, last lines', r.err)
fails(B + 'RUN ["/no/such/program"]', ['could not be started', '/no/such/program'], 'a program that is not there')
fails(B + 'RUN ["nosuch"]', ['could not be started', 'nosuch'], 'a program that is not in PATH')
fails(B + "RUN sh -c 'kill -9 $$'; exit $?", 'exit code 137', 'a killed command', rc=137)
fails('FROM nosuch:1\nRUN true', ['no image nosuch:1', 'Dockerfile:1'], 'a base that is not there')
fails('FROM bse:1\n', ['base:1'], 'a base that is nearly there')
fails('FROM base:1 AS builder\nFROM base:1\nCOPY --from=bulider /x /y', ['did you mean the stage builder'], 'a mistyped stage')
fails(B + 'RUN true # unbuilt', 'no such executable', 'a runtime that is not there', '--runtime', '/no/such')
fails(B + 'NOSUCH x', ['Dockerfile:2', '^'], 'an unknown instruction')
fails('FROM base:1\nRUN false\n', 'exit code 1', 'a failing command', rc=1)
done()
