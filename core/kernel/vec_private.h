/*
 * vec_private.h: vectors as wide as the instruction set's registers, images with their channels last, and products of blocks
 * held in registers.
 *
 * Included once for each instruction set by the kernels of training, which all have the same form: a few rows of an image
 * (NCHW) are laid out with the channels of a pixel beside each other, products of blocks are summed in registers, and the
 * results are laid back.  A product wants one number of the left side times a row of the right one, so neither side is packed.
 */
#ifndef CORE_KERNEL_VEC_PRIVATE_H
#define CORE_KERNEL_VEC_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define VEC 16
#define PRODUCT_ROWS 14 /* 28 sums, two of the right side and one of the left: 31 of 32 registers */
#else
#define VEC 8
#define PRODUCT_ROWS 6 /* 12 sums, 15 of 16 registers */
#endif
#define PAIR (2 * VEC) /* numbers of the right side that a product takes at once */

typedef float vec __attribute__((vector_size(4 * VEC)));
/* The same without a promise about its address. */
typedef float vec_loose __attribute__((vector_size(4 * VEC), aligned(4)));

/* Vectors pass between functions by value: how, depends on the instruction set, so all of these are inlined each time. */
#define EACH_TIME static inline __attribute__((always_inline))
#if !defined(__AVX__)
#pragma GCC diagnostic ignored "-Wpsabi" /* where this header is only checked, not used */
#endif

