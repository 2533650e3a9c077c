/* identify.c: embedding → neighbours → candidates → decision. */
#include "server/gallery/identify.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "server/gallery/pipeline.h"
#include "server/store/embedding_rows.h"
#include "server/store/face_rows.h"

#define TOP_K_DEFAULT 5

/* What all faces of one query share. */
struct search {
    struct gallery_worker *worker;
    struct pair *pair;
    enum group_by group;
    int top_k;
    int64_t not_face_id; /* the face that was asked about; 0: none */
    float threshold;
    float margin;
    bool exact;
    struct filtered *filtered; /* who may be a candidate; NULL: everybody */
};

/* What was found for one face. */
struct found {
    int n; /* candidates, at most top_k, best first */
    struct candidate *candidates;
    float best; /* of the two best different subjects; DECISION_NOBODY */
    float runner_up;
    const char *best_subject;
};

static bool is_listed(const struct found *found, const char *subject_id)
{
    for (int i = 0; i < found->n; i++) {
        if (strcmp(found->candidates[i].subject_id, subject_id) == 0) {
            return true;
        }
    }
    return false;
}

/* Reads the hits, best first, into candidates.  A face whose row is gone was deleted after the index had been asked: it is
 * not a hit. */
static void read_hits(const struct search *search, const struct index_hit *hits, const struct face_row *rows,
                      int n_hits, struct found *ret)
{
    struct found found = {
        .candidates = ret->candidates, .best = DECISION_NOBODY, .runner_up = DECISION_NOBODY, .best_subject = NULL};

    for (int i = 0; i < n_hits; i++) {
        const struct face_row *row = &rows[i];
        if (row->id == 0 || row->id == search->not_face_id) {
            continue;
        }
        if (found.best_subject == NULL) {
            found.best = hits[i].cosine;
            found.best_subject = row->subject_uuid;
        } else if (found.runner_up == DECISION_NOBODY && strcmp(row->subject_uuid, found.best_subject) != 0) {
            found.runner_up = hits[i].cosine;
        }
        bool full = found.n == search->top_k;
        if (full || (search->group == GROUP_BY_SUBJECT && is_listed(&found, row->subject_uuid))) {
            continue;
        }
        found.candidates[found.n++] = (struct candidate){.subject_id = row->subject_uuid,
                                                         .subject_name = row->subject_name,
                                                         .face_id = row->uuid,
                                                         .cosine = hits[i].cosine};
    }
    *ret = found;
}

/* Nothing that a longer list could add would change the answer. */
static bool is_enough(const struct search *search, const struct found *found, const struct index_hit *hits, int n_hits)
{
    bool list_full = found->n == search->top_k;
    bool decided = found->runner_up != DECISION_NOBODY || found->best < search->threshold ||
                   (n_hits > 0 && found->best - hits[n_hits - 1].cosine >= search->margin);
    return list_full && decided;
}

/* What the index has said about some faces. */
struct asked {
    int k;
    struct index_hit *hits; /* [faces, k] */
    int *counts;            /* [faces] */
};

/* About one of them. */
struct hits {
    int k, n; /* asked for, and given */
    const struct index_hit *list;
};

static struct hits hits_of(const struct asked *asked, int face)
{
    return (struct hits){
        .k = asked->k, .n = asked->counts[face], .list = asked->hits + (size_t)face * (size_t)asked->k};
}

/* Shapes: vectors [n, dim]. */
static enum err ask_index(const struct search *search, const float *vectors, int n, int64_t k, struct asked *ret,
                          struct gallery_fault *fault)
{
    static const int64_t nobody = -1; /* an empty list may be no memory at all, and NULL means everybody */
    struct gallery_worker *worker = search->worker;
    struct index *index = search->pair->index;
    const int64_t all = index_count(index) + 1; /* one more than there are, so that "all" shows as a short list */
    struct asked asked = {.k = (int)(k < all ? k : all)};
    /* A runner-up below the threshold still makes a match ambiguous. */
    struct index_ask ask = {.k = asked.k,
                            .min_cosine = search->margin > 0 ? search->threshold - search->margin : search->threshold,
                            .way = search->exact ? INDEX_WAY_EXACT : INDEX_WAY_PLANNED};

    if (search->filtered != NULL) {
        ask.only = search->filtered->n == 0 ? &nobody : search->filtered->ids;
        ask.n_only = search->filtered->n;
    }
    asked.hits = arena_alloc(worker->mem, (size_t)n * (size_t)asked.k, sizeof *asked.hits);
    asked.counts = ARENA_ARRAY(worker->mem, int, n);
    enum err err = asked.hits == NULL || asked.counts == NULL ? spent(worker->mem) : ERR_NONE;
    if (err != ERR_NONE) {
        return err;
    }
    const int64_t begin = clock_monotonic_ns();
    err = n == 1 && ask.only == NULL && ask.way == INDEX_WAY_PLANNED /* which needs no memory */
              ? index_search(index, vectors, asked.k, ask.min_cosine, asked.hits, asked.counts, &fault->note)
              : index_search_many(index, vectors, (size_t)n, &ask, asked.hits, asked.counts, &fault->note);
    worker->times.search_ns += clock_monotonic_ns() - begin;
    *ret = asked;
    return err;
}

