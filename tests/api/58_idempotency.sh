#!/bin/bash
# 58_idempotency.sh: every POST that writes is carried out once under an Idempotency-Key; over a list that the daemon's own description
# gives, so that a new call without this promise fails here.
. "$(dirname "$0")/lib.bash"

# vector N: an embedding of 128 numbers, one direction for each N.
vector() {
    awk -v n="$1" 'BEGIN { srand(n); printf "["; for (i = 0; i < 128; i++) printf "%s%.4f", i ? "," : "", rand() - .5; printf "]" }'
}
enrolling() {
    printf '{"subject":"%s","embedding":%s}' "$1" "$(vector "$2")"
}
faces() {
    call GET "/v1/collections/${1:-default}"
    printf '%s' "$BODY" | jq .faces
}
# done_so_far STATUS: what calls with this answer count up: jobs, or entries of the audit log (which jobs write, too, as they go on).
done_so_far() {
    sqlite3 "file:$TEST_TMP/data/arcfaced.db?mode=ro" "SELECT count(*) FROM $([ "$1" = 202 ] && echo jobs || echo audit)"
}
ended() {
    call GET "/v1/admin/jobs/$1"
    printf '%s' "$BODY" | jq -e '.state | IN("succeeded", "failed", "cancelled")' >/dev/null
}
# once KEY PATH [CURL-ARGUMENT...]: one POST; sets STATUS, BODY (to the byte) and HEADERS.
once() {
    local key=$1 path=$2
    shift 2
    STATUS=$(curl -s -m 60 -X POST -H "$AUTH" -H "Idempotency-Key: $key" -D "$TEST_TMP/headers" -o "$TEST_TMP/body" \
        -w '%{http_code}' "$@" "$URL$path")
    HEADERS=$(tr -d '\r' <"$TEST_TMP/headers")
    BODY=$(cat "$TEST_TMP/body")
}
is_replay() {
    grep -qix 'Idempotent-Replayed: true' <<<"$HEADERS"
}
header() {
    sed -n "s/^$1: //Ip" <<<"$HEADERS"
}

# twice PATTERN STATUS PATH [CURL-ARGUMENT...]: the call of this row of the description, sent, sent again, and with another body.
tested=
keys=0
twice() {
    local name=$1 status=$2 path=$3 first location before
    shift 3
    keys=$((keys + 1))
    local key="key $keys"
    once "$key" "$path" "$@"
    [ "$STATUS" = "$status" ] && ! is_replay
    check "$name: carried out" $? "status $STATUS: $BODY"
    cp "$TEST_TMP/body" "$TEST_TMP/first"
    first=$BODY
    location=$(header Location)
    before=$(done_so_far "$status")
    once "$key" "$path" "$@"
    [ "$STATUS" = "$status" ] && is_replay && cmp -s "$TEST_TMP/first" "$TEST_TMP/body" && [ "$(header Location)" = "$location" ]
    check "$name: the same answer again, byte for byte" $? "status $STATUS, $HEADERS: $BODY instead of $first"
    [ "$(done_so_far "$status")" = "$before" ]
    check "$name: nothing was done again" $?
    once "$key" /v1/enroll -H "$JSON" -d "$(enrolling nobody 999)"
    answers "$name: its key is no other call's" 422 '.code == "idempotency_key_reused"'
    tested+="$name"$'\n'
    BODY=$first
}

start
for n in $(seq 24); do
    call POST /v1/enroll -H "$JSON" -d "$(enrolling "crowd-$((n % 6))" "$n")"
done

# ---- Enrolling ----------------------------------------------------------------------------------------------------------------
twice /v1/enroll 201 /v1/enroll -H "$JSON" -d "$(enrolling ada 101)"
ada=$(jq -r .subject.id <<<"$BODY")
once photo "/v1/enroll?subject=bush" -H "$JPEG" --data-binary @"$ONE"
answers "a photo as the body" 201 '.subject.name == "bush"'
once photo /v1/enroll -F subject=bush -F image=@"$ONE"
answers "the same photo in a multipart body is the same request" 201 '.subject.name == "bush"'
is_replay
check "and answered again" $?
once photo /v1/enroll -F subject=bush -F image=@"$ONE2"
answers "another photo is another" 422 '.code == "idempotency_key_reused" and (.detail | contains("POST /v1/enroll"))'
once photo /v1/enroll -F subject=powell -F image=@"$ONE"
answers "another name too" 422 '.code == "idempotency_key_reused"'
once refused /v1/enroll -H "$JSON" -d '{"subject":"eve","embedding":[1,2]}'
answers "what is refused" 422 '.code == "wrong_dimension"'
once refused /v1/enroll -H "$JSON" -d "$(enrolling eve 102)"
answers "is not kept: its key does for another try" 201 '.subject.name == "eve"'

