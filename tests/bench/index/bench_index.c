/*
 * bench_index.c DIM ROWS PEERS: the index beside FAISS Flat, and up to PEERS rows beside HNSW32, IVF,SQ8 and hnswlib.
 *
 * Everybody answers the same queries, each a new photo of an enrolled person, in turns and on one thread; what is printed is
 * the CPU time of a query in the best turn, and how much longer than ours it takes.  A figure in brackets is what is required.
 * It ends with 1 if an exact way misses a hit, or the one-bit way more than its probability allows.
 *
 * "fp32 scan" is our own way over all floats with AVX-512 or AVX2: it runs at the speed of memory, as FAISS built with AVX2
 * does.  Debian's package of FAISS is built for SSE2, and is some 2 times slower; so this line, not FAISS's, stands for it.
 */
#include <faiss/c_api/AutoTune_c.h>
#include <faiss/c_api/IndexFlat_c.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/index_factory_c.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/kernel/scan.h"
#include "index/index.h"
#include "tests/bench/index/faces.h"
#include "tests/bench/index/hnswlib_peer.h"

void omp_set_num_threads(int n_threads);

enum {
    K = 4, /* a person's photos */
    QUERIES = 256,
    ROUNDS = 3,
    ADD_AT_ONCE = 1024,
    CHANGES = 1000
};

#define THRESHOLD 0.40F
#define ROUND_NS 500000000LL /* of one contender's turn, about */

static size_t dim;
static size_t n_rows;
static size_t n_queries;                   /* fewer where each takes long */
static float *queries;                     /* [QUERIES, dim] */
static struct index_hit exact[QUERIES][K]; /* the truth; id -1: fewer hits */
static struct index *ours;
static FaissIndex *flat;
static int failed;

/* ---- Contenders -------------------------------------------------------------------------------------------------- */

struct contender {
    const char *name;
    size_t at_once;                                                               /* queries in one call */
    void (*search)(const struct contender *self, size_t first, int64_t *ret_ids); /* ids [at_once, K] */
    enum index_way way;
    float min_cosine;
    FaissIndex *faiss;
    struct hnswlib_peer *hnswlib;
    double ns; /* of a query, in the best turn */
};

static void search_ours(const struct contender *self, size_t first, int64_t *ret_ids)
{
    const struct index_ask ask = {.k = K, .min_cosine = self->min_cosine, .way = self->way};
    struct index_hit hits[16 * K];
    int counts[16];

    if (index_search_many(ours, queries + first * dim, self->at_once, &ask, hits, counts, NULL) != ERR_NONE) {
        failed = 1;
        return;
    }
    for (size_t q = 0; q < self->at_once; q++) {
        for (int i = 0; i < K; i++) {
            ret_ids[q * K + (size_t)i] = i < counts[q] ? hits[q * K + (size_t)i].id : -1;
        }
    }
}

static void search_faiss(const struct contender *self, size_t first, int64_t *ret_ids)
{
    float scores[16 * K];

    if (faiss_Index_search(self->faiss, (int64_t)self->at_once, queries + first * dim, K, scores, ret_ids) != 0) {
        failed = 1;
    }
}

static void search_hnswlib(const struct contender *self, size_t first, int64_t *ret_ids)
{
    hnswlib_peer_search(self->hnswlib, queries + first * dim, K, ret_ids);
}

/* The share of hits at the threshold or above that it finds, over all queries. */
static double recall_of(const struct contender *self, size_t asked)
{
    size_t wanted = 0;
    size_t found = 0;
    int64_t ids[16 * K];

    for (size_t first = 0; first + self->at_once <= asked; first += self->at_once) {
        self->search(self, first, ids);
        for (size_t q = 0; q < self->at_once; q++) {
            for (size_t i = 0; i < K; i++) {
                const struct index_hit *hit = &exact[first + q][i];
                if (hit->id < 0 || hit->cosine < THRESHOLD) {
                    continue;
                }
                wanted++;
                for (size_t j = 0; j < K; j++) {
                    found += ids[q * K + j] == hit->id;
                }
            }
        }
    }
    return wanted == 0 ? 1 : (double)found / (double)wanted;
}

