/*
 * op.h: what an operator is to the graph.
 *
 * One operator is one struct op_def in one file of core/op, with its shape rule, its forward and (for training) its
 * backward side by side.  The graph calls them; operators never see the graph, only an op_call.
 *
 * The life of a node: parse (once, at load: attributes become a struct of the operator's own) → shape (whenever the
 * shapes of the inputs change: all checks live here) → forward (as often as it runs: no checks, no allocation).
 */
#ifndef CORE_GRAPH_OP_H
#define CORE_GRAPH_OP_H

#include "core/base/arena.h"
#include "core/base/err.h"
#include "core/base/pool.h"
#include "core/graph/tensor.h"

#define OP_MAX_INPUTS 64 /* Concat is the only operator with many */
#define OP_MAX_OUTPUTS 16

/* One attribute as the file gives it.  Texts and arrays live as long as the graph. */
struct attr {
    const char *name;
    enum attr_kind {
        ATTR_INT,
        ATTR_FLOAT,
        ATTR_TEXT,
        ATTR_INTS,
        ATTR_FLOATS,
        ATTR_TENSOR,
        ATTR_OTHER
    } kind;
    int64_t i;
    float f;
    const char *text;
    const int64_t *ints;
    const float *floats;
    size_t count; /* of ints or floats */
    struct tensor tensor;
};

struct attrs {
    const struct attr *list;
    int count;
};

/* Finds by name; NULL if absent. */
const struct attr *attr_find(const struct attrs *attrs, const char *name);
/* The value, or what the standard says when it is absent.  Errors: ERR_FORMAT present, but of another kind. */
MUST_CHECK enum err attr_int(const struct attrs *attrs, const char *name, int64_t absent, int64_t *ret,
                             struct err_note *note);
MUST_CHECK enum err attr_float(const struct attrs *attrs, const char *name, float absent, float *ret,
                               struct err_note *note);
MUST_CHECK enum err attr_text(const struct attrs *attrs, const char *name, const char *absent, const char **ret,
                              struct err_note *note);
/* count 0 and NULL when absent */
MUST_CHECK enum err attr_ints(const struct attrs *attrs, const char *name, const int64_t **ret, size_t *ret_count,
                              struct err_note *note);
MUST_CHECK enum err attr_floats(const struct attrs *attrs, const char *name, const float **ret, size_t *ret_count,
                                struct err_note *note);

/*
 * What may be fused with a convolution or a matrix product.  Before it, where the call runs in blocks: its input times scale
 * plus shift (a BatchNormalization), or a depthwise convolution with its activation.  Behind it, in this order: add the
 * residual, then the activation.
 * Only operators with op_def.takes_epilogue see one that is not empty; they append residual and slope to their inputs at
 * the indices given here (-1: none), and both have been checked by the pass that fused them.
 */
struct epilogue {
    enum epilogue_act {
        EPILOGUE_NONE,
        EPILOGUE_RELU,
        EPILOGUE_PRELU,
        EPILOGUE_LEAKY,
        EPILOGUE_CLIP
    } act;
    float low, high;              /* EPILOGUE_CLIP: bounds; EPILOGUE_LEAKY: low is the slope */
    int slope_input;              /* EPILOGUE_PRELU: one slope for each output channel, f32 [oc] */
    int residual_input;           /* same shape and type as the output */
    int scale_input, shift_input; /* one number for each input channel, f32 [c], constant; 0: none */
    struct before {
        const void *parsed; /* the depthwise convolution's attributes; NULL: there is none */
        int w, bias, slope; /* its constant inputs; bias and slope 0: none */
        enum epilogue_act act;
        float low, high;
    } before;
};

/*
 * How a call runs on images whose channels lie in blocks (core/kernel/block.h).  Of the inputs that are not constant those
 * of the mask are given in blocks, the others dense.
 */
struct op_block {
    unsigned in; /* bit i: input i */
    bool out;    /* output 0 */
    int form;    /* which packing of its constants the call wants, 0: none */
    size_t pack_bytes;
};

/* One call of an operator.  Absent optional inputs have type DTYPE_NONE and NULL data. */
struct op_call {
    const void *parsed; /* what parse made; NULL if the operator has no parse */
    int opset;
    struct epilogue epilogue;
    int n_in;
    int n_out;
    const struct tensor *in; /* n_in views; in shape(), data is NULL unless the value is known before running */
    struct tensor *out;      /* n_out views; shape() fills type and shape; forward() writes data */
    void *work;              /* work_bytes of scratch, 64-byte aligned, during forward; content undefined at entry */
    size_t work_bytes;       /* filled by shape() */
    struct pool *pool;       /* may be NULL: one thread */
    unsigned
        blocked_in;   /* bit i: input i lies in blocks of channels (core/kernel/block.h); else, and all others: dense */
    bool blocked_out; /* output 0 does */
    unsigned only_forms; /* in block(): if not 0, the bits of the forms that may be asked for */
    bool half_weights;   /* in pack(): weights are to be stored in half precision where the kernels read it */
    const void *packed;  /* the constants as op_def.pack made them, if op_def.block asked for it, else NULL */

