/*
 * calibration_rows.h: a model's calibration is replaced by what a job has measured, and put back.
 *
 * A model remembers the job whose calibration is in force and the one that was in force before it, and only that: the next job's
 * takes the former one's place, which then cannot be taken back any more.
 */
#ifndef SERVER_STORE_CALIBRATION_ROWS_H
#define SERVER_STORE_CALIBRATION_ROWS_H

#include "server/store/replay_rows.h"

/*
 * Puts a job's calibration (JSON object) in force; the same job's again changes nothing, and then no answer is kept.  The one
 * to keep (NULL: none) is made from the calibration's text.
 * Errors: ERR_NOT_FOUND the model; as store_json_check.
 */
MUST_CHECK enum err store_calibration_apply(struct store *store, int64_t model_id, int64_t job_id,
                                            const char *calibration, const char *actor, const struct replay *replay,
                                            const struct after_commit *after, struct err_note *note);

/*
 * Puts back what was in force before the job's; *ret (NULL: nothing) is carved from mem and complete when after_commit is called.
 * The answer to keep (NULL: none) is made from that text.
 * Errors: ERR_NOT_FOUND the model; ERR_CONFLICT what is in force is not of this job.
 */
MUST_CHECK enum err store_calibration_undo(struct store *store, int64_t model_id, int64_t job_id, const char *actor,
                                           const struct replay *replay, const struct after_commit *after,
                                           struct arena *mem, const char **ret, struct err_note *note);

#endif
