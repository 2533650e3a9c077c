/*
 * test_index_misses.c: how many matches the codes of a few bits pass over, of a million at the threshold and a million above it.
 *
 * index.h says at most 6e-7 of those that lie exactly at the threshold, so .6 of a million, and next to none of those above it.  The
 * rotation is drawn anew, and nobody can repeat it: five misses would happen once in ten thousand runs.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <setjmp.h>

#include <cmocka.h>
#include <math.h>
#include <stdbool.h>

#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/kernel/scan.h"
#include "index/index_private.h"

enum {
    MATCHES = 1000000, /* of either kind, at the least */
    ROWS = 1024,       /* for each rotation and query */
    MAX_DIM = 512,
    MOST_MISSES = 4
};

/* Chance directions: signs cost a bit a dimension, and the rotation makes of any what it makes of faces. */
static void direction(struct random *random, size_t dim, const float *beside, float *ret)
{
    uint64_t bits = 0;
    double along = 0;
    double square = 0;

    for (size_t i = 0; i < dim; i++) {
        bits = i % 64 == 0 ? random_u64(random) : bits >> 1;
        ret[i] = (bits & 1) != 0 ? 1 : -1;
        along += beside == NULL ? 0 : (double)ret[i] * (double)beside[i];
    }
    for (size_t i = 0; i < dim; i++) {
        ret[i] -= beside == NULL ? 0 : (float)along * beside[i];
        square += (double)ret[i] * (double)ret[i];
    }
    for (size_t i = 0; i < dim; i++) {
        ret[i] = (float)((double)ret[i] / sqrt(square));
    }
}

struct tally {
    long matches, misses;
};

/*
 * One index, so one rotation, and one query: half of the rows lie at the threshold, half up to two deviations of strangers above it.
 * All of them are matches, which no gallery has; asked for bits, an index keeps to them.
 */
static void round_of(struct random *random, const struct scan *scan, size_t dim, float threshold, struct tally *at,
                     struct tally *above)
{
    static float rows[ROWS * MAX_DIM];
    static struct index_hit hits[ROWS];
    static int64_t ids[ROWS];
    static bool found[ROWS];
    const struct index_ask ask = {.k = ROWS, .min_cosine = threshold, .way = INDEX_WAY_BITS};
    struct index *index = NULL;
    float query[MAX_DIM];
    int count = 0;

    direction(random, dim, NULL, query);
    for (size_t r = 0; r < ROWS; r++) {
        const double cosine = (double)threshold + (r % 2 == 0 ? 2e-7 : random_uniform(random) * 0.13);
        const double rest = sqrt(1 - cosine * cosine);
        float *row = rows + r * dim;
        direction(random, dim, query, row);
        for (size_t i = 0; i < dim; i++) {
            row[i] = (float)(cosine * (double)query[i] + rest * (double)row[i]);
        }
        ids[r] = (int64_t)r;
        found[r] = false;
    }
    assert_int_equal(index_new_with((int)dim, ROWS, scan, &index, NULL), ERR_NONE);
    assert_int_equal(index_add(index, ids, rows, ROWS, NULL), ERR_NONE);
    assert_int_equal(index_search_many(index, query, 1, &ask, hits, &count, NULL), ERR_NONE);
    for (int i = 0; i < count; i++) {
        found[hits[i].id] = true;
    }
    for (size_t r = 0; r < ROWS; r++) {
        struct tally *tally = r % 2 == 0 ? at : above;
        if (scan_ref.dot(query, rows + r * dim, dim) >= threshold) {
            tally->matches++;
            tally->misses += !found[r];
        } else {
            assert_false(found[r]);
        }
    }
    index_free(index);
}

static void test_misses(void **state)
{
    static const struct {
        size_t dim;
        float threshold;
    } rows[] = {{128, 0.4F}, {512, 0.28F}, {512, 0.4F}, {128, 0.6F}};
    const long share = MATCHES / (long)(sizeof rows / sizeof *rows);

    (void)state;
    struct tally all_at = {0};
    struct tally all_above = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct random random = random_seeded(91, i);
        struct tally at = {0};
        struct tally above = {0};
        for (int set = 0; at.matches < share || above.matches < share; set = scan_nth(set + 1) == NULL ? 0 : set + 1) {
            round_of(&random, scan_nth(set), rows[i].dim, rows[i].threshold, &at, &above);
        }
        print_message("# d = %zu, threshold %.2f: %ld of %ld at it missed, %ld of %ld above\n", rows[i].dim,
                      (double)rows[i].threshold, at.misses, at.matches, above.misses, above.matches);
        all_at.matches += at.matches;
        all_at.misses += at.misses;
        all_above.matches += above.matches;
        all_above.misses += above.misses;
    }
    assert_true(all_at.matches >= MATCHES && all_above.matches >= MATCHES);
    assert_true(all_at.misses <= MOST_MISSES);
    assert_true(all_above.misses <= 1);
    assert_int_equal(mem_live_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_misses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
