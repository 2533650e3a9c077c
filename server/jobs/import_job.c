/* import_job.c: from the row of a job to an import, and back. */
#include "server/jobs/import_job.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cpu.h"
#include "core/base/file.h"
#include "core/base/point.h"
#include "core/base/random.h"
#include "server/store/collection_rows.h"
#include "server/store/import_rows.h"

#define WORDS_MOST 4
#define ALL_READ "{\"read\":true}" /* checkpoint: the file is not needed any more */

/* Words as the API has them; the order is the enum's. */
static const char *const faces_words[WORDS_MOST] = {"", "single", "largest", "all"};
static const char *const quality_words[WORDS_MOST] = {"none", "auto", "high", ""};
static const char *const duplicate_words[WORDS_MOST] = {"keep", "reject", "reject_any", ""};

static int word_number(const char *const words[WORDS_MOST], const char *word)
{
    for (int i = 0; word != NULL && word[0] != '\0' && i < WORDS_MOST; i++) {
        if (strcmp(words[i], word) == 0) {
            return i;
        }
    }
    return 0;
}

static bool import_path(const char *data, const char *file, char ret[PATH_MAX])
{
    return snprintf(ret, PATH_MAX, "%s/imports%s%s", data, file[0] == '\0' ? "" : "/", file) < PATH_MAX;
}

/* ---- Running ------------------------------------------------------------------------------------------------------ */

static void tell(void *context, int64_t done, int64_t total)
{
    job_run_progress(context, done, total, "bytes");
}

static enum err result_of(struct job_run *run, struct arena *mem, const char **ret)
{
    struct import_count *counts = NULL;
    int n = 0;
    int64_t others = 0;
    const char *text = "";

    enum err err = store_import_counts(job_run_store(run), job_run_row(run)->id, mem, &counts, &n, NULL);
    if (err == ERR_NONE) {
        err = store_import_count_others(job_run_store(run), job_run_row(run)->id, &others, NULL);
    }
    for (int i = 0; i < n && err == ERR_NONE; i++) { /* outcomes are words without quotes */
        text = arena_format(mem, "%s%s\"%s\":%lld", text, i == 0 ? "" : ",", counts[i].outcome, (long long)counts[i].n);
        err = text == NULL ? arena_why(mem) : ERR_NONE;
    }
    if (err == ERR_NONE) {
        *ret = arena_format(mem, "{\"outcomes\":{%s},\"also\":%lld}", text, (long long)others);
        err = *ret == NULL ? arena_why(mem) : ERR_NONE;
    }
    return err;
}

static enum err import_run(void *context, struct job_run *run, struct arena *mem, const char **ret_result,
                           struct err_note *note)
{
    const struct import_job *job = context;
    struct gallery_fault fault = {0};
    char path[PATH_MAX];
    json_t *arguments = json_loads(job_run_row(run)->arguments, 0, NULL);
    const char *file = json_string_value(json_object_get(arguments, "file"));
    int workers = job->n_workers > 0 ? job->n_workers : (cpu_count() + 1) / 2;
    struct import_plan plan = {
        .path = path,
        .collection = json_string_value(json_object_get(arguments, "collection")),
        .job_id = job_run_row(run)->id,
        .faces = (enum faces_wanted)word_number(faces_words, json_string_value(json_object_get(arguments, "faces"))),
        .quality =
            (enum quality_wanted)word_number(quality_words, json_string_value(json_object_get(arguments, "quality"))),
        .on_duplicate = (enum on_duplicate)word_number(duplicate_words,
                                                       json_string_value(json_object_get(arguments, "on_duplicate"))),
        .actor = json_string_value(json_object_get(arguments, "actor")),
        .n_workers = workers,
        .arena_bytes = job->arena_bytes,
        .cancel = job_run_cancel(run),
        .progress = tell,
        .context = run};
    enum err err = ERR_NONE;

