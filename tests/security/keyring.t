#!/usr/bin/env python3
# A container gets a session keyring of its own, so that the caller's keys are out of reach; exec
# joins it; --no-new-keyring leaves the caller's.
from attack import *

if not os.path.exists("/proc/keys"):
    print("1..0 # SKIP no /proc/keys: this kernel has no keyrings")
    sys.exit(0)


def session_keyrings(result):
    """What the process possesses, by the names in /proc/keys."""
    return [line for line in result.stdout.splitlines() if "_ses." in line]


for what, namespaces, extra in (("plain", [], {}),
                                ("user namespace", [{"type": "user"}],
                                 {"uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
                                  "gidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}]})):
    bundle = Bundle()
    bundle.config["linux"]["namespaces"] += namespaces
    bundle.config["linux"].update(extra)
    got = bundle.run("read", "/proc/keys")
    ok(any(f"_ses.{bundle.id}" in line for line in session_keyrings(got)),
       f"{what}: init has the keyring _ses.ID", said(got))

bundle = Bundle()
got = bundle.start("/inside", "sleep", "60")
got = bundle.exec("/inside", "read", "/proc/keys")
ok(any(f"_ses.{bundle.id}" in line for line in session_keyrings(got)),
   "exec: joins the keyring _ses.ID", said(got))
bundle.delete()

bundle = Bundle()
bundle.config["process"]["args"] = ["/inside", "read", "/proc/keys"]
bundle.save()
got = vessel("run", "--no-new-keyring", "--bundle", bundle.dir, bundle.id)
ok(got.returncode == 0 and not any(bundle.id in line for line in session_keyrings(got)),
   "--no-new-keyring: no keyring is made", said(got))
done()
