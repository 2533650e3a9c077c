#!/bin/bash
# Requests per second of identify-by-embedding with a gallery of 10,000 faces, and with it the time of a search.
#
# FACES (10000), SECONDS_EACH (5), CONNECTIONS ("1 16 64").  The gallery is filled over HTTP by embedding; the queries are
# embeddings of its own with noise, sent by wrk on the same machine, so half of the processors' time is the client's.
set -euo pipefail
shared=${ARCFACED_SHARED:-../shared}
faces=${FACES:-10000}
each=${SECONDS_EACH:-5}
for need in wrk jq curl; do command -v $need >/dev/null || { echo "identify: skipped, $need is not installed"; exit 0; }; done
if [ ! -e "$shared/models/scrfd_500m.onnx" ]; then
    echo "identify: skipped, ARCFACED_SHARED has no models"
    exit 0
fi
work=$(mktemp -d)
pid=
finish() {
    [ -n "$pid" ] && kill "$pid" 2>/dev/null && wait "$pid" || true
    rm -rf "$work"
}
trap finish EXIT
key=bench-key-0123456789abcdef
ARCFACED_BOOTSTRAP_KEY=$key "$ARCFACED" serve --data "$work/data" --listen 127.0.0.1:0 --log-level warn \
    --detector "$shared/models/scrfd_500m.onnx" --recognizer "$shared/models/mobilefacenet_128.onnx" >"$work/out" 2>"$work/log" &
pid=$!
# At this log level the address does not appear; the kernel knows it.
port=
for _ in $(seq 200); do
    port=$(ss -ltnpH 2>/dev/null | awk -v pid="pid=$pid," 'index($0, pid) { sub(/.*:/, "", $4); print $4; exit }')
    [ -n "$port" ] && break
    sleep 0.05
done
[ -n "$port" ] || { echo "identify: the daemon does not start"; cat "$work/log"; exit 1; }

cat >"$work/fill.py" <<'PY'
"""Enrolls seeded random embeddings over keep-alive connections and writes queries near some of them."""
import http.client, json, math, random, sys, threading
port, key, faces, folder = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
DIM, THREADS = 128, 4
def vector(i, noise=0.0):
    draw = random.Random(i)
    v = [draw.gauss(0, 1) for _ in range(DIM)]
    if noise:
        more = random.Random(-i - 1)
        v = [x + noise * more.gauss(0, 1) for x in v]
    n = math.sqrt(sum(x * x for x in v))
    return [round(x / n, 6) for x in v]
def fill(first):
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for i in range(first, faces, THREADS):
        body = json.dumps({"embedding": vector(i), "subject": f"person {i}"})
        link.request("POST", "/v1/enroll", body, {"x-api-key": key, "Content-Type": "application/json"})
        answer = link.getresponse()
        text = answer.read()
        if answer.status != 201:
            sys.exit(f"enroll answered {answer.status}: {text[:300]!r}")
threads = [threading.Thread(target=fill, args=(t,)) for t in range(THREADS)]
[t.start() for t in threads]
[t.join() for t in threads]
with open(folder + "/queries.lua", "w") as lua:
    lua.write("local bodies = {\n")
    for i in range(0, faces, max(1, faces // 200)):
        lua.write("'" + json.dumps({"embedding": vector(i, 0.5)}) + "',\n")
    lua.write("}\nlocal at = 0\nwrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\n")
    lua.write(f"wrk.headers['x-api-key'] = '{key}'\n")
    lua.write("function request() at = at % #bodies + 1 return wrk.format(nil, '/v1/identify', nil, bodies[at]) end\n")
    lua.write("wrong = 0\nfunction response(status, headers, body) if status ~= 200 or not body:find('\"match\"', 1, true) then wrong = wrong + 1 end end\n")
    lua.write("local threads = {}\nfunction setup(thread) table.insert(threads, thread) end\n")
    lua.write("function done(summary, latency) local all = 0 for _, t in ipairs(threads) do all = all + t:get('wrong') end io.write(string.format('RESULT %.0f %.2f %.2f %d\\n', summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, all + summary.errors.timeout + summary.errors.read)) end\n")
PY
started=$(date +%s.%N)
/usr/bin/python3 "$work/fill.py" "$port" "$key" "$faces" "$work"
awk -v n="$faces" -v a="$started" -v b="$(date +%s.%N)" 'BEGIN { printf "enroll by embedding: %d faces, %.0f a second (4 connections)\n", n, n / (b - a) }'
for connections in ${CONNECTIONS:-1 16 64}; do
    threads=$((connections < 2 ? 1 : 2))
    wrk -t$threads -c"$connections" -d"${each}s" --timeout 10s -s "$work/queries.lua" "http://127.0.0.1:$port" >"$work/wrk"
    read -r _ rate p50 p99 errors <<<"$(grep '^RESULT' "$work/wrk")"
    printf 'identify by embedding: %d faces, %2d connections: %6.0f requests a second, p50 %.2f ms, p99 %.2f ms, %d errors\n' \
        "$faces" "$connections" "$rate" "$p50" "$p99" "$errors"
    [ "$errors" -eq 0 ] || { cat "$work/wrk"; exit 1; }
done
curl -s -H "x-api-key: $key" "http://127.0.0.1:$port/metrics" |
    awk '/^arcfaced_stage_seconds_sum\{.*search/ { sum = $2 } /^arcfaced_stage_seconds_count\{.*search/ { n = $2 } END { if (n) printf "search: %.3f ms a query in the daemon\n", 1e3 * sum / n }'
