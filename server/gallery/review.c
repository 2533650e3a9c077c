/* review.c: judge the labels, set faces aside, bring them back. */
#include "server/gallery/review.h"

#include <string.h>

#include "core/base/mem.h"
#include "core/train/centers.h"
#include "core/train/purify.h"
#include "server/gallery/gallery_private.h"
#include "server/gallery/labelled.h"
#include "server/store/finding_rows.h"
#include "server/store/job_rows.h"

#define MOST_BYTES ((size_t)4 << 30)    /* of the embeddings */
#define JUDGING_BYTES ((size_t)2 << 30) /* of what judging keeps beside them: up to four centers a person */

const char *review_rule_word(enum review_rule rule)
{
    return rule == REVIEW_PLAIN ? "plain" : "refined";
}

enum review_rule review_rule_named(const char *word)
{
    return word != NULL && strcmp(word, review_rule_word(REVIEW_PLAIN)) == 0 ? REVIEW_PLAIN : REVIEW_REFINED;
}

static enum err write_findings(struct gallery_worker *worker, int64_t job_id, const struct labelled *all,
                               const struct verdict *verdicts, struct review *review, struct gallery_fault *fault)
{
    struct finding_new *rows = MEM_ARRAY(struct finding_new, (size_t)all->n);

    if (rows == NULL) {
        return ERR_NOMEM;
    }
    for (int i = 0; i < all->n; i++) {
        const struct verdict *verdict = &verdicts[i];
        if (!verdict->keep) {
            rows[review->n_found++] =
                (struct finding_new){.face_id = all->face_ids[i],
                                     .subject_id = all->subject_ids[all->person[i]],
                                     .subcenter = verdict->subcenter,
                                     .degrees = verdict->degrees,
                                     .likely_id = verdict->likely < 0 ? 0 : all->subject_ids[verdict->likely],
                                     .likely_degrees = verdict->likely < 0 ? 0 : verdict->likely_degrees};
            review->n_likely += verdict->likely >= 0;
        }
    }
    enum err err = store_findings_put(worker->gallery->store, job_id, rows, review->n_found, &fault->note);
    mem_free(rows);
    return err;
}

static int count_dropped(const struct verdict *verdicts, int n)
{
    int dropped = 0;

    for (int i = 0; i < n; i++) {
        dropped += !verdicts[i].keep;
    }
    return dropped;
}

/* By the faces of each, as in training.  Shapes: ret [people].  Returns the most. */
static int choose_subcenters(const struct labelled *all, int *ret)
{
    int most = 1;

    for (int i = 0; i < all->n; i++) { /* faces first */
        ret[all->person[i]]++;
    }
    for (int p = 0; p < all->people; p++) {
        ret[p] = centers_by_photos(ret[p]);
        most = ret[p] > most ? ret[p] : most;
    }
    return most;
}

static enum err judge_plain(const struct labelled *all, struct review *review, struct arena *mem, struct verdict *ret)
{
    int *centers_of = ARENA_ARRAY(mem, int, all->people);

    if (centers_of == NULL) {
        return arena_why(mem);
    }
    review->subcenters = choose_subcenters(all, centers_of);
    float *center = ARENA_ARRAY(mem, float, (size_t)all->people *(size_t)review->subcenters *(size_t)all->dim);
    enum err err = center == NULL ? arena_why(mem)
                                  : centers_begin(all->u, all->person, all->n, all->dim, all->people,
                                                  review->subcenters, centers_of, mem, center);

    if (err == ERR_NONE) {
        err = purify_plain(all->u, all->person, all->n, all->dim, center, all->people, review->subcenters, centers_of,
                           review->degrees, mem, ret);
    }
    return err;
}

