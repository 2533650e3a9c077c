/*
 * import_lines.c: the lines of an export (export.h), packed by gzip or not: embeddings that were computed before.
 *
 * The first line names the model, and must name the collection's: embeddings of different networks cannot be compared.  Lines
 * are enrolled some hundred at a time in one transaction, because a transaction for each would take weeks for millions.
 */
#include <jansson.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/kernel/scan.h"
#include "server/gallery/also.h"
#include "server/gallery/export.h"
#include "server/gallery/import_private.h"
#include "server/gallery/line_face.h"
#include "server/gallery/unpack.h"
#include "server/store/enroll.h"
#include "server/store/subject_rows.h"

#define LINE_BYTES ((size_t)4 << 20) /* the longest: an embedding of 4096 numbers with a crop of 512 pixels */
#define READ_BYTES ((size_t)256 << 10)
#define LINES_AT_ONCE 256
#define BATCH_BYTES ((size_t)24 << 20) /* of the worker's arena; then the batch is full */
#define WORKER_BYTES ((size_t)128 << 20)
#define OTHERS_BYTES ((size_t)48 << 20) /* for the question who else has the faces of a batch */

struct lines {
    struct import *import;
    struct gallery_worker *worker;
    struct collection_row collection;
    struct pair *pair;

    struct unpack_source *text;
    char *buffer;
    size_t begin, end; /* of what was read and not yet used */
    int64_t number;
    bool at_end; /* the line that says so was there */

    struct enroll batch[LINES_AT_ONCE];
    struct import_mark marks[LINES_AT_ONCE];
    struct enrolled enrolled[LINES_AT_ONCE];
    int n_batch;

    struct arena *others; /* emptied after each batch */
    float threshold;      /* from which a face of another subject is the same */
};

/* ---- Lines -------------------------------------------------------------------------------------------------------- */

/* The next line without its end; *ret NULL behind the last. */
static enum err line_next(struct lines *lines, const char **ret, size_t *ret_bytes, struct err_note *note)
{
    for (;;) {
        char *from = lines->buffer + lines->begin;
        char *newline = memchr(from, '\n', lines->end - lines->begin);
        if (newline != NULL) {
            *ret = from;
            *ret_bytes = (size_t)(newline - from);
            lines->begin += *ret_bytes + 1;
            lines->number++;
            return ERR_NONE;
        }
        memmove(lines->buffer, from, lines->end - lines->begin);
        lines->end -= lines->begin;
        lines->begin = 0;
        if (lines->end >= LINE_BYTES) {
            return ERR_SAY(note, ERR_LIMIT, "line %lld is longer than %zu bytes", (long long)lines->number + 1,
                           LINE_BYTES);
        }
        size_t n = 0;
        enum err err = unpack_text_read(lines->text, lines->buffer + lines->end, READ_BYTES, &n, note);
        if (err != ERR_NONE) {
            return err;
        }
        if (n == 0) {
            *ret = lines->end == 0 ? NULL : lines->buffer;
            *ret_bytes = lines->end;
            lines->begin = lines->end;
            lines->number += lines->end != 0;
            return ERR_NONE;
        }
        lines->end += n;
    }
}

/* ---- Who else has them -------------------------------------------------------------------------------------------- */

/* The lines of a batch against the index, and against those before them in the batch, which it does not hold yet. */
struct asking {
    struct lines *lines;
    float *vectors; /* [n, dim] */
    struct also *found;
    struct err_note *refused; /* a sentence where a line is refused */
};

static enum err asking_make(struct lines *lines, struct asking *ret)
{
    size_t n = (size_t)lines->n_batch;
    size_t dim = (size_t)lines->pair->model->dim;
    struct asking a = {.lines = lines,
                       .vectors = arena_alloc(lines->others, n * dim, sizeof(float)),
                       .found = ARENA_ARRAY(lines->others, struct also, n),
                       .refused = ARENA_ARRAY(lines->others, struct err_note, n)};

    if (a.vectors == NULL || a.found == NULL || a.refused == NULL) {
        return spent(lines->others);
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(a.vectors + i * dim, lines->batch[i].faces[0].embedding, dim * sizeof(float));
    }
    *ret = a;
    return ERR_NONE;
}

static enum err ask_index(const struct asking *asking, struct err_note *note)
{
    struct lines *lines = asking->lines;
    int n = lines->n_batch;
    struct also_probe *probes = ARENA_ARRAY(lines->others, struct also_probe, n);
    enum err err = probes == NULL ? spent(lines->others) : ERR_NONE;

