/* model_calls.c: /v1/admin/models, and which of them a collection uses. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/base/file.h"
#include "core/base/utf8.h"
#include "server/gallery/activate.h"
#include "server/gallery/model_upload.h"
#include "server/http/answers.h"
#include "server/http/handlers.h"
#include "server/http/multipart.h"
#include "server/http/service_private.h"
#include "server/jobs/gallery_jobs.h"

/* Rolling back is at once if the former model lacks no more faces than this; else it is a job. */
#define ROLLBACK_AT_ONCE 64

/* ---- Uploading ----------------------------------------------------------------------------------------------------- */

/* A part's text, carved from the call's memory; NULL without memory. */
static const char *part_text(struct call *call, const struct part *part)
{
    char *text = ARENA_ARRAY(call->mem, char, part->n_bytes + 1);

    if (text != NULL) {
        memcpy(text, part->bytes, part->n_bytes);
    }
    return text;
}

/* The body is multipart: "model" the file, "manifest" and "name" texts, which may also stand in the address. */
static enum err read_parts(struct call *call, struct model_upload *upload, struct err_note *note)
{
    struct part parts[MULTIPART_MAX_PARTS];
    const void *body = upload->onnx;
    int count = 0;

    enum err err = multipart_parse(call->request->content_type, body, upload->n_bytes, call->mem, parts, &count, note);
    upload->onnx = NULL;
    upload->n_bytes = 0;
    for (int i = 0; i < count && err == ERR_NONE; i++) {
        if (strcmp(parts[i].name, "model") == 0) {
            upload->onnx = parts[i].bytes;
            upload->n_bytes = parts[i].n_bytes;
            continue;
        }
        const char **text = strcmp(parts[i].name, "manifest") == 0 ? &upload->manifest
                            : strcmp(parts[i].name, "name") == 0   ? &upload->name
                                                                   : NULL;
        if (text == NULL) {
            return ERR_SAY(note, ERR_FORMAT, "this call has no part \"%.64s\": model, manifest and name",
                           parts[i].name);
        }
        *text = part_text(call, &parts[i]);
        if (*text == NULL) {
            return arena_why(call->mem);
        }
        if (!utf8_is_text(*text, parts[i].n_bytes)) {
            return ERR_SAY(note, ERR_FORMAT, "the part \"%s\" is not UTF-8", parts[i].name);
        }
    }
    return err;
}

static json_t *uploaded_json(const void *context, const void *result)
{
    const struct model_uploaded *model = result;
    (void)context;
    return json_pack("{s:s, s:s, s:s, s:i, s:i, s:b, s:b, s:b, s:s?, s:{s:i, s:f, s:f, s:f}}", "version",
                     model->version, "role", "recognizer", "name", model->name, "dim", model->dim, "side", model->side,
                     "flip", (int)model->flip, "calibrated", (int)model->calibrated, "created", (int)model->is_new,
                     "assumed", model->assumed, "self_test", "batch", model->batch, "batch_cosine",
                     decimal_of(model->batch_cosine), "others_cosine", decimal_of(model->others_cosine), "embed_ms",
                     model->embed_ms);
}

static void upload_mapped(struct call *call, const unsigned char *bytes, size_t n_bytes)
{
    struct model_upload upload = {.onnx = bytes,
                                  .n_bytes = n_bytes,
                                  .manifest = call_text(call, "manifest", NULL),
                                  .name = call_text(call, "name", NULL)};
    struct model_uploaded model = {0};
    struct gallery_fault fault = {0};
    const char *type = call->request->content_type;

    if (type != NULL && strncasecmp(type, "multipart/form-data", 19) == 0) {
        enum err err = read_parts(call, &upload, &fault.note);
        if (err != ERR_NONE) {
            call_problem(call, err == ERR_FORMAT ? &PROBLEM_BAD_MULTIPART : problem_of(err), fault.note.text);
            return;
        }
    }
    if (upload.n_bytes == 0) {
        call_problem(call, &PROBLEM_EMPTY_BODY, "send the ONNX file as the body, or as the part \"model\"");
        return;
    }
    (void)call_keep(call, 201, uploaded_json, NULL); /* a model that is there already changes nothing */
    enum err err = gallery_model_upload(call->worker, &upload, &model, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    call_answer(call, model.is_new ? 201 : 200, uploaded_json(NULL, &model));
}

void handle_model_upload(struct call *call)
{
    const unsigned char *bytes = NULL;
    size_t n_bytes = 0;
    struct gallery_fault fault = {0};

    if (call->request->upload_path == NULL || call->request->upload_bytes == 0) {
        call_problem(call, &PROBLEM_EMPTY_BODY, "send the ONNX file as the body, or as the part \"model\"");
        return;
    }
    if (call->request->upload_bytes > call->config->model_bytes) {
        call_problem(call, &PROBLEM_BODY_TOO_LARGE, "the file is larger than the setting model_bytes allows");
        return;
    }
    /* The file is ours alone: it goes with the request. */
    enum err err =
        file_map(call->request->upload_path, (size_t)call->request->upload_bytes, &bytes, &n_bytes, &fault.note);
    if (err != ERR_NONE) {
        call_fault(call, err == ERR_LIMIT ? err : ERR_IO, &fault);
        return;
    }
    upload_mapped(call, bytes, n_bytes);
    file_unmap(bytes, n_bytes);
}

/* ---- Listing and deleting ------------------------------------------------------------------------------------------ */

static json_t *known_json(const struct known_model *model)
{
    const struct model_row *row = &model->row;
    json_t *users = json_array();

    for (int i = 0; i < model->n_used_by; i++) {
        (void)json_array_append_new(users, json_string(model->used_by[i]));
    }
    return json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:b, s:b, s:o, s:o, s:b, s:o, s:s?, s:s?, s:s?, s:o, s:o}",
                     "version", row->version, "role", model_role_word(row->role), "state", model_state_word(row->state),
                     "name", row->name, "dim", row->dim, "side", row->side_px, "flip", (int)row->flip, "calibrated",
                     (int)model->calibrated, "calibration",
                     row->calibration == NULL ? json_null() : json_object_text(row->calibration), "calibrated_by",
                     row->calibrated_by == 0 ? json_null() : json_integer((json_int_t)row->calibrated_by), "default",
                     (int)model->is_default, "used_by", users, "source", row->source, "licence", row->licence, "parent",
                     model->parent, "report", row->report == NULL ? json_null() : json_object_text(row->report),
                     "created_at", json_time(row->created_ms));
}

