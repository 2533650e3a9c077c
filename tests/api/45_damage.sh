#!/bin/bash
# 45_damage.sh: databases and backups with flipped bits, cut short, or made to do harm: served, or refused in words; never a crash,
# never a file outside.
. "$(dirname "$0")/lib.bash"

vector() {
    awk -v n="$1" 'BEGIN { srand(n); printf "["; for (i = 0; i < 128; i++) printf "%s%.4f", i ? "," : "", rand() - .5; printf "]" }'
}
data=$TEST_TMP/data
start
for n in $(seq 60); do
    call POST /v1/enroll -H "$JSON" -d "{\"subject\":\"person-$n\",\"embedding\":$(vector "$n")}"
done
answers "sixty are enrolled" 201 .created
call POST /v1/admin/backup
JOB=$(printf '%s' "$BODY" | jq -r .id)
ended() {
    call GET "/v1/admin/jobs/$JOB"
    printf '%s' "$BODY" | jq -e '.state == "succeeded"' >/dev/null
}
until_true 120 ended
name=$(printf '%s' "$BODY" | jq -r .result.name)
stop
cp -r "$data/backups/$name" "$TEST_TMP/backup"
rm -rf "$data/backups"
cp -r "$data" "$TEST_TMP/whole"

# ---- The database ----
# damage KIND SEED: spoils the copy of the database.
damage() {
    /usr/bin/python3 - "$data/arcfaced.db" "$1" "$2" <<'PY'
import random, sys
path, kind, seed = sys.argv[1:]
rng = random.Random(kind + seed)
b = bytearray(open(path, 'rb').read())
if kind == 'bit':
    for _ in range(8):
        b[rng.randrange(len(b))] ^= 1 << rng.randrange(8)
elif kind == 'head':
    for _ in range(4):
        b[rng.randrange(100)] ^= 1 << rng.randrange(8)
elif kind == 'page':
    at = rng.randrange(len(b) // 16384) * 16384
    b[at:at + 16384] = rng.randbytes(16384)
elif kind == 'zero':
    at = rng.randrange(1, len(b) // 16384) * 16384
    b[at:at + 16384] = bytes(16384)
elif kind == 'cut':
    del b[rng.randrange(len(b)):]
elif kind == 'noise':
    b = bytearray(rng.randbytes(50000))
open(path, 'wb').write(b)
PY
}
# A start that may fail: the daemon serves (URL is set) or ends by itself with a sentence.
try() {
    starts=$((starts + 1))
    LOG=$TEST_TMP/log.$starts
    ARCFACED_BOOTSTRAP_KEY=$KEY "$ARCFACED" serve --data "$data" --listen 127.0.0.1:0 "${NETWORKS_GIVEN[@]}" >/dev/null 2>"$LOG" &
    PID=$!
    until_true 60 grep -q '"event":"listening"' "$LOG"
    URL=http://127.0.0.1:$(sed -n 's/.*"event":"listening".*"port":\([0-9]*\).*/\1/p' "$LOG")
}
served=0
refused=0
for row in bit:1 bit:2 bit:3 bit:4 head:1 head:2 page:1 page:2 page:3 zero:1 zero:2 cut:1 cut:2 noise:1; do
    rm -rf "$data"
    cp -r "$TEST_TMP/whole" "$data"
    damage "${row%%:*}" "${row#*:}"
    try
    good=0
    if kill -0 "$PID" 2>/dev/null && grep -q '"event":"listening"' "$LOG"; then
        served=$((served + 1))
        for n in 1 30 60; do
            call POST /v1/identify -H "$JSON" -d "{\"embedding\":$(vector "$n")}"
            # The right person, or an error in words; never another person.
            printf '%s' "$BODY" | jq -e "(.code | IN(\"internal\", \"not_authorized\", \"unauthorized\", \"no_such_collection\"))
                or .faces[0].decision == \"unknown\" or .faces[0].candidates[0].subject.name == \"person-$n\"" >/dev/null || good=1
        done
        call POST /v1/enroll -H "$JSON" -d "{\"subject\":\"late\",\"embedding\":$(vector 99)}"
        curl -s -m 20 -o /dev/null -H "$AUTH" "$URL/v1/export"
        call GET /healthz
        [ "$STATUS" = 200 ] || good=1
        kill -TERM "$PID"
        wait "$PID"
        [ $? -le 1 ] || good=1
    else
        refused=$((refused + 1))
        wait "$PID"
        [ $? -eq 1 ] && grep -q '"text":"[^"]\{12,\}' "$LOG" || good=1
    fi
    PID=
    check "a damaged database, $row: served truly or refused in words" $good "$BODY $(tail -n 5 "$LOG")"
done
check "some were served and some refused" "$([ $served -gt 0 ] && [ $refused -gt 0 ]; echo $?)" "$served $refused"

# ---- Backups ----
rm -rf "$data"
restore() {
    rm -rf "$TEST_TMP/restored"
    "$ARCFACED" restore --from "$TEST_TMP/bad" --data "$TEST_TMP/restored" >"$TEST_TMP/said" 2>&1
}
# spoil NAME WORDS COMMAND...: a copy of the backup, changed, is refused with these words, and nothing is restored.
spoil() {
    local title=$1 words=$2
    shift 2
    rm -rf "$TEST_TMP/bad"
    cp -r "$TEST_TMP/backup" "$TEST_TMP/bad"
    (cd "$TEST_TMP/bad" && "$@")
    restore
    [ $? -eq 1 ] && grep -qi "$words" "$TEST_TMP/said" && [ ! -e "$TEST_TMP/restored/arcfaced.db" ]
    check "a backup $title is refused in words" $? "$(cat "$TEST_TMP/said")"
}
list() {
    jq "$1" backup.json >new && mv new backup.json
}
flip() {
    /usr/bin/python3 -c 'import sys; p = sys.argv[1]; b = bytearray(open(p, "rb").read()); b[len(b) * 2 // 3] ^= 4; open(p, "wb").write(b)' "$1"
}
spoil "with a flipped bit" "SHA-256" flip arcfaced.db
spoil "cut short" "SHA-256" truncate -s 100000 arcfaced.db
spoil "whose model is cut" "SHA-256" sh -c 'truncate -s 1000 models/*.onnx'
spoil "without its list" "backup.json" rm backup.json
spoil "with a list that is no JSON" "damaged" sh -c 'head -c 50 backup.json >new; mv new backup.json'
spoil "with a list without files" "damaged" list '.files = 3'
spoil "of a newer program" "newer" list '.format = 99'
spoil "that climbs out" "no backup has" list '.files[0].name = "../../climbs"'
spoil "that climbs out below models" "no backup has" list '.files[0].name = "models/../../climbs"'
spoil "with an absolute name" "no backup has" list '.files[0].name = "/tmp/climbs"'
spoil "that lists what is not there" "model" list '.files += [{"name": "models/none.onnx", "bytes": 1, "sha256": "00"}]'
spoil "whose database is not listed" "arcfaced.db\|database" list '.files |= map(select(.name != "arcfaced.db"))'
spoil "whose list is huge" "backup.json" sh -c 'truncate -s 5M backup.json'
resign() {
    list ".files |= map(if .name == \"arcfaced.db\" then .sha256 = \"$(sha256sum arcfaced.db | cut -c -64)\" else . end)"
}
tamper() {
    /usr/bin/python3 -c 'import sqlite3, sys; d = sqlite3.connect("arcfaced.db"); d.execute(sys.argv[1]); d.commit()' "$1" && resign
}
spoil "whose vector was changed, and which was signed again" "checksum\|damaged" tamper \
    "UPDATE embeddings SET vector = zeroblob(length(vector)) WHERE id = 7"
spoil "whose audit log lost an entry, and which was signed again" "audit" tamper "DELETE FROM audit WHERE id = 9"
spoil "whose audit log lost its last entries" "audit" tamper "DELETE FROM audit WHERE id > 50"
[ ! -e "$TEST_TMP/climbs" ] && [ ! -e /tmp/climbs ]
check "no file came out" $?