    /* For training; all of it is zero at inference. */
    bool learning;         /* set before shape(): part of a tape, weights change from run to run, one thread */
    bool training;         /* set before shape(): BatchNormalization takes the statistics of the batch, Dropout drops */
    uint64_t seed;         /* of Dropout */
    void *saved;           /* saved_bytes that forward fills for backward; always there if training is set */
    size_t saved_bytes;    /* filled by shape() */
    size_t backward_bytes; /* filled by shape(): the scratch, as work, during backward */
};

/* What the passes and the training must recognise; every other operator is OP_OTHER to them. */
enum op_kind {
    OP_OTHER = 0,
    OP_CONV,
    OP_GEMM,
    OP_BATCH_NORM,
    OP_RELU,
    OP_PRELU,
    OP_LEAKY_RELU,
    OP_CLIP,
    OP_ADD,
    OP_IDENTITY, /* output 0 is input 0, unchanged: Identity, and Dropout at inference */
    OP_SHAPE     /* the value depends on the input's shape only */
};

/*
 * One row of what we claim: the operator in a range of opset versions, with the types and ranks it is tested with.
 * The loader refuses anything outside of all rows, naming the node.
 */
struct op_def {
    const char *domain; /* "" is the standard's own */
    const char *name;   /* "Conv" */
    int opset_min;      /* first opset version whose semantics this row implements */
    int opset_max;      /* last one */
    enum op_kind kind;
    int min_in, max_in; /* inputs, absent trailing ones not counted */
    int min_out, max_out;
    unsigned types;         /* DTYPE_BITs allowed for input 0 (the data); parse or shape checks the rest */
    int min_rank, max_rank; /* of input 0 */
    unsigned value_inputs;  /* bit i: shape() needs the value of input i, so it must be known before running */
    bool takes_epilogue;
    bool one_image; /* mixes the images of a batch (DynamicQuantizeLinear): such graphs run one image at a time */

    /*
     * Reads the attributes.  *ret, carved from mem, lives as long as the graph.  NULL: the operator has no attributes that
     * matter.  n_out is how many outputs the node has; a training-only output asked for is ERR_UNSUPPORTED.
     * Errors: ERR_FORMAT contradicts the standard; ERR_UNSUPPORTED outside the claim; ERR_LIMIT, ERR_NOMEM.
     */
    enum err (*parse)(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                      struct err_note *note);

    /*
     * Checks the inputs' types and shapes, fills type and shape of every output and work_bytes.
     * Errors: ERR_FORMAT the shapes do not fit together; ERR_UNSUPPORTED; ERR_LIMIT a size overflows.
     */
    enum err (*shape)(struct op_call *call, struct err_note *note);

    /*
     * Computes.  Outputs never alias inputs.  Returns an error only for what lies in the data (an index out of range);
     * out is then undefined.
     */
    enum err (*forward)(const struct op_call *call);

    /*
     * Asks, after shape(), whether the call may run in blocks; blocked_in tells which inputs are there in blocks already.
     * True fills ret and work_bytes anew; forward then sees blocked_in and blocked_out as answered.  NULL: it never does.
     * What it answers depends on the call's shapes alone.
     */
    bool (*block)(struct op_call *call, struct op_block *ret);
    /*
     * Packs the constants among the inputs for the form; ret has the bytes asked for, zeroed, 64-byte aligned.  Returns how
     * many of them are in use: with half_weights they may be fewer.
     */
    size_t (*pack)(const struct op_call *call, const struct op_block *block, void *ret);

    /*
     * The way back: from out_grad, the gradients of the outputs, adds to in_grad[i].data for every input where that is not
     * NULL.  call is the one that forward had, with its seed and saved; work holds backward_bytes, and of the values only
     * those are there that the masks below name.  All gradients are floats shaped like their values; two inputs may share
     * one gradient.  NULL: the operator cannot be trained through.
     */
    enum err (*backward)(const struct op_call *call, const struct tensor *out_grad, struct tensor *in_grad);
    unsigned backward_in;  /* bit i: backward reads the data of input i */
    unsigned backward_out; /* of output i */
};

#endif
