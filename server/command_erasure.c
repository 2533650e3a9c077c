/*
 * command_erasure.c: whether anything of what was erased still lies in the data folder.
 *
 * Reads files and nothing else, so it may run beside the daemon; only the unused space of the database is not looked at then,
 * because its pages change.  What a backup holds is said and is no failure: it was made to hold it, and the receipt names it.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "server/command.h"
#include "server/data_folder.h"
#include "server/gallery/remains.h"
#include "server/store/store.h"

#define BACKUPS "backups/"

struct telling {
    int64_t n_outside; /* of backups */
};

static void tell(void *context, const struct remains_found *found)
{
    struct telling *telling = context;
    bool backup = strncmp(found->file, BACKUPS, strlen(BACKUPS)) == 0;

    telling->n_outside += backup ? 0 : 1;
    (void)printf("%s: %s holds %lld of %lld pieces of %s, the first at byte %lld\n", backup ? "in a backup" : "FOUND",
                 found->file, (long long)found->n_pieces, (long long)found->n_pieces_of, found->name,
                 (long long)found->offset);
}

static enum err look_for(const struct config *config, struct telling *telling, struct err_note *note)
{
    struct remains *remains = NULL;
    struct remains_summary summary;

    enum err err = remains_new(&remains);
    for (int i = 0; err == ERR_NONE && i < config->n_words; i++) {
        err = remains_add_file(remains, config->words[i], note);
    }
    if (err == ERR_NONE) {
        err = remains_scan(remains, config->data, tell, telling, &summary, note);
    }
    if (err == ERR_NONE) {
        (void)printf("looked for %d vectors, crops and photos in %lld files, %lld bytes: %lld of them outside of "
                     "backups hold something\n",
                     remains_count(remains), (long long)summary.n_files, (long long)summary.n_bytes,
                     (long long)telling->n_outside);
    }
    remains_free(remains);
    return err;
}

/* With the folder taken: nothing but rows in the database file, and nothing in its log. */
static enum err look_beside_rows(const char *data, struct telling *telling, struct err_note *note)
{
    char path[PATH_MAX];
    struct stat status;
    int64_t n_bytes = 0;

    (void)snprintf(path, sizeof path, "%s/arcfaced.db-wal", data);
    if (stat(path, &status) == 0 && status.st_size > 0) {
        (void)printf("the daemon was killed and its log is not folded in: start and stop it once\n");
        telling->n_outside++;
        return ERR_NONE;
    }
    (void)snprintf(path, sizeof path, "%s/arcfaced.db", data);
    enum err err = store_unused_bytes(path, &n_bytes, note);
    if (err == ERR_NONE) {
        (void)printf("%s: arcfaced.db holds %lld bytes that belong to no row\n", n_bytes == 0 ? "good" : "FOUND",
                     (long long)n_bytes);
        telling->n_outside += n_bytes == 0 ? 0 : 1;
    }
    return err;
}

int command_verify_erasure(int argc, char **argv)
{
    struct config config;
    struct data_folder folder;
    struct telling telling = {0};
    struct stat status;
    struct err_note note = {0};

    enum err err = config_parse(argc, argv, &config, &note);
    if (err != ERR_NONE) {
        return command_fail(EXIT_USAGE, err, &note);
    }
    if (stat(config.data, &status) != 0 || !S_ISDIR(status.st_mode)) {
        err = ERR_SAY(&note, ERR_NOT_FOUND, "there is no data folder %s", config.data);
    }
    if (err == ERR_NONE && config.n_words > 0) {
        err = look_for(&config, &telling, &note);
    }
    if (err == ERR_NONE) {
        err = data_folder_take(config.data, &folder, &note);
        if (err == ERR_NONE) {
            err = look_beside_rows(config.data, &telling, &note);
            data_folder_give_back(&folder);
        } else if (err == ERR_BUSY) {
            (void)printf("a daemon runs: the unused space of the database was not looked at by itself\n");
            err = ERR_NONE;
        }
    }
    int code = err != ERR_NONE          ? command_fail(EXIT_FAILED, err, &note)
               : telling.n_outside == 0 ? EXIT_DONE
                                        : EXIT_FAILED;
    config_release(&config);
    return code;
}
