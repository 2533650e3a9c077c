/* op_gemm.c: Gemm and MatMul. */
#include <string.h>

#include "core/kernel/elementwise_backward.h"
#include "core/kernel/gemm.h"
#include "core/kernel/gemm_packed.h"
#include "core/kernel/kernels.h"
#include "core/op/op_private.h"

/* ---- Gemm: alpha · op(a) · op(b) + beta · c ----------------------------------------------------------------------- */

struct gemm {
    float alpha, beta;
    bool trans_a, trans_b;
    bool no_stretch; /* opset 1-6 without broadcast = 1: c has the shape of the output */
};

static enum err gemm_parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                           struct err_note *note)
{
    struct gemm *gemm = ARENA_NEW(mem, struct gemm);
    int64_t a = 0;
    int64_t b = 0;
    int64_t stretch = 0;

    if (gemm == NULL) {
        return arena_why(mem);
    }
    enum err err = attr_float(attrs, "alpha", 1, &gemm->alpha, note);
    err = err != ERR_NONE ? err : attr_float(attrs, "beta", 1, &gemm->beta, note);
    err = err != ERR_NONE ? err : attr_int(attrs, "transA", 0, &a, note);
    err = err != ERR_NONE ? err : attr_int(attrs, "transB", 0, &b, note);
    err = err != ERR_NONE ? err : attr_int(attrs, "broadcast", 0, &stretch, note);
    if (err != ERR_NONE) {
        return err;
    }
    gemm->trans_a = a != 0;
    gemm->trans_b = b != 0;
    gemm->no_stretch = opset < 7 && stretch == 0;
    *ret = gemm;
    return ERR_NONE;
}

static enum err gemm_shape(struct op_call *call, struct err_note *note)
{
    const struct gemm *gemm = call->parsed;
    const struct shape *a = &call->in[0].shape;
    const struct shape *b = &call->in[1].shape;
    char text_a[SHAPE_TEXT_BYTES];
    char text_b[SHAPE_TEXT_BYTES];
    enum err err = op_type(call, 1, OP_F32, note);

    if (err != ERR_NONE) {
        return err;
    }
    if (b->rank != 2 || a->dim[gemm->trans_a ? 0 : 1] != b->dim[gemm->trans_b ? 1 : 0]) {
        return ERR_SAY(note, ERR_FORMAT, "matrices %s and %s do not fit", shape_text(a, text_a), shape_text(b, text_b));
    }
    struct shape out = {.rank = 2, .dim = {a->dim[gemm->trans_a ? 1 : 0], b->dim[gemm->trans_b ? 0 : 1]}};
    for (int d = 0; d < 2; d++) {
        if (a->dim[d] > INT32_MAX || b->dim[d] > INT32_MAX) {
            return ERR_SAY(note, ERR_LIMIT, "matrices %s and %s are too large", shape_text(a, text_a),
                           shape_text(b, text_b));
        }
    }
    if (op_has(call, 2)) {
        struct shape both;
        err = op_type(call, 2, OP_F32, note);
        err = err != ERR_NONE ? err : op_broadcast(&out, &call->in[2].shape, &both, note);
        if (err != ERR_NONE) {
            return err;
        }
        if (!shape_equal(&both, &out) || (gemm->no_stretch && !shape_equal(&call->in[2].shape, &out))) {
            return ERR_SAY(note, ERR_FORMAT, "c of shape %s does not stretch to %s",
                           shape_text(&call->in[2].shape, text_a), shape_text(&out, text_b));
        }
    }
    return op_set(call, 0, DTYPE_F32, &out, note);
}

/* Without inner elements the product is zero. */
static void product(enum gemm_side side_a, enum gemm_side side_b, int64_t m, int64_t n, int64_t k, float alpha,
                    const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c)
{
    if (m > 0 && n > 0 && k > 0) {
        gemm_f32(side_a, side_b, m, n, k, alpha, a, lda, b, ldb, beta, c, n);
    } else if (beta == 0) {
        memset(c, 0, (size_t)(m * n) * sizeof *c);
    }
}