/* By both rules; ret [n] holds what the wanted one says. */
static enum err judge_both(const struct labelled *all, enum review_rule rule, struct review *review,
                           struct verdict *other, struct verdict *ret)
{
    struct verdict *plain = rule == REVIEW_PLAIN ? ret : other;
    struct verdict *refined = rule == REVIEW_PLAIN ? other : ret;
    struct arena *mem = arena_new(JUDGING_BYTES);

    if (mem == NULL) {
        return ERR_NOMEM;
    }
    enum err err = judge_plain(all, review, mem, plain);
    arena_reset(mem);
    if (err == ERR_NONE) {
        err = purify_refined(all->u, all->person, all->n, all->dim, all->people, review->degrees, mem, refined);
    }
    arena_free(mem);
    if (err == ERR_NONE) {
        review->n_plain = count_dropped(plain, all->n);
        review->n_refined = count_dropped(refined, all->n);
        for (int i = 0; i < all->n; i++) {
            review->n_unsure += refined[i].unsure;
        }
    }
    return err;
}

static enum err judge(struct gallery_worker *worker, const struct labelled *all, enum review_rule rule, int64_t job_id,
                      struct review *review, struct gallery_fault *fault)
{
    struct verdict *wanted = MEM_ARRAY(struct verdict, (size_t)all->n);
    struct verdict *other = MEM_ARRAY(struct verdict, (size_t)all->n);
    enum err err = ERR_NOMEM;

    if (wanted != NULL && other != NULL) {
        err = judge_both(all, rule, review, other, wanted);
        if (err == ERR_LIMIT) {
            (void)ERR_SAY(&fault->note, err, "judging %d faces needs more than %zu MiB", all->n, JUDGING_BYTES >> 20);
        }
    }
    if (err == ERR_NONE) {
        err = worker_may_go_on(worker, fault);
    }
    if (err == ERR_NONE) {
        err = write_findings(worker, job_id, all, wanted, review, fault);
    }
    mem_free(other);
    mem_free(wanted);
    return err;
}

enum err gallery_review(struct gallery_worker *worker, const char *collection, const struct review_wish *wish,
                        int64_t job_id, const struct long_work *work, struct review *ret, struct gallery_fault *fault)
{
    struct review review = {.degrees = wish->degrees == 0 ? PURIFY_DEGREES : (float)wish->degrees};
    struct gallery_request request = worker->request;
    struct collection_row row = {0};
    struct labelled all = {0};

    if (!(wish->degrees >= 0 && wish->degrees <= 180)) {
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
        err = judge(worker, &all, wish->rule, job_id, &review, fault);
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

static enum err tell(void *context, const void *result, struct replay_answer *ret)
{
    const struct aside *aside = result;

    return worker_answer(context, &aside->n_faces, ret);
}

static enum err find_review(struct gallery_worker *worker, int64_t job_id, struct gallery_fault *fault)
{
    static const char *const kinds[] = {REVIEW_KIND, REVIEW_TRAINING_KIND, NULL};
    struct job_row job = {0};

    return find_done_job(worker, job_id, kinds, &job, fault);
}

enum err gallery_set_aside(struct gallery_worker *worker, int64_t job_id, int64_t *ret_faces,
                           struct gallery_fault *fault)
{
    struct aside aside = {0};
    struct following following = {.gallery = worker->gallery, .aside = &aside};
    struct replay room;
    enum err err = find_review(worker, job_id, fault);

    if (err == ERR_NONE) {
        err = store_set_aside(worker->gallery->store, job_id, worker_actor(worker),
                              worker_replay(worker, tell, worker, &room),
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
    struct replay room;
    enum err err = find_review(worker, job_id, fault);

    if (err == ERR_NONE) {
        err = store_bring_back(worker->gallery->store, job_id, worker_actor(worker),
                               worker_replay(worker, tell, worker, &room),
                               &(struct after_commit){follow_back, &following}, worker->mem, &aside, &fault->note);
    }
    if (err == ERR_NONE) {
        *ret_faces = aside.n_faces;
    }
    return err;
}
