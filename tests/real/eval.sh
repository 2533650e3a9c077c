# eval.sh: arcfaced eval on people in the wild, from their photos; thresholds written beside a copy of the model.
# The calibration here is a test of the mechanism: these people are reserved for measuring, so its file is thrown away.
shared=${ARCFACED_SHARED:-../shared}
if [ ! -e "$shared/models/scrfd_500m.onnx" ]; then
    echo "1..1"
    echo "ok 1 - eval # SKIP no models at $shared (set ARCFACED_SHARED)"
    exit 0
fi
number=0
check() { # NAME COMMAND...
    number=$((number + 1))
    local name=$1
    shift
    if "$@"; then echo "ok $number - $name"; else echo "not ok $number - $name"; fi
}
figure() { jq -s "$1" "$TEST_TMP/$2"; }
at_least() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a >= b) }'; }

cp "$shared/models/mobilefacenet_128.onnx" "$shared/models/mobilefacenet_128.onnx.json" "$TEST_TMP"
chmod u+w "$TEST_TMP"/mobilefacenet_128.onnx*
model=$TEST_TMP/mobilefacenet_128.onnx
detector=$shared/models/scrfd_500m.onnx

"$ARCFACED" eval --recognizer "$model" --detector "$detector" --set "$shared/faces/wild" --calibrate \
    > "$TEST_TMP/wild" || echo "# eval failed"
tar=$(figure '.[] | select(.kind == "TAR" and .fmr == 0.001) | .rate.value' wild)
rank=$(figure '.[] | select(.kind == "rank" and .rank == 1) | .rate.value' wild)
tpir=$(figure '.[] | select(.kind == "TPIR" and .fpir == 0.1) | .rate.value' wild)
echo "# wild, scrfd_500m + mobilefacenet_128: TAR at FMR 1e-3 $tar, rank-1 $rank, TPIR at FPIR 10 % $tpir"
check "every face is found" test "$(figure '.[0].no_face + .[0].unreadable' wild)" = 0
check "360 photos of 60 people" test "$(figure '.[0].photos == 360 and .[1].people == 60' wild)" = true
check "TAR at FMR 1e-3 is at least .89" at_least "$tar" .89
check "rank-1 is at least .95" at_least "$rank" .95
check "rates without enough pairs are told apart" \
    test "$(figure '[.[] | select(.kind == "TAR") | .supported] | map(tostring) | join(" ")' wild)" = '"true true true false"'
check "thresholds stand in the manifest" test "$(jq '.calibration.points | length' "$model.json")" = 3
check "what the manifest said before is still there" \
    test "$(jq -c '[.source, .licence]' "$model.json")" = "$(jq -c '[.source, .licence]' "$shared/models/mobilefacenet_128.onnx.json")"
"$ARCFACED" embed --recognizer "$model" --aligned "$shared/faces/celeb_112"/*/*.jpg 2> "$TEST_TMP/said" | head -1 > "$TEST_TMP/line"
check "the calibrated manifest is read back" test "$(jq .dim "$TEST_TMP/line")" = 128

head -n 3 < <(ls "$shared/faces/wild") > "$TEST_TMP/three"
"$ARCFACED" eval --recognizer "$model" --detector "$detector" --set "$shared/faces/wild" --only "$TEST_TMP/three" \
    --calibrate > "$TEST_TMP/few" 2> "$TEST_TMP/refused"
check "a set that is too small does not calibrate" test $? = 1
check "and the reason has numbers" grep -q 'pairs of strangers support fewer than two' "$TEST_TMP/refused"
"$ARCFACED" eval --recognizer "$model" --set "$shared/faces/wild" --only "$TEST_TMP/three" > "$TEST_TMP/own"
check "without a detector the program's own finds the faces" test \
    "$(jq -s '.[0].photos == 18 and .[0].no_face < 9' "$TEST_TMP/own")" = true
echo "1..$number"
