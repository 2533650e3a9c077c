/*
 * backup.h: a copy of the database file, made while others read and write.
 */
#ifndef SERVER_STORE_BACKUP_H
#define SERVER_STORE_BACKUP_H

#include "server/store/store.h"

/*
 * Writes the state of this moment into a new file (mode 0600) and reads the copy back for structural damage.
 *
 * By the database's own backup, in one step: the copy is made from one read snapshot on a connection of its own, so writers go on
 * and the copy never starts again.  Copying in several steps with pauses starts again whenever another connection writes, and
 * may never end on a busy daemon.  Erased bytes stay in the write-ahead log until the copy is made (store_scrub).
 * The copy is one file, with no log beside it, and holds nothing beside its rows.
 * Errors: ERR_EXISTS the file; ERR_CORRUPT the copy is damaged, and so is the database most likely; the file is then removed.
 */
MUST_CHECK enum err store_backup(struct store *store, const char *path, struct err_note *note);

/*
 * Whether such a copy holds what a receipt says was erased: a face, the subject, somebody of the collection.  By row ids, which are
 * never given twice.  One that cannot be read may hold it: true.
 */
bool store_backup_holds(const char *path, const struct receipt *receipt);

#endif
