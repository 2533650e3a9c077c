/* import_rows.c: what became of each part of an import. */
#include "server/store/import_rows.h"

#include "server/store/db_private.h"

#define NUMBER_MOST ((int64_t)1 << 32)
#define OUTCOMES_MOST 64

struct adding {
    int64_t job_id;
    const struct import_item *items;
    int n;
};

static enum err adding_apply(struct db *db, void *context, struct err_note *note)
{
    const struct adding *what = context;
    enum err err = ERR_NONE;

    for (int i = 0; i < what->n && err == ERR_NONE; i++) {
        const struct import_item *item = &what->items[i];
        err = db_run(db,
                     "INSERT INTO import_items (job_id, number, name, outcome, sentence) VALUES (?1, ?2, ?3, ?4, ?5) "
                     "ON CONFLICT (job_id, number) DO NOTHING",
                     (const struct db_value[]){db_int(what->job_id),
                                               db_int(item->number),
                                               db_text(item->name),
                                               db_text(item->outcome),
                                               db_text(item->sentence),
                                               {0}},
                     note);
    }
    return err;
}

enum err store_import_add(struct store *store, int64_t job_id, const struct import_item *items, int n,
                          struct err_note *note)
{
    struct adding what = {.job_id = job_id, .items = items, .n = n};

    return n == 0 ? ERR_NONE : db_change(store, adding_apply, &what, NULL, note);
}

/* ---- What is done ------------------------------------------------------------------------------------------------- */

static enum err numbers_read(struct db *db, int64_t job_id, unsigned char *bits, int64_t count, struct err_note *note)
{
    sqlite3_stmt *statement = NULL;
    bool row = true;
    enum err err = db_start(db, "SELECT number FROM import_items WHERE job_id = ?1",
                            (const struct db_value[]){db_int(job_id), {0}}, &statement, note);

    if (err != ERR_NONE) {
        return err;
    }
    while (err == ERR_NONE && row) {
        err = db_step(db, statement, &row, note);
        int64_t number = err == ERR_NONE && row ? sqlite3_column_int64(statement, 0) : 1;
        if (number < 1 || number > count) {
            err = ERR_SAY(note, ERR_CORRUPT, "the items of job %lld have the number %lld", (long long)job_id,
                          (long long)number);
        } else if (err == ERR_NONE && row) {
            bits[(number - 1) / 8] |= (unsigned char)(1U << (unsigned)((number - 1) % 8));
        }
    }
    db_done(statement);
    return err;
}

static enum err done_read(struct db *db, int64_t job_id, struct arena *mem, unsigned char **ret, int64_t *ret_count,
                          struct err_note *note)
{
    int64_t count = 0;
    enum err err = db_integer(db, "SELECT coalesce(max(number), 0) FROM import_items WHERE job_id = ?1",
                              (const struct db_value[]){db_int(job_id), {0}}, &count, note);

    if (err != ERR_NONE || count == 0) {
        *ret = NULL;
        *ret_count = 0;
        return err;
    }
    if (count < 0 || count > NUMBER_MOST) {
        return ERR_SAY(note, ERR_CORRUPT, "the items of job %lld have the number %lld", (long long)job_id,
                       (long long)count);
    }
    unsigned char *bits = arena_alloc(mem, (size_t)(count + 7) / 8, 1);
    if (bits == NULL) {
        return arena_why(mem);
    }
    err = numbers_read(db, job_id, bits, count, note);
    if (err == ERR_NONE) {
        *ret = bits;
        *ret_count = count;
    }
    return err;
}

enum err store_import_done(struct store *store, int64_t job_id, struct arena *mem, unsigned char **ret,
                           int64_t *ret_count, struct err_note *note)
{
    struct db *db = NULL;
    enum err err = db_lend(store, &db, note);

    if (err != ERR_NONE) {
        return err;
    }
    err = db_snapshot_begin(db, note);
    if (err == ERR_NONE) {
        err = done_read(db, job_id, mem, ret, ret_count, note);
        db_snapshot_end(db);
    }
    db_return(store, db);
    return err;
}

/* ---- Lists -------------------------------------------------------------------------------------------------------- */

static enum err count_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    struct import_count *row = ret_row;

    row->n = sqlite3_column_int64(statement, 1);
    return db_column_text(statement, 0, mem, &row->outcome);
}

static int64_t no_id(const void *row)
{
    (void)row;
    return 1;
}

enum err store_import_counts(struct store *store, int64_t job_id, struct arena *mem, struct import_count **ret,
                             int *ret_count, struct err_note *note)
{
    void *rows = NULL;
    const char *next = NULL;
    const struct list_plan plan = {.sql =
                                       "SELECT outcome, count(*) FROM import_items WHERE job_id = ?1 GROUP BY outcome "
                                       "ORDER BY count(*) DESC, outcome LIMIT ?2",
                                   .values = (const struct db_value[]){db_int(job_id), db_int(OUTCOMES_MOST + 1), {0}},
                                   .limit = OUTCOMES_MOST,
                                   .row_bytes = sizeof(struct import_count),
                                   .read = count_read,
                                   .row_id = no_id};
    enum err err = list_read(store, &plan, mem, &rows, ret_count, &next, note);

    if (err == ERR_NONE) {
        *ret = rows;
    }
    return err;
}

