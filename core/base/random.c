/* random.c: libsodium for secrets, SplitMix64 for repeatability. */
#include "core/base/random.h"

#include <math.h>
#include <sodium.h>
#include <stdio.h>

void random_bytes(void *ret, size_t n_bytes)
{
    randombytes_buf(ret, n_bytes);
}

void random_uuid(char ret[RANDOM_UUID_TEXT])
{
    unsigned char b[16];

    random_bytes(b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0FU) | 0x40U);
    b[8] = (unsigned char)((b[8] & 0x3FU) | 0x80U);
    (void)snprintf(ret, RANDOM_UUID_TEXT, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
                   b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

struct random random_seeded(uint64_t seed, uint64_t stream)
{
    return (struct random){.state = mix(seed) ^ mix(stream + UINT64_C(0x9E3779B97F4A7C15))};
}

uint64_t random_u64(struct random *random)
{
    random->state += UINT64_C(0x9E3779B97F4A7C15);
    return mix(random->state);
}

double random_uniform(struct random *random)
{
    return (double)(random_u64(random) >> 11) * 0x1p-53;
}

uint64_t random_below(struct random *random, uint64_t bound)
{
    uint64_t unfair = (0 - bound) % bound; /* 2^64 mod bound: values below it would appear once too often */
    uint64_t value;

    do {
        value = random_u64(random);
    } while (value < unfair);
    return value % bound;
}

double random_normal(struct random *random)
{
    double radius = sqrt(-2.0 * log(1.0 - random_uniform(random))); /* Box and Muller; 1 - u is never 0 */
    return radius * cos(6.283185307179586 * random_uniform(random));
}
