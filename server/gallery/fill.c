/* fill.c: files first, then what they lack. */
#include "server/gallery/fill.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "server/gallery/fill_rows.h"
#include "server/store/anchor_rows.h"
#include "server/store/embedding_rows.h"

static void say(const struct filler *filler, enum gallery_severity severity, const char *event, const char *format, ...)
    PRINTF_LIKE(4, 5);
static void say(const struct filler *filler, enum gallery_severity severity, const char *event, const char *format, ...)
{
    char sentence[512];
    va_list args;

    if (filler->listener.say != NULL) {
        va_start(args, format);
        (void)vsnprintf(sentence, sizeof sentence, format, args);
        va_end(args);
        filler->listener.say(filler->listener.context, severity, event, sentence);
    }
}

static bool has_files(const struct filler *filler)
{
    return filler->data != NULL && filler->data[0] != '\0';
}

static enum err folder_of(const struct filler *filler, const struct filled *what, char ret[PATH_MAX],
                          struct err_note *note)
{
    if (snprintf(ret, PATH_MAX, "%s/index/%" PRId64 "_%" PRId64, filler->data, what->collection_id, what->model_id) >=
        PATH_MAX) {
        return ERR_SAY(note, ERR_MISUSE, "the path of the data folder is too long");
    }
    return ERR_NONE;
}

/* ---- Whose and when ---------------------------------------------------------------------------------------------- */

static enum err owner_of(const struct filler *filler, const struct filled *what, unsigned char ret[INDEX_OWNER_BYTES],
                         struct err_note *note)
{
    char database[STORE_DATABASE_ID_TEXT];
    char text[256];

    enum err err = store_database_id(filler->store, database, note);
    if (err == ERR_NONE) {
        int n = snprintf(text, sizeof text, "%s collection %" PRId64 " model %s", database, what->collection_id,
                         what->version);
        hash_sha256(text, (size_t)n, ret);
    }
    return err;
}

static bool accept(void *context, const struct index_moment *moment)
{
    struct store_anchor anchor;
    bool holds = false;

    memcpy(&anchor, moment->bytes, sizeof anchor);
    return store_anchor_holds(context, &anchor, &holds, NULL) == ERR_NONE && holds;
}

static enum err now(void *context, struct index_moment *ret, struct err_note *note)
{
    struct store_anchor anchor;
    _Static_assert(sizeof anchor == sizeof ret->bytes, "a moment is an anchor");

    enum err err = store_anchor_now(context, &anchor, note);
    if (err == ERR_NONE) {
        memcpy(ret->bytes, &anchor, sizeof anchor);
    }
    return err;
}

static enum err files_of(const struct filler *filler, const struct filled *what, char folder[PATH_MAX],
                         struct index_files *ret, struct err_note *note)
{
    *ret = (struct index_files){
        .folder = folder, .accept = accept, .now = now, .context = filler->store, .map_saved = filler->map_saved};
    enum err err = folder_of(filler, what, folder, note);
    return err == ERR_NONE ? owner_of(filler, what, ret->owner, note) : err;
}

/* ---- From the rows ----------------------------------------------------------------------------------------------- */

/* Adds the wanted faces, ascending, or all; those that were deleted a moment ago are not there any more. */
static enum err add_rows(const struct filler *filler, const struct filled *what, struct index *index,
                         const int64_t *wanted, size_t n_wanted, struct err_note *note)
{
    struct fill_rows *rows = NULL;

    enum err err = fill_rows_begin(index, what->dim, wanted, n_wanted, &rows, note);
    if (err == ERR_NONE) {
        err = store_embedding_each(filler->store, what->collection_id, what->model_id,
                                   wanted == NULL ? 0 : wanted[0] - 1, fill_rows_take, rows, note);
        err = fill_rows_end(rows, err, note);
    }
    return err;
}

/* ---- From files -------------------------------------------------------------------------------------------------- */

/* The ids that the rows have, read while files are being checked. */
struct known_ids {
    const struct filler *filler;
    const struct filled *what;
    pthread_t thread;
    bool started;
    int64_t *ids;
    size_t n;
    enum err err;
    struct err_note note;
};

static void *read_ids(void *context)
{
    struct known_ids *known = context;

    known->err = store_embedding_ids(known->filler->store, known->what->collection_id, known->what->model_id,
                                     &known->ids, &known->n, &known->note);
    return NULL;
}

/* Where there is no thread to be had, they are read at the end. */
static void known_ids_begin(struct known_ids *known)
{
    known->started = pthread_create(&known->thread, NULL, read_ids, known) == 0;
}

static void known_ids_end(struct known_ids *known)
{
    if (known->started) {
        (void)pthread_join(known->thread, NULL);
    } else {
        (void)read_ids(known);
    }
}

