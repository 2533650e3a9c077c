#!/bin/bash
# 51_backup_merge.sh: a backup while others enroll, restored and compared; merging subjects and taking it back.
. "$(dirname "$0")/lib.bash"

# vector N: an embedding of 128 numbers, one direction for each N.
vector() {
    awk -v n="$1" 'BEGIN { srand(n); printf "["; for (i = 0; i < 128; i++) printf "%s%.4f", i ? "," : "", rand() - .5; printf "]" }'
}
enroll() {
    call POST "/v1/enroll" -H "$JSON" -d "{\"subject\":\"$1\",\"embedding\":$(vector "$2")}"
}
ended() {
    call GET "/v1/admin/jobs/$JOB"
    printf '%s' "$BODY" | jq -e '.state | IN("succeeded", "failed", "cancelled")' >/dev/null
}
subject_of() {
    call GET "/v1/subjects?name=$1"
    printf '%s' "$BODY" | jq -r '.subjects[0].id'
}
# who N: name and cosine of the best candidate.
who() {
    call POST /v1/identify -H "$JSON" -d "{\"embedding\":$(vector "$1"),\"top_k\":3}"
    printf '%s' "$BODY" | jq -c '[.faces[0].decision, [.faces[0].candidates[] | [.subject.name, .face_id, .cosine]]]'
}

start
for n in 1 2 3 4 5 6; do enroll "person-$n" "$n"; done
answers "six are enrolled" 201 '.subject.name == "person-6"'

# ---- merging ----
ada=$(subject_of person-1)
bob=$(subject_of person-2)
cyd=$(subject_of person-3)
call PATCH "/v1/subjects/$ada" -H "$JSON" -d '{"external_id":"E-1","metadata":{"team":"x"}}'
before=$(who 1; who 2; who 3)
call POST "/v1/subjects/$ada/merge" -H "$JSON" -d "{\"into\":\"$bob\"}"
answers "two become one" 200 ".id == \"$bob\" and .faces == 2"
call GET "/v1/subjects/$ada"
answers "the one that was merged is gone" 404 '.code == "no_such_subject"'
who 1 | jq -e '.[0] == "match" and .[1][0][0] == "person-2"' >/dev/null
check "its face is found under the other" $?
call POST "/v1/subjects/$bob/merge" -H "$JSON" -d "{\"into\":\"$cyd\"}"
answers "a chain of merges" 200 '.faces == 3'
call POST "/v1/subjects/$cyd/merge/undo"
answers "the last merge is taken back, with what was merged before it" 200 ".id == \"$bob\" and .faces == 2"
call POST "/v1/subjects/$bob/merge/undo"
answers "and so is the one before" 200 \
    ".id == \"$ada\" and .name == \"person-1\" and .external_id == \"E-1\" and .metadata.team == \"x\" and .faces == 1"
[ "$(who 1; who 2; who 3)" = "$before" ]
check "all answers are as they were" $?
call POST "/v1/subjects/$bob/merge/undo"
answers "nothing is left to take back" 409 '.code == "not_merged"'
call POST "/v1/subjects/$bob/merge" -H "$JSON" -d "{\"into\":\"$bob\"}"
answers "nobody is merged into itself" 422 '.code == "bad_option"'
call POST "/v1/subjects/$bob/merge" -H "$JSON" -d "{}"
answers "into is needed" 400 '.code == "missing_parameter"'
call PUT /v1/collections/elsewhere
call POST /v1/enroll -H "$JSON" -d "{\"subject\":\"zed\",\"collection\":\"elsewhere\",\"embedding\":$(vector 9)}"
zed=$(printf '%s' "$BODY" | jq -r .subject.id)
call POST "/v1/subjects/$bob/merge" -H "$JSON" -d "{\"into\":\"$zed\"}"
answers "not over the border of a collection" 409 '.code == "other_collection"'
call POST "/v1/subjects/$ada/merge" -H "$JSON" -d "{\"into\":\"$bob\"}"
enroll person-1 20
call POST "/v1/subjects/$bob/merge/undo"
answers "a name that was given away meanwhile stays given away" 409 '.code == "name_taken"'

