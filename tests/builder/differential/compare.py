"""Two images as file trees and configs, and the list of what differs between them.

The trees are those of build_case.tree: layers applied in order from their raw tar headers, whiteouts
as image-spec layer.md has them. What only one builder may decide is compared by rule: two times agree
if they are equal, or if neither file existed before the test began.
"""
import collections
import hashlib
import os


def whole_tree(layers_tree):
    """Path → dict of what is compared. Hard links are named by the first path of their set."""
    out, names = {}, {}
    for path in sorted(layers_tree, key=os.fsencode):
        n = layers_tree[path]
        out[path] = {
            'type': n.kind, 'mode': '%04o' % n.mode, 'owner': n.owner, 'time': n.mtime,
            'target': n.link if n.kind == 'l' else '', 'device': n.rdev,
            'content': hashlib.sha256(n.data).hexdigest()[:16] if n.kind == 'f' else '', 'size': len(n.data),
            'xattrs': {k: os.fsencode(v) for k, v in sorted(n.xattrs.items())},
            'also': names.setdefault(n.inode, path)}
    counts = collections.Counter(n['also'] for n in out.values())
    for n in out.values():
        if counts[n['also']] == 1:
            n['also'] = ''
    return out


def config_facts(image):
    """What of an image's config document is compared; absent, null and empty are the same."""
    c = image.get('config') or {}
    keys = ('Env', 'Cmd', 'Entrypoint', 'User', 'WorkingDir', 'ExposedPorts', 'Volumes', 'Labels',
            'Healthcheck', 'StopSignal', 'Shell', 'OnBuild')
    facts = {k: c.get(k) or None for k in keys}
    facts.update({k: image.get(k) or None for k in ('author', 'architecture', 'os')})
    facts['steps'] = len(image.get('history', []))
    return facts


class Difference:
    def __init__(self, subject, what, kiln, peer):
        self.subject, self.what, self.kiln, self.peer = subject, what, kiln, peer

    def __str__(self):
        return '%s: %s: kiln %r, buildah %r' % (ascii(self.subject), self.what, self.kiln, self.peer)


def differences(kiln, peer, began):
    """Of two (tree, config) pairs. A file that one of them lacks is one difference, `there`."""
    out = []
    (kiln_tree, kiln_config), (peer_tree, peer_config) = kiln, peer
    for path in sorted(kiln_tree.keys() | peer_tree.keys(), key=os.fsencode):
        a, b = kiln_tree.get(path), peer_tree.get(path)
        if a is None or b is None:
            out.append(Difference('/' + path, 'there', a and a['type'], b and b['type']))
            continue
        for what in a:
            same = a[what] == b[what]
            if what == 'time':
                same = same or (a[what] >= began and b[what] >= began)
            if not same:
                out.append(Difference('/' + path, what, a[what], b[what]))
    for key in kiln_config:
        if kiln_config[key] != peer_config[key]:
            out.append(Difference('config', key, kiln_config[key], peer_config[key]))
    return out


def expected_tree(base, entries):
    """The base's tree with `entries` (cases.py) put over it. What no entry names is as in the base, but
    that the time of a directory, which changes with what is put into it, is free (None)."""
    out = {p: dict(n, time=None if n['type'] == 'd' else n['time']) for p, n in base.items()}
    for e in entries:
        path = e.path
        if e.kind == 'gone':
            for p in [p for p in out if p == path or p.startswith(path + '/')]:
                del out[p]
            continue
        if e.kind == 'h':
            out[path] = dict(out[e.target], also=e.target)
            out[e.target]['also'] = e.target
            continue
        out[path] = {
            'type': e.kind, 'mode': '%04o' % e.mode, 'owner': '%d:%d' % e.owner, 'time': e.time,
            'target': e.target, 'device': e.rdev,
            'content': hashlib.sha256(e.data).hexdigest()[:16] if e.kind == 'f' else '',
            'size': len(e.data) if e.kind == 'f' else 0, 'xattrs': dict(sorted(e.xattrs.items())), 'also': ''}
    return out


def shortfalls(tree, wanted, began):
    """What of `tree` is not as `wanted` (of expected_tree) says, a line each."""
    out = []
    for path in sorted(tree.keys() | wanted.keys(), key=os.fsencode):
        a, b = tree.get(path), wanted.get(path)
        if a is None or b is None:
            out.append('%s: %s' % (ascii(path), 'is missing' if a is None else 'should not be there: %r' % a))
            continue
        for what in a:
            if what == 'time':
                good = b[what] is None or (a[what] >= began if b[what] == 'new' else a[what] == b[what])
            else:
                good = a[what] == b[what]
            if not good:
                out.append('%s: %s is %r, should be %r' % (ascii(path), what, a[what], b[what]))
    return out