static enum err item_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    struct import_item *row = ret_row;
    enum err err;

    row->id = sqlite3_column_int64(statement, 0);
    row->number = sqlite3_column_int64(statement, 1);
    err = db_column_text(statement, 2, mem, &row->name);
    if (err == ERR_NONE) {
        err = db_column_text(statement, 3, mem, &row->outcome);
    }
    if (err == ERR_NONE) {
        err = db_column_text(statement, 4, mem, &row->sentence);
    }
    return err != ERR_NONE ? err : db_column_text(statement, 5, mem, &row->face_uuid);
}

static int64_t item_id(const void *row)
{
    return ((const struct import_item *)row)->id;
}

enum err store_import_list(struct store *store, int64_t job_id, const struct store_page *page, struct arena *mem,
                           struct import_item **ret, int *ret_count, const char **ret_next, struct err_note *note)
{
    int64_t after = 0;
    void *rows = NULL;
    enum err err = page_start(page, &after, note);

    if (err != ERR_NONE) {
        return err;
    }
    const struct list_plan plan = {
        .sql = "SELECT i.id, i.number, i.name, i.outcome, i.sentence, f.uuid FROM import_items i "
               "LEFT JOIN faces f ON f.id = i.face_id WHERE i.job_id = ?1 AND i.id > ?2 ORDER BY i.id LIMIT ?3",
        .values = (const struct db_value[]){db_int(job_id), db_int(after), db_int(page->limit + 1), {0}},
        .limit = page->limit,
        .row_bytes = sizeof(struct import_item),
        .read = item_read,
        .row_id = item_id};
    err = list_read(store, &plan, mem, &rows, ret_count, ret_next, note);
    if (err == ERR_NONE) {
        *ret = rows;
    }
    return err;
}

static enum err other_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    struct import_other *row = ret_row;
    enum err err;

    row->item_id = sqlite3_column_int64(statement, 0);
    row->has_cosine = sqlite3_column_type(statement, 4) != SQLITE_NULL;
    row->cosine = (float)sqlite3_column_double(statement, 4);
    row->same_photo = sqlite3_column_int(statement, 5) != 0;
    err = db_column_text(statement, 1, mem, &row->subject_uuid);
    if (err == ERR_NONE) {
        err = db_column_text(statement, 2, mem, &row->subject_name);
    }
    return err != ERR_NONE ? err : db_column_text(statement, 3, mem, &row->face_uuid);
}

#define OTHERS                                                                                     \
    "FROM import_items i JOIN import_also a ON a.item_id = i.id JOIN faces f ON f.id = i.face_id " \
    "JOIN faces o ON o.id = a.other_id JOIN subjects s ON s.id = o.subject_id AND s.id <> f.subject_id "

enum err store_import_others(struct store *store, int64_t job_id, int64_t from_id, int64_t to_id, int most,
                             struct arena *mem, struct import_other **ret, int *ret_count, struct err_note *note)
{
    void *rows = NULL;
    const char *next = NULL;
    const struct list_plan plan = {
        .sql = "SELECT i.id, s.uuid, s.name, o.uuid, a.cosine, coalesce(o.photo_sha256 = f.photo_sha256, 0) " OTHERS
               "WHERE +i.job_id = ?1 AND i.id BETWEEN ?2 AND ?3 ORDER BY i.id, a.cosine DESC, o.id LIMIT ?4",
        .values =
            (const struct db_value[]){db_int(job_id), db_int(from_id), db_int(to_id), db_int((int64_t)most + 1), {0}},
        .limit = most,
        .row_bytes = sizeof(struct import_other),
        .read = other_read,
        .row_id = no_id};
    enum err err = list_read(store, &plan, mem, &rows, ret_count, &next, note);

    if (err == ERR_NONE) {
        *ret = rows;
    }
    return err;
}

static enum err number_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    (void)mem;
    *(int64_t *)ret_row = sqlite3_column_int64(statement, 0);
    return ERR_NONE;
}

enum err store_import_count_others(struct store *store, int64_t job_id, int64_t *ret, struct err_note *note)
{
    return one_read(store, "SELECT count(DISTINCT i.id) " OTHERS "WHERE i.job_id = ?1",
                    (const struct db_value[]){db_int(job_id), {0}}, number_read, NULL, ret, "", note);
}

static enum err flag_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    (void)mem;
    *(bool *)ret_row = sqlite3_column_int(statement, 0) != 0;
    return ERR_NONE;
}

enum err store_job_wants_file(struct store *store, const char *file, bool *ret, struct err_note *note)
{
    return one_read(store,
                    "SELECT EXISTS (SELECT 1 FROM jobs WHERE state IN ('queued', 'running') "
                    "AND json_extract(arguments, '$.file') = ?1)",
                    (const struct db_value[]){db_text(file), {0}}, flag_read, NULL, ret, "", note);
}
