#!/usr/bin/env bash
# 61_generate.sh: pictures of a person over HTTP and from the command line: made, looked at, audited, erased with the person.
. tests/api/lib.bash
Y1=$MODELS/mobilefacenet_y1_128.onnx
NORMS=50
CROPS=$FACES/celeb_112
if [ ! -f "$Y1" ] || [ ! -d "$CROPS" ]; then # the program's own recogniser has kept its BatchNormalizations
    Y1=$REPOSITORY/core/models/recognizer.onnx
    NORMS=13
    CROPS=$TEST_TMP/crops
    for person in alice bob; do
        mkdir -p "$CROPS/$person"
        cp "$REPOSITORY/tests/photos/$person"-*.jpg "$CROPS/$person"
    done
fi

ended() {
    call GET "/v1/admin/jobs/$1"
    case $(printf '%s' "$BODY" | jq -r .state) in succeeded | failed | cancelled) ;; *) return 1 ;; esac
}

# generate BODY: queues; sets JOB.
generate() {
    call POST /v1/admin/generate -H "$JSON" -d "$1"
    JOB=$(printf '%s' "$BODY" | jq -r .id)
}

# picture JOB NUMBER: into the file picture.
picture() {
    STATUS=$(curl -s -o "$TEST_TMP/picture" -w '%{http_code}' -H "$AUTH" "$URL/v1/admin/jobs/$1/picture?number=$2")
}
is_png() {
    [ "$STATUS" = 200 ] && [ "$(head -c 8 "$TEST_TMP/picture" | od -An -tx1 | tr -d ' \n')" = 89504e470d0a1a0a ]
}

start --recognizer "$Y1"
for person in $(ls "$CROPS" | sort -n | head -n 2); do
    for photo in $(ls "$CROPS/$person" | head -n 3); do
        call POST "/v1/enroll?subject=$person&aligned=true" -H "$JPEG" --data-binary "@$CROPS/$person/$photo"
    done
done
ADA=$(ls "$CROPS" | sort -n | head -n 1)

# ---- Refused -----------------------------------------------------------------------------------------------------------------
generate '{}'
answers "somebody must be named" 400 '.code == "missing_parameter"'
generate '{"subject": "nobody here"}'
answers "a stranger is not found" 404 '.code == "no_such_subject"'
generate "{\"subject\": \"$ADA\", \"embedding\": [1, 2]}"
answers "a subject and an embedding are one too many" 400 '.code == "bad_parameter"'
generate '{"embedding": [1, 2, 3]}'
answers "an embedding of another length is refused" 422 '.code == "wrong_dimension" and (.detail | contains("128"))'
generate "{\"subject\": \"$ADA\", \"count\": 17}"
answers "17 pictures are too many" 400 '.code == "bad_parameter"'
call POST /v1/admin/keys -H "$JSON" -d '{"name": "door", "scopes": ["identify", "images"]}'
DOOR=$(printf '%s' "$BODY" | jq -r .secret)
STATUS=$(curl -s -o "$TEST_TMP/body" -w '%{http_code}' -H "Authorization: Bearer $DOOR" -H "$JSON" \
    -d "{\"subject\": \"$ADA\"}" "$URL/v1/admin/generate")
check "only admins make pictures" "$([ "$STATUS" = 403 ]; echo $?)" "$STATUS"

# ---- Made --------------------------------------------------------------------------------------------------------------------
generate "{\"subject\": \"$ADA\", \"count\": 2, \"steps\": 2}"
answers "a job is queued" 202 '.kind == "generate"'
until_true 400 ended "$JOB"
answers "it succeeds with two pictures" 200 \
    '.state == "succeeded" and (.result.pictures | length) == 2 and '".result.batch_norms == $NORMS"' and (.result.prior | contains("'"statistics of $NORMS"'")) and .result.subject != null and (.result.pictures | all(.cosine > -1 and .cosine <= 1))'