enum {
    GEMM_PACKED = 1 /* op_block.form */
};

/* A layer: constant weights, one bias for each column or none.  Dense in, dense out; what is gained is the packing. */
static bool gemm_block(struct op_call *call, struct op_block *ret)
{
    const struct gemm *gemm = call->parsed;
    int64_t n = call->out[0].shape.dim[1];
    int64_t k = call->in[0].shape.dim[1];
    const struct shape *bias = op_has(call, 2) ? &call->in[2].shape : NULL;

    if (gemm->trans_a || gemm->alpha != 1 || call->in[1].data == NULL || !gemm_packed_can(n, k)) {
        return false;
    }
    if (bias != NULL && (gemm->beta != 1 || call->in[2].data == NULL || bias->rank < 1 ||
                         bias->dim[bias->rank - 1] != n || shape_elements(bias) != n)) {
        return false;
    }
    *ret = (struct op_block){.form = GEMM_PACKED};
    return gemm_packed_bytes(n, k, &ret->pack_bytes);
}

static size_t gemm_pack(const struct op_call *call, const struct op_block *block, void *ret)
{
    const struct gemm *gemm = call->parsed;
    const struct epilogue *e = &call->epilogue;
    const float *slope = e->act == EPILOGUE_PRELU ? call->in[e->slope_input].data : NULL;

    return gemm_packed_fill(call->out[0].shape.dim[1], call->in[0].shape.dim[1],
                            gemm->trans_b ? GEMM_TRANSPOSED : GEMM_AS_IS, call->in[1].data,
                            op_has(call, 2) ? call->in[2].data : NULL, slope, call->half_weights, ret);
}

static enum err gemm_forward(const struct op_call *call)
{
    const struct gemm *gemm = call->parsed;
    const struct shape *a = &call->in[0].shape;
    const struct shape *b = &call->in[1].shape;
    struct tensor *out = &call->out[0];
    int64_t m = out->shape.dim[0];
    int64_t n = out->shape.dim[1];
    float *y = out->data;
    float summand = 0;
    struct finish finish = op_finish(call, -1);

    if (call->packed != NULL) {
        gemm_packed_f32(kernels()->blocks, m, n, a->dim[1], call->in[0].data, call->packed, &finish, y, call->pool);
        return ERR_NONE;
    }
    if (op_has(call, 2) && gemm->beta != 0) {
        struct strided s;
        op_stretch(&s, 0, &call->in[2].shape, &out->shape);
        strided_simplify(&s, 1);
        strided_copy(&s, call->in[2].data, y, sizeof *y);
        for (int64_t i = 0; gemm->beta != 1 && i < m * n; i++) {
            y[i] *= gemm->beta;
        }
        summand = 1;
    }
    product(gemm->trans_a ? GEMM_TRANSPOSED : GEMM_AS_IS, gemm->trans_b ? GEMM_TRANSPOSED : GEMM_AS_IS, m, n,
            a->dim[gemm->trans_a ? 0 : 1], gemm->alpha, call->in[0].data, a->dim[1], call->in[1].data, b->dim[1],
            summand, y);
    finish_columns(&finish, y, m, n, y, n);
    return ERR_NONE;
}

/* c += alpha · op(a) · op(b); c is dense. */
static void add_product(enum gemm_side side_a, enum gemm_side side_b, int64_t m, int64_t n, int64_t k, float alpha,
                        const float *a, int64_t lda, const float *b, int64_t ldb, float *c)
{
    if (c != NULL && m > 0 && n > 0 && k > 0) {
        gemm_f32(side_a, side_b, m, n, k, alpha, a, lda, b, ldb, 1, c, n);
    }
}

