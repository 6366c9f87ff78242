"""The other programs of the differential test, each with places of its own below one directory."""
import hashlib
import json
import os
import shutil
import stat
import subprocess
import time
import types


class Refused(Exception):
    """A program ended with an error; the text is what it said."""


def call(*words, timeout=120, **more):
    p = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, **more)
    if p.returncode:
        raise Refused('%s: exit %d\n%s%s' % (' '.join(words), p.returncode, p.stderr.decode(errors='replace'),
                                             p.stdout.decode(errors='replace')[-500:]))
    return p.stdout


class Buildah:
    def __init__(self, directory):
        os.makedirs(directory)
        self.directory = directory
        self.head = ['buildah', '--root', directory + '/root', '--runroot', directory + '/run',
                     '--storage-driver', 'overlay']

    @staticmethod
    def version():
        return call('buildah', '--version').decode().split()[2]

    def pull(self, layout, name, local):
        image = call(*self.head, 'pull', '-q', '--policy', 'always', 'oci:%s:%s' % (layout, name)).decode().split()[-1]
        call(*self.head, 'tag', image, 'localhost/' + local)

    def build(self, context, name, *options):
        """The manifest, and a directory that holds its blobs as an OCI layout does."""
        out = '%s/images/%s' % (self.directory, name)
        os.makedirs(out + '/blobs')
        # Docker's format: OCI's has no place for HEALTHCHECK, ONBUILD and SHELL. `dir:` keeps it as it is.
        call(*self.head, 'build', '--isolation', 'chroot', '--format', 'docker', '--layers=false', *options,
             '-t', 'dir:%s/blobs/sha256' % out, context)
        with open(out + '/blobs/sha256/manifest.json') as f:
            return json.load(f), out

    def close(self):
        subprocess.run(['umount', '-R', '-l', self.directory + '/root/overlay'], stderr=subprocess.DEVNULL)


class Layouts:
    """Layouts, one for each image, that skopeo fills and umoci unpacks."""

    def __init__(self, directory):
        self.directory = directory
        os.makedirs(directory)

    def of(self, short):
        return '%s/%s:latest' % (self.directory, short)

    def take(self, layout, name, short):
        """With skopeo: inspects the image, and copies it here by another name."""
        seen = json.loads(call('skopeo', 'inspect', 'oci:%s:%s' % (layout, name)))
        call('skopeo', 'copy', '-q', 'oci:%s:%s' % (layout, name), 'oci:' + self.of(short))
        return seen

    def unpack(self, short):
        """With umoci: the history of the image, and its root as it lies on the disk."""
        image, bundle = self.of(short), '%s/%s.unpacked' % (self.directory, short)
        seen = json.loads(call('umoci', 'stat', '--image', image, '--json'))
        call('umoci', 'unpack', '--image', image, bundle)
        found = disk_tree(bundle + '/rootfs')
        shutil.rmtree(bundle)
        return seen['history'], found


def disk_tree(root):
    """A directory in the form of compare.whole_tree."""
    out, inodes = {}, {}
    for where, directories, files in os.walk(root):
        for name in directories + files:
            path = os.path.join(where, name)
            short = os.path.relpath(path, root)
            s = os.lstat(path)
            kind = {stat.S_IFREG: 'f', stat.S_IFDIR: 'd', stat.S_IFLNK: 'l', stat.S_IFIFO: 'p',
                    stat.S_IFCHR: 'c', stat.S_IFBLK: 'b'}[stat.S_IFMT(s.st_mode)]
            if kind == 'f':
                inodes.setdefault(s.st_ino, []).append(short)
            content = ''
            if kind == 'f':
                with open(path, 'rb') as f:
                    content = hashlib.file_digest(f, 'sha256').hexdigest()[:16]
            out[short] = {
                'type': kind, 'mode': '%04o' % stat.S_IMODE(s.st_mode), 'owner': '%d:%d' % (s.st_uid, s.st_gid),
                'time': int(s.st_mtime), 'target': os.readlink(path) if kind == 'l' else '',
                'device': (os.major(s.st_rdev), os.minor(s.st_rdev)) if kind in 'cb' else None,
                'content': content, 'size': s.st_size if kind == 'f' else 0,
                'xattrs': {k: os.getxattr(path, k, follow_symlinks=False)
                           for k in sorted(os.listxattr(path, follow_symlinks=False)) if k != 'security.selinux'},
                'also': ''}
    for names in inodes.values():
        if len(names) > 1:
            lowest = min(names, key=os.fsencode)
            for name in names:
                out[name]['also'] = lowest
    return out


class Podman:
    """podman in the sandbox, with runc."""

    def __init__(self, directory):
        import podman_engine
        os.makedirs(directory)
        runtime = types.SimpleNamespace(name='runc', path=shutil.which('runc'))
        self.engine = podman_engine.Podman(directory, runtime)

    def run(self, layout, short):
        """What the image of a layout prints."""
        e = self.engine.environment
        image = call('podman', 'pull', '-q', 'oci:' + layout, env=e).decode().split()[-1]
        call('podman', 'run', '--detach', '--network', 'none', '--name', short, image, env=e)
        # Not attached, nor with `wait`: podman 4.3 then waits up to 20 s for its own clean-up of the
        # container (state `stopped` until then), which a command as short as these can outrun.
        end = time.monotonic() + 30
        while True:
            state = call('podman', 'inspect', '--format', '{{.State.Status}} {{.State.ExitCode}}', short, env=e)
            if state.startswith((b'exited', b'stopped')) or time.monotonic() > end:
                break
            time.sleep(0.05)
        if state.split() not in ([b'exited', b'0'], [b'stopped', b'0']):
            raise Refused('podman run: %s' % state.decode())
        return call('podman', 'logs', short, env=e)

    def close(self):
        subprocess.run(['podman', 'rm', '-fa', '-t', '0'], env=self.engine.environment, capture_output=True)
        subprocess.run(['umount', '-R', '-l', self.engine.directory + '/root/overlay'], stderr=subprocess.DEVNULL)