void handle_models_list(struct call *call)
{
    struct known_model *list = NULL;
    const char *next = NULL;
    int count = 0;
    struct gallery_fault fault = {0};

    enum err err = gallery_known_models(call->worker, call_text(call, "page_token", NULL), call_limit(call), &list,
                                        &count, &next, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    json_t *items = json_array();
    for (int i = 0; i < count; i++) {
        if (json_array_append_new(items, known_json(&list[i])) != 0) {
            json_decref(items);
            items = NULL;
            break;
        }
    }
    call_answer(call, 200, json_page("models", items, next));
}

void handle_model_delete(struct call *call)
{
    struct gallery_fault fault = {0};

    enum err err = gallery_model_delete(call->worker, call->argument, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    call_answer(call, 200, json_pack("{s:s, s:b}", "version", call->argument, "deleted", 1));
}

/* ---- Changing over ------------------------------------------------------------------------------------------------- */

/* Says of each collection that it can change over, or answers why not. */
static bool plan_all(struct call *call, const struct param_value *names, int64_t *ret_collection)
{
    enum activate_force force = call_switch(call, "force") ? ACTIVATE_FORCED : ACTIVATE_PROVEN;
    struct gallery_fault fault = {0};

    for (int i = 0; i < names->count; i++) {
        struct activation_plan plan = {0};
        enum err err = gallery_activation_plan(call->worker, call->argument, names->texts[i], force, &plan, &fault);
        if (err != ERR_NONE) {
            call_fault(call, err, &fault);
            return false;
        }
        *ret_collection = names->count == 1 ? plan.collection_id : 0;
    }
    return true;
}

void handle_model_activate(struct call *call)
{
    const struct param_value *names = call_param(call, "collections");
    struct gallery_fault fault = {0};
    int64_t collection_id = 0;
    int64_t job = 0;

    if (!names->given || names->count == 0) {
        call_problem(call, &PROBLEM_MISSING_PARAMETER, "say which \"collections\" shall use the model");
        return;
    }
    if (!plan_all(call, names, &collection_id)) {
        return;
    }
    enum err err = activate_job_add(call->store, call->argument, names->texts, names->count, collection_id,
                                    auth_actor(call->caller), call_keep_job(call), &job, &fault.note);
    call_job(call, err, job, &fault);
}

/* The collection's name, and how it changed over. */
static json_t *rolled_json(const void *context, const void *result)
{
    const struct activated *done = result;

    return json_pack("{s:s, s:s, s:s, s:I, s:I}", "collection", context, "from", done->from, "to", done->to, "faces",
                     (json_int_t)done->n_faces, "embedded", (json_int_t)done->n_embedded);
}

void handle_collection_rollback(struct call *call)
{
    const char *actor = auth_actor(call->caller);
    char version[STORE_VERSION_TEXT];
    struct activation_plan plan = {0};
    struct activated done = {0};
    struct gallery_fault fault = {0};
    int64_t missing = 0;
    int64_t job = 0;

    enum err err = gallery_former_model(call->worker, call->argument, version, &missing, &fault);
    if (err == ERR_NONE) {
        err = gallery_activation_plan(call->worker, version, call->argument, ACTIVATE_FORCED, &plan, &fault);
    }
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    if (missing > ROLLBACK_AT_ONCE) {
        err = activate_job_add(call->store, version, &call->argument, 1, plan.collection_id, actor, call_keep_job(call),
                               &job, &fault.note);
        call_job(call, err, job, &fault);
        return;
    }
    const struct long_work work = {.cancel = call->request->cancel, .actor = actor};
    (void)call_keep(call, 200, rolled_json, call->argument);
    err = gallery_activate(call->worker, version, call->argument, &work, &done, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    call_answer(call, 200, rolled_json(call->argument, &done));
}