    for (int i = 0; i < n && err == ERR_NONE; i++) {
        struct subject_row subject = {0};
        err = store_subject_find_name(lines->import->gallery->store, lines->collection.id, lines->batch[i].subject_name,
                                      lines->others, &subject, NULL);
        err = err == ERR_NOT_FOUND ? ERR_NONE : err;
        probes[i] = (struct also_probe){.subject_id = subject.id,
                                        .subject_name = lines->batch[i].subject_name,
                                        .photo_sha256 = lines->batch[i].photo.sha256};
    }
    return err != ERR_NONE ? err
                           : also_find(lines->worker, lines->pair, lines->collection.id, lines->threshold, probes,
                                       asking->vectors, n, lines->others, asking->found, note);
}

/* What of a line is told about another subject's face; of each subject the nearest. */
struct told {
    struct import_also *rows;
    const char *names[ALSO_MOST];
    int n;
};

static void tell(struct told *told, const char *name, struct import_also row)
{
    int i = 0;

    while (i < told->n && strcmp(told->names[i], name) != 0) {
        i++;
    }
    bool nearer = i < told->n && (!told->rows[i].has_cosine || told->rows[i].cosine < row.cosine);
    if (i == ALSO_MOST || (i < told->n && !nearer)) {
        return;
    }
    told->names[i] = name;
    told->rows[i] = row;
    told->n += i == told->n;
}

/* A line before this one in the batch that has the face under another name: the sentence if that refuses it, else it is told. */
static void tell_batch(const struct asking *asking, int i, bool refuses, struct told *told)
{
    const struct lines *lines = asking->lines;
    size_t dim = (size_t)lines->pair->model->dim;
    const char *name = lines->batch[i].subject_name;

    for (int k = 0; k < i && asking->refused[i].text[0] == '\0'; k++) {
        bool there = asking->refused[k].text[0] == '\0' && strcmp(name, lines->batch[k].subject_name) != 0;
        float cosine =
            there ? scan_best()->dot(asking->vectors + (size_t)i * dim, asking->vectors + (size_t)k * dim, dim) : -1;
        if (!there || cosine < lines->threshold) {
            continue;
        }
        if (refuses) {
            (void)ERR_SAY(&asking->refused[i], ERR_EXISTS, "line %lld has this face already, cosine %.3f",
                          (long long)lines->marks[k].number, (double)cosine);
        }
        tell(told, lines->batch[k].subject_name,
             (struct import_also){.number = lines->marks[k].number, .has_cosine = true, .cosine = cosine});
    }
}

static enum err line_others(const struct asking *asking, int i)
{
    struct lines *lines = asking->lines;
    const struct also *found = &asking->found[i];
    bool refuses = lines->import->plan->on_duplicate == DUPLICATE_REJECT_ANY;
    struct told told = {.rows = ARENA_ARRAY(lines->others, struct import_also, ALSO_MOST)};

    if (told.rows == NULL) {
        return spent(lines->others);
    }
    for (int k = 0; k < found->n; k++) {
        const struct also_face *face = &found->faces[k];
        tell(&told, face->subject_name,
             (struct import_also){.face_id = face->row_id, .has_cosine = face->has_cosine, .cosine = face->cosine});
    }
    if (refuses && also_matches(found, lines->threshold)) {
        also_say(found, &asking->refused[i]);
        return ERR_NONE;
    }
    tell_batch(asking, i, refuses, &told);
    lines->marks[i].also = told.rows;
    lines->marks[i].n_also = told.n;
    return ERR_NONE;
}

/* ---- Batches ------------------------------------------------------------------------------------------------------ */

static void follow(void *context)
{
    struct lines *lines = context;

    for (int i = 0; i < lines->n_batch; i++) {
        live_added(lines->import->gallery->live, lines->collection.id, &lines->enrolled[i].faces[0].id,
                   lines->batch[i].faces[0].embedding, 1);
    }
}

/* Takes the one that could not be enrolled out of the batch; the rest is tried again. */
static enum err batch_drop(struct lines *lines, int failed, enum err err, struct gallery_fault *fault)
{
    const char *outcome = err == ERR_EXISTS ? gallery_reason_word(GALLERY_DUPLICATE) : import_outcome(err, fault);

    if (failed >= lines->n_batch || outcome == NULL) {
        return err;
    }
    err = import_failed(lines->import, lines->marks[failed].number, "", outcome, fault->note.text, NULL);
    lines->n_batch--;
    for (int i = failed; i < lines->n_batch; i++) {
        lines->batch[i] = lines->batch[i + 1];
        lines->marks[i] = lines->marks[i + 1];
    }
    *fault = (struct gallery_fault){0};
    return err;
}

