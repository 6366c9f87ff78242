#!/usr/bin/env python3
# CVE-2019-5736: a container with every capability tries to write the runtime's file through
# /proc/PID/exe of whoever enters it, keeps what it opened, and tries again when vessel is gone.
import hashlib
import time
from attack import *

program = os.path.join(WORK, "vessel-copy")
shutil.copy(VESSEL, program)


def digest():
    with open(program, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def wait_for(path, seconds=10):
    end = time.time() + seconds
    while not os.path.exists(path) and time.time() < end:
        time.sleep(0.01)
    return os.path.exists(path)


def report(path):
    with open(path) as file:
        return file.read()


before = digest()
every = ["CAP_" + name for name in ALL_CAPABILITIES]


def privileged():
    bundle = Bundle()
    process = bundle.config["process"]
    process["capabilities"] = {kind: every for kind in ("bounding", "effective", "permitted")}
    process["noNewPrivileges"] = False
    with open(bundle.path("script"), "w") as file:
        file.write("#!/proc/self/exe\n")
    os.chmod(bundle.path("script"), 0o755)
    return bundle


def outcome(bundle, name):
    """The attacker's report, once it knows that vessel is gone."""
    open(bundle.path("tmp/out.gone"), "w").close()
    end = time.time() + 15
    text = ""
    while time.time() < end and "done" not in text and "no victim" not in text:
        time.sleep(0.02)
        text = report(bundle.path("tmp/out"))
    bad = [l for l in text.splitlines() if l.split()[0] in ("wrote", "cleared")]
    ok(digest() == before, f"{name}: the runtime's file is unchanged", text)
    ok(not bad, f"{name}: nothing could be written or remounted", text)


def come_by(bundle, what, command, call):
    """exec of `command` by `call` until the waiting attacker has seen one, and what came of it."""
    for _ in range(40):
        call("exec", bundle.id, *command)
        if os.path.exists(bundle.path("tmp/out.attacked")):
            break
    grabbed = wait_for(bundle.path("tmp/out.attacked"), 3)
    if command[0] != "/exe_attack":
        ok(grabbed, f"{what}: the attacker gets hold of the executable")
    outcome(bundle, what)


# exec: the attacker is init, and waits for whoever comes.
for what, command in (("exec of a program", ("/exe_attack", "nop")),
                      ("exec of /proc/self/exe", ("/proc/self/exe",)),
                      ("exec of a #!/proc/self/exe script", ("/script",))):
    bundle = privileged()
    bundle.config["process"]["args"] = ["/exe_attack", "wait", "/tmp/out"]
    bundle.save()
    got = vessel("create", "--bundle", bundle.dir, bundle.id, program=program)
    got = vessel("start", bundle.id, program=program) if got.returncode == 0 else got
    ok(got.returncode == 0, f"{what}: the attacker runs", said(got))
    come_by(bundle, what, command, lambda *args: vessel(*args, program=program))
    bundle.delete()

# create: init itself, before it becomes the container's program, and as args.
for what, args in (("created init", ["/inside", "sleep", "5"]), ("init /proc/self/exe", ["/proc/self/exe"]),
                   ("init #!/proc/self/exe script", ["/script"])):
    bundle = privileged()
    bundle.config["process"]["args"] = args
    bundle.save()
    got = vessel("create", "--bundle", bundle.dir, bundle.id, program=program)
    ok(got.returncode == 0, f"{what}: created", said(got))
    if got.returncode == 0:
        # From the same privileges as a container has that shares the pid namespace.
        attacker = background("unshare", "--mount", os.path.join(PROGRAMS, "exe_attack"), "grab",
                              f"/proc/{bundle.pid()}/exe", bundle.path("tmp/out"))
        ok(wait_for(bundle.path("tmp/out.attacked")), f"{what}: the attacker gets hold of it")
        vessel("start", bundle.id, program=program)
        bundle.delete()
        outcome(bundle, what)
        attacker.wait(20)

# Rootless: the file belongs to the user whom the attacker is outside of its user namespace, and
# whoever enters was cloned from a mount that a child made in namespaces of its own.
USER = 4242
shutil.copy(VESSEL, program)
os.chown(program, USER, USER)
before = digest()
rootless_state = os.path.join(WORK, "rootless-state")
os.mkdir(rootless_state)
os.chown(rootless_state, USER, USER)


def as_user(*args):
    return vessel(*args, program="setpriv", before=("--reuid", str(USER), "--regid", str(USER), "--clear-groups", program),
                  state=rootless_state)


if not subprocess.run(["setpriv", "--reuid", str(USER), "unshare", "--user", "true"], stderr=subprocess.DEVNULL).returncode:
    for what, command in (("rootless exec of a program", ("/exe_attack", "nop")),
                          ("rootless exec of /proc/self/exe", ("/proc/self/exe",)),
                          ("rootless exec of a #!/proc/self/exe script", ("/script",))):
        bundle = privileged()
        bundle.config["process"]["args"] = ["/exe_attack", "wait", "/tmp/out"]
        bundle.config["linux"]["namespaces"] += [{"type": "user"}]
        for kind in ("uidMappings", "gidMappings"):
            bundle.config["linux"][kind] = [{"containerID": 0, "hostID": USER, "size": 1}]
        del bundle.config["linux"]["cgroupsPath"]
        bundle.save()
        subprocess.run(["chown", "-R", f"{USER}:{USER}", bundle.dir], check=True)
        got = as_user("create", "--bundle", bundle.dir, bundle.id)
        got = as_user("start", bundle.id) if got.returncode == 0 else got
        ok(got.returncode == 0, f"{what}: the attacker runs", said(got))
        come_by(bundle, what, command, as_user)
        as_user("delete", "--force", bundle.id)
else:
    ok(True, "rootless exec # SKIP no user namespaces for users here")
done()
