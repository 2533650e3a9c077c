#!/bin/bash
# The commands beside serve: what they print, for odd files too, and their exit status: 0 done, 1 failed, 2 wrongly called.
. "$(dirname "$0")/lib.bash"
NETWORKS=("${NETWORKS_GIVEN[@]}")
RECOGNIZER=${NETWORKS_GIVEN[3]:-$REPOSITORY/core/models/recognizer.onnx}
export ARCFACED_DATA=$TEST_TMP/data
cd "$TEST_TMP" || exit 1

# prints NAME STATUS JQ-FILTER COMMAND...: its lines, taken as one array, pass the filter; nothing else is printed.
prints() {
    local name=$1 wanted=$2 filter=$3 status
    shift 3
    "$ARCFACED" "$@" >printed 2>said
    status=$?
    jq -es "$filter" printed >judged 2>&1 && [ $status -eq "$wanted" ]
    check "$name" $? "status $status
$(head -c 600 printed)
$(head -c 600 said)"
}

# says NAME STATUS PATTERN COMMAND...: prints nothing, and a sentence on stderr.
says() {
    local name=$1 wanted=$2 pattern=$3 status
    shift 3
    "$ARCFACED" "$@" >printed 2>said
    status=$?
    [ $status -eq "$wanted" ] && [ ! -s printed ] && grep -q -e "$pattern" said
    check "$name" $? "status $status
$(head -c 600 said)"
}

# ---- Photos ----------------------------------------------------------------------------------------------------------------
: >empty.jpg
echo text >text.jpg
head -c 6000 "$ONE" >cut.jpg
mkdir folder.jpg
printf x >$'latin\xe9.jpg'
prints "detect finds six faces" 0 'length == 1 and (.[0].faces | length) == 6 and .[0].width > .[0].height and .[0].height > 200' \
    detect "${DETECTOR[@]}" "$GROUP"
prints "embed embeds one" 0 '(.[0].faces | length) == 1 and (.[0].faces[0].embedding | length == 128 and ((map(. * .) | add) - 1 | fabs) < 1e-5)' \
    embed "${NETWORKS[@]}" "$ONE"
for command in detect embed; do
    prints "$command says a line for each odd file and goes on" 1 \
        'map(.code) == ["not_an_image", "not_an_image", "damaged_image", "format", "not_found", "not_printable", null] and (.[:6] | all(.error | length > 10)) and (.[6].faces | length) == 1' \
        $command "${NETWORKS[@]}" empty.jpg text.jpg cut.jpg folder.jpg missing.jpg $'latin\xe9.jpg' "$ONE"
done
says "detect without a photo" 2 'at least one photo' detect "${DETECTOR[@]}"
prints "detect without a network takes the detector of its own" 0 '(.[0].faces | length) >= 1' detect "$ONE"
says "detect with a network that is none" 1 'text.jpg' detect --detector text.jpg "$ONE"
says "detect with a recogniser" 1 'recognizer' detect --detector "$RECOGNIZER" "$ONE"

# ---- Sets of kernels -------------------------------------------------------------------------------------------------------
"$ARCFACED" embed "${NETWORKS[@]}" "$ONE" >best.json
for set in portable ref; do
    ARCFACED_KERNELS=$set "$ARCFACED" embed "${NETWORKS[@]}" "$ONE" >other.json
    check "kernels=$set embeds alike" "$(jq -es '[.[].faces[0].embedding] | transpose | map(.[0] * .[1]) | add > 0.99999' best.json other.json >/dev/null; echo $?)"
done
says "kernels that are none" 2 'none of auto' embed --kernels fast "${NETWORKS[@]}" "$ONE"
for packing in "--weights fp16" "--memory fast"; do
    # shellcheck disable=SC2086 # two words
    "$ARCFACED" embed $packing "${NETWORKS[@]}" "$ONE" >other.json
    check "$packing embeds alike" "$(jq -es '[.[].faces[0].embedding] | transpose | map(.[0] * .[1]) | add > 0.9999' best.json other.json >/dev/null; echo $?)"
