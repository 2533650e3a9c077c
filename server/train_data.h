/*
 * train_data.h: a folder of people becomes a data set file.
 */
#ifndef SERVER_TRAIN_DATA_H
#define SERVER_TRAIN_DATA_H

#include "server/crop_files.h"
#include "server/people_folder.h"

/*
 * Writes the crops (lossless WebP) of all people with at least least_photos usable photos; a crop's id is its photo's number in the
 * folder.
 * Shapes: ret_name room for folder->people: the person behind each label.
 * Errors: ERR_FORMAT fewer than two people are left; those of crop_files and the data set.
 */
MUST_CHECK enum err train_data_write(const struct people_folder *folder, const struct model *detector, int side,
                                     int threads, int least_photos, const char *path, struct cancel *cancel,
                                     const char **ret_name, int *ret_people, struct err_note *note);

#endif