static enum err gemm_backward(const struct op_call *call, const struct tensor *out_grad, struct tensor *in_grad)
{
    const struct gemm *gemm = call->parsed;
    const float *a = call->in[0].data;
    const float *b = call->in[1].data;
    const float *dy = out_grad[0].data;
    float *da = in_grad[0].data;
    float *db = in_grad[1].data;
    int64_t lda = call->in[0].shape.dim[1];
    int64_t ldb = call->in[1].shape.dim[1];
    int64_t m = call->out[0].shape.dim[0];
    int64_t n = call->out[0].shape.dim[1];
    int64_t k = call->in[0].shape.dim[gemm->trans_a ? 0 : 1];
    enum gemm_side side_a = gemm->trans_a ? GEMM_TRANSPOSED : GEMM_AS_IS;
    enum gemm_side side_b = gemm->trans_b ? GEMM_TRANSPOSED : GEMM_AS_IS;

    /* The gradient of op(a) is dy · op(b)ᵀ; where a was transposed, its own is the transposed product. */
    if (gemm->trans_a) {
        add_product(side_b, GEMM_TRANSPOSED, k, m, n, gemm->alpha, b, ldb, dy, n, da);
    } else {
        add_product(GEMM_AS_IS, gemm->trans_b ? GEMM_AS_IS : GEMM_TRANSPOSED, m, k, n, gemm->alpha, dy, n, b, ldb, da);
    }
    if (gemm->trans_b) {
        add_product(GEMM_TRANSPOSED, side_a, n, k, m, gemm->alpha, dy, n, a, lda, db);
    } else {
        add_product(gemm->trans_a ? GEMM_AS_IS : GEMM_TRANSPOSED, GEMM_AS_IS, k, n, m, gemm->alpha, a, lda, dy, n, db);
    }
    if (op_has(call, 2) && in_grad[2].data != NULL) {
        struct strided s = {0};
        op_stretch(&s, 0, &call->in[2].shape, &call->out[0].shape);
        strided_simplify(&s, 2); /* the second input does not exist: its steps are all 0 */
        stretched_backward_f32(&s, gemm->beta, dy, NULL, in_grad[2].data);
    }
    return ERR_NONE;
}

/* ---- MatMul: stacks of matrices, as numpy multiplies them ---------------------------------------------------------- */

/* A vector counts as a row on the left and as a column on the right. */
static struct shape as_matrix(const struct shape *s, bool left)
{
    struct shape m = *s;

    if (s->rank == 1) {
        m.rank = 2;
        m.dim[0] = left ? 1 : s->dim[0];
        m.dim[1] = left ? s->dim[0] : 1;
    }
    return m;
}

struct stacks {
    struct shape a, b, batch; /* a and b have rank of at least 2 */
    int64_t m, n, k;
};

static enum err stacks_of(const struct op_call *call, struct stacks *ret, struct err_note *note)
{
    struct stacks s = {.a = as_matrix(&call->in[0].shape, true), .b = as_matrix(&call->in[1].shape, false)};
    char text_a[SHAPE_TEXT_BYTES];
    char text_b[SHAPE_TEXT_BYTES];

    if (call->in[1].shape.rank < 1 || s.a.dim[s.a.rank - 1] != s.b.dim[s.b.rank - 2]) {
        return ERR_SAY(note, ERR_FORMAT, "matrices %s and %s do not fit", shape_text(&call->in[0].shape, text_a),
                       shape_text(&call->in[1].shape, text_b));
    }
    s.m = s.a.dim[s.a.rank - 2];
    s.k = s.a.dim[s.a.rank - 1];
    s.n = s.b.dim[s.b.rank - 1];
    s.a.rank -= 2;
    s.b.rank -= 2;
    if (s.m > INT32_MAX || s.n > INT32_MAX || s.k > INT32_MAX) {
        return ERR_SAY(note, ERR_LIMIT, "matrices of %lld × %lld × %lld are too large", (long long)s.m, (long long)s.n,
                       (long long)s.k);
    }
    enum err err = op_broadcast(&s.a, &s.b, &s.batch, note);
    if (err == ERR_NONE) {
        *ret = s;
    }
    return err;
}

static enum err matmul_shape(struct op_call *call, struct err_note *note)
{
    struct stacks s;
    enum err err = op_type(call, 1, OP_F32, note);

