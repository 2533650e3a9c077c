/*
 * bench_candidates.c DIM ROWS: how many rows the codes leave to be scored, on embeddings of real faces.
 *
 * Standard input holds vectors, DIM numbers each.  Every fifth is kept out and asked about; the others fill a gallery of ROWS,
 * repeated with noise that takes each to a cosine of .8 of where it was.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/random.h"
#include "index/index.h"
#include "tests/bench/index/faces.h"

enum {
    MOST = 20000,
    AT_ONCE = 1024
};

static size_t dim;

static void normalise(float *vector)
{
    double sum = 0;

    for (size_t i = 0; i < dim; i++) {
        sum += (double)vector[i] * (double)vector[i];
    }
    for (size_t i = 0; i < dim; i++) {
        vector[i] = (float)((double)vector[i] / sqrt(sum));
    }
}

static size_t read_vectors(float *ret)
{
    size_t n = 0;
    size_t at = 0;

    while (n < MOST && scanf("%f", &ret[n * dim + at]) == 1) {
        if (++at == dim) {
            normalise(ret + n * dim);
            n++;
            at = 0;
        }
    }
    return n;
}

static bool count(void *context, int64_t id)
{
    ++*(size_t *)context;
    return true;
}

static void ask_all(struct index *index, const float *vectors, size_t n, struct index_ask ask, const char *what)
{
    struct index_hit hits[10];
    size_t candidates = 0;
    size_t found = 0;
    size_t asked = 0;
    int n_hits = 0;

    ask.allow = count;
    ask.context = &candidates;
    for (size_t i = 0; i < n && asked < 200; i += 5, asked++) {
        if (index_search_many(index, vectors + i * dim, 1, &ask, hits, &n_hits, NULL) != ERR_NONE) {
            exit(1);
        }
        found += (size_t)n_hits;
    }
    printf("  %-44s %9.1f rows scored a query, %.1f hits\n", what, (double)candidates / (double)asked,
           (double)found / (double)asked);
}

int main(int argc, char **argv)
{
    struct index *index = NULL;
    struct random random = random_seeded(5, 5);

    if (argc != 3) {
        (void)fprintf(stderr, "usage: bench_candidates DIM ROWS <VECTORS\n");
        return 2;
    }
    dim = (size_t)strtoul(argv[1], NULL, 10);
    const size_t n_rows = (size_t)strtoul(argv[2], NULL, 10);
    float *vectors = mem_new(MOST, dim * sizeof(float));
    float *some = mem_new(AT_ONCE, dim * sizeof(float));
    if (vectors == NULL || some == NULL || index_new((int)dim, &index, NULL) != ERR_NONE) {
        return 1;
    }
    const size_t n = read_vectors(vectors);
    if (n < 100) {
        (void)fprintf(stderr, "bench_candidates: %zu vectors are too few\n", n);
        return 1;
    }
    for (size_t row = 0; row < n_rows; row += AT_ONCE) {
        int64_t ids[AT_ONCE];
        size_t here = n_rows - row < AT_ONCE ? n_rows - row : AT_ONCE;
        for (size_t i = 0; i < here; i++) {
            size_t which = (size_t)random_below(&random, n / 5) * 5 + 1 + (size_t)random_below(&random, 4);
            which = which < n ? which : 1;
            face_at_cosine(dim, vectors + which * dim, 0.8, row + i, some + i * dim);
            ids[i] = (int64_t)(row + i);
        }
        if (index_add(index, ids, some, here, NULL) != ERR_NONE) {
            return 1;
        }
    }
    printf("%zu rows of %zu dimensions, from %zu real embeddings\n", n_rows, dim, n);
    ask_all(index, vectors, n, (struct index_ask){.k = 10, .min_cosine = 0.40F, .way = INDEX_WAY_BITS},
            "bits, the best 10 from .40");
    ask_all(index, vectors, n, (struct index_ask){.k = 10, .min_cosine = 0.28F, .way = INDEX_WAY_BITS},
            "bits, the best 10 from .28");
    ask_all(index, vectors, n, (struct index_ask){.k = 10, .min_cosine = 0.40F, .way = INDEX_WAY_BYTES},
            "one-byte codes, the best 10 from .40");
    ask_all(index, vectors, n, (struct index_ask){.k = 10, .min_cosine = -1, .way = INDEX_WAY_BYTES},
            "one-byte codes, the best 10");
    index_free(index);
    mem_free(vectors);
    mem_free(some);
    return 0;
}
