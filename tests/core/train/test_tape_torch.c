/*
 * test_tape_torch.c: one step of a small IResNet against what PyTorch computes (fixtures/residual_torch.py): output,
 * gradients of parameters and input, running statistics.
 */
#include "core/train/tape.h"

#include "network.h"
#include "torch_fixture.h"

#define FIXTURE "tests/core/train/fixtures/residual_torch.bin"

/*
 * Roundings of a dozen layers in float; the floor is for a shift that statistics of the batch take away again: its
 * gradient is 0, up to rounding.
 */
static const struct torch_bound BOUND = {.relative = 2e-5, .floor = 2e-6};

/* Compares a block with the file: learnt parameters or running statistics, which follow each other without gaps there. */
static void compare_block(const char *part, const struct parameters *p, bool learnt, const float *block,
                          struct torch_fixture *at)
{
    for (int i = 0; i < p->count; i++) {
        const struct parameter *one = &p->list[i];
        if ((one->offset < p->n_trainable) == learnt) {
            torch_compare(BOUND, part, one->name, block + one->offset, torch_take(at, one->count), one->count);
        }
    }
}

static void step(struct torch_fixture *at, bool batch_statistics)
{
    struct graph *graph = net_residual(1);
    const struct tape_options options = {.batch_statistics = batch_statistics, .input_gradient = true};
    struct parameters *p;
    struct tape *tape;
    struct tensor output;
    struct err_note note = {0};

    graph_seal(graph);
    torch_check(parameters_new(graph, &p, &note), &note);
    torch_check(tape_new(graph, p, &options, &tape, &note), &note);
    struct tensor input = {.type = DTYPE_F32, .shape = NET_SHAPE(4, 3, 12, 12)};
    size_t n_input = (size_t)shape_elements(&input.shape);
    input.data = (void *)torch_take(at, n_input);
    const float *out_grad = torch_take(at, 20);
    const float *expected = torch_take(at, 20);
    for (int i = 0; i < p->count; i++) {
        memcpy(p->values + p->list[i].offset, torch_take(at, p->list[i].count), p->list[i].count * sizeof(float));
    }
    float *gradients = parameters_block(p);
    float *input_grad = MEM_ARRAY(float, n_input);
    assert_true(gradients != NULL && input_grad != NULL);
    torch_check(tape_forward(tape, &input, 0, &output, &note), &note);
    torch_compare(BOUND, "output", "the network", output.data, expected, 20);
    torch_check(tape_backward(tape, out_grad, gradients, input_grad, &note), &note);
    compare_block("gradient", p, true, gradients, at);
    if (batch_statistics) {
        parameters_follow(p, gradients, 0.1F, 1);
    }
    compare_block("statistics", p, false, p->values, at);
    torch_compare(BOUND, "gradient", "the input", input_grad, torch_take(at, n_input), n_input);
    mem_free(gradients);
    mem_free(input_grad);
    tape_free(tape);
    parameters_free(p);
    graph_free(graph);
}

static void one_step_is_that_of_pytorch(void **state)
{
    size_t live = mem_live_blocks();
    struct torch_fixture fixture = torch_open(FIXTURE);

    step(&fixture, true);
    step(&fixture, false);
    torch_close(&fixture);
    assert_int_equal(mem_live_blocks(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_step_is_that_of_pytorch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
