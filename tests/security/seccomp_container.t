#!/usr/bin/env python3
# seccomp as a container meets it: profiles that leave init next to nothing, calls newer than the
# profile, and a listener that is asked about calls which a runtime itself likes to use.
import fcntl
import socket
import struct
import threading
from attack import *

NOTIF_RECV, NOTIF_SEND, CONTINUE = 0xC0502100, 0xC0182101, 1
MKDIR, EOVERFLOW = 83, 75


def docker_profile():
    """profiles/docker as config.json has it; the form is described in seccomp_profiles.hh."""
    profile = {"syscalls": []}
    with open(os.path.join(HERE, "profiles/docker")) as file:
        for line in file:
            words = line.split()
            if words[0] == "default":
                profile["defaultAction"] = words[1]
                profile["defaultErrnoRet"] = int(words[2])
            elif words[0] == "arch":
                profile.setdefault("architectures", []).append(words[1])
            elif words[0] == "rule":
                colon = words.index(":")
                rule = {"action": words[1], "names": words[colon + 1:]}
                rest = words[2:colon]
                if rest and rest[0] != "if":
                    rule["errnoRet"] = int(rest.pop(0))
                if rest:
                    rule["args"] = [{"index": int(rest[1]), "op": rest[2], "value": int(rest[3], 0)}]
                profile["syscalls"].append(rule)
    return profile


class Agent(threading.Thread):
    """Answers mkdir with EOVERFLOW and lets everything else happen."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.state, self.seen, self.fds = path, None, set(), 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.start()

    def run(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            data, fds, _, _ = socket.recv_fds(peer, 65536, 4)
            while chunk := peer.recv(65536):
                data += chunk
            peer.close()
            self.state, self.fds = json.loads(data), len(fds)
            threading.Thread(target=self.answer, args=(fds[0],), daemon=True).start()

    def answer(self, fd):
        while True:
            request = bytearray(80)
            try:
                fcntl.ioctl(fd, NOTIF_RECV, request)
                number = struct.unpack_from("=i", request, 16)[0]
                self.seen.add(number)
                error, flags = (-EOVERFLOW, 0) if number == MKDIR else (0, CONTINUE)
                fcntl.ioctl(fd, NOTIF_SEND, struct.pack("=8sqiI", bytes(request[:8]), 0, error, flags))
            except OSError:
                return


for nnp in (True, False):
    # execve, write and exit_group are all that init needs; capset and its like only where the filter
    # must be loaded before capabilities are dropped.
    names = ["execve", "write", "exit_group"] + ([] if nnp else ["capset", "capget", "prctl"])
    for default in ("SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS"):
        bundle = Bundle()
        shutil.copy(os.path.join(PROGRAMS, "three_calls"), bundle.path("three_calls"))
        bundle.config["process"]["args"] = ["/three_calls"]
        bundle.config["process"]["noNewPrivileges"] = nnp
        bundle.config["linux"]["seccomp"] = {
            "defaultAction": default, "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}]}
        got = bundle.run()
        ok(got.returncode == 0 and got.stdout == "alive\n",
           f"only {', '.join(names)} allowed, {default} for the rest: runs", said(got))

    # Docker's profile, and calls that it does not know.
    bundle = Bundle()
    bundle.config["process"]["noNewPrivileges"] = nnp
    bundle.config["linux"]["seccomp"] = docker_profile()
    got = bundle.run("syscall", "169", "--", "syscall", "999", "--", "mkdir", "/tmp/made", "--",
                     "status", "Seccomp", "NoNewPrivs")
    ok(got.stdout == "syscall 169: EPERM\nsyscall 999: ENOSYS\n/tmp/made: made\n"
                     f"Seccomp:\t2\nNoNewPrivs:\t{int(nnp)}\n",
       f"Docker's profile, noNewPrivileges {nnp}: denied, unknown and allowed calls", said(got))

    # A listener that is asked about what runtimes use on the way to the program.
    bundle = Bundle()
    agent = Agent(os.path.join(bundle.dir, "agent.sock"))
    bundle.config["process"]["noNewPrivileges"] = nnp
    bundle.config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": agent.path, "listenerMetadata": "for you",
        "syscalls": [{"names": ["mkdir", "sendmsg", "recvmsg", "close", "read", "openat"],
                      "action": "SCMP_ACT_NOTIFY"}]}
    got = bundle.run("mkdir", "/tmp/made", "--", "read", "/proc/self/comm")
    ok("/tmp/made: error EOVERFLOW" in got.stdout and "/proc/self/comm: inside" in got.stdout,
       f"NOTIFY, noNewPrivileges {nnp}: the listener decides", said(got))
    ok(MKDIR in agent.seen and agent.fds == 1, "the listener got one descriptor and its questions")
    state = agent.state or {}
    ok(state.get("fds") == ["seccompFd"] and state.get("metadata") == "for you"
       and state.get("pid", 0) > 0 and state.get("state", {}).get("id") == bundle.id
       and state.get("state", {}).get("bundle") == bundle.dir,
       "the listener got the container process state", state)
    agent.listener.close()

bundle = Bundle()
agent = Agent(os.path.join(bundle.dir, "agent.sock"))
bundle.config["linux"]["seccomp"] = {
    "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": agent.path,
    "syscalls": [{"names": ["mkdir", "close", "read"], "action": "SCMP_ACT_NOTIFY"}]}
got = bundle.start("/inside", "sleep", "60")
ok(got.returncode == 0, "a container with a listener starts", said(got))
agent.state = None
got = bundle.exec("/inside", "mkdir", "/tmp/made")
ok("/tmp/made: error EOVERFLOW" in got.stdout, "exec: the listener decides", said(got))
ok((agent.state or {}).get("fds") == ["seccompFd"], "exec: a descriptor of its own is sent", agent.state)
bundle.delete()

# What cannot work is refused before anything exists.
for what, seccomp in (
        ("NOTIFY for write", {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": agent.path, "syscalls": [
            {"names": ["write"], "action": "SCMP_ACT_NOTIFY"}]}),
        ("NOTIFY for everything", {"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": agent.path}),
        ("NOTIFY without listenerPath", {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}),
        ("an unknown action", {"defaultAction": "SCMP_ACT_MAYBE"}),
        ("an unknown architecture", {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["Z80"]}),
        ("an unknown flag", {"defaultAction": "SCMP_ACT_ALLOW", "flags": ["FAST"]}),
        ("an errno for ALLOW", {"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 5})):
    bundle = Bundle()
    bundle.config["linux"]["seccomp"] = seccomp
    bundle.config["process"]["args"] = ["/inside", "id"]
    bundle.save()
    got = vessel("create", "--bundle", bundle.dir, bundle.id)
    left = vessel("state", bundle.id).returncode
    ok(got.returncode != 0 and left != 0 and "seccomp" in got.stderr, f"{what}: refused", said(got), left)

# A listener that is not there is an error, and leaves nothing.
bundle = Bundle()
bundle.config["linux"]["seccomp"] = {
    "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": os.path.join(bundle.dir, "nobody"),
    "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}
bundle.config["process"]["args"] = ["/inside", "id"]
bundle.save()
got = vessel("create", "--bundle", bundle.dir, bundle.id)
left = vessel("state", bundle.id).returncode
ok(got.returncode != 0 and left != 0 and "nobody" in got.stderr, "no listener: refused", said(got), left)

# Each flag reaches the kernel; those that it does not know are named.
bundle = Bundle()
bundle.config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "flags": [
    "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}
got = bundle.run("id")
ok(got.stdout == "uid 0 gid 0\n", "all flags at once", said(got))
done()
