/* collections.c: /v1/collections and the receipts of erasure. */
#include <string.h>

#include "server/gallery/forget.h"
#include "server/gallery/people.h"
#include "server/http/answers.h"
#include "server/http/handlers.h"

/* Of an index that answers beside the exact search; what it misses is measured, or null. */
static json_t *index_state_json(const struct collection_index *index)
{
    json_t *recall = index->n_queries == 0 ? json_null()
                                           : json_pack("{s:i, s:f, s:f}", "queries", index->n_queries, "at_1",
                                                       index->recall_at_1, "at_10", index->recall_at_10);

    return index->description == NULL
               ? json_null()
               : json_pack("{s:s, s:I, s:I, s:o, s:s?}", "state", index->state, "faces", (json_int_t)index->n_covered,
                           "bytes", (json_int_t)index->n_bytes, "recall", recall, "reason", index->reason);
}

static json_t *collection_json(const struct collection_info *info)
{
    const struct threshold_wish *wish = &info->threshold;

    return json_pack("{s:s, s:s?, s:i, s:b, s:s, s:I, s:o, s:o, s:o, s:o, s:I, s:I, s:s?, s:o}", "name", info->name,
                     "model", info->model, "dim", info->dim, "calibrated", (int)info->calibrated, "keep",
                     keep_word(info->keep), "retention_days", (json_int_t)info->retention_days, "threshold",
                     wish->has_threshold ? json_real(decimal_of(wish->threshold)) : json_null(), "max_fmr",
                     wish->has_max_fmr ? json_real(wish->max_fmr) : json_null(), "margin",
                     wish->has_margin ? json_real(decimal_of(wish->margin)) : json_null(), "created_at",
                     json_time(info->created_ms), "subjects", (json_int_t)info->n_subjects, "faces",
                     (json_int_t)info->n_faces, "index", info->index.description, "index_state",
                     index_state_json(&info->index));
}

/* What PUT and PATCH say.  A threshold of null goes back to the default, an index of null to the exact search alone. */
static struct collection_change change_of(const struct call *call)
{
    static const enum keep keeps[] = {KEEP_NONE, KEEP_CROP, KEEP_PHOTO};
    static const char *const parts[] = {"threshold", "max_fmr", "margin"};
    int keep = call_choice(call, "keep", -1);
    struct collection_change change = {.has_keep = keep >= 0,
                                       .keep = keeps[keep < 0 ? 0 : keep],
                                       .has_retention = call_param(call, "retention_days")->given,
                                       .retention_days = call_whole(call, "retention_days", 0),
                                       .threshold = call_threshold(call)};

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        const struct param_value *value = call_param(call, parts[i]);
        change.has_threshold |= value->given || value->is_null;
    }
    change.has_index = call_param(call, "index")->given || call_param(call, "index")->is_null;
    change.index = call_text(call, "index", NULL);
    return change;
}

void handle_collections_list(struct call *call)
{
    struct collection_info *list = NULL;
    const char *next = NULL;
    int count = 0;
    struct gallery_fault fault = {0};

    enum err err = gallery_collections(call->worker, call_text(call, "page_token", NULL), call_limit(call), &list,
                                       &count, &next, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    json_t *items = json_array();
    for (int i = 0; i < count; i++) {
        if (json_array_append_new(items, collection_json(&list[i])) != 0) {
            json_decref(items);
            items = NULL;
            break;
        }
    }
    call_answer(call, 200, json_page("collections", items, next));
}

void handle_collection_get(struct call *call)
{
    struct collection_info info;
    struct gallery_fault fault = {0};

    enum err err = gallery_collection_get(call->worker, call->argument, &info, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    call_answer(call, 200, collection_json(&info));
}

void handle_collection_put(struct call *call)
{
    struct collection_change change = change_of(call);
    struct collection_info info;
    bool is_new = false;
    struct gallery_fault fault = {0};

    change.model = call_text(call, "model", NULL);
    enum err err = gallery_collection_put(call->worker, call->argument, &change, &info, &is_new, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    call_answer(call, is_new ? 201 : 200, collection_json(&info));
}

void handle_collection_patch(struct call *call)
{
    struct collection_change change = change_of(call);
    struct collection_info info;
    struct gallery_fault fault = {0};

    enum err err = gallery_collection_patch(call->worker, call->argument, &change, &info, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    call_answer(call, 200, collection_json(&info));
}

void handle_collection_delete(struct call *call)
{
    struct receipt receipt;
    struct gallery_fault fault = {0};

    enum err err = gallery_forget_collection(call->worker, call->argument, &receipt, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    call_receipt(call, "collection", &receipt);
}
