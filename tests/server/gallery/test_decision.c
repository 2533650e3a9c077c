/* test_decision.c: thresholds, rates, margins: a table each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "server/gallery/decision.h"

static const struct calibration table = {.n_points = 3, .points = {{1e-2, .20F}, {1e-3, .30F}, {1e-5, .50F}}};
static const struct calibration none = {0};

static void test_decisions(void **state)
{
    static const struct {
        float best, runner_up, threshold, margin;
        enum decision want;
    } rows[] = {
        {.50F, DECISION_NOBODY, .40F, .03F, DECISION_MATCH},
        {.40F, DECISION_NOBODY, .40F, .03F, DECISION_MATCH}, /* at the threshold */
        {.3999F, DECISION_NOBODY, .40F, .03F, DECISION_UNKNOWN},
        {DECISION_NOBODY, DECISION_NOBODY, .40F, .03F, DECISION_UNKNOWN},
        {DECISION_NOBODY, DECISION_NOBODY, -1, .03F, DECISION_UNKNOWN},
        {.50F, .48F, .40F, .03F, DECISION_AMBIGUOUS},
        {.50F, .46F, .40F, .03F, DECISION_MATCH},
        {.41F, .39F, .40F, .03F, DECISION_AMBIGUOUS}, /* the runner-up below the threshold */
        {.50F, .50F, .40F, 0, DECISION_MATCH},        /* no margin */
        {.50F, .50F, .40F, -1, DECISION_MATCH},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum decision got = decision_make(rows[i].best, rows[i].runner_up, rows[i].threshold, rows[i].margin);
        if (got != rows[i].want) {
            fail_msg("row %zu: %s instead of %s", i, decision_word(got), decision_word(rows[i].want));
        }
    }
}

static void test_calibration_is_log_linear(void **state)
{
    static const struct {
        double fmr;
        float cosine; /* -2: refused */
    } rows[] = {
        {1e-2, .20F}, {1e-3, .30F}, {1e-5, .50F}, {1e-4, .40F}, {3.16227766e-3, .25F}, {2e-2, -2}, {9e-6, -2},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        float cosine = -2;
        double fmr = 0;
        bool found = calibration_cosine(&table, rows[i].fmr, &cosine);
        if (found != (rows[i].cosine > -2) || fabsf(cosine - rows[i].cosine) > 1e-5F) {
            fail_msg("row %zu: rate %g gives %g", i, rows[i].fmr, (double)cosine);
        }
        if (found && (!calibration_fmr(&table, cosine, &fmr) || fabs(fmr / rows[i].fmr - 1) > 1e-4)) {
            fail_msg("row %zu: cosine %g gives back the rate %g", i, (double)cosine, fmr);
        }
    }
    double fmr = 7;
    assert_false(calibration_fmr(&table, .19F, &fmr));
    assert_false(calibration_fmr(&table, .51F, &fmr));
    assert_false(calibration_fmr(&none, .40F, &fmr));
    assert_true(fmr == 7);
}

static void test_who_chooses_the_threshold(void **state)
{
    static const struct threshold_wish nothing = {0}, cosine = {.has_threshold = true, .threshold = .33F},
                                       rate = {.has_max_fmr = true, .max_fmr = 1e-4},
                                       margin = {.has_margin = true, .margin = .1F},
                                       beyond = {.has_max_fmr = true, .max_fmr = 1e-7};
    static const struct {
        const struct threshold_wish *caller, *collection;
        const struct calibration *calibration;
        double policy_rate;
        float want, want_margin;
    } rows[] = {
        {&nothing, NULL, &none, 1e-4, .45F, .03F},
        {&nothing, NULL, &table, 1e-4, .40F, .03F},
        {&nothing, NULL, &table, 1e-9, .50F, .03F}, /* the strictest that was measured */
        {&nothing, NULL, &table, .5, .20F, .03F},   /* the loosest */
        {&cosine, &rate, &table, 1e-4, .33F, .03F},
        {&rate, &cosine, &table, 1e-3, .40F, .03F},
        {&nothing, &cosine, &none, 1e-4, .33F, .03F},
        {&margin, &cosine, &none, 1e-4, .33F, .10F},
        {&nothing, &margin, &none, 1e-4, .45F, .10F},
        {&nothing, &beyond, &table, 1e-3, .30F, .03F}, /* the calibration has changed under the collection */
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct gallery_policy policy = {.threshold = .45F, .max_fmr = rows[i].policy_rate, .margin = .03F};
        struct gallery_fault fault = {0};
        struct threshold_used used = {0};
        float got_margin = 0;
        enum err err = decision_threshold(rows[i].caller, rows[i].collection, rows[i].calibration, &policy, &used,
                                          &got_margin, &fault);
        if (err != ERR_NONE || fabsf(used.cosine - rows[i].want) > 1e-5F || got_margin != rows[i].want_margin) {
            fail_msg("row %zu: %s, cosine %g, margin %g", i, err_word(err), (double)used.cosine, (double)got_margin);
        }
        if (used.calibrated != (rows[i].calibration == &table) || used.has_fmr != used.calibrated) {
            fail_msg("row %zu: calibrated %d, has_fmr %d", i, used.calibrated, used.has_fmr);
        }
    }
}

static void test_wrong_wishes(void **state)
{
    static const struct {
        struct threshold_wish wish;
        const struct calibration *calibration;
        enum gallery_reason reason;
    } rows[] = {
        {{.has_threshold = true, .threshold = 1.1F}, &table, GALLERY_BAD_OPTION},
        {{.has_threshold = true, .threshold = NAN}, &table, GALLERY_BAD_OPTION},
        {{.has_threshold = true, .has_max_fmr = true, .max_fmr = 1e-3}, &table, GALLERY_BAD_OPTION},
        {{.has_max_fmr = true, .max_fmr = 0}, &table, GALLERY_BAD_OPTION},
        {{.has_max_fmr = true, .max_fmr = 1}, &table, GALLERY_BAD_OPTION},
        {{.has_max_fmr = true, .max_fmr = NAN}, &table, GALLERY_BAD_OPTION},
        {{.has_margin = true, .margin = -1}, &table, GALLERY_BAD_OPTION},
        {{.has_max_fmr = true, .max_fmr = 1e-6}, &table, GALLERY_UNSUPPORTED_RATE},
        {{.has_max_fmr = true, .max_fmr = .5}, &table, GALLERY_UNSUPPORTED_RATE},
        {{.has_max_fmr = true, .max_fmr = 1e-3}, &none, GALLERY_UNSUPPORTED_RATE},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct gallery_policy policy = gallery_policy_default();
        struct gallery_fault fault = {0};
        struct threshold_used used = {.cosine = 9};
        float margin = 9;
        enum err err = decision_threshold(&rows[i].wish, NULL, rows[i].calibration, &policy, &used, &margin, &fault);
        if (err == ERR_NONE || fault.reason != rows[i].reason || fault.note.text[0] == '\0' || used.cosine != 9) {
            fail_msg("row %zu: %s, reason %d, \"%s\"", i, err_word(err), (int)fault.reason, fault.note.text);
        }
    }
    assert_int_equal(mem_live_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decisions),
        cmocka_unit_test(test_calibration_is_log_linear),
        cmocka_unit_test(test_who_chooses_the_threshold),
        cmocka_unit_test(test_wrong_wishes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
