/* peers.c: FAISS through its C interface, hnswlib through ours. */
#include "tests/bench/index/peers.h"

#include <faiss/c_api/AutoTune_c.h>
#include <faiss/c_api/IndexFlat_c.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/impl/AuxIndexStructures_c.h>
#include <faiss/c_api/index_factory_c.h>
#include <faiss/c_api/index_io_c.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "tests/bench/index/faces.h"
#include "tests/bench/index/hnswlib_peer.h"

void omp_set_num_threads(int n_threads);

enum {
    ADD_AT_ONCE = 1024,
    TRAINING = 50000
};

struct peer {
    enum peer_kind kind;
    size_t dim, n_rows;
    FaissIndex *faiss; /* one of the two */
    struct hnswlib_peer *hnswlib;
    FaissParameterSpace *space;
};

static void must(int failed, const char *doing)
{
    if (failed) {
        (void)fprintf(stderr, "peers: %s failed: %s\n", doing, faiss_get_last_error());
        exit(1);
    }
}

static void *must_have(void *memory)
{
    if (memory == NULL) {
        (void)fprintf(stderr, "peers: no memory\n");
        exit(1);
    }
    return memory;
}

const char *peer_name(enum peer_kind kind)
{
    static const char *const names[N_PEER_KINDS] = {"FAISS Flat", "FAISS HNSW32", "FAISS IVF,SQ8", "hnswlib M16"};
    return names[kind];
}

const char *peer_effort_word(enum peer_kind kind)
{
    static const char *const words[N_PEER_KINDS] = {"", "efSearch", "nprobe", "ef"};
    return words[kind];
}

void peer_path(enum peer_kind kind, size_t dim, size_t n_rows, const char *folder, char ret[512])
{
    static const char *const words[N_PEER_KINDS] = {"flat", "hnsw32", "ivf_sq8", "hnswlib"};
    (void)snprintf(ret, 512, "%s/%s_%zu_%zu", folder, words[kind], dim, n_rows);
}

static struct peer *peer_new(enum peer_kind kind, size_t dim, size_t n_rows)
{
    struct peer *peer = must_have(MEM_NEW(struct peer));

    *peer = (struct peer){.kind = kind, .dim = dim, .n_rows = n_rows};
    if (kind != PEER_HNSWLIB) {
        must(faiss_ParameterSpace_new(&peer->space), "making a space of parameters");
    }
    return peer;
}

static void train(struct peer *peer)
{
    const size_t n = peer->n_rows < TRAINING ? peer->n_rows : TRAINING;
    float *sample = must_have(mem_new(n, peer->dim * sizeof(float)));

    for (size_t i = 0; i < n; i++) {
        size_t row = i * (peer->n_rows / n);
        face_make(peer->dim, row / FACES_A_PERSON, row % FACES_A_PERSON, sample + i * peer->dim);
    }
    must(faiss_Index_train(peer->faiss, (int64_t)n, sample), "training");
    mem_free(sample);
}

struct peer *peer_build(enum peer_kind kind, size_t dim, size_t n_rows, double *ret_build_s)
{
    struct peer *peer = peer_new(kind, dim, n_rows);
    float *vectors = must_have(mem_new(ADD_AT_ONCE, dim * sizeof(float)));
    int64_t spent = clock_thread_cpu_ns();
    char ivf[32];

    omp_set_num_threads(1);
    (void)snprintf(ivf, sizeof ivf, "IVF%d,SQ8", (int)(4 * sqrt((double)n_rows)));
    if (kind == PEER_HNSWLIB) {
        peer->hnswlib = must_have(hnswlib_peer_new(dim, n_rows + 4096));
    } else if (kind == PEER_FLAT) {
        must(faiss_IndexFlatIP_new_with((FaissIndexFlatIP **)&peer->faiss, (int64_t)dim), "making an index");
    } else {
        must(faiss_index_factory(&peer->faiss, (int)dim, kind == PEER_HNSW ? "HNSW32" : ivf, METRIC_INNER_PRODUCT),
             "making an index");
    }
    if (kind == PEER_IVF) {
        train(peer);
    }
    spent = clock_thread_cpu_ns() - spent;
    for (size_t row = 0; row < n_rows; row += ADD_AT_ONCE) {
        size_t n = n_rows - row < ADD_AT_ONCE ? n_rows - row : ADD_AT_ONCE;
        for (size_t i = 0; i < n; i++) {
            face_make(dim, (row + i) / FACES_A_PERSON, (row + i) % FACES_A_PERSON, vectors + i * dim);
        }
        int64_t begin = clock_thread_cpu_ns();
        if (kind != PEER_HNSWLIB) {
            must(faiss_Index_add(peer->faiss, (int64_t)n, vectors), "adding");
        }
        for (size_t i = 0; i < n && kind == PEER_HNSWLIB; i++) {
            hnswlib_peer_add(peer->hnswlib, vectors + i * dim, (int64_t)(row + i));
        }
        spent += clock_thread_cpu_ns() - begin;
    }
    mem_free(vectors);
    *ret_build_s = (double)spent * 1e-9;
    return peer;
}

