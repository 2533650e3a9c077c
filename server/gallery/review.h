/*
 * review.h: which enrolled faces seem to stand under a wrong name, and putting them aside.
 *
 * Judging only looks: each face against the other faces of its subject, by the embeddings that are stored (core/train/purify.h,
 * the refined rule).  What it finds are rows of the job that asked (server/store/finding_rows.h).  Setting aside is a second step
 * that names the job: the faces are then found by no search and trained on by nobody, but nothing of them is deleted, and the same job
 * brings them back for as long as it is known.
 */
#ifndef SERVER_GALLERY_REVIEW_H
#define SERVER_GALLERY_REVIEW_H

#include "server/gallery/gallery.h"
#include "server/gallery/long_work.h"
#include "server/store/model_rows.h"

#define REVIEW_KIND "purify" /* of the jobs whose findings these are */

struct review {
    char model[STORE_VERSION_TEXT];
    int n_faces, n_people;
    int n_found;   /* faces that seem to be somebody else's */
    int n_likely;  /* of these: whose is told */
    int n_unsure;  /* faces of people with too few that agree to judge by; kept */
    float degrees; /* the limit used */
};

/*
 * Judges every face of a collection and stores the findings under the job, replacing those of an earlier attempt.
 * degrees: faces farther than this from the middle of the others are named; 0: 75.
 * Errors: GALLERY_NO_SUCH_COLLECTION; GALLERY_TOO_FEW no subject with two faces; GALLERY_BAD_OPTION degrees outside 0 .. 180;
 *         ERR_LIMIT the embeddings or the judging need more memory than a job may use; ERR_CANCELLED; ERR_NOMEM, ERR_IO.
 */
MUST_CHECK enum err gallery_review(struct gallery_worker *worker, const char *collection, double degrees,
                                   int64_t job_id, const struct long_work *work, struct review *ret,
                                   struct gallery_fault *fault);

/*
 * Sets the faces that a job found aside, or brings them back; *ret_faces says how many.  Faces that meanwhile were deleted or
 * moved to another subject are left out.
 * Errors: GALLERY_NO_SUCH_JOB; GALLERY_OTHER_JOB it is no review, or has not succeeded; ERR_NOMEM, ERR_LIMIT, ERR_BUSY, ERR_IO,
 *         ERR_NO_SPACE.
 */
MUST_CHECK enum err gallery_set_aside(struct gallery_worker *worker, int64_t job_id, int64_t *ret_faces,
                                      struct gallery_fault *fault);
MUST_CHECK enum err gallery_bring_back(struct gallery_worker *worker, int64_t job_id, int64_t *ret_faces,
                                       struct gallery_fault *fault);

#endif
