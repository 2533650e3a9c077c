#!/bin/bash
# portable.sh: the daemon starts on another processor and knows a person again.  ARCFACED is the binary, QEMU the command that
# emulates, KERNELS what /v1/info must call the loops; the models inside the binary, the photos of tests/photos.
set -euo pipefail
photos=$(cd "$(dirname "$0")/photos" && pwd)
key=portable-key-0123456789
work=$(mktemp -d)
pid=
finish() {
    # An emulator may hold the signal back: a process that hangs must not hang the test.
    if [ -n "$pid" ]; then
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null && sleep 0.1; done
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap finish EXIT
read -r -a run <<<"$QEMU $ARCFACED"
"${run[@]}" version
"${run[@]}" ops >/dev/null
ARCFACED_BOOTSTRAP_KEY=$key "${run[@]}" serve --data "$work/data" --listen 127.0.0.1:0 --workers 1 >"$work/out" 2>"$work/log" &
pid=$!
for _ in $(seq 1800); do
    grep -q '"event":"listening"' "$work/log" && break
    kill -0 "$pid" || { cat "$work/log"; exit 1; }
    sleep 0.1
done
port=$(sed -n 's/.*"event":"listening".*"port":\([0-9]*\).*/\1/p' "$work/log")
[ -n "$port" ] || { cat "$work/log"; echo "portable: the daemon does not listen after 180 s"; exit 1; }

# expect FILTER WHAT CURL-ARGUMENT...: the answer fulfils a filter of jq.
expect() {
    local filter=$1 what=$2
    shift 2
    curl -s -m 300 -H "Authorization: Bearer $key" "$@" >"$work/answer" || true
    jq -e "$filter" "$work/answer" >/dev/null || { cat "$work/answer"; echo "portable: not so: $what"; exit 1; }
}
url=http://127.0.0.1:$port/v1
expect ".kernels == \"$KERNELS\" and (.cpu.avx2_fma | not)" "kernels $KERNELS" "$url/info"
expect '.subject.name == "alice"' "alice is enrolled" -F "image=@$photos/alice-1.jpg" -F subject=alice "$url/enroll"
expect '.faces[0].decision == "match" and .faces[0].candidates[0].subject.name == "alice"' "alice is known again" \
    -F "image=@$photos/alice-2.jpg" "$url/identify"
expect '.faces[0].decision == "unknown"' "bob is unknown" -F "image=@$photos/bob-1.jpg" "$url/identify"
echo "portable: the daemon knows a person again, and not a stranger ($QEMU, kernels $KERNELS)"