/* A failure to ask is no reason not to enroll, but for who must know. */
static enum err batch_ask(struct lines *lines, struct gallery_fault *fault)
{
    struct asking asking = {0};
    int n = lines->n_batch;
    int n_dropped = 0;

    enum err err = n == 0 ? ERR_NONE : asking_make(lines, &asking);
    if (err == ERR_NONE && n > 0) {
        err = ask_index(&asking, &fault->note);
    }
    for (int i = 0; i < n && err == ERR_NONE; i++) {
        err = line_others(&asking, i);
    }
    if (err != ERR_NONE && lines->import->plan->on_duplicate != DUPLICATE_REJECT_ANY) {
        *fault = (struct gallery_fault){0};
        return ERR_NONE;
    }
    for (int i = 0; i < n && err == ERR_NONE; i++) {
        if (asking.refused[i].text[0] != '\0') {
            fault->note = asking.refused[i];
            err = batch_drop(lines, i - n_dropped, ERR_EXISTS, fault);
            n_dropped++;
        }
    }
    return err;
}

static enum err batch_enroll(struct lines *lines, struct gallery_fault *fault)
{
    const struct after_commit after = {.call = follow, .context = lines};

    while (lines->n_batch > 0) {
        enum err err;
        int failed = 0;
        for (int i = 0; i < lines->n_batch; i++) {
            lines->batch[i].mark = &lines->marks[i];
        }
        err = store_enroll_many(lines->import->gallery->store, lines->batch, lines->n_batch, &after, lines->worker->mem,
                                lines->enrolled, &failed, &fault->note);
        if (err == ERR_NONE) {
            break;
        }
        err = batch_drop(lines, failed, err, fault);
        if (err != ERR_NONE) {
            return err;
        }
    }
    return ERR_NONE;
}

static enum err batch_write(struct lines *lines, struct gallery_fault *fault)
{
    bool refuses = lines->import->plan->on_duplicate == DUPLICATE_REJECT_ANY;

    if (refuses) {
        (void)pthread_mutex_lock(&lines->import->gallery->refusing);
    }
    enum err err = batch_ask(lines, fault);
    if (err == ERR_NONE) {
        err = batch_enroll(lines, fault);
    }
    if (refuses) {
        (void)pthread_mutex_unlock(&lines->import->gallery->refusing);
    }
    arena_reset_wiped(lines->others);
    if (err != ERR_NONE) {
        return err;
    }
    lines->n_batch = 0;
    gallery_worker_reset(lines->worker);
    gallery_worker_begin(lines->worker, &(struct gallery_request){.actor = lines->import->plan->actor,
                                                                  .cancel = lines->import->plan->cancel});
    return import_flush(lines->import, &fault->note);
}

/* ---- The file ----------------------------------------------------------------------------------------------------- */

static enum err face_take(struct lines *lines, const json_t *face, struct gallery_fault *fault)
{
    if (import_is_done(lines->import, lines->number)) {
        return ERR_NONE;
    }
    const struct line_target target = {.worker = lines->worker,
                                       .collection = &lines->collection,
                                       .pair = lines->pair,
                                       .refuse_duplicates = lines->import->plan->on_duplicate != DUPLICATE_KEEP};
    enum err err = line_face_read(&target, face, &lines->batch[lines->n_batch], fault);
    if (err == ERR_NONE) {
        lines->marks[lines->n_batch] =
            (struct import_mark){.job_id = lines->import->plan->job_id, .number = lines->number, .name = ""};
        lines->n_batch++;
        return ERR_NONE;
    }
    const char *outcome = import_outcome(err, fault);
    if (outcome == NULL || err == ERR_LIMIT) { /* the arena is ours to size */
        return err;
    }
    err = import_failed(lines->import, lines->number, "", outcome, fault->note.text, NULL);
    *fault = (struct gallery_fault){0};
    return err;
}

static enum err header_check(const struct lines *lines, const json_t *line, struct gallery_fault *fault)
{
    const char *model = line_text(line, "model");
    const char *type = line_text(line, "type");

