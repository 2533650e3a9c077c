/*
 * answers.h: the pieces of JSON that several answers share, so that a face looks the same everywhere.
 *
 * Each returns a new document for the caller, or NULL without memory or for a number that is not finite.
 */
#ifndef SERVER_HTTP_ANSWERS_H
#define SERVER_HTTP_ANSWERS_H

#include <jansson.h>

#include "server/gallery/decision.h"
#include "server/gallery/enroll.h"
#include "server/gallery/forget.h"
#include "server/gallery/gallery.h"
#include "server/http/call.h"

/* The shortest decimal that is this float again, as a double: .4 and not .400000006. */
double decimal_of(float value);

json_t *json_floats(const float *values, int count);
json_t *json_time(int64_t unix_ms);         /* RFC 3339; null for 0 */
json_t *json_object_text(const char *text); /* a stored JSON object; {} for NULL */

/* box, landmarks, score, quality, reasons */
json_t *json_seen_face(const struct seen_face *face);
json_t *json_photo_size(const struct photo_size *size);
/* A face that another subject has already; cosine NULL: unknown. */
json_t *json_other(const char *subject_id, const char *subject_name, const char *face_id, const float *cosine,
                   bool same_photo);
json_t *json_subject(const char *id, const char *name);

/* {threshold, fmr, calibrated} */
json_t *json_threshold(const struct threshold_used *used);

/* The members of both in one object; takes both.  NULL if either is NULL, so a document has no holes. */
json_t *json_join(json_t *take, json_t *take_more);

/* The names of the backups that hold what was erased, or may hold it; null when the folder cannot be read. */
json_t *json_backups_held(const struct call *call, const struct receipt *receipt);

/* The jobs of training whose folder holds frozen crops, by id; null if they cannot be listed. */
json_t *json_trainings_held(const struct call *call);

/* The imports that wait or run, by job: their files may hold what was erased, and bring it back; null if they cannot be listed. */
json_t *json_imports_held(const struct call *call);

/* Answers with the receipt of the erasure of a "face", "subject" or "collection", and counts it. */
void call_receipt(struct call *call, const char *what, const struct receipt *receipt);

/* {name: items, "next_page_token": next}; takes items. */
json_t *json_page(const char *name, json_t *take, const char *next);

/* "subject": a UUID is an id, everything else a name; names in the form of a UUID cannot be enrolled, so nothing is guessed. */
struct subject_ref call_subject(const struct call *call);

/* Answers with "no photo" unless there is something to look at; returns there. */
bool call_has_probe(struct call *call, bool there);

/* threshold, max_fmr, margin as the request has them. */
struct threshold_wish call_threshold(const struct call *call);

/* faces=single|largest|all */
/* keep if absent. */
enum on_duplicate call_on_duplicate(const struct call *call);
enum faces_wanted call_faces(const struct call *call);

/* A job as it stands. */
struct job_row;
json_t *json_job(const struct job_row *row);

/* The job of the address; 0, which no job has, if it is no number. */
int64_t call_job_number(const struct call *call);

#define JOB_ADDRESS "/v1/admin/jobs/%lld"

/* Answers 202 with a job that was just queued, and wakes the worker; or with the failure to queue it. */
void call_job(struct call *call, enum err err, int64_t id, const struct gallery_fault *fault);

/* limit, within the setting page_max. */
int call_limit(const struct call *call);

#endif
