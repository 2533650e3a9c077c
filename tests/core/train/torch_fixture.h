/*
 * torch_fixture.h: reading what PyTorch has computed (fixtures/NAME_torch.bin), and comparing with it.
 *
 * A fixture is float32, little-endian, without any structure: the script that wrote it says what follows what.
 */
#ifndef TESTS_CORE_TRAIN_TORCH_FIXTURE_H
#define TESTS_CORE_TRAIN_TORCH_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/base/mem.h"

struct torch_fixture {
    unsigned char *bytes;
    size_t n_bytes;
    const float *at;
};

/* How far a number may be from PyTorch's: relative to the largest of its tensor, plus floor. */
struct torch_bound {
    double relative, floor;
};

static inline void torch_check(enum err err, const struct err_note *note)
{
    if (err != ERR_NONE) {
        fail_msg("%s: %s", err_word(err), note->text);
    }
}

static inline struct torch_fixture torch_open(const char *path)
{
    struct torch_fixture fixture = {0};
    struct err_note note = {0};

    torch_check(file_read(path, (size_t)1 << 20, &fixture.bytes, &fixture.n_bytes, &note), &note);
    fixture.at = (const float *)(const void *)fixture.bytes;
    return fixture;
}

/* The next count numbers. */
static inline const float *torch_take(struct torch_fixture *fixture, size_t count)
{
    const float *here = fixture->at;

    assert_true(count * sizeof *here <= (size_t)(fixture->bytes + fixture->n_bytes - (const unsigned char *)here));
    fixture->at += count;
    return here;
}

static inline void torch_close(struct torch_fixture *fixture)
{
    assert_ptr_equal(fixture->at, fixture->bytes + fixture->n_bytes); /* nothing is left over */
    mem_free(fixture->bytes);
}

static inline void torch_compare(struct torch_bound bound, const char *part, const char *name, const float *is,
                                 const float *should, size_t count)
{
    float largest = 0;

    for (size_t i = 0; i < count; i++) {
        largest = fmaxf(largest, fabsf(should[i]));
    }
    for (size_t i = 0; i < count; i++) {
        if (!(fabs((double)is[i] - (double)should[i]) <= bound.relative * (double)largest + bound.floor)) {
            fail_msg("%s of %s [%zu]: %.9g, PyTorch says %.9g (largest %g)", part, name, i, (double)is[i],
                     (double)should[i], (double)largest);
        }
    }
}

#endif
