#!/bin/bash
# slow
# alone
# Runs the README's shell blocks as they stand, in order, in one shell, as a newcomer would paste them.
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
cleanup() {
  "$top/build/runtime/vessel" delete --force web > /dev/null 2>&1
  rm -rf "$work"
}
trap cleanup EXIT
# Each block becomes a group that reports itself; the first failure ends the tour.
python3 - "$top/README.md" "$work/tour.sh" <<'P'
import re, sys
text = open(sys.argv[1]).read()
blocks = re.findall(r'^```sh\n(.*?)^```$', text, re.M | re.S)
with open(sys.argv[2], 'w') as out:
    out.write('set -eo pipefail\n')
    for n, b in enumerate(blocks, 1):
        out.write(b)
        out.write(f'echo "ok {n} - {b.strip().splitlines()[0]}" >&3\n')
    out.write(f'echo {len(blocks)} > "$TOUR_COUNT"\n')
print(f'1..{len(blocks)}')
P
cd "$top" || exit 1
export TOUR_COUNT=$work/count
bash "$work/tour.sh" 3>&1 > "$work/log" 2>&1
if [ ! -e "$work/count" ]; then
  tail -30 "$work/log" | sed 's/^/# /'
  echo "not ok - the tour stopped here"
fi
