/*
 * generate_job.h: the job that makes pictures of a person (server/gallery/generate.h).
 *
 * Arguments: {"count", "steps", "seconds", "seed"}; whose pictures stands in a row that is erased with the subject.  Result:
 * {"collection", "model", "subject": id or null, "pictures": [{"number", "cosine"}], "batch_norms", "convolutions", "prior": what is left of it, in words, "seconds"}.
 * After a stop of the daemon it begins again: the same seed makes the same pictures.
 */
#ifndef SERVER_JOBS_GENERATE_JOB_H
#define SERVER_JOBS_GENERATE_JOB_H

#include "server/gallery/gallery.h"
#include "server/jobs/jobs.h"

struct generate_job {
    struct gallery *gallery;
    const char *data; /* the folder */
};

/* The line of the table for jobs_start; job must outlive it. */
struct job_handler generate_handler(struct generate_job *job);

#endif
