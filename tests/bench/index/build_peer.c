/* build_peer.c KIND DIM ROWS FOLDER: builds a peer once; a file that is there already stays. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/index/peers.h"

int main(int argc, char **argv)
{
    double build_s = 0;
    char path[512];

    if (argc != 5) {
        (void)fprintf(stderr, "usage: build_peer KIND DIM ROWS FOLDER\n");
        return 2;
    }
    const enum peer_kind kind = (enum peer_kind)strtoul(argv[1], NULL, 10);
    const size_t dim = (size_t)strtoul(argv[2], NULL, 10);
    const size_t n_rows = (size_t)strtoul(argv[3], NULL, 10);
    peer_path(kind, dim, n_rows, argv[4], path);
    if (access(path, R_OK) == 0) {
        return 0;
    }
    (void)printf("building %s over %zu faces of %zu dimensions, once\n", peer_name(kind), n_rows, dim);
    struct peer *peer = peer_build(kind, dim, n_rows, &build_s);
    peer_save(peer, argv[4], build_s);
    (void)printf("  built in %.1f s of CPU\n", build_s);
    peer_free(peer);
    return 0;
}
