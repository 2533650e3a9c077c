#!/bin/bash
# 52_erasure.sh: what is deleted is in no file any more: grep says so, and `arcfaced verify-erasure`, which finds it where it is.
. "$(dirname "$0")/lib.bash"

# bytes OFFSET COUNT FILE: as an extended pattern for grep.
pattern() {
    tail -c +$(($1 + 1)) "$3" | head -c "$2" | od -An -v -tx1 | tr -d ' \n' | sed 's/../\\x&/g'
}
# holds FILE-OR-FOLDER PATTERN: some file of it has these bytes.
holds() {
    LC_ALL=C grep -rqaP "$2" "$1"
}
vector() {
    awk -v n="$1" 'BEGIN { srand(n); printf "["; for (i = 0; i < 128; i++) printf "%s%.4f", i ? "," : "", rand() - .5; printf "]" }'
}
subject_of() {
    call GET "/v1/subjects?name=$1"
    printf '%s' "$BODY" | jq -r '.subjects[0].id'
}
# export_of NAME: the lines of a subject's faces, before they are erased.
export_of() {
    curl -s -m 60 -H "$AUTH" "$URL/v1/export?crops=true" | jq -c "select(.subject.name == \"$1\")"
}
# vector_bytes FILE.ndjson: the first line's embedding as the little-endian floats that are stored.
vector_bytes() {
    head -n 1 "$1" | /usr/bin/python3 -c 'import json,struct,sys; v=json.load(sys.stdin)["embedding"]; sys.stdout.buffer.write(struct.pack("<%df" % len(v), *v))'
}
data=$TEST_TMP/data

start
for n in $(seq 40); do
    call POST /v1/enroll -H "$JSON" -d "{\"subject\":\"crowd-$((n % 9))\",\"embedding\":$(vector "$n")}"
done
call PATCH /v1/collections/default -H "$JSON" -d '{"keep":"photo"}'
for photo in "$ONE" "$ONE2"; do
    call POST "/v1/enroll?subject=bush" -H "$JPEG" --data-binary @"$photo"
done
answers "two photos of one person, kept whole" 201 '.created == false and (.faces | length) == 1'
call POST "/v1/enroll?subject=powell" -H "$JPEG" --data-binary @"$OTHER"
answers "and one of another" 201 .created
face=$(printf '%s' "$BODY" | jq -r '.faces[0].id')

export_of bush >"$TEST_TMP/bush.ndjson"
export_of powell >"$TEST_TMP/powell.ndjson"
head -n 1 "$TEST_TMP/bush.ndjson" | jq -r .crop | base64 -d >"$TEST_TMP/crop.webp"
vector_bytes "$TEST_TMP/bush.ndjson" >"$TEST_TMP/vector"
v1=$(pattern 0 24 "$TEST_TMP/vector")
v2=$(pattern 300 24 "$TEST_TMP/vector")
c1=$(pattern 4000 24 "$TEST_TMP/crop.webp")
p1=$(pattern 5000 24 "$ONE") # bytes without a line feed, which grep stops at
holds "$data" "$v1" && holds "$data" "$v2" && holds "$data" "$c1" && holds "$data" "$p1"
check "grep finds vector, crop and photo while they are enrolled" $?
"$ARCFACED" verify-erasure --data "$data" "$TEST_TMP/bush.ndjson" "$TEST_TMP/crop.webp" "$ONE" >"$TEST_TMP/said" 2>&1
[ $? -eq 1 ] && grep -q 'FOUND: arcfaced.db' "$TEST_TMP/said" && grep -q 'crop.webp' "$TEST_TMP/said" && grep -q "$(basename "$ONE")" "$TEST_TMP/said"
check "and so does verify-erasure, beside the daemon" $? "$(cat "$TEST_TMP/said")"

# ---- A subject, with everything of it ----
bush=$(subject_of bush)
call DELETE "/v1/subjects/$bush"
answers "the receipt" 200 '.scrubbed == true and .deleted == {subjects: 1, faces: 2, embeddings: 2, crops: 2, photos: 2} and .backups == [] and .trainings == []'
audit_id=$(printf '%s' "$BODY" | jq -r .audit_id)
audit_hash=$(printf '%s' "$BODY" | jq -r .audit_hash)
for name in v1 v2 c1 p1; do
    ! holds "$data" "${!name}"
    check "the moment it is answered no file holds $name" $?
done
check "the log is empty" "$(stat -c %s "$data/arcfaced.db-wal")"
"$ARCFACED" verify-erasure --data "$data" "$TEST_TMP/bush.ndjson" "$TEST_TMP/crop.webp" "$ONE" "$ONE2" >"$TEST_TMP/said" 2>&1
check "verify-erasure finds nothing" $? "$(cat "$TEST_TMP/said")"
"$ARCFACED" verify-erasure --data "$data" "$TEST_TMP/powell.ndjson" >"$TEST_TMP/said" 2>&1
check "but it finds who is still there" "$([ $? -eq 1 ]; echo $?)" "$(cat "$TEST_TMP/said")"
call GET "/v1/admin/audit?limit=1000"
answers "the audit log has the receipt, by ids alone" 200 \
    "any(.entries[]; .id == $audit_id and .hash == \"$audit_hash\" and .action == \"subject.delete\" and .objects.subject == \"$bush\") and (tostring | test(\"bush\") | not)"

