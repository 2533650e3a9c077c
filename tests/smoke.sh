#!/bin/bash
# smoke.sh BINARY README: runs the calls of the README verbatim against the real binary, with real models and the people of tests/photos.
#
# The README's part: every ```sh block right behind a line "<!-- smoke -->", in order, in one shell.  A line that begins with
# "# => " holds a jq filter that must be true of what the lines since the last such line have printed.  The only word that is
# changed is the address 127.0.0.1:8080, which becomes that of the daemon started here; $KEY is its bootstrap key; the photos
# alice-1.jpg, alice-2.jpg, bob-1.jpg and stranger.jpg lie in the folder where the lines run.  Halfway the daemon is stopped
# and started again, so the second half also shows that nothing is lost.
#
# Prints TAP.  Needs curl and jq.  Without ARCFACED_SHARED it runs the models inside the program.
set -u
ARCFACED=$(realpath "$1")
README=$(realpath "$2")
export ARCFACED
ARCFACED_SHARED=$(realpath -m "${ARCFACED_SHARED:-../shared}")
export ARCFACED_SHARED
TEST_TMP=$(mktemp -d)
export TEST_TMP
. "$(dirname "$0")/api/lib.bash"
trap 'finish; rm -rf "$TEST_TMP"' EXIT
PHOTOS=$(realpath "$(dirname "$0")/photos")

lines=$TEST_TMP/lines
readme_lines smoke "$README" >"$lines"
checks=$(grep -c '^# => ' "$lines")
if [ "$checks" -lt 10 ]; then
    echo "not ok 1 - the README shows ten calls"
    echo "# found $checks lines that begin with # =>"
    exit 1
fi

folder=$TEST_TMP/photos
mkdir "$folder"
cp "$PHOTOS"/{alice-1,alice-2,bob-1,stranger}.jpg "$folder"
start
again() {
    stop && start --listen "$1"
    check "stopped and started again" $?
}
cd "$folder" || exit 1
run_readme_lines "$lines" again
stop
check "ends" $?