check "the job's row says not whose" "$(printf '%s' "$BODY" | jq -e '.arguments | tostring | contains("subject") | not' >/dev/null; echo $?)" "$BODY"
picture "$JOB" 1
check "the first is a PNG" "$(is_png; echo $?)" "$STATUS"
cp "$TEST_TMP/picture" "$TEST_TMP/first"
picture "$JOB" 2
check "the second is another one" "$(is_png && ! cmp -s "$TEST_TMP/picture" "$TEST_TMP/first"; echo $?)" "$STATUS"
picture "$JOB" 3
check "there is no third" "$([ "$STATUS" = 404 ] && jq -e '.code == "not_found" and (.detail | contains("picture"))' "$TEST_TMP/picture" >/dev/null; echo $?)" "$STATUS $(cat "$TEST_TMP/picture")"
FIRST=$JOB

generate "{\"subject\": \"$ADA\", \"count\": 2, \"steps\": 2}"
until_true 400 ended "$JOB"
picture "$JOB" 1
check "the same seed makes the same picture" "$(cmp -s "$TEST_TMP/picture" "$TEST_TMP/first"; echo $?)" "$STATUS"

VECTOR=$(awk 'BEGIN { for (i = 0; i < 128; i++) printf "%s%.4f", i ? "," : "", sin(i * i) }')
ANOTHER=$(awk 'BEGIN { for (i = 0; i < 128; i++) printf "%s%.4f", i ? "," : "", cos(i * i * i) }')
generate "{\"embedding\": [$VECTOR], \"count\": 1, \"steps\": 2}"
until_true 400 ended "$JOB"
answers "an embedding of nobody's is one, too" 200 '.state == "succeeded" and .result.subject == null'
check "the vector is not in the job" "$(printf '%s' "$BODY" | grep -q '0.8415'; [ $? = 1 ]; echo $?)" "$BODY"
GIVEN=$JOB

# Two people under one name, three faces and two: the picture is of the one with three.
for vector in "$ANOTHER" "$VECTOR" "$VECTOR" "$ANOTHER" "$VECTOR"; do
    call POST /v1/enroll -H "$JSON" -d "{\"subject\": \"two\", \"embedding\": [$vector]}"
done
generate '{"subject": "two", "count": 1, "steps": 2}'
until_true 400 ended "$JOB"
picture "$JOB" 1
cp "$TEST_TMP/picture" "$TEST_TMP/of-two"
picture "$GIVEN" 1
cp "$TEST_TMP/picture" "$TEST_TMP/of-three"
generate "{\"embedding\": [$ANOTHER], \"count\": 1, \"steps\": 2}"
until_true 400 ended "$JOB"
picture "$JOB" 1
/usr/bin/python3 - "$TEST_TMP" <<'PYTHON' >"$TEST_TMP/said" 2>&1
import sys
from PIL import Image, ImageChops
def pixels(name):
    return Image.open(sys.argv[1] + '/' + name).convert('RGB')
def farthest(a, b):
    return max(top for _, top in ImageChops.difference(a, b).getextrema())
same, other = (farthest(pixels('of-two'), pixels(name)) for name in ('of-three', 'picture'))
print('levels from the larger group\'s picture:', same, ', from the smaller one\'s:', other)
sys.exit(not same <= 2 < 20 < other)
PYTHON
check "of a subject with two groups the larger one is made" $? "$(cat "$TEST_TMP/said")"

generate "{\"subject\": \"$ADA\", \"count\": 1, \"steps\": 100000, \"seconds\": 86400}"
# done_reaches N: the job runs and has come so far.
done_reaches() {
    call GET "/v1/admin/jobs/$JOB"
    printf '%s' "$BODY" | jq -e ".state == \"running\" and .progress.done >= $1" >/dev/null
}
until_true 400 done_reaches 1
answers "it says how far it is" 200 '.state == "running" and .progress.total == 100000 and .progress.unit == "steps"'
done=$(printf '%s' "$BODY" | jq .progress.done)
until_true 400 done_reaches $((done + 1))
check "and comes farther" $? "$done: $BODY"
call POST "/v1/admin/jobs/$JOB/cancel"
until_true 400 ended "$JOB"
answers "a long one is cancelled" 200 '.state == "cancelled" and .progress.done < 100000'

