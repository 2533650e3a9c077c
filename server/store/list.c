/* list.c: pages of rows, walked by key; and the one row of a question. */
#include <stdio.h>
#include <string.h>

#include "server/store/db_private.h"

/* A token is 'p' and the last row's id in 16 hexadecimal digits. */
#define TOKEN_DIGITS 16

enum err page_start(const struct store_page *page, int64_t *ret_after, struct err_note *note)
{
    uint64_t id = 0;

    if (page->limit < 1 || page->limit > STORE_PAGE_LIMIT) {
        return ERR_SAY(note, ERR_MISUSE, "a page has 1 to %d rows, not %d", STORE_PAGE_LIMIT, page->limit);
    }
    if (page->token == NULL || page->token[0] == '\0') {
        *ret_after = 0;
        return ERR_NONE;
    }
    bool good = page->token[0] == 'p' && strlen(page->token) == 1 + TOKEN_DIGITS &&
                strspn(page->token + 1, "0123456789abcdef") == TOKEN_DIGITS;
    for (int i = 1; good && i <= TOKEN_DIGITS; i++) {
        char c = page->token[i];
        id = id << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    if (!good || id == 0 || id > INT64_MAX) {
        return ERR_SAY(note, ERR_FORMAT, "the page token is not one that a list gave");
    }
    *ret_after = (int64_t)id;
    return ERR_NONE;
}

enum err page_next(struct arena *mem, int64_t last_id, const char **ret)
{
    const char *token = arena_format(mem, "p%016llx", (unsigned long long)last_id);

    if (token == NULL) {
        return arena_why(mem);
    }
    *ret = token;
    return ERR_NONE;
}

static enum err rows_read(struct db *db, sqlite3_stmt *statement, const struct list_plan *plan, struct arena *mem,
                          char *rows, int *ret_count, bool *ret_more, struct err_note *note)
{
    int count = 0;

    for (;;) {
        bool row = false;
        enum err err = db_step(db, statement, &row, note);
        if (err != ERR_NONE) {
            return err;
        }
        if (!row || count == plan->limit) {
            *ret_count = count;
            *ret_more = row;
            return ERR_NONE;
        }
        err = plan->read(statement, mem, rows + (size_t)count * plan->row_bytes);
        if (err != ERR_NONE) {
            return err;
        }
        count++;
    }
}

enum err list_read(struct store *store, const struct list_plan *plan, struct arena *mem, void **ret, int *ret_count,
                   const char **ret_next, struct err_note *note)
{
    struct db *db = NULL;
    sqlite3_stmt *statement = NULL;
    bool more = false;
    int count = 0;
    const char *next = NULL;
    char *rows = arena_alloc(mem, (size_t)plan->limit, plan->row_bytes);

    if (rows == NULL) {
        return arena_why(mem);
    }
    enum err err = db_lend(store, &db, note);
    if (err != ERR_NONE) {
        return err;
    }
    err = db_start(db, plan->sql, plan->values, &statement, note);
    if (err == ERR_NONE) {
        err = rows_read(db, statement, plan, mem, rows, &count, &more, note);
        db_done(statement);
    }
    db_return(store, db);
    if (err == ERR_NONE && more) {
        err = page_next(mem, plan->row_id(rows + (size_t)(count - 1) * plan->row_bytes), &next);
    }
    if (err == ERR_NONE) {
        *ret = rows;
        *ret_count = count;
        *ret_next = next;
    }
    return err;
}

enum err one_read_in(struct db *db, const char *sql, const struct db_value *values, row_reader *read, struct arena *mem,
                     void *ret_row, const char *missing, struct err_note *note)
{
    sqlite3_stmt *statement = NULL;
    bool row = false;
    enum err err = db_start(db, sql, values, &statement, note);

    if (err != ERR_NONE) {
        return err;
    }
    err = db_step(db, statement, &row, note);
    if (err == ERR_NONE) {
        err = row ? read(statement, mem, ret_row) : ERR_SAY(note, ERR_NOT_FOUND, "%s", missing);
    }
    db_done(statement);
    return err;
}

enum err one_read(struct store *store, const char *sql, const struct db_value *values, row_reader *read,
                  struct arena *mem, void *ret_row, const char *missing, struct err_note *note)
{
    struct db *db = NULL;
    enum err err = db_lend(store, &db, note);

    if (err == ERR_NONE) {
        err = one_read_in(db, sql, values, read, mem, ret_row, missing, note);
        db_return(store, db);
    }
    return err;
}
