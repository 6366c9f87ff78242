#!/usr/bin/env python3
# CVE-2026-30892: a user that is not strictly a number, or a name of the container, is an error and
# never uid 0; "1" is uid 1.
from attack import *

bundle = Bundle()
got = bundle.start("/inside", "sleep", "60")
ok(got.returncode == 0, "a container starts", said(got))
for user, uid, gid in (("1", 1, 0), ("0", 0, 0), ("1000:1000", 1000, 1000), ("5:7", 5, 7)):
    got = bundle.exec("/inside", "id", flags=("--user", user))
    ok(got.stdout == f"uid {uid} gid {gid}\n", f"--user {user} is uid {uid}, gid {gid}", said(got))
for user in ("1x", "x1", " 1", "1 ", "+1", "-1", "0x0", "1e3", ":", ":5", "1:", "1:x", "1:2:3",
             "4294967295", "4294967296", "18446744073709551616", "1.0", "\u0661", "root ", "99999999999"):
    got = bundle.exec("/inside", "id", flags=("--user", user))
    ok(got.returncode != 0 and "uid" not in got.stdout, f"--user {user!r} is refused", said(got))
bundle.delete()

# The highest number means "unchanged" to setresuid(2).
for user in ({"uid": 4294967295, "gid": 0}, {"uid": 1, "gid": 4294967295}, {"uid": 4294967296, "gid": 0},
             {"uid": -1, "gid": 0}, {"uid": 1.5, "gid": 0}, {"uid": "1", "gid": 0}):
    bundle = Bundle()
    bundle.config["process"]["user"] = user
    got = bundle.run("id")
    ok(got.returncode != 0 and "uid" not in got.stdout, f"process.user {user} is refused", said(got))
done()
