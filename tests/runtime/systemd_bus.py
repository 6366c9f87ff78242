"""A message bus with a systemd on it, as far as the cgroup driver talks to one: raw D-Bus protocol
over a Unix socket. Every call is appended to a log, one JSON object a line.

usage: systemd_bus.py SOCKET LOG CGROUP_ROOT [BEHAVIOUR]
BEHAVIOUR: exists (the first start finds the unit there), fail (start jobs fail), refuse (wrong user),
slow (JobRemoved of another job first, then ours late), denied (starts are refused), closes (the connection
ends when a start is asked for)
A caller must name the user that the kernel shows for its end of the socket, as with a real bus.
With CGROUP_ROOT other than "-", processes given in PIDs are really moved to CGROUP_ROOT/SLICE/UNIT.
"""
import json, os, socket, struct, sys, threading, time

path, log_path, root = sys.argv[1:4]
behaviour = sys.argv[4] if len(sys.argv) > 4 else ''
ALIGN = {'y': 1, 'b': 4, 'n': 2, 'q': 2, 'i': 4, 'u': 4, 'x': 8, 't': 8, 'd': 8, 's': 4, 'o': 4, 'g': 1, 'v': 1, 'a': 4, '(': 8, '{': 8}
FIXED = {'y': 'B', 'b': 'I', 'n': 'h', 'q': 'H', 'i': 'i', 'u': 'I', 'x': 'q', 't': 'Q', 'd': 'd'}


def complete(sig):
    if sig[0] == 'a':
        return 1 + complete(sig[1:])
    if sig[0] in '({':
        n = 1
        while sig[n] not in ')}':
            n += complete(sig[n:])
        return n + 1
    return 1


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def align(self, n):
        while self.at % n:
            assert self.data[self.at] == 0, 'padding must be zero'
            self.at += 1

    def value(self, sig):
        t = sig[0]
        self.align(ALIGN[t])
        if t in FIXED:
            size = struct.calcsize('<' + FIXED[t])
            v, = struct.unpack_from('<' + FIXED[t], self.data, self.at)
            self.at += size
            return bool(v) if t == 'b' else v
        if t in 'so':
            n = self.value('u')
            v = self.data[self.at:self.at + n].decode()
            assert self.data[self.at + n] == 0
            self.at += n + 1
            return v
        if t == 'g':
            n = self.data[self.at]
            v = self.data[self.at + 1:self.at + 1 + n].decode()
            self.at += n + 2
            return v
        if t == 'v':
            return self.value(self.value('g'))
        if t == 'a':
            n = self.value('u')
            self.align(ALIGN[sig[1]])
            end, out = self.at + n, []
            while self.at < end:
                out.append(self.value(sig[1:1 + complete(sig[1:])]))
            assert self.at == end, 'array length'
            return out
        out, rest = [], sig[1:complete(sig) - 1]
        while rest:
            n = complete(rest)
            out.append(self.value(rest[:n]))
            rest = rest[n:]
        return out


def pad(b, n):
    return b + b'\0' * (-len(b) % n)


def text(b, s):
    return pad(b, 4) + struct.pack('<I', len(s)) + s.encode() + b'\0'


def message(kind, serial, fields, sig='', body=b''):
    raw = b''
    for code, t, v in fields + ([(8, 'g', sig)] if sig else []):
        raw = pad(raw, 8) + bytes([code, 1]) + t.encode() + b'\0'
        if t == 'u':
            raw = pad(raw, 4) + struct.pack('<I', v)
        elif t == 'g':
            raw += bytes([len(v)]) + v.encode() + b'\0'
        else:
            raw = text(raw, v)
    return pad(struct.pack('<cBBBIII', b'l', kind, 0, 1, len(body), serial, len(raw)) + raw, 8) + body


def log(**entry):
    with open(log_path, 'a') as f:
        f.write(json.dumps(entry) + '\n')


started = 0