# Many at once under one key: one is carried out, the others are told to wait or get its answer.
before=$(faces)
for n in $(seq 12); do
    curl -s -m 60 -o "$TEST_TMP/race.$n" -w '%{http_code}\n' -H "$AUTH" -H "$JSON" -H "Idempotency-Key: race" \
        -d "$(enrolling race 103)" "$URL/v1/enroll" >"$TEST_TMP/race.$n.status" &
done
for job in $(jobs -p); do
    [ "$job" = "$PID" ] || wait "$job"
done
sort "$TEST_TMP"/race.*.status | uniq -c >"$TEST_TMP/race"
[ "$(faces)" = $((before + 1)) ] && [ "$(awk '$2 != 201 && $2 != 409' "$TEST_TMP/race")" = "" ] && grep -q 201 "$TEST_TMP/race"
check "twelve at once enroll one face" $? "$(cat "$TEST_TMP/race")"
for n in $(seq 12); do
    grep -q 201 "$TEST_TMP/race.$n.status" && md5sum <"$TEST_TMP/race.$n"
done | sort -u >"$TEST_TMP/race.answers"
[ "$(wc -l <"$TEST_TMP/race.answers")" = 1 ]
check "and those that were answered got one answer" $?

# ---- People -------------------------------------------------------------------------------------------------------------------
call GET "/v1/subjects?name=crowd-1"
one=$(jq -r '.subjects[0].id' <<<"$BODY")
call GET "/v1/subjects?name=crowd-2"
two=$(jq -r '.subjects[0].id' <<<"$BODY")
twice "/v1/subjects/{subject}/merge" 200 "/v1/subjects/$one/merge" -H "$JSON" -d "{\"into\":\"$two\"}"
twice "/v1/subjects/{subject}/merge/undo" 200 "/v1/subjects/$two/merge/undo"

# ---- Jobs: the answer is the one that queued it -------------------------------------------------------------------------------
version=$(curl -s -H "$AUTH" "$URL/v1/info" | jq -r '.models[] | select(.role == "recognizer").version')
{
    printf '{"type":"header","format":1,"model":"%s","dim":128}\n' "$version"
    printf '{"type":"face","subject":{"name":"line"},"embedding":%s}\n' "$(vector 104)"
    printf '{"type":"end","faces":1}\n'
} >"$TEST_TMP/people.ndjson"
sed 's/"line"/"lines"/' "$TEST_TMP/people.ndjson" >"$TEST_TMP/other.ndjson"
call PUT /v1/collections/lines
twice /v1/import 202 "/v1/import?collection=lines" -T "$TEST_TMP/people.ndjson"
key="key $keys"
until_true 60 ended "$(jq -r .id <<<"$BODY")"
once "$key" "/v1/import?collection=lines" -T "$TEST_TMP/people.ndjson"
answers "an import that has ended is answered as it was when it was queued" 202 '.state == "queued"'
once "$key" "/v1/import?collection=lines" -T "$TEST_TMP/other.ndjson"
answers "another file is another import" 422 '.code == "idempotency_key_reused"'
[ "$(faces lines)" = 1 ] && [ -z "$(find "$TEST_TMP/data/uploads" "$TEST_TMP/data/imports" -type f)" ]
check "the lines were enrolled once, and no file is left" $?

