/* filter_rows.c: metadata compared by the database, which keeps it as text. */
#include "server/store/filter_rows.h"

#include <jansson.h>

#include "core/base/mem.h"
#include "server/store/db_private.h"
#include "server/store/id_list_private.h"

static bool is_plain(const json_t *value)
{
    return json_is_string(value) || json_is_number(value) || json_is_boolean(value) || json_is_null(value);
}

static enum err check(const json_t *filter, struct err_note *note)
{
    const char *name = NULL;
    const json_t *value = NULL;

    if (json_object_size(filter) > STORE_FILTER_MEMBERS) {
        return ERR_SAY(note, ERR_MISUSE, "a filter of %zu members; at most %d", json_object_size(filter),
                       STORE_FILTER_MEMBERS);
    }
    json_object_foreach((json_t *)(uintptr_t)filter, name, value)
    {
        bool fine = is_plain(value) || json_is_array(value);
        for (size_t i = 0; i < json_array_size(value); i++) {
            fine = fine && is_plain(json_array_get(value, i));
        }
        if (!fine) {
            return ERR_SAY(note, ERR_MISUSE,
                           "the filter's \"%.100s\" is no text, number, true, false or null, nor a list of such", name);
        }
    }
    return ERR_NONE;
}

/* For each member of the filter there is one of the metadata; said as: there is none for which there is none. */
static enum err collect(struct db *db, int64_t collection_id, const char *filter, struct id_list *list,
                        struct err_note *note)
{
    sqlite3_stmt *statement = NULL;
    bool row = true;
    enum err err = db_start(
        db,
        "SELECT f.id FROM subjects s JOIN faces f ON f.subject_id = s.id WHERE s.collection_id = ?1 "
        "AND f.set_aside_by = 0 AND NOT EXISTS (SELECT 1 FROM json_each(?2) w WHERE NOT EXISTS ("
        "SELECT 1 FROM json_each(s.metadata) m WHERE m.key = w.key AND EXISTS (SELECT 1 FROM "
        "(SELECT w.type AS type, w.atom AS atom WHERE w.type <> 'array' UNION ALL "
        "SELECT a.type, a.atom FROM json_each(CASE w.type WHEN 'array' THEN w.value ELSE '[]' END) a) one "
        "WHERE one.atom IS m.atom AND (one.type = m.type OR (one.type IN ('integer', 'real') AND m.type IN ('integer', "
        "'real'))))))",
        (const struct db_value[]){db_int(collection_id), db_text(filter), {0}}, &statement, note);

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

    enum err err = store_json_check("filter", filter, note);
    if (err == ERR_NONE) {
        json_t *object = json_loads(filter, 0, NULL);
        err = object == NULL ? ERR_NOMEM : check(object, note);
        json_decref(object);
    }
    if (err == ERR_NONE) {
        err = db_lend(store, &db, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    err = collect(db, collection_id, filter, &list, note);
    db_return(store, db);
    if (err != ERR_NONE) {
        mem_free(list.ids);
        return err;
    }
    *ret = list.ids;
    *ret_count = list.n;
    return ERR_NONE;
}