static enum err find_candidates(const struct search *search, const struct hits *hits, struct found *ret,
                                struct gallery_fault *fault)
{
    struct gallery_worker *worker = search->worker;
    struct face_row *rows = NULL;
    int64_t *ids = ARENA_ARRAY(worker->mem, int64_t, hits->n);

    if (ids == NULL) {
        return spent(worker->mem);
    }
    for (int i = 0; i < hits->n; i++) {
        ids[i] = hits->list[i].id;
    }
    const int64_t begin = clock_monotonic_ns();
    enum err err = store_face_get_many(worker->gallery->store, ids, hits->n, worker->mem, &rows, &fault->note);
    worker->times.rows_ns += clock_monotonic_ns() - begin;
    if (err == ERR_NONE) {
        read_hits(search, hits->list, rows, hits->n, ret);
    }
    return err;
}

/*
 * Asks the index for more and more hits until there are top_k candidates: several faces of one subject give one, and how many
 * that will be is not known before.  Four times as many each time, so that all rounds together cost a third more than the last.
 * hits: the first k, which have been asked for together with other faces'.
 */
static enum err search_index(const struct search *search, const float *vector, struct hits hits, int64_t k,
                             struct found *ret, struct gallery_fault *fault)
{
    struct found found = {.candidates = ARENA_ARRAY(search->worker->mem, struct candidate, search->top_k)};

    if (found.candidates == NULL) {
        return spent(search->worker->mem);
    }
    for (;;) {
        struct asked asked = {0};
        enum err err = find_candidates(search, &hits, &found, fault);
        if (err != ERR_NONE) {
            return err;
        }
        if (hits.n < hits.k || is_enough(search, &found, hits.list, hits.n)) {
            *ret = found;
            return ERR_NONE;
        }
        k *= 4;
        err = worker_may_go_on(search->worker, fault);
        if (err == ERR_NONE) {
            err = ask_index(search, vector, 1, k, &asked, fault);
        }
        if (err != ERR_NONE) {
            return err;
        }
        hits = hits_of(&asked, 0);
    }
}

static void decide(const struct search *search, const struct found *found, struct identified_face *ret)
{
    ret->decision = decision_make(found->best, found->runner_up, search->threshold, search->margin);
    ret->candidates = found->candidates;
    for (int i = 0; i < found->n; i++) {
        float cosine = found->candidates[i].cosine;
        if (cosine >= search->threshold ||
            (ret->decision == DECISION_AMBIGUOUS && found->best - cosine < search->margin)) {
            ret->n_candidates = i + 1;
        }
    }
}

/* All faces of a photo share a pass over the index, and a filter's masks; where one needs more hits, they are asked for alone.
 * Shapes: vectors [n, dim], n > 0. */
static enum err identify_all(const struct search *search, const float *vectors, int n, struct identified_face *ret,
                             struct gallery_fault *fault)
{
    const int64_t k = search->group == GROUP_BY_SUBJECT ? 4 * (int64_t)search->top_k : (int64_t)search->top_k + 1;
    struct asked asked = {0};

    enum err err = ask_index(search, vectors, n, k, &asked, fault);
    for (int i = 0; i < n && err == ERR_NONE; i++) {
        struct found found = {0};
        err = search_index(search, vectors + (size_t)i * (size_t)search->pair->model->dim, hits_of(&asked, i), k,
                           &found, fault);
        if (err == ERR_NONE) {
            decide(search, &found, &ret[i]);
        }
    }
    return err;
}

/* ---- What is asked about ------------------------------------------------------------------------------------------ */

static enum err identify_photo(const struct search *search, const struct identify_query *query,
                               struct identify_answer *answer, struct gallery_fault *fault)
{
    struct gallery_worker *worker = search->worker;
    struct pipeline_photo photo = {0};
    enum faces_wanted wanted = query->faces == FACES_DEFAULT ? FACES_LARGEST : query->faces;

    enum err err = pipeline_look(worker, &query->photo, search->pair->model, &photo, fault);
    if (err == ERR_NONE) {
        err = pipeline_choose(&photo, wanted, FACE_OPTIONAL, "the photo", fault);
    }
    if (err == ERR_NONE) {
        err = pipeline_crop(worker, &photo, search->pair->model, QUALITY_AUTO, fault);
    }
    if (err == ERR_NONE) {
        err = pipeline_embed(worker, search->pair->model, photo.faces, photo.n_faces, fault);
    }
    if (err != ERR_NONE) {
        return err;
    }
    answer->photo = pipeline_size(&photo);
    answer->n_faces = photo.n_faces;
    answer->faces = ARENA_ARRAY(worker->mem, struct identified_face, photo.n_faces);
    if (answer->faces == NULL) {
        return spent(search->worker->mem);
    }
    for (int i = 0; i < photo.n_faces; i++) {
        answer->faces[i].has_face = !photo.faces[i].aligned;
        answer->faces[i].face = pipeline_seen(&photo.faces[i]);
    }
    return photo.n_faces == 0 ? ERR_NONE
                              : identify_all(search, photo.faces[0].embedding, photo.n_faces, answer->faces, fault);
}

