/* test_split.c: the two parts of a graph compute what the whole does, and cuts that something passes are refused. */
#include "core/graph/split.h"

#include "tiny_graph.h"

/*
 * x → Conv → Relu (cut here: "low") → Conv → Add(low) → Relu → y; the weights w are read on both sides.
 * With side, the last Add reads the first convolution, past the cut.
 */
static struct graph *whole(bool side)
{
    struct graph *graph = tiny_graph();
    struct random random = random_seeded(1, 2);

    tiny_input(graph, "x", DTYPE_F32, SHAPE(-1, 3, 4));
    tiny_random(graph, "w", SHAPE(3, 3, 1), &random, false);
    TINY_NODE(graph, "Conv", {"x", "w"}, {"first"});
    TINY_NODE(graph, "Relu", {"first"}, {"low"});
    TINY_NODE(graph, "Conv", {"low", "w"}, {"second"});
    TINY_NODE(graph, "Add", {"second", side ? "first" : "low"}, {"sum"});
    TINY_NODE(graph, "Relu", {"sum"}, {"y"});
    tiny_output(graph, "y");
    assert_int_equal(graph_finish(graph, &(struct err_note){0}), ERR_NONE);
    return graph;
}

static value_id find(const struct graph *graph, const char *name)
{
    value_id id = -1;

    assert_int_equal(graph_find(graph, name, &id, NULL), ERR_NONE);
    return id;
}

static void run(const struct graph *graph, const float *x, int64_t n, float *y)
{
    struct session *session = tiny_session(graph);
    const struct tensor input = {.type = DTYPE_F32, .shape = SHAPE(n, 3, 4), .data = (void *)x};
    struct tensor output;
    struct err_note note = {0};

    if (session_run(session, &input, 1, &output, 1, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    memcpy(y, output.data, tensor_bytes(&output));
    session_free(session);
}

static void parts_compute_the_whole(void **state)
{
    static const char *const cuts[] = {"first", "low", "sum"};
    size_t live = mem_live_blocks();

    for (int i = 0; i < 3; i++) {
        struct graph *graph = whole(false);
        struct graph *lower;
        struct graph *upper;
        struct err_note note = {0};
        float x[24];
        float map[24];
        float y[24];
        float expected[24];
        for (int k = 0; k < 24; k++) {
            x[k] = (float)(k % 7) - 3;
        }
        if (graph_split(graph, find(graph, cuts[i]), &lower, &upper, &note) != ERR_NONE) {
            fail_msg("row %d: %s", i, note.text);
        }
        assert_int_equal(graph_node_count(upper), i == 0 ? 4 : i == 1 ? 3 : 1);
        graph_seal(graph);
        run(graph, x, 2, expected);
        graph_free(graph); /* the parts need nothing of it */
        graph_seal(upper);
        assert_string_equal(graph_output(lower, 0)->name, cuts[i]);
        assert_string_equal(graph_input(upper, 0)->name, cuts[i]);
        run(lower, x, 2, map);
        run(upper, map, 2, y);
        for (int k = 0; k < 24; k++) {
            assert_true(fabsf(y[k] - expected[k]) < 1e-5F);
        }
        graph_free(lower);
        graph_free(upper);
    }
    assert_int_equal(mem_live_blocks(), live);
}

static void cuts_that_do_not_cut(void **state)
{
    static const struct {
        const char *at;
        bool side;
        const char *words;
    } rows[] = {
        {"low", true, "goes past it"},
        {"x", false, "an input"},
        {"w", false, "a constant"},
        {"y", false, "an output"},
    };
    size_t live = mem_live_blocks();

    for (int i = 0; i < 4; i++) {
        struct graph *graph = whole(rows[i].side);
        struct graph *lower = NULL;
        struct graph *upper = NULL;
        struct err_note note = {0};
        assert_int_equal(graph_split(graph, find(graph, rows[i].at), &lower, &upper, &note), ERR_UNSUPPORTED);
        if (strstr(note.text, rows[i].words) == NULL || lower != NULL || upper != NULL) {
            fail_msg("row %d: '%s'", i, note.text);
        }
        graph_free(graph);
    }
    struct graph *graph = whole(false);
    struct err_note note = {0};
    value_id id = -1;
    assert_int_equal(graph_find(graph, "nothing", &id, &note), ERR_NOT_FOUND);
    assert_non_null(strstr(note.text, "nothing"));
    struct graph *lower = NULL;
    struct graph *upper = NULL;
    assert_int_equal(graph_prepare(graph, &note), ERR_NONE);
    note = (struct err_note){0};
    /* Fused: the value may be gone, or is refused. */
    assert_int_equal(graph_split(graph, graph_node(graph, 0)->out[0], &lower, &upper, &note), ERR_UNSUPPORTED);
    assert_non_null(strstr(note.text, "fused"));
    graph_free(graph);
    assert_int_equal(mem_live_blocks(), live);
}

static void no_memory_is_no_harm(void **state)
{
    struct graph *graph = whole(false);
    size_t live = mem_live_blocks();
    bool done = false;

    for (long n = 0; !done; n++) {
        struct graph *lower = NULL;
        struct graph *upper = NULL;
        mem_fail_at(n);
        enum err err = graph_split(graph, find(graph, "low"), &lower, &upper, NULL);
        mem_fail_at(-1);
        done = err == ERR_NONE;
        assert_true(done || err == ERR_NOMEM);
        assert_true(n < 1000);
        graph_free(lower);
        graph_free(upper);
        assert_int_equal(mem_live_blocks(), live);
    }
    graph_free(graph);
}

static void constants_alone_are_folded(void **state)
{
    struct graph *graph = tiny_graph();
    struct random random = random_seeded(1, 2);

    tiny_input(graph, "x", DTYPE_F32, SHAPE(-1, 3, 4));
    tiny_random(graph, "raw", SHAPE(3, 3, 1), &random, false);
    TINY_NODE(graph, "Relu", {"raw"}, {"w"});
    TINY_NODE(graph, "Conv", {"x", "w"}, {"sum"});
    TINY_NODE(graph, "Relu", {"sum"}, {"y"});
    tiny_output(graph, "y");
    assert_int_equal(graph_finish(graph, NULL), ERR_NONE);
    assert_int_equal(graph_fold_constants(graph, NULL), ERR_NONE);
    assert_int_equal(graph_node_count(graph), 2); /* nothing is fused */
    assert_non_null(graph_constant(graph, find(graph, "w")));
    graph_free(graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_compute_the_whole),
        cmocka_unit_test(cuts_that_do_not_cut),
        cmocka_unit_test(no_memory_is_no_harm),
        cmocka_unit_test(constants_alone_are_folded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
