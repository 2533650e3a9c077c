// hnswlib_peer.cpp: hnswlib is a header of templates, so this is C++.
#include "tests/bench/index/hnswlib_peer.h"

#include <hnswlib/hnswlib.h>

struct hnswlib_peer {
    hnswlib::InnerProductSpace space;
    hnswlib::HierarchicalNSW<float> graph;

    hnswlib_peer(size_t dim, size_t max_rows) : space(dim), graph(&space, max_rows, 16, 200)
    {
    }
    hnswlib_peer(size_t dim, size_t max_rows, const char *path) : space(dim), graph(&space, path, false, max_rows)
    {
    }
};

hnswlib_peer *hnswlib_peer_new(size_t dim, size_t max_rows)
{
    return new hnswlib_peer(dim, max_rows);
}

hnswlib_peer *hnswlib_peer_load(size_t dim, size_t max_rows, const char *path)
{
    return new hnswlib_peer(dim, max_rows, path);
}

void hnswlib_peer_save(hnswlib_peer *peer, const char *path)
{
    peer->graph.saveIndex(path);
}

void hnswlib_peer_free(hnswlib_peer *peer)
{
    delete peer;
}

void hnswlib_peer_add(hnswlib_peer *peer, const float *vector, int64_t id)
{
    peer->graph.addPoint(vector, (size_t)id);
}

void hnswlib_peer_mark_deleted(hnswlib_peer *peer, int64_t id)
{
    peer->graph.markDelete((size_t)id);
}

void hnswlib_peer_set_ef(hnswlib_peer *peer, size_t ef)
{
    peer->graph.setEf(ef);
}

void hnswlib_peer_search(hnswlib_peer *peer, const float *query, size_t k, int64_t *ret_ids)
{
    auto found = peer->graph.searchKnn(query, k);
    for (size_t i = 0; i < k; i++) {
        ret_ids[i] = -1;
    }
    while (!found.empty()) {
        ret_ids[found.size() - 1] = (int64_t)found.top().second;
        found.pop();
    }
}
