#!/bin/bash
# Overlay (new and old mount interface) and copying snapshotters give the same layers.
set -u
here=$(cd "$(dirname "$0")" && pwd)
probe=${KILN_TREE_PROBE:-$here/../../build/tests/builder/kiln-tree-probe}
T=$(mktemp -d)
umask 022
parameters=/sys/module/overlay/parameters
declare -A saved=()
cleanup() {
  for p in "${!saved[@]}"; do echo "${saved[$p]}" > "$parameters/$p"; done
  awk -v t="$T/" 'index($2, t) == 1 { print $2 }' /proc/self/mounts | while read -r m; do umount -l "$m"; done
  rm -rf "$T"
}
trap cleanup EXIT
cd "$T" || exit 1
n=0
ok() { n=$((n + 1)); echo "ok $n - $1"; }
not_ok() { n=$((n + 1)); echo "not ok $n - $1"; }
check() { local name=$1; shift; if "$@" >"$T/.log" 2>&1; then ok "$name"; else not_ok "$name"; sed 's/^/# /' "$T/.log" | head -20; fi; }
equal() { [ "$1" = "$2" ] || { printf 'got:\n%s\nwant:\n%s\n' "$1" "$2"; return 1; }; }
names() { tar -tf "$1" | tr '\n' ' '; }

mkdir base && cd base
mkdir -p d/sub/deep e keep tofile swap bigdir
for i in 1 2 3; do echo $i > d/$i; echo $i > e/$i; done
echo s > d/sub/s; echo s > d/sub/deep/s; ln d/1 d/hl; echo k > keep/k; echo x > tofile/x; echo f > todir
echo a > noop; echo b > touched; ln -s d lnk; mkfifo fifo; echo cap > capfile
for i in $(seq 300); do echo $i > bigdir/$i; done
find . -exec touch -hd @1000000000 {} +
cd ..
"$probe" pack base base.tgz >/dev/null

modes=('--copy' '' '--no-fsconfig')
why=$("$probe" overlay "$T/probe" 2>&1) || { modes=('--copy'); echo "# no overlay: $why"; }

# Each step: name, commands. Times are set so that runs can be compared.
declare -A step
step[delete]='rm d/2; rm -r e; touch -d @1500000000 d .'
step[opaque]='rm -r e; mkdir e; echo new > e/1; touch -d @1500000000 e/1 e .'
step[dirtofile]='rm -r tofile; echo now > tofile; rm todir; mkdir todir; echo y > todir/y; touch -d @1500000000 tofile todir todir/y .'
step[rename]='mv d/sub d/sub2; mv keep/k keep/k2; touch -d @1500000000 d keep'
step[swapdirs]='rm -r e; mv d e; touch -d @1500000000 e .'
step[chmod]='chmod 600 d/1; chown 9:9 keep/k; chmod 755 d'
step[noop]='chmod 600 noop; chmod 644 noop; chown 0:0 d/3; chmod 755 d/sub; touch -d @1000000000 touched; cp -p d/3 d/tmp; rm d/tmp; touch -d @1000000000 d'
step[links]='ln d/3 d/zz; ln d/zz aa; ln -sfn e lnk; touch -hd @1500000000 lnk d .'
step[recreate]='rm d/sub/s; echo s > d/sub/s; touch -d @1000000000 d/sub/s d/sub'
step[xattr]='setfattr -n user.k -v v keep/k; setcap cap_net_raw+ep capfile; touch -d @1500000000 keep'
step[socket]='python3 -c "import socket; socket.socket(socket.AF_UNIX).bind(\"sock\")"; rm fifo; mkfifo fifo; touch -d @1500000000 fifo'
step[root]='chmod 700 .; chown 3:4 .'
step[many]='for i in 1 2 3; do rm bigdir/$i; done; echo z > bigdir/300; touch -d @1500000000 bigdir/300 bigdir'
declare -A want
want[delete]='.wh.e d/ d/.wh.2 '
want[opaque]='e/ e/.wh.2 e/.wh.3 e/1 '
want[dirtofile]='todir/ todir/y tofile '
want[rename]='d/ d/.wh.sub d/sub2/ d/sub2/deep/ d/sub2/deep/s d/sub2/s keep/ keep/.wh.k keep/k2 '
want[swapdirs]='.wh.d e/ e/hl e/sub/ e/sub/deep/ e/sub/deep/s e/sub/s '
want[chmod]='d/1 keep/k '
want[noop]=''
want[links]='aa d/ d/zz lnk '
want[recreate]=''
want[xattr]='capfile keep/ keep/k '
want[socket]='fifo '
want[root]='./ '
want[many]='bigdir/ bigdir/.wh.1 bigdir/.wh.2 bigdir/.wh.3 bigdir/300 '

