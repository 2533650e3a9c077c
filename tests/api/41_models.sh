#!/bin/bash
# A second recogniser: uploaded, activated while clients identify, rolled back; labels judged; the recogniser measured.
. "$(dirname "$0")/lib.bash"
CROPS=$FACES/celeb_112
SECOND=$MODELS/mobilefacenet_y1_128.onnx
PEOPLE=12
EACH=8
skip_without "$CROPS" "$SECOND" "$SECOND.json"

# Twelve people, eight crops each; a thirteenth comes later.
mapfile -t people < <(for person in $(ls "$CROPS"); do
    [ "$(ls "$CROPS/$person" | wc -l)" -gt $((EACH + 1)) ] && echo "$person"
done | head -$((PEOPLE + 1)))
crop() {
    ls "$CROPS/${people[$1]}" | sed -n "$(($2 + 1))p" | sed "s|^|$CROPS/${people[$1]}/|"
}
enroll_all() {
    local person photo bad=0
    for ((person = 0; person < PEOPLE; person++)); do
        for ((photo = 0; photo < EACH; photo++)); do
            call POST "/v1/enroll?subject=p$person&aligned=true" -H "$JPEG" --data-binary @"$(crop $person $photo)"
            [ "$STATUS" = 201 ] || bad=1
        done
    done
    return $bad
}

# job ID: waits until a job has ended; sets BODY to it.
ended() {
    call GET "/v1/admin/jobs/$1"
    [ "$(jq -r .state <<<"$BODY")" != queued ] && [ "$(jq -r .state <<<"$BODY")" != running ]
}
wait_job() {
    JOB=$(jq -r .id <<<"$BODY")
    until_true 120 ended "$JOB" || true
}

# answers_of FILE: what everybody's ninth crop is answered with, without what time changes.
answers_of() {
    local person
    for ((person = 0; person < PEOPLE; person++)); do
        call POST "/v1/identify?aligned=true&top_k=3" -H "$JPEG" --data-binary @"$(crop $person $EACH)"
        jq -c '{model, faces: [.faces[] | {decision, candidates}]}' <<<"$BODY"
    done >"$1"
}

start --model-bytes 32M
enroll_all
check "12 people with 8 crops each are enrolled" $?
answers_of "$TEST_TMP/before"
FIRST=$(jq -r .model "$TEST_TMP/before" | sort -u)

call GET /v1/admin/models
answers "one recogniser, used by the default collection" 200 '(.models | length) == 1 and .models[0].default and .models[0].used_by == ["default"]'
call POST /v1/admin/collections/default/rollback
answers "nothing to go back to" 409 '.code == "no_former_model"'

head -c 100000 "$SECOND" >"$TEST_TMP/cut.onnx"
call POST /v1/admin/models -H "Content-Type: application/octet-stream" --data-binary @"$TEST_TMP/cut.onnx"
answers "a cut file is no model" 422 '.code == "bad_model"'
call POST /v1/admin/models -H "Content-Type: application/octet-stream" --data-binary @"$MODELS/scrfd_500m.onnx"
answers "a detector is no recogniser" 422 '.code == "bad_model"'
call POST /v1/admin/models
answers "nothing is no model" 400 '.code == "empty_body"'
dd if=/dev/zero of="$TEST_TMP/large.onnx" bs=1M count=33 2>/dev/null
call POST /v1/admin/models -H "Content-Type: application/octet-stream" --data-binary @"$TEST_TMP/large.onnx"
answers "a file beyond model_bytes is too large" 413 '.code == "body_too_large"'
rm "$TEST_TMP/large.onnx"
call POST /v1/admin/models -F model=@"$SECOND" -F manifest=@"$SECOND.json" -F name=y1
answers "the second recogniser is taken" 201 '.dim == 128 and .side == 112 and .created and .self_test.batch_cosine > 0.9999 and .name == "y1"'
Y1=$(jq -r .version <<<"$BODY")
call POST "/v1/admin/models?name=again&manifest=$(jq -c . "$SECOND.json" | jq -sRr @uri)" -H "Content-Type: application/octet-stream" --data-binary @"$SECOND"
answers "the same again is the same version" 200 ".version == \"$Y1\" and (.created | not)"
call POST "/v1/admin/models/$FIRST/activate" -H "$JSON" -d '{}'
answers "activate: for which collections?" 400 '.code == "missing_parameter"'
call POST "/v1/admin/models/0000/activate" -H "$JSON" -d '{"collections":["default"]}'
answers "activate: no such model" 404 '.code == "no_such_model"'
call POST "/v1/admin/models/$Y1/activate" -H "$JSON" -d '{"collections":["nowhere"]}'
answers "activate: no such collection" 404 '.code == "no_such_collection"'