# ---- backup ----
# One after the other, from before the backup until it is made; who was answered stands in the file late.
: >"$TEST_TMP/late"
(for n in $(seq 100 999); do
    [ ! -e "$TEST_TMP/enough" ] || break
    enroll "late-$n" "$n"
    [ "$STATUS" = 201 ] && echo "late-$n" >>"$TEST_TMP/late"
done) &
writer=$!
late_reaches() {
    [ "$(wc -l <"$TEST_TMP/late")" -ge "$1" ]
}
until_true 60 late_reaches 5
early=$(wc -l <"$TEST_TMP/late")
call POST /v1/admin/backup
answers "a backup is queued" 202 '.state == "queued"'
JOB=$(printf '%s' "$BODY" | jq -r .id)
until_true 30 ended
answers "and made while others enroll" 200 '.state == "succeeded" and .result.files >= 2 and .result.bytes > 0'
name=$(printf '%s' "$BODY" | jq -r .result.name)
until_true 60 late_reaches $(($(wc -l <"$TEST_TMP/late") + 5))
touch "$TEST_TMP/enough"
wait $writer
call GET /v1/admin/backups
answers "it is listed" 200 "[.backups[].name] == [\"$name\"]"
before=$(who 1; who 2; who 6)
call DELETE "/v1/subjects/$(subject_of person-4)"
answers "the receipt of an erasure names it" 200 ".backups == [\"$name\"]"
stop
check "stops cleanly" $?

"$ARCFACED" restore --from "$TEST_TMP/data/backups/$name" --data "$TEST_TMP/data" >"$TEST_TMP/said" 2>&1
[ $? -eq 1 ] && grep -q "not empty" "$TEST_TMP/said"
check "restore overwrites nothing" $? "$(cat "$TEST_TMP/said")"
cp -r "$TEST_TMP/data/backups/$name" "$TEST_TMP/damaged"
size=$(stat -c %s "$TEST_TMP/damaged/arcfaced.db")
printf 'X' | dd of="$TEST_TMP/damaged/arcfaced.db" bs=1 seek=$((size / 2)) conv=notrunc 2>/dev/null
"$ARCFACED" restore --from "$TEST_TMP/damaged" --data "$TEST_TMP/none" >"$TEST_TMP/said" 2>&1
[ $? -eq 1 ] && grep -q "SHA-256" "$TEST_TMP/said" && [ ! -e "$TEST_TMP/none/arcfaced.db" ]
check "one flipped byte is found, and nothing restored" $? "$(cat "$TEST_TMP/said")"
"$ARCFACED" restore --from "$TEST_TMP/data/backups/$name" --data "$TEST_TMP/again" >"$TEST_TMP/said" 2>&1
check "restored" $? "$(cat "$TEST_TMP/said")"
grep -q "$name" "$TEST_TMP/said" && grep -q "verified" "$TEST_TMP/said"
check "it says what it restored" $? "$(cat "$TEST_TMP/said")"
"$ARCFACED" verify-erasure --data "$TEST_TMP/again" >"$TEST_TMP/said" 2>&1
[ $? -eq 0 ] && grep -q "good: arcfaced.db holds 0 bytes that belong to no row" "$TEST_TMP/said"
check "and nothing that belongs to no row" $? "$(cat "$TEST_TMP/said")"
mv "$TEST_TMP/data" "$TEST_TMP/old"
mv "$TEST_TMP/again" "$TEST_TMP/data"
start
[ "$(who 1; who 2; who 6)" = "$before" ]
check "the restored folder answers the same" $?
call GET "/v1/subjects?name=person-4"
answers "with who was erased after the backup" 200 '.subjects | length == 1'
call GET "/v1/subjects?limit=1000"
answers "who came beside the backup has one face" 200 \
    '.next_page_token == null and all(.subjects[] | select(.name | startswith("late-")); .faces == 1)'
printf '%s' "$BODY" | jq -r '.subjects[].name' | grep '^late-' | sort -t- -k2n >"$TEST_TMP/late.restored"
late=$(wc -l <"$TEST_TMP/late.restored")
head -n "$late" "$TEST_TMP/late" | cmp -s - "$TEST_TMP/late.restored"
check "of those who came beside the backup the first ones are in it, without a gap" $? "$(diff "$TEST_TMP/late" "$TEST_TMP/late.restored" | head -20)"
[ "$late" -ge "$early" ] && [ "$late" -lt "$(wc -l <"$TEST_TMP/late")" ]
check "all who were answered before it was asked for, and nobody who came after it was made" $? "$early, $late, $(wc -l <"$TEST_TMP/late")"
unknown=$(while read -r one; do
    who "${one#late-}" | jq -e --arg name "$one" '.[0] == "match" and .[1][0][0] == $name' >/dev/null || echo "$one"
done <"$TEST_TMP/late.restored")
check "each of them is found" "$([ -z "$unknown" ]; echo $?)" "$unknown"
stop
check "stops cleanly" $?

