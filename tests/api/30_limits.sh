#!/bin/bash
# What happens at the limits: a full queue, slow and vanished clients, deadlines, and stopping while requests run.
. "$(dirname "$0")/lib.bash"

# post_in_background FILE-STEM PATH PHOTO: one request in the background; STEM.head, STEM.body.
post_in_background() {
    curl -s -m 120 -D "$1.head" -o "$1.body" -H "$AUTH" -H "$JPEG" --data-binary @"$3" "$URL$2" &
}

statuses() {
    cat "$TEST_TMP"/"$1".*.head 2>/dev/null | awk '/^HTTP/ && $2 != 100 {print $2}' | sort | uniq -c | tr '\n' ';'
}

all_answered() {
    [ "$(cat "$TEST_TMP/$1".*.head 2>/dev/null | awk '/^HTTP/ && $2 != 100' | wc -l)" -eq "$2" ]
}

# all_in N: N embed requests have arrived, and some of them wait.
all_in() {
    curl -s -m 10 -H "$AUTH" "$URL/metrics" | awk -v n="$1" '
        /^arcfaced_queue_length / {waiting = $NF}
        /^arcfaced_queue_length |^arcfaced_running |^arcfaced_requests_total.route="POST \/v1\/embed"/ {sum += $NF}
        END {exit !(sum >= n && waiting > 0)}'
}