EACH_TIME vec vec_of(float x)
{
#if VEC == 16
    return (vec){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
#else
    return (vec){x, x, x, x, x, x, x, x};
#endif
}

EACH_TIME vec vec_load(const float *from)
{
    return (vec) * (const vec_loose *)from;
}

EACH_TIME void vec_store(float *to, vec x)
{
    *(vec_loose *)to = (vec_loose)x;
}

/* ---- Transposing --------------------------------------------------------------------------------------------------- */

/* Column j of a row after the exchange of rows i and i + step in the columns that have, or have not, the bit of step. */
#define LOW(j, step) (((j) & (step)) != 0 ? (j) - (step) + VEC : (j))
#define HIGH(j, step) (((j) & (step)) != 0 ? (j) + VEC : (j) + (step))
#define EIGHT(of, first, step)                                                                                     \
    of((first), step), of((first) + 1, step), of((first) + 2, step), of((first) + 3, step), of((first) + 4, step), \
        of((first) + 5, step), of((first) + 6, step), of((first) + 7, step)
#if VEC == 16
#define EVERY(of, step) EIGHT(of, 0, step), EIGHT(of, 8, step)
#else
#define EVERY(of, step) EIGHT(of, 0, step)
#endif
#define EXCHANGE(row, step)                                                       \
    _Pragma("GCC unroll 16") for (int i = 0; i < VEC; i++)                        \
    {                                                                             \
        if ((i & (step)) == 0) {                                                  \
            vec a = (row)[i];                                                     \
            vec b = (row)[i + (step)];                                            \
            (row)[i] = __builtin_shufflevector(a, b, EVERY(LOW, step));           \
            (row)[i + (step)] = __builtin_shufflevector(a, b, EVERY(HIGH, step)); \
        }                                                                         \
    }

EACH_TIME void transpose(vec *row)
{
    EXCHANGE(row, 1)
    EXCHANGE(row, 2)
    EXCHANGE(row, 4)
#if VEC == 16
    EXCHANGE(row, 8)
#endif
}

/*
 * Where the numbers of one pixel go: pixel p of a run lies in column (first + p) % width of its row.
 * The next pixel's place is a step on, the next row's one a jump further.
 */
struct places {
    int64_t width, first;
    int64_t step, jump; /* floats from a pixel to the next one; added when a row ends */
};

/*
 * Lays VEC channels of a run of pixels beside each other: channel c of pixel p goes to place(p) + c.
 * Shapes: from channel 0 at pixel 0, channels a distance apart; n_channels ≤ VEC, those that are missing become 0;
 *         everything before end may be read.
 */
EACH_TIME void channels_last(const float *from, int64_t distance, int64_t n_channels, int64_t pixels, const float *end,
                             struct places places, float *to)
{
    int64_t column = places.first;

    for (int64_t p = 0; p < pixels;) {
        vec row[VEC];
        int64_t count = pixels - p < VEC ? pixels - p : VEC;
        if (n_channels == VEC && end - from >= (VEC - 1) * distance + p + VEC) {
#pragma GCC unroll 16
            for (int c = 0; c < VEC; c++) {
                row[c] = vec_load(from + c * distance + p);
            }
        } else {
            for (int c = 0; c < VEC; c++) {
                row[c] = vec_of(0);
                if (c < n_channels) {
                    memcpy(&row[c], from + c * distance + p, (size_t)count * sizeof *from);
                }
            }
        }
        transpose(row);
        for (int64_t i = 0; i < count; i++) {
            vec_store(to, row[i]);
            to += places.step;
            if (++column == places.width) {
                column = 0;
                to += places.jump;
            }
        }
        p += count;
    }
}

/* The way back, to channels that are a distance apart: written, or added to what is there. */
EACH_TIME void channels_first(const float *from, struct places places, int64_t distance, int64_t n_channels,
                              int64_t pixels, bool add, float *to)
{
    int64_t column = places.first;

    for (int64_t p = 0; p < pixels;) {
        vec row[VEC];
        int64_t count = pixels - p < VEC ? pixels - p : VEC;
        for (int64_t i = 0; i < VEC; i++) {
            if (i >= count) {
                row[i] = vec_of(0);
                continue;
            }
            row[i] = vec_load(from);
            from += places.step;
            if (++column == places.width) {
                column = 0;
                from += places.jump;
            }
        }
        transpose(row);
        for (int64_t c = 0; c < n_channels; c++) {
            float *at = to + c * distance + p;
            if (count == VEC) {
                vec_store(at, add ? vec_load(at) + row[c] : row[c]);
                continue;
            }
            for (int64_t i = 0; i < count; i++) {
                at[i] = add ? at[i] + row[c][i] : row[c][i];
            }
        }
        p += count;
    }
}

/* ---- Products ------------------------------------------------------------------------------------------------------ */

/*
 * c[i][0 .. PAIR) (+)= Σ over runs r, over k: a[a_at[r] + i · a_row + k · a_step] · b[b_at[r] + k · b_step + 0 .. PAIR)
 */
struct product {
    int64_t runs;
    const int64_t *a_at, *b_at;
    int64_t k, a_row, a_step, b_step, c_row;
    bool add;
};

EACH_TIME void product_rows(const struct product *p, const int m, const float *a, const float *b, float *c)
{
    vec sums[PRODUCT_ROWS][2];
    int64_t row = p->a_row;

#pragma GCC unroll 16
    for (int i = 0; i < m; i++) {
        sums[i][0] = p->add ? vec_load(c + i * p->c_row) : vec_of(0);
        sums[i][1] = p->add ? vec_load(c + i * p->c_row + VEC) : vec_of(0);
    }
    for (int64_t r = 0; r < p->runs; r++) {
        const float *left[5]; /* of every third row, so that an address needs no register of its own */
        const float *right = b + p->b_at[r];
#pragma GCC unroll 5
        for (int i = 0; i < 5; i++) {
            left[i] = a + p->a_at[r] + 3 * i * row;
        }
        for (int64_t k = 0; k < p->k; k++) {
            vec b0 = vec_load(right);
            vec b1 = vec_load(right + VEC);
#pragma GCC unroll 16
            for (int i = 0; i < m; i++) {
                vec x = vec_of(left[i / 3][i % 3 * row]);
                sums[i][0] += x * b0;
                sums[i][1] += x * b1;
            }
            right += p->b_step;
#pragma GCC unroll 5
            for (int i = 0; i < 5; i++) {
                left[i] += p->a_step;
            }
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < m; i++) {
        vec_store(c + i * p->c_row, sums[i][0]);
        vec_store(c + i * p->c_row + VEC, sums[i][1]);
    }
}

#define ROWS(m) \
    case m: product_rows(p, m, a, b, c); break

static __attribute__((noinline)) void product_some(const struct product *p, int m, const float *a, const float *b,
                                                   float *c)
{
    switch (m) {
        ROWS(1);
        ROWS(2);
        ROWS(3);
        ROWS(4);
        ROWS(5);
        ROWS(6);
#if PRODUCT_ROWS > 6
        ROWS(7);
        ROWS(8);
        ROWS(9);
        ROWS(10);
        ROWS(11);
        ROWS(12);
        ROWS(13);
        ROWS(14);
#endif
    default: break;
    }
}

/* m rows, in as few groups as possible and those of equal size, so that none starves. */
static inline void product(const struct product *p, int64_t m, const float *a, const float *b, float *c)
{
    int64_t groups = (m + PRODUCT_ROWS - 1) / PRODUCT_ROWS;

    for (int64_t g = 0; g < groups; g++) {
        int64_t from = m * g / groups;
        int64_t to = m * (g + 1) / groups;
        product_some(p, (int)(to - from), a + from * p->a_row, b, c + from * p->c_row);
    }
}

#endif
