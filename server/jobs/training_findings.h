/*
 * training_findings.h: what a training's purification dropped, as findings of its job (server/store/finding_rows.h), in the form in which
 * a review's are listed and set aside.
 *
 * The child knows rows of faces and labels; whose labels they are says the list beside the frozen crops (server/gallery/freeze.h).
 */
#ifndef SERVER_JOBS_TRAINING_FINDINGS_H
#define SERVER_JOBS_TRAINING_FINDINGS_H

#include "server/store/store.h"

/* In the job's folder, written by the child: [{"face": row, "label", "subcenter", "degrees", "likely": label or -1, "likely_degrees"}],
 * the photos that the rule that was asked for drops. */
#define TRAINING_FOUND "found.json"

/*
 * Replaces the job's findings by those of the folder; with scratch from mem.  Faces and people that were deleted meanwhile are passed over.
 * Errors: ERR_FORMAT one of the two files is not what it should be; ERR_NOT_FOUND the job; ERR_NOMEM, ERR_LIMIT, ERR_BUSY, ERR_IO.
 */
MUST_CHECK enum err training_findings_take(struct store *store, int64_t job_id, const char *folder, struct arena *mem,
                                           struct err_note *note);

#endif
