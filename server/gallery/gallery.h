/*
 * gallery.h: everybody who is enrolled, the networks that know them, and the threads that ask.
 *
 * A gallery joins the rows (server/store), the models and the indexes.  One use case is one file beside this one: enroll.h,
 * identify.h, verify.h, look.h, forget.h, people.h; they take a worker and plain structs, and know neither HTTP nor the
 * API's JSON.
 *
 * Threads: a gallery is shared by all threads.  A worker belongs to one thread; what a use case returns is carved from the
 * worker's arena and is gone at gallery_worker_reset.
 */
#ifndef SERVER_GALLERY_GALLERY_H
#define SERVER_GALLERY_GALLERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/cancel.h"
#include "core/base/err.h"

struct gallery;
struct gallery_worker;
struct store;

/* ---- Failures ---------------------------------------------------------------------------------------------------- */

/* Why a request could not be served, where "what kind of error" is not exact enough for a caller's program. */
enum gallery_reason {
    GALLERY_REASON_NONE,        /* the enum err says it all */
    GALLERY_NOT_AN_IMAGE,       /* ERR_UNSUPPORTED: not a JPEG, PNG or WebP that we read */
    GALLERY_DAMAGED_IMAGE,      /* ERR_FORMAT */
    GALLERY_IMAGE_TOO_LARGE,    /* ERR_LIMIT: bytes, pixels, or the worker's memory */
    GALLERY_WRONG_CROP_SIZE,    /* ERR_CONFLICT: aligned, but not of the recogniser's input size */
    GALLERY_NO_FACE,            /* ERR_CONFLICT */
    GALLERY_SEVERAL_FACES,      /* ERR_CONFLICT */
    GALLERY_LOW_QUALITY,        /* ERR_CONFLICT */
    GALLERY_NO_SUCH_COLLECTION, /* ERR_NOT_FOUND */
    GALLERY_NO_SUCH_SUBJECT,    /* ERR_NOT_FOUND */
    GALLERY_NO_SUCH_FACE,       /* ERR_NOT_FOUND */
    GALLERY_NO_SUCH_MODEL,      /* ERR_NOT_FOUND */
    GALLERY_NO_IMAGE_KEPT,      /* ERR_NOT_FOUND: the face is known, its picture was not kept */
    GALLERY_BAD_NAME,           /* ERR_MISUSE: empty, too long, not UTF-8, control characters */
    GALLERY_BAD_METADATA,       /* ERR_MISUSE: not a JSON object, or too large */
    GALLERY_BAD_INDEX,          /* ERR_UNSUPPORTED: no description of an index that can be had here */
    GALLERY_BAD_OPTION,         /* ERR_MISUSE: an option out of its range, or options that exclude each other */
    GALLERY_BAD_EMBEDDING,      /* ERR_MISUSE: not finite, or of length zero */
    GALLERY_WRONG_DIMENSION,    /* ERR_MISUSE: not as many numbers as the collection's model makes */
    GALLERY_UNSUPPORTED_RATE,   /* ERR_CONFLICT: a false match rate that the model's calibration does not reach */
    GALLERY_NAME_TAKEN,         /* ERR_EXISTS */
    GALLERY_DUPLICATE,          /* ERR_EXISTS: this photo or this face is enrolled already; the sentence says which */
    GALLERY_NOT_MERGED,         /* ERR_CONFLICT: there is no merge into this subject that could be undone */
    GALLERY_COLLECTION_EXISTS,  /* ERR_EXISTS */
    GALLERY_OTHER_COLLECTION,   /* ERR_CONFLICT: the face or subject lives in another collection than the one named */
    GALLERY_NO_MODEL,           /* ERR_CONFLICT: this daemon was started without the network that is needed */
    GALLERY_MODEL_PINNED,       /* ERR_CONFLICT: a collection with faces does not change its model this way */
    GALLERY_NO_CROPS,           /* ERR_CONFLICT: faces without a crop cannot be embedded again */
    GALLERY_OTHER_CROPS,        /* ERR_CONFLICT: the crops kept have another size than the model's input */
    GALLERY_NOT_PROVEN,         /* ERR_CONFLICT: a model that was trained here and not shown to be better */
    GALLERY_MOVED,              /* ERR_CONFLICT: the collection changed over to another model meanwhile */
    GALLERY_NO_FORMER_MODEL,    /* ERR_CONFLICT: nothing to go back to */
    GALLERY_BAD_MODEL,          /* ERR_UNSUPPORTED: not a recogniser that works here */
    GALLERY_MODEL_IN_USE,       /* ERR_CONFLICT */
    GALLERY_TOO_FEW,            /* ERR_CONFLICT: too few faces or people to say anything */
    GALLERY_NO_SUCH_JOB,        /* ERR_NOT_FOUND */
    GALLERY_OTHER_JOB           /* ERR_CONFLICT: the job is of another kind, or has not ended well */
};

