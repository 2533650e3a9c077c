/* test_gate.c: the rule row by row: what opens the gate, and what each thing that keeps it shut is called. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/train/gate.h"

#define HALF .005
#define AT(rate, change, from, to)                                                             \
    {                                                                                          \
        .fmr = (rate), .tar = {.value = (change), .low = (from), .high = (to), .rounds = 500 } \
    }
#define GAIN AT(1e-3, .02, .01, .03)
#define NO_GUARD false, AT(0, 0, 0, 0)
#define LOSS_HELD "on what was held out: a loss cannot be excluded"
#define LOSS_GUARD "on the guard collection: a loss cannot be excluded"
#define NO_GAIN "on what was held out: no gain"

static void the_rule_is_kept(void **state)
{
    static const struct {
        const char *what;
        struct gate_question question;
        bool opens;
        const char *says;
    } rows[] = {
        {"a gain",
         {HALF, 0, GAIN, NO_GUARD},
         true,
         "TAR at FMR 0.001 changed by +2.00 points [+1.00, +3.00] on what was"},
        {"the allowed loss to the bit", {HALF, 0, AT(1e-3, .02, -.005, .03), NO_GUARD}, true, "[-0.50, +3.00]"},
        {"the allowed loss as a difference", {HALF, 0, AT(1e-3, .02, .905 - .91, .03), NO_GUARD}, true, "[-0.50, "},
        {"just more than it", {HALF, 0, AT(1e-3, .02, -.00501, .03), NO_GUARD}, false, LOSS_HELD},
        {"no loss is allowed", {0, 0, AT(1e-3, .02, -.0001, .03), NO_GUARD}, false, LOSS_HELD},
        {"and none is there", {0, 0, AT(1e-3, .02, 0, .03), NO_GUARD}, true, "[+0.00, "},
        {"no change", {HALF, 0, AT(1e-3, 0, 0, 0), NO_GUARD}, false, NO_GAIN},
        {"half of the photos are misnamed", {HALF, .5, GAIN, NO_GUARD}, true, "+2.00 points"},
        {"most photos are misnamed",
         {HALF, .626, GAIN, NO_GUARD},
         false,
         "63 % of the photos seem to stand under a wrong name"},
        {"a change of rounding", {HALF, 0, AT(1e-3, 1e-16, 0, 0), NO_GUARD}, false, NO_GAIN},
        {"a loss within what is allowed", {HALF, 0, AT(1e-3, -.001, -.004, .001), NO_GUARD}, false, NO_GAIN},
        {"an interval that is none", {HALF, 0, AT(1e-3, .02, NAN, NAN), NO_GUARD}, false, LOSS_HELD},
        {"a greater rate is supported", {HALF, 0, AT(1e-2, .02, .01, .03), NO_GUARD}, true, "TAR at FMR 0.01 changed"},
        {"no rate is supported", {HALF, 0, AT(0, .02, .01, .03), NO_GUARD}, false, "too few pairs are held out"},
        {"a guard that gains",
         {HALF, 0, GAIN, true, AT(1e-2, .01, 0, .02)},
         true,
         "; at FMR 0.01 by +1.00 points [+0.00"},
        {"a guard need not gain",
         {HALF, 0, GAIN, true, AT(1e-3, -.001, -.005, 0)},
         true,
         "by -0.10 points [-0.50, +0.00]"},
        {"a guard that may lose", {HALF, 0, GAIN, true, AT(1e-3, .01, -.00501, .02)}, false, LOSS_GUARD},
        {"a guard that cannot tell",
         {HALF, 0, GAIN, true, AT(0, .01, 0, .02)},
         false,
         "guard collection has too few pairs"},
        {"neither can tell", {HALF, 0, AT(0, 0, 0, 0), true, AT(0, 0, 0, 0)}, false, "too few pairs are held out"},
        {"only the guard gains", {HALF, 0, AT(1e-3, 0, 0, 0), true, GAIN}, false, NO_GAIN},
        {"a guard that is not named", {HALF, 0, GAIN, false, AT(1e-3, -1, -1, -1)}, true, "[+1.00, +3.00]"},
    };

    (void)state;
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        char reason[GATE_REASON_TEXT] = "";
        bool opens = gate_judge(&rows[r].question, reason);
        if (opens != rows[r].opens || strstr(reason, rows[r].says) == NULL) {
            fail_msg("row %zu, %s: the gate is %s: %s", r, rows[r].what, opens ? "open" : "shut", reason);
        }
        if (opens && strstr(reason, "cannot be excluded") != NULL) {
            fail_msg("row %zu, %s: an open gate speaks of a loss: %s", r, rows[r].what, reason);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_rule_is_kept)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
