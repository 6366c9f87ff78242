#!/bin/bash
# What a layer holds and what applying one can do, as root, through the builder's own rooms.
set -u
here=$(cd "$(dirname "$0")" && pwd)
probe=${KILN_TREE_PROBE:-$here/../../build/tests/builder/kiln-tree-probe}
T=$(mktemp -d)
umask 022
trap 'chmod -R u+rwx "$T" 2>/dev/null; rm -rf "$T"' EXIT
cd "$T" || exit 1
n=0
ok() { n=$((n + 1)); echo "ok $n - $1"; }
not_ok() { n=$((n + 1)); echo "not ok $n - $1"; }
check() { local name=$1; shift; if "$@" >"$T/.log" 2>&1; then ok "$name"; else not_ok "$name"; sed 's/^/# /' "$T/.log" | head -20; fi; }
equal() { [ "$1" = "$2" ] || { printf 'got:  %s\nwant: %s\n' "$1" "$2"; return 1; }; }

# ---- one tree with everything in it
mkdir a && cd a
mkdir -p d/e bin
echo hi > d/f; ln d/f d/g; ln d/f top
ln -s ../x d/l; ln -s /etc/passwd abs
mknod dev c 1 3; mknod blk b 7 300; mkfifo ff
setfattr -n user.x -v $'a\nb=c' d/f
setfattr -n trusted.t -v 1 d/f
chown 5:6 d/f; chmod 6755 d/f
setcap cap_net_raw+ep d/f
chown -h 7:8 d/l; chown 70000:3000000 d/e; chmod 1777 d/e
printf x > "$(printf 'bad\xff')"
long=$(printf 'n%.0s' $(seq 200)); mkdir "$long"; echo long > "$long/$long"
ln -s "$long/$long/$long" longlink
truncate -s 3M sparse; printf end >> sparse
: > empty; chmod 0 empty
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")'
touch -hd @-5 d/l; touch -d @1234567890.987654321 d/f bin
cd ..

facts() { # every attribute that a layer carries
  (cd "$1" && find . -mindepth 1 ! -type s -printf '%p %y %m %U:%G %T@ %l %n %s\n' |
    sed -E 's/(@?-?[0-9]+)\.[0-9]+ /\1 /' | awk '{ if ($2 == "d") $NF = ""; print }' | LC_ALL=C sort
   getfattr -Rhd -m '^(user|security\.capability)' -e hex . 2>/dev/null | LC_ALL=C sort
   find . -type f -exec sha256sum {} + | LC_ALL=C sort; stat -c '%n %t:%T' dev blk)
}

read -r diff _ < <("$probe" pack a out.gz)
check 'packed' test -n "$diff"
mkdir b; check 'unpacked with the same diff id' equal "$("$probe" unpack out.gz b)" "$diff"
check 'all attributes survive (owners, modes, times, xattrs, capabilities, links, devices, sparse, names)' \
  diff <(facts a | sed 's/ top f/ top f/') <(facts b)
check 'hard links are one file' equal "$(stat -c %i b/d/f)" "$(stat -c %i b/top)"
check 'a capability is written as revision 2' \
  equal "$(getfattr --only-values -n security.capability b/d/f | head -c4 | od -An -tx1 | tr -d ' ')" 01000002
check 'a socket is left out' test ! -e b/sock
check 'a trusted xattr is dropped and counted' grep -q '^dropped trusted.t' <("$probe" pack a x.gz)
check 'the socket is counted' grep -q '^sockets 1$' <("$probe" pack a x.gz)
"$probe" --compression=none pack a out.tar >/dev/null
check 'sha256 of the tar is the diff id' equal "sha256:$(sha256sum < out.tar | cut -d' ' -f1)" "$diff"
check 'order is bytewise by path' python3 - <<'P'
import tarfile, os
names = [os.fsencode(m.name) if False else m.name.encode('utf-8', 'surrogateescape') for m in tarfile.open('out.tar')]
assert names == sorted(names), names
P
check 'GNU tar reads it' tar -tzf out.gz
check 'gzip reads it whole' bash -c 'gzip -dc out.gz | cmp - out.tar'
"$probe" --compression=zstd pack a out.zst >/dev/null
check 'zstd reads it whole' bash -c 'zstd -dc < out.zst | cmp - out.tar'
xz -k out.tar; bzip2 -k out.tar
for z in zst tar.xz tar.bz2 tar; do
  mkdir "z.$z"; check "unpacks out.$z" equal "$("$probe" unpack "out.$z" "z.$z")" "$diff"
done

# ---- bytes depend on nothing else
sum() { sha256sum < "$1" | cut -c1-16; }
want=$(sum out.gz)
for threads in 1 2 5; do
  "$probe" --threads=$threads pack a t.gz >/dev/null; check "same bytes on $threads threads" equal "$(sum t.gz)" "$want"
done
(umask 077; "$probe" pack a t.gz >/dev/null); check 'same bytes under umask 077' equal "$(sum t.gz)" "$want"
(umask 077; mkdir -m 755 u; "$probe" unpack out.gz u >/dev/null); "$probe" pack u t.gz >/dev/null
check 'unpacking under umask 077 changes nothing' equal "$(sum t.gz)" "$want"
mkdir r; (cd a && find . -mindepth 1 -depth -not -name sock | LC_ALL=C sort -r | tar --no-recursion -cf - --xattrs --xattrs-include='*' --numeric-owner --format=pax -T -) > rev.tar
"$probe" unpack rev.tar r >/dev/null; "$probe" pack r t.gz >/dev/null
check 'same bytes from another directory order' equal "$(sum t.gz)" "$want"
(export LC_ALL=C TZ=Asia/Tokyo; "$probe" pack a t.gz >/dev/null); check 'same bytes in another zone and locale' equal "$(sum t.gz)" "$want"
"$probe" --epoch=1000000000 pack a e.tgz >/dev/null
check 'no time is later than the epoch, earlier ones stay' python3 - <<'P'
import tarfile
t = {m.name: int(m.mtime) for m in tarfile.open('e.tgz')}
assert max(t.values()) == 1000000000 and t['d/l'] == -5, t
P

