"""What the attack tests share: a bundle around the static programs here, and vessel to run it.

Every test stands on its own: everything is made under one temporary directory, which is removed
with all containers when the test ends, however it ends.
"""
import atexit
import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
VESSEL = os.path.abspath(os.environ.get("VESSEL", os.path.join(TOP, "build/runtime/vessel")))
PROGRAMS = os.path.join(os.path.dirname(VESSEL), "../tests/security")

WORK = tempfile.mkdtemp(prefix="vessel-attack-")
os.chmod(WORK, 0o755)
STATE = os.path.join(WORK, "state")
_containers = []
_children = []
_count = 0

ALL_CAPABILITIES = """CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE
SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_TIME SYS_TTY_CONFIG MKNOD
LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND
AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE""".split()


def cleanup():
    for child in _children:
        if child.poll() is None:
            child.kill()
            child.wait()
    for name in _containers:
        subprocess.run([VESSEL, "--root", STATE, "delete", "--force", name],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20)
    shutil.rmtree(WORK, ignore_errors=True)


atexit.register(cleanup)
for _signal in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(_signal, lambda *_: sys.exit(1))


def ok(good, name, *details):
    global _count
    _count += 1
    print(f"{'ok' if good else 'not ok'} {_count} - {name}")
    if not good:
        for detail in details:
            for line in str(detail).splitlines():
                print("#   " + line)
    sys.stdout.flush()


def done():
    print(f"1..{_count}")


def base_config():
    capabilities = ["CAP_" + name for name in ("CHOWN", "KILL", "SETUID", "NET_BIND_SERVICE")]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": ["/inside", "id"],
            "env": ["PATH=/"],
            "cwd": "/",
            "capabilities": {"bounding": capabilities, "effective": capabilities,
                             "permitted": capabilities},
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs"},
        "hostname": "attacked",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
        ],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]},
    }


class Bundle:
    """A bundle of its own, with the programs in its root. Change .config, then run() or create()."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(dir=WORK)
        os.chmod(self.dir, 0o755)
        self.root = os.path.join(self.dir, "rootfs")
        for sub in ("", "proc", "dev", "sys", "tmp"):
            os.mkdir(os.path.join(self.root, sub))
        for program in ("inside", "exe_attack"):
            shutil.copy(os.path.join(PROGRAMS, program), os.path.join(self.root, program))
        self.config = base_config()
        self.id = "attack-" + uuid.uuid4().hex[:12]
        self.config["linux"]["cgroupsPath"] = "/" + self.id

    def path(self, inside):
        return os.path.join(self.root, inside.lstrip("/"))

    def mount(self, destination):
        return next(m for m in self.config["mounts"] if m["destination"] == destination)

    def without_mount(self, *destinations):
        self.config["mounts"] = [m for m in self.config["mounts"]
                                 if m["destination"] not in destinations]

    def save(self):
        with open(os.path.join(self.dir, "config.json"), "w") as file:
            json.dump(self.config, file)
        _containers.append(self.id)

    def run(self, *args, **options):
        """Runs to its end. args: what /inside does, if given."""
        if args:
            self.config["process"]["args"] = ["/inside", *args]
        self.save()
        result = vessel("run", "--bundle", self.dir, self.id, **options)
        vessel("delete", "--force", self.id)
        return result

    def start(self, *args, **options):
        """Starts it in the background; delete with delete()."""
        if args:
            self.config["process"]["args"] = list(args)
        self.save()
        result = vessel("create", "--bundle", self.dir, self.id, **options)
        if result.returncode == 0:
            result = vessel("start", self.id)
        return result

    def exec(self, *args, flags=(), **options):
        return vessel("exec", *flags, self.id, *args, **options)

    def pid(self):
        return json.loads(vessel("state", self.id).stdout)["pid"]

    def delete(self):
        return vessel("delete", "--force", self.id)


def vessel(*args, program=None, before=(), state=STATE, timeout=30, **options):
    """Output goes through files: a container that lives on keeps a pipe open. `before`: arguments of a
    program that calls vessel."""
    with tempfile.TemporaryFile(dir=WORK) as out, tempfile.TemporaryFile(dir=WORK) as err:
        try:
            code = subprocess.run([program or VESSEL, *before, "--root", state, *args], stdin=subprocess.DEVNULL,
                                  stdout=out, stderr=err, timeout=timeout, **options).returncode
        except subprocess.TimeoutExpired:
            code = 124
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(args, code, out.read().decode(errors="replace"),
                                           err.read().decode(errors="replace"))


def background(*command, **options):
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)
    _children.append(child)
    return child


def said(result):
    return f"exit {result.returncode}\nstdout: {result.stdout}\nstderr: {result.stderr}"
