#!/bin/bash
# 66_train_detector.sh: the command that makes a detector, without a teacher: its labels are written already, by the program's own
# detector, which is also what the training begins from and what its traps are found with.
OWN_WILL_DO=1
. "$(dirname "$0")/lib.bash"
START=$REPOSITORY/core/models/detector.onnx
skip_without "$START"

mkdir -p "$TEST_TMP/people/somebody" "$TEST_TMP/made.onnx.run"
cp "$REPOSITORY"/tests/photos/{alice-1,bob-1,erin-2,stranger}.jpg "$TEST_TMP/people/somebody"
{
    echo "arcfaced faces 1"
    "$ARCFACED" detect "$TEST_TMP"/people/somebody/*.jpg | jq -r '"photo \(.faces | length) \(.file)",
        (.faces[] | "face \(.score) \(.box[0]) \(.box[1]) \(.box[0] + .box[2]) \(.box[1] + .box[3]) \([.landmarks[][]] | join(" "))")'
    echo end
} >"$TEST_TMP/labels"
[ "$(grep -c '^face ' "$TEST_TMP/labels")" -ge 4 ]
check "labels are a text that anybody can write" $?
cp "$TEST_TMP/labels" "$TEST_TMP/made.onnx.run/labels"

# make FLAG...: a short run; what it says is in $TEST_TMP/said.
make_detector() {
    "$ARCFACED" train-detector --teacher none.onnx --set "$TEST_TMP/people" --most 9 --out "$TEST_TMP/made.onnx" --side 64 \
        --batch 2 --shard 2 --threads 1 "$@" >"$TEST_TMP/said" 2>&1
}

make_detector --traps --steps 2
[ $? -eq 2 ] && grep -q '^usage' "$TEST_TMP/said"
check "traps without a detector to find them with are a mistake" $?
make_detector --start "$START" --traps --steps 2
check "a detector learns" $? "$(cat "$TEST_TMP/said")"
[ "$(grep -c '^photo ' "$TEST_TMP/made.onnx.run/traps")" -eq 4 ] && ! grep -q '^face' "$TEST_TMP/made.onnx.run/traps"
check "its traps are written down" $?
"$ARCFACED" detect --detector "$TEST_TMP/made.onnx" "$TEST_TMP/people/somebody/alice-1.jpg" >"$TEST_TMP/seen" &&
    jq -e '.faces | length >= 1' "$TEST_TMP/seen" >/dev/null
check "what comes out finds a face" $? "$(cat "$TEST_TMP/seen")"

# The traps are part of the run: it goes on with those that are written, and others are another run.
{
    echo "arcfaced faces 1"
    grep '^photo ' "$TEST_TMP/labels" | sed 's/^photo [0-9]*/photo 1/; a trap 1 2 30 40.5'
    echo end
} >"$TEST_TMP/made.onnx.run/traps"
make_detector --start "$START" --traps --steps 2
[ $? -eq 1 ] && grep -q "a run on other data" "$TEST_TMP/said"
check "with other traps it is another run" $? "$(cat "$TEST_TMP/said")"
sed -i 's/alice/nobody/' "$TEST_TMP/made.onnx.run/traps"
make_detector --start "$START" --traps --steps 2
[ $? -eq 1 ] && grep -q "traps of other photos" "$TEST_TMP/said"
check "traps of other photos are refused" $? "$(cat "$TEST_TMP/said")"
