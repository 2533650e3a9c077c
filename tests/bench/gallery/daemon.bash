# daemon.bash: a daemon on a folder of its own, for the benches that need a full gallery.
#
# SKIPPED (0): the status it ends with where something that it needs is not there.
set -euo pipefail
shared=${ARCFACED_SHARED:-../shared}
recognizer=$shared/models/${RECOGNIZER:-mbf_512_int8.onnx}
for need in wrk jq curl; do command -v $need >/dev/null || { echo "skipped, $need is not installed"; exit "${SKIPPED:-0}"; }; done
for need in "$shared/models/scrfd_500m.onnx" "$recognizer"; do
    [ -e "$need" ] || { echo "skipped, $(basename "$need") is not in ARCFACED_SHARED"; exit "${SKIPPED:-0}"; }
done
work=$(mktemp -d)
data=${GALLERY:-$work/data}
pid=
key=bench-key-0123456789abcdef

halt() {
    [ -z "$pid" ] || { kill "$pid" 2>/dev/null && wait "$pid" || true; }
    pid=
}
finish() {
    halt
    rm -rf "$work"
}
trap finish EXIT

# serve [OPTIONS]: starts it and returns when it listens; sets pid, url, log and the time at which it begun.
serve() {
    log=$work/log.$((runs = ${runs:-0} + 1))
    : >"$log"
    begun=$(date +%s.%N)
    ARCFACED_BOOTSTRAP_KEY=$key "$ARCFACED" serve --data "$data" --listen 127.0.0.1:0 \
        --detector "$shared/models/scrfd_500m.onnx" --recognizer "$recognizer" "$@" >"$work/out" 2>"$log" &
    pid=$!
    until grep -q '"event":"listening"' "$log"; do
        kill -0 "$pid" 2>/dev/null || { echo "the daemon does not start"; cat "$log"; exit 1; }
        sleep 0.01
    done
    url=http://127.0.0.1:$(sed -n 's/.*"event":"listening".*"port":\([0-9]*\).*/\1/p' "$log")
}

# fill FACES QUERIES: rows of so many faces, unless they are there, and data/queries.
fill() {
    [ ! -e "$data/queries" ] || return 0
    serve
    halt
    "$FILL" "$data" "$1" "$2" >"$data/queries.new"
    mv "$data/queries.new" "$data/queries"
}