/* The stable word for the API: "no_face", "several_faces", ...; NULL for GALLERY_REASON_NONE. */
const char *gallery_reason_word(enum gallery_reason reason);

/* What every use case fills on failure; {0} before the call. */
struct gallery_fault {
    enum gallery_reason reason;
    struct err_note note;
};

/* ---- Life cycle -------------------------------------------------------------------------------------------------- */

/* What a request is held to where neither it nor its collection says otherwise (decision.h argues the first three). */
struct gallery_policy {
    float threshold;    /* cosine, for models without calibration */
    double max_fmr;     /* for models with one */
    float margin;       /* a runner-up this close makes a match ambiguous; negative: never */
    int top_k_max;      /* candidates one search may ask for */
    int detect_side;    /* longest side of the detector's input */
    float detect_score; /* from which a detection is a face */
    int faces_max;      /* in one photo; the weakest beyond are dropped */
    size_t photo_bytes; /* encoded */
    int64_t photo_pixels;
    int photo_side;
    int models_kept; /* of a collection: the present one and those it can go back to */
};

/* .40, 1e-4, .03, 100, 640, .5, 256, image_limits_default, and 3 models. */
struct gallery_policy gallery_policy_default(void);

/* What the operator should read once: an assumption made, a collection without its model, a damaged row left out. */
enum gallery_severity {
    GALLERY_SAY_INFO,
    GALLERY_SAY_WARN,
    GALLERY_SAY_ERROR
};
struct gallery_listener {
    void (*say)(void *context, enum gallery_severity severity, const char *event, const char *sentence);
    void *context;
};

struct gallery_options {
    struct store *store; /* lent; closed by its owner after gallery_close; NULL: no rows, look.h alone works */
    const char *data; /* the data folder, lent; models are copied into data/models, indexes have files in data/index */
    const char *detector; /* file; NULL: photos are refused (GALLERY_NO_MODEL), embeddings and aligned crops are not */
    const char *recognizer; /* file of the model for new collections; NULL: new collections are refused */
    struct gallery_policy policy;
    int batch;             /* crops of several requests in one run; 0, 1: every request by itself */
    int64_t batch_wait_ms; /* how long a run waits for requests that are on their way */
    int lone_threads;      /* over which a worker spreads its networks while no other is at work; 0, 1: its own */
    size_t session_bytes;  /* activations of one network in one thread; 0: 2 GiB */
    bool map_saved;        /* vectors are read from the index's files as soon as they are written (index.h) */
    size_t segment_rows;   /* faces of one file of an index (index.h); 0: 65536 */
    struct gallery_listener listener; /* say may be NULL; called during gallery_open and, later, from any thread */
};

/*
 * Loads the models, makes the collection "default" if there is none, and builds the index of every collection from its
 * rows.  A collection whose model is missing or damaged is reported to the listener and answers with that error; the
 * others serve.
 * Errors: those of the files named in options (ERR_NOT_FOUND, ERR_FORMAT, ERR_UNSUPPORTED, ...), of the rows (ERR_CORRUPT,
 *         ERR_IO, ...); ERR_NOMEM.
 */
MUST_CHECK enum err gallery_open(const struct gallery_options *options, struct gallery **ret, struct err_note *note);

/* After every worker is freed. */
void gallery_close(struct gallery *gallery);

struct store *gallery_store(struct gallery *gallery);

/* ---- Workers ----------------------------------------------------------------------------------------------------- */

/* arena_bytes caps what one request may hold: the pixels, the crops, the answer. */
MUST_CHECK enum err gallery_worker_new(struct gallery *gallery, size_t arena_bytes, struct gallery_worker **ret);
void gallery_worker_free(struct gallery_worker *worker);

/* Wipes the arena, clears the times and the request; call it after every request, when the answer has been written. */
void gallery_worker_reset(struct gallery_worker *worker);

