/*
 * command_index.c: the files of the index, while no daemon uses the data folder: compared with the rows, or made anew.
 *
 * Neither is ever needed: what does not fit is made again at the next start.  It tells an operator whether a disk can be trusted.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "server/command.h"
#include "server/data_folder.h"
#include "server/gallery/fill.h"
#include "server/store/collection_rows.h"
#include "server/store/model_rows.h"

#define ARENA_BYTES ((size_t)16 << 20)

struct work {
    struct filler filler;
    bool rebuild;
    bool damaged;
};

static void say(void *context, enum gallery_severity severity, const char *event, const char *sentence)
{
    (void)context;
    (void)event;
    if (severity != GALLERY_SAY_INFO) {
        (void)fprintf(stderr, "arcfaced: %s\n", sentence);
    }
}

static enum err verify_one(struct work *work, const char *name, const struct filled *what, struct err_note *note)
{
    struct fill_report report = {0};

    enum err err = fill_verify(&work->filler, what, &report, note);
    if (err != ERR_NONE) {
        return err;
    }
    bool fine = report.files.n_refused == 0 && report.n_stale == 0 && report.n_wrong == 0 && !report.codes_wrong;
    (void)printf("%s: %s: %zu faces, %" PRId64 " vectors in %zu files, %zu from the rows alone", name,
                 fine ? "fine" : "damaged", report.n_rows, report.files.n_vectors, report.files.n_taken,
                 report.n_from_rows);
    if (!fine) {
        (void)printf("; %zu files refused, %zu vectors without a row, %zu unlike their row%s: %s",
                     report.files.n_refused, report.n_stale, report.n_wrong,
                     report.codes_wrong ? ", codes unlike their vectors" : "",
                     report.reason[0] == '\0' ? "the rows are newer" : report.reason);
    }
    (void)printf("\n");
    work->damaged = work->damaged || !fine;
    return ERR_NONE;
}

static enum err rebuild_one(struct work *work, const char *name, const struct filled *what, struct err_note *note)
{
    struct index *index = NULL;
    int64_t begin = clock_monotonic_ns();

    enum err err = fill_index(&work->filler, what, true, &index, note);
    if (err != ERR_NONE) {
        return err;
    }
    err = index_save(index, note);
    if (err == ERR_NONE) {
        (void)printf("%s: %" PRId64 " faces made again from the rows, in %.1f s\n", name, index_count(index),
                     (double)(clock_monotonic_ns() - begin) * 1e-9);
    }
    index_free(index);
    return err;
}

static enum err each_collection(struct work *work, struct arena *mem, struct err_note *note)
{
    struct store_page page = {.limit = STORE_PAGE_LIMIT};
    enum err err = ERR_NONE;

    do {
        struct collection_row *rows = NULL;
        int n = 0;
        err = store_collection_list(work->filler.store, &page, mem, &rows, &n, &page.token, note);
        for (int i = 0; i < n && err == ERR_NONE; i++) {
            struct model_row model = {0};
            err = store_model_get(work->filler.store, rows[i].model_id, mem, &model, note);
            if (err == ERR_NONE) {
                const struct filled what = {
                    .collection_id = rows[i].id, .model_id = model.id, .version = model.version, .dim = model.dim};
                err = (work->rebuild ? rebuild_one : verify_one)(work, rows[i].name, &what, note);
            }
        }
    } while (err == ERR_NONE && page.token != NULL);
    return err;
}

static enum err run(const struct config *config, struct work *work, struct err_note *note)
{
    struct data_folder folder;
    struct arena *mem = arena_new(ARENA_BYTES);
    char path[PATH_MAX];

    if (mem == NULL) {
        return ERR_NOMEM;
    }
    enum err err = snprintf(path, sizeof path, "%s/arcfaced.db", config->data) < (int)sizeof path
                       ? data_folder_take(config->data, &folder, note)
                       : ERR_SAY(note, ERR_MISUSE, "the path of the data folder is too long");
    if (err == ERR_NONE) {
        struct store *store = NULL;
        err = store_open(path, NULL, &store, note);
        if (err == ERR_NONE) {
            work->filler = (struct filler){.store = store,
                                           .data = config->data,
                                           .segment_rows = (size_t)config->segment_rows,
                                           .listener = {.say = say}};
            err = each_collection(work, mem, note);
            enum err closed = store_close(store, err == ERR_NONE ? note : NULL);
            err = err == ERR_NONE ? closed : err;
        }
        data_folder_give_back(&folder);
    }
    arena_free(mem);
    return err;
}

int command_index(int argc, char **argv)
{
    struct config config;
    struct err_note note = {0};
    struct work work = {0};
    int status = EXIT_DONE;

    enum err err = config_parse(argc, argv, &config, &note);
    if (err != ERR_NONE) {
        return command_fail(EXIT_USAGE, err, &note);
    }
    if (config.n_words != 1 || (strcmp(config.words[0], "verify") != 0 && strcmp(config.words[0], "rebuild") != 0)) {
        (void)fprintf(stderr, "arcfaced: index verify or index rebuild, and --data DIR\n");
        status = EXIT_USAGE;
    } else {
        work.rebuild = strcmp(config.words[0], "rebuild") == 0;
        err = run(&config, &work, &note);
        if (err != ERR_NONE) {
            status = command_fail(EXIT_FAILED, err, &note);
        } else if (work.damaged) {
            (void)printf(
                "what does not fit is made again from the rows at the next start, or by: arcfaced index rebuild\n");
            status = EXIT_FAILED;
        }
    }
    config_release(&config);
    return status;
}
