#!/bin/bash
# 57_faiss.sh: a collection with an approximate index: set, made, measured, asked, dropped by a delete, made again, killed, cleared.
. "$(dirname "$0")/lib.bash"
skip_without "$MODELS/mobilefacenet_128.onnx"
SEGMENTS=(--segment-rows 256)

index_is() { # index_is JQ-FILTER: what is said of the collection's index
    call GET /v1/collections/default
    printf '%s' "$BODY" | jq -e ".index_state | $1" >/dev/null
}
probe() { # probe N [MORE]: identify the N-th vector
    call POST /v1/identify -H "$JSON" -d "$(sed -n "$(($1 + 1))p" "$TEST_TMP/people.ndjson" | jq -c "{embedding, threshold: 0.3, margin: 0} + ${2:-null}")"
}

start "${SEGMENTS[@]}"
version=$(curl -s -H "$AUTH" "$URL/v1/info" | jq -r '.models[] | select(.role == "recognizer") | .version')
/usr/bin/python3 - "$TEST_TMP" "$version" <<'PY'
import json, math, random, sys
folder, version = sys.argv[1:]
random.seed(5)
with open(folder + '/people.ndjson', 'w') as out:
    out.write(json.dumps({'type': 'header', 'format': 1, 'model': version, 'dim': 128}) + '\n')
    for i in range(1, 1001):
        v = [random.gauss(0, 1) for _ in range(128)]
        n = math.sqrt(sum(x * x for x in v))
        out.write(json.dumps({'type': 'face', 'subject': {'name': 'person%d' % i}, 'source': 'embedding', 'embedding': [x / n for x in v]}) + '\n')
    out.write(json.dumps({'type': 'end', 'faces': 1000}) + '\n')
PY

# ---- setting -------------------------------------------------------------------------------------------------------------
call GET /v1/collections/default
answers "a collection has none" 200 '.index == null and .index_state == null'
while IFS='|' read -r name index words; do
    call PATCH /v1/collections/default -H "$JSON" -d "{\"index\":$index}"
    answers "$name" 422 ".code == \"bad_index\" and (.detail | contains(\"$words\"))"
done <<'ROWS'
nonsense is refused|"Foo"|known are Flat
none at all is refused|""|known are Flat
parts that do not divide the vector are refused|"PQ7"|not cut into 7 equal parts
and behind lists|"IVF4,PQ7"|not cut into 7 equal parts
codes too long for lists are refused|"IVF4,PQ16x10"|in IVF to x8
codes that links do not take are refused|"HNSW32,PQ16x4"|known are
a billion lists are refused|"IVF1000000000,Flat"|to 1024
what crashes FAISS is refused|"HNSW0"|known are
what must learn from more than a segment has is refused|"IVF256,SQ8"|9984 vectors
ROWS
printf '{"index":"%s"}' "$(head -c 10240 /dev/zero | tr '\0' 'F')" >"$TEST_TMP/long"
call PATCH /v1/collections/default -H "$JSON" -d @"$TEST_TMP/long"
answers "ten kilobytes are refused" 422 '.detail | contains("at most 63 characters")'
call PATCH /v1/collections/default -H "$JSON" -d '{"index":7}'
answers "a number is refused" 400 '.detail | length > 5'
call GET /v1/collections/default
answers "and none of them is kept" 200 '.index == null and .index_state == null'
call PUT /v1/collections/staff -H "$JSON" -d '{"index":"HNSW32 efSearch=64"}'
answers "a collection is made with one" 201 '.index == "HNSW32 efSearch=64" and .index_state.state == "waiting" and .index_state.faces == 0'
call PUT /v1/collections/other -H "$JSON" -d '{"index":"nonsense"}'
answers "and not with nonsense" 422 '.code == "bad_index"'
call GET /v1/collections/other
answers "nor is it made" 404 '.code == "no_such_collection"'
call PATCH /v1/collections/default -H "$JSON" -d '{"index":"IVF4,SQ8 nprobe=4"}'
answers "one is set" 200 '.index == "IVF4,SQ8 nprobe=4" and .index_state.state == "waiting"'
call PATCH /v1/collections/default -H "$JSON" -d '{"threshold":0.3}'
answers "another change leaves it" 200 '.index == "IVF4,SQ8 nprobe=4"'

