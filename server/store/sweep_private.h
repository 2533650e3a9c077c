/*
 * sweep_private.h: what the database library leaves in unused places of its pages.
 *
 * secure_delete overwrites a row that is deleted and a page that is freed.  It does not overwrite what stays behind when rows move from
 * one page to its neighbour, which deleting others makes them do: the old copy lies between the list of rows and their content,
 * where nothing refers to it, and outlives the row.  So the pages that were written since the last time are looked at in the
 * file, and what lies there is overwritten with zeros.  Only bytes without meaning change: a reader sees the same rows, and a crash
 * half way leaves the same database.
 *
 * Which pages were written says the write-ahead log, as long as nobody but writer.c folds it.  A copy of the database gets the log's
 * pages as they are, and is swept whole (backup.c).
 */
#ifndef SERVER_STORE_SWEEP_PRIVATE_H
#define SERVER_STORE_SWEEP_PRIVATE_H

#include "server/store/connection_private.h"

/* Page numbers, each once, rising. */
struct page_list {
    uint32_t *pages;
    size_t n, room;
};

/*
 * The pages that the log holds; none if there is no log.
 * Owns:   *ret until page_list_release.  Errors: ERR_NOMEM, ERR_IO.
 */
MUST_CHECK enum err log_pages(const char *database_path, struct page_list *ret);
void page_list_release(struct page_list *list);

/*
 * Clears the unused space of these pages (NULL: of all) in the file of a connection whose log is folded in, and makes that durable.
 * While nobody else writes; the connection's cache must be emptied behind it.  *ret_bytes: how many bytes that were not zero.  Errors: ERR_NOMEM, ERR_IO, ERR_NO_SPACE.
 */
MUST_CHECK enum err sweep_pages(sqlite3 *handle, const struct page_list *list, int64_t *ret_bytes,
                                struct err_note *note);

/* The part of sweep_pages that thinks: where the unused bytes of one page lie, from *ret_from to before *ret_to.  False: it has none,
 * or is no page of rows. */
bool page_gap(const unsigned char *page, size_t page_bytes, uint32_t number, bool has_maps, size_t *ret_from,
              size_t *ret_to);

#endif
