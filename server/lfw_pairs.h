/*
 * lfw_pairs.h: the lists of pairs that Labeled Faces in the Wild is measured by.
 *
 * A list begins with a count (or "folds count"), then a pair a line: "name i j" the same person, "name i name j" two people.
 * Photo i of NAME is images/NAME/NAME_000i.jpg.
 */
#ifndef SERVER_LFW_PAIRS_H
#define SERVER_LFW_PAIRS_H

#include <stdbool.h>

#include "core/base/arena.h"
#include "core/base/err.h"

/* Photos of one or more lists, each once. */
struct lfw_photos {
    const char *folder; /* of the photos */
    const char **paths;
    int n;
    struct lfw_slot *slots; /* for lfw_pairs.c: where a path stands */
    int n_slots;
    int room;
};

struct lfw_pairs {
    int n, folds;
    int (*photo)[2]; /* [n] numbers of photos */
    bool *same;      /* [n] */
};

/* Makes room for most photos.  Owns: carved from mem.  Errors: ERR_LIMIT, ERR_NOMEM. */
MUST_CHECK enum err lfw_photos_init(struct lfw_photos *photos, const char *folder, int most, struct arena *mem);

/* Reads a list and adds its photos.  Errors: ERR_NOT_FOUND, ERR_IO; ERR_FORMAT with the line; ERR_LIMIT, ERR_NOMEM. */
MUST_CHECK enum err lfw_pairs_read(const char *path, struct lfw_photos *photos, struct arena *mem,
                                   struct lfw_pairs *ret, struct err_note *note);

#endif