/* What the files hold is made equal to what the rows say.  Shapes: ids [n], ascending. */
static enum err follow_rows(const struct filler *filler, const struct filled *what, struct index *index,
                            int64_t n_in_files, const int64_t *ids, size_t n, struct err_note *note)
{
    int64_t *missing = MEM_ARRAY(int64_t, n + 1);
    size_t n_missing = 0;
    enum err err = ERR_NONE;

    if (missing == NULL) {
        err = ERR_SAY(note, ERR_NOMEM, "no memory for the ids of %zu faces", n);
    }
    if (err == ERR_NONE) {
        err = index_reconcile(index, ids, n, missing, &n_missing, note);
    }
    int64_t n_removed = n_in_files - ((int64_t)n - (int64_t)n_missing);
    if (err == ERR_NONE && n_removed > 0) {
        say(filler, GALLERY_SAY_WARN, "index_stale",
            "collection %" PRId64 ": %" PRId64 " faces in the index's files are not in the rows; they are overwritten",
            what->collection_id, n_removed);
    }
    if (err == ERR_NONE && n_missing > 0) {
        err = add_rows(filler, what, index, missing, n_missing, note);
    }
    mem_free(missing);
    return err;
}

static enum err take_files(const struct filler *filler, const struct filled *what, bool fresh, struct index *index,
                           struct index_load_report *ret, struct err_note *note)
{
    char folder[PATH_MAX];
    struct index_files files;

    enum err err = files_of(filler, what, folder, &files, note);
    if (err == ERR_NONE && fresh) {
        err = index_files_destroy(folder, note);
    }
    return err == ERR_NONE ? index_load(index, &files, ret, note) : err;
}

/* Files, and what they lack; *ret says what came of the files, nothing of which is an error. */
static enum err fill_from_files(const struct filler *filler, const struct filled *what, bool fresh, struct index *index,
                                struct index_load_report *ret, struct err_note *note)
{
    struct known_ids known = {.filler = filler, .what = what};
    struct err_note why = {0};

    if (!fresh) { /* else there are no files to compare with */
        known_ids_begin(&known);
    }
    enum err err = take_files(filler, what, fresh, index, ret, &why);
    if (!fresh) {
        known_ids_end(&known);
    }
    if (err != ERR_NONE && err != ERR_NOMEM) { /* without files it takes longer to start, and is as good */
        say(filler, GALLERY_SAY_WARN, "index_without_files", "collection %" PRId64 " keeps no files: %s",
            what->collection_id, why.text[0] == '\0' ? err_word(err) : why.text);
    }
    if (err == ERR_NOMEM) {
        err = ERR_SAY(note, err, "%s", why.text);
    } else {
        err = ERR_NONE;
    }
    if (err == ERR_NONE && known.err != ERR_NONE) {
        err = ERR_SAY(note, known.err, "%s", known.note.text);
    }
    if (err == ERR_NONE && ret->n_taken > 0) {
        err = follow_rows(filler, what, index, ret->n_vectors, known.ids, known.n, note);
    }
    mem_free(known.ids);
    return err;
}

static enum err fill(const struct filler *filler, const struct filled *what, bool fresh, struct index *index,
                     struct err_note *note)
{
    struct index_load_report report = {0};
    int64_t begin = clock_monotonic_ns();
    enum err err = has_files(filler) ? fill_from_files(filler, what, fresh, index, &report, note) : ERR_NONE;

    if (err == ERR_NONE && report.n_refused > 0) {
        say(filler, GALLERY_SAY_WARN, "index_refused",
            "collection %" PRId64 ": %zu files of the index are of no use, and made again from the rows: %s",
            what->collection_id, report.n_refused, report.reason);
    }
    if (err == ERR_NONE && report.n_taken == 0) {
        err = add_rows(filler, what, index, NULL, 0, note);
    }
    if (err == ERR_NONE && index_count(index) > 0) {
        say(filler, GALLERY_SAY_INFO, "index_ready",
            "collection %" PRId64 ": %" PRId64 " faces, %" PRId64 " of them from %zu files, in %.2f s",
            what->collection_id, index_count(index), report.n_vectors, report.n_taken,
            (double)(clock_monotonic_ns() - begin) * 1e-9);
    }
    return err;
}

enum err fill_index(const struct filler *filler, const struct filled *what, bool fresh, struct index **ret,
                    struct err_note *note)
{
    struct index *index = NULL;

    enum err err = index_new_segmented(what->dim, filler->segment_rows == 0 ? INDEX_SEGMENT_ROWS : filler->segment_rows,
                                       &index, note);
    if (err == ERR_NONE) {
        err = fill(filler, what, fresh, index, note);
    }
    if (err != ERR_NONE) {
        index_free(index);
        return err;
    }
    *ret = index;
    return ERR_NONE;
}

