/*
 * hnswlib_peer.h: hnswlib behind four C functions.
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
void hnswlib_peer_free(struct hnswlib_peer *peer);
void hnswlib_peer_add(struct hnswlib_peer *peer, const float *vector, int64_t id);
void hnswlib_peer_set_ef(struct hnswlib_peer *peer, size_t ef);
void hnswlib_peer_search(struct hnswlib_peer *peer, const float *query, size_t k, int64_t *ret_ids);

#ifdef __cplusplus
}
#endif

#endif
