#!/bin/bash
# The cgroup room on the real kernel, /sys/fs/cgroup arranged as a v2 host.
exec "$(dirname "$0")/cgroup-tests" v2