void peer_save(const struct peer *peer, const char *folder, double build_s)
{
    char path[512];
    char unready[520];
    char times[520];

    peer_path(peer->kind, peer->dim, peer->n_rows, folder, path);
    (void)snprintf(unready, sizeof unready, "%s.tmp", path);
    (void)snprintf(times, sizeof times, "%s.s", path);
    if (peer->kind == PEER_HNSWLIB) {
        hnswlib_peer_save(peer->hnswlib, unready);
    } else {
        must(faiss_write_index_fname(peer->faiss, unready), "writing");
    }
    FILE *file = fopen(times, "w");
    must(file == NULL || fprintf(file, "%.3f\n", build_s) < 0 || fclose(file) != 0, "writing the time");
    must(rename(unready, path), "renaming");
}

struct peer *peer_load(enum peer_kind kind, size_t dim, size_t n_rows, const char *folder, double *ret_build_s)
{
    struct peer *peer = peer_new(kind, dim, n_rows);
    char path[512];
    char times[520];

    peer_path(kind, dim, n_rows, folder, path);
    (void)snprintf(times, sizeof times, "%s.s", path);
    if (kind == PEER_HNSWLIB) {
        peer->hnswlib = must_have(hnswlib_peer_load(dim, n_rows + 4096, path));
    } else {
        must(faiss_read_index_fname(path, 0, &peer->faiss), "reading");
    }
    FILE *file = fopen(times, "r");
    must(file == NULL || fscanf(file, "%lf", ret_build_s) != 1 || fclose(file) != 0, "reading the time");
    return peer;
}

void peer_free(struct peer *peer)
{
    if (peer == NULL) {
        return;
    }
    if (peer->hnswlib != NULL) {
        hnswlib_peer_free(peer->hnswlib);
    }
    faiss_Index_free(peer->faiss);
    faiss_ParameterSpace_free(peer->space);
    mem_free(peer);
}

void peer_search(struct peer *peer, const float *queries, size_t n, int k, int64_t *ret_ids)
{
    float scores[64 * 16];

    if (peer->kind == PEER_HNSWLIB) {
        for (size_t q = 0; q < n; q++) {
            hnswlib_peer_search(peer->hnswlib, queries + q * peer->dim, (size_t)k, ret_ids + q * (size_t)k);
        }
        return;
    }
    must((size_t)k * n > sizeof scores / sizeof *scores, "room for so many");
    omp_set_num_threads(1);
    must(faiss_Index_search(peer->faiss, (int64_t)n, queries, k, scores, ret_ids), "a search");
}

void peer_set_effort(struct peer *peer, int effort)
{
    if (peer->kind == PEER_HNSWLIB) {
        hnswlib_peer_set_ef(peer->hnswlib, (size_t)effort);
    } else if (peer->kind != PEER_FLAT) {
        must(faiss_ParameterSpace_set_index_parameter(peer->space, peer->faiss, peer_effort_word(peer->kind), effort),
             "setting a parameter");
    }
}

bool peer_add(struct peer *peer, const float *vector, int64_t id)
{
    if (peer->kind == PEER_HNSWLIB) {
        hnswlib_peer_add(peer->hnswlib, vector, id);
    } else {
        must(faiss_Index_add(peer->faiss, 1, vector), "adding");
    }
    return true;
}

bool peer_remove(struct peer *peer, int64_t id)
{
    FaissIDSelectorRange *selector = NULL;
    size_t n = 0;

    if (peer->kind == PEER_HNSWLIB) { /* it stays in the graph */
        hnswlib_peer_mark_deleted(peer->hnswlib, id);
        return true;
    }
    if (peer->kind == PEER_HNSW) {
        return false;
    }
    must(faiss_IDSelectorRange_new(&selector, id, id + 1), "a selector");
    must(faiss_Index_remove_ids(peer->faiss, (FaissIDSelector *)selector, &n), "removing");
    faiss_IDSelector_free((FaissIDSelector *)selector);
    return n == 1;
}
