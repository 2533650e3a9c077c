/* strided.c: walks over views. */
#include "core/kernel/strided.h"

#include <stdbool.h>
#include <string.h>

static bool joins(const struct strided *s, int n_inputs, int outer, int inner)
{
    for (int k = 0; k < n_inputs; k++) {
        if (s->step[k][outer] != s->step[k][inner] * s->dim[inner]) {
            return false;
        }
    }
    return true;
}

static void move(struct strided *s, int n_inputs, int to, int from)
{
    s->dim[to] = s->dim[from];
    for (int k = 0; k < n_inputs; k++) {
        s->step[k][to] = s->step[k][from];
    }
}

void strided_simplify(struct strided *s, int n_inputs)
{
    int rank = 0;

    for (int d = 0; d < s->rank; d++) {
        if (s->dim[d] == 1) {
            continue;
        }
        if (rank > 0 && joins(s, n_inputs, rank - 1, d)) {
            int64_t outer = s->dim[rank - 1];
            move(s, n_inputs, rank - 1, d);
            s->dim[rank - 1] *= outer;
        } else {
            move(s, n_inputs, rank++, d);
        }
    }
    if (rank == 0) {
        s->dim[0] = 1;
        for (int k = 0; k < n_inputs; k++) {
            s->step[k][0] = 1;
        }
        rank = 1;
    }
    s->rank = rank;
}

int64_t strided_row(const struct strided *s)
{
    return s->dim[s->rank - 1];
}

int64_t strided_rows(const struct strided *s)
{
    int64_t rows = 1;

    for (int d = 0; d < s->rank - 1; d++) {
        rows *= s->dim[d];
    }
    return rows;
}

int64_t strided_start(const struct strided *s, int k, int64_t row)
{
    int64_t start = 0;

    for (int d = s->rank - 2; d >= 0; d--) {
        start += row % s->dim[d] * s->step[k][d];
        row /= s->dim[d];
    }
    return start;
}

/* NOLINTBEGIN(bugprone-macro-parentheses) a type cannot stand in parentheses */
#define COPY_ROW(type)                               \
    do {                                             \
        const type *from = (const type *)in + start; \
        type *to = (type *)out + i * row;            \
        for (int64_t j = 0; j < row; j++) {          \
            to[j] = from[j * step];                  \
        }                                            \
    } while (0)
/* NOLINTEND(bugprone-macro-parentheses) */

void strided_copy(const struct strided *s, const void *in, void *out, size_t elem_bytes)
{
    int64_t row = strided_row(s);
    int64_t rows = row > 0 ? strided_rows(s) : 0;
    int64_t step = s->step[0][s->rank - 1];

    for (int64_t i = 0; i < rows; i++) {
        int64_t start = strided_start(s, 0, i);
        if (step == 1) {
            memcpy((char *)out + (size_t)(i * row) * elem_bytes, (const char *)in + start * (int64_t)elem_bytes,
                   (size_t)row * elem_bytes);
            continue;
        }
        switch (elem_bytes) {
        case 1: COPY_ROW(uint8_t); break;
        case 2: COPY_ROW(uint16_t); break;
        case 4: COPY_ROW(uint32_t); break;
        default: COPY_ROW(uint64_t); break;
        }
    }
}