static void take_turn(struct contender *self)
{
    int64_t ids[16 * K];
    size_t answered = 0;
    int64_t begin = clock_thread_cpu_ns();
    int64_t spent = 0;

    while (spent < ROUND_NS && answered < 8192) {
        self->search(self, answered % (n_queries - 15), ids);
        answered += self->at_once;
        spent = clock_thread_cpu_ns() - begin;
    }
    double ns = (double)spent / (double)answered;
    self->ns = self->ns == 0 || ns < self->ns ? ns : self->ns;
}

/* ---- Filling ----------------------------------------------------------------------------------------------------- */

static void fill(struct hnswlib_peer *hnswlib, FaissIndex *const *graphs, size_t n_graphs)
{
    float *vectors = mem_new(ADD_AT_ONCE, dim * sizeof(float));
    int64_t ids[ADD_AT_ONCE];
    int64_t spent[8] = {0};

    if (vectors == NULL) {
        failed = 1;
        return;
    }
    for (size_t row = 0; row < n_rows; row += ADD_AT_ONCE) {
        size_t n = n_rows - row < ADD_AT_ONCE ? n_rows - row : ADD_AT_ONCE;
        for (size_t i = 0; i < n; i++) {
            face_make(dim, (row + i) / FACES_A_PERSON, (row + i) % FACES_A_PERSON, vectors + i * dim);
            ids[i] = (int64_t)(row + i);
        }
        int64_t begin = clock_thread_cpu_ns();
        failed |= index_add(ours, ids, vectors, n, NULL) != ERR_NONE;
        spent[0] += clock_thread_cpu_ns() - begin;
        begin = clock_thread_cpu_ns();
        failed |= faiss_Index_add(flat, (int64_t)n, vectors) != 0;
        spent[1] += clock_thread_cpu_ns() - begin;
        for (size_t g = 0; g < n_graphs; g++) {
            begin = clock_thread_cpu_ns();
            failed |= faiss_Index_add(graphs[g], (int64_t)n, vectors) != 0;
            spent[2 + g] += clock_thread_cpu_ns() - begin;
        }
        begin = clock_thread_cpu_ns();
        for (size_t i = 0; i < n && hnswlib != NULL; i++) {
            hnswlib_peer_add(hnswlib, vectors + i * dim, ids[i]);
        }
        spent[7] += clock_thread_cpu_ns() - begin;
    }
    printf("  build, CPU s: ours %.2f (%.1f us a face), FAISS Flat %.2f", (double)spent[0] * 1e-9,
           (double)spent[0] * 1e-3 / (double)n_rows, (double)spent[1] * 1e-9);
    if (n_graphs > 0) {
        printf(", HNSW32 %.1f, IVF,SQ8 %.1f, hnswlib %.1f", (double)spent[2] * 1e-9, (double)spent[3] * 1e-9,
               (double)spent[7] * 1e-9);
    }
    printf("\n  memory, bytes a face: ours %zu, of these floats %zu\n", index_bytes(ours) / n_rows,
           dim * sizeof(float));
    mem_free(vectors);
}

static void find_truth(void)
{
    const struct index_ask ask = {.k = K, .min_cosine = -1, .way = INDEX_WAY_FLOATS};
    struct random random = random_seeded(3, 3);
    int counts[QUERIES];

    for (size_t q = 0; q < n_queries; q++) {
        face_make(dim, random_below(&random, n_rows / FACES_A_PERSON), FACES_A_PERSON + q, queries + q * dim);
    }
    if (index_search_many(ours, queries, n_queries, &ask, exact[0], counts, NULL) != ERR_NONE) {
        failed = 1;
    }
    for (size_t q = 0; q < n_queries; q++) {
        for (size_t i = (size_t)counts[q]; i < K; i++) {
            exact[q][i].id = -1;
        }
    }
}

/* ---- What is asked for besides speed ----------------------------------------------------------------------------- */

static void time_changes(void)
{
    struct random random = random_seeded(9, 9);
    float vector[4096];
    int64_t added = 0;
    int64_t removed = 0;
    int64_t longest = 0;

    for (int i = 0; i < CHANGES; i++) {
        int64_t id = (int64_t)n_rows + i;
        int64_t gone = (int64_t)random_below(&random, n_rows);
        face_make(dim, (uint64_t)id, 0, vector);
        int64_t begin = clock_thread_cpu_ns();
        failed |= index_add(ours, &id, vector, 1, NULL) != ERR_NONE;
        int64_t between = clock_thread_cpu_ns();
        failed |= index_remove(ours, &gone, 1, NULL, NULL) != ERR_NONE;
        int64_t end = clock_thread_cpu_ns();
        added += between - begin;
        removed += end - between;
        longest = end - begin > longest ? end - begin : longest;
    }
    printf("  one face added %.1f us, removed %.1f us (required 50 each); longest pair %.0f us\n",
           (double)added * 1e-3 / CHANGES, (double)removed * 1e-3 / CHANGES, (double)longest * 1e-3);
}

