#!/bin/bash
# slow
# Bundles of images under every runtime at hand, what is in their config.json, and `kiln run`.
top=$(cd "$(dirname "$0")/../.." && pwd)
KILN=${KILN:-$top/build/builder/kiln}
VESSEL=${VESSEL:-$top/build/runtime/vessel}
T=$(mktemp -d)
export KILN_STORE=$T/store
finish() { for b in "$T"/b* "$T"/store/kiln/bundles/*; do mountpoint -q "$b/rootfs" 2>/dev/null && umount -l "$b/rootfs"; done; rm -rf --one-file-system "$T"; }
trap finish EXIT
n=0 bad=0
ok() { n=$((n+1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; bad=1; fi; }
skip() { n=$((n+1)); echo "ok $n - $1 # SKIP no $2"; }
is() { [ "$1" = "$2" ] || { echo "# got:      $1"; echo "# expected: $2"; false; }; }
refused() { local name=$1 text=$2; shift 2; "$@" >"$T/out" 2>&1; local rc=$?
  if [ $rc != 0 ] && grep -q -- "$text" "$T/out"; then ok 0 "$name"; else echo "# exit $rc"; sed 's/^/# /' "$T/out"; ok 1 "$name"; fi; }
json() { python3 -c 'import json,sys; d=json.load(open(sys.argv[1])); print(json.dumps(eval(sys.argv[2])))' "$@"; }
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP no root"; exit 0; }

R=$T/root; mkdir -p "$R"/{bin,etc,tmp,data}; cp "$(command -v busybox)" "$R/bin/busybox"
for c in sh id cat ls hostname touch env grep sleep true pwd nproc ulimit mount; do ln "$R/bin/busybox" "$R/bin/$c"; done
printf 'root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n' >"$R/etc/passwd"
printf 'root:x:0:\napp:x:1001:\naudio:x:29:app\n' >"$R/etc/group"; chmod 1777 "$R/tmp"; echo not a program >"$R/bin/text"
"$KILN" import "$R" base:1 >/dev/null || exit 1

runtimes=(); for r in "$VESSEL" runc crun; do command -v "$r" >/dev/null && runtimes+=("$r"); done
# crun refuses hosts with mixed cgroup hierarchies; that says nothing about the bundle.
works() { "$KILN" run --rm --runtime "$1" base:1 true >"$T/out" 2>&1 || ! grep -q 'hybrid mode' "$T/out"; }
for r in "${runtimes[@]}"; do
  b=${r##*/}
  works "$r" || { skip "$b runs an image" 'pure cgroup hierarchy'; continue; }
  for rootfs in overlay copy; do
    out=$("$KILN" run --rm --rootfs $rootfs --runtime "$r" --hostname box -e A=1 -e B=two -u app -w /srv/dir base:1 sh -c 'id; hostname; echo $A$B $HOME; pwd; cat /etc/hostname; exit 7' 2>"$T/err"); rc=$?
    is "$rc|$out" "7|uid=1000(app) gid=1001(app) groups=29(audio),1001(app)
