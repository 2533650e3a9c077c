/* review.c: judge the labels, set faces aside, bring them back. */
#include "server/gallery/review.h"

#include <string.h>

#include "core/base/mem.h"
#include "core/train/purify.h"
#include "server/gallery/gallery_private.h"
#include "server/gallery/labelled.h"
#include "server/store/finding_rows.h"
#include "server/store/job_rows.h"

#define MOST_BYTES ((size_t)4 << 30)      /* of the embeddings */
#define JUDGING_BYTES ((size_t)512 << 20) /* of what judging keeps beside them */

static enum err write_findings(struct gallery_worker *worker, int64_t job_id, const struct labelled *all,
                               const struct verdict *verdicts, struct review *review, struct gallery_fault *fault)
{
    int found = 0;

    for (int i = 0; i < all->n; i++) {
        found += !verdicts[i].keep;
        review->n_unsure += verdicts[i].unsure;
    }
    struct finding_new *rows = MEM_ARRAY(struct finding_new, (size_t)found + 1);
    if (rows == NULL) {
        return ERR_NOMEM;
    }
    for (int i = 0; i < all->n; i++) {
        const struct verdict *verdict = &verdicts[i];
        if (!verdict->keep) {
            rows[review->n_found++] =
                (struct finding_new){.face_id = all->face_ids[i],
                                     .subject_id = all->subject_ids[all->person[i]],
                                     .degrees = verdict->degrees,
                                     .likely_id = verdict->likely < 0 ? 0 : all->subject_ids[verdict->likely],
                                     .likely_degrees = verdict->likely < 0 ? 0 : verdict->likely_degrees};
            review->n_likely += verdict->likely >= 0;
        }
    }
    enum err err = store_findings_put(worker->gallery->store, job_id, rows, found, &fault->note);
    mem_free(rows);
    return err;
}

static enum err judge(struct gallery_worker *worker, const struct labelled *all, int64_t job_id, struct review *review,
                      struct gallery_fault *fault)
{
    struct verdict *verdicts = MEM_ARRAY(struct verdict, (size_t)all->n);
    struct arena *mem = arena_new(JUDGING_BYTES);
    enum err err = ERR_NOMEM;

    if (verdicts != NULL && mem != NULL) {
        err = purify_refined(all->u, all->person, all->n, all->dim, all->people, review->degrees, mem, verdicts);
        if (err == ERR_LIMIT) {
            (void)ERR_SAY(&fault->note, err, "judging %d faces needs more than %zu MiB", all->n, JUDGING_BYTES >> 20);
        }
    }
    if (err == ERR_NONE) {
        err = worker_may_go_on(worker, fault);
    }
    if (err == ERR_NONE) {
        err = write_findings(worker, job_id, all, verdicts, review, fault);
    }
    arena_free(mem);
    mem_free(verdicts);
    return err;
}

enum err gallery_review(struct gallery_worker *worker, const char *collection, double degrees, int64_t job_id,
                        const struct long_work *work, struct review *ret, struct gallery_fault *fault)
{
    struct review review = {.degrees = degrees == 0 ? PURIFY_DEGREES : (float)degrees};
    struct gallery_request request = worker->request;
    struct collection_row row = {0};
    struct labelled all = {0};

    if (!(degrees >= 0 && degrees <= 180)) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_BAD_OPTION, ERR_MISUSE),
                       "the angle must be from 0 (the default, %g) to 180 degrees", (double)PURIFY_DEGREES);
    }
    request.cancel = work->cancel;
    gallery_worker_begin(worker, &request);
    enum err err = find_collection(worker, collection, &row, fault);
    if (err == ERR_NONE) {
        memcpy(review.model, row.model, sizeof review.model);
        err = labelled_load(worker->gallery->store, row.id, row.model_id, 0, MOST_BYTES, &all, &fault->note);
    }
    if (err == ERR_NONE && all.n <= all.people) {
        err = ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_TOO_FEW, ERR_CONFLICT),
                      "nobody in collection \"%s\" has two faces that could be compared", row.name);
    }
    if (err == ERR_NONE) {
        review.n_faces = all.n;
        review.n_people = all.people;
        long_work_progress(work, 0, all.n, "faces");
        err = judge(worker, &all, job_id, &review, fault);
    }
    if (err == ERR_NONE) {
        long_work_progress(work, all.n, all.n, "faces");
        *ret = review;
    }
    labelled_release(&all);
    return err;
}

/* ---- Aside and back ------------------------------------------------------------------------------------------------- */

struct following {
    struct gallery *gallery;
    const struct aside *aside;
};

static void follow_out(void *context)
{
    const struct following *f = context;
    live_removed(f->gallery->live, f->aside->collection_id, f->aside->face_ids, (size_t)f->aside->n_faces);
}

static void follow_back(void *context)
{
    const struct following *f = context;
    if (f->aside->n_faces > 0) {
        live_returned(f->gallery->live, f->aside->collection_id);
    }
}

static enum err find_review(struct gallery_worker *worker, int64_t job_id, struct gallery_fault *fault)
{
    struct job_row job = {0};
    enum err err = store_job_get(worker->gallery->store, job_id, worker->mem, &job, &fault->note);

    if (err == ERR_NOT_FOUND) {
        return gallery_fail(fault, GALLERY_NO_SUCH_JOB, err);
    }
    if (err == ERR_NONE && strcmp(job.kind, REVIEW_KIND) != 0) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_OTHER_JOB, ERR_CONFLICT),
                       "job %lld is of kind %s: it found no faces", (long long)job_id, job.kind);
    }
    if (err == ERR_NONE && job.state != JOB_SUCCEEDED) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_OTHER_JOB, ERR_CONFLICT),
                       "job %lld is %s: only what a job that succeeded has found can be used", (long long)job_id,
                       job_state_word(job.state));
    }
    return err;
}

enum err gallery_set_aside(struct gallery_worker *worker, int64_t job_id, int64_t *ret_faces,
                           struct gallery_fault *fault)
{
    struct aside aside = {0};
    struct following following = {.gallery = worker->gallery, .aside = &aside};
    enum err err = find_review(worker, job_id, fault);

    if (err == ERR_NONE) {
        err = store_set_aside(worker->gallery->store, job_id, worker_actor(worker),
                              &(struct after_commit){follow_out, &following}, worker->mem, &aside, &fault->note);
    }
    if (err == ERR_NONE) {
        *ret_faces = aside.n_faces;
    }
    return err;
}

enum err gallery_bring_back(struct gallery_worker *worker, int64_t job_id, int64_t *ret_faces,
                            struct gallery_fault *fault)
{
    struct aside aside = {0};
    struct following following = {.gallery = worker->gallery, .aside = &aside};
    enum err err = find_review(worker, job_id, fault);

    if (err == ERR_NONE) {
        err = store_bring_back(worker->gallery->store, job_id, worker_actor(worker),
                               &(struct after_commit){follow_back, &following}, worker->mem, &aside, &fault->note);
    }
    if (err == ERR_NONE) {
        *ret_faces = aside.n_faces;
    }
    return err;
}
