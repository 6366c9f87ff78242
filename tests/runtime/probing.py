"""The probe as a container's process, terminals, for props-*.t beside this file."""
import array, os, shutil, socket, subprocess, sys, time
import bundle as b

PROBE = os.path.join(b.TOP, 'build/tests/runtime/probe')


def add_probe(path):
    shutil.copy(PROBE, os.path.join(path, 'rootfs/bin/probe'))
    return path


def run_probe(cfg, *args, **more):
    """vessel run of a bundle that has /bin/probe."""
    return b.vessel('run', *args, '--bundle', add_probe(b.bundle(cfg)), b.name(), **more)


def run_terminal(cfg, timeout=10):
    """Runs detached with a console socket: what came from the terminal."""
    path = os.path.join(b.DIR, 'tty-%d' % time.monotonic_ns())
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    listener.settimeout(timeout)
    id = b.name()
    r = b.vessel('create', '--bundle', b.bundle(cfg), '--console-socket', path, id, detached=True)
    if r.code:
        return r.code, r.err
    conn, _ = listener.accept()
    _, ancillary, _, _ = conn.recvmsg(100, socket.CMSG_SPACE(4))
    master = array.array('i', ancillary[0][2])[0]
    b.vessel('start', id)
    text = b''
    while True:
        try:
            some = os.read(master, 4096)
        except OSError:  # EIO: the last slave was closed
            break
        if not some:
            break
        text += some
    os.close(master)
    b.vessel('delete', '--force', id)
    return 0, text.decode(errors='replace')