# A face without a crop cannot be embedded again.
call PUT /v1/collections/bare -H "$JSON" -d '{"keep":"none"}'
call POST "/v1/enroll?subject=x&aligned=true&collection=bare" -H "$JPEG" --data-binary @"$(crop 0 0)"
call POST "/v1/admin/models/$Y1/activate" -H "$JSON" -d '{"collections":["default","bare"]}'
answers "activate: refused with the count of faces without crops" 422 '.code == "no_crops" and (.detail | test("1 of the 1 faces"))'

# A client that identifies without pause: each answer is good, and names the model whose scores it has.
client() {
    local person=0
    while [ ! -e "$TEST_TMP/enough" ]; do
        person=$(((person + 1) % PEOPLE))
        curl -s -m 60 -H "$AUTH" -H "$JPEG" -w '\n%{http_code}\n' --data-binary @"$(crop $person $EACH)" \
            "$URL/v1/identify?aligned=true&top_k=1" >"$TEST_TMP/client.one"
        status=$(tail -n 1 "$TEST_TMP/client.one")
        jq -r --arg status "$status" --arg person "$person" \
            '[$status, .model, $person, .faces[0].candidates[0].subject.name, .faces[0].candidates[0].cosine] | @tsv' \
            <<<"$(head -n 1 "$TEST_TMP/client.one")" >>"$TEST_TMP/client" || echo "broken" >>"$TEST_TMP/client"
    done
}
: >"$TEST_TMP/client"
client &
CLIENT=$!
until_true 30 test -s "$TEST_TMP/client"
call POST "/v1/admin/models/$Y1/activate" -H "$JSON" -d '{"collections":["default"]}'
answers "activate: a job" 202 '.kind == "activate" and .id > 0'
JOB=$(jq -r .id <<<"$BODY")
curl -sN -m 120 -H "$AUTH" "$URL/v1/admin/jobs/$JOB/events" >"$TEST_TMP/events" &
EVENTS=$!
# Somebody is enrolled meanwhile.
call POST "/v1/enroll?subject=late&aligned=true" -H "$JPEG" --data-binary @"$(crop $PEOPLE 0)"
answers "somebody is enrolled meanwhile" 201 '.subject.name == "late"'
until_true 120 ended "$JOB"
call GET "/v1/admin/jobs/$JOB"
answers "every face has moved" 200 ".state == \"succeeded\" and .result.collections[0].to == \"$Y1\" and .result.collections[0].embedded >= $((PEOPLE * EACH)) and .progress.done == .progress.total"
wait $EVENTS
check "the stream of events ends by itself" $?
until_true 10 metric_is 'arcfaced_jobs_total{kind="activate",state="succeeded"}' 1
check "the change over is counted" $? "$(curl -s -H "$AUTH" "$URL/metrics" | grep arcfaced_job)"
grep -q '^event: progress' "$TEST_TMP/events" && tail -n 3 "$TEST_TMP/events" | grep -q '^event: end' && grep '^data: ' "$TEST_TMP/events" | tail -n 1 | cut -c7- | jq -e '.state == "succeeded"' >/dev/null
check "the events: progress, then the end ($(grep -c '^event:' "$TEST_TMP/events"))" $? "$(cat "$TEST_TMP/events")"
answers_of "$TEST_TMP/after"
touch "$TEST_TMP/enough"
wait $CLIENT
total=$(wc -l <"$TEST_TMP/client")
failed=$(awk -F'\t' '$1 != 200' "$TEST_TMP/client" | wc -l)
check "no request of the client failed ($total requests)" "$failed" "$(awk -F'\t' '$1 != 200' "$TEST_TMP/client" | head)"
# Per person and model there is exactly one score: a pair is one whole version.
mixed=$(cut -f2,3,5 "$TEST_TMP/client" | sort -u | cut -f1,2 | sort | uniq -d | wc -l)
models=$(cut -f2 "$TEST_TMP/client" | sort -u | wc -l)
wrong=$(awk -F'\t' '"p" $3 != $4' "$TEST_TMP/client" | wc -l)
check "each answer's score is that of the model it names ($models models seen, $wrong of $total ranked another first)" "$mixed" "$(sort -u "$TEST_TMP/client" | head -40)"
check "the client saw both models" "$((models == 2 ? 0 : 1))" "$(cut -f2 "$TEST_TMP/client" | sort | uniq -c)"
check "after it all answers name the second model" "$(jq -r .model "$TEST_TMP/after" | grep -cv "$Y1")"

