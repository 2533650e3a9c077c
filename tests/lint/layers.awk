# layers.awk: which folder may include which, as ARCHITECTURE.md draws it; anything else points up or sideways.
BEGIN {
    may["core/base"] = ""
    may["core/image"] = "core/base"
    may["core/kernel"] = "core/base"
    may["core/graph"] = "core/base core/kernel"
    may["core/op"] = "core/base core/kernel core/graph"
    may["core/onnx"] = "core/base core/graph core/op"
    may["core/face"] = "core/base core/image core/graph core/onnx"
    may["core/train"] = "core/base core/image core/kernel core/graph core/op core/onnx core/face"
    may["core/models"] = "core/base"
    may["index"] = "core/base core/kernel"
    may["server/daemon"] = "core/base core/kernel"
    may["server/store"] = "core/base server/daemon"
    core = "core/base core/image core/kernel core/graph core/op core/onnx core/face core/train"
    may["server/gallery"] = core " core/models index server/store server/daemon"
    may["server/jobs"] = "core/base server/daemon server/store server/gallery"
    may["server/http"] = "core/base server/daemon server/store server/gallery server/jobs"
    may["server"] = core " index server/store server/daemon server/gallery server/jobs server/http"
    # Each foreign library is included by one file, or by one folder behind one header.
    own["microhttpd.h"] = "^server/http/listen\\.c$"
    own["cblas.h"] = "^core/kernel/gemm_blas\\.c$"
    own["sqlite3.h"] = "^server/store/"
    own["jansson.h"] = "^server/"
    own["sodium.h"] = "^core/base/|^server/"
    own["turbojpeg.h"] = "^core/image/"
    own["spng.h"] = "^core/image/"
    own["webp/"] = "^core/image/"
    own["libexif/"] = "^core/image/"
    own["faiss/"] = "^index/faiss_index\\.c$"
    own["archive"] = "^server/gallery/unpack\\.c$"
    own["omp.h"] = "^core/kernel/|^index/faiss_index\\.c$"
}
/^#include/ {
    folder = FILENAME
    sub(/\/[^\/]*$/, "", folder)
    if (match($0, /"[^"]*"/)) {
        target = substr($0, RSTART + 1, RLENGTH - 2)
        sub(/\/[^\/]*$/, "", target)
        if (target != folder && index(" " may[folder] " ", " " target " ") == 0) {
            printf "%s:%d: %s may not include from %s\n", FILENAME, FNR, folder, target
            bad = 1
        }
        if ($0 ~ /_private\.h"/ && target != folder) {
            printf "%s:%d: a private header of another folder\n", FILENAME, FNR
            bad = 1
        }
    }
    if (match($0, /<[^>]*>/)) {
        target = substr($0, RSTART + 1, RLENGTH - 2)
        for (library in own) {
            if (index(target, library) == 1 && FILENAME !~ own[library]) {
                printf "%s:%d: %s is included elsewhere only\n", FILENAME, FNR, target
                bad = 1
            }
        }
    }
}
END { exit bad }
