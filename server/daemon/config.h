/*
 * config.h: what the operator may set, in one table: flag over environment over file over default.
 *
 * A setting named "queue_length" is the flag --queue-length, the variable ARCFACED_QUEUE_LENGTH and the file's line
 * "queue_length = 64".  Everything is read and checked before anything is opened; a wrong value is refused in a sentence.
 * The file is lines of "key = value" with # comments, not JSON: operators need to write why a value is what it is.
 * The struct is filled once by the first thread and read by all.
 */
#ifndef SERVER_DAEMON_CONFIG_H
#define SERVER_DAEMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/base/arena.h"
#include "core/base/err.h"

enum config_origin {
    CONFIG_DEFAULT,
    CONFIG_FILE,
    CONFIG_ENVIRONMENT,
    CONFIG_FLAG
};

#define CONFIG_MAX_SETTINGS 64

struct config {
    /* where things are; empty texts are unset */
    const char *data;
    const char *listen;
    const char *detector;
    const char *recognizer;
    const char *config;

    /* who may call */
    bool no_auth;
    const char *bootstrap_key; /* secret: never printed, never a flag */

    const char *log_level; /* debug, info, warn, error */
    const char *kernels;   /* as kernels_force takes it (core/kernel/kernels.h) */
    const char *memory;    /* small or fast (core/graph/packing.h) */
    const char *weights;   /* fp32 or fp16 */
    const char *kill_at;   /* for tests: core/base/point.h */

    /* threads and memory */
    int64_t workers; /* 0: one per processor */
    int64_t network_threads;
    int64_t batch;          /* crops of several requests embedded in one run; 1: none */
    int64_t batch_wait_ms;  /* how long a run waits for requests on their way */
    int64_t arena_bytes;    /* cap of one worker's arena: the photo, its pixels, the answer */
    int64_t session_bytes;  /* cap of one network session's activations */
    int64_t training_bytes; /* memory that the process of a training may use */

    /* what one caller may ask */
    int64_t body_bytes;
    int64_t model_bytes;  /* of an uploaded model */
    int64_t upload_bytes; /* of a body that goes to a file: archives, models */
    int64_t photo_pixels;
    int64_t photo_side;
    int64_t faces_max;
    int64_t detect_side;
    double detect_score;
    int64_t top_k_max;
    int64_t models_kept;  /* of each collection */
    int64_t segment_rows; /* of an index's files */
    bool low_memory;
    int64_t page_max;
    int64_t json_depth;

    /* what all callers together may ask */
    int64_t connections;
    int64_t queue_length;
    int64_t bodies_bytes; /* bodies held at one time */

    /* time */
    int64_t deadline_ms; /* from the last byte of a request to its answer */
    int64_t head_ms;     /* for the head of a request, counted from the connection or the last answer */
    int64_t body_ms;     /* for its body */
    int64_t drain_ms;    /* for what runs when the daemon is asked to stop */
    int64_t idempotency_hours;

    /* deciding */
    double threshold; /* cosine, for models without calibration */
    double max_fmr;   /* wanted false match rate, for models with one */
    double margin;    /* a runner-up this close makes a match ambiguous */

    /* derived from listen by the parser */
    char listen_host[64]; /* numeric */
    int listen_port;      /* 0: any free one */

    /* the arguments that are not flags */
    char **words;
    int n_words;

    enum config_origin origin[CONFIG_MAX_SETTINGS]; /* by row of the table */
    struct arena *mem;
};

/*
 * Reads flags, environment and file.  argv holds the arguments behind the command's name.
 * Owns:   *ret until config_release; words point into argv.
 * Errors: ERR_MISUSE an unknown flag or key, a value out of its range, a combination that is not allowed; ERR_NOT_FOUND,
 *         ERR_DENIED, ERR_IO, ERR_LIMIT the file; ERR_NOMEM.
 */
MUST_CHECK enum err config_parse(int argc, char **argv, struct config *ret, struct err_note *note);
void config_release(struct config *config);

/* workers as set, or by the number of processors: more than those where requests form batches, as most then wait. */
int config_workers(const struct config *config);

/* Prints the table: name, value, origin, default, bounds, variable, meaning.  Secrets show only whether they are set. */
void config_print(const struct config *config, FILE *out);

/* Prints the flags with their defaults, for --help. */
void config_usage(FILE *out);

/* True if the address that the daemon listens on can be reached from this machine only. */
bool config_is_loopback(const struct config *config);

#endif
