/*
 * fill_rows.h: rows become an index: one thread reads them, another adds them.
 *
 * Reading a row and making its codes take about as long; a collection is served in the time of the longer of the two.
 */
#ifndef SERVER_GALLERY_FILL_ROWS_H
#define SERVER_GALLERY_FILL_ROWS_H

#include "index/index.h"

struct fill_rows;

/*
 * Starts the thread that adds.  Where there is none to be had, fill_rows_take adds.
 * Shapes: wanted [n_wanted] ids, ascending, which stay the caller's; NULL: all that come.
 * Errors: ERR_NOMEM.
 */
MUST_CHECK enum err fill_rows_begin(struct index *index, int dim, const int64_t *wanted, size_t n_wanted,
                                    struct fill_rows **ret, struct err_note *note);

/* One row, ids ascending; what store_embedding_each calls.  Errors: those of index_add, maybe for a row that came before. */
MUST_CHECK enum err fill_rows_take(void *rows, int64_t face_id, const float *vector, int dim);

/* Adds the rest (nothing if so_far is an error) and frees; the first error of all.  Only it writes the note. */
MUST_CHECK enum err fill_rows_end(struct fill_rows *take, enum err so_far, struct err_note *note);

#endif
