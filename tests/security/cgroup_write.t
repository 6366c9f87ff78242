#!/usr/bin/env python3
# CVE-2023-25809: a container in a user namespace without a cgroup namespace gets the host's cgroup
# tree; it must be read-only even if the config forgets to say so.
from attack import *

bundle = Bundle()
identity = [{"containerID": 0, "hostID": 0, "size": 65536}]
bundle.config["linux"]["namespaces"].append({"type": "user"})
bundle.config["linux"]["uidMappings"] = identity
bundle.config["linux"]["gidMappings"] = identity
bundle.config["mounts"] += [
    {"destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "ro"]},
    {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
     "options": ["nosuid", "noexec", "nodev", "relatime"]},
]
with open("/proc/self/cgroup") as file:
    hierarchies = [line.strip().split(":", 2) for line in file]
paths = []
for _, controllers, _ in hierarchies:
    name = controllers.split(",")[0].removeprefix("name=")
    paths += [f"/sys/fs/cgroup/{controllers.removeprefix('name=')}", f"/sys/fs/cgroup/{name}"]
paths += ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
commands = []
for path in dict.fromkeys(paths):
    commands += ["mkdir", path + "/vessel-attack", "--", "write", path + "/cgroup.procs", "1", "--",
                 "write", path + "/notify_on_release", "1", "--"]
got = bundle.run(*commands)
done_to_host = [l for l in got.stdout.splitlines() if l.endswith(": made") or l.endswith(": written")]
for base in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
    for _, controllers, _ in hierarchies:
        leftover = os.path.join("/sys/fs/cgroup", controllers.removeprefix("name="), "vessel-attack")
        if os.path.isdir(leftover):
            os.rmdir(leftover)
ok("/vessel-attack: error" in got.stdout, "the container ran and tried", said(got))
ok(not done_to_host, "no cgroup of the host can be changed", *done_to_host)
done()