    if (file == NULL || strchr(file, '/') != NULL || !import_path(job->data, file, path)) {
        err = ERR_SAY(note, ERR_CORRUPT, "the job's arguments name no file");
    } else {
        bool was_read = job_run_row(run)->checkpoint != NULL && strcmp(job_run_row(run)->checkpoint, ALL_READ) == 0;
        err = was_read ? ERR_NONE : gallery_import(job->gallery, &plan, &fault);
        *note = fault.note;
        enum err counted = result_of(run, mem, ret_result);
        err = err == ERR_NONE ? counted : err;
        /* The row says that nothing is left to read before the file goes: the job may have to go on between the two. */
        bool known = err != ERR_NONE || was_read || job_run_checkpoint(run, ALL_READ, NULL) == ERR_NONE;
        if (known && !job_run_goes_on(run, err)) {
            (void)unlink(path);
            point_reached("import.removed");
        }
    }
    json_decref(arguments);
    return err;
}

struct job_handler import_handler(struct import_job *context)
{
    return (struct job_handler){
        .kind = IMPORT_KIND, .resumable = true, .tries_again = true, .context = context, .run = import_run};
}

/* ---- Queueing ----------------------------------------------------------------------------------------------------- */

/* The bytes reach the disk before the row that promises them. */
static enum err file_take(const char *from, const char *folder, const char *to, struct err_note *note)
{
    enum err err = folder_make(folder, note);
    int fd = err == ERR_NONE ? open(from, O_RDONLY | O_CLOEXEC) : -1;

    if (err != ERR_NONE) {
        return err;
    }
    if (fd < 0 || fsync(fd) != 0 || rename(from, to) != 0) {
        err = ERR_SAY(note, err_from_errno(errno), "the file that was sent cannot be kept");
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return err == ERR_NONE ? folder_sync(folder, note) : err;
}

static enum err row_add(struct store *store, const char *file, const struct import_request *request,
                        const struct collection_row *collection, int64_t *ret_id, struct err_note *note)
{
    char arguments[1024];
    json_t *document = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "file", file, "collection", collection->name,
                                 "faces", faces_words[request->faces], "quality", quality_words[request->quality],
                                 "on_duplicate", duplicate_words[request->on_duplicate], "actor", request->actor);
    size_t n = document == NULL ? 0 : json_dumpb(document, arguments, sizeof arguments - 1, JSON_COMPACT);

    json_decref(document);
    if (n == 0 || n >= sizeof arguments) {
        return ERR_NOMEM;
    }
    arguments[n] = '\0';
    return store_job_add(store, IMPORT_KIND, collection->id, arguments, request->actor, request->replay, ret_id, note);
}

enum err import_job_add(struct store *store, const char *data, const char *upload_path,
                        const struct import_request *request, struct arena *mem, int64_t *ret_id,
                        struct gallery_fault *fault)
{
    struct collection_row collection = {0};
    char folder[PATH_MAX];
    char path[PATH_MAX];
    char file[RANDOM_UUID_TEXT];

    enum err err = store_collection_find(store, request->collection, mem, &collection, &fault->note);
    if (err == ERR_NOT_FOUND) {
        fault->reason = GALLERY_NO_SUCH_COLLECTION;
    }
    if (err != ERR_NONE) {
        return err;
    }
    random_uuid(file);
    if (!import_path(data, "", folder) || !import_path(data, file, path)) {
        return ERR_SAY(&fault->note, ERR_MISUSE, "the path of the data folder is too long");
    }
    err = file_take(upload_path, folder, path, &fault->note);
    point_reached("import.taken");
    if (err == ERR_NONE) {
        err = row_add(store, file, request, &collection, ret_id, &fault->note);
        if (err != ERR_NONE) {
            (void)unlink(path);
        }
    }
    return err;
}

void import_job_tidy(struct store *store, const char *data)
{
    char folder[PATH_MAX];
    DIR *dir = import_path(data, "", folder) ? opendir(folder) : NULL;

    if (dir == NULL) {
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        bool wanted = true;
        if (entry->d_name[0] != '.' && store_job_wants_file(store, entry->d_name, &wanted, NULL) == ERR_NONE &&
            !wanted) {
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }
    (void)closedir(dir);
}
