# lib.bash: what the numbered shell tests share.  They print TAP and talk to the real binary with curl.
#
# ARCFACED is the binary, TEST_TMP an empty folder, ARCFACED_SHARED the folder of published models and faces.  Without it the scripts
# run on the models inside the program and on the faces that the project made itself; those that need more of that folder skip.
set -u
SHARED=$(realpath -m "${ARCFACED_SHARED:-../shared}") # some scripts change the folder
MODELS=$SHARED/models
FACES=$SHARED/faces
KEY=0123456789abcdef-first-admin-key
AUTH="Authorization: Bearer $KEY"
JSON="Content-Type: application/json"
JPEG="Content-Type: image/jpeg"
REPOSITORY=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
GROUP=$FACES/group_six_faces.jpg
ONE=$FACES/lfw/images/George_W_Bush/George_W_Bush_0001.jpg
ONE2=$FACES/lfw/images/George_W_Bush/George_W_Bush_0002.jpg
OTHER=$FACES/lfw/images/Colin_Powell/Colin_Powell_0001.jpg
count=0
PID=

# What the daemon is started with: the published models where they are, else those inside the program.  Both make vectors of 128
# numbers.  GROUP shows six people, none of whom is on another photo.
NETWORKS_GIVEN=()
DETECTOR=()
if [ -f "$MODELS/scrfd_500m.onnx" ] && [ -f "$MODELS/mobilefacenet_128.onnx" ] && [ -f "$GROUP" ]; then
    DETECTOR=(--detector "$MODELS/scrfd_500m.onnx")
    NETWORKS_GIVEN=("${DETECTOR[@]}" --recognizer "$MODELS/mobilefacenet_128.onnx")
else
    GROUP=$REPOSITORY/tests/photos/group.jpg
    ONE=$REPOSITORY/tests/photos/alice-1.jpg
    ONE2=$REPOSITORY/tests/photos/alice-2.jpg
    OTHER=$REPOSITORY/tests/photos/bob-1.jpg
fi

# skip_without FILE...: ends the script with one skipped test if a file is missing.
skip_without() {
    for file in "$@"; do
        if [ ! -e "$file" ]; then
            count=1
            echo "ok 1 # SKIP $(basename "$file") is not in ARCFACED_SHARED"
            exit 0
        fi
    done
}

# skip_under_sanitizer REASON: ends the script with one skipped test if the binary is built with one.
skip_under_sanitizer() {
    if grep -q -a -e __asan_init -e __tsan_init "$ARCFACED"; then
        count=1
        echo "ok 1 # SKIP $1"
        exit 0
    fi
}

# check NAME CONDITION-STATUS [EXPLANATION]: one line of TAP.
check() {
    count=$((count + 1))
    if [ "$2" -eq 0 ]; then
        echo "ok $count - $1"
    else
        echo "not ok $count - $1"
        [ -n "${3:-}" ] && printf '%s\n' "$3" | head -c 2000 | sed 's/^/# /'
    fi
}

# start FLAG...: starts the daemon on a free port; sets PID and URL.
start() {
    # Each start has its own log, so that the port found is this one's.
    starts=$((${starts:-0} + 1))
    LOG=$TEST_TMP/log.$starts
    : >"$LOG"
    ARCFACED_BOOTSTRAP_KEY=$KEY "$ARCFACED" serve --data "$TEST_TMP/data" --listen 127.0.0.1:0 \
        "${NETWORKS_GIVEN[@]}" "$@" \
        >"$TEST_TMP/out.$starts" 2>"$LOG" &
    PID=$!
    until_true 60 grep -q '"event":"listening"' "$LOG" || { echo "Bail out! the daemon does not start"; cat "$LOG"; exit 1; }
    URL=http://127.0.0.1:$(sed -n 's/.*"event":"listening".*"port":\([0-9]*\).*/\1/p' "$LOG")
    PORT=${URL##*:}
}

# stop: asks to stop and waits; the status is the daemon's.
stop() {
    kill -TERM "$PID"
    wait "$PID"
    status=$?
    PID=
    return $status
}

# until_true SECONDS COMMAND...: repeats the command until it succeeds; fails at the deadline, or when the daemon is gone.
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -ge $end ] && return 1
        [ -n "$PID" ] && ! kill -0 "$PID" 2>/dev/null && return 1
        read -r -t 0.05 <> <(:) || true
    done
}

# call METHOD PATH [CURL-ARGUMENT...]: sets BODY and STATUS; the admin key is sent.
call() {
    local method=$1 path=$2
    shift 2
    BODY=$(curl -s -m 60 -X "$method" -H "$AUTH" -w '\n%{http_code}' "$@" "$URL$path")
    STATUS=${BODY##*$'\n'}
    BODY=${BODY%$'\n'*}
}

# answers NAME STATUS JQ-FILTER: checks the last call.
answers() {
    if [ "$STATUS" = "$2" ] && printf '%s' "$BODY" | jq -e "$3" >/dev/null 2>&1; then
        check "$1" 0
    else
        check "$1" 1 "status $STATUS: $BODY"
    fi
}

# metric NAME: its present value.
metric() {
    curl -s -m 10 -H "$AUTH" "$URL/metrics" | awk -v name="$1" '$1 == name {print $2}'
}

metric_is() {
    [ "$(metric "$1")" = "$2" ]
}

metric_reaches() {
    [ "$(metric "$1")" -ge "$2" ]
}

# readme_lines MARK README: every ```sh block right behind a line "<!-- MARK -->", in order.
readme_lines() {
    awk -v mark="<!-- $1 -->" '$0 == mark {marked = 1; next}
        marked && /^```sh$/ {inside = 1; marked = 0; next}
        /^```$/ {inside = 0}
        inside {print}
        !inside && NF {marked = 0}' "$2"
}

# run_readme_lines FILE [COMMAND]: runs such lines in this shell, so that what one sets the next can use; its own names are spelled so
# that none collides.  A line that begins with "# => " holds a jq filter that must be true of what the lines since the last such line
# have printed.  The only word that is changed is the address 127.0.0.1:8080, which becomes that of the daemon; $KEY is its key.
# COMMAND runs behind half of the checks.
run_readme_lines() {
    local readme_line readme_before="" readme_done=0 readme_half=$(($(grep -c '^# => ' "$1") / 2)) readme_address=127.0.0.1:$PORT
    while IFS= read -r readme_line; do
        case $readme_line in
        '# => '*)
            eval "${readme_before//127.0.0.1:8080/$readme_address}" >"$TEST_TMP/printed" 2>&1 </dev/null
            jq -e "${readme_line#\# => }" "$TEST_TMP/printed" >/dev/null 2>&1
            check "${readme_line#\# => }" $? "$readme_before
$(head -c 1500 "$TEST_TMP/printed")"
            readme_before=
            readme_done=$((readme_done + 1))
            [ -n "${2:-}" ] && [ "$readme_done" -eq "$readme_half" ] && "$2" "$readme_address"
            ;;
        *) readme_before+=$readme_line$'\n' ;;
        esac
    done <"$1"
}

finish() {
    if [ -n "$PID" ]; then
        kill -KILL "$PID" 2>/dev/null
        wait "$PID" 2>/dev/null
    fi
    echo "1..$count"
}
trap finish EXIT
