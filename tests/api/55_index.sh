#!/bin/bash
# 55_index.sh: the files of the index: written behind, taken at the start, overwritten by deletes, damaged, made anew.
. "$(dirname "$0")/lib.bash"
INDEX=$TEST_TMP/data/index
FILES=(--segment-rows 256)

# wrote N: so many files are there, complete.
wrote() {
    [ "$(find "$INDEX" -name '*.segment' 2>/dev/null | wc -l)" -eq "$1" ] && [ -z "$(find "$INDEX" -name '*.unready')" ]
}

# asks NAME N: who has the N-th vector; the answer must be NAME.
asks() {
    call POST /v1/identify -H "$JSON" -d "$(sed -n "$(($2 + 1))p" "$TEST_TMP/people.ndjson" | jq -c '{embedding}')"
    answers "$1" 200 '.faces[0].candidates[0].subject.name == "person'"$2"'"'
}

# is_absent VECTOR-FILE: no file below data/index holds these bytes.
is_absent() {
    /usr/bin/python3 - "$1" "$INDEX" <<'PY'
import pathlib, sys
bytes = pathlib.Path(sys.argv[1]).read_bytes()
files = [p for p in pathlib.Path(sys.argv[2]).rglob('*') if p.is_file()]
sys.exit(any(bytes in p.read_bytes() for p in files) or not files)
PY
}

start "${FILES[@]}"
version=$(curl -s -H "$AUTH" "$URL/v1/info" | jq -r '.models[] | select(.role == "recognizer") | .version')
/usr/bin/python3 - "$TEST_TMP" "$version" <<'PY'
import json, math, random, struct, sys
folder, version = sys.argv[1:]
random.seed(4)
with open(folder + '/people.ndjson', 'w') as out:
    out.write(json.dumps({'type': 'header', 'format': 1, 'model': version, 'dim': 128}) + '\n')
    for i in range(1, 1001):
        v = [random.gauss(0, 1) for _ in range(128)]
        n = math.sqrt(sum(x * x for x in v))
        v = [struct.unpack('f', struct.pack('f', x / n))[0] for x in v]
        out.write(json.dumps({'type': 'face', 'subject': {'name': 'person%d' % i}, 'source': 'embedding', 'embedding': v}) + '\n')
    out.write(json.dumps({'type': 'end', 'faces': 1000}) + '\n')
PY
call POST "/v1/import?collection=default" -T "$TEST_TMP/people.ndjson"
answers "an import is queued" 202 '.id > 0'
job=$(printf '%s' "$BODY" | jq -r .id)
ended() {
    call GET "/v1/admin/jobs/$job"
    printf '%s' "$BODY" | jq -e '.state | IN("succeeded", "failed", "cancelled")' >/dev/null
}
until_true 120 ended
answers "a thousand faces come in" 200 '.result.outcomes.enrolled == 1000'
until_true 60 wrote 3
check "the three full segments are written while it serves" $? "$(find "$INDEX")"
asks "an early one is found" 7
stop
check "it stops" $?
[ "$(find "$INDEX" -type f -perm 600 | wc -l)" -eq 3 ]
check "nobody else may read the files" $? "$(ls -lR "$INDEX")"

"$ARCFACED" index verify --data "$TEST_TMP/data" "${FILES[@]}" >"$TEST_TMP/said" 2>&1
check "verify finds them fine" $? "$(cat "$TEST_TMP/said")"
grep -q 'default: fine: 1000 faces, 768 vectors in 3 files, 232 from the rows alone' "$TEST_TMP/said"
check "and counts" $? "$(cat "$TEST_TMP/said")"

start "${FILES[@]}"
grep -q '"event":"index_ready".*1000 faces, 768 of them from 3 files' "$LOG"
check "the next start takes them" $? "$(grep index "$LOG")"
asks "one from a file is found" 7
asks "one from the rows is found" 990

