/*
 * batch.h: crops of several requests embedded in one run.
 *
 * A network is faster for each of eight crops than for one alone.  As many runs go on at one time as there are processors;
 * who comes while all are taken waits, and the next run takes everybody who waits for the same model, up to a limit.  With
 * nothing else to do a request runs at once and alone.  If others are known to be on their way (their photo is being decoded
 * or looked at), a run may wait a little for them.
 * Models that mix the images of a batch run one by one.
 * Any thread.
 */
#ifndef SERVER_GALLERY_BATCH_H
#define SERVER_GALLERY_BATCH_H

#include "server/gallery/gallery_private.h"

struct batcher;

struct batch_plan {
    int crops;       /* most in one run; 1: every request by itself */
    int64_t wait_ns; /* how long a run waits for others that are on their way */
    int runs;        /* at one time */
};

MUST_CHECK enum err batcher_new(const struct batch_plan *plan, struct batcher **ret);
void batcher_free(struct batcher *batcher); /* nobody waits any more */

/* The worker's request will probably embed soon; said again, or taken back, it counts once. */
void batch_expect(struct gallery_worker *worker);
void batch_forget(struct gallery_worker *worker);

/*
 * Embeds n crops.
 * Shapes: as recognizer_run.
 * Errors: as recognizer_run and worker_session; those of another request in the same run are not this one's.
 */
MUST_CHECK enum err batch_embed(struct gallery_worker *worker, struct model *model, const struct image *crops, int n,
                                float *ret, float *ret_norms, struct gallery_fault *fault);

/* How many runs there were, and how many crops they embedded. */
struct batch_counts {
    int64_t runs, crops;
};
struct batch_counts batch_counts(struct batcher *batcher);

#endif
