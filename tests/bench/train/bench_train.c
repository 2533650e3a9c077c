/*
 * bench_train.c: what a training step costs: the convolutions of a network forward and back, ours beside im2col with OpenBLAS
 * and oneDNN, layer by layer and one after the other within every round; then the whole step of a tape.
 *
 *   bench_train NETWORK THREADS ROUNDS        NETWORK is r18 or mbf; OMP_NUM_THREADS for oneDNN is the caller's
 *
 * A batch is 32 images; ours and im2col take it in four parts of eight, as training does.  Prints one line a way:
 * "convs r18 2 ours 12.3" is images a second by all convolutions together (each layer's best round), "step ..." of whole steps.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/kernel/conv_backward.h"
#include "core/kernel/conv_learn.h"
#include "core/kernel/conv_private.h"
#include "core/kernel/gemm.h"
#include "core/train/build.h"
#include "core/train/tape.h"
#include "tests/bench/train/peer_onednn.h"

enum {
    BATCH = 32,
    PART = 8,
    PARTS = BATCH / PART,
    MOST_THREADS = 16,
    COLUMN_FLOATS = 256 * 1024 /* of a tile of im2col: what was best for this baseline */
};

/* channels in and out, side, kernel, stride, pad, groups, how many of them the network has */
struct layer {
    int ci, co, side, kernel, stride, pad, groups, count;
};

static const struct layer r18[] = {
    {3, 64, 112, 3, 1, 1, 1, 1},   {64, 64, 112, 3, 1, 1, 1, 1},  {64, 64, 112, 3, 2, 1, 1, 1},
    {64, 64, 112, 1, 2, 0, 1, 1},  {64, 64, 56, 3, 1, 1, 1, 2},   {64, 128, 56, 3, 1, 1, 1, 1},
    {128, 128, 56, 3, 2, 1, 1, 1}, {64, 128, 56, 1, 2, 0, 1, 1},  {128, 128, 28, 3, 1, 1, 1, 2},
    {128, 256, 28, 3, 1, 1, 1, 1}, {256, 256, 28, 3, 2, 1, 1, 1}, {128, 256, 28, 1, 2, 0, 1, 1},
    {256, 256, 14, 3, 1, 1, 1, 2}, {256, 512, 14, 3, 1, 1, 1, 1}, {512, 512, 14, 3, 2, 1, 1, 1},
    {256, 512, 14, 1, 2, 0, 1, 1}, {512, 512, 7, 3, 1, 1, 1, 2},  {0},
};
static const struct layer mbf[] = {
    {3, 128, 112, 3, 2, 1, 1, 1},    {128, 128, 56, 3, 1, 1, 64, 1},  {128, 128, 56, 1, 1, 0, 1, 1},
    {128, 128, 56, 3, 2, 1, 128, 1}, {128, 128, 28, 1, 1, 0, 1, 9},   {128, 128, 28, 3, 1, 1, 128, 4},
    {128, 256, 28, 1, 1, 0, 1, 1},   {256, 256, 28, 3, 2, 1, 256, 1}, {256, 256, 14, 1, 1, 0, 1, 13},
    {256, 256, 14, 3, 1, 1, 256, 6}, {256, 512, 14, 1, 1, 0, 1, 1},   {512, 512, 14, 3, 2, 1, 512, 1},
    {512, 256, 7, 1, 1, 0, 1, 1},    {256, 256, 7, 1, 1, 0, 1, 4},    {256, 256, 7, 3, 1, 1, 256, 2},
    {256, 512, 7, 1, 1, 0, 1, 1},    {512, 512, 7, 7, 1, 0, 512, 1},  {0},
};

/* With one thread its own time: a busy machine disturbs that less than the clock on the wall. */
static double now_ms(int threads)
{
    return (double)(threads == 1 ? clock_thread_cpu_ns() : clock_monotonic_ns()) * 1e-6;
}

