/*
 * people_folder.h: a folder with a folder of photos for each person.
 */
#ifndef SERVER_PEOPLE_FOLDER_H
#define SERVER_PEOPLE_FOLDER_H

#include "core/base/arena.h"
#include "core/base/err.h"

/* People in the order of their names, each one's photos in the order of theirs; all texts live in the arena. */
struct people_folder {
    int people;
    const char **names; /* [people] */
    int n;
    const char **paths; /* [n] */
    int *person;        /* [n] */
};

/*
 * Reads the names.  only and except name files with one person a line (what follows the first blank is ignored) who alone are taken, or
 * who are left out; NULL: nobody is chosen.  Hidden files, files beside the people's folders and people without a photo are passed over.
 * Owns:   carved from mem.
 * Errors: ERR_NOT_FOUND, ERR_DENIED, ERR_IO; ERR_FORMAT nobody is left; ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err people_folder_read(const char *folder, const char *only, const char *except, struct arena *mem,
                                       struct people_folder *ret, struct err_note *note);

#endif
