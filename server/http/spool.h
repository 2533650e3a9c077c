/*
 * spool.h: a body that goes to a file as it arrives, because it is larger than memory: archives to import, models.
 *
 * The network's thread writes it: pieces of some ten KB into the page cache.  A disk that cannot keep up slows that thread, and
 * with it the other connections it serves, no more than the disk slows everything else.
 * One thread per object.
 */
#ifndef SERVER_HTTP_SPOOL_H
#define SERVER_HTTP_SPOOL_H

#include <limits.h>
#include <sodium.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

#define SPOOL_HASH_BYTES 32 /* BLAKE2b: the network's thread has a GB of it in a second, of SHA-256 a third */

/* {0} is a valid ended upload. */
struct spool {
    bool begun;
    int fd; /* valid while begun and not closed; -1 after spool_close */
    int64_t bytes;
    char path[PATH_MAX];

    bool hashes;
    crypto_generichash_state state;
    unsigned char hash[SPOOL_HASH_BYTES]; /* of all bytes, after spool_close */
};

/* Makes a new file (mode 0600) in DATA/uploads, which is made if need be.  Errors: as err_from_errno; ERR_MISUSE the path is too long. */
MUST_CHECK enum err spool_begin(struct spool *spool, const char *data);

/* From the beginning on the bytes are hashed, too. */
void spool_hash(struct spool *spool);
MUST_CHECK enum err spool_write(struct spool *spool, const void *bytes, size_t n_bytes);

/* Everything has come; the file stays. */
MUST_CHECK enum err spool_close(struct spool *spool);

/* Ends it: the file goes, unless somebody has renamed it. */
void spool_drop(struct spool *spool);

/* Removes what a killed daemon left in DATA/uploads. */
void spool_tidy(const char *data);

#endif