# ---- a delete overwrites -------------------------------------------------------------------------------------------------
sed -n 8p "$TEST_TMP/people.ndjson" |
    /usr/bin/python3 -c 'import json,struct,sys; v=json.load(sys.stdin)["embedding"]; sys.stdout.buffer.write(struct.pack("<8f",*v[:8]))' >"$TEST_TMP/vector"
! is_absent "$TEST_TMP/vector"
check "a file holds the vector of person7" $?
call GET "/v1/subjects?name=person7"
call DELETE "/v1/subjects/$(printf '%s' "$BODY" | jq -r '.subjects[0].id')"
answers "person7 is deleted" 200 '.deleted.faces == 1'
is_absent "$TEST_TMP/vector"
check "no file holds the vector when the delete is answered" $?
call POST /v1/identify -H "$JSON" -d "$(sed -n 8p "$TEST_TMP/people.ndjson" | jq -c '{embedding}')"
answers "nobody finds person7" 200 '.faces[0].decision == "unknown"'
kill -KILL "$PID"
wait "$PID" 2>/dev/null
PID=
"$ARCFACED" index verify --data "$TEST_TMP/data" "${FILES[@]}" >"$TEST_TMP/said" 2>&1
check "the overwritten file is fine, also after kill -9" $? "$(cat "$TEST_TMP/said")"

# ---- damage --------------------------------------------------------------------------------------------------------------
mapfile -t files < <(find "$INDEX" -name '*.segment' | sort)
printf '\x55' | dd of="${files[0]}" bs=1 seek=150000 conv=notrunc status=none
truncate -s -1 "${files[1]}"
"$ARCFACED" index verify --data "$TEST_TMP/data" "${FILES[@]}" >"$TEST_TMP/said" 2>&1
[ $? -eq 1 ] && grep -q 'default: damaged: 999 faces.*2 files refused.*segment' "$TEST_TMP/said"
check "verify says what is damaged" $? "$(cat "$TEST_TMP/said")"
wrote 3
check "and changes nothing" $?
start "${FILES[@]}"
grep -q '"level":"warn".*"event":"index_refused".*2 files of the index are of no use' "$LOG"
check "the start says so too" $? "$(grep index "$LOG")"
for i in 1 300 600 1000; do
    asks "and answers as before ($i)" $i
done
until_true 60 wrote 3
check "and writes them again" $?
stop

# ---- rebuilt, and an older database --------------------------------------------------------------------------------------
"$ARCFACED" index rebuild --data "$TEST_TMP/data" "${FILES[@]}" >"$TEST_TMP/said" 2>&1 &&
    grep -q 'default: 999 faces made again' "$TEST_TMP/said" && wrote 3
check "rebuild makes all anew" $? "$(cat "$TEST_TMP/said")"
"$ARCFACED" index verify --data "$TEST_TMP/data" "${FILES[@]}" >/dev/null 2>&1
check "and what it made is fine" $?
cp "$TEST_TMP/data/arcfaced.db" "$TEST_TMP/older.db"
start "${FILES[@]}"
for i in $(seq 1 30); do
    call POST /v1/enroll -H "$JSON" -d "$(sed -n "$((i + 1))p" "$TEST_TMP/people.ndjson" | jq -c '{embedding, subject: "later'"$i"'"}')"
done
until_true 60 wrote 4
check "a fourth segment is full and written" $? "$(find "$INDEX")"
stop
cp "$TEST_TMP/older.db" "$TEST_TMP/data/arcfaced.db"
rm -f "$TEST_TMP/data/arcfaced.db-wal" "$TEST_TMP/data/arcfaced.db-shm"
start "${FILES[@]}"
grep -q '"event":"index_refused".*1 files.*of a past that the rows do not have' "$LOG"
check "files that are younger than the database are of no use" $? "$(grep index "$LOG")"
asks "and the answers are the older database's" 3
stop

