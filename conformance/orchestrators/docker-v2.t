#!/bin/bash
# slow
# alone
# The list of docker.t on cgroup v2 alone.
here=$(cd "$(dirname "$0")" && pwd)
if [ "$(id -u)" != 0 ]; then echo '1..0 # SKIP no root'; exit 0; fi
exec "$here/../../tests/cgroup-namespace" v2 "$here/docker.t"
