/* assess.c: the stored embeddings, measured. */
#include "server/gallery/assess.h"

#include <stdio.h>
#include <string.h>

#include "server/gallery/gallery_private.h"
#include "server/gallery/labelled.h"

#define MOST_FACES 20000
#define MOST_BYTES ((size_t)4 << 30)      /* of the embeddings */
#define MEASURE_BYTES ((size_t)512 << 20) /* of pairs and probes */

/* Too few pairs of strangers are no failure: then nothing is proposed. */
static enum err propose(const struct labelled *all, struct arena *mem, struct assessment *ret, struct err_note *note)
{
    struct calibrated points[EVALUATE_RATES];
    struct err_note why = {0};
    int refused = 0;
    int n = 0;

    enum err err = evaluate_calibrate(all->u, all->person, all->n, all->dim, all->people, evaluate_rates,
                                      EVALUATE_RATES, mem, points, &n, &refused, &why);
    if (err == ERR_UNSUPPORTED) {
        (void)snprintf(ret->unproposed, sizeof ret->unproposed, "%s", why.text);
        return ERR_NONE;
    }
    if (err != ERR_NONE) {
        return ERR_SAY(note, err, "%s", why.text[0] == '\0' ? err_word(err) : why.text);
    }
    ret->proposed.n_points = n;
    for (int i = 0; i < n; i++) {
        ret->proposed.points[i] = (struct calibration_point){points[i].fmr, points[i].threshold};
    }
    return ERR_NONE;
}

static enum err measure(const struct labelled *all, int rounds, struct assessment *ret, struct gallery_fault *fault)
{
    struct evaluate_options options = evaluate_default();
    struct arena *mem = arena_new(MEASURE_BYTES);

    if (mem == NULL) {
        return ERR_NOMEM;
    }
    options.rounds = rounds > 0 ? rounds : options.rounds;
    enum err err =
        evaluate_set(all->u, all->person, all->n, all->dim, all->people, &options, mem, &ret->evaluation, &fault->note);
    arena_reset(mem);
    if (err == ERR_NONE) {
        err = propose(all, mem, ret, &fault->note);
    }
    arena_free(mem);
    return err;
}

enum err gallery_assess(struct gallery_worker *worker, const char *collection, int64_t most_faces, int rounds,
                        const struct long_work *work, struct assessment *ret, struct gallery_fault *fault)
{
    struct assessment assessment = {.most_faces = most_faces > 0 ? most_faces : MOST_FACES};
    struct gallery_request request = worker->request;
    struct collection_row row = {0};
    struct collection_counts counts = {0};
    struct labelled all = {0};

    request.cancel = work->cancel;
    gallery_worker_begin(worker, &request);
    enum err err = find_collection(worker, collection, &row, fault);
    if (err == ERR_NONE) {
        memcpy(assessment.model, row.model, sizeof assessment.model);
        err = store_collection_count(worker->gallery->store, row.id, &counts, &fault->note);
    }
    if (err == ERR_NONE) {
        err = labelled_load(worker->gallery->store, row.id, row.model_id, assessment.most_faces, MOST_BYTES, &all,
                            &fault->note);
    }
    if (err == ERR_NONE && (all.people < 2 || all.n <= all.people)) {
        err = ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_TOO_FEW, ERR_CONFLICT),
                      "collection \"%s\" has %d people with %d faces: at least two people, and one of them with two "
                      "faces, are needed",
                      row.name, all.people, all.n);
    }
    if (err == ERR_NONE) {
        assessment.n_faces = counts.n_faces;
        assessment.sampled = counts.n_faces > assessment.most_faces;
        long_work_progress(work, 0, all.n, "faces");
        err = measure(&all, rounds, &assessment, fault);
    }
    if (err == ERR_NONE) {
        err = worker_may_go_on(worker, fault);
    }
    if (err == ERR_NONE) {
        long_work_progress(work, all.n, all.n, "faces");
        *ret = assessment;
    }
    labelled_release(&all);
    return err;
}
