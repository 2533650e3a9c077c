/*
 * peers.h: other indexes behind one face, built once and kept as files: a graph over 100,000 faces takes minutes.
 *
 * What cannot be (no memory, a file that does not load) ends the bench with a sentence.
 */
#ifndef TESTS_BENCH_INDEX_PEERS_H
#define TESTS_BENCH_INDEX_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum peer_kind {
    PEER_FLAT, /* FAISS Flat; built in place, never a file */
    PEER_HNSW, /* FAISS HNSW32 */
    PEER_IVF,  /* FAISS IVF,SQ8 with 4·√n lists */
    PEER_HNSWLIB,
    N_PEER_KINDS
};
const char *peer_name(enum peer_kind kind);

struct peer;

/* Over the first n_rows faces of faces.h, on one thread; build_s is CPU time, also of a build that a file keeps. */
struct peer *peer_build(enum peer_kind kind, size_t dim, size_t n_rows, double *ret_build_s);
void peer_save(const struct peer *peer, const char *folder, double build_s);
struct peer *peer_load(enum peer_kind kind, size_t dim, size_t n_rows, const char *folder, double *ret_build_s);
void peer_free(struct peer *peer);

/* The file that keeps it. */
void peer_path(enum peer_kind kind, size_t dim, size_t n_rows, const char *folder, char ret[512]);

/* Shapes: queries [n, dim]; ret_ids [n, k], -1 where there are fewer. */
void peer_search(struct peer *peer, const float *queries, size_t n, int k, int64_t *ret_ids);

/* What it may spend on a query: efSearch, nprobe or ef; nothing to Flat. */
void peer_set_effort(struct peer *peer, int effort);
const char *peer_effort_word(enum peer_kind kind);

/* One vector more, one fewer; false where the peer cannot. */
bool peer_add(struct peer *peer, const float *vector, int64_t id);
bool peer_remove(struct peer *peer, int64_t id);

#endif