static void die(const char *what)
{
    (void)fprintf(stderr, "bench_train: %s\n", what);
    exit(1);
}

static void *room(size_t count)
{
    void *block = mem_new_huge(count, sizeof(float));

    if (block == NULL) {
        die("no memory");
    }
    return block;
}

static float *numbers(size_t count)
{
    float *list = room(count);
    struct random random = random_seeded(5, 7);

    for (size_t i = 0; i < count; i++) {
        list[i] = (float)random_uniform(&random) - .5F;
    }
    return list;
}

/* One layer's tensors, and the scratch and the gradient of the weights of each thread. */
struct problem {
    struct conv_shape s; /* of one part */
    bool first;          /* nobody wants the gradient of the images */
    size_t in, out, weights;
    float *x, *w, *y, *dy, *dx;
    float *work[MOST_THREADS], *dw[MOST_THREADS];
    int threads;
};

static struct problem problem_of(const struct layer *l, int threads)
{
    int to = (l->side + 2 * l->pad - l->kernel) / l->stride + 1;
    struct problem p = {.s = {.n = PART,
                              .groups = l->groups,
                              .ic = l->ci / l->groups,
                              .oc = l->co / l->groups,
                              .in = {1, l->side, l->side},
                              .kernel = {1, l->kernel, l->kernel},
                              .stride = {1, l->stride, l->stride},
                              .dilation = {1, 1, 1},
                              .pad = {0, l->pad, l->pad},
                              .out = {1, to, to}},
                        .first = l->ci == 3,
                        .threads = threads};
    size_t forward = 0;
    size_t back = 0;
    size_t columns = (size_t)p.s.ic * (size_t)conv_taps(&p.s) * 64;

    if (!conv_learn_f32_work_bytes(&p.s, &forward) || !conv_backward_f32_work_bytes(&p.s, &back)) {
        die("a layer is too large");
    }
    columns = columns > COLUMN_FLOATS ? columns : COLUMN_FLOATS;
    size_t work = (forward > back ? forward : back) / sizeof(float) + 1;
    p.in = (size_t)(p.s.groups * p.s.ic * conv_in_pixels(&p.s));
    p.out = (size_t)(p.s.groups * p.s.oc * conv_out_pixels(&p.s));
    p.weights = (size_t)(p.s.groups * p.s.oc * p.s.ic * conv_taps(&p.s));
    p.x = numbers(BATCH * p.in);
    p.w = numbers(p.weights);
    p.y = room(BATCH * p.out);
    p.dy = numbers(BATCH * p.out);
    p.dx = room(BATCH * p.in);
    for (int t = 0; t < threads; t++) {
        p.work[t] = room(work > columns ? work : columns);
        p.dw[t] = room(p.weights);
    }
    return p;
}

static void release(struct problem *p)
{
    mem_free(p->x);
    mem_free(p->w);
    mem_free(p->y);
    mem_free(p->dy);
    mem_free(p->dx);
    for (int t = 0; t < p->threads; t++) {
        mem_free(p->work[t]);
        mem_free(p->dw[t]);
    }
}

/* ---- Ways ---------------------------------------------------------------------------------------------------------- */

static void ours(struct problem *p, int thread, int part)
{
    const struct finish none = {0};
    size_t in = (size_t)part * PART * p->in;
    size_t out = (size_t)part * PART * p->out;

    conv_learn_f32(&p->s, p->x + in, p->w, &none, p->y + out, p->work[thread]);
    conv_backward_f32(&p->s, p->x + in, p->w, p->dy + out, p->first ? NULL : p->dx + in, p->dw[thread], NULL,
                      p->work[thread]);
}

