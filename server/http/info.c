/* info.c: /v1/info, the probes, the metrics and the description of the API. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/cpu.h"
#include "server/daemon/metrics.h"
#include "server/http/answers.h"
#include "server/http/handlers.h"
#include "server/http/openapi.h"
#include "server/http/service_private.h"
#include "server/store/subject_rows.h"

static json_t *cpu_json(void)
{
    const struct cpu *cpu = cpu_info();

    return json_pack("{s:s, s:i, s:b, s:b, s:b, s:b, s:b}", "name", cpu->name, "processors", cpu_count(), "avx2_fma",
                     (int)cpu->avx2_fma, "avx512", (int)cpu->avx512, "avx512_vnni", (int)cpu->avx512_vnni,
                     "avx512_vbmi", (int)cpu->avx512_vbmi, "neon", (int)cpu->neon);
}

/* "gemm_int:vnni scan:avx2" → {"gemm_int": "vnni", "scan": "avx2"} */
static json_t *variants_json(const char *text)
{
    json_t *variants = json_object();

    while (text != NULL && *text != '\0') {
        char word[128];
        size_t length = strcspn(text, " ");
        (void)snprintf(word, sizeof word, "%.*s", (int)length, text);
        char *colon = strchr(word, ':');
        if (colon != NULL) {
            *colon = '\0';
            (void)json_object_set_new(variants, word, json_string(colon + 1));
        }
        text += length + (text[length] == ' ' ? 1 : 0);
    }
    return variants;
}

static json_t *model_json(const struct model_info *model)
{
    return json_pack("{s:s, s:s, s:s?, s:s?, s:s?, s:i, s:i, s:b, s:b}", "version", model->version, "role", model->role,
                     "file", model->file, "source", model->source, "licence", model->licence, "dim", model->dim, "side",
                     model->side, "calibrated", (int)model->calibrated, "default", (int)model->is_default);
}

static json_t *limits_json(const struct config *config)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "body_bytes", (json_int_t)config->body_bytes,
                     "photo_pixels", (json_int_t)config->photo_pixels, "photo_side", (json_int_t)config->photo_side,
                     "faces", (json_int_t)config->faces_max, "top_k", (json_int_t)config->top_k_max, "page",
                     (json_int_t)config->page_max, "queue_length", (json_int_t)config->queue_length, "deadline_ms",
                     (json_int_t)config->deadline_ms);
}

void handle_info(struct call *call)
{
    const struct service_facts *facts = &call->service->parts.facts;
    struct model_info *models = NULL;
    int count = 0;

    enum err err = gallery_models(call->worker, &models, &count);
    if (err != ERR_NONE) {
        call_fault(call, err, NULL);
        return;
    }
    json_t *items = json_array();
    for (int i = 0; i < count; i++) {
        if (json_array_append_new(items, model_json(&models[i])) != 0) {
            json_decref(items);
            items = NULL;
            break;
        }
    }
    call_answer(call, 200,
                json_pack("{s:s, s:s, s:s?, s:s?, s:o, s:s?, s:o, s:o, s:o, s:o}", "name", "arcfaced", "version",
                          facts->version, "compiler", facts->compiler, "kernels", facts->kernels, "kernel_variants",
                          variants_json(facts->kernel_variants), "openblas", facts->openblas, "cpu", cpu_json(),
                          "models", items, "limits", limits_json(call->config), "started_at",
                          json_time(call->service->started_ms)));
}

void handle_health(struct call *call)
{
    call_answer(call, 200, json_pack("{s:s}", "status", "ok"));
}

void handle_ready(struct call *call)
{
    if (atomic_load(&call->service->stopping)) {
        call_problem(call, &PROBLEM_STOPPING, NULL);
        return;
    }
    call_answer(call, 200, json_pack("{s:s}", "status", "ready"));
}

void handle_metrics(struct call *call)
{
    struct gallery_usage usage;
    const char *text = NULL;
    size_t n_bytes = 0;
    int64_t subjects = 0;

    /* Rows that cannot be counted leave the last value: what else is counted says why. */
    if (store_subject_count(call->store, &subjects, NULL) == ERR_NONE) {
        metrics_set(METRICS_SUBJECTS, subjects);
    }
    gallery_usage(call->gallery, &usage);
    metrics_set(METRICS_FACES, usage.indexed_faces);
    metrics_set(METRICS_COLLECTIONS, usage.collections);
    metrics_set(METRICS_MODELS, usage.models);
    metrics_set(METRICS_INDEX_BYTES, (int64_t)usage.index_bytes);
    metrics_set(METRICS_ACCELERATED_FACES, usage.accelerated_faces);
    metrics_set(METRICS_ACCELERATOR_BYTES, (int64_t)usage.accelerator_bytes);
    metrics_set(METRICS_MODEL_BYTES, (int64_t)usage.model_bytes);
    enum err err = metrics_text(call->mem, &text, &n_bytes);
    if (err == ERR_NONE) {
        err = reply_set(call->reply, 200, "text/plain; version=0.0.4; charset=utf-8", text, n_bytes);
    }
    if (err != ERR_NONE) {
        call_fault(call, err, NULL);
    }
}

void handle_openapi(struct call *call)
{
    call_answer(call, 200, openapi_document(call->service->parts.facts.version));
}
