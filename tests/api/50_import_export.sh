#!/bin/bash
# 50_import_export.sh: an archive of people comes in, is killed in the middle, goes on, and goes out again as lines.
. "$(dirname "$0")/lib.bash"

LFW=$FACES/lfw/images

# Without it, the people whom the project made, each on a large picture, so that the program's own networks take a while and the import
# can be killed in its middle.
if [ ${#NETWORKS_GIVEN[@]} -eq 0 ] || [ ! -d "$LFW" ]; then
    LFW=$TEST_TMP/made
    /usr/bin/python3 - "$REPOSITORY/tests/photos" "$LFW" <<'PYTHON'
import os, re, sys
from PIL import Image
for name in sorted(os.listdir(sys.argv[1])):
    person = re.fullmatch(r'([a-z]+)-[123]\.(jpg|png|webp)', name)
    if person:
        os.makedirs(sys.argv[2] + '/' + person[1], exist_ok=True)
        photo = Image.new('RGB', (1200, 1200), 'grey')
        photo.paste(Image.open(sys.argv[1] + '/' + name), (544, 544))
        photo.save('%s/%s/%s.jpg' % (sys.argv[2], person[1], name.split('.')[0]), quality=92)
PYTHON
    NETWORKS_GIVEN+=(--detect-side 1280)
fi

# twenty people with two to four photos each
mapfile -t people < <(find "$LFW" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort | while read -r name; do
    n=$(find "$LFW/$name" -name '*.jpg' | wc -l)
    [ "$n" -ge 2 ] && [ "$n" -le 4 ] && echo "$name"
done | head -20)
tar -C "$LFW" -czf "$TEST_TMP/people.tar.gz" "${people[@]}"
(cd "$LFW" && /usr/bin/python3 -m zipfile -c "$TEST_TMP/people.zip" "${people[@]}")
photos=$(tar -tzf "$TEST_TMP/people.tar.gz" | grep -c '\.jpg$')

# job_of PATH FILE: sends a file, sets JOB.
job_of() {
    call POST "$1" -T "$2"
    JOB=$(printf '%s' "$BODY" | jq -r .id)
}

# ended: the job has ended.
ended() {
    call GET "/v1/admin/jobs/$JOB"
    printf '%s' "$BODY" | jq -e '.state | IN("succeeded", "failed", "cancelled")' >/dev/null
}

# enrolled_reaches COLLECTION N
enrolled_reaches() {
    call GET "/v1/collections/$1"
    printf '%s' "$BODY" | jq -e ".faces >= $2" >/dev/null
}

# ---- killed in the middle ----
# killed_and_resumed ARCHIVE COLLECTION: sets enrolled.
killed_and_resumed() {
    call PUT "/v1/collections/$2"
    answers "a collection is made" 201 '.faces == 0'
    job_of "/v1/import?collection=$2&faces=largest" "$TEST_TMP/$1"
    answers "an import of $1 is queued" 202 '.id > 0 and .state == "queued"'
    until_true 60 enrolled_reaches "$2" 5
    check "some are enrolled already" $?
    kill -KILL "$PID"
    wait "$PID" 2>/dev/null
    PID=
    start
    until_true 120 ended
    answers "the import goes on after kill -9 and succeeds" 200 ".state == \"succeeded\" and .attempts == 2"
    outcomes=$(printf '%s' "$BODY" | jq '[.result.outcomes[]] | add')
    [ "$outcomes" = "$photos" ]
    check "every photo has one outcome" $? "$outcomes of $photos"
    enrolled=$(printf '%s' "$BODY" | jq '.result.outcomes.enrolled')
    call GET "/v1/collections/$2"
    answers "nothing is enrolled twice" 200 ".faces == $enrolled and .subjects <= 20"
    [ "$enrolled" -ge $((photos * 9 / 10)) ]
    check "nearly all are enrolled" $? "$enrolled of $photos"
    call GET "/v1/admin/jobs/$JOB/items?limit=1000"
    answers "its items are listed" 200 \
        "(.items | length) == $photos and ([.items[].number] | unique | length) == $photos and all(.items[]; .name != \"\")"
    [ -z "$(find "$TEST_TMP/data/imports" "$TEST_TMP/data/uploads" -type f)" ]
    check "no file is left behind" $?
}
start
killed_and_resumed people.zip zipped
of_zip=$enrolled
killed_and_resumed people.tar.gz people
check "as many of the one as of the other" "$([ "$of_zip" = "$enrolled" ]; echo $?)" "$of_zip, $enrolled"

# ---- the same again ----
job_of "/v1/import?collection=people&faces=largest&on_duplicate=reject" "$TEST_TMP/people.tar.gz"
until_true 120 ended
answers "with on_duplicate=reject the same archive enrolls nobody" 200 \
    ".state == \"succeeded\" and .result.outcomes.duplicate == $enrolled and (.result.outcomes | has(\"enrolled\") | not)"
name=${people[0]}
photo=$(find "$LFW/$name" -name '*.jpg' | sort | head -1)
call POST "/v1/enroll?collection=people&subject=$name&faces=largest&on_duplicate=reject" -H "$JPEG" --data-binary "@$photo"
answers "enroll refuses a duplicate" 409 '.code == "duplicate"'

# ---- the same face under two names ----
call PUT /v1/collections/names
call POST "/v1/enroll?collection=names&subject=first&faces=largest" -H "$JPEG" --data-binary "@$photo"
answers "a face that nobody has is told to be nobody's" 201 '[.faces[].also] == [[]]'
first=$(printf '%s' "$BODY" | jq -r .subject.id)
call POST "/v1/enroll?collection=names&subject=second&faces=largest&on_duplicate=reject_any" -H "$JPEG" --data-binary "@$photo"
answers "reject_any refuses what another has, and names whom" 409 ".code == \"duplicate\" and (.detail | contains(\"$first\"))"
call GET "/v1/subjects?collection=names"
answers "nothing of it is enrolled" 200 '[.subjects[].name] == ["first"]'
call POST "/v1/enroll?collection=names&subject=second&faces=largest" -H "$JPEG" --data-binary "@$photo"
answers "enroll says who has the face already" 201 '.faces[0].also | length == 1 and .[0].subject.name == "first" and .[0].same_photo and .[0].cosine > 0.99'
call POST /v1/embed -H "$JPEG" --data-binary "@$photo"
embedding=$(printf '%s' "$BODY" | jq -c '.faces[0].embedding')
call POST "/v1/enroll?collection=names" -H "$JSON" -d "{\"subject\":\"third\",\"embedding\":$embedding}"
answers "of an embedding too" 201 '.faces[0].also | length == 2 and (map(.subject.name) | sort) == ["first", "second"] and all(.[]; .same_photo | not)'
call POST /v1/admin/keys -H "$JSON" -d '{"name":"only enrolls","scopes":["enroll"]}'
AUTH_BEFORE=$AUTH
AUTH="Authorization: Bearer $(printf '%s' "$BODY" | jq -r .secret)"
call POST "/v1/enroll?collection=names" -H "$JSON" -d "{\"subject\":\"fourth\",\"embedding\":$embedding}"
answers "a key that may not identify does not learn it" 201 '.faces[0].also == null'
call POST "/v1/enroll?collection=names" -H "$JSON" -d "{\"subject\":\"fifth\",\"embedding\":$embedding,\"on_duplicate\":\"reject_any\"}"
answers "nor by a refusal" 403 '.code == "missing_scope"'
AUTH=$AUTH_BEFORE
mkdir -p "$TEST_TMP/twice/one" "$TEST_TMP/twice/two"
cp "$photo" "$TEST_TMP/twice/one/a.jpg"
cp "$photo" "$TEST_TMP/twice/two/b.jpg"
tar -C "$TEST_TMP/twice" -cf "$TEST_TMP/twice.tar" one two
job_of "/v1/import?collection=names&faces=largest" "$TEST_TMP/twice.tar"
until_true 60 ended
answers "an import enrolls both and counts them" 200 '.state == "succeeded" and .result == {"outcomes": {"enrolled": 2}, "also": 2}'
call GET "/v1/admin/jobs/$JOB/items"
answers "its items say who has the face" 200 'all(.items[]; (.also | length >= 4) and (.also[0].cosine > 0.99) and any(.also[]; .subject.name == "first"))'
job_of "/v1/import?collection=names&faces=largest&on_duplicate=reject_any" "$TEST_TMP/twice.tar"
until_true 60 ended
answers "with reject_any it enrolls nobody" 200 '.state == "succeeded" and .result == {"outcomes": {"duplicate": 2}, "also": 0}'
call DELETE /v1/subjects/$first
call GET "/v1/admin/jobs/$((JOB - 1))/items"
answers "who is erased is named no more" 200 'all(.items[]; all(.also[]; .subject.name != "first"))'

# ---- out and in again ----
identify_all() {
    local name photo
    for name in "${people[@]:0:8}"; do
        photo=$(find "$LFW/$name" -name '*.jpg' | sort | tail -1)
        call POST "/v1/identify?collection=$1&top_k=5&faces=largest" -H "$JPEG" --data-binary "@$photo"
        printf '%s' "$BODY" | jq -c '[.faces[] | [.decision, [.candidates[] | [.subject.name, .cosine]]]]'
    done
}
identify_all people >"$TEST_TMP/before"
curl -s -m 60 -H "$AUTH" "$URL/v1/export?collection=people&crops=true" >"$TEST_TMP/people.ndjson"
[ "$(grep -c '"type":"face"' "$TEST_TMP/people.ndjson")" = "$enrolled" ] && tail -1 "$TEST_TMP/people.ndjson" | jq -e ".type == \"end\" and .faces == $enrolled" >/dev/null
check "the export holds every face and its end" $?
call PUT /v1/collections/copy
job_of "/v1/import?collection=copy" "$TEST_TMP/people.ndjson"
until_true 60 ended
answers "the lines are imported" 200 ".state == \"succeeded\" and .result.outcomes.enrolled == $enrolled"
identify_all copy >"$TEST_TMP/after"
cmp -s "$TEST_TMP/before" "$TEST_TMP/after" && [ "$(grep -c match "$TEST_TMP/before")" = 8 ]
check "the copy answers the same, to the last digit" $? "$(diff "$TEST_TMP/before" "$TEST_TMP/after")"
curl -s -m 60 -H "$AUTH" "$URL/v1/export?collection=copy&crops=true" >"$TEST_TMP/copy.ndjson"
facts='select(.type == "face") | [.subject.name, .embedding, .crop, .box, .landmarks, .photo, .enrolled_at, .quality]'
diff -q <(jq -c "$facts" "$TEST_TMP/people.ndjson" | sort) <(jq -c "$facts" "$TEST_TMP/copy.ndjson" | sort) >/dev/null
check "exporting the copy gives the same faces" $?

# ---- packed lines ----
gzip -9 -k "$TEST_TMP/people.ndjson"
call PUT /v1/collections/packed
job_of "/v1/import?collection=packed" "$TEST_TMP/people.ndjson.gz"
until_true 60 ended
answers "lines packed by gzip are imported" 200 ".state == \"succeeded\" and .result.outcomes.enrolled == $enrolled"
answers "its progress is counted in bytes of the file" 200 ".progress.total == $(stat -c %s "$TEST_TMP/people.ndjson.gz") and .progress.done == .progress.total"
identify_all packed >"$TEST_TMP/packed"
cmp -s "$TEST_TMP/before" "$TEST_TMP/packed"
check "and answer the same" $? "$(diff "$TEST_TMP/before" "$TEST_TMP/packed")"

# ---- what is refused ----
head -c 20000 "$TEST_TMP/people.ndjson" >"$TEST_TMP/cut.ndjson"
sed '1s/"model":"[0-9a-f]*/&0/; 1s/"model":"./"model":"/' "$TEST_TMP/people.ndjson" >"$TEST_TMP/other.ndjson"
head -c $(($(stat -c %s "$TEST_TMP/people.tar.gz") / 2)) "$TEST_TMP/people.tar.gz" >"$TEST_TMP/cut.tar.gz"
echo "hello" >"$TEST_TMP/text"
head -c $(($(stat -c %s "$TEST_TMP/people.ndjson.gz") / 2)) "$TEST_TMP/people.ndjson.gz" >"$TEST_TMP/cut.ndjson.gz"
{ head -1 "$TEST_TMP/people.ndjson"; head -c 300M /dev/zero | tr '\0' ' ' | fold -w 3000000; } | gzip -9 >"$TEST_TMP/bomb.ndjson.gz"
{ head -1 "$TEST_TMP/people.ndjson"; head -c 8M /dev/zero | tr '\0' ' '; } | gzip -9 >"$TEST_TMP/long.ndjson.gz"
gzip -c "$TEST_TMP/text" >"$TEST_TMP/text.gz"
for row in 'cut.ndjson.gz|.error.code == "format" and (.error.sentence | contains("damaged"))' \
    'bomb.ndjson.gz|.error.code == "limit" and (.error.sentence | contains("times its size"))' \
    'long.ndjson.gz|.error.code == "limit" and (.error.sentence | contains("line 2 is longer than"))' \
    'text.gz|.error.code == "unsupported"' \
    'cut.ndjson|.error.code == "format" and (.error.sentence | contains("cut off"))' \
    'other.ndjson|.error.code == "conflict" and (.error.sentence | contains("the collection uses"))' \
    'cut.tar.gz|.error.code == "format" and (.error.sentence | contains("damaged"))' \
    'text|.error.code == "unsupported"'; do
    call PUT /v1/collections/refused
    job_of "/v1/import?collection=refused" "$TEST_TMP/${row%%|*}"
    until_true 60 ended
    answers "refused in words: ${row%%|*}" 200 ".state == \"failed\" and (${row#*|})"
done
call POST "/v1/import?collection=nobody" -T "$TEST_TMP/text"
answers "no such collection" 404 '.code == "no_such_collection"'
[ -z "$(find "$TEST_TMP/data/imports" "$TEST_TMP/data/uploads" -type f)" ]
check "no file is left behind" $?

# ---- hostile archives ----
python3 - "$TEST_TMP" "$photo" <<'PYTHON'
import gzip, io, sys, tarfile, zipfile
folder, photo = sys.argv[1], open(sys.argv[2], 'rb').read()
def entry(name, kind=tarfile.REGTYPE, data=b'', link=''):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(data), link
    return info, io.BytesIO(data)
with tarfile.open(folder + '/paths.tar', 'w', format=tarfile.PAX_FORMAT) as tar:
    for info, data in (entry('../../climbs/a.jpg', data=photo), entry('/etc/passwd', data=photo),
                       entry('anna/../../x.jpg', data=photo), entry('anna\\x.jpg', data=photo),
                       entry('anna/link.jpg', tarfile.SYMTYPE, link='/etc/passwd'),
                       entry('anna/hard.jpg', tarfile.LNKTYPE, link='anna/good.jpg'),
                       entry('anna/device', tarfile.CHRTYPE), entry('anna/pipe', tarfile.FIFOTYPE),
                       entry('nofolder.jpg', data=photo), entry('anna/empty.jpg'), entry('anna/text.jpg', data=b'hello'),
                       entry('anna/long.jpg', data=b'\0' * (17 << 20)), entry('a\nb/x.jpg', data=photo),
                       entry('anna/good.jpg', data=photo)):
        tar.addfile(info, data)
with gzip.open(folder + '/bomb.tar.gz', 'wb', 9) as out:
    info = tarfile.TarInfo('anna/a.jpg')
    info.size = 1 << 30
    out.write(info.tobuf())
    for _ in range(1 << 10):
        out.write(b'\0' * (1 << 20))
with zipfile.ZipFile(folder + '/bomb.zip', 'w', zipfile.ZIP_DEFLATED) as out:
    for i in range(20):
        out.writestr('anna/%d.jpg' % i, b'\0' * (15 << 20))
with zipfile.ZipFile(folder + '/good.zip', 'w') as out:
    out.writestr('top/anna/', b'')
    out.writestr('top/anna/a.jpg', photo)
    out.writestr('top/bert/.DS_Store', b'x')
with gzip.open(folder + '/empties.tar.gz', 'wb', 1) as out:
    header = tarfile.TarInfo('anna/a').tobuf()
    for _ in range(20):
        out.write(header * 1000)
    out.write(b'\0' * 1024)
PYTHON
call PUT /v1/collections/hostile
job_of "/v1/import?collection=hostile&faces=largest" "$TEST_TMP/paths.tar"
until_true 60 ended
answers "of a hostile tar only the good photo is enrolled" 200 '.state == "succeeded" and .result.outcomes == {
    "bad_path": 4, "link": 2, "special_file": 2, "no_folder": 1, "empty": 1, "not_an_image": 1, "too_large": 1,
    "bad_name": 1, "enrolled": 1}'
[ ! -e "$TEST_TMP/climbs" ] && [ -z "$(find "$TEST_TMP/data" -newer "$TEST_TMP/paths.tar" -name '*.jpg')" ]
check "no file came out of it" $?
for bomb in bomb.tar.gz bomb.zip; do
    job_of "/v1/import?collection=hostile" "$TEST_TMP/$bomb"
    until_true 60 ended
    answers "$bomb is refused" 200 '.state == "failed" and .error.code == "limit" and (.error.sentence | contains("times its size"))'
done
job_of "/v1/import?collection=hostile" "$TEST_TMP/good.zip"
until_true 60 ended
answers "a zip is read, its hidden files are passed over" 200 '.state == "succeeded" and .result.outcomes == {"enrolled": 1}'
job_of "/v1/import?collection=hostile" "$TEST_TMP/empties.tar.gz"
until_true 60 ended
answers "thousands of empty files are counted" 200 '.state == "succeeded" and .result.outcomes.empty == 20000'
call GET /healthz
answers "the daemon still answers" 200 '.status == "ok"'
stop
check "stops cleanly" $?