# ---- killed at every point that matters ----------------------------------------------------------------------------------
# dies FLAG...: a daemon that kills itself, on all segments anew; it may or may not come to listening.
dies() {
    rm -rf "$INDEX"
    "$ARCFACED" serve --data "$TEST_TMP/data" --listen 127.0.0.1:0 "${NETWORKS_GIVEN[@]}" "$@" >/dev/null 2>&1
    [ $? -eq 137 ]
}
for at in index.file.begun index.file.written index.file.named:2; do
    dies "${FILES[@]}" --kill-at $at
    check "it is killed at $at" $?
    start "${FILES[@]}"
    asks "and answers" 300
    until_true 60 wrote 3
    check "and all files are there" $?
    stop
    "$ARCFACED" index verify --data "$TEST_TMP/data" "${FILES[@]}" >"$TEST_TMP/said" 2>&1
    check "and fine" $? "$(cat "$TEST_TMP/said")"
done

# ---- read from files as soon as they are written -------------------------------------------------------------------------
rm -rf "$INDEX"
start "${FILES[@]}" --low-memory
until_true 60 wrote 3
check "with low_memory the files are written" $?
mapped() { grep -q 'data/index/.*\.segment' "/proc/$PID/maps"; }
until_true 60 mapped
check "and mapped at once" $?
asks "one of theirs is found" 400
call GET "/v1/subjects?name=person400"
call DELETE "/v1/subjects/$(printf '%s' "$BODY" | jq -r '.subjects[0].id')"
answers "and deleted" 200 '.deleted.faces == 1'
asks "another one is found" 401
stop
"$ARCFACED" index verify --data "$TEST_TMP/data" "${FILES[@]}" >"$TEST_TMP/said" 2>&1
check "the files are fine" $? "$(cat "$TEST_TMP/said")"

# vector_of N: the first bytes of the N-th vector, for is_absent.
vector_of() {
    sed -n "$(($1 + 1))p" "$TEST_TMP/people.ndjson" |
        /usr/bin/python3 -c 'import json,struct,sys; v=json.load(sys.stdin)["embedding"]; sys.stdout.buffer.write(struct.pack("<8f",*v[:8]))' >"$TEST_TMP/vector"
}
forget() {
    call GET "/v1/subjects?name=person$1"
    call DELETE "/v1/subjects/$(printf '%s' "$BODY" | jq -r '.subjects[0].id')"
}
for row in index.wipe.begun:20 index.wipe.half:21; do
    at=${row%:*} who=${row#*:}
    start "${FILES[@]}" --kill-at $at
    vector_of "$who"
    forget "$who"
    wait "$PID" 2>/dev/null
    [ $? -eq 137 ]
    check "it is killed at $at" $?
    start "${FILES[@]}"
    is_absent "$TEST_TMP/vector"
    check "after the next start no file holds what was being deleted" $?
    asks "and others are found" 22
    until_true 60 wrote 3
    stop
    "$ARCFACED" index verify --data "$TEST_TMP/data" "${FILES[@]}" >"$TEST_TMP/said" 2>&1
    check "and all files are fine" $? "$(cat "$TEST_TMP/said")"
done
rm -rf "$INDEX"
start --segment-rows 64 --kill-at index.rewrite.shown
until_true 60 wrote 15
for i in $(seq 100 163); do
    forget "$i"
    kill -0 "$PID" 2>/dev/null || break
done
wait "$PID" 2>/dev/null
[ $? -eq 137 ]
check "it is killed at index.rewrite.shown" $? "$(tail -3 "$LOG")"
start --segment-rows 64
asks "and answers" 170
call POST /v1/identify -H "$JSON" -d "$(sed -n 101p "$TEST_TMP/people.ndjson" | jq -c '{embedding}')"
answers "and finds nobody who was deleted" 200 '.faces[0].decision == "unknown"'
stop
"$ARCFACED" index verify --data "$TEST_TMP/data" >"$TEST_TMP/said" 2>&1
check "and all files are fine" $? "$(cat "$TEST_TMP/said")"
"$ARCFACED" index >/dev/null 2>&1
[ $? -eq 2 ]
check "index alone is called wrongly" $?
echo "1..$count"
