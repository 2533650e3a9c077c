/*
 * random.h: unpredictable bytes for keys and ids, and a repeatable generator for everything that must come out the same
 * twice (tests, training, data synthesis).
 */
#ifndef CORE_BASE_RANDOM_H
#define CORE_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* From the system's generator.  Any thread. */
void random_bytes(void *ret, size_t n_bytes);

/* A random version 4 UUID in lower case, 36 characters and the terminating zero.  Any thread. */
#define RANDOM_UUID_TEXT 37
void random_uuid(char ret[RANDOM_UUID_TEXT]);

/*
 * Repeatable: the sequence is a function of (seed, stream) alone (SplitMix64, Steele et al. 2014).  Not for secrets.
 * One thread per object.
 */
struct random {
    uint64_t state;
};

struct random random_seeded(uint64_t seed, uint64_t stream);
uint64_t random_u64(struct random *random);
double random_uniform(struct random *random);                 /* [0, 1) */
uint64_t random_below(struct random *random, uint64_t bound); /* 0 .. bound-1; bound > 0 */
double random_normal(struct random *random);                  /* mean 0, deviation 1 */

#endif
