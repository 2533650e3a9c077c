/*
 * data_folder.h: the folder that holds everything, held by one process at a time.
 *
 * Two daemons over one database would each keep an index that the other does not tell of its changes.
 */
#ifndef SERVER_DATA_FOLDER_H
#define SERVER_DATA_FOLDER_H

#include "core/base/err.h"

struct data_folder {
    int fd; /* of the lock file; the system lets go of the lock when the process ends, however it ends */
};

/*
 * Makes the folder (mode 0700) if it is not there, and takes it.
 * Errors: ERR_BUSY another process has it; ERR_DENIED, ERR_IO, ERR_NO_SPACE.
 */
MUST_CHECK enum err data_folder_take(const char *path, struct data_folder *ret, struct err_note *note);
void data_folder_give_back(struct data_folder *folder);

#endif
