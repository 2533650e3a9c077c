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

"$ARCFACED" eval --recognizer "$model" --detector "$detector" --set "$shared/faces/wild" --det --calibrate \
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
check "--det prints the curve: fewer false matches, more misses, higher thresholds" test "$(figure '[.[] | select(.kind == "det")] |
    length >= 20 and .[0].fmr > 0.05 and .[-1].fmr < 0.0002 and . == sort_by(-.fmr) and
    ([.[].fnmr] | . == sort) and ([.[].threshold] | . == sort) and .[-1].fnmr > .[0].fnmr' wild)" = true
check "and passes through each TAR" test "$(figure '[.[] | select(.kind == "det")] as $det |
    [.[] | select(.kind == "TAR" and .measured)] | length == 4 and
    all(.[]; . as $tar | any($det[]; .threshold == $tar.threshold and (.fnmr + $tar.rate.value - 1 | fabs) < 1e-9))' wild)" = true
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
for flip in "" --flip; do
    # shellcheck disable=SC2086 # no word at all where it is empty
    "$ARCFACED" eval --recognizer "$model" --detector "$detector" --set "$shared/faces/wild" --only "$TEST_TMP/three" \
        $flip > "$TEST_TMP/side$flip"
done
check "without --det there is no curve" test "$(figure '[.[].kind] | index("det")' side)" = null
check "--flip says so, and embeds the mirrored crop too: other cosines, hardly other figures" test "$(jq -s \
    --slurpfile plain "$TEST_TMP/side" '(.[0].flip and ($plain[0].flip | not)) and
    ([.[], $plain[]] | map(select(.kind == "TAR" and .fmr == 0.1)) | length == 2 and
        .[0].threshold != .[1].threshold and (.[0].rate.value - .[1].rate.value | fabs) < 0.05)' "$TEST_TMP/side--flip")" = true
"$ARCFACED" eval --recognizer "$model" --set "$shared/faces/wild" --only "$TEST_TMP/three" > "$TEST_TMP/own"
check "without a detector the program's own finds the faces" test \
    "$(jq -s '.[0].photos == 18 and .[0].no_face < 9' "$TEST_TMP/own")" = true
# LFW's View 2 in small: of each of its ten folds the first four pairs of either kind.
lfw=$shared/faces/lfw
if [ -e "$lfw/pairs.txt" ]; then
    mkdir "$TEST_TMP/lfw"
    ln -s "$(realpath "$lfw/images")" "$TEST_TMP/lfw/images"
    awk 'NR == 1 { print "10\t4"; next } (NR - 2) % 300 < 4' "$lfw/pairs.txt" > "$TEST_TMP/lfw/pairs.txt"
    "$ARCFACED" eval --recognizer "$model" --detector "$detector" --lfw "$TEST_TMP/lfw" --view 2 > "$TEST_TMP/view2"
    echo "# LFW View 2, 80 of its 6000 pairs: $(figure '.[1].accuracy' view2)"
    check "View 2 is measured over ten folds" \
        test "$(figure '.[0].photos > 100 and (.[1] | .kind == "lfw" and .view == 2 and .folds == 10 and .pairs == 80 and .deviation >= 0)' view2)" = true
    check "and right in at least 95 of 100" at_least "$(figure '.[1].accuracy' view2)" .95
    head -n 50 "$TEST_TMP/lfw/pairs.txt" > "$TEST_TMP/lfw/cut"
    mv "$TEST_TMP/lfw/cut" "$TEST_TMP/lfw/pairs.txt"
    "$ARCFACED" eval --recognizer "$model" --detector "$detector" --lfw "$TEST_TMP/lfw" --view 2 > "$TEST_TMP/cut" 2> "$TEST_TMP/refused"
    check "a list that ends too soon is refused" test $? = 1 -a -s "$TEST_TMP/refused"
else
    echo "# LFW's View 2 is left out: no faces/lfw in ARCFACED_SHARED"
fi
echo "1..$number"
