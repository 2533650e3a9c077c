#!/bin/bash
# 44_power.sh: the power goes, and the disk holds what was synchronised and nothing else, or any part of the rest; and an fsync that
# fails.  What was answered is there when the daemon starts again (tests/kill: disk_shim.c, power.py, kill.py).
. "$(dirname "$0")/lib.bash"
trap - EXIT
here=$(dirname "$0")/../kill
if grep -q -a __asan_init "$ARCFACED" || grep -q -a __tsan_init "$ARCFACED"; then
    echo "ok 1 # SKIP a sanitizer wants to be loaded first"
    echo "1..1"
    exit
fi
shim=$TEST_TMP/disk_shim.so
cc -D_GNU_SOURCE -std=c11 -O2 -fPIC -shared -o "$shim" "$here/disk_shim.c" -ldl || { echo "Bail out! the shim does not compile"; exit 1; }
for mode in power sync; do
    mkdir "$TEST_TMP/$mode"
    /usr/bin/python3 "$here/kill.py" $mode "$ARCFACED" "$MODELS" "$TEST_TMP/$mode" "${KILL_SEED:-1}" 3 "$shim" >"$TEST_TMP/said"
    [ $? -eq 0 ]
    check "$mode: $(grep -c '^ok' "$TEST_TMP/said") times" $? "$(cat "$TEST_TMP/said")"
done
# The test itself: a disk that lies about fsync must be caught.
mkdir "$TEST_TMP/lies"
DISK_LIES=1 /usr/bin/python3 "$here/kill.py" power "$ARCFACED" "$MODELS" "$TEST_TMP/lies" 2 1 "$shim" >"$TEST_TMP/said"
check "a disk that lies is caught" $? "$(cat "$TEST_TMP/said")"
echo "1..$count"
