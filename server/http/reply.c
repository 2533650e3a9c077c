/* reply.c: answers and problem documents. */
#include "server/http/reply.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/utf8.h"
#include "server/http/request.h"

const struct problem PROBLEM_NO_ROUTE = {404, "no_route", "There is no such address.", "/openapi.json lists them."};
const struct problem PROBLEM_METHOD = {405, "wrong_method", "This address does not answer this method.",
                                       "The Allow header lists those it answers."};
const struct problem PROBLEM_NO_KEY = {401, "no_key", "This call needs an API key.",
                                       "Send Authorization: Bearer KEY, or x-api-key: KEY."};
const struct problem PROBLEM_BAD_KEY = {401, "bad_key", "The API key is not known.",
                                        "Keys are made with POST /v1/admin/keys."};
const struct problem PROBLEM_EXPIRED_KEY = {401, "expired_key", "The API key has expired.",
                                            "An admin can make a new one with POST /v1/admin/keys."};
const struct problem PROBLEM_REVOKED_KEY = {401, "revoked_key", "The API key has been revoked.",
                                            "An admin can make a new one with POST /v1/admin/keys."};
const struct problem PROBLEM_SCOPE = {403, "missing_scope", "The API key does not allow this call.",
                                      "Use a key with the scope named in the detail."};
const struct problem PROBLEM_BODY_TOO_LARGE = {413, "body_too_large", "The body of the request is too large.",
                                               "Send a smaller photo, or raise the setting body_bytes."};
const struct problem PROBLEM_MEDIA_TYPE = {
    415, "unsupported_media_type", "This call does not read such a body.",
    "Send application/json, multipart/form-data, or a photo where one is taken."};
const struct problem PROBLEM_EMPTY_BODY = {
    400, "empty_body", "The body of the request is empty.",
    "Send a photo as the body, as multipart field \"image\", or as base64 in JSON; a file to take in as the body."};
const struct problem PROBLEM_BAD_TARGET = {400, "bad_address", "The address of the request is malformed.",
                                           "Escape parameters as UTF-8 with %XX."};
const struct problem PROBLEM_BAD_JSON = {400, "bad_json", "The body is not JSON that this call reads.",
                                         "Send one JSON object in UTF-8."};
const struct problem PROBLEM_BAD_MULTIPART = {400, "bad_multipart", "The body is not well-formed multipart/form-data.",
                                              "Let your HTTP library build the body; curl does with -F."};
const struct problem PROBLEM_UNKNOWN_PARAMETER = {400, "unknown_parameter", "A parameter is not known to this call.",
                                                  "/openapi.json lists the parameters of each call."};
const struct problem PROBLEM_MISSING_PARAMETER = {400, "missing_parameter", "A parameter is missing.",
                                                  "/openapi.json lists the parameters of each call."};
const struct problem PROBLEM_BAD_PARAMETER = {400, "bad_parameter",
                                              "A parameter has a value that this call does not take.",
                                              "/openapi.json lists the parameters of each call."};
const struct problem PROBLEM_QUEUE_FULL = {503, "busy", "Too many requests are waiting.",
                                           "Try again after Retry-After."};
const struct problem PROBLEM_DEADLINE = {503, "timed_out", "The request was not finished in time.",
                                         "Try again after Retry-After."};
const struct problem PROBLEM_STOPPING = {503, "stopping", "The service is being stopped.", "Try again in a moment."};
/* Nobody reads it; it stands in the log and the metrics. */
const struct problem PROBLEM_CLIENT_GONE = {503, "client_gone", "The client left before the work was begun.",
                                            "Wait for the answer."};

const struct problem PROBLEM_ONCE_KEY = {400, "bad_idempotency_key",
                                         "The Idempotency-Key is no key that this service takes.",
                                         "Send 1 to 255 bytes without control characters, such as a random UUID."};
const struct problem PROBLEM_ONCE_SECRET = {
    422, "idempotency_key_refused",
    "The answer of this call holds a secret that is shown once and never kept, so "
    "it could not be given again.",
    "Send it without an Idempotency-Key; a key that was not seen can be revoked."};
