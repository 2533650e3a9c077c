/*
 * detector_train.h: the learning of a detector from labelled photos: scenes, cells, losses, steps.
 *
 * The network is detector_build's.  A step draws a batch of scenes, shares their faces out among the cells, and goes forward
 * and back in shards of a fixed number of scenes: the same bits at any number of threads.  Beside the weights stands
 * their running mean over the last few hundred steps, which is what is saved: it is better than any single step's.
 * With a checkpoint folder a run that was cut off goes on from its last checkpoint and ends with the same bits.
 */
#ifndef CORE_TRAIN_DETECTOR_TRAIN_H
#define CORE_TRAIN_DETECTOR_TRAIN_H

#include "core/base/cancel.h"
#include "core/base/pool.h"
#include "core/graph/graph.h"
#include "core/train/detector_labels.h"

struct detector_train_options {
    long steps;
    int batch, shard; /* scenes; batch is a multiple of shard */
    int side;         /* of a scene, a multiple of 32; a third of the steps take 4/3 of it */
    float rate;       /* of AdamW, after the warm-up; half a cosine down to 0 */
    float weight_decay;
    float clip;    /* greatest length of the gradient */
    float average; /* of the running mean: 1 − 1 / steps it looks back */
    float level;   /* what is learnt to be scored so is written to be scored .5; changes no step */
    uint64_t seed;
    /*
     * Norms go by the statistics that start has, as the file will that comes out, and not by those of a shard's few scenes: with
     * them a network learns to say what it will not say where it is used.
     */
    bool keep_statistics;
    const struct graph *start; /* a detector to begin from; what it lacks begins from chance; NULL: all does */

    const char *checkpoint_folder; /* exists; NULL: none */
    long checkpoint_every;         /* steps */
};

/* 20,000 steps of 16 scenes of 192 pixels in shards of 8, rate .002, decay .01, clip 10; level .5. */
struct detector_train_options detector_train_default(void);

/* One step, or the mean of those since the last one told. */
struct detector_train_step {
    long step, steps;        /* done; in all */
    float score, box, point; /* losses per cell with a face */
    float overlap;           /* of those cells' boxes with their faces */
    float rate, norm;
    double images_per_s;
};

/* Called after every step, on the thread that runs it. */
typedef void detector_train_watch(void *context, const struct detector_train_step *step);

/*
 * Trains, and makes the ONNX file of the detector.
 * Owns:   *ret is the caller's (mem_free).  pool may be NULL.
 * Errors: ERR_MISUSE options; ERR_CANCELLED: the checkpoint is that of the last whole step; ERR_CONFLICT the folder holds
 *         another run's, or start is no detector of these shapes; ERR_FORMAT the loss is no number any more, or the labels are
 *         empty; ERR_NOMEM, ERR_LIMIT, ERR_IO, ERR_NO_SPACE.
 */
MUST_CHECK enum err detector_train(const struct detector_labels *labels, const struct detector_train_options *options,
                                   struct pool *pool, struct cancel *cancel, detector_train_watch *watch, void *context,
                                   unsigned char **ret, size_t *ret_bytes, struct err_note *note);

/*
 * The ONNX file of the newest checkpoint of a run, which may be going on.
 * Errors: ERR_NOT_FOUND there is none; else as detector_train.
 */
MUST_CHECK enum err detector_train_peek(const struct detector_labels *labels,
                                        const struct detector_train_options *options, unsigned char **ret,
                                        size_t *ret_bytes, struct err_note *note);

#endif
