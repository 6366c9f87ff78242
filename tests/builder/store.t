#!/bin/bash
# slow
# The store beside other programs, under concurrency, after kill -9, and against hostile archives.
top=$(cd "$(dirname "$0")/../.." && pwd)
KILN=${KILN:-$top/build/builder/kiln}
T=$(mktemp -d)
export KILN_STORE=$T/store
trap 'rm -rf "$T"' EXIT
n=0 bad=0
ok() { n=$((n+1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; bad=1; fi; }
skip() { n=$((n+1)); echo "ok $n - $1 # SKIP no $2"; }
try() { local name=$1; shift; "$@" >"$T/out" 2>&1; local rc=$?; [ $rc = 0 ] || sed 's/^/# /' "$T/out"; ok $rc "$name"; }
refused() { # name, text expected in the message, command
  local name=$1 text=$2; shift 2; "$@" >"$T/out" 2>&1; local rc=$?
  if [ $rc = 1 ] && grep -q -- "$text" "$T/out"; then ok 0 "$name"; else echo "# exit $rc"; sed 's/^/# /' "$T/out"; ok 1 "$name"; fi; }
clean() { "$KILN" fsck >"$T/fsck" 2>&1 && grep -q ': clean$' "$T/fsck"; }
is() { [ "$1" = "$2" ] || { echo "# got:      $1"; echo "# expected: $2"; false; }; }

# A root with everything that must survive.
R=$T/root; mkdir -p "$R"/{bin,etc,tmp,dev}; cp "$(command -v busybox)" "$R/bin/busybox"
ln "$R/bin/busybox" "$R/bin/sh"; ln -s busybox "$R/bin/ls"; chmod 1777 "$R/tmp"
echo 'root:x:0:0::/root:/bin/sh' >"$R/etc/passwd"; mkfifo "$R/pipe"
printf 'x' >"$R/a.b"; mkdir "$R/a"; printf 'y' >"$R/a/b"     # a.b sorts before a/
printf 'z' >"$R/$(printf 'bad\377name')"; touch -d @1000000000 "$R/etc/passwd"
ln "$R/pipe" "$R/pipe2"
[ "$(id -u)" = 0 ] && { chown 12:34 "$R/a/b"; mknod "$R/dev/null2" c 1 3; setcap cap_net_raw+ep "$R/bin/busybox" 2>/dev/null; }

try 'import a directory' "$KILN" import "$R" base:1
(cd "$R" && tar -c .) >"$T/r.tar"
for c in 'cat' 'gzip' 'zstd -q' 'xz' 'bzip2'; do
  command -v ${c% *} >/dev/null || { skip "import a tar through $c" "$c"; continue; }
  $c <"$T/r.tar" | "$KILN" import - "tar:${c%% *}" >/dev/null; ok $? "import a tar through $c"
done
is "$("$KILN" inspect tar:gzip --format '{{.RootFS.Layers}}')" "$("$KILN" inspect tar:cat --format '{{.RootFS.Layers}}')"
ok $? 'the same tar gives the same diff id, however it was compressed'
SOURCE_DATE_EPOCH=1 "$KILN" import "$R" same:1 >"$T/1"; SOURCE_DATE_EPOCH=1 "$KILN" import "$R" same:2 >"$T/2"
cmp -s "$T/1" "$T/2"; ok $? 'importing twice gives the same id'
clean; ok $? 'fsck is clean'

if command -v skopeo >/dev/null; then
  try 'skopeo inspects the store as a layout' skopeo inspect "oci:$KILN_STORE:docker.io/library/base:1"
  try 'skopeo copies out' skopeo copy -q "oci:$KILN_STORE:docker.io/library/base:1" "oci:$T/out-layout:x"
  try 'skopeo copies in' skopeo copy -q "oci:$T/out-layout:x" "oci:$KILN_STORE:docker.io/library/foreign:1"
  is "$("$KILN" inspect foreign:1 --format '{{.Digest}}')" "$("$KILN" inspect base:1 --format '{{.Digest}}')"
  ok $? 'what skopeo copied in has the same digest'
  "$KILN" tag base:1 after:1; "$KILN" images --format '{{.Name}}' | grep -qx foreign:1; ok $? 'the tag of a foreign tool survives ours'
  "$KILN" save -o "$T/d.tar" base:1 && try 'skopeo reads a saved Docker archive' skopeo inspect "docker-archive:$T/d.tar"
  "$KILN" save --format oci base:1 >"$T/o.tar" && try 'skopeo reads a saved OCI archive' skopeo inspect "oci-archive:$T/o.tar:docker.io/library/base:1"
  skopeo copy -q "oci:$KILN_STORE:docker.io/library/base:1" "docker-archive:$T/s.tar:from/skopeo:1"
  try 'load what skopeo wrote as Docker archive' "$KILN" --store "$T/l" load -i "$T/s.tar"
  skopeo copy -q "oci:$KILN_STORE:docker.io/library/base:1" "oci-archive:$T/so.tar:from/skopeo:2"
  gzip -c "$T/so.tar" | "$KILN" --store "$T/l" load >"$T/out"; ok $? 'load a compressed OCI archive from standard input'
  is "$("$KILN" --store "$T/l" inspect from/skopeo:1 --format '{{.RootFS.Layers}}')" "$("$KILN" inspect base:1 --format '{{.RootFS.Layers}}')"
  ok $? 'both have the same layers'
else skip 'skopeo reads and writes the store' skopeo; fi

if command -v umoci >/dev/null && [ "$(id -u)" = 0 ]; then
  try 'umoci unpacks from the store' umoci unpack --image "$KILN_STORE:docker.io/library/base:1" "$T/u"
  list() { (cd "$1" && find . -mindepth 1 -printf '%P %y %m %U:%G %s %l %T@\n' | LC_ALL=C sed -E 's/^(([^ ]+) d .*) [0-9.-]+$/\1/; s/(\.[0-9]+)$//; s/^([^ ]+ d [0-7]+ [^ ]+) [0-9]+/\1/' | LC_ALL=C sort); }
  list "$R" >"$T/want"; list "$T/u/rootfs" >"$T/got"
  diff "$T/want" "$T/got" >"$T/out" || sed 's/^/# /' "$T/out"; cmp -s "$T/want" "$T/got"
  ok $? 'umoci finds names, types, modes, owners, sizes, links and times as they were'
else skip 'umoci unpacks from the store' 'umoci or root'; fi

"$KILN" save base:1 tar:cat | "$KILN" --store "$T/l2" load -q; is "$("$KILN" --store "$T/l2" images --format '{{.Name}} {{.Digest}}' | sort | md5sum)" \
  "$("$KILN" images --format '{{.Name}} {{.Digest}}' | grep -E '^(base:1|tar:cat) ' | sort | md5sum)"; ok $? 'save | load keeps names and digests'
cp -r "$R" "$T/r2"; echo changed >>"$T/r2/etc/passwd"; chmod 700 "$T/r2/a"; rm "$T/r2/a.b"
"$KILN" import "$T/r2" base:2 >/dev/null; "$KILN" diff base:1 base:2 >"$T/out"; rc=$?
[ $rc = 1 ] && grep -q 'M /etc/passwd.*size' "$T/out" && grep -q 'M /a  *(mode 755 -> 700' "$T/out" && grep -q 'D /a.b' "$T/out"; ok $? 'diff names what differs'
"$KILN" diff base:1 base:1; ok $? 'diff of an image with itself is empty'

# Concurrency: nothing may be lost, nothing half-written.
for i in 1 2 3 4; do mkdir -p "$T/c$i"; echo "content $i" >"$T/c$i/f"; done
( while [ ! -e "$T/stop" ]; do "$KILN" prune >/dev/null 2>>"$T/err" || echo "prune $?" >>"$T/err"; done ) & pruner=$!
pids=()
for i in 1 2 3 4; do
  ( for j in 1 2 3 4 5 6; do
      "$KILN" import "$T/c$i" "many$i:$j" >/dev/null 2>>"$T/err" || echo "import $i $j" >>"$T/err"
      "$KILN" tag "many$i:$j" "tagged$i:$j" 2>>"$T/err" || echo "tag $i $j" >>"$T/err"
    done ) & pids+=($!)
done
wait "${pids[@]}"; touch "$T/stop"; wait $pruner
is "$("$KILN" images --format '{{.Name}}' | grep -cE '^(many|tagged)')" 48; ok $? 'of 24 imports and 24 tags beside a loop of prunes none is lost'
[ ! -s "$T/err" ] || sed 's/^/# /' "$T/err"; [ ! -s "$T/err" ]; ok $? 'and none failed'
clean; ok $? 'fsck is clean after that'

# kill -9 at random moments of imports.
dd if=/dev/urandom of="$T/c1/big" bs=1M count=24 2>/dev/null
for i in 1 2 3 4 5 6 7 8; do
  echo "$i" >"$T/c1/f"; "$KILN" import "$T/c1" killed:$i >/dev/null 2>&1 & p=$!
  sleep "0.0$((i * 2))"; kill -9 $p 2>/dev/null; wait $p 2>/dev/null
done 2>/dev/null
clean; ok $? 'kill -9 during imports leaves a store that fsck calls clean'
"$KILN" fsck --repair >/dev/null; is "$(ls -A "$KILN_STORE/kiln/ingest" | wc -l)" 0; ok $? 'and repair leaves no half-written blob'
is "$(find "$KILN_STORE/kiln/leases" -name 'command-*' | wc -l)" 0; ok $? 'nor a lease of the dead'

# Damage is found and mended.
blob=$("$KILN" inspect base:2 --format '{{.ManifestDigest}}'); f=$KILN_STORE/blobs/sha256/${blob#sha256:}
chmod u+w "$f"; echo >>"$f"; "$KILN" fsck >"$T/out"; [ $? = 1 ] && grep -q "${blob#sha256:}" "$T/out"; ok $? 'fsck names a damaged blob'
refused 'a damaged manifest is not used' 'damaged' "$KILN" inspect base:2
"$KILN" fsck --repair >/dev/null; clean; ok $? 'fsck --repair mends it'
"$KILN" images --format '{{.Name}}' | grep -qx base:1; ok $? 'and keeps the sound images'
index=$KILN_STORE/kiln/layer-index/$("$KILN" inspect base:1 --format '{{.RootFS.Layers}}' | grep -o 'sha256:[0-9a-f]*' | head -1 | cut -c8-)
cp "$index" "$T/index"; truncate -s 100 "$index"; "$KILN" fsck >"$T/out"; [ $? = 1 ] && grep -q 'index of layer' "$T/out"; ok $? 'fsck names a damaged index of a layer'
"$KILN" fsck --repair >/dev/null; cmp "$index" "$T/index" && clean; ok $? 'fsck --repair makes it anew from the layer'
mkdir -p "$KILN_STORE"/kiln/snapshots/{s/abcde,k}
printf '1\n00000000-0000-0000-0000-000000000000\nabcde\n-\n' >"$KILN_STORE/kiln/snapshots/k/sha256:0123"
clean && [ ! -e "$KILN_STORE/kiln/snapshots/s/abcde" ] && [ ! -e "$KILN_STORE/kiln/snapshots/k/sha256:0123" ]; ok $? 'trees of another boot are discarded'

# rmi frees what nothing else uses.
"$KILN" import "$R" gone:1 >/dev/null; echo only >"$T/c2/only"; "$KILN" import "$T/c2" gone:2 >/dev/null
layer=$("$KILN" inspect gone:2 --format '{{index .Layers 0}}' | grep -o 'sha256:[0-9a-f]*' | head -1)
"$KILN" rmi gone:1 gone:2 >/dev/null; [ ! -e "$KILN_STORE/blobs/sha256/${layer#sha256:}" ]; ok $? 'rmi frees the layer that only it had'
"$KILN" inspect base:1 >/dev/null && clean; ok $? 'and not those of others'
refused 'rmi of what is not there' "no image 'gone:1'" "$KILN" rmi gone:1

# Hostile input. Each must be refused, and leave nothing behind that has a name.
before=$("$KILN" images -a --format '{{.Digest}}' | sort)
H=$T/h; lay() { rm -rf "$H"; mkdir -p "$H/blobs/sha256"; echo '{"imageLayoutVersion":"1.0.0"}' >"$H/oci-layout"; }
put() { local d; d=$(sha256sum <<<"$1" | cut -d' ' -f1); cat <<<"$1" >"$H/blobs/sha256/$d"; echo "$d"; }
pack() { tar -C "$H" -cf "$T/h.tar" .; }
lay; echo x >"$H/blobs/sha256/$(printf '0%.0s' {1..64})"; echo '{"schemaVersion":2,"manifests":[]}' >"$H/index.json"; pack
refused 'load: a blob that is not its digest' 'has digest' "$KILN" load -i "$T/h.tar"
lay; c=$(put '{"architecture":"amd64","os":"linux","config":{"User":"a\nb"},"rootfs":{"type":"layers","diff_ids":[]}}')
m=$(put "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"sha256:$c\",\"size\":$(stat -c %s "$H/blobs/sha256/$c")},\"layers\":[]}")
idx() { echo "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:$1\",\"size\":$2,\"annotations\":{\"org.opencontainers.image.ref.name\":\"evil:1\"}}]}" >"$H/index.json"; }
idx "$m" "$(stat -c %s "$H/blobs/sha256/$m")"; pack
refused 'load: a user with a newline' 'config.User' "$KILN" load -i "$T/h.tar"
idx "$m" 7; pack; refused 'load: a manifest of another size' 'another size' "$KILN" load -i "$T/h.tar"
c=$(put '{"architecture":"amd64","os":"linux","author":"nobody has this","rootfs":{"type":"layers","diff_ids":[]}}')
m=$(put "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"sha256:$c\",\"size\":$(stat -c %s "$H/blobs/sha256/$c")},\"layers\":[]}")
rm "$H/blobs/sha256/$c"; idx "$m" "$(stat -c %s "$H/blobs/sha256/$m")"; pack; refused 'load: a config that is missing' 'missing' "$KILN" load -i "$T/h.tar"
lay; python3 -c 'print("[" * 200000)' >"$H/index.json"; pack; refused 'load: an index nested without end' 'index.json' "$KILN" load -i "$T/h.tar"
lay; echo '[{"Config":"../../etc/passwd","RepoTags":["evil:2"],"Layers":[]}]' >"$H/manifest.json"; pack
refused 'load: a config outside the archive' 'not in the archive' "$KILN" load -i "$T/h.tar"
python3 - "$T/h.tar" <<'PY'
import io, sys, tarfile
with tarfile.open(sys.argv[1], 'w') as t:
    i = tarfile.TarInfo('../../escape'); i.size = 1; t.addfile(i, io.BytesIO(b'x'))
PY
refused 'load: an entry with ..' '\.\.' "$KILN" load -i "$T/h.tar"
refused 'import: an entry with ..' '\.\.' "$KILN" import "$T/h.tar" evil:3
head -c 3000 "$T/r.tar" >"$T/cut.tar"; refused 'import: a tar that is cut short' 'import' "$KILN" import "$T/cut.tar" evil:4
gzip -c "$T/r.tar" | head -c 5000 | "$KILN" import - evil:5 >"$T/out" 2>&1; [ $? = 1 ]; ok $? 'import: a gzip stream that is cut short'
refused 'import: what is no tar' 'tar' "$KILN" import /etc/hostname evil:6
printf '<html>not found</html>' >"$T/html"; refused 'load: what is no archive' 'load' "$KILN" load -i "$T/html"
is "$("$KILN" images -a --format '{{.Digest}}' | sort)" "$before"; ok $? 'none of that made an image'
clean; ok $? 'fsck is clean after all of it'
python3 - "$KILN_STORE/index.json" <<'PY'
import json, sys
p = sys.argv[1]; d = json.load(open(p))
e = dict(d['manifests'][0]); e['annotations'] = {'org.opencontainers.image.ref.name': '\x1b[31mred\x1b]0;title\x07'}
d['manifests'].append(e); json.dump(d, open(p, 'w'))
PY
"$KILN" images >"$T/out"; ! grep -q $'\x1b' "$T/out" && grep -q 'x1b\[31mred' "$T/out"; ok $? 'escape sequences in a name do not reach the terminal'
"$KILN" --store /proc/nope images >/dev/null 2>&1; [ $? = 1 ]; ok $? 'a store that cannot be made is an error'
"$KILN" images >/dev/full 2>/dev/null; [ $? = 1 ]; ok $? 'output that cannot be written is an error'
echo "1..$n"; exit $bad
