/*
 * finding_rows.h: what a review of the labels found, and the faces that were set aside because of it.
 *
 * A face that is set aside keeps everything (row, embeddings, crop); no search finds it, its subject is not judged by it, and
 * nothing is trained on it, until it is brought back.  It remembers the job whose findings name it.
 */
#ifndef SERVER_STORE_FINDING_ROWS_H
#define SERVER_STORE_FINDING_ROWS_H

#include "server/store/replay_rows.h"

struct finding_new {
    int64_t face_id, subject_id;
    int subcenter;     /* of its subject: the plain rule's number; refined: 0 in the dominant group, else 1 */
    float degrees;     /* to the dominant sub-center, the middle of the subject's faces that belong together */
    int64_t likely_id; /* the subject it looks like; 0: nobody */
    float likely_degrees;
};

/* Replaces the findings of a job.  Faces that are gone are passed over.  Errors: ERR_NOT_FOUND the job. */
MUST_CHECK enum err store_findings_put(struct store *store, int64_t job_id, const struct finding_new *rows, int n,
                                       struct err_note *note);

struct finding_row {
    int64_t id;
    char face_uuid[STORE_UUID_TEXT];
    char subject_uuid[STORE_UUID_TEXT];
    const char *subject_name;
    int subcenter;
    float degrees;
    const char *likely_uuid; /* NULL: nobody */
    const char *likely_name;
    float likely_degrees;
    bool set_aside;
};

/* In the order they were put; *ret_next is NULL at the end of the list. */
MUST_CHECK enum err store_finding_list(struct store *store, int64_t job_id, const struct store_page *page,
                                       struct arena *mem, struct finding_row **ret, int *ret_count,
                                       const char **ret_next, struct err_note *note);

/* The faces that a change touched: complete when after_commit is called. */
struct aside {
    int64_t collection_id; /* of the job */
    int64_t *face_ids;     /* carved from mem */
    int64_t n_faces;
};

/*
 * Sets aside the faces that the job's findings name and that are still searched, and under the same subject.  The answer to
 * keep (NULL: none) is made from the struct aside.
 * Errors: ERR_NOT_FOUND the job.
 */
MUST_CHECK enum err store_set_aside(struct store *store, int64_t job_id, const char *actor, const struct replay *replay,
                                    const struct after_commit *after, struct arena *mem, struct aside *ret,
                                    struct err_note *note);

/* Brings back the faces that were set aside because of this job's findings; answer and errors as above. */
MUST_CHECK enum err store_bring_back(struct store *store, int64_t job_id, const char *actor,
                                     const struct replay *replay, const struct after_commit *after, struct arena *mem,
                                     struct aside *ret, struct err_note *note);

#endif
