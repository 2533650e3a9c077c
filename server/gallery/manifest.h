/*
 * manifest.h: what the file beside a model says about it, and what is assumed when there is none.
 *
 * A manifest is a JSON object:
 *   role         "detector" or "recognizer"
 *   color        "rgb" or "bgr": the order in which the network wants the channels
 *   mean, std    three numbers each, in 0..255 units and in the network's order: x' = (x - mean) / std
 *   flip         true: the mirrored crop is embedded too (recognisers)
 *   source, licence  texts
 *   calibration  {"points": [{"fmr": 0.001, "cosine": 0.31}, ...], "evidence": ...}: measured on pairs of strangers; at
 *                least two points, rates falling and cosines rising
 * Members that we do not know are kept; wrong ones are refused by name.
 */
#ifndef SERVER_GALLERY_MANIFEST_H
#define SERVER_GALLERY_MANIFEST_H

#include "core/base/arena.h"
#include "core/face/face.h"
#include "server/gallery/decision.h"
#include "server/store/model_rows.h"

#define MANIFEST_LIMIT_BYTES (1 << 20)

struct manifest {
    enum model_role role;
    struct preprocess how;
    bool flip;
    struct calibration calibration;
    const char *source;  /* NULL: not stated */
    const char *licence; /* NULL: not stated */

    /* the same as JSON texts, for the rows and for the copy in the data folder */
    const char *json;             /* all of it, with what was assumed written out */
    const char *preprocess_json;  /* color, mean, std */
    const char *calibration_json; /* NULL: none */

    const char *assumed; /* a sentence for the log; NULL: nothing was */
};

/*
 * Reads a manifest; text NULL: there is none, and everything is assumed.
 * normalises_itself: the graph's own first nodes do (then raw 0..255 goes in unless the manifest says otherwise).
 * Owns:   texts are carved from mem.
 * Errors: ERR_FORMAT not JSON, or a member that is wrong: the note names it; ERR_CONFLICT the role is the other one;
 *         ERR_LIMIT, ERR_NOMEM mem.
 */
MUST_CHECK enum err manifest_read(const char *text, size_t bytes, enum model_role role, bool normalises_itself,
                                  struct arena *mem, struct manifest *ret, struct err_note *note);

/* Reads the calibration alone, as the rows hold it.  Errors: ERR_FORMAT. */
MUST_CHECK enum err manifest_read_calibration(const char *json, struct calibration *ret, struct err_note *note);

/*
 * Names a model version: the SHA-256 over the ONNX file's own SHA-256 and everything else that makes the numbers:
 * preprocessing, flip, the alignment of crops (recognisers).  Calibration is not part of it.
 */
void manifest_version(const unsigned char onnx_sha256[32], const struct manifest *manifest,
                      char ret[STORE_VERSION_TEXT]);

#endif
