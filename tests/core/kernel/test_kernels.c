/* test_kernels.c: the best variant that is right is used, and no other. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/kernel/conv_backward.h"
#include "core/kernel/conv_learn.h"
#include "core/kernel/kernels.h"
#include "core/kernel/probe.h"

#define PROBE(family, type) family##_probe,
static kernel_probe_fn *const probes[] = {KERNEL_FAMILIES(PROBE)};

/* All lines of the list that this processor can run pass the self-test of their family. */
static void every_variant_passes(void **state)
{
    for (int f = 0; f < KERNELS_COUNT; f++) {
        struct kernels table;
        const struct kernel_variant *variant = NULL;
        int n = 0;
        for (; kernels_nth((enum kernel_family)f, n, &table, &variant); n++) {
            if (!probes[f](&table, variant->tolerance)) {
                fail_msg("%s_%s fails its self-test", variant->family_name, variant->name);
            }
        }
        assert_true(n > 0);
        assert_string_equal(variant->name, "ref"); /* the last resort */
        assert_int_equal(variant->level, KERNEL_REF);
    }
}

static void sets_restrict(void **state)
{
    static const enum kernel_level levels[] = {KERNEL_REF,    KERNEL_PORTABLE, KERNEL_NEON, KERNEL_AVX2,
                                               KERNEL_AVX512, KERNEL_VNNI,     KERNEL_VBMI};
    struct kernel_report automatic;
    struct kernels table;

    assert_int_equal(kernels_choose("auto", NULL, &table, &automatic, NULL), ERR_NONE);
    assert_int_equal(automatic.n_refused, 0);
    for (int i = 0; i < (int)(sizeof levels / sizeof levels[0]); i++) {
        const char *word = kernel_level_word(levels[i]);
        struct kernel_report report;
        struct err_note note = {0};
        enum err err = kernels_choose(word, NULL, &table, &report, &note);
        if (err != ERR_NONE) {
            assert_int_equal(err, ERR_UNSUPPORTED);
            assert_non_null(strstr(note.text, word));
            assert_true(levels[i] > KERNEL_PORTABLE);
            continue;
        }
        assert_int_equal(report.set, levels[i]);
        for (int f = 0; f < KERNELS_COUNT; f++) {
            assert_true(report.chosen[f]->level <= levels[i]);
            assert_true(levels[i] < automatic.set || report.chosen[f] == automatic.chosen[f]);
        }
    }
}

static void wrong_sets_are_refused(void **state)
{
    static const char *const sets[] = {"",
                                       "fast",
                                       "AVX2",
                                       "auto,",
                                       "auto,gemm_int",
                                       "ref,gemm_int_ref",
                                       "auto,gemm_int_",
                                       "auto,_portable",
                                       "auto,gemm_int_portable,,",
                                       "autoo",
                                       "ref,scan_vnn"};
    struct kernels table = {0};
    struct kernel_report report = {0};

    for (int i = 0; i < (int)(sizeof sets / sizeof sets[0]); i++) {
        struct err_note note = {0};
        enum err err = kernels_choose(sets[i], NULL, &table, &report, &note);
        bool empty_tail = strcmp(sets[i], "auto,") == 0; /* nothing behind the comma: no variant is left out */
        if (err != (empty_tail ? ERR_NONE : ERR_MISUSE) || (err != ERR_NONE && note.text[0] == '\0')) {
            fail_msg("row %d: \"%s\" gave %s", i, sets[i], err_word(err));
        }
    }
}

static void unwanted_ones_are_left_out(void **state)
{
    struct kernels table = {0};
    struct kernel_report report = {0};

    assert_int_equal(kernels_choose("portable,gemm_int_portable,gemm_f32_blas", NULL, &table, &report, NULL), ERR_NONE);
    assert_ptr_equal(table.gemm_int, gemm_int_ref);
    assert_ptr_equal(table.gemm_f32, gemm_f32_ref);
    assert_ptr_equal(table.conv_direct_u8, conv_direct_u8_portable);
    assert_int_equal(report.n_refused, 2);
    assert_string_equal(report.refused[0].variant->family_name, "gemm_f32");
    assert_int_equal(report.refused[0].why, KERNEL_UNWANTED);
}

/* ---- Kernels that are wrong ------------------------------------------------------------------------------------------ */

/* Right but for one number in the last row: what a forgotten edge looks like. */
static void wrong_gemm_int(int64_t m, int64_t n, int64_t k, const int16_t *a, const int16_t *b, int32_t *c, int64_t ldc)
{
    gemm_int_ref(m, n, k, a, b, c, ldc);
    c[(m - 1) * ldc + n - 1] += 1;
}

