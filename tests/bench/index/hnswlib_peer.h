/*
 * hnswlib_peer.h: hnswlib behind a few C functions.  A failure inside it, which only a damaged file is, ends the bench.
 */
#ifndef TESTS_BENCH_INDEX_HNSWLIB_PEER_H
#define TESTS_BENCH_INDEX_HNSWLIB_PEER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct hnswlib_peer;

/* M 16, ef_construction 200: hnswlib's own defaults. */
struct hnswlib_peer *hnswlib_peer_new(size_t dim, size_t max_rows);
struct hnswlib_peer *hnswlib_peer_load(size_t dim, size_t max_rows, const char *path);
void hnswlib_peer_save(struct hnswlib_peer *peer, const char *path);
void hnswlib_peer_free(struct hnswlib_peer *peer);
void hnswlib_peer_add(struct hnswlib_peer *peer, const float *vector, int64_t id);
void hnswlib_peer_mark_deleted(struct hnswlib_peer *peer, int64_t id);
void hnswlib_peer_set_ef(struct hnswlib_peer *peer, size_t ef);
void hnswlib_peer_search(struct hnswlib_peer *peer, const float *query, size_t k, int64_t *ret_ids);

#ifdef __cplusplus
}
#endif

#endif
