#!/usr/bin/env python3
# CVE-2022-29162, CVE-2022-27650, CVE-2022-27651: the inheritable set is not filled by accident, for
# init or exec; the five sets are exactly those asked for.
from attack import *

NUMBER = {"CHOWN": 0, "KILL": 5, "SETUID": 7, "NET_BIND_SERVICE": 10, "NET_RAW": 13}


def mask(*names):
    return "%016x" % sum(1 << NUMBER[name] for name in names)


def sets(result):
    return dict(line.split(":\t") for line in result.stdout.splitlines() if ":\t" in line)


NONE = mask()
GIVEN = mask("CHOWN", "KILL", "SETUID", "NET_BIND_SERVICE")

bundle = Bundle()
got = bundle.run("caps")
ok(sets(got) == {"CapInh": NONE, "CapPrm": GIVEN, "CapEff": GIVEN, "CapBnd": GIVEN, "CapAmb": NONE},
   "init: exactly the sets of the config, nothing inheritable", said(got))

bundle = Bundle()
bundle.config["process"]["capabilities"] = {
    "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"], "permitted": ["CAP_CHOWN", "CAP_KILL"],
    "effective": ["CAP_CHOWN"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]}
bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
got = bundle.run("caps")
# execve by an ordinary user leaves what is ambient.
ok(sets(got) == {"CapInh": mask("KILL"), "CapPrm": mask("KILL"), "CapEff": mask("KILL"),
                 "CapBnd": mask("CHOWN", "KILL", "SETUID"), "CapAmb": mask("KILL")},
   "init as a user: ambient and inheritable exactly as asked", said(got))

bundle = Bundle()
bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
got = bundle.run("caps")
ok(sets(got).get("CapInh") == NONE and sets(got).get("CapEff") == NONE
   and sets(got).get("CapPrm") == NONE, "init as a user: no capability gets through", said(got))

bundle = Bundle()
got = bundle.start("/inside", "sleep", "60")
ok(got.returncode == 0, "a container for exec starts", said(got))
got = bundle.exec("/inside", "caps")
ok(sets(got) == {"CapInh": NONE, "CapPrm": GIVEN, "CapEff": GIVEN, "CapBnd": GIVEN, "CapAmb": NONE},
   "exec: the container's sets, nothing inheritable", said(got))
got = bundle.exec("/inside", "caps", flags=("--cap", "CAP_NET_RAW"))
ok(sets(got).get("CapInh") == NONE, "exec --cap: nothing inheritable", said(got))
ok(int(sets(got).get("CapEff", "0"), 16) >> NUMBER["NET_RAW"] & 1 == 1,
   "exec --cap: the capability is there", said(got))
got = bundle.exec("/inside", "caps", flags=("--user", "1000:1000"))
ok(sets(got).get("CapInh") == NONE and sets(got).get("CapEff") == NONE,
   "exec as a user: no capability gets through", said(got))
bundle.delete()
done()