    err = err != ERR_NONE ? err : stacks_of(call, &s, note);
    if (err != ERR_NONE) {
        return err;
    }
    struct shape out = s.batch;
    if (call->in[0].shape.rank > 1) {
        out.dim[out.rank++] = s.m;
    }
    if (call->in[1].shape.rank > 1) {
        out.dim[out.rank++] = s.n;
    }
    return op_set(call, 0, DTYPE_F32, &out, note);
}

/* Where the matrices of a batch lie in a and b, in matrices. */
static struct strided walk_of(const struct stacks *s)
{
    struct strided walk;

    op_stretch(&walk, 0, &s->a, &s->batch);
    op_stretch(&walk, 1, &s->b, &s->batch);
    walk.dim[walk.rank] = 1; /* strided_start counts rows: each matrix is a row of one element */
    walk.rank++;
    return walk;
}

static enum err matmul_forward(const struct op_call *call)
{
    struct stacks s = {.m = 0};

    (void)!stacks_of(call, &s, NULL); /* has succeeded in the shape rule */
    struct strided walk = walk_of(&s);
    for (int64_t i = 0; i < op_product(&s.batch, 0, s.batch.rank); i++) {
        const float *a = (const float *)call->in[0].data + strided_start(&walk, 0, i) * s.m * s.k;
        const float *b = (const float *)call->in[1].data + strided_start(&walk, 1, i) * s.k * s.n;
        product(GEMM_AS_IS, GEMM_AS_IS, s.m, s.n, s.k, 1, a, s.k, b, s.n, 0,
                (float *)call->out[0].data + i * s.m * s.n);
    }
    return ERR_NONE;
}

static enum err matmul_backward(const struct op_call *call, const struct tensor *out_grad, struct tensor *in_grad)
{
    struct stacks s = {.m = 0};

    (void)!stacks_of(call, &s, NULL); /* has succeeded in the shape rule */
    struct strided walk = walk_of(&s);
    for (int64_t i = 0; i < op_product(&s.batch, 0, s.batch.rank); i++) {
        int64_t at_a = strided_start(&walk, 0, i) * s.m * s.k;
        int64_t at_b = strided_start(&walk, 1, i) * s.k * s.n;
        const float *dy = (const float *)out_grad[0].data + i * s.m * s.n;
        float *da = in_grad[0].data == NULL ? NULL : (float *)in_grad[0].data + at_a;
        float *db = in_grad[1].data == NULL ? NULL : (float *)in_grad[1].data + at_b;
        add_product(GEMM_AS_IS, GEMM_TRANSPOSED, s.m, s.k, s.n, 1, dy, s.n, (const float *)call->in[1].data + at_b, s.n,
                    da);
        add_product(GEMM_TRANSPOSED, GEMM_AS_IS, s.k, s.n, s.m, 1, (const float *)call->in[0].data + at_a, s.k, dy, s.n,
                    db);
    }
    return ERR_NONE;
}

static const struct op_def rows[] = {
    {.domain = "",
     .name = "Gemm",
     .opset_min = 1,
     .opset_max = OP_LAST,
     .kind = OP_GEMM,
     .min_in = 2,
     .max_in = 3,
     .min_out = 1,
     .max_out = 1,
     .types = OP_F32,
     .min_rank = 2,
     .max_rank = 2,
     .takes_epilogue = true,
     .parse = gemm_parse,
     .shape = gemm_shape,
     .forward = gemm_forward,
     .block = gemm_block,
     .pack = gemm_pack,
     .backward = gemm_backward,
     .backward_in = 1U << 0 | 1U << 1},
    {.domain = "",
     .name = "MatMul",
     .opset_min = 1,
     .opset_max = OP_LAST,
     .min_in = 2,
     .max_in = 2,
     .min_out = 1,
     .max_out = 1,
     .types = OP_F32,
     .min_rank = 1,
     .max_rank = 7,
     .shape = matmul_shape,
     .forward = matmul_forward,
     .backward = matmul_backward,
     .backward_in = 1U << 0 | 1U << 1},
};
const struct op_rows op_rows_gemm = OP_ROWS(rows);
