#!/usr/bin/env python3
# CVE-2021-30465, CVE-2024-45310: while the runtime makes a mount target, a directory on the way to it
# is exchanged with a symlink that leads to the host. Nothing may be made or mounted there.
from attack import *

ROUNDS = 60
bundle = Bundle()
host = os.path.join(bundle.dir, "host")
os.makedirs(os.path.join(host, "b"))
os.makedirs(bundle.path("a/b"))
up = "../" * 20 + host.lstrip("/")
os.symlink(up, bundle.path("swap"))
payload = os.path.join(bundle.dir, "payload")
os.mkdir(payload)
with open(os.path.join(payload, "file"), "w") as file:
    file.write("payload")
for i in range(4):
    bundle.config["mounts"].append({"destination": f"/a/b/made{i}/deep", "type": "tmpfs",
                                    "source": "tmpfs"})
    bundle.config["mounts"].append({"destination": f"/a/b/file{i}", "type": "bind",
                                    "source": os.path.join(payload, "file"), "options": ["bind"]})
bundle.save()
swapper = background(os.path.join(PROGRAMS, "swapper"), bundle.path("a"), bundle.path("swap"))
succeeded, last = 0, None
made = []
for i in range(ROUNDS):
    last = bundle.run("id")
    succeeded += last.returncode == 0
    made = [os.path.join(d, n) for d, s, f in os.walk(host) for n in s + f if n != "b"]
    if made:
        break
ok(swapper.poll() is None, "the race was on all the time")
swapper.kill()
swapper.wait()
ok(not made, f"nothing was made on the host in {ROUNDS} races ({succeeded} containers ran)", made,
   said(last))
done()
