/*
 * backup_job.h: the job that makes a backup (server/gallery/backup.h).  Arguments: {"actor"}.
 * Result: {"name", "bytes", "files", "ms"}.
 */
#ifndef SERVER_JOBS_BACKUP_JOB_H
#define SERVER_JOBS_BACKUP_JOB_H

#include "server/jobs/jobs.h"

#define BACKUP_KIND "backup"

/* The line of the table for jobs_start; data, the folder's path, must outlive it. */
struct job_handler backup_handler(const char *data);

#endif
