#!/bin/bash
# The cgroup room on the real kernel, /sys/fs/cgroup arranged as a hybrid host.
exec "$(dirname "$0")/cgroup-tests" hybrid