# ---- COPY without a snapshot
mkdir -p copied/app && cp -a a/bin a/d a/empty a/longlink a/"$long" copied/app/
rm -rf src && cp -a copied/app src
find copied -exec chown -h 0:0 {} +
find copied -exec touch -hd @1000000000 {} +
chmod 6755 copied/app/d/f
for f in copied/app/d/f copied/app/d/g; do setfattr -x user.x $f 2>/dev/null; setfattr -x security.capability $f 2>/dev/null; done
touch -hd @1000000000 copied/app/d
chmod 6755 copied/app/d/f copied/app/d/g
mkdir parent && "$probe" --epoch=1000000000 copy src app c.gz | cut -d' ' -f1 > got
"$probe" pack copied all.gz >/dev/null
check 'COPY streams what a staged tree would give, owned by root, at the epoch' \
  diff <(tar -tvzf c.gz) <(tar -tvzf all.gz | grep -v ' app/$')
mkdir cp && check 'and it applies' "$probe" unpack c.gz cp
check 'content arrived' cmp cp/app/d/f a/d/f

# ---- hostile tars
cat > hostile.py <<'P'
import io, sys, tarfile
def tar(name, *items):
    with tarfile.open(name, 'w') as t:
        for path, kind, arg in items:
            m = tarfile.TarInfo(path); m.type = kind; m.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE): m.linkname = arg
            data = arg.encode() if kind == tarfile.REGTYPE else b''
            m.size = len(data); t.addfile(m, io.BytesIO(data))
F, D, S, L = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
out = sys.argv[1]
tar('h-dotdot', ('../evil', F, 'x'))
tar('h-mid', ('a/../../evil', F, 'x'))
tar('h-abs', (out + '/evil', F, 'x'))
tar('h-link', ('l', S, out), ('l/evil', F, 'x'))
tar('h-link2', ('l', S, '../../../../../..' + out), ('l/evil', F, 'x'))
tar('h-link3', ('a', D, ''), ('a/l', S, '..'), ('a/l/m', S, out), ('m/evil', F, 'x'))
tar('h-over', ('l', S, out + '/victim'), ('l', F, 'x'))
tar('h-hard', ('h', L, out + '/victim'), ('h', F, 'x'))
tar('h-hard2', ('h', L, '../outside/victim'))
tar('h-hard3', ('l', S, out), ('h', L, 'l/victim'))
tar('h-wh', ('l', S, out), ('l/.wh.victim', F, ''))
tar('h-wh2', ('.wh...', F, ''))
tar('h-opq', ('l', S, out), ('l/.wh..wh..opq', F, ''))
tar('h-dirlink', ('d', S, out), ('d', D, ''))
tar('h-proc', ('p', S, '/proc/self/root' + out), ('p/evil', F, 'x'))
P
mkdir outside; echo precious > outside/victim; chmod 600 outside/victim
python3 hostile.py "$T/outside"
state() { (cd outside && stat -c '%n %a %s %i %h' . victim; cat victim; ls -A); }
before=$(state)
for h in h-*; do
  for mode in '' --no-openat2; do
    for verb in unpack extract; do
      mkdir -p root; timeout 20 "$probe" $mode $verb "$h" root >/dev/null 2>&1; status=$?
      check "$h ($verb $mode) stays inside" bash -c "[ $status -lt 2 ] && [ ! -e evil ] && [ ! -e ../evil ]"
      [ "$(state)" = "$before" ] || not_ok "$h ($verb $mode) changed what is outside"
      rm -rf root
    done
  done
done
check 'dot-dot is an error' bash -c "mkdir q; ! '$probe' unpack h-dotdot q"
check 'truncation is an error' bash -c "head -c 2000 out.gz > cut.gz; mkdir q2; ! '$probe' unpack cut.gz q2"

# ---- whiteouts spare what their own layer brings, in any order
python3 - <<'P'
import io, tarfile
def tar(name, *items):
    with tarfile.open(name, 'w') as t:
        for path in items:
            m = tarfile.TarInfo(path.rstrip('/')); m.mode = 0o755
            if path.endswith('/'): m.type = tarfile.DIRTYPE
            t.addfile(m)
tar('low.tar', 'd/', 'd/old', 'd/sub/', 'd/sub/old', 'f', 'g/', 'g/x', 'keep')
tar('up.tar', 'd/', 'd/new', 'd/sub/', 'd/sub/new', 'd/.wh..wh..opq', 'f', '.wh.f', '.wh.g', 'g/', 'g/y', '.wh.none')
P
mkdir w; "$probe" unpack low.tar w >/dev/null; "$probe" unpack up.tar w >/dev/null
check 'opaque and plain whiteouts in any order' equal "$(cd w && find . -mindepth 1 | LC_ALL=C sort | tr '\n' ' ')" \
  './d ./d/new ./d/sub ./d/sub/new ./f ./g ./g/y ./keep '
check 'the merged index sees the same tree' equal "$("$probe" index low.tar up.tar | cut -d' ' -f1 | tr '\n' ' ')" \
  'd d/new d/sub d/sub/new f g g/y keep '
echo "1..$n"