/* For the caller's own needs in the same request: parsed parameters, the answer's text. */
struct arena *gallery_worker_arena(struct gallery_worker *worker);
struct gallery *gallery_worker_gallery(struct gallery_worker *worker);

/* Nanoseconds that this request has spent by stage since the last reset; 0: the stage did not run. */
struct gallery_times {
    int64_t decode_ns;
    int64_t detect_ns;
    int64_t align_ns; /* with judging the quality */
    int64_t embed_ns;
    int64_t search_ns;
    int64_t rows_ns; /* reading and committing */
    int faces;       /* detected */
};
const struct gallery_times *gallery_worker_times(const struct gallery_worker *worker);

/*
 * What the use cases must know about the request in hand; set after the reset, {0} (nobody, no hurry) until then.
 * The texts must live until the next reset.
 */
struct gallery_request {
    const char *actor;     /* id of the key that asks, for the audit log; NULL: nobody is known (--no-auth) */
    int64_t deadline_ns;   /* of clock_monotonic_ns; 0: none.  Asked between the stages: ERR_TIMEOUT */
    struct cancel *cancel; /* may be NULL; asked between the stages: ERR_CANCELLED */
};
void gallery_worker_begin(struct gallery_worker *worker, const struct gallery_request *request);

/*
 * The answer of the request in hand is kept with its change (replay_rows.h), until the worker begins another.  It is made from
 * what the use case gives as its *ret, which is complete then; the use cases that keep one say so ("Keeps:").
 */
struct replay;
void gallery_worker_keep(struct gallery_worker *worker, const struct replay *replay);

/* ---- Words that the use cases share ------------------------------------------------------------------------------ */

/* A photo as sent.  bytes NULL: none. */
struct gallery_photo {
    const void *bytes;
    size_t n_bytes;
    bool aligned; /* it is a crop of the recogniser's input size already: no detection */
};

/* An embedding as sent; need not be of unit length.  values NULL: none. */
struct gallery_embedding {
    const float *values;
    int dim;
};

/* Who: by id or by name, never guessed; exactly one is set. */
struct subject_ref {
    const char *id;
    const char *name;
};

/* Which faces of a photo. */
enum faces_wanted {
    FACES_DEFAULT, /* each use case says which */
    FACES_SINGLE,  /* exactly one must be there */
    FACES_LARGEST, /* the one with the largest box */
    FACES_ALL
};

#define SEEN_FACE_MAX_REASONS 8

/* A face in a photo, in pixels of the upright photo. */
struct seen_face {
    float box[4];                               /* x y width height */
    float landmarks[5][2];                      /* eyes, nose, mouth corners, left first as seen; x y */
    float score;                                /* the detector's, 0..1; 1 for an aligned crop */
    float quality;                              /* 0..1 */
    int n_reasons;                              /* words against it, for the level of quality asked for */
    const char *reasons[SEEN_FACE_MAX_REASONS]; /* "too_small", ...; static texts */
};

/* The upright photo's size, for the answer; 0 × 0 when no photo was sent. */
struct photo_size {
    int width;
    int height;
};

/* The threshold that a decision was made with. */
struct threshold_used {
    float cosine;
    bool calibrated;
    bool has_fmr;
    double fmr; /* false match rate at this cosine; only with has_fmr */
};

/* ---- What runs here, for /v1/info and the log -------------------------------------------------------------------- */

struct model_info {
    const char *version; /* 64 hexadecimal digits; for a detector the SHA-256 of file and preprocessing as well */
    const char *role;    /* "detector", "recognizer" */
    const char *file;    /* base name as given at start; NULL: known from the data folder only */
    const char *source;  /* from the manifest; NULL: not stated */
    const char *licence;
    int dim;  /* floats of an embedding; 0 for a detector */
    int side; /* pixels of a crop; 0 for a detector */
    bool calibrated;
    bool is_default; /* new collections get it */
};

/* The models in memory.  Owns: carved from the worker's arena. */
MUST_CHECK enum err gallery_models(struct gallery_worker *worker, struct model_info **ret, int *ret_count);

/* What the memory is spent on, for /metrics. */
struct gallery_usage {
    int collections;
    int models;
    int64_t indexed_faces;
    size_t index_bytes;
    int64_t accelerated_faces; /* that FAISS answers for */
    size_t accelerator_bytes;  /* of index_bytes, for this */
    size_t model_bytes;        /* constants of the graphs */
};
void gallery_usage(struct gallery *gallery, struct gallery_usage *ret);

#endif
