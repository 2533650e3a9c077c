#!/bin/bash
# soak_import.sh: an archive of FILES empty files through the whole job: each has its outcome, the daemon answers meanwhile, and stays small.
#
# A million, two cores of an Emerald Rapids with much other work beside: 92 s, 53 MB more, /healthz within 81 ms.
. "$(dirname "$0")/../api/lib.bash"

/usr/bin/python3 - "$FILES" "$TEST_TMP/empties.tar.gz" <<'PYTHON'
import gzip, sys, tarfile
n = int(sys.argv[1])
with gzip.open(sys.argv[2], 'wb', 1) as out:
    for i in range(n):
        out.write(tarfile.TarInfo('person%d/a.jpg' % (i % 1000)).tobuf(tarfile.USTAR_FORMAT))
    out.write(bytes(1024))
PYTHON

ended() {
    call GET "/v1/admin/jobs/$JOB"
    printf '%s' "$BODY" | jq -e '.state | IN("succeeded", "failed", "cancelled")' >/dev/null
}
resident_kb() {
    sed -n "s/^$1:[^0-9]*\([0-9]*\) kB/\1/p" "/proc/$PID/status"
}

start
before=$(resident_kb VmRSS)
begun=$SECONDS
call POST /v1/import -T "$TEST_TMP/empties.tar.gz"
answers "an import of $FILES files, $(stat -c %s "$TEST_TMP/empties.tar.gz") bytes, is queued" 202 '.id > 0'
JOB=$(printf '%s' "$BODY" | jq -r .id)
slowest=0
until ended || [ $((SECONDS - begun)) -gt 3600 ]; do
    took=$(curl -s -m 60 -o /dev/null -w '%{time_total}' "$URL/healthz")
    slowest=$(printf '%s\n%s\n' "$slowest" "$took" | sort -g | tail -1)
    read -r -t 0.5 <> <(:) || true
done
ended
answers "it counts them all" 200 ".state == \"succeeded\" and .result.outcomes == {empty: $FILES}"
more=$(($(resident_kb VmHWM) - before))
echo "# $FILES empty files in $((SECONDS - begun)) s; $((more / 1024)) MB more at the most; /healthz took $slowest s at the longest"
check "in less than 100 MB more" "$([ $more -lt 102400 ]; echo $?)" "$more KB"
call GET "/v1/admin/jobs/$JOB/items?limit=1000"
answers "their items are listed" 200 '(.items | length) == 1000 and all(.items[]; .outcome == "empty") and .next_page_token != null'
stop
check "it stops" $?
