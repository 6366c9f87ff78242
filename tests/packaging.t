#!/bin/bash
# slow
# alone
# The release tarball in bare Debian 12 and 13 roots, the Debian packages installed and removed.
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top" || exit 1
work=$(mktemp -d)
mounts=()
cleanup() {
  local i
  for ((i = ${#mounts[@]} - 1; i >= 0; i--)); do umount -l "${mounts[i]}" 2> /dev/null; done
  rm -rf --one-file-system "$work"
}
trap cleanup EXIT
count=0
check() {  # NAME, status of the last command
  local status=$?
  count=$((count + 1))
  [ $status = 0 ] && echo "ok $count - $1" || { echo "not ok $count - $1"; tail -15 "$work/log" | sed 's/^/# /'; }
}
skip() { count=$((count + 1)); echo "ok $count - $1 # SKIP $2"; }

command -v debootstrap > /dev/null || { echo "1..0 # SKIP no debootstrap"; exit 0; }
mirror=$(sed -nE 's/^(deb|URIs:?)[ \t]+(\[[^]]*\] )?(http[^ ]+debian\/?)( .*)?$/\3/p' \
  /etc/apt/sources.list /etc/apt/sources.list.d/* 2> /dev/null | head -1)
export DESTDIR=
unset DESTDIR
{ ninja -C build release deb; } > "$work/log" 2>&1
check "release and packages are made"
tarball=$(ls build/vessel-*-"$(uname -m)".tar.xz | tail -1)
vessel_deb=$(ls build/vessel_*.deb | tail -1) kiln_deb=$(ls build/kiln_*.deb | tail -1)

tests/make-busybox-root "$work/busybox"
tar -C "$work/busybox" -cJf "$work/busybox.tar.xz" .

for suite in bookworm trixie; do
  root=$work/$suite
  if ! debootstrap --variant=minbase $suite "$root" ${mirror:+"$mirror"} > "$work/log" 2>&1; then
    for what in "vessel starts" "kiln starts" "kiln reads an archive and builds"; do
      skip "$what in $suite" "no Debian mirror with $suite"
    done
    continue
  fi
  mount -t proc proc "$root/proc" && mounts+=("$root/proc")
  mkdir "$root/opt/release"
  tar -C "$root/opt/release" --strip-components=1 -xJf "$tarball"
  chroot "$root" /opt/release/bin/vessel --version > "$work/log" 2>&1
  check "vessel starts in $suite with nothing else installed"
  chroot "$root" /opt/release/bin/kiln version > "$work/log" 2>&1
  check "kiln starts in $suite with nothing else installed"
  cp "$work/busybox.tar.xz" "$root/tmp/"
  mkdir "$root/tmp/ctx"
  printf 'FROM busybox\nCOPY a /b\n' > "$root/tmp/ctx/Dockerfile"
  echo a > "$root/tmp/ctx/a"
  chroot "$root" sh -c 'export HOME=/root PATH=/opt/release/bin:$PATH &&
    kiln import /tmp/busybox.tar.xz busybox && kiln build -t x /tmp/ctx && kiln history x' \
    > "$work/log" 2>&1
  check "kiln reads an archive and builds in $suite"
done

root=$work/bookworm
if [ -x "$root/usr/bin/apt-get" ]; then
  cp "$vessel_deb" "$kiln_deb" "$root/tmp/"
  cp /etc/resolv.conf "$root/etc/resolv.conf" 2> /dev/null
  chroot "$root" sh -c 'DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    /tmp/vessel_*.deb /tmp/kiln_*.deb' > "$work/log" 2>&1
  check "the packages install with what they depend on"
  chroot "$root" sh -c 'vessel --version && kiln version && kiln images' > "$work/log" 2>&1
  check "both programs run from the packages"
  chroot "$root" sh -c 'dpkg -r vessel kiln && ! command -v kiln && ! command -v vessel &&
    ! find /usr -name "*kiln*" -o -name "vessel*" | grep -q .' > "$work/log" 2>&1
  check "and leave nothing when they are removed"
else
  for what in install run remove; do skip "packages: $what" "no Debian mirror"; done
fi
echo "1..$count"