twice /v1/admin/backup 202 /v1/admin/backup
until_true 60 ended "$(jq -r .id <<<"$BODY")"
twice /v1/admin/purify 202 /v1/admin/purify -H "$JSON" -d '{"collection":"default"}'
purify=$(jq -r .id <<<"$BODY")
until_true 60 ended "$purify"
twice /v1/admin/purify 200 /v1/admin/purify -H "$JSON" -d "{\"apply\":$purify}"
once "bring back" /v1/admin/purify -H "$JSON" -d "{\"undo\":$purify}"
once "bring back" /v1/admin/purify -H "$JSON" -d "{\"undo\":$purify}"
is_replay
check "setting aside is taken back once" $?
twice /v1/admin/evaluate 202 /v1/admin/evaluate -H "$JSON" -d '{"collection":"default"}'
until_true 60 ended "$(jq -r .id <<<"$BODY")"
twice /v1/admin/generate 202 /v1/admin/generate -H "$JSON" -d '{"subject":"crowd-3","count":1,"steps":1000}'
generate=$(jq -r .id <<<"$BODY")
twice "/v1/admin/jobs/{job}/cancel" 200 "/v1/admin/jobs/$generate/cancel"
until_true 60 ended "$generate"

# A training, on one crop under many names: it is cancelled at once.
call PUT /v1/collections/crops
call POST "/v1/enroll?subject=p0&collection=crops&faces=largest" -H "$JPEG" --data-binary @"$ONE"
curl -s -H "$AUTH" -o "$TEST_TMP/crop.webp" "$URL/v1/faces/$(jq -r '.faces[0].id' <<<"$BODY")/image?kind=crop"
for n in $(seq 0 32); do
    call POST "/v1/enroll?subject=p$((n % 11))&collection=crops&aligned=true" -H "Content-Type: image/webp" --data-binary @"$TEST_TMP/crop.webp"
done
for n in 1 2; do
    once "dry run" /v1/admin/training -H "$JSON" -d '{"collection":"crops","dry_run":true}'
    [ "$STATUS" = 200 ] && ! is_replay
    check "a dry run changes nothing and is not kept, $n" $? "$STATUS $BODY"
done
twice /v1/admin/training 202 /v1/admin/training -H "$JSON" -d '{"collection":"crops","activate":false}'
training=$(jq -r .id <<<"$BODY")
call POST "/v1/admin/jobs/$training/cancel"
until_true 60 ended "$training"

# ---- Models -------------------------------------------------------------------------------------------------------------------
# The program's own recogniser, with a manifest of another normalisation, is another version.
printf '{"role":"recognizer","color":"rgb","mean":[120,120,120],"std":[128,128,128]}' >"$TEST_TMP/manifest"
twice /v1/admin/models 201 "/v1/admin/models?manifest=$(jq -rR @uri "$TEST_TMP/manifest")&name=other" -T "$REPOSITORY/core/models/recognizer.onnx"
other=$(jq -r .version <<<"$BODY")
call PUT /v1/collections/moving
call POST "/v1/enroll?subject=bush&collection=moving&faces=largest" -H "$JPEG" --data-binary @"$ONE"
twice "/v1/admin/models/{model}/activate" 202 "/v1/admin/models/$other/activate" -H "$JSON" -d '{"collections":["moving"],"force":true}'
until_true 60 ended "$(jq -r .id <<<"$BODY")"
twice "/v1/admin/collections/{collection}/rollback" 200 /v1/admin/collections/moving/rollback

# ---- Every call that writes was among them ------------------------------------------------------------------------------------
call GET /openapi.json
keeps='.parameters | map(."$ref" // "") | index("#/components/parameters/IdempotencyKey")'
printf '%s' "$BODY" | jq -r ".paths | to_entries[] | select(.value.post != null and (.value.post | $keeps) != null) | .key" | sort >"$TEST_TMP/keep"
printf '%s' "$BODY" | jq -r ".paths | to_entries[] | select(.value.post != null and (.value.post | $keeps) == null) | .key" | sort | tr '\n' ' ' >"$TEST_TMP/look"
printf '%s' "$tested" | sort -u | cmp -s - "$TEST_TMP/keep"
check "every POST that says it keeps its answers was tried" $? "$(printf '%s' "$tested" | sort -u | diff - "$TEST_TMP/keep")"
[ "$(cat "$TEST_TMP/look")" = "/v1/admin/keys /v1/detect /v1/embed /v1/identify /v1/verify " ]
check "and the others are the one with a secret and those that look" $? "$(cat "$TEST_TMP/look")"
once look /v1/identify -H "$JSON" -d "{\"embedding\":$(vector 101)}"
once look /v1/identify -H "$JSON" -d "{\"embedding\":$(vector 102)}"
answers "who looks is not bound by the key" 200 '.faces[0].candidates[0].subject.name == "eve"'

