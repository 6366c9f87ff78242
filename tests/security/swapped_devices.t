#!/usr/bin/env python3
# CVE-2025-31133, CVE-2025-52565, crun CVE-2026-88264 and CVE-2026-88265: /dev/null, /dev/console or
# the terminal's device replaced by a symlink, then used as the source of a mask or written to.
import pty
import select
import socket
from attack import *

# Without a tmpfs on /dev, what the image ships there is what the runtime finds.
bundle = Bundle()
bundle.without_mount("/dev", "/dev/pts")
with open(bundle.path("secret"), "w") as file:
    file.write("top secret")
with open(bundle.path("victim"), "w") as file:
    file.write("untouched")
os.symlink("/proc/sys/kernel/core_pattern", bundle.path("dev/null"))
bundle.config["linux"]["maskedPaths"] = ["/secret"]
got = bundle.run("stat", "/secret", "--", "read", "/secret", "--", "write", "/secret", "x")
masked = "/secret: c 1:3 " in got.stdout and "top secret" not in got.stdout
ok(masked or (got.returncode != 0 and got.stdout == ""),
   "/dev/null as a symlink: a masked file is the null device, or nothing runs", said(got))
ok("core_pattern" not in got.stdout and "|" not in got.stdout,
   "/dev/null as a symlink: the mask is not what it points to", said(got))

bundle = Bundle()
bundle.without_mount("/dev", "/dev/pts")
with open(bundle.path("secret"), "w") as file:
    file.write("top secret")
with open(bundle.path("dev/null"), "w") as file:
    file.write("a regular file of the image")
bundle.config["linux"]["maskedPaths"] = ["/secret"]
got = bundle.run("read", "/secret", "--", "stat", "/secret")
ok("/secret: c 1:3 " in got.stdout or (got.returncode != 0 and got.stdout == ""),
   "/dev/null as a regular file: a masked file is the null device, or nothing runs", said(got))

# /dev/console: the terminal must not be mounted over what a symlink points to.
for target in ("/victim", "/proc/sysrq-trigger", "../victim"):
    bundle = Bundle()
    bundle.without_mount("/dev", "/dev/pts")
    os.mkdir(bundle.path("dev/pts"))
    bundle.config["mounts"].append({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                                    "options": ["newinstance", "ptmxmode=0666", "mode=0620"]})
    with open(bundle.path("victim"), "w") as file:
        file.write("untouched")
    os.symlink(target, bundle.path("dev/console"))
    bundle.config["process"]["terminal"] = True
    bundle.config["process"]["args"] = ["/inside", "stat", "/victim", "/proc/sysrq-trigger",
                                        "/dev/console", "--", "read", "/victim"]
    bundle.save()
    path = os.path.join(bundle.dir, "console.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    got = vessel("create", "--bundle", bundle.dir, "--console-socket", path, bundle.id)
    text = ""
    if got.returncode == 0:
        listener.settimeout(5)
        peer, _ = listener.accept()
        _, fds, _, _ = socket.recv_fds(peer, 4096, 1)
        vessel("start", bundle.id)
        while select.select([fds[0]], [], [], 2)[0]:
            try:
                chunk = os.read(fds[0], 65536)
            except OSError:
                break
            if not chunk:
                break
            text += chunk.decode()
        os.close(fds[0])
        peer.close()
    listener.close()
    bundle.delete()
    harmless = "/victim: f " in text and "/victim: untouched" in text and "/proc/sysrq-trigger: f " in text
    ok((got.returncode == 0 and harmless) or (got.returncode != 0 and text == ""),
       f"/dev/console as a symlink to {target}: nothing mounted over it", said(got), text)
done()
