/* test_random.c: repeatable sequences with the right moments, and ids in their form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "core/base/random.h"

static void repeats_by_seed_and_stream(void **state)
{
    struct random a = random_seeded(7, 1);
    struct random b = random_seeded(7, 1);
    struct random other_stream = random_seeded(7, 2);
    struct random other_seed = random_seeded(8, 1);
    int same_stream = 0;
    int same_seed = 0;

    for (int i = 0; i < 1000; i++) {
        uint64_t value = random_u64(&a);
        assert_true(value == random_u64(&b));
        same_stream += value == random_u64(&other_stream);
        same_seed += value == random_u64(&other_seed);
    }
    assert_int_equal(same_stream, 0);
    assert_int_equal(same_seed, 0);
}

static void draws_evenly(void **state)
{
    struct random random = random_seeded(1, 0);
    double sum = 0;
    double normal_sum = 0;
    double normal_squares = 0;
    int counts[7] = {0};
    const int n = 70000;

    for (int i = 0; i < n; i++) {
        double u = random_uniform(&random);
        double z = random_normal(&random);
        assert_true(u >= 0 && u < 1 && isfinite(z));
        sum += u;
        normal_sum += z;
        normal_squares += z * z;
        counts[random_below(&random, 7)]++;
    }
    assert_true(fabs(sum / n - 0.5) < 0.01);
    assert_true(fabs(normal_sum / n) < 0.02);
    assert_true(fabs(normal_squares / n - 1) < 0.03);
    for (int i = 0; i < 7; i++) {
        assert_in_range(counts[i], n / 7 - 500, n / 7 + 500);
    }
    assert_true(random_below(&random, 1) == 0);
    assert_true(random_below(&random, UINT64_MAX) < UINT64_MAX);
}

static void makes_uuids(void **state)
{
    char last[RANDOM_UUID_TEXT] = "";

    for (int i = 0; i < 100; i++) {
        char id[RANDOM_UUID_TEXT];
        random_uuid(id);
        assert_int_equal(strlen(id), 36);
        for (int k = 0; k < 36; k++) {
            int dash = k == 8 || k == 13 || k == 18 || k == 23;
            assert_true(dash ? id[k] == '-' : strchr("0123456789abcdef", id[k]) != NULL);
        }
        assert_int_equal(id[14], '4');
        assert_non_null(strchr("89ab", id[19]));
        assert_string_not_equal(id, last);
        memcpy(last, id, sizeof last);
    }
}

static void fills_bytes(void **state)
{
    unsigned char bytes[66] = {0};
    int zeros = 0;

    random_bytes(bytes + 1, 64);
    for (int i = 1; i < 65; i++) {
        zeros += bytes[i] == 0;
    }
    assert_true(zeros < 32);
    assert_int_equal(bytes[0], 0);
    assert_int_equal(bytes[65], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repeats_by_seed_and_stream),
        cmocka_unit_test(draws_evenly),
        cmocka_unit_test(makes_uuids),
        cmocka_unit_test(fills_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
