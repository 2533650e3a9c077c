/*
 * calibrate.h: the thresholds that an evaluation has proposed (assess.h), put in force and taken back.
 *
 * They belong to the model, not to the collection that they were measured on: every collection that uses the model decides by them
 * from the next request on.  Taking back is possible until another evaluation's are put in force.
 */
#ifndef SERVER_GALLERY_CALIBRATE_H
#define SERVER_GALLERY_CALIBRATE_H

#include "server/gallery/gallery.h"
#include "server/store/model_rows.h"

#define EVALUATION_KIND "evaluate" /* of the jobs that propose thresholds */

struct calibrated_model {
    char model[STORE_VERSION_TEXT];
    int n_points; /* of the table in force now; 0: the model is not calibrated */
};

/*
 * Puts the thresholds that a job proposed in force; those of the same job again change nothing.
 * Errors: GALLERY_NO_SUCH_JOB; GALLERY_OTHER_JOB it is no evaluation, has not succeeded, or proposes nothing; GALLERY_NO_SUCH_MODEL the model
 *         is deleted; ERR_NOMEM, ERR_LIMIT, ERR_BUSY, ERR_IO, ERR_NO_SPACE.
 */
MUST_CHECK enum err gallery_calibrate(struct gallery_worker *worker, int64_t job_id, struct calibrated_model *ret,
                                      struct gallery_fault *fault);

/* Puts back what was in force before.  Errors: as above; GALLERY_OTHER_JOB the job's thresholds are not in force. */
MUST_CHECK enum err gallery_calibrate_back(struct gallery_worker *worker, int64_t job_id, struct calibrated_model *ret,
                                           struct gallery_fault *fault);

#endif
