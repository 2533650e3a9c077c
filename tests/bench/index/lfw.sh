#!/bin/bash
# lfw.sh: how many candidates the codes leave on real embeddings: LFW's, repeated with noise.
#
# ARCFACED the binary, CANDIDATES bench_candidates, PHOTOS (1000), ROWS ("100000").  Skips in words without models and photos.
#
# 1,000 photos, 100,000 rows, rows scored a query: 512 dimensions, bits 243 from .40 and 5,031 from .28, half bytes 3,105 for the best 10;
# 128 dimensions, bits 21,065 from .40 (so there bytes are planned: 285), bytes 1,688 for the best 10.  Strangers of LFW are less spread than
# synthetic ones: those leave 75 at 512 from .40.
set -euo pipefail
shared=${ARCFACED_SHARED:-../shared}
photos=${PHOTOS:-1000}
for need in "$shared/models/scrfd_500m.onnx" "$shared/faces/lfw/images"; do
    [ -e "$need" ] || { echo "candidates on LFW: skipped, $(basename "$need") is not in ARCFACED_SHARED"; exit 0; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
find "$shared/faces/lfw/images" -name '*.jpg' | sort | awk -v n="$photos" '{ all[NR] = $0 } END { for (i = 1; i <= n && i <= NR; i++) print all[int(i * NR / n)] }' >"$work/list"
for model in mbf_512_int8:512 mobilefacenet_128:128; do
    [ -e "$shared/models/${model%:*}.onnx" ] || continue
    xargs -d '\n' "$ARCFACED" embed --detector "$shared/models/scrfd_500m.onnx" --recognizer "$shared/models/${model%:*}.onnx" \
        <"$work/list" 2>/dev/null | jq -r 'select(.faces | length > 0) | .faces[0].embedding | join(" ")' >"$work/vectors" || true
    for rows in ${ROWS:-100000}; do
        "$CANDIDATES" "${model#*:}" "$rows" <"$work/vectors"
    done
done