for mode in "${modes[@]}"; do "$probe" $mode snap "st$mode" unpack base - base.tgz >/dev/null || not_ok "unpack $mode"; done
for name in delete opaque dirtofile rename swapdirs chmod noop links recreate xattr socket root many; do
  declare -A got=()
  for mode in "${modes[@]}"; do
    "$probe" $mode snap "st$mode" run "$name" base sh -ec "${step[$name]}" || not_ok "run $name $mode"
    got[x$mode]=$("$probe" $mode snap "st$mode" changes "$name" "$name$mode.tgz")
    check "$name ${mode:-overlay}: exactly what changed" equal "$(names "$name$mode.tgz")" "${want[$name]}"
    [ "$mode" = --copy ] || check "$name ${mode:-overlay}: same layer as by copying" equal "${got[x$mode]}" "${got[x--copy]}"
  done
done

for mode in "${modes[@]}"; do
  "$probe" $mode --parents snap "st$mode" changes chmod "p$mode.tgz" >/dev/null
  check "${mode:-overlay}: parents of changes are listed on request" equal "$(names "p$mode.tgz")" 'd/ d/1 keep/ keep/k '
  "$probe" $mode --parents snap "st$mode" changes noop "p$mode.tgz" >/dev/null
  check "${mode:-overlay}: but not where nothing changed" equal "$(names "p$mode.tgz")" ''
done

facts() { find . -mindepth 1 ! -type s -printf '%p %y %m %U:%G %T@ %l %s\n' | awk '$2 == "d" { $NF = "" } { print }' | LC_ALL=C sort; }
export -f facts
for mode in "${modes[@]}"; do
  for name in delete opaque dirtofile swapdirs links many; do
    "$probe" $mode snap "st$mode" unpack "again-$name" base "$name$mode.tgz" >/dev/null
    check "$name ${mode:-overlay}: the layer rebuilds the tree" equal \
      "$("$probe" $mode snap "st$mode" view "again-$name" bash -c facts | sed -E 's/\.[0-9]+ / /')" \
      "$("$probe" $mode snap "st$mode" view "$name" bash -c facts | sed -E 's/\.[0-9]+ / /')"
  done
  "$probe" $mode snap "st$mode" run two delete sh -c 'echo 2 > second; touch -d @2000000000 second'
  "$probe" $mode snap "st$mode" changes two two.tgz >/dev/null
  check "${mode:-overlay}: a step sees only its own changes" equal "$(names two.tgz)" 'second '
  "$probe" $mode --epoch=1500000000 snap "st$mode" run clamp delete sh -c 'echo 2 > second; chmod 700 keep/k; touch -d @2000000000 second'
  check "${mode:-overlay}: the next step sees clamped times" equal \
    "$("$probe" $mode snap "st$mode" view clamp stat -c '%n %Y' second keep/k noop | tr '\n' ' ')" \
    'second 1500000000 keep/k 1000000000 noop 1000000000 '
  "$probe" $mode snap "st$mode" run failed base false
  check "${mode:-overlay}: a failed step leaves nothing" bash -c "! '$probe' $mode snap 'st$mode' has failed && [ -z \"\$(ls 'st$mode/m' 'st$mode/l' | grep -v :)\" ]"
  check "${mode:-overlay}: a removed snapshot's tree goes" bash -c "'$probe' $mode snap 'st$mode' remove two; b=\$(ls 'st$mode/s' | wc -l); '$probe' $mode snap 'st$mode' remove clamp; [ \$(ls 'st$mode/s' | wc -l) -lt \$b ]; [ -z \"\$(ls 'st$mode/trash')\" ]"
  sed -i '2s/.*/00000000-0000-0000-0000-000000000000/' "st$mode/k/noop" "st$mode/k/chmod"
  check "${mode:-overlay}: a snapshot of another boot does not count" bash -c "! '$probe' $mode snap 'st$mode' has chmod"
done

