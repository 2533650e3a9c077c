#!/bin/bash
# http.sh: identifications by embedding a second over a full gallery, alone and beside a writer.
#
# ARCFACED the binary, FILL enroll_rows, FACES (100000), SECONDS_EACH (5), CONNECTIONS ("1 16 64"), WRITES (50 a second),
# RECOGNIZER (of 512 numbers), GALLERY (a folder that keeps the rows).  wrk runs on the same machine and takes its part of it.
# It fails where an answer is wrong, and where the writer is refused or comes to less than nine tenths of WRITES.
#
# 100,000 faces of 512 numbers, two cores of a Sapphire Rapids, wrk on them too; identifications a second, p50 and p99 in ms:
#   connections          1                   16                    64
#   alone              1,464  .67   .8      3,243   4.2  18.2      3,390  17.8  50.7
#   beside a writer    1,394  .67  1.3      3,126   4.5  18.0      3,146  19.4  40.0   (50 enrolments a second, none refused)
#   before half a bit a dimension was scanned: 901, 2,613 and 2,656
. "$(dirname "$0")/daemon.bash"
faces=${FACES:-100000}
each=${SECONDS_EACH:-5}
fill "$faces" 300
serve
{
    echo "local bodies = {"
    head -200 "$data/queries" | sed "s/.*/'{\"embedding\":&}',/"
    echo "}"
    cat <<LUA
local at = 0
wrk.method = 'POST'
wrk.headers['Content-Type'] = 'application/json'
wrk.headers['x-api-key'] = '$key'
function request() at = at % #bodies + 1 return wrk.format(nil, '/v1/identify', nil, bodies[at]) end
wrong = 0
function response(status, headers, body)
    if status ~= 200 or not body:find('"person', 1, true) then wrong = wrong + 1 end
end
local threads = {}
function setup(thread) table.insert(threads, thread) end
function done(summary, latency)
    local all = 0
    for _, t in ipairs(threads) do all = all + t:get('wrong') end
    io.write(string.format('RESULT %.0f %.2f %.2f %d\n', summary.requests / summary.duration * 1e6,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, all + summary.errors.timeout + summary.errors.read))
end
LUA
} >"$work/queries.lua"

# Enrolls the last hundred embeddings again and again over eight connections, so many a second, until it is told to stop; says how
# many it came to, and fails if they are too few or one was refused (a full queue answers 503).
cat >"$work/write.py" <<'PY'
import http.client, json, signal, sys, threading, time
port, key, rate, path = int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4]
bodies = [line.strip() for line in open(path)][200:]
going, lock, begin, n, refused, slowest, wrong = True, threading.Lock(), time.monotonic(), 0, 0, 0.0, None
def stop(*_):
    global going
    going = False
signal.signal(signal.SIGTERM, stop)
def write():
    global n, refused, slowest, wrong
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while going and wrong is None:
        with lock:
            mine, n = n, n + 1
        wait = begin + mine / rate - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        sent = time.monotonic()
        link.request("POST", "/v1/enroll", '{"embedding":%s,"subject":"new %d"}' % (bodies[mine % len(bodies)], mine),
                     {"x-api-key": key, "Content-Type": "application/json"})
        answer = link.getresponse()
        answer.read()
        with lock:
            if answer.status == 503:
                refused += 1
            elif answer.status != 201:
                wrong = answer.status
            slowest = max(slowest, time.monotonic() - sent)
threads = [threading.Thread(target=write) for _ in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
if wrong is not None:
    sys.exit("enroll answered %d" % wrong)
came_to = (n - refused) / (time.monotonic() - begin)
print("  the writer enrolled %.1f a second, %d were refused (503), the slowest took %.0f ms" % (came_to, refused, 1e3 * slowest))
if refused > 0 or came_to < .9 * rate:
    sys.exit("  the writer is to come to %.0f a second, and nobody to be refused" % (.9 * rate))
PY
failed=0
measure() {
    local connections=$1 threads=$(($1 < 2 ? 1 : 2)) rate p50 p99 errors
    wrk -t$threads -c"$connections" -d"${each}s" --timeout 10s -s "$work/queries.lua" "$url" >"$work/wrk"
    read -r _ rate p50 p99 errors <<<"$(grep '^RESULT' "$work/wrk")"
    printf '%d faces, %2d connections%s: %6.0f identifications a second, p50 %.2f ms, p99 %.2f ms, %d errors\n' \
        "$faces" "$connections" "$2" "$rate" "$p50" "$p99" "$errors"
    [ "$errors" -eq 0 ] || failed=1
}
for connections in ${CONNECTIONS:-1 16 64}; do
    measure "$connections" ""
    /usr/bin/python3 "$work/write.py" "${url##*:}" "$key" "${WRITES:-50}" "$data/queries" >"$work/written" &
    writer=$!
    measure "$connections" " beside a writer"
    kill -TERM $writer
    wait $writer || failed=1
    cat "$work/written"
done
curl -s -H "x-api-key: $key" "$url/metrics" |
    awk '/^arcfaced_stage_seconds_sum\{.*search/ { sum = $2 } /^arcfaced_stage_seconds_count\{.*search/ { n = $2 } END { if (n) printf "search: %.3f ms a query in the daemon\n", 1e3 * sum / n }'
exit $failed
