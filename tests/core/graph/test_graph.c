/* test_graph.c: what a graph accepts, what it refuses and in which words, and how it orders its nodes. */
#include "tiny_graph.h"

static void counts_and_names_what_was_added(void **state)
{
    size_t blocks = mem_live_blocks();
    struct graph *graph = tiny_graph();

    tiny_input(graph, "x", DTYPE_F32, SHAPE(1, -1));
    (void)tiny_constant(graph, "c", DTYPE_F32, SHAPE(2, 3), (float[6]){0});
    (void)tiny_constant(graph, "unused", DTYPE_F32, SHAPE(5), (float[5]){0});
    (void)tiny_constant(graph, "empty", DTYPE_F32, SHAPE(0), "");
    TINY_NODE(graph, "Add", {"x", "c"}, {"y"});
    tiny_output(graph, "y");
    tiny_finish(graph, false);
    assert_int_equal(graph_input_count(graph), 1);
    assert_string_equal(graph_input(graph, 0)->name, "x");
    assert_int_equal(graph_input(graph, 0)->shape.dim[1], -1);
    assert_int_equal(graph_output_count(graph), 1);
    assert_string_equal(graph_output(graph, 0)->name, "y");
    assert_int_equal(graph_node_count(graph), 1);
    assert_int_equal(graph_node(graph, 0)->opset, 11);
    assert_string_equal(graph_node(graph, 0)->op->name, "Add");
    assert_int_equal(graph_node(graph, 0)->epilogue.residual_input, -1);
    assert_string_equal(graph_value_name(graph, graph_node(graph, 0)->in[1]), "c");
    assert_int_equal(graph_constant(graph, graph_node(graph, 0)->in[1])->shape.dim[1], 3);
    assert_null(graph_constant(graph, graph_node(graph, 0)->in[0]));
    assert_int_equal(graph_constant_bytes(graph), 24);
    assert_false(graph_one_image(graph));
    graph_free(graph);
    assert_int_equal(mem_live_blocks(), blocks);
}

static void nodes_outside_of_the_claims_are_refused(void **state)
{
    static const struct {
        struct tiny_node node;
        enum err err;
        const char *text;
    } rows[] = {
        {{"Relu", {"x"}, {"new"}}, ERR_NONE, ""},
        {{"Frobnicate", {"x"}, {"y"}},
         ERR_UNSUPPORTED,
         "node 1 'y' (Frobnicate): this operator of opset 11 is not supported"},
        {{"Relu", {NULL}, {"y"}}, ERR_FORMAT, "node 1 'y' (Relu): 0 inputs, where 1 to 1 are supported"},
        {{"Relu", {"x", "x"}, {"y"}}, ERR_UNSUPPORTED, "node 1 'y' (Relu): 2 inputs, where 1 to 1 are supported"},
        {{"Relu", {"x", ""}, {"z"}}, ERR_NONE, ""}, /* trailing absent ones do not count */
        {{"Add", {"", "x"}, {"y"}}, ERR_FORMAT, "node 2 'y' (Add): input 0 is absent, but needed"},
        {{"Relu", {"x"}, {NULL}}, ERR_FORMAT, "node 2 (Relu): 0 outputs, where 1 to 1 are supported"},
        {{"Relu", {"x"}, {"y", "q"}}, ERR_UNSUPPORTED, "node 2 'y' (Relu): 2 outputs, where 1 to 1 are supported"},
        {{"Relu", {"x"}, {"x"}}, ERR_FORMAT, "node 2 'x' (Relu): its output 'x' is defined twice"},
        {{"Relu", {"x"}, {"c"}}, ERR_FORMAT, "node 2 'c' (Relu): its output 'c' is defined twice"},
        {{"Relu", {"x"}, {"new"}}, ERR_FORMAT, "node 2 'new' (Relu): its output 'new' is defined twice"},
        {{"Dropout", {"x"}, {"a", "a"}}, ERR_FORMAT, "node 2 'a' (Dropout): its output 'a' is defined twice"},
    };
    struct graph *graph = tiny_graph();

    tiny_input(graph, "x", DTYPE_F32, SHAPE(1));
    (void)tiny_constant(graph, "c", DTYPE_F32, SHAPE(1), (float[1]){0});
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err_note note = {0};
        enum err err = tiny_add(graph, &rows[i].node, &note);
        if (err != rows[i].err || strcmp(note.text, rows[i].text) != 0) {
            fail_msg("row %zu: %s: %s", i, err_word(err), note.text);
        }
    }
    graph_free(graph);
}