const struct problem PROBLEM_ONCE_OTHER = {422, "idempotency_key_reused",
                                           "The Idempotency-Key was used for another request.",
                                           "Send a new key with each new request."};
const struct problem PROBLEM_ONCE_UNDER_WAY = {409, "idempotency_key_under_way",
                                               "A request with this Idempotency-Key is still being carried out.",
                                               "Send it again after Retry-After for its answer."};
const struct problem PROBLEM_ONCE_ERASED = {410, "idempotency_key_erased",
                                            "This was carried out, and whom its answer told of has been erased since.",
                                            "To do it again, send a new key."};

static const struct problem SERVER_BUSY = {503, "busy", "The service is busy.", "Try again after Retry-After."};
static const struct problem TOO_LARGE = {413, "too_large", "The request needs more memory than one request may use.",
                                         "Send a smaller photo, or ask for fewer faces."};
static const struct problem MALFORMED = {400, "malformed", "The request is malformed.", "The detail says where."};
static const struct problem UNSUPPORTED = {422, "unsupported", "This is well-formed but not supported.",
                                           "The detail says what."};
static const struct problem NOT_FOUND = {404, "not_found", "There is no such thing.", "Look at the id or the name."};
static const struct problem EXISTS = {409, "exists", "It exists already.",
                                      "Choose another name, or change the existing one."};
static const struct problem CONFLICT = {409, "conflict", "The request contradicts the present state.",
                                        "The detail says how."};
static const struct problem DENIED = {403, "denied", "This is not allowed.", "The detail says why."};
static const struct problem DISK_FULL = {507, "disk_full", "The disk is full; reading goes on.",
                                         "Free space where the data folder lies."};
static const struct problem UNUSABLE = {422, "unusable", "The request is understood but cannot be carried out.",
                                        "The detail says why."};
static const struct problem INTERNAL = {500, "internal", "The service failed.",
                                        "The log has the cause under this request id."};

const struct problem *problem_of(enum err err)
{
    switch (err) {
    case ERR_NOMEM: return &SERVER_BUSY;
    case ERR_LIMIT: return &TOO_LARGE;
    case ERR_FORMAT: return &MALFORMED;
    case ERR_UNSUPPORTED: return &UNSUPPORTED;
    case ERR_NOT_FOUND: return &NOT_FOUND;
    case ERR_EXISTS: return &EXISTS;
    case ERR_CONFLICT: return &CONFLICT;
    case ERR_DENIED: return &DENIED;
    case ERR_BUSY: return &SERVER_BUSY;
    case ERR_TIMEOUT: return &PROBLEM_DEADLINE;
    case ERR_CANCELLED: return &PROBLEM_STOPPING;
    case ERR_NO_SPACE: return &DISK_FULL;
    case ERR_MISUSE: return &UNUSABLE;
    case ERR_NONE:
    case ERR_IO:
    case ERR_CORRUPT:
    case ERR_FOREIGN: return &INTERNAL;
    }
    return &INTERNAL;
}

