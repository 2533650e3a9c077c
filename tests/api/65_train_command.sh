#!/usr/bin/env bash
# 65_train_command.sh: "arcfaced train" and its --job on a few people: stopped while it crops and while it measures; from a layer
# that is named; from what was trained before.
. tests/api/lib.bash
CROPS=$FACES/celeb_112
skip_without "$CROPS"
RECOGNIZER=$MODELS/mobilefacenet_128.onnx
skip_without "$RECOGNIZER"

# people FOLDER PEOPLE PHOTOS: links to the first people's crops.
people() {
    local person photo
    for person in $(ls "$CROPS" | sort -n | head -n "$2"); do
        mkdir -p "$1/$person"
        for photo in $(ls "$CROPS/$person" | head -n "$3"); do
            ln -s "$CROPS/$person/$photo" "$1/$person/$photo"
        done
    done
}

# train OUT FLAGS...: the status is the program's.
train() {
    local out=$1
    shift
    "$ARCFACED" train --recognizer "$RECOGNIZER" --aligned --looks 1 --batch 16 --out "$out" "$@" >"$out.log" 2>"$out.said"
}

# begin_train OUT FLAGS...: in the background; CHILD is the program, which a signal reaches.
begin_train() {
    local out=$1
    shift
    "$ARCFACED" train --recognizer "$RECOGNIZER" --aligned --looks 1 --batch 16 --out "$out" "$@" >"$out.log" 2>"$out.said" &
    CHILD=$!
}

# says FILE TEXT: waits for it.
says() {
    until_true 300 grep -q -s "$2" "$1"
}

# ---- Stopped ----

people "$TEST_TMP/many" 40 30
begin_train "$TEST_TMP/cropping.onnx" --set "$TEST_TMP/many"
until_true 300 [ -d "$TEST_TMP/cropping.onnx.run" ]
kill -TERM "$CHILD"
wait "$CHILD"
check "stopped while it crops, it says so by its status" "$([ $? = 1 ]; echo $?)" "$(cat "$TEST_TMP/cropping.onnx.said")"
[ ! -e "$TEST_TMP/cropping.onnx.run/data" ]
check "and has not cropped the rest first" $?

people "$TEST_TMP/some" 20 10
begin_train "$TEST_TMP/begun.onnx" --set "$TEST_TMP/some" --learn 0.1 --epochs 900
says "$TEST_TMP/begun.onnx.log" '"kind":"step"'
check "a run begins" $? "$(cat "$TEST_TMP/begun.onnx.said")"
kill -TERM "$CHILD"
wait "$CHILD"
mkdir "$TEST_TMP/job"
cp "$TEST_TMP/begun.onnx.run/data" "$TEST_TMP/job/crops.dataset"
jq -n --arg model "$RECOGNIZER" '{model: $model, version: "v", subcenters: 0, loss: "arcface", margin: 0, scale: 0, rate: 0.002,
    distill: 1, kl: 0, epochs: 1, freeze: 0.9, purify_deg: 75, holdout: 0.3, gate: 0.5, seed: 1, threads: 1, memory_bytes: 0}' >"$TEST_TMP/job/plan.json"
"$ARCFACED" train --job "$TEST_TMP/job" >"$TEST_TMP/job.log" &
CHILD=$!
says "$TEST_TMP/job.log" '"phase":"measuring"'
check "a job comes to measuring" $? "$(tail -n 3 "$TEST_TMP/job.log")"
kill -TERM "$CHILD"
wait "$CHILD"
[ "$(tail -n 1 "$TEST_TMP/job.log" | jq -r '.kind + " " + .code')" = "failed cancelled" ]
check "stopped there, it does not measure the rest" $? "$(tail -n 2 "$TEST_TMP/job.log")"
[ ! -e "$TEST_TMP/job/report.json" ] && [ ! -e "$TEST_TMP/job/candidate.onnx" ]
check "and leaves no candidate" $?

# ---- From a layer ----

people "$TEST_TMP/few" 12 6
train "$TEST_TMP/no.onnx" --set "$TEST_TMP/few" --from nowhere
[ $? = 1 ] && grep -q "has no layer 'nowhere'; there are /" "$TEST_TMP/no.onnx.said"
check "an unknown layer is refused with some that there are" $? "$(cat "$TEST_TMP/no.onnx.said")"
LAYER=$(sed -n "s/.*there are .*, //p" "$TEST_TMP/no.onnx.said")
train "$TEST_TMP/upper.onnx" --set "$TEST_TMP/few" --from "$LAYER" --epochs 1 && [ -s "$TEST_TMP/upper.onnx" ]
check "one of them can be learnt from" $? "$LAYER: $(cat "$TEST_TMP/upper.onnx.said")"
grep -q "the layer $LAYER and all above it" "$TEST_TMP/upper.onnx.html"
check "and the report says so" $?
train "$TEST_TMP/no.onnx" --set "$TEST_TMP/few" --from "$LAYER" --learn 0.5
[ $? = 2 ] && grep -q -e "--learn and --from" "$TEST_TMP/no.onnx.said"
check "two ways to say where are one too many" $? "$(cat "$TEST_TMP/no.onnx.said")"

# ---- Further ----

train "$TEST_TMP/once.onnx" --set "$TEST_TMP/few" --learn 0.2 --epochs 1 --purify none --whole
RECOGNIZER=$TEST_TMP/once.onnx
for threads in 1 2; do
    train "$TEST_TMP/twice$threads.onnx" --set "$TEST_TMP/few" --learn 0.2 --epochs 1 --purify none --whole --threads $threads
    check "what was trained is trained further, on $threads" $? "$(cat "$TEST_TMP/twice$threads.onnx.said")"
done
cmp -s "$TEST_TMP/twice1.onnx" "$TEST_TMP/twice2.onnx"
check "to the same bytes by the same seed" $?
! cmp -s "$TEST_TMP/once.onnx" "$TEST_TMP/twice1.onnx"
check "and to other bytes than it had" $?
[ "$(jq -r .trained.from "$TEST_TMP/twice1.onnx.json")" = "$(sha256sum "$TEST_TMP/once.onnx" | cut -d ' ' -f 1)" ]
check "its manifest names the first training's model" $? "$(cat "$TEST_TMP/twice1.onnx.json")"
"$ARCFACED" embed --recognizer "$TEST_TMP/twice1.onnx" --aligned "$TEST_TMP/few"/*/*.jpg >"$TEST_TMP/embedded"
jq -es 'length > 0 and all(.[]; .dim == 128 and (.faces | length) == 1)' "$TEST_TMP/embedded" >/dev/null
check "and what comes out embeds" $? "$(head -c 500 "$TEST_TMP/embedded")"
