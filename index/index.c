/*
 * index.c: ids over FAISS's rows, and the lock that keeps searches and changes apart.
 *
 * The map of ids is our own and not FAISS's IndexIDMap2: that one takes an id twice without a word, cannot be asked whether
 * it has one, and rebuilds its whole table on every removal.
 *
 * Rows 0 .. count-1 live; those behind are spare: zeros, left by removals.  A removed row is overwritten by the last live
 * one and the last becomes spare, so that removing costs one row and cannot fail; the next vectors go into the spare rows.
 * When more rows are spare than live they are cut off, which makes the cost of cutting constant per removal.
 *
 * LATER: when adding to a large index makes FAISS copy all its rows (some 300 ms at a million), cut the index into segments
 * of fixed length behind this header.
 */
#include "index/index.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/size.h"
#include "index/faiss_index.h"
#include "index/id_map.h"

enum {
    DIM_MAX = 4096,
    SPARE_MIN = 1024,  /* spare rows that are never worth cutting off */
    STACK_RESULTS = 64 /* results that a search keeps on the stack; it allocates for more */
};

struct index {
    /* immutable */
    int dim;
    pthread_rwlock_t lock;

    /* guarded by lock */
    struct faiss_index *faiss;
    int64_t *ids; /* of the live rows; room for capacity */
    size_t capacity;
    size_t count;
    struct id_map map;
};

/*
 * glibc's locks let readers pass a waiting writer by default: under steady search nothing would ever be enrolled.  This
 * kind makes new readers wait behind a waiting writer; in exchange no thread may take the lock for reading twice.
 */
