#!/usr/bin/env python3
"""`run -t`-like containers in the foreground: size, SIGWINCH, typing, and the caller's terminal restored."""
import fcntl, json, os, pty, select, shutil, signal, socket, struct, subprocess, sys, tempfile, termios, time, array

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VESSEL = os.environ.get('VESSEL', os.path.join(TOP, 'build/runtime/vessel'))
BUSYBOX = shutil.which('busybox')
if os.geteuid() != 0 or not BUSYBOX:
    print('1..0 # SKIP no root' if BUSYBOX else '1..0 # SKIP no busybox')
    sys.exit(0)

work = tempfile.mkdtemp(prefix='vessel-terminal-')
root = os.path.join(work, 'state')
count = 0


def ok(good, name, detail=''):
    global count
    count += 1
    print(f"{'ok' if good else 'not ok'} {count} - {name}")
    if not good and detail:
        print('\n'.join('# ' + line for line in repr(detail)[:800].splitlines()))
    sys.stdout.flush()


def bundle(name, script, size=None):
    path = os.path.join(work, name)
    os.makedirs(os.path.join(path, 'rootfs/bin'))
    for directory in ('proc', 'dev', 'sys', 'etc'):
        os.makedirs(os.path.join(path, 'rootfs', directory))
    shutil.copy(BUSYBOX, os.path.join(path, 'rootfs/bin/busybox'))
    for applet in ('sh', 'stty', 'tty', 'cat', 'ls', 'stat', 'sleep', 'grep'):
        os.symlink('busybox', os.path.join(path, 'rootfs/bin', applet))
    process = {'terminal': True, 'cwd': '/', 'args': ['/bin/sh', '-c', script], 'user': {'uid': 0, 'gid': 0},
               'env': ['PATH=/bin']}
    if size:
        process['consoleSize'] = {'height': size[0], 'width': size[1]}
    config = {'ociVersion': '1.3.0', 'root': {'path': 'rootfs'}, 'process': process,
              'mounts': [{'destination': '/proc', 'type': 'proc', 'source': 'proc'},
                         {'destination': '/dev', 'type': 'tmpfs', 'source': 'tmpfs', 'options': ['mode=755']},
                         {'destination': '/dev/pts', 'type': 'devpts', 'source': 'devpts',
                          'options': ['newinstance', 'ptmxmode=0666', 'mode=0620']}],
              'linux': {'namespaces': [{'type': t} for t in ('pid', 'mount', 'ipc', 'uts')]}}
    with open(os.path.join(path, 'config.json'), 'w') as f:
        json.dump(config, f)
    return path


def read_until(fd, text, seconds=5):
    data = b''
    end = time.time() + seconds
    while text not in data and time.time() < end:
        if select.select([fd], [], [], 0.1)[0]:
            try:
                part = os.read(fd, 65536)
            except OSError:
                break
            if not part:
                break
            data += part
    return data


def start(path, name, rows, columns):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
    before = termios.tcgetattr(slave)

    def own_terminal():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    process = subprocess.Popen([VESSEL, '--root', root, 'run', '--bundle', path, name], stdin=slave, stdout=slave,
                               stderr=slave, preexec_fn=own_terminal)
    return process, master, slave, before


def finish(process, master):
    data = read_until(master, b'\0never', 0.3)
    try:
        return process.wait(10), data
    except subprocess.TimeoutExpired:
        process.kill()
        return 'hangs', data


try:
    path = bundle('a', 'stty size; tty; stat -c %t:%T /dev/console; trap "stty size" WINCH; echo ready; '
                       'while :; do read line || continue; echo "got $line"; [ "$line" = end ] && exit 7; done')
    process, master, slave, before = start(path, f'tt-{os.getpid()}-a', 31, 97)
    output = read_until(master, b'ready')
    ok(b'31 97' in output, "the container's terminal has the caller's size", output)
    ok(b'/dev/pts/0' in output and b'88:0' in output, 'its terminal is its own, /dev/console too', output)
    ok(not termios.tcgetattr(slave)[3] & (termios.ECHO | termios.ICANON), "the caller's terminal is raw meanwhile")
    os.write(master, b'hello\r')
    output = read_until(master, b'got hello')
    ok(b'got hello' in output, 'what is typed arrives', output)
    ok(output.count(b'hello') == 2, 'and is echoed once, by the container', output)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 44, 120, 0, 0))
    time.sleep(0.2)
    os.write(master, b'\r')
    output = read_until(master, b'44 120')
    ok(b'44 120' in output, 'a new size reaches the container', output)
    os.write(master, b'end\r')
    status, output = finish(process, master)
    ok(status == 7, "the exit status is the program's", (status, output))
    ok(termios.tcgetattr(slave) == before, "the caller's terminal is as it was")

    path = bundle('b', 'i=0; while [ $i -lt 3000 ]; do echo "line $i of a long output"; i=$((i+1)); done')
    process, master, slave, before = start(path, f'tt-{os.getpid()}-b', 24, 80)
    output = read_until(master, b'line 2999 of a long output\r\n', 10)
    ok(output.count(b'\n') == 3000, 'nothing of a long output is lost', output[-200:])
    finish(process, master)

    path = bundle('c', 'trap "exit 42" INT; echo up; while :; do sleep 1; done')
    process, master, slave, before = start(path, f'tt-{os.getpid()}-c', 24, 80)
    read_until(master, b'up')
    os.write(master, b'\x03')
    status, output = finish(process, master)
    ok(status == 42, 'Ctrl-C goes through the terminal to the container', status)
    ok(termios.tcgetattr(slave) == before, "the caller's terminal is as it was after it")

    # --console-socket: the master comes over the socket, of the size the config says.
    path = bundle('d', 'stty size; cat', size=(11, 22))
    name = f'tt-{os.getpid()}-d'
    address = os.path.join(work, 'console.sock')
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(address)
    listener.listen(1)
    created = subprocess.run([VESSEL, '--root', root, 'create', '--bundle', path, '--console-socket', address, name],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    ok(created.returncode == 0, 'create with --console-socket', created.stderr)
    listener.settimeout(5)
    connection, _ = listener.accept()
    fds = array.array('i')
    data, ancillary, _, _ = connection.recvmsg(256, socket.CMSG_SPACE(4))
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[:4])
    ok(len(fds) == 1 and len(data) > 0, 'one descriptor and a name arrive', data)
    subprocess.run([VESSEL, '--root', root, 'start', name], check=True)
    output = read_until(fds[0], b'11 22')
    ok(b'11 22' in output, 'consoleSize holds', output)
    subprocess.run([VESSEL, '--root', root, 'delete', '--force', name], check=True)
finally:
    for name in os.listdir(root) if os.path.isdir(root) else []:
        subprocess.run([VESSEL, '--root', root, 'delete', '--force', name], stderr=subprocess.DEVNULL)
    shutil.rmtree(work, ignore_errors=True)
print(f'1..{count}')
