# train_recognizer.sh: arcfaced train-recognizer on a few people of celeb_112 (not the reserved ones): what it writes, that a run which was
# stopped goes on to the same bytes, that the result begins another run, mixes, and what it refuses.
shared=${ARCFACED_SHARED:-../shared}
if [ ! -e "$shared/models/mobilefacenet_128.onnx" ]; then
    echo "1..1"
    echo "ok 1 - train-recognizer # SKIP no models at $shared (set ARCFACED_SHARED)"
    exit 0
fi
number=0
check() { # NAME COMMAND...
    number=$((number + 1))
    local name=$1
    shift
    if "$@"; then echo "ok $number - $name"; else echo "not ok $number - $name"; fi
}

people=$TEST_TMP/people
for id in $(ls "$shared/faces/celeb_112" | sort -n | head -n 8); do
    mkdir -p "$people/$id"
    for photo in $(ls "$shared/faces/celeb_112/$id" | head -n 8); do
        ln -s "$(realpath "$shared/faces/celeb_112/$id/$photo")" "$people/$id/$photo"
    done
done
train() { # OUT FLAGS...
    local out=$1
    shift
    ${RUN:-} "$ARCFACED" train-recognizer --teacher "$shared/models/mobilefacenet_128.onnx" --crops "$people" --out "$out" --epochs "${EPOCHS:-30}" \
        --batch 16 --shard 8 "$@"
}

train "$TEST_TMP/whole.onnx" > "$TEST_TMP/whole.log" || echo "# train-recognizer failed"
check "a model and a manifest" test -s "$TEST_TMP/whole.onnx" -a -s "$TEST_TMP/whole.onnx.json"
check "it comes nearer to the teacher" \
    test "$(jq -s '.[-1].distill < .7 * .[0].distill and .[-1].step == .[-1].steps' "$TEST_TMP/whole.log")" = true
"$ARCFACED" embed --recognizer "$TEST_TMP/whole.onnx" --aligned "$people"/*/*.jpg > "$TEST_TMP/embedded"
check "the new model is loaded and embeds" \
    test "$(jq -s 'length > 0 and all(.[]; .dim == 128 and (.faces | length) == 1)' "$TEST_TMP/embedded")" = true

# stopped on the way
: > "$TEST_TMP/cut.log"
RUN=exec train "$TEST_TMP/cut.onnx" > "$TEST_TMP/cut.log" & # so that the signal reaches the program itself
pid=$!
for _ in $(seq 1 1200); do
    if [ -s "$TEST_TMP/cut.log" ]; then break; fi
    sleep 0.05
done
kill -TERM $pid
wait $pid
check "a stopped run says so by its status" test $? = 1
train "$TEST_TMP/cut.onnx" --peek > /dev/null
check "its state can be looked at on the way" test -s "$TEST_TMP/cut.onnx"
train "$TEST_TMP/cut.onnx" --threads 1 > "$TEST_TMP/rest.log" || echo "# going on failed"
check "it goes on to the same bytes, on one thread too" cmp "$TEST_TMP/whole.onnx" "$TEST_TMP/cut.onnx"

EPOCHS=1 train "$TEST_TMP/again.onnx" --start "$TEST_TMP/whole.onnx" --rate 0.0001 > "$TEST_TMP/again.log" || echo "# --start failed"
check "another run begins where this one ended" test \
    "$(jq -s '.[0].distill' "$TEST_TMP/again.log" | cut -c1-6)" \< "$(jq -s '.[0].distill' "$TEST_TMP/whole.log" | cut -c1-6)"

EPOCHS=1 train "$TEST_TMP/mixed.onnx" --mixes 32 > "$TEST_TMP/mixed.log" || echo "# --mixes failed"
check "faces of nobody are learnt from too" test "$(jq -s '.[-1].steps' "$TEST_TMP/mixed.log")" = $(((64 + 32) / 16))
train "$TEST_TMP/mixed.onnx" --mixes 32 --data-only
check "they are drawn once" test "$(ls -d "$TEST_TMP/mixed.onnx.run"/data-* | wc -l)" = 1
mkdir -p "$TEST_TMP/one"
cp -r "$people/$(ls "$people" | head -n 1)" "$TEST_TMP/one/"

refused() { # TEXT FLAGS...
    local text=$1
    shift
    "$ARCFACED" train-recognizer "$@" > "$TEST_TMP/said" 2>&1
    [ $? -ne 0 ] && grep -qF "$text" "$TEST_TMP/said"
}
check "without a teacher it says so" refused "who teaches" --crops "$people" --out "$TEST_TMP/x.onnx"
check "a network that is not there is refused by name" refused "no network 'tiny'" \
    --teacher "$shared/models/mobilefacenet_128.onnx" --crops "$people" --out "$TEST_TMP/x.onnx" --network tiny
check "one person alone cannot be mixed" refused "of two people" --teacher "$shared/models/mobilefacenet_128.onnx" \
    --crops "$TEST_TMP/one" --out "$TEST_TMP/alone.onnx" --mixes 4
echo "1..$number"