# ---- retention ----
start
call GET /v1/collections/default
model=$(printf '%s' "$BODY" | jq -r .model)
{
    echo "{\"type\":\"header\",\"format\":1,\"model\":\"$model\"}"
    for n in 1 2 3; do
        year=$([ "$n" = 3 ] && echo 2999 || echo 2001)
        echo "{\"type\":\"face\",\"subject\":{\"name\":\"aged-$n\"},\"enrolled_at\":\"$year-01-31T12:00:00.000Z\",\"embedding\":$(vector $((200 + n)))}"
    done
    echo '{"type":"end"}'
} >"$TEST_TMP/aged.ndjson"
call PUT "/v1/collections/aged" -H "$JSON" -d '{"retention_days":30}'
call POST "/v1/import?collection=aged" -T "$TEST_TMP/aged.ndjson"
JOB=$(printf '%s' "$BODY" | jq -r .id)
until_true 30 ended
answers "faces of another year are imported" 200 '.state == "succeeded" and .result.outcomes.enrolled == 3'
curl -s -m 60 -H "$AUTH" "$URL/v1/export?collection=aged" >"$TEST_TMP/aged.export"
jq -s -e '[.[].type] == ["header", "face", "face", "face", "end"]' "$TEST_TMP/aged.export" >/dev/null
check "and exported, without photo or crop" $?
{
    echo "{\"type\":\"header\",\"format\":1,\"model\":\"$model\"}"
    n=210
    for row in '"2001-01-31T12:00:00.123456+00:00"' '"2001-01-31"' '17' 'null'; do
        n=$((n + 1))
        echo "{\"type\":\"face\",\"subject\":{\"name\":\"times\"},\"enrolled_at\":$row,\"embedding\":$(vector $n)}"
    done
    echo "{\"type\":\"face\",\"subject\":{\"name\":\"listed\",\"metadata\":[1]},\"embedding\":$(vector 220)}"
    echo '{"type":"end"}'
} >"$TEST_TMP/times.ndjson"
call PUT "/v1/collections/times"
call POST "/v1/import?collection=times" -T "$TEST_TMP/times.ndjson"
JOB=$(printf '%s' "$BODY" | jq -r .id)
until_true 30 ended
answers "a time that cannot be read does not become now, nor a list metadata" 200 '.result.outcomes == {enrolled: 2, format: 2, bad_metadata: 1}'
curl -s -m 60 -H "$AUTH" "$URL/v1/export?collection=times" | jq -s -e '.[1].enrolled_at == "2001-01-31T12:00:00.123Z"' >/dev/null
check "one with microseconds and an offset is read" $?
stop
start
aged_is() {
    call GET /v1/collections/aged
    printf '%s' "$BODY" | jq -e ".faces == $1" >/dev/null
}
until_true 20 aged_is 1
check "what is too old is forgotten" $?
call GET "/v1/subjects?collection=aged"
answers "with the names" 200 '[.subjects[].name] == ["aged-3"]'
call GET "/v1/admin/audit?limit=1000"
answers "and it stands in the audit log" 200 \
    '[.entries[] | select(.action == "retention.delete") | .objects | [.faces, .subjects, .embeddings]] == [[2, 2, 2]]'
stop
check "stops cleanly" $?
for n in 1 2 3; do
    jq -c "select(.subject.name == \"aged-$n\")" "$TEST_TMP/aged.export" >"$TEST_TMP/aged-$n.ndjson"
done
"$ARCFACED" verify-erasure --data "$TEST_TMP/data" "$TEST_TMP/aged-1.ndjson" "$TEST_TMP/aged-2.ndjson" >"$TEST_TMP/said" 2>&1
check "and what was too old is in no file" $? "$(cat "$TEST_TMP/said")"
"$ARCFACED" verify-erasure --data "$TEST_TMP/data" "$TEST_TMP/aged-3.ndjson" >"$TEST_TMP/said" 2>&1
[ $? -eq 1 ] && grep -q FOUND "$TEST_TMP/said"
check "but what may stay is" $? "$(cat "$TEST_TMP/said")"