const struct problem *problem_of_reason(enum gallery_reason reason)
{
    static const struct problem
        not_an_image = {415, "not_an_image", "The photo is not of a kind that is read.",
                        "Send a JPEG, PNG or WebP; the type is read from the bytes."},
        damaged_image = {400, "damaged_image", "The photo is damaged or cut off.", "Send the whole file again."},
        image_too_large = {413, "image_too_large", "The photo is too large.",
                           "Send a smaller one; 1500 pixels a side are plenty."},
        wrong_crop_size = {422, "wrong_crop_size", "An aligned crop must have the recogniser's input size.",
                           "Send 112 x 112 pixels, or leave out aligned."},
        no_face = {422, "no_face", "No face was found in the photo.",
                   "Send a photo that shows a face from the front, larger than 40 pixels."},
        several_faces = {422, "several_faces", "The photo shows several faces.",
                         "Crop the photo, or ask for faces=largest or faces=all."},
        low_quality = {422, "low_quality", "No face in the photo is good enough.",
                       "Send a better photo, or ask for quality=none."},
        no_such_collection = {404, "no_such_collection", "There is no such collection.",
                              "GET /v1/collections lists them."},
        no_such_subject = {404, "no_such_subject", "There is no such subject.",
                           "GET /v1/subjects?collection=... lists them."},
        no_such_face = {404, "no_such_face", "There is no such face.",
                        "GET /v1/subjects/{subject}/faces lists those of a subject."},
        no_such_model = {404, "no_such_model", "There is no such model.", "GET /v1/info lists them."},
        no_image_kept = {404, "no_image_kept", "The picture of this face was not kept.",
                         "What is kept is the collection's setting \"keep\"."},
        bad_name = {422, "bad_name", "The name cannot be used.", "The detail says why."},
        bad_metadata = {422, "bad_metadata", "The metadata cannot be used.", "Send a JSON object of at most 16 KiB."},
        bad_index = {422, "bad_index", "There is no such index.",
                     "The detail says why; null leaves the exact search alone."},
        bad_option = {422, "bad_option", "The options cannot be used.", "The detail says which."},
        bad_embedding = {422, "bad_embedding", "The embedding cannot be used.",
                         "Send finite numbers, not all of them zero."},
        wrong_dimension = {422, "wrong_dimension",
                           "The embedding has another length than the collection's model makes.",
                           "Embeddings of different models cannot be compared."},
        unsupported_rate = {422, "unsupported_rate", "The model's calibration does not reach this false match rate.",
                            "Ask for a threshold, or for a rate that the calibration covers."},
        name_taken = {409, "name_taken", "Another subject has this name.", "Choose another name."},
        duplicate = {409, "duplicate", "This photo or this face is enrolled already.",
                     "Say on_duplicate=keep to enroll it all the same."},
        not_merged = {409, "not_merged", "No merge into this subject can be undone.",
                      "Only the last merge is undone, and only while its faces are there."},
        collection_exists = {409, "collection_exists", "There is a collection of this name.", "Choose another name."},
        other_collection = {409, "other_collection", "It belongs to another collection.",
                            "Name the collection that it lives in."},
        no_model = {503, "no_model", "The daemon was started without the model that this call needs.",
                    "Start it with --detector and --recognizer."},
        model_pinned = {409, "model_pinned", "A collection does not change its model this way.",
                        "POST /v1/admin/models/{model}/activate embeds its faces again."},
        no_crops = {422, "no_crops", "Faces without a crop cannot be embedded again.",
                    "Enroll those people again, or delete the faces; keep=crop keeps crops."},
        other_crops = {422, "other_crops", "The crops that were kept have another size than the model takes.",
                       "Use a model with the same input size."},
        not_proven = {409, "not_proven", "The model was not shown to be better.", "Say force=true to use it anyway."},
        moved = {409, "moved", "The collection has changed over to another model meanwhile.", "Look, and ask again."},
        no_former_model = {409, "no_former_model", "There is no former model to go back to.",
                           "Activate a model of GET /v1/admin/models."},
        bad_model = {422, "bad_model", "The file is no recogniser that works here.", "The detail says why."},
        model_in_use = {409, "model_in_use", "The model is in use.", "Change its collections over to another first."},
        too_few = {422, "too_few", "There are too few faces or people for this.", "The detail says how many."},
        no_such_job = {404, "no_such_job", "There is no such job.", "GET /v1/admin/jobs lists them."},
        other_job = {409, "other_job", "The job cannot be used for this.", "The detail says why."};

    switch (reason) {
    case GALLERY_REASON_NONE: return NULL;
    case GALLERY_NOT_AN_IMAGE: return &not_an_image;
    case GALLERY_DAMAGED_IMAGE: return &damaged_image;
    case GALLERY_IMAGE_TOO_LARGE: return &image_too_large;
    case GALLERY_WRONG_CROP_SIZE: return &wrong_crop_size;
    case GALLERY_NO_FACE: return &no_face;
    case GALLERY_SEVERAL_FACES: return &several_faces;
    case GALLERY_LOW_QUALITY: return &low_quality;
    case GALLERY_NO_SUCH_COLLECTION: return &no_such_collection;
    case GALLERY_NO_SUCH_SUBJECT: return &no_such_subject;
    case GALLERY_NO_SUCH_FACE: return &no_such_face;
    case GALLERY_NO_SUCH_MODEL: return &no_such_model;
    case GALLERY_NO_IMAGE_KEPT: return &no_image_kept;
    case GALLERY_BAD_NAME: return &bad_name;
    case GALLERY_BAD_METADATA: return &bad_metadata;
    case GALLERY_BAD_INDEX: return &bad_index;
    case GALLERY_BAD_OPTION: return &bad_option;
    case GALLERY_BAD_EMBEDDING: return &bad_embedding;
    case GALLERY_WRONG_DIMENSION: return &wrong_dimension;
    case GALLERY_UNSUPPORTED_RATE: return &unsupported_rate;
    case GALLERY_NAME_TAKEN: return &name_taken;
    case GALLERY_DUPLICATE: return &duplicate;
    case GALLERY_NOT_MERGED: return &not_merged;
    case GALLERY_COLLECTION_EXISTS: return &collection_exists;
    case GALLERY_OTHER_COLLECTION: return &other_collection;
    case GALLERY_NO_MODEL: return &no_model;
    case GALLERY_MODEL_PINNED: return &model_pinned;
    case GALLERY_NO_CROPS: return &no_crops;
    case GALLERY_OTHER_CROPS: return &other_crops;
    case GALLERY_NOT_PROVEN: return &not_proven;
    case GALLERY_MOVED: return &moved;
    case GALLERY_NO_FORMER_MODEL: return &no_former_model;
    case GALLERY_BAD_MODEL: return &bad_model;
    case GALLERY_MODEL_IN_USE: return &model_in_use;
    case GALLERY_TOO_FEW: return &too_few;
    case GALLERY_NO_SUCH_JOB: return &no_such_job;
    case GALLERY_OTHER_JOB: return &other_job;
    }
    return NULL;
}

