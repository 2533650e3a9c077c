/* filter_rows.c: the faces of a collection whose subjects pass, in one walk over the subjects. */
#include "server/store/filter_rows.h"

#include "core/base/mem.h"
#include "server/store/db_private.h"
#include "server/store/id_list_private.h"
#include "server/store/metadata_filter.h"

#define FILTER_TYPE "metadata_filter"

/* metadata_passes(filter, metadata): the filter is a pointer that only we can bind. */
static void passes(sqlite3_context *context, int n_values, sqlite3_value **values)
{
    const struct metadata_filter *filter = sqlite3_value_pointer(values[0], FILTER_TYPE);
    const char *metadata = (const char *)sqlite3_value_text(values[1]);

    (void)n_values;
    if (metadata == NULL && sqlite3_value_type(values[1]) != SQLITE_NULL) {
        sqlite3_result_error_nomem(context);
        return;
    }
    sqlite3_result_int(context, filter != NULL && metadata != NULL && metadata_filter_passes(filter, metadata));
}

int filter_function_add(sqlite3 *handle)
{
    return sqlite3_create_function(handle, "metadata_passes", 2, SQLITE_UTF8 | SQLITE_DIRECTONLY, NULL, passes, NULL,
                                   NULL);
}

/* The subjects first: whoever does not pass costs no look at faces. */
static enum err collect(struct db *db, int64_t collection_id, const struct metadata_filter *filter,
                        struct id_list *list, struct err_note *note)
{
    sqlite3_stmt *statement = NULL;
    bool row = true;
    enum err err = db_start(db,
                            "SELECT f.id FROM subjects s CROSS JOIN faces f ON f.subject_id = s.id "
                            "WHERE s.collection_id = ?1 AND f.set_aside_by = 0 AND metadata_passes(?2, s.metadata)",
                            (const struct db_value[]){db_int(collection_id), db_pointer(filter, FILTER_TYPE), {0}},
                            &statement, note);

    if (err != ERR_NONE) {
        return err;
    }
    while (err == ERR_NONE && row) {
        err = db_step(db, statement, &row, note);
        if (err == ERR_NONE && row && !id_list_append(list, sqlite3_column_int64(statement, 0))) {
            err = ERR_SAY(note, ERR_NOMEM, "no memory for the ids of %zu faces", list->n);
        }
    }
    db_done(statement);
    return err;
}

enum err store_filter_faces(struct store *store, int64_t collection_id, const char *filter, int64_t **ret,
                            size_t *ret_count, struct err_note *note)
{
    struct db *db = NULL;
    struct id_list list = {0};
    struct metadata_filter *made = NULL;

    enum err err = metadata_filter_new(filter, &made, note);
    if (err == ERR_NONE) {
        err = db_lend(store, &db, note);
    }
    if (err != ERR_NONE) {
        metadata_filter_free(made);
        return err;
    }
    err = collect(db, collection_id, made, &list, note);
    db_return(store, db);
    metadata_filter_free(made);
    if (err != ERR_NONE) {
        mem_free(list.ids);
        return err;
    }
    *ret = list.ids;
    *ret_count = list.n;
    return ERR_NONE;
}
