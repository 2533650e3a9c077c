/*
 * import_rows.h: what became of each part of an import: an entry of an archive, a line of a file.
 *
 * The row of an enrolled part is written in the transaction that enrolls it (enroll.h), so an import that is killed and goes
 * on enrolls nothing twice.  When a face is erased its row forgets the name and stays, as "erased".
 */
#ifndef SERVER_STORE_IMPORT_ROWS_H
#define SERVER_STORE_IMPORT_ROWS_H

#include "server/store/store.h"

/* The outcome of what was enrolled; all others are words of the gallery. */
#define IMPORT_ENROLLED "enrolled"

/* A face of another subject that looks like the part's: one that is enrolled, or that of an earlier part of the same import. */
struct import_also {
    int64_t face_id; /* row id; 0: the face of the part with this number */
    int64_t number;
    bool has_cosine;
    float cosine;
};

struct import_mark {
    int64_t job_id;
    int64_t number;   /* from 1 */
    const char *name; /* path in the archive; "" for a line */
    const struct import_also
        *also; /* at most ALSO_MOST (server/gallery/also.h); one whose face is gone by then is passed over */
    int n_also;
};

struct import_item {
    int64_t id;
    int64_t number;
    const char *name;
    const char *outcome;
    const char *sentence;
    const char *face_uuid; /* NULL unless enrolled */
};

/* Writes parts that were not enrolled; those that have a row already keep it.  id and face_uuid are not read. */
MUST_CHECK enum err store_import_add(struct store *store, int64_t job_id, const struct import_item *items, int n,
                                     struct err_note *note);

/*
 * Which numbers have a row: bit (number - 1) of *ret, least significant first; *ret_count is the highest number.
 * Owns:   *ret is carved from mem; NULL when there is none.
 * Errors: ERR_CORRUPT a number that no import gives.
 */
MUST_CHECK enum err store_import_done(struct store *store, int64_t job_id, struct arena *mem, unsigned char **ret,
                                      int64_t *ret_count, struct err_note *note);

struct import_count {
    const char *outcome;
    int64_t n;
};
/* By outcome, most frequent first.  Owns: carved from mem. */
MUST_CHECK enum err store_import_counts(struct store *store, int64_t job_id, struct arena *mem,
                                        struct import_count **ret, int *ret_count, struct err_note *note);

/* In the order in which they were written; *ret_next is NULL at the end of the list. */
MUST_CHECK enum err store_import_list(struct store *store, int64_t job_id, const struct store_page *page,
                                      struct arena *mem, struct import_item **ret, int *ret_count,
                                      const char **ret_next, struct err_note *note);

/* Which faces of other subjects the parts of an import look like, as far as both are still there and not one subject by now. */
struct import_other {
    int64_t item_id;
    const char *subject_uuid;
    const char *subject_name;
    const char *face_uuid;
    bool has_cosine;
    float cosine;
    bool same_photo;
};

/* Those of a page of items, from_id to to_id, in their order and the nearest first; at most most.  Owns: carved from mem. */
MUST_CHECK enum err store_import_others(struct store *store, int64_t job_id, int64_t from_id, int64_t to_id, int most,
                                        struct arena *mem, struct import_other **ret, int *ret_count,
                                        struct err_note *note);

/* How many parts of an import have such a face. */
MUST_CHECK enum err store_import_count_others(struct store *store, int64_t job_id, int64_t *ret, struct err_note *note);

/* Whether a job that waits or runs has {"file": file} among its arguments. */
MUST_CHECK enum err store_job_wants_file(struct store *store, const char *file, bool *ret, struct err_note *note);

#endif
