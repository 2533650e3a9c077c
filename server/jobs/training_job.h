/*
 * training_job.h: the job that trains a collection's recogniser on its own crops, in a child process.
 *
 *   freeze the crops into DATA/jobs/ID · "arcfaced train --job DATA/jobs/ID" · take the candidate as a model, ready if it passed
 *   its gate, else rejected · queue the collection's change over (activate) if it passed and that is wanted
 *
 * The crops, checkpoints and the candidate's file are removed at the end, however it ends; report.json and dropped.json (rows of
 * faces that either rule of purifying would drop) stay in the folder, and log.ndjson (what the child said).  What the rule that was asked
 * for dropped are findings of the job (training_findings.h).  After a stop or a crash of the daemon the job goes on with the same frozen
 * crops from the child's last checkpoint; a child that was killed is started again, twice at most.
 *
 * While it runs its checkpoint is {"phase", "loss", "rate"}, for who asks.
 * Arguments: {"collection", "guard" (may be absent), "subcenters", "loss", "rate", "distill", "kl", "margin", "scale", "epochs", "freeze",
 * "rule", "purify_deg", "holdout", "gate", "seed", "activate"}.  Result: {"collection", "model", "state", "child_starts": by the daemon that ended the job, "activation":
 * job or null, "report"}.
 */
#ifndef SERVER_JOBS_TRAINING_JOB_H
#define SERVER_JOBS_TRAINING_JOB_H

#include "server/gallery/gallery.h"
#include "server/gallery/review.h"
#include "server/jobs/jobs.h"

#define TRAINING_KIND REVIEW_TRAINING_KIND

/* In the job's folder: every line that the child said, JSON, for who wants to know how it went. */
#define TRAINING_LOG "log.ndjson"
#define TRAINING_LOG_BYTES ((long)16 << 20) /* about; what comes after that is not kept */

struct training_job {
    struct gallery *gallery;
    const char *data;     /* the folder */
    int64_t memory_bytes; /* that the child may use */
    const char
        *kill_at; /* for tests: where the first child of a run kills itself (core/base/point.h); NULL, "": nowhere */
};

/* The line of the table for jobs_start; job must outlive it. */
struct job_handler training_handler(struct training_job *job);

struct training_wish {
    const char *collection;
    const char *filter; /* of the subjects' metadata (filter_rows.h); NULL: everybody */
    int subcenters;     /* 0: 3, or 1 where most people have fewer than 10 photos */
    const char *guard;  /* a collection whose people must not be recognised worse; NULL: none */
    const char *loss;
    int epochs;
    double margin, scale; /* 0: the loss's own */
    double rate;          /* of learning */
    double distill, kl;   /* weights of staying near the model as it is */
    double freeze;        /* share of the convolutions that does not learn */
    const char *rule;     /* "plain" or "refined": by which photos are dropped */
    double purify_deg;    /* angle from which a photo is dropped */
    double holdout;       /* share of the people */
    double gate;          /* points of TAR that may be lost at the lower end of the interval */
    int64_t seed;
    bool activate;
};

/* K by the photos, ArcFace, the refined rule, no guard, activated; the rest is gallery_training_defaults'. */
struct training_wish training_wish_default(const char *collection);

/* Queues the job.  The caller has checked that the collection can be trained on.  The answer to keep as store_job_add has it.  Errors: as store_job_add. */
MUST_CHECK enum err training_job_add(struct store *store, const struct training_wish *wish, int64_t collection_id,
                                     const char *actor, const struct replay *replay, int64_t *ret_id,
                                     struct err_note *note);

#endif
