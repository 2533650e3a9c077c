# train.sh: arcfaced train on a few people of celeb_112 (not the reserved ones): what it writes, that a run which was stopped goes on
# to the same bytes, and what it refuses.
shared=${ARCFACED_SHARED:-../shared}
if [ ! -e "$shared/models/mobilefacenet_128.onnx" ]; then
    echo "1..1"
    echo "ok 1 - train # SKIP no models at $shared (set ARCFACED_SHARED)"
    exit 0
fi
number=0
check() { # NAME COMMAND...
    number=$((number + 1))
    local name=$1
    shift
    if "$@"; then echo "ok $number - $name"; else echo "not ok $number - $name"; fi
}
absent() { ! grep -qE "$1" "$2"; }

people=$TEST_TMP/people
for id in $(ls "$shared/faces/celeb_112" | sort -n | head -n 12); do
    mkdir -p "$people/$id"
    for photo in $(ls "$shared/faces/celeb_112/$id" | head -n 8); do
        ln -s "$(realpath "$shared/faces/celeb_112/$id/$photo")" "$people/$id/$photo"
    done
done
base=(--recognizer "$shared/models/mobilefacenet_128.onnx" --set "$people" --aligned --learn 0.1 --batch 16 --holdout 0.3)
flags=("${base[@]}" --looks 2 --epochs 6)
train() { # OUT FLAGS...
    local out=$1
    shift
    "$ARCFACED" train "${flags[@]}" --out "$out" "$@"
}

train "$TEST_TMP/whole.onnx" --photos "$TEST_TMP/photos" > "$TEST_TMP/whole.log" 2> "$TEST_TMP/whole.said" || { echo "# train failed"; cat "$TEST_TMP/whole.said"; }
check "a file whose BatchNormalizations are folded says what that costs" grep -q 'BatchNormalizations 0 are left beside 51 convolutions' "$TEST_TMP/whole.said"
check "a model, a manifest and a report" test -s "$TEST_TMP/whole.onnx" -a -s "$TEST_TMP/whole.onnx.json" -a -s "$TEST_TMP/whole.onnx.html"
check "no crop stays behind" test ! -e "$TEST_TMP/whole.onnx.run"
check "every step is a line" test "$(jq -s '[.[] | select(.kind == "step" and .phase == "last")] | length == .[-1].steps and all(.[]; .loss > 0)' "$TEST_TMP/whole.log")" = true
check "people held out are measured before and after" \
    test "$(jq -s '[.[] | select(.kind == "TAR" and .fmr == 0.1) | .model] | sort | join(" ")' "$TEST_TMP/whole.log")" = '"after before"'
check "each photo in training has a verdict" test "$(wc -l < "$TEST_TMP/photos")" = "$(jq -s '[.[] | select(.kind == "purified")][0].photos' "$TEST_TMP/whole.log")"
check "the manifest names where it came from" test "$(jq -r .trained.from "$TEST_TMP/whole.onnx.json")" = "$(sha256sum "$shared/models/mobilefacenet_128.onnx" | cut -d' ' -f1)"
check "the report needs nothing from outside" absent 'https?://|src=|href=|@import|url\(' "$TEST_TMP/whole.onnx.html"
check "the report has its charts" test "$(grep -c '<svg' "$TEST_TMP/whole.onnx.html")" = 10
"$ARCFACED" embed --recognizer "$TEST_TMP/whole.onnx" --aligned "$people"/*/*.jpg > "$TEST_TMP/embedded"
check "the trained model is loaded and embeds" test "$(jq -s 'length > 0 and all(.[]; .dim == 128 and (.faces | length) == 1)' "$TEST_TMP/embedded")" = true

# stopped in the middle of the last phase
: > "$TEST_TMP/cut.log"
"$ARCFACED" train "${flags[@]}" --out "$TEST_TMP/cut.onnx" > "$TEST_TMP/cut.log" &
pid=$!
for _ in $(seq 1 1200); do
    if grep -q '"phase":"last","step":2,' "$TEST_TMP/cut.log"; then break; fi
    sleep 0.1
done
kill -TERM $pid
wait $pid
check "a stopped run says so by its status" test $? = 1
check "and has written no model" test ! -e "$TEST_TMP/cut.onnx"
train "$TEST_TMP/cut.onnx" --threads 1 > "$TEST_TMP/rest.log" || echo "# going on failed"
check "it goes on where it stopped" test "$(grep -c '"phase":"first"' "$TEST_TMP/rest.log")" = 0
check "to the same bytes, on one thread too" cmp "$TEST_TMP/whole.onnx" "$TEST_TMP/cut.onnx"

# every loss, term, optimiser and schedule
short() { # FLAGS...
    "$ARCFACED" train "${base[@]}" --looks 1 --epochs 1 --out "$TEST_TMP/loss.onnx" "$@"
}
finite() { [ "$(jq -s '[.[] | select(.kind == "step")] | length > 0 and all(.[]; (.loss | isfinite) and .loss > 0 and (.terms | isfinite))' "$1")" = true ]; }
for loss in softmax norm_softmax sphereface cosface cm1 cm2; do
    short --purify none --loss $loss > "$TEST_TMP/loss.log" || echo "# $loss failed"
    check "$loss trains" finite "$TEST_TMP/loss.log"
done
short --purify none --intra 1 --inter 1 --triplet 1 --distill-cosine 1 --kl 0.1 --optimizer adamw --rate 0.0005 \
    --schedule step --straight --filter 0.4 --whole > "$TEST_TMP/loss.log" || echo "# the terms failed"
check "all terms together train, with AdamW and steps" finite "$TEST_TMP/loss.log"
check "and count" test "$(jq -s '[.[] | select(.kind == "step")][-1].terms > 0' "$TEST_TMP/loss.log")" = true
short --sample 0.5 --subcenters 2 --schedule polynomial --purify plain > "$TEST_TMP/loss.log" || echo "# sampling failed"
check "sampled classes with two sub-centers train" finite "$TEST_TMP/loss.log"
train "$TEST_TMP/no.onnx" --schedule never > /dev/null 2> "$TEST_TMP/refused"
check "an unknown schedule is refused with the names of the known" grep -q 'polynomial' "$TEST_TMP/refused"
train "$TEST_TMP/no.onnx" --loss arcfaze > /dev/null 2> "$TEST_TMP/refused"
check "an unknown loss is refused with the names of the known" grep -q 'norm_softmax' "$TEST_TMP/refused"
"$ARCFACED" train --recognizer "$shared/models/mbf_512_int8.onnx" --set "$people" --aligned --out "$TEST_TMP/no.onnx" > /dev/null 2> "$TEST_TMP/refused"
check "a quantised recogniser is refused" test $? = 1
echo "# $(head -c 200 "$TEST_TMP/refused")"
echo "1..$number"
