/*
 * generate_targets.h: whose faces arcfaced generate makes: of people in a folder, of given embeddings, of nobody.
 */
#ifndef SERVER_GENERATE_TARGETS_H
#define SERVER_GENERATE_TARGETS_H

#include "server/gallery/model.h"
#include "server/people_folder.h"

#define TARGETS_MOST 4096

/* Everything is carved from mem. */
struct targets {
    int people;
    const char **names;     /* [people] */
    float *targets;         /* [people, dim] */
    struct image *likeness; /* [people]: the crop nearest the target; without pixels where the target has no photos */
    float *nearest;         /* [people]: its cosine */

    const struct model *recognizer;
    struct people_folder folder; /* only of targets_of_people */
    struct arena *mem;
    struct err_note *note;
};

/* count random directions, a function of the seed. */
MUST_CHECK enum err targets_of_nobody(struct targets *ret, int count, uint64_t seed);

/* A JSON file: a list of numbers, or a list of such lists.  Errors: ERR_FORMAT. */
MUST_CHECK enum err targets_of_file(struct targets *ret, const char *path);

/*
 * A folder for each person: the dominant center of the photos, each embedded with its mirror image.  detector NULL: they are crops.
 * Errors: those of people_folder_read and crop_files; ERR_NOT_FOUND no face of somebody was found.
 */
MUST_CHECK enum err targets_of_people(struct targets *ret, const char *folder, const char *only, const char *except,
                                      const struct model *detector, int threads);

#endif
