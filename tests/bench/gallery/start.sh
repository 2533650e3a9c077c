#!/bin/bash
# start.sh: how long the daemon takes to serve many faces, from the rows and from the index's files, and in how much memory.
#
# ARCFACED the binary, FILL enroll_rows, FACES (1000000), RECOGNIZER (of 512 numbers).  Fails if what is required at a million is
# not reached: 15 s from the rows, 2 s from files that the system has in memory.  GALLERY: a folder that keeps the rows for the
# next time.
#
# Two cores, 1,000,000 faces of 512 numbers: from the rows 12.1 s (30.5 s before; rows are read on one thread and added on another), from
# 15 files 1.4 to 2.0 s, the middle of four 1.7 s (2.0 to 2.2 s in the same turns before the ids were read beside the files).
. "$(dirname "$0")/daemon.bash"
faces=${FACES:-1000000}
files=$((faces / 65536))

started=$(date +%s.%N)
fill "$faces" 1
dim=$(head -1 "$data/queries" | tr -cd , | wc -c)
dim=$((dim + 1))
awk -v n="$faces" -v d="$dim" -v a="$started" -v b="$(date +%s.%N)" 'BEGIN { printf "%d faces of %d numbers: rows made in %.0f s\n", n, d, b - a }'

# answers: the first identification after the start.
answers() {
    curl -s -m 20 -H "x-api-key: $key" -H "Content-Type: application/json" -d "{\"embedding\":$(head -1 "$data/queries")}" \
        "$url/v1/identify" | jq -e '.faces[0].candidates[0].subject.name == "person0"' >/dev/null ||
        { echo "start: a wrong answer"; exit 1; }
}
memory() {
    awk -v n="$faces" -v what="$1" '/^RssAnon/ { anon = $2 } /^RssFile/ { file = $2 } END {
        printf "  %s: %.0f bytes a face of its own, %.0f mapped\n", what, anon * 1024 / n, file * 1024 / n }' "/proc/$pid/status"
}
# took WHAT REQUIRED: the time from the process's begin to the first answer.
took() {
    awk -v what="$1" -v most="$2" -v n="$faces" -v a="$begun" -v b="$(date +%s.%N)" 'BEGIN {
        late = n >= 1000000 && (b - a) + 0 > most + 0
        printf "%s: served after %.2f s (required %s s at a million)%s\n", what, b - a, most, late ? "  NOT REACHED" : ""
        exit late }' || failed=1
    awk '{ printf "  %.2f s of CPU in all\n", ($14 + $15) / 100 }' "/proc/$pid/stat"
    sed -n 's/.*"event":"index_ready".*"text":"\([^"]*\)".*/  \1/p' "$log"
}
failed=0
rm -rf "$data/index"
serve
answers
took "from the rows" 15
memory "after the start from rows"
until [ "$(find "$data/index" -name '*.segment' 2>/dev/null | wc -l)" -ge $files ]; do sleep 0.2; done
halt
serve
answers
took "from $files files" 2
memory "after the start from files"
halt
"$ARCFACED" index verify --data "$data" || failed=1
exit $failed
