#!/bin/bash
# Cgroups of a user who may write to none of them, or to some.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d) || exit 1
name=vt-rootless-$$
trap 'rm -rf "$work"; find /sys/fs/cgroup -depth -type d -name "$name*" -exec rmdir {} + 2>/dev/null' EXIT
cp "$(dirname "${VESSEL:-$top/build/runtime/vessel}")/../tests/runtime/cgroup_probe" "$work/probe"
chmod 777 "$work"; chmod 755 "$work/probe"
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi; }
has() { case $1 in *"$2"*) ok 0 "$3" ;; *) ok 1 "$3"; echo "# got: $1" ;; esac; }
user=(setpriv --reuid 65534 --regid 65534 --clear-groups "$work/probe")
echo '{}' >"$work/none"; echo '{"pids":{"limit":5}}' >"$work/limit"
for host in here v2; do
  wrap=(); [ $host = v2 ] && wrap=("$top/tests/cgroup-namespace" v2)
  OPTIONAL=1 "${wrap[@]}" "${user[@]}" create "$work/a" a $name "$work/none" 2>"$work/err"; ok $? "$host: without limits it goes on"
  has "$(cat "$work/err")" "no cgroup of its own" "$host: … and says so"
  OPTIONAL=1 "${wrap[@]}" "${user[@]}" enter "$work/a" - true; ok $? "$host: a process starts without a cgroup"
  OPTIONAL=1 "${wrap[@]}" "${user[@]}" create "$work/b" b $name "$work/limit" 2>"$work/err"; [ $? = 1 ]; ok $? "$host: limits that cannot be set are an error"
  "${wrap[@]}" "${user[@]}" create "$work/b" b $name "$work/none" 2>"$work/err"; [ $? = 1 ]; ok $? "$host: a cgroup that is not optional is an error"
  has "$(cat "$work/err")" "Permission denied" "$host: … that names the cause"
  rm -f "$work/a" "$work/b"
done
if [ -d /sys/fs/cgroup/pids ]; then
  mkdir /sys/fs/cgroup/pids/$name
  chown 65534 /sys/fs/cgroup/pids/$name /sys/fs/cgroup/pids/$name/tasks /sys/fs/cgroup/pids/$name/cgroup.procs
  OPTIONAL=1 "${user[@]}" create "$work/a" a /$name/x "$work/limit"; ok $? "one hierarchy of his own is used"
  has "$(OPTIONAL=1 "${user[@]}" enter "$work/a" - cat /proc/self/cgroup)" "pids:/$name/x" "… and entered"
  [ "$(cat /sys/fs/cgroup/pids/$name/x/pids.max)" = 5 ]; ok $? "… and limited"
  "${user[@]}" destroy "$work/a"; ok $? "… and removed"
fi
echo "1..$n"