static enum err identify_vector(const struct search *search, const float *vector, struct identify_answer *answer,
                                struct gallery_fault *fault)
{
    answer->faces = ARENA_NEW(search->worker->mem, struct identified_face);
    if (answer->faces == NULL) {
        return spent(search->worker->mem);
    }
    answer->n_faces = 1;
    return identify_all(search, vector, 1, answer->faces, fault);
}

static enum err identify_enrolled(struct search *search, const struct collection_row *collection, const char *face_id,
                                  struct identify_answer *answer, struct gallery_fault *fault)
{
    struct gallery_worker *worker = search->worker;
    const struct model *model = search->pair->model;
    struct face_row row = {0};
    float *vector = ARENA_ARRAY(worker->mem, float, model->dim);

    if (vector == NULL) {
        return spent(search->worker->mem);
    }
    enum err err = find_face(worker, collection, face_id, &row, fault);
    if (err == ERR_NONE) {
        err =
            store_embedding_get(worker->gallery->store, row.id, model->row_id, vector, model->dim, NULL, &fault->note);
    }
    search->not_face_id = row.id;
    return err == ERR_NONE ? identify_vector(search, vector, answer, fault) : err;
}

static enum err check_query(const struct gallery_policy *policy, const struct identify_query *query,
                            struct gallery_fault *fault)
{
    int given = (query->photo.bytes != NULL) + (query->embedding.values != NULL) + (query->face_id != NULL);

    if (given != 1) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_BAD_OPTION, ERR_MISUSE),
                       "send exactly one of a photo, an embedding and a face_id");
    }
    if (query->top_k < 0 || query->top_k > policy->top_k_max) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_BAD_OPTION, ERR_MISUSE), "top_k must be from 1 to %d",
                       policy->top_k_max);
    }
    if (query->faces == FACES_SINGLE) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_BAD_OPTION, ERR_MISUSE),
                       "faces must be \"largest\" or \"all\" here");
    }
    return ERR_NONE;
}

static enum err run(struct search *search, const struct identify_query *query, const struct collection_row *collection,
                    struct identify_answer *ret, struct gallery_fault *fault)
{
    struct gallery_worker *worker = search->worker;
    const struct model *model = search->pair->model;
    struct collection_settings settings = {0};
    struct identify_answer answer = {0};
    struct calibration calibration;
    const float *vector = NULL;
    float norm = 0;

    enum err err = settings_read(collection, &settings, fault);
    if (err == ERR_NONE) {
        models_calibration(worker->gallery->models, model, &calibration);
        err = decision_threshold(&query->threshold, &settings.threshold, &calibration, &worker->gallery->policy,
                                 &answer.threshold, &search->margin, fault);
    }
    if (err != ERR_NONE) {
        return err;
    }
    search->threshold = answer.threshold.cosine;
    answer.model = arena_copy_text(worker->mem, model->version);
    if (answer.model == NULL) {
        return spent(search->worker->mem);
    }
    if (query->photo.bytes != NULL) {
        err = identify_photo(search, query, &answer, fault);
    } else if (query->face_id != NULL) {
        err = identify_enrolled(search, collection, query->face_id, &answer, fault);
    } else {
        err = pipeline_vector(worker, &query->embedding, model->dim, &vector, &norm, fault);
        if (err == ERR_NONE) {
            err = identify_vector(search, vector, &answer, fault);
        }
    }
    if (err == ERR_NONE) {
        *ret = answer;
    }
    return err;
}

static enum err find_filtered(struct search *search, const char *filter, const struct collection_row *collection,
                              struct gallery_fault *fault)
{
    if (filter == NULL) {
        return ERR_NONE;
    }
    struct gallery_worker *worker = search->worker;
    int64_t begin = clock_monotonic_ns();
    enum err err = filters_get(worker->gallery->filters, collection->id, filter, &search->filtered, &fault->note);
    worker->times.rows_ns += clock_monotonic_ns() - begin;
    return err == ERR_MISUSE || err == ERR_FORMAT ? gallery_fail(fault, GALLERY_BAD_OPTION, ERR_MISUSE) : err;
}

enum err gallery_identify(struct gallery_worker *worker, const struct identify_query *query,
                          struct identify_answer *ret, struct gallery_fault *fault)
{
    struct collection_row collection = {0};
    struct search search = {.worker = worker,
                            .group = query->group,
                            .exact = query->exact,
                            .top_k = query->top_k == 0 ? TOP_K_DEFAULT : query->top_k};

    enum err err = check_query(&worker->gallery->policy, query, fault);
    if (err == ERR_NONE) {
        err = find_pair(worker, query->collection, &collection, &search.pair, fault);
    }
    if (err == ERR_NONE) {
        err = find_filtered(&search, query->filter, &collection, fault);
        if (err == ERR_NONE) {
            err = run(&search, query, &collection, ret, fault);
        }
        filters_unref(worker->gallery->filters, search.filtered);
        live_unref(worker->gallery->live, search.pair);
    }
    return err;
}
