"""The kinds of difference between kiln's images and buildah 1.28's, each with the clause that makes
kiln right. No more than eight may stand here, and each must occur.

Two of them stand in every image and are told by rule; the others are listed where they occur, in a
case's section `differs`, with what kiln has there: no other value is right.
"""
import json

import cases

MOUNT_POINTS = ('/etc/hosts', '/etc/hostname', '/etc/resolv.conf', '/run/secrets', '/mnt', '/var/cache')


class Kind:
    def __init__(self, name, clause, rule=None):
        self.name, self.clause, self.rule, self.seen = name, clause, rule, 0


def identity(d, built):
    return d.subject == 'config' and d.what == 'Labels' and \
        {k: v for k, v in (d.peer or {}).items() if k != 'io.buildah.version'} == (d.kiln or {})


def mount_point(d, built):
    return d.what == 'there' and d.kiln is None and d.subject in MOUNT_POINTS and 'RUN' in built.case.Dockerfile.upper()


KINDS = [
    Kind('identity-label', 'reference.md "LABEL": labels are those of LABEL and of the base; '
         'buildah adds io.buildah.version', identity),
    Kind('mount-points', 'image-spec layer.md "Determining Changes": a layer has what the step changed; '
         "buildah leaves the files and directories on which it mounted its own for RUN", mount_point),
    Kind('copied-directory', 'reference.md "Copying from the build context": the contents of a directory are copied '
         'including filesystem metadata, not the directory itself: BuildKit makes the destination as any parent, '
         'and then gives it the time of the source; buildah leaves the time of the build'),
    Kind('kept-time', 'image-spec layer.md "Representing Changes": a directory that only got an entry is not listed '
         '(./etc/ and ./bin/ in its example), and so keeps its time; buildah lists it'),
    Kind('set-id', 'reference.md "Copying from the build context": file permissions are preserved; '
         'buildah loses the set-user-id and set-group-id bits'),
    Kind('ports', 'image-spec config.md "ExposedPorts": a key is port/tcp, port/udp or port, and reference.md "EXPOSE": '
         'a port may be exposed for both; buildah keeps a range as key, and the first protocol of a port alone'),
    Kind('shell', 'reference.md "SHELL": RUN, CMD and ENTRYPOINT in shell form use it; buildah runs CMD in /bin/sh'),
    Kind('volume', 'reference.md "Notes about specifying volumes": changes under a volume are kept; '
         'buildah does as the legacy builder'),
]


class Listed:
    """A line of a case's section `differs`."""

    def __init__(self, line):
        name, _, rest = line.partition(' ')
        self.kind = next(k for k in KINDS if k.name == name and not k.rule)
        self.line, self.hit = line, False
        if rest.startswith('config '):
            key, _, value = rest[7:].partition(' = ')
            self.subject, self.values = 'config', {key: json.loads(value)}
            return
        e = cases.entry_of(rest)
        self.subject = '/' + e.path
        values = {'mode': '%04o' % e.mode, 'owner': '%d:%d' % e.owner, 'time': e.time}
        self.values = {k: v for k, v in values.items() if k in e.said} or {'there': e.kind}

    def fits(self, d):
        return d.subject == self.subject and d.what in self.values and self.values[d.what] == d.kiln


def unexplained(differences, built):
    """The differences that no kind explains, and the lines of `differs` that do not occur."""
    listed = [Listed(line) for line in (built.case.differs or '').splitlines()]
    rest = []
    for d in differences:
        kind = next((k for k in KINDS if k.rule and k.rule(d, built)), None)
        line = next((l for l in listed if l.fits(d)), None)
        if line:
            line.hit, kind = True, line.kind
        if kind:
            kind.seen += 1
        else:
            rest.append(d)
    return rest + ['does not occur: ' + l.line for l in listed if not l.hit]