void fill_destroy(const struct filler *filler, const struct filled *what)
{
    char folder[PATH_MAX];
    struct err_note note = {0};

    if (!has_files(filler)) {
        return;
    }
    enum err err = folder_of(filler, what, folder, &note);
    if (err == ERR_NONE) {
        err = index_files_destroy(folder, &note);
    }
    if (err != ERR_NONE) {
        say(filler, GALLERY_SAY_ERROR, "index_files", "files of an index cannot be removed: %s", note.text);
    }
}

/* "12_3" is collection 12 with model 3; false for names that are not ours. */
static bool ids_of(const char *name, int64_t *ret_collection_id, int64_t *ret_model_id)
{
    char *end = NULL;

    *ret_collection_id = strtoll(name, &end, 10);
    if (end == name || *end != '_') {
        return false;
    }
    name = end + 1;
    *ret_model_id = strtoll(name, &end, 10);
    return end != name && *end == '\0';
}

enum err fill_sweep(const struct filler *filler, bool (*wanted)(void *context, int64_t collection_id, int64_t model_id),
                    void *context, struct err_note *note)
{
    char folder[PATH_MAX];
    char path[PATH_MAX];
    enum err err = ERR_NONE;

    if (!has_files(filler) || snprintf(folder, sizeof folder, "%s/index", filler->data) >= (int)sizeof folder) {
        return ERR_NONE;
    }
    DIR *entries = opendir(folder);
    if (entries == NULL) {
        return errno == ENOENT ? ERR_NONE : ERR_SAY(note, err_from_errno(errno), "cannot read %s", folder);
    }
    for (const struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        int64_t collection_id = 0;
        int64_t model_id = 0;
        if (ids_of(entry->d_name, &collection_id, &model_id) && !wanted(context, collection_id, model_id) &&
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) < (int)sizeof path) {
            enum err failed = index_files_destroy(path, note);
            err = err == ERR_NONE ? failed : err;
        }
    }
    (void)closedir(entries);
    return err;
}

/* ---- Verifying --------------------------------------------------------------------------------------------------- */

struct verifying {
    struct index *index;
    struct fill_report *report;
    float *vector;
};

static enum err compare(void *context, int64_t face_id, const float *vector, int dim)
{
    struct verifying *verifying = context;
    struct fill_report *report = verifying->report;

    report->n_rows++;
    if (index_get(verifying->index, face_id, verifying->vector, NULL) != ERR_NONE) {
        report->n_from_rows++;
    } else if (memcmp(verifying->vector, vector, (size_t)dim * sizeof *vector) != 0) {
        if (report->n_wrong++ == 0 && report->reason[0] == '\0') {
            (void)snprintf(report->reason, sizeof report->reason, "face %" PRId64 " has another vector in its row",
                           face_id);
        }
    }
    return ERR_NONE;
}

static enum err verify(const struct filler *filler, const struct filled *what, struct index *index,
                       struct fill_report *report, struct err_note *note)
{
    struct verifying verifying = {
        .index = index, .report = report, .vector = mem_new((size_t)what->dim, sizeof(float))};
    struct index_files files;
    char folder[PATH_MAX];
    struct err_note codes = {0};

    if (verifying.vector == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory to verify an index");
    }
    enum err err = files_of(filler, what, folder, &files, note);
    if (err == ERR_NONE) {
        files.look_only = true;
        err = index_load(index, &files, &report->files, note);
    }
    if (err == ERR_NONE) {
        (void)snprintf(report->reason, sizeof report->reason, "%s", report->files.reason);
        err = store_embedding_each(filler->store, what->collection_id, what->model_id, 0, compare, &verifying, note);
    }
    if (err == ERR_NONE) {
        report->n_stale = (size_t)report->files.n_vectors - (report->n_rows - report->n_from_rows);
        err = index_check_codes(index, &codes);
    }
    if (err == ERR_CORRUPT && codes.text[0] != '\0') {
        report->codes_wrong = true;
        if (report->reason[0] == '\0') {
            (void)snprintf(report->reason, sizeof report->reason, "%s", codes.text);
        }
        err = ERR_NONE;
    }
    mem_free_wiped(verifying.vector);
    return err;
}

enum err fill_verify(const struct filler *filler, const struct filled *what, struct fill_report *ret,
                     struct err_note *note)
{
    struct fill_report report = {0};
    struct index *index = NULL;

    enum err err = index_new(what->dim, &index, note);
    if (err == ERR_NONE) {
        err = verify(filler, what, index, &report, note);
    }
    index_free(index);
    if (err == ERR_NONE) {
        *ret = report;
    }
    return err;
}
