#!/usr/bin/env python3
"""Includes go only down the list of rooms, the two programs share nothing but oci-spec/, and plan/
stays free of system calls. Takes another tree as argument to be tried on."""
import os
import re
import sys

top = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "..")
top = os.path.abspath(top)

# From the top of DESIGN's list down; rooms on one line may use each other.
ranks = [["cli"], ["operations"], ["launch"], ["container"], ["rootfs"], ["cgroup"], ["security"],
         ["hooks", "terminal"], ["plan"], ["host"], ["sys"]]
rank = {room: i for i, line in enumerate(ranks) for room in line}

# What plan/ may take from the language's library, and from the rooms below it.
pure = set("""algorithm array bit cctype charconv chrono compare concepts cstddef cstdint cstring
expected functional initializer_list iterator limits map memory numeric optional set span stdexcept
string string_view tuple type_traits unordered_map unordered_set utility variant vector
doctest/doctest.h""".split())
below_plan = {"runtime/host/facts.hh", "runtime/sys/number.hh"}

include = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def sources(folder):
    for path, _, names in os.walk(os.path.join(top, folder)):
        for name in sorted(names):
            if name.endswith((".cc", ".hh")):
                full = os.path.join(path, name)
                with open(full, encoding="utf-8") as f:
                    yield os.path.relpath(full, top), include.findall(f.read())


def room(path):
    parts = path.split("/")
    return parts[1] if parts[0] == "runtime" and len(parts) > 2 else None


upward, foreign, impure, unknown, count = [], [], [], [], 0
for folder in ("runtime", "builder", "oci-spec"):
    for path, includes in sources(folder):
        count += 1
        own = room(path)
        if own and own not in rank:
            unknown.append(f"{path}: room {own} is not in the list")
        for kind, target in includes:
            head = target.split("/")[0]
            if kind == '"' and head in ("runtime", "builder", "oci-spec"):
                if head != folder and head != "oci-spec":
                    foreign.append(f"{path}: {target}")
                other = room(target)
                if own in rank and other in rank and rank[other] < rank[own]:
                    upward.append(f"{path}: {target}")
                if own == "plan" and other not in (None, "plan") and target not in below_plan:
                    impure.append(f"{path}: {target}")
            elif own == "plan" and target not in pure:
                impure.append(f"{path}: {target}")

failed = 0
checks = [("includes go only down the list of rooms", upward),
          ("the programs share only oci-spec/", foreign),
          ("plan/ includes no system call header", impure),
          ("every room is in the list", unknown),
          ("there are sources to look at", [] if count > 20 else [f"only {count} in {top}"])]
print(f"1..{len(checks)}")
for number, (name, wrong) in enumerate(checks, 1):
    print(f"{'not ok' if wrong else 'ok'} {number} - {name}")
    for line in wrong:
        print(f"# {line}")
    failed |= bool(wrong)
sys.exit(failed)
