/* command_restore.c: a data folder from a backup, while no daemon runs on it. */
#include <stdio.h>

#include "core/base/point.h"
#include "server/command.h"
#include "server/data_folder.h"
#include "server/gallery/backup.h"

static void tell(const struct restore_report *report, const char *data)
{
    (void)printf("restored the backup of %s into %s: %lld files, %lld bytes\n", report->backup.name, data,
                 (long long)report->backup.n_files, (long long)report->backup.n_bytes);
    (void)printf("verified: every file's SHA-256, the database's structure, every embedding, crop and photo,\n"
                 "          and the audit chain of %lld entries up to %s\n",
                 (long long)report->n_audit_rows, report->audit_hash);
}

int command_restore(int argc, char **argv)
{
    const char *from = NULL;
    struct config config;
    struct data_folder folder;
    struct restore_report report;
    struct err_note note = {0};

    if (!command_option(&argc, argv, "--from", &from) || from == NULL) {
        (void)fprintf(stderr, "arcfaced: restore --from BACKUP --data DIR: which backup?\n");
        return EXIT_USAGE;
    }
    enum err err = config_parse(argc, argv, &config, &note);
    if (err != ERR_NONE) {
        return command_fail(EXIT_USAGE, err, &note);
    }
    point_arm(config.kill_at);
    int status = EXIT_DONE;
    err = data_folder_take(config.data, &folder, &note);
    if (err == ERR_NONE) {
        err = backup_restore(from, config.data, &report, &note);
        data_folder_give_back(&folder);
    }
    if (err == ERR_NONE) {
        tell(&report, config.data);
    } else {
        status = command_fail(EXIT_FAILED, err, &note);
    }
    config_release(&config);
    return status;
}
