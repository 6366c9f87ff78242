#!/usr/bin/env python3
# CVE-2024-21626: no descriptor of the host reaches the container, and the working directory cannot be
# one that leads out of its root, for init and exec.
from attack import *

marker = os.path.join(WORK, "marker")
with open(marker, "w") as file:
    file.write("host")
OUT = "../" * 24 + marker.lstrip("/")

host = os.open("/", os.O_RDONLY)
os.set_inheritable(host, True)
os.dup2(host, 19)


def only_stdio(result):
    lines = [l for l in result.stdout.splitlines() if l.startswith("fd ")]
    return len(lines) >= 3 and all(l.split()[1] in ("0", "1", "2") for l in lines)


bundle = Bundle()
got = bundle.run("fds", close_fds=False)
ok(only_stdio(got), "init: only stdin, stdout and stderr, although the caller leaks more", said(got))
bundle = Bundle()
got = bundle.start("/inside", "sleep", "60", close_fds=False)
got = bundle.exec("/inside", "fds", close_fds=False)
ok(only_stdio(got), "exec: only stdin, stdout and stderr", said(got))

# A working directory reached through a descriptor that the runtime has open at that moment.
escaped = []
for number in range(3, 30):
    got = bundle.exec("/inside", "read", OUT, "--", "cwd",
                      flags=("--cwd", f"/proc/self/fd/{number}"), close_fds=False)
    if ": host" in got.stdout or "(unreachable)" in got.stdout:
        escaped.append(f"{number}: {said(got)}")
ok(not escaped, "exec --cwd /proc/self/fd/N: never outside the root", *escaped)
bundle.delete()

escaped = []
for number in range(3, 30):
    for cwd in (f"/proc/self/fd/{number}", f"/link{number}"):
        bundle = Bundle()
        os.symlink(f"/proc/self/fd/{number}/", bundle.path(f"link{number}"))
        bundle.config["process"]["cwd"] = cwd
        got = bundle.run("read", OUT, "--", "cwd", close_fds=False)
        if ": host" in got.stdout or "(unreachable)" in got.stdout:
            escaped.append(f"{cwd}: {said(got)}")
ok(not escaped, "process.cwd /proc/self/fd/N, also behind a symlink: never outside the root", *escaped)

# The defence must not be that nothing runs.
bundle = Bundle()
bundle.config["process"]["cwd"] = "/tmp/made/here"
got = bundle.run("cwd")
ok(got.stdout == "cwd /tmp/made/here\n", "an honest working directory is made and entered", said(got))
done()
