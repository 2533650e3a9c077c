/*
 * import_job.h: the job that imports a file (server/gallery/import.h), which lies in DATA/imports until it has ended.
 *
 * Arguments: {"file", "collection", "faces", "quality", "on_duplicate", "actor"}.  Result: {"outcomes": {"enrolled": n, ...},
 * "also": n}, the parts whose face another subject had already.
 */
#ifndef SERVER_JOBS_IMPORT_JOB_H
#define SERVER_JOBS_IMPORT_JOB_H

#include "server/gallery/import.h"
#include "server/jobs/jobs.h"

#define IMPORT_KIND "import"

struct import_job {
    struct gallery *gallery;
    const char *data; /* the data folder */
    int n_workers;    /* 0: half of the processors */
    size_t arena_bytes;
};

/* The line of the table for jobs_start; context must outlive it. */
struct job_handler import_handler(struct import_job *context);

struct import_request {
    const char *collection;
    enum faces_wanted faces;
    enum quality_wanted quality;
    enum on_duplicate on_duplicate;
    const char *actor;
    const struct replay *replay; /* the answer to keep, made from the job's struct job_row; NULL: none */
};

/*
 * Takes a file (by renaming it; it must lie in the same file system) and queues the job.
 * Errors: GALLERY_NO_SUCH_COLLECTION; as err_from_errno, and those of the rows: the file is then where it was, or gone.
 */
MUST_CHECK enum err import_job_add(struct store *store, const char *data, const char *upload_path,
                                   const struct import_request *request, struct arena *mem, int64_t *ret_id,
                                   struct gallery_fault *fault);

/* Removes files that no job waits for: of jobs that ended just when the daemon did.  At start. */
void import_job_tidy(struct store *store, const char *data);

#endif