# ---- One face of a photo that shows others ----
call POST "/v1/enroll?subject=crowd&faces=all&quality=none" -H "$JPEG" --data-binary @"$GROUP"
answers "six of one photo" 201 '(.faces | length) == 6'
sixth=$(printf '%s' "$BODY" | jq -r '.faces[5].id')
call DELETE "/v1/faces/$sixth"
answers "the receipt says that the photo stays, which shows it" 200 '.deleted == {subjects: 0, faces: 1, embeddings: 1, crops: 1, photos: 0} and .photos_kept == 1'
call DELETE "/v1/subjects/$(subject_of crowd)"
answers "it goes with the last of them" 200 '.deleted.faces == 5 and .deleted.photos == 1 and .photos_kept == 0'
"$ARCFACED" verify-erasure --data "$data" "$GROUP" >"$TEST_TMP/said" 2>&1
check "and is in no file" $? "$(cat "$TEST_TMP/said")"

# ---- A face, with a backup from before ----
call POST /v1/admin/backup
JOB=$(printf '%s' "$BODY" | jq -r .id)
ended() {
    call GET "/v1/admin/jobs/$JOB"
    printf '%s' "$BODY" | jq -e '.state == "succeeded"' >/dev/null
}
until_true 120 ended
backup=$(printf '%s' "$BODY" | jq -r .result.name)
call DELETE "/v1/faces/$face"
answers "the receipt of a face names the backup that still holds it" 200 ".scrubbed and .backups == [\"$backup\"] and .deleted.faces == 1"
"$ARCFACED" verify-erasure --data "$data" "$TEST_TMP/powell.ndjson" "$OTHER" >"$TEST_TMP/said" 2>&1
[ $? -eq 0 ] && grep -q "in a backup: backups/$backup/arcfaced.db" "$TEST_TMP/said" && ! grep -q FOUND "$TEST_TMP/said"
check "verify-erasure says so, and finds it nowhere else" $? "$(cat "$TEST_TMP/said")"

call POST /v1/enroll -H "$JSON" -d "{\"subject\":\"newcomer\",\"embedding\":$(vector 77)}"
call DELETE "/v1/subjects/$(subject_of newcomer)"
answers "of who came after it the receipt names no backup" 200 '.scrubbed and .backups == [] and .deleted.faces == 1'
mkdir "$data/backups/damaged"
echo "not a database, and of no use to anybody" >"$data/backups/damaged/arcfaced.db"
call POST /v1/enroll -H "$JSON" -d "{\"subject\":\"newcomer\",\"embedding\":$(vector 78)}"
call DELETE "/v1/subjects/$(subject_of newcomer)"
answers "but one that nobody can read it does" 200 '.backups == ["damaged"]'
rm -r "$data/backups/damaged"

# ---- A file of people that waits to be taken in ----
call POST /v1/admin/generate -H "$JSON" -d '{"subject":"crowd-2","count":16,"steps":100000,"seconds":86400}'
blocker=$(printf '%s' "$BODY" | jq -r .id)
mkdir -p "$TEST_TMP/people/waiting" "$TEST_TMP/people/another"
cp "$ONE" "$TEST_TMP/people/waiting"
echo "no photo" | tee "$TEST_TMP/people/waiting/passport.jpg" >"$TEST_TMP/people/another/text.jpg"
tar -C "$TEST_TMP/people" -cf "$TEST_TMP/people.tar" waiting another
call POST /v1/import -T "$TEST_TMP/people.tar"
JOB=$(printf '%s' "$BODY" | jq -r .id)
call DELETE "/v1/subjects/$(subject_of crowd-3)"
answers "the receipt names the imports that may bring somebody back" 200 ".scrubbed and .imports == [$JOB]"
call POST "/v1/admin/jobs/$blocker/cancel"
until_true 120 ended
call DELETE "/v1/subjects/$(subject_of waiting)"
answers "and none when all have ended" 200 '.deleted.faces == 1 and .imports == []'
call GET "/v1/admin/jobs/$JOB/items"
answers "the import does not say what was refused of who is erased" 200 \
    '[.items[].outcome] == ["erased", "erased", "not_an_image"] and [.items[] | .name, .sentence] [0:4] == ["", "", "", ""] and .items[2].name == "another/text.jpg"'
! holds "$data/arcfaced.db" 'waiting/passport'
check "nor does the file" $?

# ---- A long read keeps the log: many deletions while others search and enroll ----
(for i in $(seq 60); do
    curl -s -m 20 -o /dev/null -H "$AUTH" -H "$JSON" -d "{\"embedding\":$(vector $i)}" "$URL/v1/identify"
    curl -s -m 20 -o /dev/null -H "$AUTH" "$URL/v1/export"
done) &
others=$!
export_of crowd-1 >"$TEST_TMP/crowd.ndjson"
call DELETE "/v1/subjects/$(subject_of crowd-1)"
answers "deleting while others read" 200 .scrubbed
"$ARCFACED" verify-erasure --data "$data" "$TEST_TMP/crowd.ndjson" >"$TEST_TMP/said" 2>&1
[ $? -eq 0 ] && grep -q "in a backup" "$TEST_TMP/said"
check "nothing is left either" $? "$(cat "$TEST_TMP/said")"
wait $others
stop
check "stops cleanly" $?
"$ARCFACED" verify-erasure --data "$data" >"$TEST_TMP/said" 2>&1
[ $? -eq 0 ] && grep -q "good: arcfaced.db holds 0 bytes that belong to no row" "$TEST_TMP/said"
check "without a daemon it also looks at the unused space" $? "$(cat "$TEST_TMP/said")"
"$ARCFACED" verify-erasure --data "$data" "$TEST_TMP/none.ndjson" >"$TEST_TMP/said" 2>&1
check "a file that is not there is said" "$([ $? -eq 1 ]; echo $?)" "$(cat "$TEST_TMP/said")"
