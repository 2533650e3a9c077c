/* import.c: POST /v1/import, GET /v1/export, GET /v1/admin/jobs/{job}/items. */
#include <stdio.h>
#include <stdlib.h>

#include "server/daemon/log.h"
#include "server/gallery/export.h"
#include "server/http/answers.h"
#include "server/http/handlers.h"
#include "server/http/service_private.h"
#include "server/jobs/import_job.h"
#include "server/store/import_rows.h"

void handle_import(struct call *call)
{
    static const enum quality_wanted qualities[] = {QUALITY_WANTED_NONE, QUALITY_WANTED_AUTO, QUALITY_WANTED_HIGH};
    const struct import_request request = {.collection = call_text(call, "collection", "default"),
                                           .faces = call_faces(call),
                                           .quality = qualities[call_choice(call, "quality", QUALITY_WANTED_AUTO)],
                                           .on_duplicate = call_on_duplicate(call),
                                           .actor = auth_actor(call->caller),
                                           .replay = call_keep_job(call)};
    int64_t id = 0;
    struct gallery_fault fault = {0};

    if (call->request->upload_path == NULL || call->request->upload_bytes == 0) {
        call_problem(call, &PROBLEM_EMPTY_BODY, "the request holds no file");
        return;
    }
    enum err err =
        import_job_add(call->store, call->config->data, call->request->upload_path, &request, call->mem, &id, &fault);
    call_job(call, err, id, &fault);
}

static enum err stream_next(void *context, const char **ret, size_t *ret_bytes)
{
    enum err err = export_next(context, ret, ret_bytes);

    if (err != ERR_NONE) { /* the status is sent already: all that can be done is to cut the answer off */
        log_event(LOG_LEVEL_ERROR, "export_cut", "error=%s", err_word(err));
    }
    return err == ERR_BUSY ? ERR_IO : err; /* busy would mean: not yet */
}

static void stream_close(void *context)
{
    export_free(context);
}

void handle_export(struct call *call)
{
    struct export *export = NULL;
    struct gallery_fault fault = {0};
    enum export_crops crops = call_switch(call, "crops") ? EXPORT_WITH_CROPS : EXPORT_WITHOUT_CROPS;

    enum err err = gallery_export(call->worker, call_text(call, "collection", NULL), crops, &export, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    reply_set_stream(call->reply, 200, "application/x-ndjson",
                     (struct reply_stream){.context = export, .next = stream_next, .close = stream_close});
}

/* The others that belong to an item are the next in the list; *at moves behind them. */
static json_t *others_json(const struct import_other *others, int n, int *at, int64_t item_id)
{
    json_t *list = json_array();

    for (; *at < n && others[*at].item_id == item_id; (*at)++) {
        const struct import_other *other = &others[*at];
        if (json_array_append_new(list, json_other(other->subject_uuid, other->subject_name, other->face_uuid,
                                                   other->has_cosine ? &other->cosine : NULL, other->same_photo)) !=
            0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *item_json(const struct import_item *item, json_t *take_also)
{
    return json_pack("{s:I, s:s, s:s, s:s, s:s?, s:o}", "number", (json_int_t)item->number, "name", item->name,
                     "outcome", item->outcome, "sentence", item->sentence, "face_id", item->face_uuid, "also",
                     take_also);
}

void handle_job_items(struct call *call)
{
    const struct store_page page = {.limit = call_limit(call), .token = call_text(call, "page_token", NULL)};
    struct job_row job;
    struct import_item *list = NULL;
    struct import_other *others = NULL;
    const char *next = NULL;
    int count = 0;
    int n_others = 0;
    int at = 0;
    struct gallery_fault fault = {0};

    enum err err =
        store_job_get(call->store, strtoll(call->argument, NULL, 10), call->mem, &job, &fault.note); /* 0 is none */
    if (err == ERR_NONE) {
        err = store_import_list(call->store, job.id, &page, call->mem, &list, &count, &next, &fault.note);
    }
    if (err == ERR_NONE && count > 0) {
        err = store_import_others(call->store, job.id, list[0].id, list[count - 1].id, count * ALSO_MOST, call->mem,
                                  &others, &n_others, &fault.note);
    }
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    json_t *items = json_array();
    for (int i = 0; i < count; i++) {
        if (json_array_append_new(items, item_json(&list[i], others_json(others, n_others, &at, list[i].id))) != 0) {
            json_decref(items);
            items = NULL;
            break;
        }
    }
    call_answer(call, 200, json_page("items", items, next));
}

json_t *json_imports_held(const struct call *call)
{
    struct job_row *jobs = NULL;
    int count = 0;

    if (store_job_list_open(call->store, IMPORT_KIND, call->mem, &jobs, &count, NULL) != ERR_NONE) {
        return json_null();
    }
    json_t *ids = json_array();
    for (int i = 0; i < count; i++) {
        (void)json_array_append_new(ids, json_integer((json_int_t)jobs[i].id));
    }
    return ids;
}
