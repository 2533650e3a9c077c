/*
 * embed.h: a crop becomes a vector of length 1 whose cosine with another says how alike the two are.
 *
 * Wraps one recogniser network.  A recogniser is immutable and shared; the session that runs it belongs to one thread.
 */
#ifndef CORE_FACE_EMBED_H
#define CORE_FACE_EMBED_H

#include "core/face/face.h"
#include "core/graph/session.h"

struct recognizer;

struct recognizer_options {
    struct preprocess how;
    bool flip; /* embed the mirrored crop too, add both raw vectors, then normalise */
};

/*
 * Takes a sealed graph (freed by recognizer_free, also when this fails).  The embedding size and the crop's side are read
 * from the graph by running it once.
 * Errors: ERR_UNSUPPORTED not a recogniser: not one image input of three channels, or not one vector as output.
 */
MUST_CHECK enum err recognizer_new(struct graph *take, const struct recognizer_options *options,
                                   struct recognizer **ret, struct err_note *note);
void recognizer_free(struct recognizer *recognizer);

const struct graph *recognizer_graph(const struct recognizer *recognizer);
int recognizer_dim(const struct recognizer *recognizer);       /* floats in an embedding */
int recognizer_side(const struct recognizer *recognizer);      /* pixels of a crop's side: 112 */
int recognizer_max_batch(const struct recognizer *recognizer); /* 1 if the graph pins or mixes its batch */

/* True if the graph's own first nodes normalise (Sub and Mul, or a BatchNormalization on the input), so that raw 0..255
 * belongs into it when there is no manifest. */
bool recognizer_normalises_itself(const struct graph *graph);

/*
 * Embeds crops.
 * Shapes: n crops of side × side; ret holds n × dim floats, rows of unit length; ret_norms (may be NULL) the n lengths
 *         before normalising.
 * Errors: ERR_MISUSE a crop of another size; ERR_FORMAT the network returned something not finite, or zero; ERR_LIMIT,
 *         ERR_NOMEM.
 */
MUST_CHECK enum err recognizer_run(const struct recognizer *recognizer, struct session *session,
                                   const struct image *crops, int n, struct arena *mem, float *ret, float *ret_norms,
                                   struct err_note *note);

#endif
