/* glance.c: one bilinear warp and one line of light. */
#include "core/train/glance.h"

#include <math.h>
#include <stddef.h>
#include <tgmath.h>

#define PI 3.14159265358979323846

static double swing(struct random *random, float most)
{
    return (2 * random_uniform(random) - 1) * (double)most;
}

struct glance glance_plain(int side, bool mirrored)
{
    struct glance glance = {.map = {1, 0, 0, 0, 1, 0}, .gain = 1};

    if (mirrored) {
        glance.map[0] = -1;
        glance.map[2] = (float)(side - 1);
    }
    return glance;
}

/* Everything is always drawn, so that one limit does not change what another gives. */
struct glance glance_draw(const struct glance_limits *limits, int side, struct random *random)
{
    bool mirrored = random_u64(random) >> 63 != 0 && limits->mirror;
    double angle = swing(random, limits->degrees) * PI / 180;
    double scale = 1 + swing(random, limits->scale);
    double right = swing(random, limits->pixels);
    double down = swing(random, limits->pixels);
    double cosine = cos(angle) * scale;
    double sine = sin(angle) * scale;
    double middle = (side - 1) / 2.0;
    double sign = mirrored ? -1 : 1;
    struct glance glance = {
        .map = {(float)(sign * cosine), (float)(sign * -sine),
                (float)(middle - sign * (cosine - sine) * middle + right), (float)sine, (float)cosine,
                (float)(middle - (sine + cosine) * middle + down)},
        .gain = (float)(1 + swing(random, limits->light)),
        .shift = (float)(swing(random, limits->light) / 2),
        .noise = limits->noise,
    };

    glance.random = random_seeded(random_u64(random), 0);
    return glance;
}

/* The four pixels around a place and their weights. */
struct corner {
    size_t at[4];
    float weight[4];
};

static struct corner corner_at(const struct glance *glance, int side, int x, int y)
{
    const float *m = glance->map;
    float most = (float)(side - 1);
    float u = m[0] * (float)x + m[1] * (float)y + m[2];
    float v = m[3] * (float)x + m[4] * (float)y + m[5];

    u = u < 0 ? 0 : (u > most ? most : u);
    v = v < 0 ? 0 : (v > most ? most : v);
    size_t left = (size_t)u;
    size_t top = (size_t)v;
    size_t right = left + 1 < (size_t)side ? left + 1 : left;
    size_t bottom = top + 1 < (size_t)side ? top + 1 : top;
    float du = u - (float)left;
    float dv = v - (float)top;
    size_t wide = (size_t)side;
    return (struct corner){
        .at = {top * wide + left, top * wide + right, bottom * wide + left, bottom * wide + right},
        .weight = {(1 - du) * (1 - dv), du * (1 - dv), (1 - du) * dv, du * dv},
    };
}

/* About normal: the sum of four even draws of 16 bits each. */
static float draw_noise(struct random *random)
{
    unsigned long long bits = random_u64(random);
    double sum = 0;

    for (int i = 0; i < 4; i++) {
        sum += (double)(bits >> (16 * i) & 0xFFFF) / 65536 - 0.5;
    }
    return (float)(sum * 1.7320508075688772);
}

void glance_see(const struct glance *glance, int side, const float *picture, float *ret)
{
    size_t count = (size_t)side * (size_t)side;
    struct random random = glance->random;

    for (int y = 0; y < side; y++) {
        for (int x = 0; x < side; x++) {
            struct corner corner = corner_at(glance, side, x, y);
            for (size_t c = 0; c < 3; c++) {
                const float *plane = picture + c * count;
                float found = corner.weight[0] * plane[corner.at[0]] + corner.weight[1] * plane[corner.at[1]] +
                              corner.weight[2] * plane[corner.at[2]] + corner.weight[3] * plane[corner.at[3]];
                found = glance->gain * found + glance->shift;
                if (glance->noise > 0) {
                    found += glance->noise * draw_noise(&random);
                }
                ret[c * count + (size_t)y * (size_t)side + (size_t)x] = found;
            }
        }
    }
}

void glance_back(const struct glance *glance, int side, const float *d, float *d_picture)
{
    size_t count = (size_t)side * (size_t)side;

    for (int y = 0; y < side; y++) {
        for (int x = 0; x < side; x++) {
            struct corner corner = corner_at(glance, side, x, y);
            for (size_t c = 0; c < 3; c++) {
                float *plane = d_picture + c * count;
                float by = glance->gain * d[c * count + (size_t)y * (size_t)side + (size_t)x];
                for (size_t k = 0; k < 4; k++) {
                    plane[corner.at[k]] += corner.weight[k] * by;
                }
            }
        }
    }
}
