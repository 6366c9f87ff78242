#!/usr/bin/env python3
# CVE-2025-4953: what a RUN writes to a bind mount of the build context, or of another stage, stays:
# on the host, in the stage, or for the next step.
# Seen to fail with the context itself mounted as it was asked for, without the copy for rw and the read-only
# clone for the rest: 2, 4, 9, 12 and 15.
from builder_attack import *

import_base()
HARM = 'echo x >> %s/dir/secret; echo x > %s/new; rm -rf %s/dir/deep; chmod 777 %s/secret; touch -d @5 %s/link %s/passwd; mv %s/group %s/g2; mknod %s/n c 1 3; ln -s / %s/root; ls %s; true'


def harm(where):
    return HARM.replace('%s', where)


failed = []
for options in ('', ',rw', ',readwrite', ',ro=false', ',ro', ',source=/', ',source=dir,rw', ',source=.', ',source=secret,rw', ',source=secret'):
    for ignore in (None, 'nothing-of-this\n', 'passwd\n'):
        for isolation in ('oci', 'chroot'):
            write(T + '/Dockerfile', 'FROM base:1\nRUN --mount=type=bind,target=/m%s %s\n' % (options, harm('/m')))
            write(T + '/Dockerfile.dockerignore', ignore or '') if ignore else os.path.exists(T + '/Dockerfile.dockerignore') and os.unlink(T + '/Dockerfile.dockerignore')
            r = build(HOST, '-f', T + '/Dockerfile', '--isolation', isolation)
            if r.rc != 0:
                failed.append((options, ignore, isolation, r.err[-800:]))
check(not failed, 'commands that write to the context run', *failed)
unharmed('the context is as it was')
r = build(HOST, '-f', T + '/Dockerfile', '--build-context', 'named=' + HOST)
write(T + '/Dockerfile', 'FROM base:1\nRUN --mount=type=bind,from=named,target=/m,rw %s\nRUN --mount=type=bind,from=named,target=/m %s\n' % (harm('/m'), harm('/m')))
r = build(HOST, '-f', T + '/Dockerfile', '--build-context', 'named=' + HOST)
check(r.rc == 0, 'a named context', r.err)
unharmed('nor is a named context changed')

# What is mounted below the context is the host's too (read-only alone is not recursive).
sub = T + '/with-mount'
os.makedirs(sub + '/mounted'), write(sub + '/f', 'x\n')
subprocess.run(['mount', '--bind', HOST, sub + '/mounted'], check=True)
for options in ('', ',source=mounted', ',rw', ',source=mounted,rw'):
    where = '/m' if 'source' in options else '/m/mounted'
    write(T + '/Dockerfile', 'FROM base:1\nRUN --mount=type=bind,target=/m%s %s\n' % (options, harm(where)))
    r = build(sub, '-f', T + '/Dockerfile')
    check(r.rc == 0, 'a mount below the context (bind%s)' % options, r.err)
subprocess.run(['umount', sub + '/mounted'], check=True)
unharmed('nor is what is mounted below it')

# ---- one step to the next, one stage to another ----
r = build(HOST, '-f', '-', input=('''FROM base:1 AS s
RUN mkdir -p /d/deep && echo stage > /d/f && echo stage > /d/deep/g
FROM base:1
RUN --mount=type=bind,from=s,source=/d,target=/m,rw echo changed > /m/f && rm -r /m/deep && touch /m/new && ls /m > /first
RUN --mount=type=bind,from=s,source=/d,target=/m,rw cat /m/f /m/deep/g > /second && ls /m >> /second
RUN --mount=type=bind,from=s,source=/d,target=/m cat /m/f >> /second; echo no > /m/f; cat /m/f >> /second
RUN --mount=type=bind,target=/m,rw echo changed > /m/passwd && touch /m/new
RUN --mount=type=bind,target=/m,rw grep -c changed /m/passwd > /third; ls /m/new >> /third; true
COPY --from=s /d/f /copied
COPY passwd /passwd
''').encode())
if check(r.rc == 0, 'steps that write to bind mounts of a stage and of the context', r.err):
    t = tree(r.id)
    equal(t['second'].text, 'stage\nstage\ndeep\nf\nstage\nstage\n', 'the next step finds the stage as it was')
    equal(t['third'].text, '0\n', 'and the context')
    equal(t['copied'].text, 'stage\n', 'the stage itself is as it was')
    equal(t['passwd'].text, open(HOST + '/passwd').read(), 'and what is copied from the context')
unharmed('and the host')
done()
