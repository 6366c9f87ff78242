#!/usr/bin/env python3
# CVE-2019-19921, CVE-2023-27561, CVE-2023-28642: the image makes /proc or /sys a symlink, so that
# what the runtime writes and masks there lands elsewhere. CVE-2026-41579, crun CVE-2026-47766: the
# same with /dev. CVE-2019-16884: a volume over /proc.
from attack import *

for where in ("/proc", "/sys"):
    kind = {"/proc": "proc", "/sys": "sysfs"}[where]
    for target in ("/evil", "evil", "/tmp/../evil", "/../../../../../evil"):
        bundle = Bundle()
        bundle.without_mount(where)
        bundle.config["mounts"].insert(0, {"destination": where, "type": kind, "source": kind})
        bundle.config["linux"]["namespaces"].append({"type": "network"})
        os.rmdir(bundle.path(where))
        os.mkdir(bundle.path("evil"))
        os.symlink(target, bundle.path(where))
        got = bundle.run("stat", "/evil")
        ok(got.returncode != 0 and got.stdout == "",
           f"{where} as a symlink to {target}: refused", said(got))
        ok(where in got.stderr, f"{where} as a symlink to {target}: the message names it", said(got))

# /dev as a symlink: followed inside the root only, nothing appears on the host.
for target in ("{host}", "../../../../../../../../../../..{host}"):
    for tmpfs in (True, False):
        bundle = Bundle()
        host = os.path.join(bundle.dir, "host")
        os.mkdir(host)
        os.rmdir(bundle.path("dev"))
        os.symlink(target.format(host=host), bundle.path("dev"))
        if not tmpfs:
            bundle.without_mount("/dev", "/dev/pts")
        got = bundle.run("stat", "/dev/null")
        ok(os.listdir(host) == [],
           f"/dev as a symlink to {target}{'' if tmpfs else ', no tmpfs'}: nothing made on the host",
           said(got), os.listdir(host))
done()