box
1two /home/app
/srv/dir
box"; ok $? "$b: user, groups, hostname, environment, working directory, exit status ($rootfs)"
  done
  is "$("$KILN" run --rm --runtime "$r" base:1 grep Cap /proc/self/status | awk '{print $2}' | tr '\n' ' ')" "0000000000000000 00000000a80425fb 00000000a80425fb 00000000a80425fb 0000000000000000 "; ok $? "$b: exactly Docker's capabilities, none inheritable or ambient"
  is "$("$KILN" run --rm --runtime "$r" --cap-drop all --cap-add chown base:1 grep CapEff /proc/self/status | awk '{print $2}')" 0000000000000001; ok $? "$b: --cap-drop and --cap-add"
  is "$("$KILN" run --rm --runtime "$r" -u 4242 base:1 grep -E 'CapEff|CapPrm' /proc/self/status | awk '{print $2}' | sort -u)" 0000000000000000; ok $? "$b: another user than root has no capability"
  is "$("$KILN" run --rm --runtime "$r" base:1 grep Seccomp: /proc/self/status | awk '{print $2}')" 2; ok $? "$b: the seccomp filter is on"
  "$KILN" run --rm --runtime "$r" base:1 mount -t tmpfs x /tmp >/dev/null 2>&1; [ $? != 0 ]; ok $? "$b: mount is refused"
  "$KILN" run --rm --runtime "$r" --read-only base:1 touch /data/x >/dev/null 2>&1; [ $? = 1 ] && "$KILN" run --rm --runtime "$r" --read-only --tmpfs /data:size=1m base:1 touch /data/x; ok $? "$b: --read-only and --tmpfs"
  mkdir -p "$T/v"; "$KILN" run --rm --runtime "$r" -v "$T/v:/vol" base:1 touch /vol/made && [ -e "$T/v/made" ]; ok $? "$b: --volume"
  "$KILN" run --rm --runtime "$r" -v "$T/v:/vol:ro" base:1 touch /vol/no 2>/dev/null; [ $? = 1 ] && [ ! -e "$T/v/no" ]; ok $? "$b: --volume read-only"
  "$KILN" run --rm --runtime "$r" base:1 no-such-program >/dev/null 2>&1; is $? 127; ok $? "$b: 127 for a program that is not there"
  "$KILN" run --rm --runtime "$r" base:1 /bin/text >/dev/null 2>&1; is $? 126; ok $? "$b: 126 for a program that cannot be invoked"
  rm -f "$T/up"  # the last round's would be taken for this one's
  "$KILN" run --rm --runtime "$r" base:1 sh -c 'trap "exit 9" TERM; echo up; sleep 5 & wait' >"$T/up" 2>&1 & p=$!
  for _ in {1..100}; do grep -qx up "$T/up" 2>/dev/null && break; sleep 0.05; done
  kill -TERM $p; wait $p; is $? 9; ok $? "$b: a signal sent to kiln reaches the program"
  echo input | "$KILN" run --rm -i --runtime "$r" base:1 cat | grep -qx input; ok $? "$b: -i hands on standard input"
  is "$(echo input | "$KILN" run --rm --runtime "$r" base:1 cat)" ""; ok $? "$b: without -i there is none"
  # Without --rm: nothing stays mounted, and nothing at all of what never ran.
  kept=kept-$$-$b; "$KILN" run --name $kept --runtime "$r" base:1 sh -c 'echo kept > /data/kept; exit 3' 2>"$T/err"; is $? 3; ok $? "$b: without --rm the exit status is the program's"
  ! grep -q "/bundles/$kept/" /proc/self/mountinfo; ok $? "$b: without --rm nothing is mounted once it has ended"
  if "$r" run --help 2>&1 | grep -q -e --keep; then
    "$r" state $kept | grep -q '"stopped"' && grep -rqs kept "$KILN_STORE/kiln/bundles/$kept"; ok $? "$b: its container and what it wrote are kept"
    "$r" delete $kept; [ ! -e "$KILN_STORE/kiln/bundles/$kept" ]; ok $? "$b: and go with 'delete'"
  else
    [ ! -e "$KILN_STORE/kiln/bundles/$kept" ]; ok $? "$b: cannot keep a container, so nothing is kept"
  fi
  "$KILN" run --name $kept --runtime "$r" base:1 no-such-program >/dev/null 2>&1; is $? 127; ok $? "$b: without --rm, a program that is not there"
  [ ! -e "$KILN_STORE/kiln/bundles/$kept" ] && ! grep -q "/bundles/$kept/" /proc/self/mountinfo && ! "$r" state $kept >/dev/null 2>&1; ok $? "$b: leaves neither bundle nor container"
done
"$KILN" run --rm no-such-image >/dev/null 2>&1; is $? 125; ok $? '125 for what kiln itself cannot do'
"$KILN" run --rootfs copy -d --name theirs-$$ --runtime "${runtimes[0]}" base:1 sleep 60 >/dev/null 2>&1; other=$T/other-store
"$KILN" import --store "$other" "$R" base:1 >/dev/null
"$KILN" run --store "$other" --name theirs-$$ --runtime "${runtimes[0]}" base:1 true >/dev/null 2>&1; [ $? != 0 ] && "${runtimes[0]}" state theirs-$$ | grep -q '"running"'; ok $? 'a container of the same name that was there before is left alone'
"${runtimes[0]}" delete --force theirs-$$; [ -z "$(ls -A "$other/kiln/bundles")" ]; ok $? 'and the other bundle is gone'
"$KILN" run --rm --runtime /bin/false base:1 true >/dev/null 2>&1; is $? 125; ok $? '125 for a runtime that fails'
is "$(ls -A "$KILN_STORE/kiln/bundles" | wc -l)" 0; ok $? '--rm leaves nothing behind'