/* Relative 1e-5 off: a sum in half precision somewhere. */
static void wrong_conv(const struct conv_shape *s, const float *x, const float *w, int64_t n, int64_t oc, float *y)
{
    conv_direct_f32_ref(s, x, w, n, oc, y);
    for (int64_t i = 0; i < conv_out_pixels(s); i++) {
        y[i] += 1e-4F * (float)(s->ic * conv_taps(s));
    }
}

static void spoil_all(const struct kernel_variant *variant, struct kernels *candidate)
{
    if (variant->family == KERNELS_gemm_int) {
        candidate->gemm_int = wrong_gemm_int;
    } else if (variant->family == KERNELS_conv_direct_f32) {
        candidate->conv_direct_f32 = wrong_conv;
    }
}

static void spoil_best(const struct kernel_variant *variant, struct kernels *candidate)
{
    struct kernels best;
    const struct kernel_variant *row = NULL;

    if (kernels_nth(KERNELS_gemm_int, 0, &best, &row) && variant == row) {
        candidate->gemm_int = wrong_gemm_int;
    }
}

static void wrong_ones_are_not_used(void **state)
{
    struct kernels table = {0};
    struct kernels second = {0};
    struct kernel_report report = {0};
    const struct kernel_variant *best = NULL;
    const struct kernel_variant *row = NULL;

    assert_true(kernels_nth(KERNELS_gemm_int, 0, &second, &best));
    assert_true(kernels_nth(KERNELS_gemm_int, 1, &second, &row));
    assert_int_equal(kernels_choose("auto", spoil_best, &table, &report, NULL), ERR_NONE);
    assert_ptr_equal(table.gemm_int, second.gemm_int); /* the next best */
    assert_ptr_equal(report.chosen[KERNELS_gemm_int], row);
    assert_int_equal(report.n_refused, 1);
    assert_ptr_equal(report.refused[0].variant, best);
    assert_int_equal(report.refused[0].why, KERNEL_FAILED);

    assert_int_equal(kernels_choose("auto", spoil_all, &table, &report, NULL), ERR_NONE);
    assert_ptr_equal(table.gemm_int, gemm_int_ref); /* which is never doubted */
    assert_ptr_equal(table.conv_direct_f32, conv_direct_f32_ref);
    assert_true(report.n_refused >= 2);
}

/* ---- The choice of the process ---------------------------------------------------------------------------------------- */

static void forced_once(void **state)
{
    char text[KERNELS_TEXT_BYTES];
    struct err_note note = {0};

    assert_int_equal(kernels_force("nothing", NULL), ERR_MISUSE); /* changes nothing */
    assert_int_equal(kernels_force("portable", &note), ERR_NONE);
    assert_ptr_equal(kernels()->gemm_int, gemm_int_portable);
    assert_int_equal(kernels_report()->set, KERNEL_PORTABLE);
    assert_int_equal(kernels_force("auto", &note), ERR_MISUSE);
    assert_non_null(strstr(note.text, "in use"));
    assert_ptr_equal(kernels()->gemm_int, gemm_int_portable);
    assert_non_null(strstr(kernels_text(kernels_report(), text), "gemm_int:portable"));
}

/* What training does follows the set too: after the one above, as conv.h has it. */
static void training_obeys(void **state)
{
    const struct conv_shape s = {1, 1, 16, 16, {1, 4, 4}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {1, 4, 4}};
    size_t bytes[2] = {0};

    assert_ptr_equal(kernels()->learn_loops, &learn_loops_ref);
    assert_false(conv_learn_has_gradients(&s));
    assert_true(conv_learn_f32_work_bytes(&s, &bytes[0]));
    assert_true(conv_f32_work_bytes(&s, 1, &bytes[1]));
    assert_int_equal(bytes[0], bytes[1]);
}

/* Self-tests run at every start, also where memory is counted. */
static void probes_allocate_nothing(void **state)
{
    struct kernels table;
    struct kernel_report report;

    mem_fail_at(0);
    enum err err = kernels_choose("auto", NULL, &table, &report, NULL);
    mem_fail_at(-1);
    assert_int_equal(err, ERR_NONE);
    assert_int_equal(report.n_refused, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_variant_passes),    cmocka_unit_test(sets_restrict),
        cmocka_unit_test(wrong_sets_are_refused),  cmocka_unit_test(unwanted_ones_are_left_out),
        cmocka_unit_test(wrong_ones_are_not_used), cmocka_unit_test(forced_once),
        cmocka_unit_test(training_obeys),          cmocka_unit_test(probes_allocate_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