/* Galleries in which every row is a match that lies just at the threshold: the worst case of the one-bit codes. */
static void count_misses(void)
{
    enum {
        ROWS = 16384,
        GALLERIES = 64
    };
    float *vectors = mem_new(ROWS, dim * sizeof(float));
    int64_t *ids = mem_new(ROWS, sizeof *ids);
    struct index_hit *hits = mem_new(ROWS, sizeof *hits);
    const struct index_ask bits = {.k = ROWS, .min_cosine = THRESHOLD, .way = INDEX_WAY_BITS};
    const struct index_ask floats = {.k = ROWS, .min_cosine = THRESHOLD, .way = INDEX_WAY_FLOATS};
    size_t matches = 0;
    size_t misses = 0;

    if (vectors == NULL || ids == NULL || hits == NULL) {
        failed = 1;
        return;
    }
    for (uint64_t g = 0; g < GALLERIES && !failed; g++) {
        struct index *index = NULL;
        float query[4096];
        int found[2] = {0};
        face_make(dim, 1000000000 + g, 0, query);
        for (size_t i = 0; i < ROWS; i++) {
            ids[i] = (int64_t)i;
            face_at_cosine(dim, query, (double)THRESHOLD + 1e-6, g * ROWS + i, vectors + i * dim);
        }
        failed |= index_new((int)dim, &index, NULL) != ERR_NONE ||
                  index_add(index, ids, vectors, ROWS, NULL) != ERR_NONE ||
                  index_search_many(index, query, 1, &bits, hits, &found[0], NULL) != ERR_NONE ||
                  index_search_many(index, query, 1, &floats, hits, &found[1], NULL) != ERR_NONE;
        index_free(index);
        matches += (size_t)found[1];
        misses += (size_t)(found[1] - found[0]);
    }
    printf("  one-bit codes: %zu of %zu matches exactly at the threshold missed (%.1f expected)\n", misses, matches,
           (double)matches * 2.9e-7);
    failed |= misses > 5;
    mem_free(vectors);
    mem_free(ids);
    mem_free(hits);
}

/* ---- All of it --------------------------------------------------------------------------------------------------- */

/* Raises what a peer may spend until it finds enough; leaves the contender with that. */
static void tune(struct contender *peer, const char *parameter, double least_recall)
{
    FaissParameterSpace *space = NULL;
    int value = 4;

    failed |= faiss_ParameterSpace_new(&space) != 0;
    for (; value <= 1024; value *= 2) {
        if (peer->hnswlib != NULL) {
            hnswlib_peer_set_ef(peer->hnswlib, (size_t)value);
        } else {
            failed |= faiss_ParameterSpace_set_index_parameter(space, peer->faiss, parameter, value) != 0;
        }
        if (recall_of(peer, n_queries) >= least_recall) {
            break;
        }
    }
    printf("  %s: %s %d\n", peer->name, parameter, value);
    faiss_ParameterSpace_free(space);
}