    if (type == NULL || strcmp(type, "header") != 0 || model == NULL) {
        return ERR_SAY(&fault->note, ERR_FORMAT,
                       "the first line is not {\"type\":\"header\",\"model\":...}: it must name the embeddings' model");
    }
    if (json_integer_value(json_object_get(line, "format")) > EXPORT_FORMAT) {
        return ERR_SAY(&fault->note, ERR_UNSUPPORTED, "the file was written by a newer arcfaced");
    }
    if (strcmp(model, lines->pair->model->version) != 0) {
        return ERR_SAY(&fault->note, ERR_CONFLICT, "the embeddings are of model %.64s, the collection uses %.64s",
                       model, lines->pair->model->version);
    }
    return ERR_NONE;
}

static enum err line_take(struct lines *lines, const char *text, size_t n_bytes, struct gallery_fault *fault)
{
    json_error_t error;

    if (n_bytes == 0) {
        return ERR_NONE;
    }
    json_t *line = json_loadb(text, n_bytes, JSON_REJECT_DUPLICATES, &error);
    const char *type = line_text(line, "type");
    enum err err;
    if (lines->number == 1) {
        err = header_check(lines, line, fault);
    } else if (type != NULL && strcmp(type, "face") == 0) {
        err = face_take(lines, line, fault);
    } else if (type != NULL && strcmp(type, "end") == 0) {
        lines->at_end = true;
        err = ERR_NONE;
    } else {
        err = import_failed(lines->import, lines->number, "", err_word(ERR_FORMAT),
                            line == NULL ? "the line is not JSON" : "the line is neither a face nor the end", NULL);
    }
    json_decref(line);
    return err;
}

static enum err lines_walk(struct lines *lines, struct gallery_fault *fault)
{
    for (;;) {
        const char *text = NULL;
        size_t n_bytes = 0;
        enum err err = line_next(lines, &text, &n_bytes, &fault->note);
        if (err == ERR_NONE && text != NULL) {
            err = line_take(lines, text, n_bytes, fault);
        }
        bool full = lines->n_batch == LINES_AT_ONCE || arena_used_bytes(lines->worker->mem) >= BATCH_BYTES;
        if (err == ERR_NONE && (full || text == NULL)) {
            err = batch_write(lines, fault);
            if (err == ERR_NONE) {
                err = import_goes_on(lines->import, unpack_position(lines->text));
            }
        }
        if (err != ERR_NONE) {
            return err;
        }
        if (text == NULL) {
            break;
        }
    }
    if (!lines->at_end) {
        return ERR_SAY(&fault->note, ERR_FORMAT,
                       "the file ends after %lld lines without its line \"end\": what there was is enrolled, but the "
                       "export was cut off",
                       (long long)lines->number);
    }
    return ERR_NONE;
}

static enum err open_and_walk(struct lines *lines, struct gallery_fault *fault)
{
    const struct import_plan *plan = lines->import->plan;
    struct unpack_limits limits = unpack_limits_default();

    gallery_worker_begin(lines->worker, &(struct gallery_request){.actor = plan->actor, .cancel = plan->cancel});
    enum err err = find_pair(lines->worker, plan->collection, &lines->collection, &lines->pair, fault);
    if (err != ERR_NONE) {
        return err;
    }
    err = also_threshold(lines->worker, &lines->collection, lines->pair, &lines->threshold, fault);
    if (err != ERR_NONE) {
        live_unref(lines->import->gallery->live, lines->pair);
        return err;
    }
    lines->collection.name = NULL; /* they lived in the worker's arena, which is emptied between batches */
    lines->collection.model = lines->collection.settings = NULL;
    if (lines->import->file_bytes > limits.total_bytes) {
        limits.total_bytes = lines->import->file_bytes; /* as it is, a file may be as large as it could be sent */
    }
    err = unpack_text_open(plan->path, &limits, &lines->text, &fault->note);
    if (err == ERR_NONE) {
        err = lines_walk(lines, fault);
        unpack_close(lines->text);
    }
    live_unref(lines->import->gallery->live, lines->pair);
    return err;
}

enum err import_lines(struct import *import, struct gallery_fault *fault)
{
    struct lines *lines = MEM_NEW(struct lines);
    enum err err = ERR_NOMEM;

    if (lines != NULL) {
        lines->import = import;
        lines->buffer = mem_new(LINE_BYTES + READ_BYTES, 1);
        lines->others = arena_new(OTHERS_BYTES);
        err = lines->buffer == NULL || lines->others == NULL
                  ? ERR_NOMEM
                  : gallery_worker_new(import->gallery, WORKER_BYTES, &lines->worker);
        if (err == ERR_NONE) {
            err = open_and_walk(lines, fault);
        }
        gallery_worker_free(lines->worker);
        arena_free(lines->others);
        mem_free_wiped(lines->buffer);
    }
    mem_free(lines);
    return err;
}
