/*
 * invert.h: faces from embeddings: pictures that a recogniser takes for a person, found by descending through it.
 *
 * The ArcFace paper's section 3.3 (open set): from noise, by Adam, down
 *
 *     |f(I)/|f(I)| − target|²  +  prior · (what BatchNormalization remembers, prior.h)  +  variation  +  energy
 *
 * All pictures of a batch are found together, since the prior compares the statistics of a batch; pictures of many people
 * are a better sample than many of one (below eight people the last layer's statistics are left out), and statistics that follow over steps (follow) stand in for the hundreds of
 * pictures that no CPU has room for.  The picture is a canvas (levels of falling size), and what the network sees of it in a step is a
 * glance (shifted, mirrored, in other light), so that another recogniser agrees.
 *
 * Not: whose embedding it is, or whether anybody may see the picture (server).
 * One call at a time per graph is no need: the graph is only read.  The same options, targets and parts give the same bits at
 * any number of threads, unless the budget ends the run.
 */
#ifndef CORE_TRAIN_INVERT_H
#define CORE_TRAIN_INVERT_H

#include "core/base/arena.h"
#include "core/base/cancel.h"
#include "core/base/pool.h"
#include "core/face/face.h"
#include "core/graph/graph.h"
#include "core/train/glance.h"
#include "core/train/prior.h"

/* After every step. */
struct invert_state {
    long step, steps;
    double seconds;
    double way;    /* 0 .. 1: of the steps or of the budget, whichever is farther */
    double cosine; /* mean of what was seen in this step */
    double prior, variation, energy;
};

struct invert_options {
    struct preprocess how;
    enum prior_form form;
    float prior; /* weight of each term beside the identity's */
    float variation;
    float energy;
    float follow; /* share of a step's batch in the statistics that are compared: 1: they are the batch's */
    struct glance_limits glances;
    float start;          /* deviation of the noise that every level begins with */
    float colour, detail; /* canvas.h */
    float even;           /* share of the way on which left and right are alike; then they part, until the end */
    int coarsest;         /* canvas.h: a side of the lowest level; the input's side: pixels alone */
    float together;       /* share of the way on which mostly what all pictures have in common moves */
    long steps;
    float rate;     /* of Adam; falls with half a cosine over the second half */
    double seconds; /* budget; 0: none */
    uint64_t seed;
    int part;              /* pictures that one thread holds at a time */
    size_t memory_limit;   /* bytes of activations and gradients, of all pictures; 0: 8 GiB */
    struct pool *pool;     /* may be NULL */
    struct cancel *cancel; /* may be NULL */
    void (*tell)(void *context, const struct invert_state *state);
    void *tell_context;
};

/* What found good faces on a CPU (core/train/README.md has the trials); the preprocessing is left to the caller. */
struct invert_options invert_defaults(void);

/* What is left to lean on in a network. */
struct invert_memory {
    int norms;        /* BatchNormalizations with stored statistics */
    int64_t channels; /* of all of them */
    int convolutions;
};
struct invert_memory invert_memory_of(const struct graph *graph);

/* The same for a person; false if most of it was folded away, which the text says then. */
#define INVERT_MEMORY_TEXT 256
bool invert_memory_say(const struct invert_memory *memory, char text[INVERT_MEMORY_TEXT]);

/*
 * Finds one picture for each target.
 * Shapes: targets [n, dim], any length above 0; ret [n] images of the network's side, ret_cosine [n]: of the network's embedding of the
 *         finished picture, added to that of its mirror image, and the target.
 * Owns:   the images are carved from mem.  graph: as written, sealed.
 * Errors: ERR_UNSUPPORTED the network's form, or an operator without a way back; ERR_MISUSE no targets, or of another length
 *         than the network's output; ERR_CANCELLED; ERR_FORMAT the network returned no number; ERR_LIMIT memory_limit, or mem is spent; ERR_NOMEM.
 */
MUST_CHECK enum err invert_run(const struct graph *graph, const struct invert_options *options, const float *targets,
                               int n, int dim, struct arena *mem, struct image *ret, float *ret_cosine,
                               struct err_note *note);

#endif
