/*
 * report.h: one page about a training run that explains itself offline: what was done, how the loss fell, what it gained.
 */
#ifndef SERVER_REPORT_H
#define SERVER_REPORT_H

#include "core/train/evaluate.h"
#include "core/train/trainer.h"

#define REPORT_MOST_PHASES 4
#define REPORT_MOST_FACTS 24

struct report {
    const char *title;
    struct report_fact {
        const char *name;
        const char *value;
    } facts[REPORT_MOST_FACTS];
    int n_facts;
    struct report_phase {
        const char *name;
        const struct train_result *result;
    } phases[REPORT_MOST_PHASES];
    int n_phases;
    const struct evaluation *before, *after; /* on people held out; NULL: nobody was */
    const struct interval *gain;             /* of TAR at gain_fmr */
    double gain_fmr;
};

/* Writes the page, replaced as file_write does it.  Errors: those of file_write; ERR_NOMEM. */
MUST_CHECK enum err report_write(const struct report *report, const char *path, struct err_note *note);

#endif