def serve(c):
    global started
    buffer, serial = b'', 0

    def line():
        nonlocal buffer
        while b'\r\n' not in buffer:
            buffer += c.recv(4096)
        l, buffer = buffer.split(b'\r\n', 1)
        return l

    hello = line()
    assert hello[:1] == b'\0', 'the credentials byte'
    words = hello[1:].split()
    log(auth=[w.decode() for w in words[:2]], uid=bytes.fromhex(words[2].decode()).decode())
    credentials = c.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize('3i'))
    if behaviour == 'refuse' or words[2] != str(struct.unpack('3i', credentials)[1]).encode().hex().encode():
        c.sendall(b'REJECTED EXTERNAL\r\n')
        return
    c.sendall(b'OK 0123456789abcdef0123456789abcdef\r\n')
    assert line() == b'BEGIN'
    matched = False

    def send(kind, fields, sig='', body=b''):
        nonlocal serial
        serial += 1
        raw = message(kind, serial, fields, sig, body)
        c.sendall(raw[:7])  # in two parts: a reader must put them together
        c.sendall(raw[7:])

    def removed(job, unit, result):
        if not matched:
            return
        body = text(text(text(struct.pack('<I', 1), job), unit), result)
        send(4, [(1, 'o', '/org/freedesktop/systemd1'), (2, 's', 'org.freedesktop.systemd1.Manager'), (3, 's', 'JobRemoved')], 'uoss', body)

    while True:
        while len(buffer) < 16:
            got = c.recv(4096)
            if not got:
                return
            buffer += got
        _, kind, _, _, size, number, nfields = struct.unpack_from('<cBBBIII', buffer)
        whole = 16 + nfields + (-nfields % 8) + size
        while len(buffer) < whole:
            buffer += c.recv(4096)
        raw, buffer = buffer[:whole], buffer[whole:]
        r = Reader(raw)
        r.at = 12
        fields = {code: v for code, v in r.value('a(yv)')}
        r.align(8)
        b, body, sig = Reader(raw[r.at:]), [], fields.get(8, '')
        while sig:
            n = complete(sig)
            body.append(b.value(sig[:n]))
            sig = sig[n:]
        assert b.at == size, 'body length'
        member = fields[3]
        log(member=member, signature=fields.get(8, ''), body=body, destination=fields.get(6), interface=fields.get(2), path=fields[1])
        reply = [(5, 'u', number)]
        job = '/org/freedesktop/systemd1/job/7'
        if member == 'AddMatch':
            matched = True
            send(2, reply)
        elif member == 'StartTransientUnit':
            started += 1
            if behaviour == 'closes':
                return
            if behaviour == 'denied':
                send(3, reply + [(4, 's', 'org.freedesktop.DBus.Error.InteractiveAuthorizationRequired')], 's',
                     text(b'', 'Interactive authentication required.'))
                continue
            if behaviour == 'exists' and started == 1:
                send(3, reply + [(4, 's', 'org.freedesktop.systemd1.UnitExists')], 's', text(b'', 'Unit is there already'))
                continue
            properties = dict(map(tuple, body[2]))
            if root != '-':
                parts, prefix = '', ''
                for part in properties['Slice'][:-6].split('-'):
                    parts += '/' + prefix + part + '.slice'
                    prefix += part + '-'
                where = root + parts + '/' + body[0]
                os.makedirs(where, exist_ok=True)
                for pid in properties['PIDs']:
                    with open(where + '/cgroup.procs', 'w') as f:
                        f.write(str(pid))
            if behaviour == 'slow':
                removed('/org/freedesktop/systemd1/job/6', 'other.scope', 'failed')
            removed(job, body[0], 'failed' if behaviour == 'fail' else 'done')  # before the reply, too
            send(2, reply, 'o', text(b'', job))
        elif member == 'StopUnit':
            send(2, reply, 'o', text(b'', job))
            time.sleep(0.1)
            removed(job, body[0], 'done')
        elif member == 'Get':
            values = {'Version': '255.4-1', 'ControlGroup': '/user.slice'}
            send(2, reply, 'v', text(b'\1s\0', values[body[1]]))
        elif member == 'Hello':
            send(2, reply, 's', text(b'', ':1.1'))
        else:
            send(2, reply)


def answer(connection):
    with connection:
        serve(connection)


s = socket.socket(socket.AF_UNIX)
s.bind(path)
s.listen()
while True:
    connection, _ = s.accept()
    threading.Thread(target=answer, args=(connection,), daemon=True).start()