static void names_and_opsets_are_checked(void **state)
{
    struct graph *graph = tiny_graph();
    struct shape shape = SHAPE(1);
    struct tensor tensor = {DTYPE_F32, SHAPE(1), &(float[1]){0}};
    struct err_note note = {0};
    value_id id = -7;

    tiny_input(graph, "x", DTYPE_F32, shape);
    assert_int_equal(graph_add_input(graph, "x", DTYPE_F32, &shape, &id, &note), ERR_FORMAT);
    assert_string_equal(note.text, "the name 'x' is defined twice");
    assert_int_equal(graph_add_constant(graph, "x", &tensor, &id, NULL), ERR_FORMAT);
    assert_int_equal(graph_add_constant(graph, "", &tensor, &id, NULL), ERR_FORMAT);
    assert_int_equal(graph_value(graph, "", &id, NULL), ERR_FORMAT);
    assert_int_equal(id, -7);
    assert_int_equal(graph_set_opset(graph, "ai.onnx", 11, NULL), ERR_NONE); /* the same domain, the same version */
    assert_int_equal(graph_set_opset(graph, "ai.onnx", 12, NULL), ERR_FORMAT);
    assert_int_equal(graph_set_opset(graph, "com.example", 0, NULL), ERR_FORMAT);
    assert_int_equal(graph_set_opset(graph, "com.example", 1, NULL), ERR_NONE);
    value_id in = 0;
    assert_int_equal(graph_value(graph, "y", &id, NULL), ERR_NONE);
    memset(&note, 0, sizeof note);
    assert_int_equal(graph_add_node(graph, "com.other", "Relu", "", &(struct attrs){0}, &in, 1, &id, 1, &note),
                     ERR_FORMAT);
    assert_string_equal(note.text, "node 0 (Relu): its domain 'com.other' is not imported");
    memset(&note, 0, sizeof note);
    assert_int_equal(graph_add_node(graph, "com.example", "Relu", "r", &(struct attrs){0}, &in, 1, &id, 1, &note),
                     ERR_UNSUPPORTED);
    assert_string_equal(note.text, "node 0 'r' (Relu): this operator of opset 1 of com.example is not supported");
    assert_int_equal(graph_add_node(graph, "ai.onnx", "Relu", "", &(struct attrs){0}, &in, 1, &id, 1, NULL), ERR_NONE);
    graph_free(graph);
}

static void graphs_that_do_not_hold_together_are_refused(void **state)
{
    static const struct {
        struct tiny_node nodes[4];
        const char *output;
        const char *text;
    } rows[] = {
        {{{"Relu", {"x"}, {"y"}}}, NULL, "the graph has no outputs"},
        {{{"Relu", {"x"}, {"y"}}}, "z", "the output 'z' is produced by no node"},
        {{{"Add", {"x", "q"}, {"y"}}}, "y", "node 0 'y' (Add): reads 'q', which nothing defines"},
        {{{"Relu", {"y"}, {"y"}}}, "y", "node 0 'y' (Relu): is part of a cycle, through 'y'"},
        {{{"Add", {"x", "c"}, {"a"}}, {"Relu", {"a"}, {"b"}}, {"Relu", {"b"}, {"c"}}},
         "a",
         "node 1 'b' (Relu): is part of a cycle, through 'a'"},
        /* a cycle that no output needs is a broken file all the same */
        {{{"Relu", {"x"}, {"y"}}, {"Relu", {"b"}, {"a"}}, {"Relu", {"a"}, {"b"}}},
         "y",
         "node 2 'b' (Relu): is part of a cycle, through 'a'"},
    };
    size_t blocks = mem_live_blocks();

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct graph *graph = tiny_graph();
        struct err_note note = {0};
        tiny_input(graph, "x", DTYPE_F32, SHAPE(1));
        for (int k = 0; k < 4 && rows[i].nodes[k].op != NULL; k++) {
            assert_int_equal(tiny_add(graph, &rows[i].nodes[k], NULL), ERR_NONE);
        }
        if (rows[i].output != NULL) {
            tiny_output(graph, rows[i].output);
        }
        enum err err = graph_finish(graph, &note);
        if (err != ERR_FORMAT || strcmp(note.text, rows[i].text) != 0) {
            fail_msg("row %zu: %s: %s", i, err_word(err), note.text);
        }
        graph_free(graph);
    }
    assert_int_equal(mem_live_blocks(), blocks);
}

static void check_order(const struct graph *graph, const char *const *names, int count)
{
    assert_int_equal(graph_node_count(graph), count);
    for (int i = 0; i < count; i++) {
        assert_string_equal(graph_node(graph, i)->name, names[i]);
    }
}

static void nodes_are_ordered_and_dead_ones_dropped(void **state)
{
    static const struct {
        struct tiny_node nodes[6];
        const char *order[6];
        int count;
    } rows[] = {
        /* an order that is right already stays */
        {{{"Relu", {"x"}, {"a"}}, {"Relu", {"x"}, {"b"}}, {"Add", {"b", "a"}, {"y"}}}, {"a", "b", "y"}, 3},
        {{{"Add", {"b", "a"}, {"y"}}, {"Relu", {"x"}, {"a"}}, {"Relu", {"a"}, {"b"}}}, {"a", "b", "y"}, 3},
        {{{"Relu", {"x"}, {"y"}}, {"Relu", {"x"}, {"dead"}}, {"Relu", {"dead"}, {"too"}}}, {"y"}, 1},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct graph *graph = tiny_graph();
        tiny_input(graph, "x", DTYPE_F32, SHAPE(1));
        for (int k = 0; k < 6 && rows[i].nodes[k].op != NULL; k++) {
            assert_int_equal(tiny_add(graph, &rows[i].nodes[k], NULL), ERR_NONE);
        }
        tiny_output(graph, "y");
        tiny_finish(graph, false);
        check_order(graph, rows[i].order, rows[i].count);
        graph_free(graph);
    }
}

