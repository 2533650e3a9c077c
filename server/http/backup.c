/* backup.c: POST /v1/admin/backup, GET /v1/admin/backups. */
#include "server/gallery/backup.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/file.h"
#include "server/gallery/freeze.h"
#include "server/http/answers.h"
#include "server/http/handlers.h"
#include "server/jobs/backup_job.h"
#include "server/store/job_rows.h"

void handle_backup(struct call *call)
{
    const char *actor = auth_actor(call->caller);
    const char *arguments = arena_format(call->mem, "{\"actor\":\"%s\"}", actor); /* an id: letters and digits */
    int64_t id = 0;
    struct gallery_fault fault = {0};

    enum err err = arguments == NULL ? ERR_NOMEM
                                     : store_job_add(call->store, BACKUP_KIND, 0, arguments, actor, call_keep_job(call),
                                                     &id, &fault.note);
    call_job(call, err, id, &fault);
}

void handle_backups_list(struct call *call)
{
    struct backup_info *list = NULL;
    int count = 0;

    enum err err = backup_list(call->config->data, call->mem, &list, &count);
    if (err != ERR_NONE) {
        call_fault(call, err, NULL);
        return;
    }
    json_t *items = json_array();
    for (int i = 0; i < count; i++) {
        (void)json_array_append_new(items, json_pack("{s:s, s:o, s:I, s:I}", "name", list[i].name, "made_at",
                                                     json_time(list[i].at_ms), "bytes", (json_int_t)list[i].n_bytes,
                                                     "files", (json_int_t)list[i].n_files));
    }
    call_answer(call, 200, json_pack("{s:o}", "backups", items));
}

json_t *json_backups_held(const struct call *call, const struct receipt *receipt)
{
    const char **list = NULL;
    int count = 0;

    /* A folder that cannot be read is no reason to hide that an erasure is done; it shows as null, "not known". */
    if (backup_names_holding(call->config->data, receipt, call->mem, &list, &count) != ERR_NONE) {
        return json_null();
    }
    json_t *names = json_array();
    for (int i = 0; i < count; i++) {
        (void)json_array_append_new(names, json_string(list[i]));
    }
    return names;
}

json_t *json_trainings_held(const struct call *call)
{
    char folder[PATH_MAX / 2];
    char path[PATH_MAX];

    (void)snprintf(folder, sizeof folder, "%s/jobs", call->config->data);
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        return errno == ENOENT ? json_array() : json_null();
    }
    json_t *ids = json_array();
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char *end = NULL;
        long long id = strtoll(entry->d_name, &end, 10);
        (void)snprintf(path, sizeof path, "%s/%.255s/" FREEZE_DATASET, folder, entry->d_name);
        if (id > 0 && *end == '\0' && file_exists(path)) {
            (void)json_array_append_new(ids, json_integer((json_int_t)id));
        }
    }
    (void)closedir(dir);
    return ids;
}
