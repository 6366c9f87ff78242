#!/bin/bash
# slow
# seccomp_equality.t over 10,000 generated profiles.
exec "$(dirname "$0")/seccomp_equality.t" --full