r=${runtimes[0]##*/}; [ "$r" = crun ] || {
  "$KILN" run --rm --name doomed --runtime "${runtimes[0]}" base:1 sleep 30 >/dev/null 2>&1 & p=$!
  for _ in {1..100}; do cat "$KILN_STORE"/kiln/runs/*/pid 2>/dev/null | grep -q . && break; sleep 0.05; done
  "$KILN" prune --all >/dev/null; [ -e "$KILN_STORE/kiln/bundles/doomed/rootfs/bin/sh" ]; ok $? 'prune --all leaves a running container its files'
  refused 'rmi of an image that a container uses names the container' 'base:1 is in use by container doomed; remove that first' "$KILN" rmi base:1
  "$KILN" images --format '{{.Name}}' | grep -qx base:1; ok $? 'and leaves the image its name'
  c=$(cat "$KILN_STORE"/kiln/runs/*/pid); kill -9 $p; wait $p 2>/dev/null
  kill -9 "$c" 2>/dev/null; "${runtimes[0]}" delete -f doomed >/dev/null 2>&1
  "$KILN" prune >/dev/null; is "$(ls -A "$KILN_STORE/kiln/bundles")" "" && ! grep -q "$KILN_STORE/kiln/bundles" /proc/self/mountinfo
  ok $? 'prune removes and unmounts what kill -9 of run left behind'; }

B=$T/b1
"$KILN" bundle base:1 "$B" --memory 64m --cpus 1.5 --pids-limit 50 --entrypoint /bin/cat --tty -- /etc/passwd; ok $? 'bundle'
is "$(json "$B/config.json" '[d["process"]["args"], d["process"]["terminal"], d["linux"]["resources"]["memory"]["limit"], d["linux"]["resources"]["cpu"], d["linux"]["resources"]["pids"]["limit"]]')" \
   '[["/bin/cat", "/etc/passwd"], true, 67108864, {"quota": 150000, "period": 100000}, 50]'; ok $? 'limits, entrypoint and terminal'
refused 'rmi of an image that a bundle uses' "in use by bundle $B" "$KILN" rmi base:1
"$KILN" prune --all >/dev/null; [ -e "$B/rootfs/bin/sh" ]; ok $? 'prune --all leaves the bundle whole'
echo secret >"$B/rootfs/data/written"; "$KILN" run --rm --rootfs overlay base:1 ls /data 2>/dev/null | grep -q written; [ $? = 1 ]; ok $? 'what one bundle writes no other sees'
refused 'a directory that is not empty' 'not empty' "$KILN" bundle base:1 "$B"
refused '--rm of what is no bundle' 'was not made by kiln' "$KILN" bundle --rm "$T/v"; [ -e "$T/v/made" ]; ok $? 'which is left alone'
"$KILN" bundle --rm "$B" && [ ! -e "$B" ] && ! grep -q "$B" /proc/self/mountinfo; ok $? '--rm unmounts and removes'
refused 'an unknown capability' 'no capability' "$KILN" bundle --cap-add everything base:1 "$T/b2" -- true
[ ! -e "$T/b2" ]; ok $? 'and nothing is left of the bundle'
refused 'a bind option that is unknown (CVE-2024-9407)' 'unknown option' "$KILN" bundle -v "$T/v:/v:shared,upperdir=/x" base:1 "$T/b2" -- true
refused 'an unknown user' "not in the image's /etc/passwd" "$KILN" bundle -u nobody base:1 "$T/b2" -- true

# CVE-2024-9676: passwd and WORKDIR of the image lead out of it.
echo "evil:x:77:77::/:/bin/sh" >"$T/host-passwd"
cp -r "$R" "$T/e1"; rm "$T/e1/etc/passwd"; ln -s "$T/host-passwd" "$T/e1/etc/passwd"; "$KILN" import "$T/e1" evil:1 >/dev/null
refused 'a passwd that links to the host is not read' 'evil' "$KILN" bundle -u evil evil:1 "$T/b3" -- true
rm "$T/e1/etc/passwd"; mkfifo "$T/e1/etc/passwd"; "$KILN" import "$T/e1" evil:2 >/dev/null
timeout 10 "$KILN" bundle -u app evil:2 "$T/b3" -- true >/dev/null 2>&1; rc=$?; [ $rc = 1 ]; ok $? 'a passwd that is a pipe is refused, not waited for'
rm "$T/e1/etc/passwd"; head -c 3M /dev/zero >"$T/e1/etc/passwd"
"$KILN" import "$T/e1" evil:3 >/dev/null; refused 'a passwd of 3 MB is refused' 'passwd' "$KILN" bundle -u app evil:3 "$T/b3" -- true
rm "$T/e1/etc/passwd"; ln -s "$T/outside" "$T/e1/srv"; mkdir "$T/outside"; "$KILN" import "$T/e1" evil:4 >/dev/null
"$KILN" bundle -w /srv/made --rootfs copy evil:4 "$T/b4" -- true >/dev/null 2>&1; [ -z "$(ls -A "$T/outside")" ]; ok $? 'a working directory behind a link is not made on the host'
"$KILN" bundle --rm "$T/b4" 2>/dev/null
echo "1..$n"; exit $bad
