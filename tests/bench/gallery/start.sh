#!/bin/bash
# start.sh: how long the daemon takes to serve many faces, from the rows and from the index's files, and in how much memory; the latter
# also with --low-memory.
#
# ARCFACED the binary, FILL enroll_rows, FACES (1000000), RECOGNIZER (of 512 numbers).  Fails if what is required at a million is
# not reached: 15 s from the rows, 2 s from files that the system has in memory; or if a face takes more than a tenth above the memory that
# is predicted of it, beside what a daemon without faces takes and the segment that is being filled.  GALLERY: a folder that keeps the rows for the
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
own() {
    awk '/^RssAnon/ { print 1024 * $2 }' "/proc/$pid/status"
}
# memory WHAT PREDICTED: of a face, in bytes.  Beside, the last segment may stand in memory whole, its floats, codes and ids, and 32 MiB of
# rows, which SQLite keeps for next time: up to 16 for its writer and 4 for each of its readers.
memory() {
    awk -v n="$faces" -v what="$1" -v predicted="$2" -v empty="$empty" -v last=$((65536 * (dim * 5 + dim / 8 + 28))) '
        /^RssAnon/ { own = 1024 * $2 - empty } /^RssFile/ { file = 1024 * $2 } END {
        most = 1.1 * predicted * n + last + 32 * 1048576
        late = own > most
        printf "  %s: %.0f bytes a face of its own, at most %.0f allowed, %.0f mapped%s\n", what, own / n, most / n, file / n,
            late ? "  NOT REACHED" : ""
        exit late }' "/proc/$pid/status" || failed=1
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
gallery=$data
data=$work/empty
serve
empty=$(own)
halt
data=$gallery
whole=$((dim * 5 + dim / 8 + 28 + 48)) # floats, bytes, bits, and the map of ids
mapped=67                              # the map at its emptiest, live bits and checksums
rm -rf "$data/index"
serve
answers
took "from the rows" 15
memory "after the start from rows" $whole
until [ "$(find "$data/index" -name '*.segment' 2>/dev/null | wc -l)" -ge $files ]; do sleep 0.2; done
halt
serve
answers
took "from $files files" 2
memory "after the start from files" $mapped
halt
rm -rf "$data/index"
serve --low-memory
answers
took "from the rows with little memory" 15
until [ "$(find "$data/index" -name '*.segment' 2>/dev/null | wc -l)" -ge $files ]; do sleep 0.2; done
sleep 1 # the last one's memory is given back when it is complete
memory "with little memory, when files are written" $mapped
halt
serve --low-memory
answers
took "from $files files with little memory" 2
memory "after the start from files with little memory" $mapped
halt
"$ARCFACED" index verify --data "$data" || failed=1
exit $failed