static int lock_init(pthread_rwlock_t *lock)
{
    pthread_rwlockattr_t kind;

    int failed = pthread_rwlockattr_init(&kind);
    if (failed == 0) {
        failed = pthread_rwlockattr_setkind_np(&kind, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
        if (failed == 0) {
            failed = pthread_rwlock_init(lock, &kind);
        }
        (void)pthread_rwlockattr_destroy(&kind);
    }
    return failed;
}

static void lock_reading(struct index *index)
{
    int failed = pthread_rwlock_rdlock(&index->lock);
    assert(failed == 0);
    (void)failed;
}

static void lock_writing(struct index *index)
{
    int failed = pthread_rwlock_wrlock(&index->lock);
    assert(failed == 0);
    (void)failed;
}

static void unlock(struct index *index)
{
    (void)pthread_rwlock_unlock(&index->lock);
}

enum err index_new(int dim, struct index **ret, struct err_note *note)
{
    if (dim < 1 || dim > DIM_MAX) {
        return ERR_SAY(note, ERR_MISUSE, "an index of dimension %d; 1 to %d are possible", dim, DIM_MAX);
    }
    struct index *index = MEM_NEW(struct index);
    if (index == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory for an index");
    }
    index->dim = dim;
    enum err err = faiss_index_new(dim, &index->faiss, note);
    if (err != ERR_NONE) {
        mem_free(index);
        return err;
    }
    if (lock_init(&index->lock) != 0) {
        faiss_index_free(index->faiss);
        mem_free(index);
        return ERR_SAY(note, ERR_NOMEM, "no resources for the lock of an index");
    }
    *ret = index;
    return ERR_NONE;
}

void index_free(struct index *index)
{
    if (index == NULL) {
        return;
    }
    faiss_index_free(index->faiss);
    mem_free(index->ids);
    id_map_release(&index->map);
    (void)pthread_rwlock_destroy(&index->lock);
    mem_free(index);
}

int index_dim(const struct index *index)
{
    return index->dim;
}

int64_t index_count(struct index *index)
{
    lock_reading(index);
    int64_t count = (int64_t)index->count;
    unlock(index);
    return count;
}

size_t index_bytes(struct index *index)
{
    lock_reading(index);
    size_t bytes = sizeof *index + faiss_index_rows(index->faiss) * (size_t)index->dim * sizeof(float) +
                   index->capacity * sizeof *index->ids + index->map.n_slots * sizeof *index->map.slots;
    unlock(index);
    return bytes;
}

static size_t row_bytes(const struct index *index)
{
    return (size_t)index->dim * sizeof(float);
}

/* FAISS takes NaN and vectors of any length without a word, so both are found here. */
static enum err check_vector(int dim, const float *vector, const char *what, struct err_note *note)
{
    double sum = 0;

    for (int i = 0; i < dim; i++) {
        sum += (double)vector[i] * (double)vector[i];
    }
    if (!isfinite(sum)) {
        return ERR_SAY(note, ERR_MISUSE, "%s holds a value that is not a finite number", what);
    }
    if (fabs(sqrt(sum) - 1.0) > 1e-3) {
        return ERR_SAY(note, ERR_MISUSE, "%s has length %.6g; only vectors of length 1 are compared", what, sqrt(sum));
    }
    return ERR_NONE;
}

/* Makes room for the ids of extra more rows, at least doubling, so that adding one by one stays cheap. */
static bool reserve_ids(struct index *index, size_t extra)
{
    size_t wanted;

    if (!size_add(index->count, extra, &wanted)) {
        return false;
    }
    if (wanted > index->capacity) {
        size_t capacity = wanted > 2 * index->capacity ? wanted : 2 * index->capacity;
        int64_t *ids = mem_resize(index->ids, capacity, sizeof *ids);
        if (ids == NULL) {
            return false;
        }
        index->ids = ids;
        index->capacity = capacity;
    }
    return id_map_reserve(&index->map, extra);
}

/* Takes the ids in, at the rows that their vectors will have; none of them if one is there already. */
static enum err claim_ids(struct index *index, const int64_t *ids, size_t n, struct err_note *note)
{
    for (size_t i = 0; i < n; i++) {
        size_t row;
        if (id_map_find(&index->map, ids[i], &row)) {
            bool twice = row >= index->count;
            for (size_t j = 0; j < i; j++) {
                id_map_remove(&index->map, ids[j]);
            }
            return ERR_SAY(note, ERR_EXISTS,
                           twice ? "id %lld stands twice in the list" : "id %lld is in the index already",
                           (long long)ids[i]);
        }
        id_map_put(&index->map, ids[i], index->count + i);
    }
    return ERR_NONE;
}

/* Spare rows first, then new ones. */
static enum err place_vectors(struct index *index, const float *vectors, size_t n, struct err_note *note)
{
    size_t spare = faiss_index_rows(index->faiss) - index->count;
    size_t reused = n < spare ? n : spare;

    if (n > reused) { /* what can fail comes first */
        enum err err = faiss_index_append(index->faiss, vectors + reused * (size_t)index->dim, n - reused, note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    if (reused > 0) {
        memcpy(faiss_index_row(index->faiss, index->count), vectors, reused * row_bytes(index));
    }
    return ERR_NONE;
}

static enum err add_locked(struct index *index, const int64_t *ids, const float *vectors, size_t n,
                           struct err_note *note)
{
    if (!reserve_ids(index, n)) {
        return ERR_SAY(note, ERR_NOMEM, "no memory for %zu more ids beside %zu", n, index->count);
    }
    enum err err = claim_ids(index, ids, n, note);
    if (err != ERR_NONE) {
        return err;
    }
    err = place_vectors(index, vectors, n, note);
    if (err != ERR_NONE) {
        for (size_t i = 0; i < n; i++) {
            id_map_remove(&index->map, ids[i]);
        }
        return err;
    }
    memcpy(index->ids + index->count, ids, n * sizeof *ids);
    index->count += n;
    return ERR_NONE;
}

enum err index_add(struct index *index, const int64_t *ids, const float *vectors, size_t n, struct err_note *note)
{
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0) {
            return ERR_SAY(note, ERR_MISUSE, "id %lld is negative", (long long)ids[i]);
        }
        enum err err = check_vector(index->dim, vectors + i * (size_t)index->dim, "a vector to add", note);
        if (err != ERR_NONE) {
            err_prefix(note, "id %lld: ", (long long)ids[i]);
            return err;
        }
    }
    if (n == 0) {
        return ERR_NONE;
    }
    lock_writing(index);
    enum err err = add_locked(index, ids, vectors, n, note);
    unlock(index);
    return err;
}

/* The last live row takes the place of the removed one and leaves zeros behind. */
static void remove_row(struct index *index, size_t row)
{
    size_t last = index->count - 1;
    float *floats = faiss_index_row(index->faiss, row);
    float *last_floats = faiss_index_row(index->faiss, last);

    id_map_remove(&index->map, index->ids[row]);
    if (row != last) {
        memcpy(floats, last_floats, row_bytes(index));
        index->ids[row] = index->ids[last];
        id_map_put(&index->map, index->ids[row], row);
    }
    mem_wipe(last_floats, row_bytes(index));
    index->count = last;
}

enum err index_remove(struct index *index, const int64_t *ids, size_t n, size_t *ret_removed, struct err_note *note)
{
    size_t removed = 0;

    lock_writing(index);
    for (size_t i = 0; i < n; i++) {
        size_t row;
        if (id_map_find(&index->map, ids[i], &row)) {
            remove_row(index, row);
            removed++;
        }
    }
    size_t spare = faiss_index_rows(index->faiss) - index->count;
    if (spare > SPARE_MIN && spare > index->count) {
        /* A failure leaves spare rows, which are harmless; the next removal tries again. */
        enum err ignored = faiss_index_cut(index->faiss, index->count, NULL);
        (void)ignored;
    }
    unlock(index);
    if (ret_removed != NULL) {
        *ret_removed = removed;
    }
    return ERR_NONE;
}

static int better_first(const void *left, const void *right)
{
    const struct index_hit *a = left;
    const struct index_hit *b = right;

    if (a->cosine != b->cosine) {
        return a->cosine > b->cosine ? -1 : 1;
    }
    return a->id < b->id ? -1 : a->id > b->id;
}

/* What one search of n rows needs: on the stack while n is small. */
struct results {
    float *scores;
    int64_t *rows;
    struct index_hit *hits;
    void *heap; /* the block that holds all three, or NULL */
    size_t n;
};

static bool results_new(size_t n, struct results *ret)
{
    const size_t each = sizeof *ret->hits + sizeof *ret->rows + sizeof *ret->scores;
    unsigned char *block = mem_new(n, each);

    if (block == NULL) {
        return false;
    }
    *ret = (struct results){.heap = block, .n = n};
    ret->hits = (struct index_hit *)block; /* the widest first: each part stays aligned */
    ret->rows = (int64_t *)(block + n * sizeof *ret->hits);
    ret->scores = (float *)(block + n * (sizeof *ret->hits + sizeof *ret->rows));
    return true;
}

/*
 * Turns rows into hits and says whether they settle the answer: no row that FAISS did not give could belong among the first
 * k, not even by a smaller id at an equal score.
 */
static bool settle(const struct index *index, size_t k, float min_cosine, struct results *results, size_t *ret_hits)
{
    size_t n_hits = 0;

    for (size_t i = 0; i < results->n && results->scores[i] >= min_cosine; i++) {
        if ((size_t)results->rows[i] < index->count) { /* the others are spare */
            results->hits[n_hits++] =
                (struct index_hit){.id = index->ids[results->rows[i]], .cosine = results->scores[i]};
        }
    }
    *ret_hits = n_hits;
    float last = results->scores[results->n - 1];
    return results->n == faiss_index_rows(index->faiss) || last < min_cosine ||
           (n_hits >= k && last < results->hits[k - 1].cosine);
}

static enum err search_locked(struct index *index, const float *query, int k, float min_cosine,
                              struct index_hit *ret_hits, int *ret_count, struct err_note *note)
{
    float scores[STACK_RESULTS];
    int64_t rows[STACK_RESULTS];
    struct index_hit hits[STACK_RESULTS];
    struct results results = {.scores = scores, .rows = rows, .hits = hits};
    size_t n_rows = faiss_index_rows(index->faiss);
    size_t n_hits = 0;
    enum err err = ERR_NONE;

    if (index->count == 0) {
        *ret_count = 0;
        return ERR_NONE;
    }
    /* A few more than k show, nearly always, that nothing equal was cut off at place k; else ask for ever more. */
    for (size_t wanted = (size_t)k + 6;; wanted *= 4) {
        size_t n = wanted < n_rows ? wanted : n_rows;
        if (n <= STACK_RESULTS) {
            results.n = n;
        } else {
            mem_free(results.heap);
            results.heap = NULL;
            if (!results_new(n, &results)) {
                return ERR_SAY(note, ERR_NOMEM, "no memory for %zu search results", n);
            }
        }
        err = faiss_index_search(index->faiss, query, n, results.scores, results.rows, note);
        if (err != ERR_NONE || settle(index, (size_t)k, min_cosine, &results, &n_hits)) {
            break;
        }
    }
    if (err == ERR_NONE) {
        qsort(results.hits, n_hits, sizeof *results.hits, better_first);
        n_hits = n_hits < (size_t)k ? n_hits : (size_t)k;
        memcpy(ret_hits, results.hits, n_hits * sizeof *ret_hits);
        *ret_count = (int)n_hits;
    }
    mem_free(results.heap);
    return err;
}

enum err index_search(struct index *index, const float *query, int k, float min_cosine, struct index_hit *ret_hits,
                      int *ret_count, struct err_note *note)
{
    if (k < 1) {
        return ERR_SAY(note, ERR_MISUSE, "a search for %d hits; at least 1", k);
    }
    if (isnan(min_cosine)) {
        return ERR_SAY(note, ERR_MISUSE, "the least cosine of a search is not a number");
    }
    enum err err = check_vector(index->dim, query, "the query", note);
    if (err != ERR_NONE) {
        return err;
    }
    lock_reading(index);
    err = search_locked(index, query, k, min_cosine, ret_hits, ret_count, note);
    unlock(index);
    return err;
}

enum err index_get(struct index *index, int64_t id, float *ret, struct err_note *note)
{
    size_t row;

    lock_reading(index);
    bool found = id_map_find(&index->map, id, &row);
    if (found) {
        memcpy(ret, faiss_index_row(index->faiss, row), row_bytes(index));
    }
    unlock(index);
    return found ? ERR_NONE : ERR_SAY(note, ERR_NOT_FOUND, "id %lld is not in the index", (long long)id);
}