call GET /v1/collections/default
answers "the collection shows the second model" 200 ".model == \"$Y1\""
call DELETE "/v1/admin/models/$Y1"
answers "a model in use is not deleted" 409 '.code == "model_in_use"'
stop
start --recognizer "$MODELS/mobilefacenet_128.onnx"
answers_of "$TEST_TMP/restarted"
cmp -s "$TEST_TMP/after" "$TEST_TMP/restarted"
check "after a restart the same answers" $? "$(diff "$TEST_TMP/after" "$TEST_TMP/restarted" | head)"

call DELETE "/v1/subjects/$(curl -s -H "$AUTH" "$URL/v1/subjects?name=late" | jq -r '.subjects[0].id')"
call POST /v1/admin/collections/default/rollback
answers "back at once" 200 ".to == \"$FIRST\" and .from == \"$Y1\" and .embedded == 0"
answers_of "$TEST_TMP/back"
cmp -s "$TEST_TMP/before" "$TEST_TMP/back"
check "the old answers, to the last digit" $? "$(diff "$TEST_TMP/before" "$TEST_TMP/back" | head)"

# ---- Labels ------------------------------------------------------------------------------------------------------------
call POST "/v1/enroll?subject=p1&aligned=true" -H "$JPEG" --data-binary @"$(crop 0 $((EACH + 1)))"
WRONG=$(jq -r '.faces[0].id' <<<"$BODY")
call POST /v1/admin/purify -H "$JSON" -d '{"collection":"default"}'
answers "purify: a job" 202 '.kind == "purify"'
wait_job
answers "purify: what it found is counted, by both rules" 200 '.state == "succeeded" and .result.rule == "refined" and .result.found >= 1 and .result.found == .result.refined and .result.plain >= 0 and .result.faces > 90'
call GET "/v1/admin/jobs/$JOB/findings?limit=100"
answers "purify: the wrong one is named, with the true name" 200 ".findings | any(.face_id == \"$WRONG\" and .likely.name == \"p0\" and .subcenter == 1 and .degrees > 75 and (.set_aside | not))"
printf '%s\n' "$BODY" | jq -c '"# \(.findings | length) faces found: \([.findings[] | .degrees | floor] | join(" ")) degrees"' -r
call POST /v1/admin/purify -H "$JSON" -d "{\"apply\":$JOB}"
answers "purify: they are set aside" 200 '.set_aside >= 1'
call GET "/v1/faces/$WRONG"
answers "purify: the face is still there" 200 '.set_aside'
call POST /v1/identify -H "$JSON" -d "{\"face_id\":\"$WRONG\",\"top_k\":50,\"group_by\":\"face\",\"threshold\":-1}"
answers "purify: the face itself finds its true name" 200 ".faces[0].candidates[0].subject.name == \"p0\" and (.faces[0].candidates | all(.face_id != \"$WRONG\"))"
call POST /v1/admin/purify -H "$JSON" -d "{\"undo\":$JOB}"
answers "purify: undone" 200 '.brought_back >= 1'
call GET "/v1/faces/$WRONG"
answers "purify: it is searched again" 200 '.set_aside | not'
call POST /v1/admin/purify -H "$JSON" -d '{"apply":1}'
answers "purify: another job cannot be applied" 409 '.code == "other_job"'
call POST /v1/admin/purify -H "$JSON" -d "{\"apply\":$JOB,\"collection\":\"default\"}"
answers "purify: one thing at a time" 400 '.code == "bad_parameter"'
call POST /v1/admin/purify -H "$JSON" -d "{\"apply\":$JOB,\"rule\":\"plain\"}"
answers "purify: and what was found is found already" 400 '.code == "bad_parameter"'
call POST /v1/admin/purify -H "$JSON" -d '{"rule":"strict"}'
answers "purify: a rule that is none is refused" 400 '.code == "bad_parameter"'
call POST /v1/admin/purify -H "$JSON" -d '{"rule":"plain"}'
answers "purify: the plain rule" 202 '.arguments.rule == "plain"'
wait_job
answers "purify: finds what it counts as its own" 200 '.state == "succeeded" and .result.rule == "plain" and .result.found == .result.plain and .result.refined >= 1'
PLAIN=$(jq .result.plain <<<"$BODY")
call GET "/v1/admin/jobs/$JOB/findings?limit=1000"
answers "purify: and lists them" 200 "(.findings | length) == $PLAIN"

