#!/bin/bash
# 15_built_in.sh: without a model of anybody's: the program's own detector and recogniser, on faces that the project made itself.
. "$(dirname "$0")/lib.bash"
NETWORKS_GIVEN=()
PHOTOS=$REPOSITORY/tests/photos
ONE=$PHOTOS/alice-1.jpg
ONE2=$PHOTOS/alice-2.jpg
OTHER=$PHOTOS/bob-1.jpg
STRANGER=$PHOTOS/stranger.jpg

start
call GET /v1/info
answers "the program says which models run" 200 \
    '[.models[] | select(.file | startswith("arcfaced"))] | map(.role) | sort == ["detector", "recognizer"]'
call POST /v1/enroll -F image=@"$ONE" -F subject=first
answers "a face is found and enrolled" 201 '.faces | length == 1'
call POST /v1/enroll -F image=@"$OTHER" -F subject=second
answers "another" 201 '.faces | length == 1'
call POST /v1/verify -F image=@"$ONE2" -F subject=first
answers "another photo of the first is the first" 200 '.match == true'
call POST /v1/verify -F image=@"$ONE2" -F subject=second
answers "and not the second" 200 '.match == false'
call POST /v1/identify -F image=@"$ONE2"
answers "the first is identified" 200 '.faces[0].decision == "match" and .faces[0].candidates[0].subject.name == "first"'
call POST /v1/identify -F image=@"$STRANGER"
answers "a stranger is unknown" 200 '.faces[0].decision == "unknown"'
stop
check "ends" $?

# The commands take them too, and an empty word still means none.
"$ARCFACED" detect "$ONE" >"$TEST_TMP/seen" && jq -e '.faces | length == 1' "$TEST_TMP/seen" >/dev/null
check "detect without a model named" $?
"$ARCFACED" embed "$ONE" >"$TEST_TMP/seen" && jq -e '.faces[0].embedding | length == 128' "$TEST_TMP/seen" >/dev/null
check "embed without a model named" $?
"$ARCFACED" serve --data "$TEST_TMP/none" --detector "" --listen 127.0.0.1:0 2>"$TEST_TMP/said"
[ $? -eq 2 ] && grep -q 'detector is set to nothing' "$TEST_TMP/said"
check "no detector at all is a mistake" $?
