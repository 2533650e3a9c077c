/*
 * backup.h: everything that a daemon needs to begin again: its rows and its models, in a folder of their own.
 *
 * DATA/backups/TIME/ holds arcfaced.db, models/ and backup.json, which lists every file with its SHA-256.  A folder with a name
 * is complete; one that is being made has a hidden name.  Indexes are not in it: they are made from the rows.
 * A backup holds what was there when it was made, also what is erased later: receipts of erasures name the backups that hold it.
 */
#ifndef SERVER_GALLERY_BACKUP_H
#define SERVER_GALLERY_BACKUP_H

#include "core/base/arena.h"
#include "server/store/store.h"

#define BACKUP_NAME_TEXT 32 /* 2026-01-31T12-34-56.789Z */

struct backup_info {
    char name[BACKUP_NAME_TEXT];
    int64_t at_ms;
    int64_t n_bytes;
    int64_t n_files;
};

/*
 * Makes a backup while others read and write.  The audit log gets an entry.
 * Errors: ERR_NO_SPACE, ERR_DENIED, ERR_IO, ERR_CORRUPT: nothing is left of it then.
 */
MUST_CHECK enum err backup_make(struct store *store, const char *data, const char *actor, struct backup_info *ret,
                                struct err_note *note);

/* The complete backups of a data folder, oldest first; one whose backup.json cannot be read is left out.
 * Owns: carved from mem. */
MUST_CHECK enum err backup_list(const char *data, struct arena *mem, struct backup_info **ret, int *ret_count);

/*
 * The names of the backups that hold what a receipt says was erased, and of those that may: damaged ones, and one that is being
 * made.
 * Owns: carved from mem.
 */
MUST_CHECK enum err backup_names_holding(const char *data, const struct receipt *receipt, struct arena *mem,
                                         const char ***ret, int *ret_count);

struct restore_report {
    struct backup_info backup;
    int64_t n_audit_rows;
    char audit_hash[65];
};

/*
 * Makes a data folder from a backup.  Everything is copied into a hidden folder inside it and verified there (each file's SHA-256,
 * the structure, every checksum of the rows, the audit chain), and only then put in its place, the database last.
 * Errors: ERR_EXISTS the data folder holds something (a lock file does not count); ERR_CORRUPT the backup is damaged: the note says
 *         where; ERR_NOT_FOUND it is no backup; ERR_UNSUPPORTED a newer arcfaced made it; ERR_NO_SPACE, ERR_IO.
 */
MUST_CHECK enum err backup_restore(const char *from, const char *data, struct restore_report *ret,
                                   struct err_note *note);

#endif
