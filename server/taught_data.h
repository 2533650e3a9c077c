/*
 * taught_data.h: what a new recogniser learns from: crops of several folders in one data set, and a teacher's embeddings of them.
 */
#ifndef SERVER_TAUGHT_DATA_H
#define SERVER_TAUGHT_DATA_H

#include "server/crop_files.h"
#include "server/people_folder.h"

/* Of crops as JPEG.  Hardly any loss, and decoded in a tenth of the time of what has none: every epoch decodes all. */
#define TAUGHT_QUALITY 97

/* One folder of people; detector NULL: its files are aligned crops. */
struct taught_source {
    const char *folder;
    const char *only, *except; /* lists of people, or NULL */
    const struct model *detector;
    int detect_side; /* 0: the detector's default */
};

/*
 * Writes the crops of all sources (JPEG of high quality), everybody with at least one usable photo; people of different sources are
 * different people.
 * Memory: names carved from mem.
 * Errors: those of people_folder_read, crop_files and the data set.
 */
MUST_CHECK enum err taught_data_write(const struct taught_source *sources, int n_sources, int side, int threads,
                                      const char *path, struct arena *mem, struct err_note *note);

/*
 * The teacher's embeddings of all crops.  Computed once: kept in the folder, under a name that tells
 * data set and teacher.
 * Owns:   *ret [crops, teacher->dim] unit rows, carved from mem.
 * Errors: those of embed_crops; ERR_CORRUPT what was kept is not whole; ERR_IO, ERR_NO_SPACE, ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err taught_embeddings(const struct dataset *dataset, const struct model *teacher, int threads,
                                      const char *folder, struct arena *mem, float **ret, struct err_note *note);

#endif
