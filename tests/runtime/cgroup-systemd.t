#!/bin/bash
# The systemd cgroup driver against a bus of the test's own, on a v2 host with real cgroups.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
if [ "${1:-}" != inside ]; then exec "$top/tests/cgroup-namespace" v2 "$0" inside; fi
probe=$(dirname "${VESSEL:-$top/build/runtime/vessel}")/../tests/runtime/cgroup_probe
work=$(mktemp -d) || exit 1
root=/sys/fs/cgroup
slice=vt$$
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi; }
is() { if [ "$1" = "$2" ]; then ok 0 "$3"; else ok 1 "$3"; echo "# got: $1"; echo "# want: $2"; fi; }
has() { case $1 in *"$2"*) ok 0 "$3" ;; *) ok 1 "$3"; echo "# got: $1" ;; esac; }
bus=
clean() {
  [ -n "$bus" ] && kill "$bus" 2>/dev/null
  for r in "$work"/*.rec; do [ -f "$r" ] && sed -i '/^unit/d' "$r" && "$probe" destroy "$r"; done
  find $root -depth -type d -path "*$slice.slice*" -exec rmdir {} + 2>/dev/null
  rm -rf "$work"
}
trap clean EXIT
# serve BEHAVIOUR: a fresh bus, with an empty log.
serve() {
  [ -n "$bus" ] && kill "$bus" 2>/dev/null && wait "$bus" 2>/dev/null
  rm -f "$work/socket" "$work/log"
  python3 "$top/tests/runtime/systemd_bus.py" "$work/socket" "$work/log" "${2:-$root}" "$1" 2>"$work/bus.err" &
  bus=$!
  for _ in $(seq 200); do [ -S "$work/socket" ] && break; sleep 0.02; done
  export DBUS_SYSTEM_BUS_ADDRESS="unix:path=/nonexistent;unix:path=$work/socket"
}
members() { jq -r '.member // empty' "$work/log" | tr '\n' ' '; }
property() { jq -c --arg p "$1" 'select(.member == "StartTransientUnit") | .body[2][] | select(.[0] == $p) | .[1]' "$work/log" | tail -1; }
rec=$work/a.rec
cat >"$work/r.json" <<'J'
{"cpu": {"idle": 1}, "devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"}],
 "hugepageLimits": [{"pageSize": "2MB", "limit": 2097152}]}
J
echo '{"devices": [{"allow": false, "access": "rwm"}], "hugepageLimits": [{"pageSize": "2MB", "limit": 2097152}]}' >"$work/plain.json"

serve slow
pid=$("$probe" start "$rec" a "systemd:$slice-x.slice:test-a.scope" "$work/plain.json" sleep 1000 2>"$work/err"); ok $? "a scope is started"
cat "$work/err"
is "$(jq -c 'select(.auth) | [.auth, .uid]' "$work/log")" '[["AUTH","EXTERNAL"],"0"]' "authenticated as the user, by EXTERNAL"
is "$(members)" "Hello AddMatch StartTransientUnit " "the end of the job is subscribed to before the job is asked for"
is "$(property Slice) $(property Delegate) $(property DefaultDependencies)" "\"$slice-x.slice\" true false" "slice, delegation, no default dependencies"
is "$(property MemoryAccounting)$(property CPUAccounting)$(property IOAccounting)$(property TasksAccounting)" truetruetruetrue "accounting"
is "$(property CollectMode)" '"inactive-or-failed"' "properties of annotations"
is "$(property DevicePolicy)" '"strict"' "device policy"
is "$(sed -n 's/^ //p' "$rec")" "$root/$slice.slice/$slice-x.slice/test-a.scope" "the record names the place and …"
is "$(grep ^unit "$rec")" "unit test-a.scope 0" "… the unit"
is "$(cat "$root/$slice.slice/$slice-x.slice/test-a.scope/cgroup.procs")" "$pid" "only the container's process is in the scope"
is "$(cat "$root/$slice.slice/$slice-x.slice/test-a.scope/hugetlb.2MB.max")" 2097152 "what systemd has no property for is written to the file"
echo '{"unified": {"hugetlb.2MB.max": "4194304"}}' >"$work/u.json"
"$probe" update "$rec" "$work/u.json"; ok $? "an update"
echo '{"unified": {"memory.high": "x"}}' >"$work/u.json"
"$probe" update "$rec" "$work/u.json" 2>"$work/err"
has "$(cat "$work/err")" 'linux.resources.unified["memory.high"]' "a value that is no number is refused with its path"
: >"$work/log"
"$probe" destroy "$rec"; ok $? "destroy"
is "$(members)" "Hello AddMatch StopUnit ResetFailedUnit " "the unit is stopped, and reset"
[ ! -d "$root/$slice.slice/$slice-x.slice/test-a.scope" ]; ok $? "the cgroup is gone"
rm -f "$rec"

serve exists
"$probe" create "$rec" a "systemd:$slice.slice:test-b.scope" "$work/plain.json"; ok $? "a failed unit of the name is reset and the start repeated"
has "$(members)" "StartTransientUnit ResetFailedUnit StartTransientUnit" "… in this order"
"$probe" destroy "$rec"; rm -f "$rec"

serve fail
"$probe" create "$rec" a "systemd:$slice.slice:test-c.scope" "$work/plain.json" 2>"$work/err"; [ $? = 1 ]; ok $? "a start job that fails is an error"
has "$(cat "$work/err")" 'test-c.scope: start job ended with "failed"' "… that names unit and result"
has "$(members)" "StopUnit" "… and the unit is stopped again"
sleep 0.1; is "$(cat "$root/$slice.slice/test-c.scope/cgroup.procs" 2>/dev/null)" "" "no process stays behind"

serve refuse
"$probe" create "$rec" a "systemd:$slice.slice:test-d.scope" "$work/plain.json" 2>"$work/err"
has "$(cat "$work/err")" "authentication as user 0 was refused" "a refused authentication says so"

serve ''  -
"$probe" create "$rec" a "systemd:$slice.slice:test-e.scope" "$work/r.json" 2>"$work/err"
is "$(property CPUWeight)" 0 "idle is CPUWeight 0 for systemd 252 and newer"
has "$(cat "$work/log")" '"member": "Get"' "… whose version is asked for only then"
find $root -depth -type d -path "*$slice.slice*" -exec rmdir {} + 2>/dev/null; rm -f "$rec"

kill "$bus"; wait "$bus" 2>/dev/null; bus=; rm -f "$work/socket"
"$probe" create "$rec" a "systemd:$slice.slice:test-f.scope" "$work/plain.json" 2>"$work/err"
has "$(cat "$work/err")" "systemd cgroup driver: connect to" "no bus: the error says what was tried"
rm -f "$rec"
is "$(find $root -path "*$slice.slice/*" -name '*.scope' | wc -l)" 0 "no scope is left"
echo "1..$n"