# ---- made while faces come in ----------------------------------------------------------------------------------------------
call POST "/v1/import?collection=default" -T "$TEST_TMP/people.ndjson"
job=$(printf '%s' "$BODY" | jq -r .id)
ended() {
    call GET "/v1/admin/jobs/$job"
    printf '%s' "$BODY" | jq -e '.state | IN("succeeded", "failed", "cancelled")' >/dev/null
}
until_true 120 ended
until_true 60 index_is '.state == "ready" and .recall.queries == 128'
check "it is made for the full segments and measured" $? "$BODY"
answers "and says how good it is" 200 '.index_state | .faces == 768 and .recall.at_1 >= 0.99 and .recall.at_10 >= 0.95 and .bytes > 768 * 128 and .reason == null'
metric_is arcfaced_accelerated_faces 768
check "the metrics count it" $? "$(metric arcfaced_accelerated_faces)"
[ "$(metric arcfaced_accelerator_bytes)" -ge $((768 * 128)) ]
check "and its memory" $?
for i in 7 300 990; do
    probe $i
    answers "it finds person$i" 200 '.faces[0].candidates[0].subject.name == "person'$i'"'
    approximate=$(printf '%s' "$BODY" | jq -c '.faces[0].candidates[0].cosine')
    probe $i '{exact: true}'
    answers "the exact search gives the same score" 200 ".faces[0].candidates[0].cosine == $approximate"
done

# ---- a crude one misses, and says so ---------------------------------------------------------------------------------------
call PATCH /v1/collections/default -H "$JSON" -d '{"index":"IVF6,SQ4 nprobe=1"}'
answers "another is set" 200 '.index == "IVF6,SQ4 nprobe=1" and .index_state.state == "building" and .index_state.recall == null'
until_true 60 index_is '.state == "ready" and .recall.queries == 128'
answers "it says what it misses" 200 '.index_state.recall | .at_10 > 0.1 and .at_10 < 0.9'
probe 7 '{top_k: 10, group_by: "face", threshold: -1}'
approximate=$(printf '%s' "$BODY" | jq -c '[.faces[0].candidates[].subject.name]')
probe 7 '{top_k: 10, group_by: "face", threshold: -1, exact: true}'
exact=$(printf '%s' "$BODY" | jq -c '[.faces[0].candidates[].subject.name]')
[ "$approximate" != "$exact" ] && [ "$(printf '%s' "$exact" | jq length)" = 10 ]
check "exact=true misses nobody that it misses" $? "$approximate $exact"
probe 7 '{top_k: 10, group_by: "face", threshold: -1, filter: {}}'
answers "nor does a filter" 200 "[.faces[0].candidates[].subject.name] == $exact"

# ---- a delete drops it -----------------------------------------------------------------------------------------------------
call GET "/v1/subjects?name=person7"
call DELETE "/v1/subjects/$(printf '%s' "$BODY" | jq -r '.subjects[0].id')"
answers "person7 is deleted" 200 '.deleted.faces == 1'
index_is '.faces == 512 and .state == "building"'
check "what was made of its segment is gone when the delete is answered" $? "$BODY"
probe 7
answers "nobody finds person7" 200 '.faces[0].decision == "unknown"'
probe 8
answers "its neighbours are found meanwhile" 200 '.faces[0].candidates[0].subject.name == "person8"'
until_true 60 index_is '.state == "ready" and .faces == 767'
check "and it is made again" $? "$BODY"
probe 7
answers "nobody finds person7 in that either" 200 '.faces[0].decision == "unknown"'

# ---- kill, restart, clear ----------------------------------------------------------------------------------------------------
kill -KILL "$PID"
wait "$PID" 2>/dev/null
PID=
start "${SEGMENTS[@]}"
call GET /v1/collections/default
answers "the setting outlives a kill" 200 '.index == "IVF6,SQ4 nprobe=1"'
until_true 60 index_is '.state == "ready" and .faces == 767 and .recall.queries == 128'
check "and it is made again after the start" $? "$BODY"
probe 8
answers "and answers" 200 '.faces[0].candidates[0].subject.name == "person8"'
call PATCH /v1/collections/default -H "$JSON" -d '{"index":null}'
answers "null takes it away" 200 '.index == null and .index_state == null'
metric_is arcfaced_accelerator_bytes 0
check "with its memory" $? "$(metric arcfaced_accelerator_bytes)"
call PATCH /v1/collections/default -H "$JSON" -d '{"index":"HNSW16"}'
call DELETE /v1/collections/default
answers "a collection is erased while one is made for it" 200 '.what == "collection"'
metric_is arcfaced_accelerator_bytes 0
check "and nothing is left of it" $? "$(metric arcfaced_accelerator_bytes)"
stop
check "it stops" $?
start "${SEGMENTS[@]}"
call GET /v1/collections/staff
answers "a collection without faces starts with one" 200 '.index == "HNSW32 efSearch=64" and .index_state.state == "waiting"'
stop
check "it stops again" $?
! grep -h -v '^{' "$TEST_TMP"/log.* | grep -v '^std::bad_alloc$' | grep .
check "FAISS prints nothing but that it was given no more memory" $?
