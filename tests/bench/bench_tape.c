/*
 * bench_tape.c: what one step forward and back costs, on one thread: a batch of 32 in four parts of eight.
 *
 * Arguments: names of networks, of build.h ("r18", "mbf", ...) or of files below $ARCFACED_SHARED/models.  Both the clock on
 * the wall and the time of the thread are printed: on a busy machine only the second can be compared.
 */
#include "core/base/clock.h"
#include "core/base/cpu.h"
#include "core/base/random.h"
#include "core/train/build.h"
#include "core/train/tape.h"
#include "tests/real/real_support.h"

enum {
    BATCH = 32,
    PART = 8,
    ROUNDS = 3
};

static void must(enum err err, const char *what, const struct err_note *note)
{
    if (err != ERR_NONE) {
        real_die("%s: %s", what, note->text);
    }
}

static struct graph *network(const char *name)
{
    enum build_network which;
    const struct build_options options = {.seed = 1};
    struct preprocess how;
    struct graph *graph;
    struct err_note note = {0};

    if (build_find(name, &which)) {
        must(build_network(which, &options, &graph, &note), name, &note);
        return graph;
    }
    graph = real_graph(name, ONNX_AS_WRITTEN, &how);
    must(graph_fold_constants(graph, &note), name, &note);
    graph_seal(graph);
    return graph;
}

struct time {
    double wall_ms, thread_ms;
};

static struct time now(void)
{
    return (struct time){(double)clock_monotonic_ns() / 1e6, (double)clock_thread_cpu_ns() / 1e6};
}

static void add_since(struct time *sum, struct time start)
{
    struct time end = now();

    sum->wall_ms += end.wall_ms - start.wall_ms;
    sum->thread_ms += end.thread_ms - start.thread_ms;
}

static void bench(const char *name, bool batch_statistics)
{
    struct graph *graph = network(name);
    const struct tape_options options = {.batch_statistics = batch_statistics};
    const int64_t n = (int64_t)PART * 3 * 112 * 112;
    struct random random = random_seeded(1, 1);
    struct parameters *parameters;
    struct tape *tape;
    struct tensor output;
    struct err_note note = {0};
    struct time best[2] = {{0}};

    must(parameters_new(graph, &parameters, &note), name, &note);
    must(tape_new(graph, parameters, &options, &tape, &note), name, &note);
    float *x = MEM_ARRAY(float, (size_t)n);
    float *gradients = parameters_block(parameters);
    for (int64_t i = 0; i < n; i++) {
        x[i] = (float)random_normal(&random);
    }
    const struct tensor input = {.type = DTYPE_F32, .shape = {4, {PART, 3, 112, 112}}, .data = x};
    must(tape_forward(tape, &input, 0, &output, &note), name, &note);
    float *out_grad = mem_copy(output.data, tensor_bytes(&output)); /* any direction will do */
    for (int round = 0; round < ROUNDS; round++) {
        struct time way[2] = {{0}};
        for (int part = 0; part < BATCH / PART; part++) {
            struct time start = now();
            must(tape_forward(tape, &input, 0, &output, &note), name, &note);
            add_since(&way[0], start);
            start = now();
            must(tape_backward(tape, out_grad, gradients, NULL, &note), name, &note);
            add_since(&way[1], start);
        }
        if (round == 0 || way[0].thread_ms + way[1].thread_ms < best[0].thread_ms + best[1].thread_ms) {
            memcpy(best, way, sizeof best);
        }
    }
    double wall = best[0].wall_ms + best[1].wall_ms;
    double thread = best[0].thread_ms + best[1].thread_ms;
    printf("tape %-22s statistics %-7s %7.2f images/s (of thread time %7.2f): forward %7.2f ms, back %7.2f ms an "
           "image; peak "
           "%.1f MB\n",
           name, batch_statistics ? "batch" : "running", BATCH * 1e3 / wall, BATCH * 1e3 / thread,
           best[0].thread_ms / BATCH, best[1].thread_ms / BATCH, (double)tape_peak_bytes(tape) / 1e6);
    mem_free(x);
    mem_free(gradients);
    mem_free(out_grad);
    tape_free(tape);
    parameters_free(parameters);
    graph_free(graph);
}

int main(int argc, char **argv)
{
    real_skip_without_shared();
    printf("bench tape: %s, one thread, batch %d in parts of %d\n", cpu_info()->name, BATCH, PART);
    for (int i = 1; i < argc; i++) {
        bench(argv[i], true);
    }
    if (argc < 2) {
        bench("mobilefacenet_128", false);
        bench("mobilefacenet_y1_128", false);
        bench("mobilefacenet_y1_128", true);
        bench("r18", true);
    }
    return 0;
}