# ---- Measuring ---------------------------------------------------------------------------------------------------------
call POST /v1/admin/evaluate -H "$JSON" -d '{"collection":"default","rounds":50}'
answers "evaluate: a job" 202 '.kind == "evaluate"'
wait_job
answers "evaluate: figures with intervals" 200 '.state == "succeeded" and .result.measured_faces > 90 and (.result.tar | length) > 0 and .result.tar[0].hit.value > 0.8 and .result.tar[0].hit.low <= .result.tar[0].hit.value and .result.rank1.value > 0.8'
answers "evaluate: and thresholds, as a proposal" 200 '.result.uncalibrated == null and (.result.calibration.points | length) >= 2 and .result.calibration.evidence.people == 12'
PROPOSED=$JOB
# decides QUERY: how a probe is decided now.
decides() {
    call POST "/v1/identify?aligned=true&$1" -H "$JPEG" --data-binary @"$(crop 0 $EACH)"
}
decides top_k=5
answers "evaluate: nothing decides by it yet" 200 '(.calibrated | not) and .fmr == null'
decides max_fmr=0.05
answers "evaluate: and no rate can be asked for" 422 '.code == "unsupported_rate"'
call POST /v1/admin/evaluate -H "$JSON" -d "{\"apply\":$PROPOSED}"
answers "evaluate: applied" 200 ".job == $PROPOSED and .model == \"$FIRST\" and .calibrated and .points >= 2"
decides max_fmr=0.05
answers "evaluate: the next request decides by it" 200 '.calibrated and (.fmr - 0.05 | fabs) < 0.0001 and .threshold > 0'
AT=$(jq .threshold <<<"$BODY")
call POST /v1/admin/evaluate -H "$JSON" -d "{\"apply\":$PROPOSED}"
answers "evaluate: once more is the same" 200 '.calibrated'
check "the metrics count both by how they ended" \
    "$(metric_is 'arcfaced_jobs_total{kind="purify",state="succeeded"}' 2 && metric_is 'arcfaced_jobs_total{kind="evaluate",state="succeeded"}' 1 && metric_is 'arcfaced_jobs_running{kind="evaluate"}' 0; echo $?)" \
    "$(curl -s -H "$AUTH" "$URL/metrics" | grep arcfaced_job)"