enum err reply_set(struct reply *reply, int status, const char *type, const void *body, size_t body_bytes)
{
    unsigned char *copy = NULL;

    if (body_bytes > 0) {
        copy = mem_copy(body, body_bytes);
        if (copy == NULL) {
            return ERR_NOMEM;
        }
    }
    mem_free_wiped(reply->body);
    reply->status = status;
    reply->type = type;
    reply->body = copy;
    reply->body_bytes = body_bytes;
    return ERR_NONE;
}

void reply_set_stream(struct reply *reply, int status, const char *type, struct reply_stream take)
{
    reply->status = status;
    reply->type = type;
    reply->stream = take;
}

void reply_release(struct reply *reply)
{
    if (reply->stream.close != NULL) {
        reply->stream.close(reply->stream.context);
    }
    mem_free_wiped(reply->body);
    *reply = (struct reply){0};
}

/* What must stay inside: sentences that name files of this machine, and the causes of failures that are ours. */
static bool detail_may_leave(const struct problem *problem, const char *detail)
{
    return detail != NULL && *detail != '\0' && problem->status != 500 && problem->status != 507 &&
           utf8_is_text(detail, strlen(detail));
}

void reply_problem(struct reply *reply, const struct problem *problem, const char *detail, const char *request_id)
{
    json_t *document = json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:s}", "type", "about:blank", "title", problem->title,
                                 "status", problem->status, "code", problem->code, "detail",
                                 detail_may_leave(problem, detail) ? detail : problem->title, "hint", problem->hint,
                                 "request_id", request_id);
    char *text = document == NULL ? NULL : json_dumps(document, JSON_COMPACT);
    json_decref(document);
    static const char bare[] = "{\"type\":\"about:blank\",\"title\":\"The service failed.\",\"code\":\"internal\"}";
    const char *body = text == NULL ? bare : text;
    if (reply_set(reply, problem->status, "application/problem+json", body, strlen(body)) != ERR_NONE) {
        reply_release(reply);
        reply->status = problem->status;
    }
    free(text); /* foreign heap: jansson's */
    reply->code = problem->code;
    reply->ask_for_key = problem->status == 401;
    if (problem->status == 503 || problem->status == 429 || problem == &PROBLEM_ONCE_UNDER_WAY) {
        reply->retry_after_s = 1;
    }
}
