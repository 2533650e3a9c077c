/* gate.c: the rule, and its sentence. */
#include "core/train/gate.h"

#include <stdio.h>

/* Figures are differences of quotients: half a point of loss may come out as .0050000000000000044, and is still half a point. */
#define ROUNDING 1e-9

#define MOST_MISNAMED 0.5

/* False too where the figure is no number. */
static bool is_safe(const struct gate_change *change, double allowed_loss)
{
    return change->tar.low >= -allowed_loss - ROUNDING;
}

bool gate_judge(const struct gate_question *question, char reason[GATE_REASON_TEXT])
{
    const struct gate_change *held = &question->held;
    const struct gate_change *guard = &question->guard;

    if (!(held->fmr > 0) || (question->has_guard && !(guard->fmr > 0))) {
        (void)snprintf(reason, GATE_REASON_TEXT, "%s",
                       !(held->fmr > 0) ? "too few pairs are held out to prove anything"
                                        : "the guard collection has too few pairs to prove anything");
        return false;
    }
    if (question->misnamed > MOST_MISNAMED) {
        (void)snprintf(reason, GATE_REASON_TEXT,
                       "%.0f %% of the photos seem to stand under a wrong name: names like these prove nothing",
                       100 * question->misnamed);
        return false;
    }
    bool safe = is_safe(held, question->allowed_loss);
    bool guard_safe = !question->has_guard || is_safe(guard, question->allowed_loss);
    bool gains = held->tar.value > ROUNDING;
    int length = snprintf(reason, GATE_REASON_TEXT,
                          "TAR at FMR %g changed by %+.2f points [%+.2f, %+.2f] on what was held out%s", held->fmr,
                          100 * held->tar.value, 100 * held->tar.low, 100 * held->tar.high,
                          !safe    ? ": a loss cannot be excluded"
                          : !gains ? ": no gain"
                                   : "");
    if (question->has_guard) {
        (void)snprintf(reason + length, GATE_REASON_TEXT - (size_t)length,
                       "; at FMR %g by %+.2f points [%+.2f, %+.2f] on the guard collection%s", guard->fmr,
                       100 * guard->tar.value, 100 * guard->tar.low, 100 * guard->tar.high,
                       guard_safe ? "" : ": a loss cannot be excluded");
    }
    return safe && guard_safe && gains;
}
