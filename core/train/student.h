/*
 * student.h: a recogniser that learns, and its data set as the learning part of it sees it.
 *
 * The network is taken as written.  With a cut, everything below that value is frozen: its maps are computed once for every
 * crop and kept, in a fixed number of looks: look 0 is the crop as it is, the others are augmented copies, each a function of
 * (seed, look, crop), and every epoch draws one for each crop.  Two to four looks cost memory once; augmenting afresh in
 * every epoch would cost the whole forward.  Without a cut nothing is kept, and every epoch augments afresh.
 *
 * The teacher is the network before its first step, or another one: its unit embeddings of the crops as they are.
 * One thread, which owns the pool; what the pool's threads do here is inside a call.
 */
#ifndef CORE_TRAIN_STUDENT_H
#define CORE_TRAIN_STUDENT_H

#include "core/base/cancel.h"
#include "core/base/pool.h"
#include "core/face/face.h"
#include "core/graph/graph.h"
#include "core/train/augment.h"
#include "core/train/dataset.h"
#include "core/train/parameters.h"

struct student;

struct student_options {
    const char *cut; /* name of a value through which everything passes; NULL: the whole network learns */
    struct preprocess how;
    struct augment augment;
    int looks;            /* with a cut: kept per crop, 1 or more; 0: 4 */
    uint64_t seed;        /* of the augmentation */
    bool learn_norms;     /* scales and shifts of BatchNormalization learn too */
    size_t maps_limit;    /* bytes of kept maps; 0: 2 GiB */
    const float *teacher; /* [crops of the data set, teacher_dim] unit rows of another network, copied; NULL: itself */
    int teacher_dim;      /* must be the network's own */
};

/*
 * Loads an ONNX file so that it can be learnt on: as written, constants folded, and with a free batch where the file pins it to one
 * image.
 * Owns:   *ret belongs to the caller (graph_free).
 * Errors: those of onnx_load and onnx_save: a quantised network is refused in words.
 */
MUST_CHECK enum err student_load(const void *onnx, size_t n_bytes, struct graph **ret, struct err_note *note);

/*
 * Whether most BatchNormalizations of a network were folded into its weights before it came here; then *text says what that costs
 * whoever learns with it.
 */
#define STUDENT_FOLDED_TEXT 320
bool student_is_folded(const struct graph *graph, char text[STUDENT_FOLDED_TEXT]);

/*
 * Makes a student; computes the maps below the cut and the teacher's embeddings.
 * Owns:   take (freed by student_free, also when this fails).  dataset and pool (may be NULL) must outlive the student.
 * Errors: ERR_UNSUPPORTED nothing can be learnt, or the cut does not divide the network; ERR_NOT_FOUND the cut; ERR_LIMIT
 *         maps_limit: the note says how much would be needed; ERR_CANCELLED; ERR_CORRUPT the data set; ERR_FORMAT an embedding is
 *         not finite; ERR_NOMEM.
 */
MUST_CHECK enum err student_new(struct graph *take, const struct dataset *dataset,
                                const struct student_options *options, struct pool *pool, struct cancel *cancel,
                                struct student **ret, struct err_note *note);
void student_free(struct student *student);

int student_dim(const struct student *student);
int student_count(const struct student *student); /* crops */
struct parameters *student_parameters(struct student *student);
const struct graph *student_graph(const struct student *student); /* the part that learns; for tapes */
const struct dataset *student_dataset(const struct student *student);
struct pool *student_pool(struct student *student);
const float *student_teacher(const struct student *student); /* [count, dim] unit rows */
bool student_has_other_teacher(const struct student *student);
size_t student_maps_bytes(const struct student *student);

/* What is being learnt from what: data set, network, cut, preprocessing and augmentation, for checkpoints. */
void student_hash(const struct student *student, unsigned char ret[HASH_SHA256_BYTES]);

/* ---- For one shard ------------------------------------------------------------------------------------------------ */

/* The shape of the learning part's input for n crops, without data. */
struct tensor student_input(const struct student *student, int n);

/*
 * Fills the input of crop i in an epoch into row; epoch -1: as it is, not augmented.  Any thread, an arena of its own.
 * Errors: ERR_CORRUPT the data set; ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err student_fill(const struct student *student, int i, long epoch, struct arena *mem, float *row,
                                 struct err_note *note);

/* ---- The whole set ------------------------------------------------------------------------------------------------ */

/*
 * Embeds every crop as it is, with the parameters of now.
 * Shapes: ret_u [count, dim] unit rows.
 * Errors: as student_new.
 */
MUST_CHECK enum err student_embed(struct student *student, struct cancel *cancel, float *ret_u, struct err_note *note);

/* The same for some crops.  Shapes: item [n] crops; ret_u [n, dim] unit rows in their order. */
MUST_CHECK enum err student_embed_some(struct student *student, const int *item, int n, struct cancel *cancel,
                                       float *ret_u, struct err_note *note);

/* The network with the parameters of now, as an ONNX file.  Owns: *ret is the caller's (mem_free).  Errors: those of onnx_save. */
MUST_CHECK enum err student_save(const struct student *student, unsigned char **ret, size_t *ret_bytes,
                                 struct err_note *note);

#endif
