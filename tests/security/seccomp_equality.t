#!/bin/bash
# vessel's seccomp programs decide every call as the profile says, and as runc's do: over the default
# profiles of Docker, containerd and podman, and generated ones (500; with --full 10,000). That the
# comparison notices is shown by changing one instruction at a time.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
vessel=${VESSEL:-$top/build/runtime/vessel}
equality=$(dirname "$vessel")/../tests/security/seccomp_equality
profiles=$top/tests/security/profiles
count=500 overlapping=10
if [ "${1:-}" = --full ]; then count=10000 overlapping=60; fi
n=0
run() {
  name=$1
  shift
  n=$((n + 1))
  if output=$("$equality" "$@" 2>&1); then echo "ok $n - $name"; else echo "not ok $n - $name"; fi
  echo "$output" | sed 's/^\([^#]\)/# \1/'
}
run "Docker's default profile: same decisions as libseccomp behind runc's check" profile "$profiles/docker"
run "containerd's default profile: same decisions" profile "$profiles/containerd"
podman=/usr/share/containers/seccomp.json
if [ -e $podman ]; then
  run "podman's default profile: same decisions" profile $podman
else
  n=$((n + 1))
  echo "ok $n - podman's default profile # SKIP no $podman"
fi
run "$count generated profiles: same decisions" generated $count
run "$overlapping generated profiles with overlapping rules: as the rules say" meaning $overlapping
run "Docker's profile: any one instruction changed is noticed" mutate "$profiles/docker"
run "containerd's profile: any one instruction changed is noticed" mutate "$profiles/containerd"
"$equality" time "$profiles/docker" | sed 's/^/# compiling takes: /'
echo "1..$n"
