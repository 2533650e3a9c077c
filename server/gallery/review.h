/*
 * review.h: which enrolled faces seem to stand under a wrong name, and putting them aside.
 *
 * Judging only looks: each face against the faces of its subject, by the embeddings that are stored and by both rules of
 * core/train/purify.h.  Nothing is trained here, so the plain rule's sub-centers are the means of a subject's groups, which is
 * where training would begin them (core/train/centers.h).  What the rule that was asked for finds are rows of the job
 * (server/store/finding_rows.h).  Setting aside is a second step that names the job: the faces are then found by no search and trained on
 * by nobody, but nothing of them is deleted, and the same job brings them back for as long as it is known.
 */
#ifndef SERVER_GALLERY_REVIEW_H
#define SERVER_GALLERY_REVIEW_H

#include "server/gallery/gallery.h"
#include "server/gallery/long_work.h"
#include "server/store/model_rows.h"

/* Of the jobs whose findings these are: a review, or a training that left photos out. */
#define REVIEW_KIND "purify"
#define REVIEW_TRAINING_KIND "training"

enum review_rule {
    REVIEW_PLAIN,
    REVIEW_REFINED
};

const char *review_rule_word(enum review_rule rule); /* "plain", "refined" */

/* REFINED for another word, or NULL. */
enum review_rule review_rule_named(const char *word);

struct review_wish {
    enum review_rule rule;
    double degrees; /* faces farther than this from the middle of their subject are named; 0: 75 */
};

struct review {
    char model[STORE_VERSION_TEXT];
    int n_faces, n_people;
    int n_plain, n_refined; /* faces that seem to be somebody else's by each rule */
    int n_found;            /* by the rule that was asked for */
    int n_likely;           /* of these: whose is told */
    int n_unsure;           /* faces of people with too few that agree to judge by; kept by the refined rule */
    int subcenters;         /* of the plain rule: three if a subject has ten faces; others have one */
    float degrees;          /* the limit used */
};

/*
 * Judges every face of a collection and stores the findings under the job, replacing those of an earlier attempt.
 * Errors: GALLERY_NO_SUCH_COLLECTION; GALLERY_TOO_FEW no subject with two faces; GALLERY_BAD_OPTION degrees outside 0 .. 180;
 *         ERR_LIMIT the embeddings or the judging need more memory than a job may use; ERR_CANCELLED; ERR_NOMEM, ERR_IO.
 */
MUST_CHECK enum err gallery_review(struct gallery_worker *worker, const char *collection,
                                   const struct review_wish *wish, int64_t job_id, const struct long_work *work,
                                   struct review *ret, struct gallery_fault *fault);

/*
 * Sets the faces that a job found aside, or brings them back; *ret_faces says how many.  Faces that meanwhile were deleted or
 * moved to another subject are left out.
 * Errors: GALLERY_NO_SUCH_JOB; GALLERY_OTHER_JOB it is neither a review nor a training, or has not succeeded; ERR_NOMEM, ERR_LIMIT,
 *         ERR_BUSY, ERR_IO, ERR_NO_SPACE.
 */
MUST_CHECK enum err gallery_set_aside(struct gallery_worker *worker, int64_t job_id, int64_t *ret_faces,
                                      struct gallery_fault *fault);
MUST_CHECK enum err gallery_bring_back(struct gallery_worker *worker, int64_t job_id, int64_t *ret_faces,
                                       struct gallery_fault *fault);

#endif
