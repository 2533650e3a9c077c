#!/usr/bin/env bash
# 62_admin_chapter.sh: the README's chapter on administration, line by line, on photos of a few people.
. tests/api/lib.bash
skip_under_sanitizer "a limit on a training's data excludes a sanitizer's shadow memory"
LFW=$FACES/lfw
skip_without "$LFW/peopleDevTrain.txt" "$LFW/images"
PEOPLE=14
PHOTOS=5

lines=$TEST_TMP/lines
readme_lines admin README.md >"$lines"
checks=$(grep -c '^# => ' "$lines")
[ "$checks" -ge 12 ]
check "the README shows at least twelve answers" $? "$checks"

mkdir "$TEST_TMP/photos" "$TEST_TMP/people"
for person in $(awk -F '\t' -v least=$PHOTOS '$2 >= least && $2 < 9 {print $1}' "$LFW/peopleDevTrain.txt" | head -n $PEOPLE); do
    mkdir "$TEST_TMP/people/$person"
    for photo in $(ls "$LFW/images/$person" | head -n $PHOTOS); do
        cp "$LFW/images/$person/$photo" "$TEST_TMP/people/$person"
    done
done
tar -C "$TEST_TMP/people" -cf "$TEST_TMP/photos/people.tar" .
start
cd "$TEST_TMP/photos" || exit 1
run_readme_lines "$lines"
stop
check "the daemon ends" $?