/* Dense layers as one would write them with OpenBLAS at hand; those of a channel each as ours. */
static void im2col(struct problem *p, int thread, int part)
{
    const struct conv_shape *s = &p->s;
    int64_t pixels = conv_out_pixels(s);
    int64_t depth = s->ic * conv_taps(s);
    int64_t tile = COLUMN_FLOATS / depth > 64 ? COLUMN_FLOATS / depth : 64;
    bool pointwise = conv_is_pointwise(s);
    float *columns = p->work[thread];

    if (s->groups > 1) {
        ours(p, thread, part);
        return;
    }
    tile = pointwise || tile > pixels ? pixels : tile;
    for (int64_t n = 0; n < s->n; n++) {
        const float *x = p->x + ((size_t)part * PART + (size_t)n) * p->in;
        float *y = p->y + ((size_t)part * PART + (size_t)n) * p->out;
        const float *dy = p->dy + ((size_t)part * PART + (size_t)n) * p->out;
        float *dx = p->dx + ((size_t)part * PART + (size_t)n) * p->in;
        for (int64_t at = 0; at < pixels; at += tile) {
            int64_t count = pixels - at < tile ? pixels - at : tile;
            const float *right = pointwise ? x : columns;
            int64_t row = pointwise ? pixels : count;
            if (!pointwise) {
                conv_fill_columns(s, x, at, at + count, columns);
            }
            gemm_f32(GEMM_AS_IS, GEMM_AS_IS, s->oc, count, depth, 1, p->w, depth, right, row, 0, y + at, pixels);
            if (!pointwise) { /* a step goes back much later: the patches are made again */
                conv_fill_columns(s, x, at, at + count, columns);
            }
            gemm_f32(GEMM_AS_IS, GEMM_TRANSPOSED, s->oc, depth, count, 1, dy + at, pixels, right, row, 1, p->dw[thread],
                     depth);
            if (p->first) {
                continue;
            }
            gemm_f32(GEMM_TRANSPOSED, GEMM_AS_IS, depth, count, s->oc, 1, p->w, depth, dy + at, pixels,
                     pointwise ? 1 : 0, pointwise ? dx : columns, row);
            if (!pointwise) {
                conv_add_columns(s, columns, at, at + count, dx);
            }
        }
    }
}

struct parts {
    void (*way)(struct problem *p, int thread, int part);
    struct problem *p;
};

static void some_parts(void *context, int thread)
{
    struct parts *parts = context;

    for (int part = thread; part < PARTS; part += parts->p->threads) {
        parts->way(parts->p, thread, part);
    }
}

static double time_parts(struct pool *pool, struct problem *p, void (*way)(struct problem *p, int thread, int part))
{
    struct parts parts = {way, p};
    double start = now_ms(p->threads);

    pool_run(pool, p->threads, some_parts, &parts);
    return now_ms(p->threads) - start;
}

static double time_onednn(struct peer *peer, int threads)
{
    double start = now_ms(threads);

    peer_run(peer);
    return now_ms(threads) - start;
}

/* ---- Convolutions -------------------------------------------------------------------------------------------------- */

enum {
    OURS,
    IM2COL,
    ONEDNN,
    WAYS
};
static const char *const names[] = {"ours", "im2col+OpenBLAS", "oneDNN"};

static void bench_convs(const char *network, const struct layer *layers, int threads, int rounds, struct pool *pool)
{
    double sum[WAYS] = {0};

    for (const struct layer *l = layers; l->ci > 0; l++) {
        struct problem p = problem_of(l, threads);
        struct peer *peer = peer_new(&p.s, BATCH, p.first);
        double best[WAYS] = {0};
        for (int round = -1; round < rounds; round++) { /* the first one warms up */
            double now[WAYS] = {time_parts(pool, &p, ours), time_parts(pool, &p, im2col),
                                peer == NULL ? 0 : time_onednn(peer, threads)};
            for (int i = 0; i < WAYS; i++) {
                best[i] = round < 1 || now[i] < best[i] ? now[i] : best[i];
            }
        }
        printf("layer %s %d %dx%d stride %d groups %d %d-%d @%d x%d ms a batch: ours %.2f im2col+OpenBLAS %.2f oneDNN "
               "%.2f\n",
               network, threads, l->kernel, l->kernel, l->stride, l->groups, l->ci, l->co, l->side, l->count,
               best[OURS], best[IM2COL], best[ONEDNN]);
        (void)fflush(stdout);
        for (int i = 0; i < WAYS; i++) {
            sum[i] += best[i] * l->count;
        }
        peer_free(peer);
        release(&p);
    }
    for (int i = 0; i < WAYS; i++) {
        if (sum[i] > 0) {
            printf("convs %s %d %s %.2f\n", network, threads, names[i], BATCH * 1e3 / sum[i]);
        }
    }
}

