#!/usr/bin/env python3
"""plan, check, spec and features: what they print, their exit codes, and that they change nothing."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

top = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
vessel = os.path.abspath(os.environ.get("VESSEL", os.path.join(top, "build/runtime/vessel")))
results = []


def check(name, good, why=""):
    results.append(bool(good))
    print(f"{'ok' if good else 'not ok'} {len(results)} - {name}")
    if not good and why:
        for line in str(why).splitlines():
            print(f"# {line}")


def run(*words, cwd=None):
    return subprocess.run([vessel, *words], cwd=cwd, capture_output=True, text=True)


def listing(folder):
    return sorted(os.path.join(p, n) for p, _, names in os.walk(folder) for n in names)


work = tempfile.mkdtemp(prefix="vessel-inspect-")
try:
    bundle = os.path.join(work, "b")
    os.makedirs(os.path.join(bundle, "rootfs"))
    state = os.path.join(work, "state")

    r = run("spec", "--bundle", bundle)
    check("spec writes config.json", r.returncode == 0 and not r.stderr, r)
    with open(os.path.join(bundle, "config.json"), encoding="utf-8") as f:
        text = f.read()
    config = json.loads(text)
    check("spec: runc's shape", config["process"]["args"] == ["sh"] and
          config["root"] == {"path": "rootfs", "readonly": True} and len(config["mounts"]) == 7 and
          config["linux"]["resources"] == {"devices": [{"allow": False, "access": "rwm"}]}, text)
    r = run("spec", cwd=bundle)
    check("spec refuses to overwrite", r.returncode == 1 and
          "File config.json exists. Remove it first" in r.stderr, r)
    with open(os.path.join(bundle, "config.json"), encoding="utf-8") as f:
        check("spec: the old one is as it was", f.read() == text)

    rootless = os.path.join(work, "r")
    os.makedirs(os.path.join(rootless, "rootfs"))
    r = run("spec", "--rootless", cwd=rootless)
    with open(os.path.join(rootless, "config.json"), encoding="utf-8") as f:
        other = json.load(f)
    kinds = [n["type"] for n in other["linux"]["namespaces"]]
    check("spec --rootless: own ids, no network namespace", r.returncode == 0 and
          other["linux"]["uidMappings"] == [{"containerID": 0, "hostID": os.geteuid(), "size": 1}]
          and "user" in kinds and "network" not in kinds and "resources" not in other["linux"], r)

    before = listing(work)
    r = run("--root", state, "plan", "--bundle", bundle)
    check("plan: a table", r.returncode == 0 and r.stdout.startswith("PHASE") and
          "pivot_root" in r.stdout, r)
    r = run("--root", state, "plan", "--bundle", bundle, "--format", "json", "c7")
    plan = json.loads(r.stdout) if r.returncode == 0 else {}
    check("plan: JSON", plan.get("id") == "c7" and plan.get("bundle") == bundle and
          {"phase": "devices", "action": "link", "object": "/dev/ptmx", "detail": "pts/ptmx"}
          in plan.get("steps", []), r)
    order = list(dict.fromkeys(s["phase"] for s in plan.get("steps", [])))
    check("plan: the order of the steps", order == ["cgroup", "namespaces", "mounts", "devices",
                                                    "root", "settings", "process", "start"], order)
    r = run("--root", state, "check", "--bundle", bundle)
    check("check: a good bundle", r.returncode == 0 and r.stdout.endswith("no problems\n"), r)
    check("plan and check change nothing", listing(work) == before)

    config["process"]["cwd"] = "x"
    config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"]
                                     if n["type"] != "uts"]
    config["mounts"].append({"destination": "/d", "source": "nowhere", "options": ["rbind"]})
    config["linux"]["sysctl"] = {"vm.swappiness": "1"}
    with open(os.path.join(bundle, "config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f)
    wanted = ["process.cwd: expected an absolute path", "hostname: needs a uts namespace",
              'linux.sysctl["vm.swappiness"]: is not in a namespace']
    r = run("check", "--bundle", bundle)
    check("check: every problem, exit code 1", r.returncode == 1 and
          all("config  " + w in r.stdout for w in wanted) and
          "host    mounts[7].source: " in r.stdout and r.stdout.endswith("4 problems\n"), r)
    r = run("plan", "--bundle", bundle)
    check("plan: every problem of the config", r.returncode == 1 and
          all(w.replace("\"", "\\\"") in r.stderr for w in wanted), r)
    config["process"]["env"] = ["A=1", "A=\0"]
    with open(os.path.join(bundle, "config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f)
    r = run("check", "--bundle", bundle)
    check("check: NUL in a variable", r.returncode == 1 and
          "config  process.env[1]: must not contain a NUL character\n" in r.stdout, r)
    with open(os.path.join(bundle, "config.json"), "w", encoding="utf-8") as f:
        f.write('{"ociVersion": "1.3.0",\n "process": [}')
    r = run("check", "--bundle", bundle)
    check("check: where the JSON is broken", r.returncode == 1 and "line 2, column 14" in r.stdout,
          r)
    r = run("plan", "--bundle", os.path.join(work, "none"))
    check("plan: a bundle that is not there", r.returncode == 1 and "config.json" in r.stderr, r)

    r = run("features")
    features = json.loads(r.stdout) if r.returncode == 0 else {}
    linux = features.get("linux", {})
    check("features: a document of the spec", features.get("ociVersionMin") == "1.0.0" and
          features.get("ociVersionMax") == "1.3.0" and "rro" in features.get("mountOptions", []) and
          len(features.get("hooks", [])) == 6, r)
    check("features: namespaces and capabilities", linux.get("namespaces") ==
          ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"] and
          "CAP_CHECKPOINT_RESTORE" in linux.get("capabilities", []), linux)
    check("features: seccomp, idmap", linux.get("seccomp", {}).get("enabled") is True and
          "SCMP_ARCH_X86_64" in linux["seccomp"]["archs"] and
          linux.get("mountExtensions") == {"idmap": {"enabled": True}}, linux)
finally:
    shutil.rmtree(work)
print(f"1..{len(results)}")
sys.exit(0 if all(results) else 1)