int main(int argc, char **argv)
{
    FaissIndex *graphs[2] = {NULL, NULL};
    struct hnswlib_peer *hnswlib = NULL;
    char ivf[32];

    if (argc != 4) {
        (void)fprintf(stderr, "usage: bench_index DIM ROWS PEERS\n");
        return 2;
    }
    dim = (size_t)strtoul(argv[1], NULL, 10);
    n_rows = (size_t)strtoul(argv[2], NULL, 10);
    n_queries = n_rows > 200000 ? 32 : QUERIES;
    const size_t n_graphs = n_rows <= (size_t)strtoul(argv[3], NULL, 10) ? 2 : 0;
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    omp_set_num_threads(1);
    queries = mem_new(QUERIES, dim * sizeof(float));
    failed |= queries == NULL || index_new((int)dim, &ours, NULL) != ERR_NONE ||
              faiss_IndexFlatIP_new_with((FaissIndexFlatIP **)&flat, (int64_t)dim) != 0;
    printf("%zu faces of %zu dimensions, kernels %s, one thread\n", n_rows, dim, scan_best()->name);
    if (n_graphs > 0 && !failed) {
        const size_t training = n_rows < 50000 ? n_rows : 50000;
        float *sample = mem_new(training, dim * sizeof(float));
        (void)snprintf(ivf, sizeof ivf, "IVF%d,SQ8", (int)(4 * sqrt((double)n_rows)));
        failed |= sample == NULL || faiss_index_factory(&graphs[0], (int)dim, "HNSW32", METRIC_INNER_PRODUCT) != 0 ||
                  faiss_index_factory(&graphs[1], (int)dim, ivf, METRIC_INNER_PRODUCT) != 0;
        for (size_t i = 0; i < training && !failed; i++) {
            size_t row = i * (n_rows / training);
            face_make(dim, row / FACES_A_PERSON, row % FACES_A_PERSON, sample + i * dim);
        }
        failed |= failed || faiss_Index_train(graphs[1], (int64_t)training, sample) != 0;
        mem_free(sample);
        hnswlib = hnswlib_peer_new(dim, n_rows);
    }
    if (failed) {
        return 1;
    }
    fill(hnswlib, graphs, n_graphs);
    find_truth();

    struct contender all[] = {
        {.name = "ours, threshold .40", .at_once = 1, .search = search_ours, .min_cosine = THRESHOLD},
        {.name = "ours, exact", .at_once = 1, .search = search_ours, .way = INDEX_WAY_EXACT, .min_cosine = -1},
        {.name = "ours, exact, 16 at once",
         .at_once = 16,
         .search = search_ours,
         .way = INDEX_WAY_EXACT,
         .min_cosine = -1},
        {.name = "ours, .40, 16 at once", .at_once = 16, .search = search_ours, .min_cosine = THRESHOLD},
        {.name = "fp32 scan", .at_once = 1, .search = search_ours, .way = INDEX_WAY_FLOATS, .min_cosine = -1},
        {.name = "FAISS Flat, as packaged", .at_once = 1, .search = search_faiss, .faiss = flat},
        {.name = "FAISS Flat, 16 at once", .at_once = 16, .search = search_faiss, .faiss = flat},
        {.name = "FAISS HNSW32", .at_once = 1, .search = search_faiss, .faiss = graphs[0]},
        {.name = "FAISS IVF,SQ8", .at_once = 1, .search = search_faiss, .faiss = graphs[1]},
        {.name = "hnswlib M16", .at_once = 1, .search = search_hnswlib, .hnswlib = hnswlib},
    };
    const size_t n = sizeof all / sizeof *all - (n_graphs > 0 ? 0 : 3);
    if (n_graphs > 0) {
        tune(&all[7], "efSearch", 0.99);
        tune(&all[8], "nprobe", 0.99);
        tune(&all[9], "ef", 0.99);
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < n; i++) {
            take_turn(&all[i]);
        }
    }
    for (size_t i = 0; i < n; i++) {
        double recall = recall_of(&all[i], i == 5 || i == 6 ? 16 : n_queries);
        printf("  %-24s %10.1f us  %6.2f of ours at .40  %6.2f of ours exact  recall %.4f\n", all[i].name,
               all[i].ns * 1e-3, all[i].ns / all[0].ns, all[i].ns / all[1].ns, recall);
        failed |= i < 5 && recall < 1;
    }
    if (n_rows == 1000000 && dim == 512) {
        printf("  against fp32: exact %.1f (required 5.5, aim 6.5), .40 %.1f (28, 40), 16 at once %.1f (8)\n",
               all[4].ns / all[1].ns, all[4].ns / all[0].ns, all[4].ns / all[2].ns);
    }
    time_changes();
    if (n_rows == 10000) {
        count_misses();
    }
    if (failed) {
        printf("  FAILED: an answer is wrong\n");
    }
    index_free(ours);
    mem_free(queries);
    faiss_Index_free(flat);
    faiss_Index_free(graphs[0]);
    faiss_Index_free(graphs[1]);
    if (hnswlib != NULL) {
        hnswlib_peer_free(hnswlib);
    }
    return failed;
}
