#!/bin/bash
# portable.sh: the daemon starts on a processor without AVX and answers.  ARCFACED is the binary, CPU QEMU's name of the processor.
set -euo pipefail
shared=${ARCFACED_SHARED:-../shared}
work=$(mktemp -d)
pid=
finish() {
    if [ -n "$pid" ]; then kill "$pid" 2>/dev/null && wait "$pid" || true; fi
    rm -rf "$work"
}
trap finish EXIT
run=(qemu-x86_64 -cpu "$CPU" "$ARCFACED")
"${run[@]}" version
"${run[@]}" ops >/dev/null
if [ ! -e "$shared/models/scrfd_500m.onnx" ]; then
    echo "portable: the daemon is skipped, ARCFACED_SHARED has no models"
    exit 0
fi
ARCFACED_BOOTSTRAP_KEY=portable-key-0123456789 "${run[@]}" serve --data "$work/data" --listen 127.0.0.1:0 --workers 1 \
    --detector "$shared/models/scrfd_500m.onnx" --recognizer "$shared/models/mobilefacenet_128.onnx" >"$work/out" 2>"$work/log" &
pid=$!
for _ in $(seq 1200); do
    grep -q '"event":"listening"' "$work/log" && break
    kill -0 "$pid" || { cat "$work/log"; exit 1; }
    sleep 0.1
done
port=$(sed -n 's/.*"event":"listening".*"port":\([0-9]*\).*/\1/p' "$work/log")
curl -s -m 300 -H 'Authorization: Bearer portable-key-0123456789' "http://127.0.0.1:$port/v1/info" |
    jq -e '.kernels == "portable" and (.cpu.avx2_fma | not)' >/dev/null
echo "portable: the daemon answers on $CPU, kernels portable"
