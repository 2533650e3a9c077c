/*
 * gallery_jobs.h: the long use cases of the gallery as jobs: change collections over to another model, judge the labels of a collection,
 * measure its recogniser.  What the arguments and the result of each kind look like is decided here.
 *
 *   activate   {"model": version, "collections": [name, ...]}
 *              → {"collections": [{"collection", "from", "to", "faces", "embedded", "forgotten", "threshold_dropped",
 *                 "max_fmr_dropped"}]}
 *              One collection after the other; those that have changed over stay so if a later one fails.
 *   purify     {"collection": name, "max_degrees": 75, "rule": "plain" or "refined"} → {"collection", "model", "faces", "people", "rule",
 *              "max_degrees", "subcenters", "plain", "refined" (faces that each rule names), "found" (by the rule that was asked for),
 *              "likely", "unsure"}; what was found are rows (server/store/finding_rows.h)
 *   evaluate   {"collection": name, "most_faces": n, "rounds": n} → {"collection", "model", "faces", "measured_faces", "people",
 *              "sampled", "pairs", "tar": [...], "rank1", "rank5", "tpir": [...], "det": [...], "calibration": as in a manifest
 *              (server/gallery/manifest.h), a proposal, or null, "uncalibrated": why it is null}; a figure is {"value", "low", "high"}: the
 *              middle 95 % of the bootstrap over people
 *
 * All three may be begun again after the daemon was killed: an activation goes on with the faces that lack an embedding.
 */
#ifndef SERVER_JOBS_GALLERY_JOBS_H
#define SERVER_JOBS_GALLERY_JOBS_H

#include "server/gallery/calibrate.h"
#include "server/gallery/gallery.h"
#include "server/gallery/review.h"
#include "server/jobs/jobs.h"

#define ACTIVATE_KIND "activate"
#define PURIFY_KIND REVIEW_KIND
#define EVALUATE_KIND EVALUATION_KIND

/* Lines of the table for jobs_start; the gallery must outlive the jobs. */
struct job_handler activate_handler(struct gallery *gallery);
struct job_handler purify_handler(struct gallery *gallery);
struct job_handler evaluate_handler(struct gallery *gallery);

/*
 * Queue a job; jobs_wake is the caller's.  The caller has checked that it can be done (gallery_activation_plan).
 * collection_id: the row that the job belongs to; 0: several.  The answer to keep (NULL: none) is made from the struct job_row.
 * Errors: ERR_MISUSE the arguments together are longer than 16 KiB; ERR_NOT_FOUND the collection; as store_job_add.
 */
MUST_CHECK enum err activate_job_add(struct store *store, const char *version, const char *const *collections, int n,
                                     int64_t collection_id, const char *actor, const struct replay *replay,
                                     int64_t *ret_id, struct err_note *note);
MUST_CHECK enum err purify_job_add(struct store *store, const char *collection, int64_t collection_id,
                                   const struct review_wish *wish, const char *actor, const struct replay *replay,
                                   int64_t *ret_id, struct err_note *note);
MUST_CHECK enum err evaluate_job_add(struct store *store, const char *collection, int64_t collection_id,
                                     int64_t most_faces, int64_t rounds, const char *actor, const struct replay *replay,
                                     int64_t *ret_id, struct err_note *note);

#endif
