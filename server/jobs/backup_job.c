/* backup_job.c: from the row of a job to a backup. */
#include "server/jobs/backup_job.h"

#include <jansson.h>

#include "core/base/clock.h"
#include "server/gallery/backup.h"
#include "server/store/audit_rows.h"

static enum err backup_run(void *context, struct job_run *run, struct arena *mem, const char **ret_result,
                           struct err_note *note)
{
    const char *data = context;
    json_t *arguments = json_loads(job_run_row(run)->arguments, 0, NULL);
    const char *actor = json_string_value(json_object_get(arguments, "actor"));
    int64_t begin_ns = clock_monotonic_ns();
    struct backup_info info;

    enum err err = backup_make(job_run_store(run), data, actor == NULL ? AUDIT_DAEMON : actor, &info, note);
    json_decref(arguments);
    if (err != ERR_NONE) {
        return err;
    }
    *ret_result = arena_format(mem, "{\"name\":\"%s\",\"bytes\":%lld,\"files\":%lld,\"ms\":%lld}", info.name,
                               (long long)info.n_bytes, (long long)info.n_files,
                               (long long)((clock_monotonic_ns() - begin_ns) / 1000000));
    return *ret_result == NULL ? arena_why(mem) : ERR_NONE;
}

struct job_handler backup_handler(const char *data)
{
    /* What a killed daemon left is removed by the next attempt, so it may simply begin again. */
    return (struct job_handler){.kind = BACKUP_KIND,
                                .resumable = true,
                                .tries_again = true,
                                .context = (void *)(uintptr_t)data,
                                .run = backup_run};
}
