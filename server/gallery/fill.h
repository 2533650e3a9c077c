/*
 * fill.h: the index of a collection, made of its files and its rows.
 *
 * Files (index.h) lie in DATA/index/<collection>_<model>, and are a copy that can be thrown away: they are taken if they are
 * whole, of this model, collection and database, and of a moment that this database has lived through; what they hold too much
 * is removed from them, what they lack comes from the rows.  Everything else is made from the rows, and said in the log.
 * Immutable: any thread.
 */
#ifndef SERVER_GALLERY_FILL_H
#define SERVER_GALLERY_FILL_H

#include "index/index.h"
#include "server/gallery/gallery.h"

struct filler {
    struct store *store;
    const char *data;    /* NULL or "": no files */
    size_t segment_rows; /* of a segment, and so of a file; 0: INDEX_SEGMENT_ROWS */
    bool map_saved;      /* index.h */
    struct gallery_listener listener;
};

/* Whose index. */
struct filled {
    int64_t collection_id;
    int64_t model_id;    /* its row */
    const char *version; /* the model's */
    int dim;
};

/*
 * Makes the index of all faces that are searched.  fresh: files that are there are of no use, and are removed.
 * Errors: ERR_CORRUPT a damaged embedding; ERR_NOMEM, ERR_BUSY, ERR_IO the rows.  Files that cannot be used are no error.
 */
MUST_CHECK enum err fill_index(const struct filler *filler, const struct filled *what, bool fresh, struct index **ret,
                               struct err_note *note);

/* Removes the files of one. */
void fill_destroy(const struct filler *filler, const struct filled *what);

/* Removes those of every collection and model that wanted does not want.  Errors: ERR_IO, ERR_DENIED. */
MUST_CHECK enum err fill_sweep(const struct filler *filler,
                               bool (*wanted)(void *context, int64_t collection_id, int64_t model_id), void *context,
                               struct err_note *note);

/* ---- For arcfaced index ------------------------------------------------------------------------------------------ */

struct fill_report {
    struct index_load_report files;
    size_t n_rows;      /* faces that should be found */
    size_t n_from_rows; /* of these in no file */
    size_t n_stale;     /* in a file, and no row */
    size_t n_wrong;     /* whose vector in the file is not that of the row */
    bool codes_wrong;
    char reason[256]; /* of the first finding */
};

/* Compares every file with the rows, and changes nothing. */
MUST_CHECK enum err fill_verify(const struct filler *filler, const struct filled *what, struct fill_report *ret,
                                struct err_note *note);

#endif
