#!/usr/bin/env python3
# CVE-2025-52881, CVE-2019-16884: mounts over parts of /proc redirect what the runtime writes there.
# sysctls must reach the kernel and labels must not go to a file of the container's choice.
from attack import *

bundle = Bundle()
fake = os.path.join(bundle.dir, "fake")
os.makedirs(os.path.join(fake, "net/ipv4"))
with open(os.path.join(fake, "net/ipv4/ip_forward"), "w") as file:
    file.write("fake")
os.mkdir(bundle.path("real"))
bundle.config["linux"]["namespaces"].append({"type": "network"})
bundle.config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
# The fake stands where a careless runtime looks: in the container's root before /proc is mounted,
# and as a mount over the container's /proc/sys.
os.makedirs(bundle.path("proc/sys/net/ipv4"))
bundle.config["mounts"] += [
    {"destination": "/real", "type": "proc", "source": "proc"},
    {"destination": "/proc/sys", "type": "bind", "source": fake, "options": ["bind"]},
]
got = bundle.run("read", "/real/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/ip_forward")
with open(os.path.join(fake, "net/ipv4/ip_forward")) as file:
    content = file.read()
ok(content == "fake", "a file mounted over /proc/sys is not written", said(got), content)
ok("/real/sys/net/ipv4/ip_forward: 1\n" in got.stdout or (got.returncode != 0 and not got.stdout),
   "the sysctl reaches the kernel, or the container does not run", said(got))

# The same without a mount over it: what the defence must not break.
bundle = Bundle()
bundle.config["linux"]["namespaces"].append({"type": "network"})
bundle.config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
got = bundle.run("read", "/proc/sys/net/ipv4/ip_forward")
ok(got.stdout == "/proc/sys/net/ipv4/ip_forward: 1\n\n" or
   got.stdout.startswith("/proc/sys/net/ipv4/ip_forward: 1"), "an honest sysctl is written", said(got))

# A label's file: over /proc/self/attr. exec joins a container that has prepared it.
bundle = Bundle()
fake = os.path.join(bundle.dir, "attr")
os.mkdir(fake)
for name in ("exec", "keycreate", "current"):
    with open(os.path.join(fake, name), "w") as file:
        file.write("fake")
bundle.config["process"]["selinuxLabel"] = "system_u:system_r:container_t:s0"
bundle.config["mounts"].append({"destination": "/proc/self/attr", "type": "bind", "source": fake,
                                "options": ["bind"]})
got = bundle.run("id")
contents = [open(os.path.join(fake, name)).read() for name in ("exec", "keycreate", "current")]
ok(contents == ["fake"] * 3, "a file mounted over /proc/self/attr is not written", said(got), contents)
done()