stop
start --recognizer "$MODELS/mobilefacenet_128.onnx"
decides max_fmr=0.05
answers "evaluate: so it does after a restart" 200 ".calibrated and .threshold == $AT"
call GET /v1/admin/models
answers "evaluate: the model says whose it is" 200 "any(.models[]; .version == \"$FIRST\" and .calibrated_by == $PROPOSED and (.calibration.points | length) >= 2)"
call POST /v1/admin/evaluate -H "$JSON" -d "{\"undo\":$PROPOSED}"
answers "evaluate: undone" 200 '(.calibrated | not) and .points == 0'
decides top_k=5
answers "evaluate: and decided as before" 200 '(.calibrated | not) and .fmr == null'
call POST /v1/admin/evaluate -H "$JSON" -d "{\"undo\":$PROPOSED}"
answers "evaluate: what is not in force cannot be taken back" 409 '.code == "other_job"'
call POST /v1/admin/evaluate -H "$JSON" -d '{"apply":1}'
answers "evaluate: another job cannot be applied" 409 '.code == "other_job"'
call POST /v1/admin/evaluate -H "$JSON" -d '{"apply":4711}'
answers "evaluate: nor one that is not there" 404 '.code == "no_such_job"'
call POST /v1/admin/evaluate -H "$JSON" -d "{\"apply\":$PROPOSED,\"rounds\":50}"
answers "evaluate: one thing at a time" 400 '.code == "bad_parameter"'
call GET '/v1/admin/audit?limit=1000'
answers "evaluate: both steps are audited, with ids only" 200 "[.entries[] | select(.objects.job == $PROPOSED) | .action] | index(\"model.calibrate\") != null and index(\"model.calibrate_back\") != null"
call POST /v1/admin/evaluate -H "$JSON" -d '{"collection":"bare"}'
wait_job
answers "evaluate: one face is too few, in words" 200 '.state == "failed" and (.error.sentence | test("at least two people"))'

# ---- The models that are no longer needed ------------------------------------------------------------------------------
call DELETE "/v1/admin/models/$Y1"
answers "a model that nobody uses is deleted" 200 '.deleted'
call POST /v1/admin/collections/default/rollback
answers "and cannot be gone back to" 409 '.code == "no_former_model"'
[ "$(ls "$TEST_TMP/data/models" | grep -c "$Y1")" = 0 ]
check "its files are gone" $?

# ---- Stopped and killed in the middle ----------------------------------------------------------------------------------
# Where the job was over before the stop came, everything is done once more.
for _ in 1 2 3 4 5; do
    call POST /v1/admin/models -F model=@"$SECOND" -F manifest=@"$SECOND.json" -F name=y1
    answers "the model comes back" 201 ".version == \"$Y1\""
    call POST "/v1/admin/models/$Y1/activate" -H "$JSON" -d '{"collections":["default"]}'
    JOB=$(jq -r .id <<<"$BODY")
    rm -f "$TEST_TMP/events2" # of the time before: what is waited for is this stream's beginning
    curl -sN -m 120 -H "$AUTH" -D "$TEST_TMP/events2" -o "$TEST_TMP/events3" "$URL/v1/admin/jobs/$JOB/events" &
    EVENTS=$!
    until_true 30 test -s "$TEST_TMP/events2"
    stop
    check "a clean end with a job and a stream of events under way" $?
    wait $EVENTS
    check "the stream was ended" $?
    start
    kill -KILL "$PID"
    wait "$PID" 2>/dev/null
    start
    until_true 120 ended "$JOB"
    [ "$(jq .attempts <<<"$BODY")" = 1 ] || break
    call POST "/v1/admin/models/$FIRST/activate" -H "$JSON" -d '{"collections":["default"]}'
    wait_job
    call DELETE "/v1/admin/models/$Y1"
done
call GET "/v1/admin/jobs/$JOB"
answers "after a stop and a kill the job went on to its end" 200 '.state == "succeeded" and .attempts >= 2'
call GET /v1/collections/default
answers "and the collection has the model" 200 ".model == \"$Y1\""
stop
check "a clean end" $?