/* ---- Whole steps --------------------------------------------------------------------------------------------------- */

struct steps {
    struct tape *tape[MOST_THREADS];
    float *gradients[MOST_THREADS];
    struct tensor input;
    float *out_grad;
    int threads;
};

static void must(enum err err, const struct err_note *note)
{
    if (err != ERR_NONE) {
        die(note->text);
    }
}

static void step_parts(void *context, int thread)
{
    struct steps *steps = context;
    struct err_note note = {0};
    struct tensor output;

    for (int part = thread; part < PARTS; part += steps->threads) {
        must(tape_forward(steps->tape[thread], &steps->input, 0, &output, &note), &note);
        must(tape_backward(steps->tape[thread], steps->out_grad, steps->gradients[thread], NULL, &note), &note);
    }
}

static void bench_steps(const char *network, enum build_network which, int threads, int rounds, struct pool *pool)
{
    const struct build_options build = {.seed = 1};
    const struct tape_options how = {.batch_statistics = true};
    struct steps steps = {.threads = threads,
                          .input = {.type = DTYPE_F32, .shape = {4, {PART, 3, BUILD_SIDE, BUILD_SIDE}}}};
    struct graph *graph = NULL;
    struct parameters *parameters = NULL;
    struct err_note note = {0};
    double best = 0;

    must(build_network(which, &build, &graph, &note), &note);
    must(parameters_new(graph, &parameters, &note), &note);
    steps.input.data = numbers((size_t)PART * 3 * BUILD_SIDE * BUILD_SIDE);
    steps.out_grad = numbers((size_t)PART * 512);
    for (int t = 0; t < threads; t++) {
        must(tape_new(graph, parameters, &how, &steps.tape[t], &note), &note);
        steps.gradients[t] = parameters_block(parameters);
    }
    for (int round = -1; round < rounds; round++) {
        double start = now_ms(threads);
        pool_run(pool, threads, step_parts, &steps);
        double now = now_ms(threads) - start;
        best = round < 1 || now < best ? now : best;
    }
    printf("step %s %d ours %.2f\n", network, threads, BATCH * 1e3 / best);
    for (int t = 0; t < threads; t++) {
        tape_free(steps.tape[t]);
        mem_free(steps.gradients[t]);
    }
    mem_free(steps.input.data);
    mem_free(steps.out_grad);
    parameters_free(parameters);
    graph_free(graph);
}

int main(int argc, char **argv)
{
    struct pool *pool = NULL;
    enum build_network which;

    if (argc != 4 || !build_find(argv[1], &which) || (which != BUILD_IRESNET18 && which != BUILD_MBF)) {
        die("bench_train r18|mbf THREADS ROUNDS");
    }
    int threads = atoi(argv[2]);
    int rounds = atoi(argv[3]);
    if (threads < 1 || threads > MOST_THREADS || rounds < 1 || pool_new(threads, &pool) != ERR_NONE) {
        die("so many threads or rounds are not possible");
    }
    bench_convs(argv[1], which == BUILD_MBF ? mbf : r18, threads, rounds, pool);
    bench_steps(argv[1], which, threads, rounds, pool);
    pool_free(pool);
    return 0;
}