done
says "weights that are none" 2 'fp32 or fp16' embed --weights fp8 "${NETWORKS[@]}" "$ONE"
says "memory that is none" 2 'small or fast' embed --memory huge "${NETWORKS[@]}" "$ONE"
start --kernels portable,gemm_int_portable
check "the log names the kernels in use" "$(grep '"event":"starting"' "$LOG" | jq -e '.kernels == "portable" and (.kernel_variants | test("gemm_int:ref "))' >/dev/null; echo $?)" "$(cat "$LOG")"
check "and OpenBLAS's" "$(grep '"event":"starting"' "$LOG" | jq -e '(.openblas | length) > 0' >/dev/null; echo $?)" "$(cat "$LOG")"
check "and those that are not" "$(grep -q '"event":"kernel_not_used","family":"gemm_int","variant":"portable"' "$LOG"; echo $?)" "$(cat "$LOG")"
call GET /v1/info
answers "info names the kernels" 200 '.kernels == "portable" and .kernel_variants.gemm_int == "ref" and .kernel_variants.gemm_f32 == "blas"'
stop
cp "$RECOGNIZER" "$TEST_TMP/plain.onnx" # without a manifest
start --recognizer "$TEST_TMP/plain.onnx"
check "the log says what is assumed of a model without a manifest" "$(grep -q '"event":"model_assumed".*plain' "$LOG"; echo $?)" "$(cat "$LOG")"
stop

# ---- Tables ----------------------------------------------------------------------------------------------------------------
"$ARCFACED" ops >printed
check "ops names operator, opsets, ranks and types" \
    "$(grep -q '^ai.onnx  *Conv  *[0-9]*-[0-9]*  *[0-9]-[0-9]  *float' printed && grep -q '^ai.onnx  *ConvInteger ' printed; echo $?)" "$(head -5 printed)"
ARCFACED_QUEUE_LENGTH=9 "$ARCFACED" config --workers 3 >printed
check "config names value, origin, default and bounds" \
    "$(grep -q '^queue_length  *9  *environment  *64  *1 \.\. 65535  *ARCFACED_QUEUE_LENGTH' printed && grep -q '^workers  *3  *flag ' printed; echo $?)" "$(cat printed)"
says "a setting out of its bounds" 2 'queue.length' config --queue-length 0
says "a command that is none" 2 'nonsense' nonsense
says "a command that is none has no help either" 2 'nonsense' nonsense --help
for row in serve:--listen detect:PHOTO eval:--calibrate train:--holdout train-recognizer:--mixes generate:--nobody train-detector:--level \
    key:revoke restore:BACKUP index:rebuild verify-erasure:EXPORT; do
    "$ARCFACED" "${row%%:*}" --help >printed 2>said
    [ $? -eq 0 ] && head -n 1 printed | grep -q "^usage: arcfaced ${row%%:*} " && grep -q -e "${row#*:}" printed && [ ! -s said ]
    check "${row%%:*} --help tells its own flags" $? "$(head -n 5 printed said)"
done

# ---- Keys while the daemon is stopped --------------------------------------------------------------------------------------
"$ARCFACED" key create --name door --scopes identify >printed 2>said
secret=$(grep -o 'afk_[A-Za-z0-9_-]*' printed)
check "a key is made" "$([ ${#secret} -gt 40 ]; echo $?)" "$(cat printed said)"
says "a scope that is none" 1 'root' key create --name x --scopes root
start
says "not while the daemon runs" 1 'another arcfaced' key list
AUTH="Authorization: Bearer $secret" call GET /v1/info
answers "the key opens" 200 '.name == "arcfaced"'
stop
id=${secret#afk_}
"$ARCFACED" key revoke "${id%%_*}" >printed 2>said
check "it is revoked" $? "$(cat printed said)"
start
AUTH="Authorization: Bearer $secret" call GET /v1/info
answers "and opens nothing more" 401 '.code == "revoked_key"'
"$ARCFACED" health --listen "127.0.0.1:$PORT" >printed 2>said
check "health is 0 while it runs" $? "$(cat said)"
stop
"$ARCFACED" health --listen "127.0.0.1:$PORT" >printed 2>said
check "and 1 with a word when it does not" "$([ $? -eq 1 ] && grep -q 'nobody listens' printed; echo $?)" "$(cat printed said)"