churn() { # what a layer of the deep chain does besides; all at one time
  case $(($1 % 7)) in
    0) echo "rm -rf e; mkdir e; echo a > e/a$1; touch -d @1500000000 e/a$1 e" ;;
    1) echo 'rm -rf d/sub; touch -d @1500000000 d' ;;
    2) echo 'mkdir -p d/sub; echo again > d/sub/s; touch -d @1500000000 d/sub/s d/sub d' ;;
    3) echo 'rm -rf keep; echo file > keep; touch -d @1500000000 keep' ;;
    4) echo "rm -rf keep; mkdir keep; echo k > keep/k$1; chmod 711 keep; touch -d @1500000000 keep/k$1 keep" ;;
    5) echo 'rm -f e/1 e/2; setfattr -n user.n -v 1 d; touch -d @1500000000 e' ;;
    6) echo 'setfattr -x user.n d; rm -f fifo; touch -d @1500000000 d' ;;
  esac
  echo
}
for mode in "${modes[@]}"; do
  [ "$mode" = --no-fsconfig ] || continue
  parent=base
  for i in $(seq 126); do
    "$probe" $mode snap "st$mode" run "deep$i" "$parent" sh -ec "echo $i > f$i; rm -f f$((i - 60)); $(churn $i)" || break
    parent=deep$i
  done
  # 112 trees are seven groups and nothing on top, so that what a group hides shows.
  "$probe" $mode snap "st$mode" run reference base sh -ec "$(for i in $(seq 111); do churn $i; done)"
  check "${mode:-overlay}: 127 layers" equal "$("$probe" $mode snap "st$mode" view deep126 sh -c 'ls -d f[0-9]* | wc -l')" 60
  check "127 layers made the old way are seen the new way" equal "$("$probe" snap "st$mode" view deep126 sh -c 'ls -d f[0-9]* | wc -l')" 60
  check "${mode:-overlay}: the reference is there" bash -c "'$probe' snap 'st$mode' view reference bash -c facts | grep -q '^./e/a105 f'"
  check "${mode:-overlay}: deep stacks are merged" bash -c "ls 'st$mode/k' | grep -q '^merged\.'"
  check "${mode:-overlay}: and merging changes nothing" equal \
    "$("$probe" $mode snap "st$mode" view deep111 bash -c facts | grep -v '^./f[0-9]')" \
    "$("$probe" $mode snap "st$mode" view reference bash -c facts | grep -v '^./f[0-9]')"
  tree=$(sed -n 3p "st$mode/k/delete")
  setfattr -n trusted.overlay.redirect -v /x "st$mode/s/$tree/d"
  check "${mode:-overlay}: a redirect mark is an error, never a layer" bash -c "'$probe' $mode snap 'st$mode' changes delete x.tgz 2>&1 | grep redirect"
  # Nor is a mark on a file, whose content is below and would be zeros.
  tree=$(sed -n 3p "st$mode/k/xattr")
  check "${mode:-overlay}: without a mark it is a layer" "$probe" $mode snap "st$mode" changes xattr x.tgz
  for space in trusted user; do
    setfattr -n $space.overlay.metacopy "st$mode/s/$tree/keep/k"
    check "${mode:-overlay}: a metacopy mark ($space) is an error, never a layer" bash -c \
      "! '$probe' $mode snap 'st$mode' changes xattr x.tgz >out 2>&1 && grep -x \"/keep/k: carries overlay's metacopy mark: .*\" out"
    setfattr -x $space.overlay.metacopy "st$mode/s/$tree/keep/k"
  done
done
# The module's own defaults must not matter: with redirect_dir a rename, with metacopy a chmod would
# leave the upper without the content.
if [ "${#modes[@]}" -gt 1 ]; then
  for p in redirect_dir metacopy index; do
    [ -w "$parameters/$p" ] && saved[$p]=$(cat "$parameters/$p") && echo Y > "$parameters/$p"
  done
  for mode in '' --no-fsconfig; do
    "$probe" $mode snap "st$mode" run defaults base sh -ec 'mv d moved; chmod 600 keep/k; touch -d @1500000000 moved .'
    "$probe" $mode snap "st$mode" changes defaults x.tgz >/dev/null
    check "${mode:-overlay}: rename and chmod with the module's defaults on" equal "$(names x.tgz)" \
      '.wh.d keep/k moved/ moved/1 moved/2 moved/3 moved/hl moved/sub/ moved/sub/deep/ moved/sub/deep/s moved/sub/s '
    check "${mode:-overlay}: and the content is there" equal "$(tar -xOzf x.tgz keep/k moved/1)" $'k\n1'
  done
  for p in "${!saved[@]}"; do echo "${saved[$p]}" > "$parameters/$p"; done
  saved=()
fi

# In a user namespace overlay keeps its marks in user.overlay.*; the layer is the same.
if unshare -rm true 2>/dev/null; then
  for name in delete opaque dirtofile rename recreate; do
    for mode in '' --no-fsconfig; do
      [ -d "user$mode" ] || unshare -rm "$probe" $mode snap "user$mode" unpack base - base.tgz >/dev/null
      unshare -rm "$probe" $mode snap "user$mode" run "$name" base sh -ec "${step[$name]}"
      check "user namespace ${mode:-overlay}: $name gives the same layer" equal \
        "$(unshare -rm "$probe" $mode snap "user$mode" changes "$name" x.tgz)" \
        "$("$probe" --copy snap st--copy changes "$name" x.tgz)"
    done
  done
else
  ok 'user namespace # SKIP no user namespaces'
fi

check 'nothing stays mounted' bash -c "! grep -q '$T' /proc/self/mounts"
echo "1..$n"
