/* faces.c: persons and their photos from a seed. */
#include "tests/bench/index/faces.h"

#include <math.h>
#include <string.h>

#include "core/base/random.h"

enum {
    MAX_DIM = 4096
};

/* Four 16-bit numbers added up come near enough to a normal one, and a gallery has half a billion of them. */
static float normal(struct random *random)
{
    uint64_t bits = random_u64(random);
    float sum =
        (float)(bits & 0xFFFF) + (float)(bits >> 16 & 0xFFFF) + (float)(bits >> 32 & 0xFFFF) + (float)(bits >> 48);
    return (sum - 131070.0F) / 37837.0F;
}

static void normalise(float *vector, size_t dim)
{
    double sum = 0;

    for (size_t i = 0; i < dim; i++) {
        sum += (double)vector[i] * (double)vector[i];
    }
    for (size_t i = 0; i < dim; i++) {
        vector[i] = (float)((double)vector[i] / sqrt(sum));
    }
}

/* At 512 dimensions their variances fall off by e^4.2, which leaves as many effective ones as a spread of .065 has: 237. */
static void direction(size_t dim, uint64_t seed, uint64_t stream, float *ret)
{
    static float falling[MAX_DIM];
    struct random random = random_seeded(seed, stream);

    if (falling[0] == 0) {
        for (size_t i = 0; i < dim; i++) {
            falling[i] = dim == 512 ? expf(-2.1F * (float)i / (float)dim) : 1;
        }
    }
    for (size_t i = 0; i < dim; i++) {
        ret[i] = normal(&random) * falling[i];
    }
    normalise(ret, dim);
}

void face_make(size_t dim, uint64_t person, uint64_t photo, float *ret)
{
    float centre[MAX_DIM];

    direction(dim, 1000 + person, 0, centre);
    direction(dim, 1000 + person, 1 + photo, ret);
    for (size_t i = 0; i < dim; i++) {
        ret[i] = sqrtf(0.65F) * centre[i] + sqrtf(0.35F) * ret[i];
    }
    normalise(ret, dim);
}

void face_at_cosine(size_t dim, const float *vector, double cosine, uint64_t seed, float *ret)
{
    double along = 0;

    direction(dim, 7, seed, ret);
    for (size_t i = 0; i < dim; i++) {
        along += (double)vector[i] * (double)ret[i];
    }
    for (size_t i = 0; i < dim; i++) {
        ret[i] -= (float)(along * (double)vector[i]);
    }
    normalise(ret, dim);
    for (size_t i = 0; i < dim; i++) {
        ret[i] = (float)(cosine * (double)vector[i] + sqrt(1 - cosine * cosine) * (double)ret[i]);
    }
}
