#!/bin/bash
# slow
# alone
# cgroup v2 with every controller, and a real systemd, in a virtual machine. Only with ./check --vm.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
if [ -z "${CHECK_VM:-}" ]; then echo "1..0 # SKIP no --vm given to ./check"; exit 0; fi
for program in qemu-system-x86_64 debootstrap cpio; do
  command -v $program >/dev/null || apt-get install -y -q --no-install-recommends qemu-system-x86 debootstrap cpio >/dev/null 2>&1
done
dir=${VM_DIR:-$top/build/vm}
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
"$top/tests/vm/prepare" "$dir" || { echo "1..1"; echo "not ok 1 - the machine's kernel and tree are fetched"; exit 1; }
n=0 bad=0
# Every point of every test, numbered anew; a test without its plan or that never ended is a failure.
run() { # MODE TEST…
  "$top/tests/vm/boot" "$dir" "$@" >"$out" 2>&1
  local mode=$1 t; shift
  for t in "$@"; do
    sed -n "\|^@@@ begin $t|,\|^@@@ end $t|p" "$out" >"$out.one"
    while IFS= read -r line; do
      case $line in
        "ok "* | "not ok "*) n=$((n + 1)); case $line in not*) bad=1; w="not ok" ;; *) w=ok ;; esac
          echo "$w $n - $mode: ${t##*/}: ${line#* - }" ;;
        "#"*) echo "$line" ;;
      esac
    done <"$out.one"
    n=$((n + 1))
    if grep -q '^1\.\.[1-9]' "$out.one" && grep -q "^@@@ end $t 0" "$out.one"; then
      echo "ok $n - $mode: $t ran to its end"
    else
      bad=1; echo "not ok $n - $mode: $t ran to its end"; tail -20 "$out" | sed 's/^/# /'
    fi
    rm -f "$out.one"
  done
}
run plain tests/runtime/cgroup-v2.t tests/runtime/cgroup-vessel.t
run systemd tests/vm/systemd-driver
echo "1..$n"
exit $bad
