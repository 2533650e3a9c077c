/*
 * test_tape_torch.c: one step of a small IResNet against what PyTorch computes (fixtures/residual_torch.py): output,
 * gradients of parameters and input, running statistics.
 */
#include "core/train/tape.h"

#include "core/base/file.h"
#include "network.h"

#define FIXTURE "tests/core/train/fixtures/residual_torch.bin"

/* Roundings of a dozen layers in float, relative to a tensor's largest number. */
#define BOUND 2e-5
#define FLOOR 2e-6 /* a shift that statistics of the batch take away again has gradient 0, up to rounding */

static void check(enum err err, const struct err_note *note)
{
    if (err != ERR_NONE) {
        fail_msg("%s: %s", err_word(err), note->text);
    }
}

static void compare(const char *part, const char *name, const float *is, const float *should, size_t count)
{
    float largest = 0;

    for (size_t i = 0; i < count; i++) {
        largest = fmaxf(largest, fabsf(should[i]));
    }
    for (size_t i = 0; i < count; i++) {
        if (!(fabs((double)is[i] - (double)should[i]) <= BOUND * (double)largest + FLOOR)) {
            fail_msg("%s of %s [%zu]: %.9g, PyTorch says %.9g (largest %g)", part, name, i, (double)is[i],
                     (double)should[i], (double)largest);
        }
    }
}

/* The next count numbers of the file. */
static const float *take(const float **at, size_t count)
{
    const float *here = *at;

    *at += count;
    return here;
}

/* Compares a block with the file: learnt parameters or running statistics, which follow each other without gaps there. */
static void compare_block(const char *part, const struct parameters *p, bool learnt, const float *block,
                          const float **at)
{
    for (int i = 0; i < p->count; i++) {
        const struct parameter *one = &p->list[i];
        if ((one->offset < p->n_trainable) == learnt) {
            compare(part, one->name, block + one->offset, take(at, one->count), one->count);
        }
    }
}

static void step(const float **at, bool batch_statistics)
{
    struct graph *graph = net_residual(1);
    const struct tape_options options = {.batch_statistics = batch_statistics, .input_gradient = true};
    struct parameters *p;
    struct tape *tape;
    struct tensor output;
    struct err_note note = {0};

    graph_seal(graph);
    check(parameters_new(graph, &p, &note), &note);
    check(tape_new(graph, p, &options, &tape, &note), &note);
    struct tensor input = {.type = DTYPE_F32, .shape = NET_SHAPE(4, 3, 12, 12)};
    size_t n_input = (size_t)shape_elements(&input.shape);
    input.data = (void *)take(at, n_input);
    const float *out_grad = take(at, 20);
    const float *expected = take(at, 20);
    for (int i = 0; i < p->count; i++) {
        memcpy(p->values + p->list[i].offset, take(at, p->list[i].count), p->list[i].count * sizeof(float));
    }
    float *gradients = parameters_block(p);
    float *input_grad = MEM_ARRAY(float, n_input);
    assert_true(gradients != NULL && input_grad != NULL);
    check(tape_forward(tape, &input, 0, &output, &note), &note);
    compare("output", "the network", output.data, expected, 20);
    check(tape_backward(tape, out_grad, gradients, input_grad, &note), &note);
    compare_block("gradient", p, true, gradients, at);
    if (batch_statistics) {
        parameters_follow(p, gradients, 0.1F, 1);
    }
    compare_block("statistics", p, false, p->values, at);
    compare("gradient", "the input", input_grad, take(at, n_input), n_input);
    mem_free(gradients);
    mem_free(input_grad);
    tape_free(tape);
    parameters_free(p);
    graph_free(graph);
}

static void one_step_is_that_of_pytorch(void **state)
{
    size_t live = mem_live_blocks();
    unsigned char *bytes;
    size_t n_bytes;
    struct err_note note = {0};

    check(file_read(FIXTURE, (size_t)1 << 20, &bytes, &n_bytes, &note), &note);
    const float *at = (const float *)(const void *)bytes;
    step(&at, true);
    step(&at, false);
    assert_ptr_equal(at, bytes + n_bytes); /* nothing is left over */
    mem_free(bytes);
    assert_int_equal(mem_live_blocks(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_step_is_that_of_pytorch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
