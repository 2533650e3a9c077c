/*
 * job_private.h: a job is queued as a part of a change.
 */
#ifndef SERVER_STORE_JOB_PRIVATE_H
#define SERVER_STORE_JOB_PRIVATE_H

#include "server/store/db_private.h"
#include "server/store/job_rows.h"

/* Inserts the row of a job from its kind, collection and arguments, and fills in the rest as it then stands.
 * Errors: ERR_CONFLICT there is no such collection. */
MUST_CHECK enum err job_queue(struct db *db, struct job_row *job, struct err_note *note);

#endif