call GET '/v1/admin/audit?limit=1000'
answers "asking, making and looking are audited, with ids only" 200 \
    "([.entries[] | select(.action == \"face.generate\")] | length) == 6
     and ([.entries[] | select(.action == \"face.generated\")] | length) == 5
     and ([.entries[] | select(.action == \"face.generated.show\" and .objects.job == $FIRST)] | length) == 2
     and ([.entries[] | .objects | tostring | contains(\"$ADA\")] | any | not)"

# ---- Erased ------------------------------------------------------------------------------------------------------------------
call GET "/v1/subjects?name=$ADA"
ID=$(printf '%s' "$BODY" | jq -r '.subjects[0].id')
call DELETE "/v1/subjects/$ID"
picture "$FIRST" 1
check "who is erased takes the pictures along" "$([ "$STATUS" = 404 ]; echo $?)" "$STATUS"
picture "$GIVEN" 1
check "what was made of an embedding stays" "$(is_png; echo $?)" "$STATUS"
stop

# ---- The command -------------------------------------------------------------------------------------------------------------
"$ARCFACED" generate --recognizer "$Y1" --nobody 2 --each 2 --steps 2 --seed 4 --out "$TEST_TMP/faces" >"$TEST_TMP/printed" 2>"$TEST_TMP/said"
check "generate makes faces of nobody" "$?" "$(cat "$TEST_TMP/said")"
check "with what the network remembers, pictures and a sheet" \
    "$(jq -es '(map(select(.kind == "picture")) | length) == 4 and any(.kind == "memory" and .batch_norms == '"$NORMS"') and any(.kind == "sheet") and any(.kind == "done" and .pictures == 4)' "$TEST_TMP/printed" >/dev/null; echo $?)" \
    "$(cat "$TEST_TMP/printed")"
check "all are files" "$([ "$(ls "$TEST_TMP/faces" | tr '\n' ' ')" = "nobody-001-1.png nobody-001-2.png nobody-002-1.png nobody-002-2.png sheet.png " ]; echo $?)" "$(ls "$TEST_TMP/faces")"
if [ -f "$MODELS/mobilefacenet_128.onnx" ] && [ -f "$MODELS/mbf_512_int8.onnx" ]; then
    "$ARCFACED" generate --recognizer "$MODELS/mobilefacenet_128.onnx" --nobody 1 --steps 1 --out "$TEST_TMP/bare" >"$TEST_TMP/printed" 2>"$TEST_TMP/said"
    check "a network without norms says what is missing" "$(grep -q 'BatchNormalizations 0 are left' "$TEST_TMP/said"; echo $?)" "$(cat "$TEST_TMP/said")"
    "$ARCFACED" generate --recognizer "$MODELS/mbf_512_int8.onnx" --nobody 1 --steps 1 --out "$TEST_TMP/bare" >"$TEST_TMP/printed" 2>"$TEST_TMP/said"
    check "a quantised one is refused in words" "$([ $? = 1 ] && [ "$(wc -l <"$TEST_TMP/said")" = 1 ] && grep -q 'quantised' "$TEST_TMP/said"; echo $?)" "$(cat "$TEST_TMP/said")"
fi
"$ARCFACED" generate --recognizer "$Y1" --out "$TEST_TMP/bare" >"$TEST_TMP/printed" 2>"$TEST_TMP/said"
check "whose faces must be said" "$([ $? = 2 ] && grep -q -e '--nobody' "$TEST_TMP/said"; echo $?)" "$(cat "$TEST_TMP/said")"
echo '[1, 2' >"$TEST_TMP/broken"
"$ARCFACED" generate --recognizer "$Y1" --embedding "$TEST_TMP/broken" --out "$TEST_TMP/bare" >"$TEST_TMP/printed" 2>"$TEST_TMP/said"
check "a broken embedding is said" "$([ $? = 1 ] && grep -q broken "$TEST_TMP/said"; echo $?)" "$(cat "$TEST_TMP/said")"
