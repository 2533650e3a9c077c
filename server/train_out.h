/*
 * train_out.h: what "arcfaced train" leaves behind: a model, its manifest, a page about the run, a line about each photo.
 */
#ifndef SERVER_TRAIN_OUT_H
#define SERVER_TRAIN_OUT_H

#include "core/train/evaluate.h"
#include "server/gallery/model.h"
#include "server/people_folder.h"
#include "server/train_flags.h"

#define TRAIN_GAIN_FMR 1e-3

/* Before and after, on people held out. */
struct train_measured {
    bool made;
    int photos, mislabelled; /* held out; of them left aside */
    struct evaluation before, after;
    double gain_fmr;      /* TRAIN_GAIN_FMR, or the lowest greater rate that the pairs support */
    struct interval gain; /* of TAR there */
};

struct train_out {
    const struct train_wish *wish;
    const struct model *from;
    const struct student *student;
    const struct dataset *dataset;
    const struct people_folder *folder; /* NULL with --dataset */
    const char **names;                 /* behind each label; NULL with --dataset */
    const struct parts *parts;
    const struct course_result *course;
    const struct train_measured *measured;
    struct arena *mem;
    struct err_note *note;
};

/* Writes wish->photos, if it is asked for.  Errors: those of file_write; ERR_FOREIGN a name that is not UTF-8; ERR_NOMEM. */
MUST_CHECK enum err train_out_photos(const struct train_out *out);

/* Writes the model, its manifest (the old one's without the calibration, which does not hold for other weights) and the page. */
MUST_CHECK enum err train_out_write(const struct train_out *out);

#endif
