#!/bin/bash
# CVE-2019-5736, the protection by itself: each kind of protected copy is attacked as a container
# with every capability would, and the same attack is shown to work on an unprotected program.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
vessel=${VESSEL:-$top/build/runtime/vessel}
bin=$(dirname "$vessel")/../tests/security
work=$(mktemp -d) || exit 1
victim=
trap '[ -n "$victim" ] && kill "$victim" 2>/dev/null; rm -rf "$work"' EXIT
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi; }

# attack KIND: leaves what the attacker did in $work/out, what the program said in $work/said.
attack() {
  rm -f "$work"/*
  cp "$bin/protected_self_probe" "$work/program"
  before=$(sha256sum <"$work/program")
  "$work/program" "$1" "$work/ready" "$work/go" >"$work/said" 2>&1 &
  victim=$!
  for _ in $(seq 500); do [ -e "$work/ready" ] && break; sleep 0.01; done
  # Its own mount namespace, as a container has; propagation private as unshare makes it.
  unshare --mount "$bin/exe_attack" grab "/proc/$victim/exe" "$work/out" &
  local attacker=$!
  for _ in $(seq 500); do [ -e "$work/out.attacked" ] && break; sleep 0.01; done
  touch "$work/go"
  wait "$victim"
  victim=
  touch "$work/out.gone"
  wait "$attacker"
  after=$(sha256sum <"$work/program")
}

attack none
grep -q '^wrote' "$work/out"; ok $? "the attack writes to an unprotected program"
[ "$before" != "$after" ]; ok $? "the unprotected program's file is changed"

kinds=("read-only clone" "sealed memfd" "private file")
for kind in 0 1 2; do
  attack "$kind"
  grep -qx "${kinds[kind]}" "$work/said"; ok $? "${kinds[kind]}: is what the program runs from"
  grep -qx done "$work/out"; ok $? "${kinds[kind]}: the attack ran to its end"
  [ "$before" = "$after" ]; ok $? "${kinds[kind]}: the host's file is unchanged"
  case $kind in
    0) ! grep -Eq '^(opened|wrote|cleared)' "$work/out"; ok $? "read-only clone: cannot be opened for writing, its flags cannot be changed" ;;
    1) ! grep -q '^wrote' "$work/out"; ok $? "sealed memfd: cannot be written" ;;
  esac
  sed 's/^/# /' "$work/out"
done

# A mark in the environment must not pass for protection.
cp "$bin/protected_self_probe" "$work/program"
! _VESSEL_REEXECUTED=1 "$work/program" 0 >/dev/null 2>&1; ok $? "a mark in the environment is no protection"
# Nor must being started through a descriptor.
[ "$(exec 9<"$work/program"; /proc/self/fd/9 0)" = "read-only clone" ]; ok $? "started by descriptor: still protects itself"
[ "$(exec 9<"$work/program"; cd / && /dev/fd/9 0)" = "read-only clone" ]; ok $? "started as /dev/fd/9: still protects itself"
chmod 755 "$work" "$work/program"
user="setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set -all"
# Where it may not mount, a child of it may, in namespaces of its own.
if $user unshare --user --mount true 2>/dev/null; then
  got=$($user "$work/program" 0 2>&1)
  [ "$got" = "read-only clone" ]; ok $? "without CAP_SYS_ADMIN: a clone made in namespaces"
  [ "$(sh -c 'trap "" CHLD; exec "$@"' sh $user "$work/program" 0 2>&1)" = "read-only clone" ]; ok $? "the same when the caller ignores SIGCHLD"
else
  ok 0 "without CAP_SYS_ADMIN: a clone made in namespaces # SKIP users may not make namespaces here"
  ok 0 "the same when the caller ignores SIGCHLD # SKIP users may not make namespaces here"
fi
# Where that is not possible either (here: no process more), it seals.
got=$($user prlimit --nproc=1 "$work/program" 0 2>&1)
[ "$got" = "sealed memfd" ] || echo "# got: $got"
[ "$got" = "sealed memfd" ]; ok $? "without CAP_SYS_ADMIN and namespaces: a sealed memfd"
# Where memfds must not be executable either, a file of its own. The setting is per pid namespace.
if [ -e /proc/sys/vm/memfd_noexec ]; then
  got=$(unshare --pid --fork --mount-proc sh -c "echo 2 >/proc/sys/vm/memfd_noexec && exec $user prlimit --nproc=1 $work/program 0" 2>&1)
  [ "$got" = "private file" ] || echo "# got: $got"
  [ "$got" = "private file" ]; ok $? "with vm.memfd_noexec=2: a private file"
else
  ok 0 "with vm.memfd_noexec=2 # SKIP no vm.memfd_noexec in this kernel"
fi
echo "1..$n"
