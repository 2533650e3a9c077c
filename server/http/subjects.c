/* subjects.c: /v1/subjects. */
#include "server/gallery/forget.h"
#include "server/gallery/merge.h"
#include "server/gallery/people.h"
#include "server/http/answers.h"
#include "server/http/handlers.h"

static json_t *subject_json(const struct subject_info *info)
{
    return json_pack("{s:s, s:s, s:s, s:s?, s:o, s:I, s:o, s:o}", "id", info->id, "name", info->name, "collection",
                     info->collection, "external_id", info->external_id, "metadata", json_object_text(info->metadata),
                     "faces", (json_int_t)info->n_faces, "created_at", json_time(info->created_ms), "updated_at",
                     json_time(info->updated_ms));
}

static json_t *subject_kept(const void *context, const void *result)
{
    (void)context;
    return subject_json(result);
}

void handle_subjects_list(struct call *call)
{
    struct subject_info *list = NULL;
    const char *next = NULL;
    int count = 0;
    struct gallery_fault fault = {0};

    enum err err =
        gallery_subjects(call->worker, call_text(call, "collection", "default"), call_text(call, "name", NULL),
                         call_text(call, "page_token", NULL), call_limit(call), &list, &count, &next, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    json_t *items = json_array();
    for (int i = 0; i < count; i++) {
        if (json_array_append_new(items, subject_json(&list[i])) != 0) {
            json_decref(items);
            items = NULL;
            break;
        }
    }
    call_answer(call, 200, json_page("subjects", items, next));
}

void handle_subject_get(struct call *call)
{
    struct subject_info info;
    struct gallery_fault fault = {0};

    enum err err = gallery_subject_get(call->worker, call->argument, &info, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    call_answer(call, 200, subject_json(&info));
}

void handle_subject_patch(struct call *call)
{
    const struct param_value *metadata = call_param(call, "metadata");
    const struct param_value *external_id = call_param(call, "external_id");
    const struct subject_change change = {.name = call_text(call, "name", NULL),
                                          .external_id =
                                              external_id->is_null ? "" : call_text(call, "external_id", NULL),
                                          .metadata = metadata->is_null ? "{}" : call_text(call, "metadata", NULL)};
    struct subject_info info;
    struct gallery_fault fault = {0};

    if (change.name != NULL && text_is_uuid(change.name)) {
        call_problem(call, &PROBLEM_BAD_PARAMETER, "a name in the form of a UUID would be taken for an id");
        return;
    }
    enum err err = gallery_subject_patch(call->worker, call->argument, &change, &info, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    call_answer(call, 200, subject_json(&info));
}

void handle_merge(struct call *call)
{
    const char *into = call_text(call, "into", NULL);
    struct subject_info info;
    struct gallery_fault fault = {0};

    if (into == NULL) {
        call_problem(call, &PROBLEM_MISSING_PARAMETER,
                     "\"into\" is missing: the id of the subject that gets the faces");
        return;
    }
    (void)call_keep(call, 200, subject_kept, NULL);
    enum err err = gallery_merge(call->worker, call->argument, into, &info, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    call_answer(call, 200, subject_json(&info));
}

void handle_merge_undo(struct call *call)
{
    struct subject_info info;
    struct gallery_fault fault = {0};

    (void)call_keep(call, 200, subject_kept, NULL);
    enum err err = gallery_merge_undo(call->worker, call->argument, &info, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    call_answer(call, 200, subject_json(&info));
}

void handle_subject_delete(struct call *call)
{
    struct receipt receipt;
    struct gallery_fault fault = {0};

    enum err err = gallery_forget_subject(call->worker, call->argument, &receipt, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    call_receipt(call, "subject", &receipt);
}
