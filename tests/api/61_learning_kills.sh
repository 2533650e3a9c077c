#!/usr/bin/env bash
# 61_learning_kills.sh: training, measuring, embedding again and changing over, each killed at its named points (core/base/point.h): after
# a restart the job goes on from its last checkpoint, the pair that answers is one whole version, nothing enrolled is lost.  SEED (1) draws
# which step and batch.
. tests/api/lib.bash
skip_under_sanitizer "a limit on a training's data excludes a sanitizer's shadow memory"
CROPS=$FACES/celeb_112
skip_without "$CROPS"
RANDOM=${SEED:-1}
PEOPLE=12
PHOTOS=4
enrolled=0

# enroll_crop SUBJECT FILE
enroll_crop() {
    call POST "/v1/enroll?subject=$1&aligned=true&quality=none" -H "$JPEG" --data-binary "@$2"
    case $STATUS in 2*) enrolled=$((enrolled + 1)) ;; *) return 1 ;; esac
}

enroll_people() {
    local person photo
    for person in $(ls "$CROPS" | sort -n | head -n $PEOPLE); do
        for photo in $(ls "$CROPS/$person" | head -n $PHOTOS); do
            enroll_crop "$person" "$CROPS/$person/$photo" || return 1
        done
    done
}

ended() {
    call GET "/v1/admin/jobs/$1"
    case $(printf '%s' "$BODY" | jq -r .state) in succeeded | failed | cancelled) ;; *) return 1 ;; esac
}

gone() {
    ! kill -0 "$PID" 2>/dev/null
}

# whole MODEL: a crop that is enrolled finds itself at cosine 1, so its stored embedding is of the model that now embeds; every face is
# there; the collection says that model.
whole() {
    local person photo
    call GET /v1/collections/default
    [ "$(printf '%s' "$BODY" | jq -r '.faces')" = "$enrolled" ] || return 1
    [ "$(printf '%s' "$BODY" | jq -r '.model')" = "$1" ] || return 1
    for person in $(ls "$CROPS" | sort -n | head -n 3); do
        photo=$(ls "$CROPS/$person" | head -n 1)
        call POST "/v1/identify?aligned=true&group_by=face&top_k=1" -H "$JPEG" --data-binary "@$CROPS/$person/$photo"
        printf '%s' "$BODY" | jq -e ".faces[0].candidates[0] | .cosine > 0.9999 and .subject.name == \"$person\"" >/dev/null || return 1
    done
}

# restart_after POINT: the daemon dies there, and starts again without it.
restart_after() {
    until gone; do read -r -t 0.05 <> <(:) || true; done
    wait "$PID" 2>/dev/null
    [ $? -eq 137 ] || return 1
    PID=
    start
}

start
enroll_people
check "$enrolled faces are enrolled" $?
call GET /v1/collections/default
FIRST=$(printf '%s' "$BODY" | jq -r .model)
whole "$FIRST"
check "they are found by the first model" $? "$BODY"
stop

# The crops of these people are one batch, so the last phase has as many steps as epochs, the first a third of them; checkpoints lie behind
# every 50 steps of a phase and at its end (server/train_job.c).
number=0
versions=()
# train_through POINT EPOCHS: queues a training under a daemon armed with the point.
train_through() {
    number=$((number + 1))
    start --kill-at "$1"
    call POST /v1/admin/training -H "$JSON" -d "{\"epochs\": $2, \"freeze\": 0.9, \"activate\": false, \"seed\": $number}"
    JOB=$(printf '%s' "$BODY" | jq -r .id)
}

# resumed FIRST LAST: the job, as last read, has gone on from these steps of its phases; 0: it began the phase.
resumed() {
    local first last
    read -r first last < <(printf '%s' "$BODY" | jq -r '.result.report | "\(.first.resumed_at) \(.last.resumed_at)"')
    check "from step $first of the first phase, $last of the last" "$([ "$first" = "$1" ] && [ "$last" = "$2" ]; echo $?)" "$BODY"
}

# Each point with the epochs, and the steps that the second child must go on from.
drawn=$((RANDOM % 2))
while read -r -u 3 point epochs first last; do
    train_through "$point" "$epochs"
    until_true 300 ended "$JOB"
    answers "killed at $point, the child is started again and ends" 200 '.state == "succeeded" and .result.child_starts == 2'
    resumed "$first" "$last"
    versions+=("$(printf '%s' "$BODY" | jq -r .result.model)")
    whole "$FIRST"
    check "and what answers is untouched" $? "$BODY"
    stop
done 3<<END
train.step:1 3 0 0
train.checkpoint:1 3 1 0
train.step:$((71 + RANDOM % 9)) 60 20 50
train.checkpoint:$((2 + drawn)) 60 20 $((50 + 10 * drawn))
train.learnt 3 1 3
train.measured 3 1 3
train.candidate 3 1 3
END
while read -r -u 3 point epochs first last; do
    train_through "$point" "$epochs"
    restart_after "$point"
    check "the daemon dies at $point and starts again" $?
    until_true 300 ended "$JOB"
    answers "the training goes on" 200 '.state == "succeeded" and .attempts == 2'
    resumed "$first" "$last"
    versions+=("$(printf '%s' "$BODY" | jq -r .result.model)")
    whole "$FIRST"
    check "and what answers is untouched" $? "$BODY"
    stop
done 3<<END
training.frozen 3 0 0
training.taken 3 1 3
END
[ "$(printf '%s\n' "${versions[@]}" | sort -u | wc -l)" -ge 3 ]
check "models of different seeds differ" $? "${versions[*]}"

start --kill-at evaluate.measured
call POST /v1/admin/evaluate -H "$JSON" -d '{}'
JOB=$(printf '%s' "$BODY" | jq -r .id)
restart_after evaluate.measured
check "the daemon dies when it has measured, and starts again" $?
until_true 300 ended "$JOB"
answers "it measures again" 200 ".state == \"succeeded\" and .attempts == 2 and .result.faces == $enrolled"
whole "$FIRST"
check "and what answers is untouched" $? "$BODY"
stop

at=0
more=($(ls "$CROPS/$(ls "$CROPS" | sort -n | head -n 1)" | tail -n +$((PHOTOS + 1))))
for point in reembed.batch:$((1 + RANDOM % 2)) switch.ready switch.committed; do
    version=${versions[$at]}
    start --kill-at "$point"
    call POST "/v1/admin/models/$version/activate" -H "$JSON" -d '{"collections": ["default"], "force": true}'
    JOB=$(printf '%s' "$BODY" | jq -r .id)
    restart_after "$point"
    check "the daemon dies at $point and starts again" $?
    enroll_crop "$(ls "$CROPS" | sort -n | head -n 1)" "$CROPS/$(ls "$CROPS" | sort -n | head -n 1)/${more[$at]}"
    check "a face is enrolled meanwhile" $?
    until_true 300 ended "$JOB"
    answers "the change over goes on" 200 '.state == "succeeded"'
    whole "$version"
    check "all faces, the new one too, are the new model's" $? "$BODY"
    call POST /v1/admin/collections/default/rollback -H "$JSON" -d '{}'
    case $STATUS in
    202)
        JOB=$(printf '%s' "$BODY" | jq -r .id)
        until_true 300 ended "$JOB"
        ;;
    esac
    whole "$FIRST"
    check "and going back leaves one whole version" $? "$BODY"
    stop
    at=$((at + 1))
done
