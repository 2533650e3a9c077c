/* maintenance.c: the job that looks after the database file. */
#include "server/jobs/maintenance.h"

#include "server/store/audit_rows.h"
#include "server/store/embedding_rows.h"

#define PAGES_AT_ONCE 256 /* 4 MiB: short enough that a writer hardly waits */

static void rows_progress(void *context, int64_t done, int64_t total)
{
    job_run_progress(context, done, total, "rows");
}

/* Gives all free pages back, some at a time, so that writers get in between. */
static enum err shrink(struct job_run *run, int64_t *ret_given, struct err_note *note)
{
    int64_t given = 1;
    int64_t left = 1;
    int64_t sum = 0;

    while (left > 0 && given > 0) {
        enum err err = store_shrink(job_run_store(run), PAGES_AT_ONCE, &given, &left, note);
        if (err != ERR_NONE) {
            return err;
        }
        sum += given;
        if (cancel_asked(job_run_cancel(run))) {
            return ERR_CANCELLED;
        }
    }
    *ret_given = sum;
    return ERR_NONE;
}

static enum err maintenance_run(void *context, struct job_run *run, struct arena *mem, const char **ret_result,
                                struct err_note *note)
{
    struct store *store = job_run_store(run);
    int64_t audit_rows = 0;
    int64_t given = 0;
    char audit_hash[65] = "";

    (void)context;
    enum err err = store_check(store, note);
    if (err == ERR_NONE) {
        err = store_checksum_verify(store, rows_progress, run, job_run_cancel(run), note);
    }
    if (err == ERR_NONE) {
        err = store_audit_verify(store, &audit_rows, audit_hash, note);
    }
    if (err == ERR_NONE) {
        err = shrink(run, &given, note);
    }
    if (err == ERR_NONE) {
        err = store_scrub(store, NULL);
        err = err == ERR_BUSY ? ERR_NONE : err; /* a reader holds the log: it is cut when that one ends */
    }
    if (err != ERR_NONE) {
        return err;
    }
    *ret_result = arena_format(mem, "{\"audit_rows\":%lld,\"audit_hash\":\"%s\",\"pages_given_back\":%lld}",
                               (long long)audit_rows, audit_hash, (long long)given);
    return *ret_result == NULL ? arena_why(mem) : ERR_NONE;
}

struct job_handler maintenance_handler(void)
{
    return (struct job_handler){.kind = MAINTENANCE_KIND, .resumable = true, .run = maintenance_run};
}