# The program's own networks answer a small photo before the next request has come.
if [ ${#NETWORKS_GIVEN[@]} -eq 0 ]; then
    /usr/bin/python3 -c 'import sys; from PIL import Image; Image.open(sys.argv[1]).resize((2000, 1360)).save(sys.argv[2])' "$GROUP" "$TEST_TMP/large.jpg"
    GROUP=$TEST_TMP/large.jpg
    NETWORKS_GIVEN=(--detect-side 2048)
fi

# ---- A full queue: refused at once, the others served ------------------------------------------------------------------
start --workers 1 --queue-length 1 --head-ms 700 --body-ms 700
for i in 1 2 3 4 5 6 7 8; do
    post_in_background "$TEST_TMP/full.$i" /v1/embed "$GROUP"
done
until_true 60 all_answered full 8
check "all are answered" $?
check "some are served" "$(grep -lq '^HTTP/1.1 200' "$TEST_TMP"/full.*.head; echo $?)" "$(statuses full)"
refused=$(grep -l '^HTTP/1.1 503' "$TEST_TMP"/full.*.head | head -1)
check "some are refused with 503" "$([ -n "$refused" ]; echo $?)" "$(statuses full)"
check "with Retry-After" "$(grep -qi '^Retry-After: [1-9]' "${refused:-/dev/null}"; echo $?)"
check "and the code" "$(jq -e '.code == "busy"' "${refused%.head}.body" >/dev/null; echo $?)"
check "and counted" "$(metric_reaches arcfaced_refused_busy_total 1; echo $?)"
call GET /healthz
answers "probes need no worker" 200 '.status == "ok"'

# ---- A client that leaves while it waits in the queue: its work is not begun --------------------------------------------
until_true 30 metric_is arcfaced_running 0
post_in_background "$TEST_TMP/busy.1" /v1/embed "$GROUP"
until_true 10 metric_is arcfaced_running 1
exec 9<>"/dev/tcp/127.0.0.1/$PORT"
printf 'GET /v1/info HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n' "$AUTH" >&9
exec 9>&-
until_true 30 metric_reaches arcfaced_clients_gone_total 1
gone=$?
# The worker may have been free again before the client had left; then once more.
for _ in 1 2 3 4; do
    [ $gone -eq 0 ] && break
    post_in_background "$TEST_TMP/busy.2" /v1/embed "$GROUP"
    until_true 10 metric_is arcfaced_running 1
    exec 9<>"/dev/tcp/127.0.0.1/$PORT"
    printf 'GET /v1/info HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n' "$AUTH" >&9
    exec 9>&-
    until_true 5 metric_reaches arcfaced_clients_gone_total 1
    gone=$?
done
check "a client that left is noticed" "$gone" "$(metric arcfaced_clients_gone_total)"
call GET /healthz
answers "and nobody else suffers" 200 '.status == "ok"'

# ---- Slow clients: a byte now and then does not hold a connection -------------------------------------------------------
# drip PREFIX: sends the prefix, then one byte every 0.1 s until the other side closes; prints how many were sent.
drip() {
    local sent=0
    exec 8<>"/dev/tcp/127.0.0.1/$PORT" || return 1
    printf '%b' "$1" >&8
    while [ $sent -lt 100 ]; do
        # Reading returns at once with an end of file when the daemon has closed; a timeout is status > 128.
        IFS= read -r -t 0.1 -n 1 _ <&8
        local got=$?
        [ $got -ge 1 ] && [ $got -le 128 ] && break
        printf 'a' >&8 2>/dev/null || break
        sent=$((sent + 1))
    done
    exec 8>&-
    echo $sent
}
trap '' PIPE
slow=$(metric arcfaced_slow_clients_total)
sent=$(drip 'GET /healthz HTTP/1.1\r\nHost: ')
check "a dripping head is cut" "$([ "$sent" -lt 60 ]; echo $?)" "$sent bytes in $((sent / 10)) s"
sent=$(drip "POST /v1/detect HTTP/1.1\r\nHost: x\r\n$AUTH\r\nContent-Type: image/jpeg\r\nContent-Length: 1000\r\n\r\n")
check "a dripping body is cut" "$([ "$sent" -lt 60 ]; echo $?)" "$sent bytes in $((sent / 10)) s"
check "both are counted" "$(metric_reaches arcfaced_slow_clients_total $((slow + 2)); echo $?)" "$slow then $(metric arcfaced_slow_clients_total)"
until_true 10 metric_is arcfaced_body_bytes 0
check "and hold no memory" $?

# ---- Heads that are too long, and words that are no HTTP ---------------------------------------------------------------
long=$(head -c 100000 /dev/zero | tr '\0' a)
status=$(curl -s -o /dev/null -w '%{http_code}' -H "X-Long: $long" "$URL/healthz")
check "a head of 100 kB is refused" "$([ "$status" = 431 ] || [ "$status" = 413 ] || [ "$status" = 000 ]; echo $?)" "$status"
exec 8<>"/dev/tcp/127.0.0.1/$PORT"
printf 'nonsense\r\n\r\n' >&8
timeout 5 cat <&8 >/dev/null
check "nonsense is closed" "$([ $? -ne 124 ]; echo $?)"
exec 8>&-
call GET /healthz
answers "and it still answers" 200 '.status == "ok"'
stop
check "ends" $?

# ---- The deadline of a suspended request ---------------------------------------------------------------------------------
start --workers 1 --deadline-ms 40
for i in 1 2 3 4 5 6; do
    post_in_background "$TEST_TMP/late.$i" /v1/embed "$GROUP"
done
until_true 60 all_answered late 6
check "every request has an answer" $? "$(statuses late)"
late=$(grep -l '^HTTP/1.1 503' "$TEST_TMP"/late.*.head | head -1)
check "those beyond the deadline are told so" "$(jq -e '.code == "timed_out"' "${late%.head}.body" >/dev/null; echo $?)" "$(statuses late)"
stop
check "ends" $?

# ---- Stopping while requests run and wait ----------------------------------------------------------------------------------
start --workers 1
for i in {1..12}; do
    post_in_background "$TEST_TMP/drain.$i" /v1/embed "$GROUP"
done
until_true 30 all_in 12
check "one runs and others wait" $? "$(metric arcfaced_running) run, $(metric arcfaced_queue_length) wait"
stop
check "SIGTERM ends with status 0" $?
until_true 10 all_answered drain 12
check "after all are answered" "$([ "$(statuses drain | tr -d ' ')" = "12200;" ]; echo $?)" "$(statuses drain)"
check "and takes no new connection" "$(curl -s -o /dev/null "$URL/healthz"; [ $? -eq 7 ]; echo $?)"
check "the log says so" "$(grep -q '"event":"stopping"' "$LOG" && grep -q '"event":"stopped"' "$LOG"; echo $?)"

# ---- Stopping without the patience to wait ---------------------------------------------------------------------------------
start --workers 1 --drain-ms 10
for i in {1..12}; do
    post_in_background "$TEST_TMP/haste.$i" /v1/embed "$GROUP"
done
until_true 30 all_in 12
stop
check "a drain that runs out still ends with status 0" $?
until_true 10 all_answered haste 12
check "and nobody is left without an answer" $? "$(statuses haste)"

# ---- The second signal -------------------------------------------------------------------------------------------------------
start --workers 1 --drain-ms 60000 --body-ms 60000
exec 8<>"/dev/tcp/127.0.0.1/$PORT"
printf 'POST /v1/detect HTTP/1.1\r\nHost: x\r\n%s\r\nContent-Length: 1000\r\n\r\nabc' "$AUTH" >&8
until_true 10 metric_reaches arcfaced_body_bytes 1
kill -TERM "$PID"
until_true 10 grep -q '"event":"stopping"' "$LOG"
kill -TERM "$PID"
wait "$PID"
check "the second signal ends at once" "$([ $? -eq 143 ]; echo $?)"
PID=
exec 8>&-
