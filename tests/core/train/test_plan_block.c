/*
 * test_plan_block.c: whole networks run in blocks of channels from end to end: no conversion of the layout inside.
 *
 * It tests core/graph/plan_block.c, and stands here because the networks of real size are built in this folder.  Only
 * plans are made; nothing is run, so all weights are 0.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "core/base/mem.h"
#include "core/graph/plan.h"
#include "core/onnx/onnx.h"
#include "core/onnx/onnx_save.h"
#include "core/train/detector_build.h"

static enum err zeros(void *context, const char *name, const struct shape *shape, float *ret, struct err_note *note)
{
    memset(ret, 0, (size_t)shape_elements(shape) * sizeof *ret);
    return ERR_NONE;
}

/* As the daemon has it: written to a file, loaded for inference. */
static struct graph *prepared(struct graph *take)
{
    struct err_note note = {0};
    struct graph *graph = NULL;
    struct onnx_info info;
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;

    if (onnx_save(take, NULL, &bytes, &n_bytes, &note) != ERR_NONE ||
        onnx_load(bytes, n_bytes, ONNX_FOR_INFERENCE, &graph, &info, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    mem_free(bytes);
    graph_free(take);
    return graph;
}

struct conversions {
    int in;       /* of the network's input */
    int inside;   /* into blocks, of anything else */
    int out;      /* out of blocks */
    int computed; /* convolutions that leave their result in blocks */
};

static bool is_step(const struct plan_step *step, const char *name)
{
    return strcmp(step->node->is.op->name, name) == 0;
}

static struct conversions conversions_of(const struct graph *graph, int64_t batch, int64_t side)
{
    const struct plan_options options = {.memory_limit = (size_t)4 << 30, .blocked = true};
    const struct tensor input = {DTYPE_F32, {4, {batch, 3, side, side}}, NULL};
    struct conversions found = {0};
    struct err_note note = {0};
    struct plan plan;

    assert_int_equal(plan_init(&plan, &options), ERR_NONE);
    if (plan_make(&plan, graph, &options, &input, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    for (int i = 0; i < plan.n_steps; i++) {
        const struct plan_step *step = &plan.steps[i];
        if (is_step(step, "to blocks")) {
            bool of_input = step->in_at[0] == graph_input(graph, 0)->value;
            found.in += of_input;
            found.inside += !of_input;
        } else if (is_step(step, "from blocks")) {
            found.out++;
        } else {
            found.computed += step->call.blocked_out;
        }
    }
    plan_release(&plan);
    return found;
}

/* What a network may convert beside one conversion at most at its entrance (the first convolution takes dense images, so that there is
 * none). */
struct bounds {
    int inside, out; /* at most */
    int computed;    /* at least */
};

static void check(const char *name, struct graph *graph, int64_t side, const struct bounds *bounds)
{
    for (int64_t batch = 1; batch <= 8; batch += 7) {
        struct conversions found = conversions_of(graph, batch, side);
        if (found.in > 1 || found.inside > bounds->inside || found.out > bounds->out ||
            found.computed < bounds->computed) {
            fail_msg(
                "%s, batch %d: %d conversions of the input, %d into blocks inside, %d out of them, %d steps in blocks",
                name, (int)batch, found.in, found.inside, found.out, found.computed);
        }
    }
    graph_free(graph);
}

static void recognisers_convert_at_their_ends(void **state)
{
    static const struct {
        enum build_network network;
        struct bounds
            bounds; /* out where it ends in a product; its convolutions, less those that one behind them takes in */
    } rows[] = {{BUILD_IRESNET50, {0, 1, 54}}, {BUILD_MBF, {0, 1, 33}}};
    const struct build_source source = {.take = zeros};
    const struct build_options options = {.source = &source};

    for (int i = 0; i < (int)(sizeof rows / sizeof rows[0]); i++) {
        struct graph *graph = NULL;
        struct err_note note = {0};
        if (build_network(rows[i].network, &options, &graph, &note) != ERR_NONE) {
            fail_msg("%s", note.text);
        }
        check(build_name(rows[i].network), prepared(graph), BUILD_SIDE, &rows[i].bounds);
    }
}

/* Of each level the maps of score, box and points come out, eleven channels of votes go in, and their sums and counts come out. */
static void detectors_convert_at_their_heads(void **state)
{
    static const struct bounds bounds = {DETECTOR_LEVELS, 5 * DETECTOR_LEVELS, 54};
    const struct build_source source = {.take = zeros};
    const struct build_options options = {.source = &source};
    struct graph *graph = NULL;
    struct err_note note = {0};

    if (detector_build(DETECTOR_FINDS, &options, &graph, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    check("detector", prepared(graph), 640, &bounds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recognisers_convert_at_their_ends),
        cmocka_unit_test(detectors_convert_at_their_heads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
