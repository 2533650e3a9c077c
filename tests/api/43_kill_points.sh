#!/bin/bash
# 43_kill_points.sh: the daemon is killed at every named moment of enrolling, deleting, importing, writing and rewriting segments,
# backing up, restoring and migrating, and is whole when it starts again (tests/kill/kill.py).
. "$(dirname "$0")/lib.bash"
skip_under_sanitizer "a process that is killed reports nothing, and starts many times slower"
trap - EXIT
cd "$(dirname "$0")/../.." || exit 1 # it reads the source for the names of the moments
exec /usr/bin/python3 tests/kill/kill.py points "$ARCFACED" "$MODELS" "$TEST_TMP" "${KILL_SEED:-1}"
