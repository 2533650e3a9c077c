/* answers.c: shared pieces of JSON and of requests. */
#include "server/http/answers.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "server/daemon/metrics.h"

#define PAGE_LIMIT 100

json_t *json_join(json_t *take, json_t *take_more)
{
    if (take == NULL || take_more == NULL || json_object_update(take, take_more) != 0) {
        json_decref(take);
        json_decref(take_more);
        return NULL;
    }
    json_decref(take_more);
    return take;
}

double decimal_of(float value)
{
    char text[32];
    double decimal = (double)value;

    for (int digits = 6; digits < 9; digits++) {
        (void)snprintf(text, sizeof(text), "%.*g", digits, (double)value);
        decimal = strtod(text, NULL);
        if ((float)decimal == value) {
            return decimal;
        }
    }
    return (double)value;
}

json_t *json_floats(const float *values, int count)
{
    json_t *array = json_array();

    for (int i = 0; i < count; i++) {
        if (json_array_append_new(array, json_real(decimal_of(values[i]))) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

json_t *json_time(int64_t unix_ms)
{
    char text[CLOCK_TEXT_BYTES];

    if (unix_ms == 0) {
        return json_null();
    }
    clock_text(unix_ms, text);
    return json_string(text);
}

json_t *json_object_text(const char *text)
{
    return text == NULL ? json_object() : json_loads(text, 0, NULL);
}

json_t *json_seen_face(const struct seen_face *face)
{
    json_t *landmarks = json_array();
    json_t *reasons = json_array();

    for (int i = 0; i < 5; i++) {
        if (json_array_append_new(landmarks, json_floats(face->landmarks[i], 2)) != 0) {
            json_decref(landmarks);
            landmarks = NULL;
            break;
        }
    }
    for (int i = 0; i < face->n_reasons; i++) {
        if (json_array_append_new(reasons, json_string(face->reasons[i])) != 0) {
            json_decref(reasons);
            reasons = NULL;
            break;
        }
    }
    return json_pack("{s:o, s:o, s:f, s:f, s:o}", "box", json_floats(face->box, 4), "landmarks", landmarks, "score",
                     decimal_of(face->score), "quality", decimal_of(face->quality), "reasons", reasons);
}

json_t *json_photo_size(const struct photo_size *size)
{
    return json_pack("{s:i, s:i}", "width", size->width, "height", size->height);
}

json_t *json_subject(const char *id, const char *name)
{
    return json_pack("{s:s, s:s}", "id", id, "name", name);
}

json_t *json_other(const char *subject_id, const char *subject_name, const char *face_id, const float *cosine,
                   bool same_photo)
{
    return json_pack("{s:o, s:s, s:o, s:b}", "subject", json_subject(subject_id, subject_name), "face_id", face_id,
                     "cosine", cosine == NULL ? json_null() : json_real(decimal_of(*cosine)), "same_photo",
                     (int)same_photo);
}

json_t *json_threshold(const struct threshold_used *used)
{
    return json_pack("{s:f, s:o, s:b}", "threshold", decimal_of(used->cosine), "fmr",
                     used->has_fmr ? json_real(used->fmr) : json_null(), "calibrated", (int)used->calibrated);
}

void call_receipt(struct call *call, const char *what, const struct receipt *receipt)
{
    json_t *deleted = json_pack("{s:I, s:I, s:I, s:I, s:I}", "subjects", (json_int_t)receipt->n_subjects, "faces",
                                (json_int_t)receipt->n_faces, "embeddings", (json_int_t)receipt->n_embeddings, "crops",
                                (json_int_t)receipt->n_crops, "photos", (json_int_t)receipt->n_photos);

    metrics_count(METRICS_FORGOTTEN, receipt->n_faces);
    call_answer(call, 200,
                json_pack("{s:s, s:s, s:o, s:I, s:b, s:I, s:s, s:o, s:o, s:o, s:o}", "what", what, "id", call->argument,
                          "deleted", deleted, "photos_kept", (json_int_t)receipt->n_photos_kept, "scrubbed",
                          (int)receipt->scrubbed, "audit_id", (json_int_t)receipt->audit_id, "audit_hash",
                          receipt->audit_hash, "at", json_time(receipt->at_ms), "backups",
                          json_backups_held(call, receipt), "trainings", json_trainings_held(call), "imports",
                          json_imports_held(call)));
}

json_t *json_page(const char *name, json_t *take, const char *next)
{
    return json_pack("{s:o, s:s?}", name, take, "next_page_token", next);
}

struct subject_ref call_subject(const struct call *call)
{
    const char *subject = call_text(call, "subject", NULL);

    if (subject == NULL) {
        return (struct subject_ref){0};
    }
    return text_is_uuid(subject) ? (struct subject_ref){.id = subject} : (struct subject_ref){.name = subject};
}

bool call_has_probe(struct call *call, bool there)
{
    if (!there) {
        call_problem(call, call->request->body_bytes == 0 ? &PROBLEM_EMPTY_BODY : &PROBLEM_MISSING_PARAMETER,
                     "the request holds no photo and nothing in its place");
    }
    return there;
}

struct threshold_wish call_threshold(const struct call *call)
{
    const struct param_value *threshold = call_param(call, "threshold");
    const struct param_value *max_fmr = call_param(call, "max_fmr");
    const struct param_value *margin = call_param(call, "margin");

    return (struct threshold_wish){.has_threshold = threshold->given,
                                   .threshold = (float)threshold->real,
                                   .has_max_fmr = max_fmr->given,
                                   .max_fmr = max_fmr->real,
                                   .has_margin = margin->given,
                                   .margin = (float)margin->real};
}

enum faces_wanted call_faces(const struct call *call)
{
    static const enum faces_wanted words[] = {FACES_SINGLE, FACES_LARGEST, FACES_ALL};
    int choice = call_choice(call, "faces", -1);

    return choice < 0 ? FACES_DEFAULT : words[choice];
}

enum on_duplicate call_on_duplicate(const struct call *call)
{
    static const enum on_duplicate words[] = {DUPLICATE_KEEP, DUPLICATE_REJECT, DUPLICATE_REJECT_ANY};

    return words[call_choice(call, "on_duplicate", 0)];
}

int call_limit(const struct call *call)
{
    int64_t limit = call_whole(call, "limit", PAGE_LIMIT);

    return (int)(limit < call->config->page_max ? limit : call->config->page_max);
}