# ---- Keys that are none -------------------------------------------------------------------------------------------------------
once "secret" /v1/admin/keys -H "$JSON" -d '{"name":"door","scopes":["identify"]}'
answers "a secret is never kept" 422 '.code == "idempotency_key_refused"'
once "$(printf 'k%.0s' $(seq 255))" /v1/enroll -H "$JSON" -d "$(enrolling long 105)"
answers "255 bytes are a key" 201 .created
once "$(printf 'k%.0s' $(seq 256))" /v1/enroll -H "$JSON" -d "$(enrolling long 105)"
answers "256 are none" 400 '.code == "bad_idempotency_key"'
once $'a\tb' /v1/enroll -H "$JSON" -d "$(enrolling long 105)"
answers "nor is a control character" 400 '.code == "bad_idempotency_key"'
call POST /v1/admin/keys -H "$JSON" -d '{"name":"second","scopes":["enroll","identify"]}'
AUTH_BEFORE=$AUTH
AUTH="Authorization: Bearer $(jq -r .secret <<<"$BODY")"
once "key 1" /v1/enroll -H "$JSON" -d "$(enrolling second 106)"
answers "another API key has keys of its own" 201 '.subject.name == "second"'
AUTH=$AUTH_BEFORE

# ---- Erased means erased ------------------------------------------------------------------------------------------------------
call POST /v1/enroll -H "$JSON" -d "$(enrolling Hypatia-of-Alexandria 107)"
once hypatia /v1/enroll -H "$JSON" -d "$(enrolling Somebody-Else 107)"
answers "an answer tells of a face of somebody else" 201 '.faces[0].also[0].subject.name == "Hypatia-of-Alexandria"'
grep -rqa 'Somebody-Else' "$TEST_TMP/data"
check "it is in the database" $?
call GET "/v1/subjects?name=Hypatia-of-Alexandria"
call DELETE "/v1/subjects/$(jq -r '.subjects[0].id' <<<"$BODY")"
answers "she is erased" 200 '.scrubbed == true'
! grep -rqa 'Hypatia-of-Alexandria' "$TEST_TMP/data"
check "her name is in no file" $? "$(grep -rla 'Hypatia-of-Alexandria' "$TEST_TMP/data")"
before=$(faces)
once hypatia /v1/enroll -H "$JSON" -d "$(enrolling Somebody-Else 107)"
answers "the answer is gone, and nothing is done again" 410 '.code == "idempotency_key_erased"'
[ "$(faces)" = "$before" ]
check "the face that it enrolled is there once" $?
call DELETE "/v1/subjects/$ada"
once "key 1" /v1/enroll -H "$JSON" -d "$(enrolling ada 101)"
answers "who was erased is not enrolled again by a late copy of the request" 410 '.code == "idempotency_key_erased"'
"$ARCFACED" verify-erasure --data "$TEST_TMP/data" >"$TEST_TMP/said" 2>&1
check "verify-erasure finds nothing beside rows" $? "$(cat "$TEST_TMP/said")"

# ---- For a day ----------------------------------------------------------------------------------------------------------------
stop
check "stops cleanly" $?
start
once photo /v1/enroll -F subject=bush -F image=@"$ONE"
is_replay
check "after a restart the answer is there" $? "$STATUS $BODY"
stop
sqlite3 "$TEST_TMP/data/arcfaced.db" 'UPDATE replays SET at_ms = at_ms - 3600 * 1000 * 2'
start --idempotency-hours 1
forgotten() {
    [ "$(sqlite3 "file:$TEST_TMP/data/arcfaced.db?mode=ro" 'SELECT count(*) FROM replays')" = 0 ]
}
until_true 30 forgotten
check "after its time it is forgotten" $?
stop
