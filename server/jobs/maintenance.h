/*
 * maintenance.h: the job that looks after the database file: its structure and every checksum are verified, free space goes
 * back to the file system, the write-ahead log is cut, the audit chain is recomputed.
 */
#ifndef SERVER_JOBS_MAINTENANCE_H
#define SERVER_JOBS_MAINTENANCE_H

#include "server/jobs/jobs.h"

#define MAINTENANCE_KIND "maintenance"

/* The line of the table for jobs_start.  Result:
 * {"audit_rows": n, "audit_hash": "...", "pages_given_back": n}. */
struct job_handler maintenance_handler(void);

#endif