/* As deep as graphs may be, backwards: neither the stack nor a quadratic search is in the way. */
static void the_deepest_graph_is_ordered(void **state)
{
    struct graph *graph = tiny_graph();
    char from[16];
    char to[16];

    tiny_input(graph, "v0", DTYPE_F32, SHAPE(1));
    for (int i = 16383; i >= 0; i--) {
        (void)snprintf(from, sizeof from, "v%d", i);
        (void)snprintf(to, sizeof to, "v%d", i + 1);
        TINY_NODE(graph, "Relu", {from}, {to});
    }
    struct err_note note = {0};
    assert_int_equal(tiny_add(graph, &(struct tiny_node){"Relu", {"v0"}, {"last"}}, &note), ERR_LIMIT);
    assert_string_equal(note.text, "the graph has more than 16384 nodes");
    tiny_output(graph, "v16384");
    tiny_finish(graph, true);
    assert_string_equal(graph_node(graph, 0)->name, "v1");
    struct session *session = tiny_session(graph);
    float x = 4;
    struct tensor in = {DTYPE_F32, SHAPE(1), &x};
    struct tensor out;
    assert_int_equal(session_run(session, &in, 1, &out, 1, NULL), ERR_NONE);
    assert_true(((float *)out.data)[0] == 4);
    assert_int_equal(session_peak_bytes(session), 128);
    session_free(session);
    graph_free(graph);
}

static void the_cap_holds(void **state)
{
    size_t blocks = mem_live_blocks();
    struct graph *graph;
    struct err_note note = {0};
    char name[16];
    enum err err = ERR_NONE;

    assert_int_equal(graph_new(&tiny_lookup, (size_t)256 << 10, &graph), ERR_NONE);
    assert_int_equal(graph_set_opset(graph, "", 11, NULL), ERR_NONE);
    size_t before = mem_live_bytes();
    int made = 0;
    for (; err == ERR_NONE && made < 100000; made++) {
        value_id id;
        (void)snprintf(name, sizeof name, "v%d", made);
        err = graph_value(graph, name, &id, &note);
    }
    assert_int_equal(err, ERR_LIMIT);
    assert_string_equal(note.text, "the graph needs more memory than the limit for a file of this size");
    assert_true(made > 1000); /* about 100 bytes a value */
    assert_true(mem_live_bytes() - before < (size_t)260 << 10);
    graph_free(graph);
    assert_int_equal(mem_live_blocks(), blocks);
}

static void every_failed_allocation_is_survived(void **state)
{
    size_t blocks = mem_live_blocks();
    enum err err = ERR_NOMEM;

    for (long n = 0; err != ERR_NONE; n++) {
        struct graph *graph = NULL;
        mem_fail_at(n);
        err = graph_new(&tiny_lookup, TINY_CAP, &graph);
        value_id in = 0;
        value_id out = 0;
        if (err == ERR_NONE) {
            err = graph_set_opset(graph, "", 11, NULL);
        }
        if (err == ERR_NONE) {
            err = graph_add_input(graph, "x", DTYPE_F32, &SHAPE(1), &in, NULL);
        }
        if (err == ERR_NONE) {
            err = graph_value(graph, "y", &out, NULL);
        }
        if (err == ERR_NONE) {
            err = graph_add_node(graph, "", "Relu", "", &(struct attrs){0}, &in, 1, &out, 1, NULL);
        }
        if (err == ERR_NONE) {
            err = graph_add_output(graph, out, DTYPE_F32, &SHAPE(1), NULL);
        }
        if (err == ERR_NONE) {
            err = graph_finish(graph, NULL);
        }
        if (err == ERR_NONE) {
            err = graph_prepare(graph, NULL);
        }
        mem_fail_at(-1);
        if (err != ERR_NONE && (err != ERR_NOMEM || n > 40)) {
            fail_msg("allocation %ld: %s", n, err_word(err));
        }
        graph_free(graph);
    }
    assert_int_equal(mem_live_blocks(), blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_and_names_what_was_added),
        cmocka_unit_test(nodes_outside_of_the_claims_are_refused),
        cmocka_unit_test(names_and_opsets_are_checked),
        cmocka_unit_test(graphs_that_do_not_hold_together_are_refused),
        cmocka_unit_test(nodes_are_ordered_and_dead_ones_dropped),
        cmocka_unit_test(the_deepest_graph_is_ordered),
        cmocka_unit_test(the_cap_holds),
        cmocka_unit_test(every_failed_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
