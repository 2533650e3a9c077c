/* test_cut.c: which layers of a network with a shortcut learning can begin at, and what is said where it cannot. */
#include "network.h"

#include "core/graph/split.h"
#include "core/train/cut.h"

/* The name of the first or last node of an operator; nodes carry the name of what they make. */
static const char *named(const struct graph *graph, const char *op, int wanted)
{
    for (int i = 0; i < graph_node_count(graph); i++) {
        const struct graph_node *node = graph_node(graph, i);
        if (strcmp(node->op->name, op) == 0 && wanted-- == 0) {
            return node->name;
        }
    }
    fail_msg("there is no further %s", op);
    return NULL;
}

/* The name of what enters a node first. */
static const char *entering(const struct graph *graph, const char *name)
{
    for (int i = 0; i < graph_node_count(graph); i++) {
        const struct graph_node *node = graph_node(graph, i);
        if (strcmp(node->name, name) == 0) {
            return graph_value_name(graph, node->in[0]);
        }
    }
    return NULL;
}

static void a_layer_and_all_above_it_learn(void **state)
{
    /* convolutions of net_mobile: stem, depthwise | within a block with a shortcut: 1x1, grouped, 1x1 | strided, global */
    static const struct {
        const char *op;
        int number;
        enum err err;
    } rows[] = {{"Conv", 0, ERR_NONE},        {"Conv", 1, ERR_NONE},        {"Conv", 2, ERR_NONE},
                {"Conv", 3, ERR_UNSUPPORTED}, {"Conv", 4, ERR_UNSUPPORTED}, {"Conv", 5, ERR_NONE},
                {"Conv", 6, ERR_NONE},        {"Gemm", 0, ERR_NONE},        {"PRelu", 2, ERR_UNSUPPORTED},
                {"Add", 0, ERR_UNSUPPORTED},  {"PRelu", 0, ERR_NONE}};
    struct graph *graph = net_mobile(1);

    (void)state;
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        const char *name = named(graph, rows[r].op, rows[r].number);
        const char *cut = NULL;
        struct err_note note = {0};
        enum err err = cut_below(graph, name, &cut, &note);
        if (err != rows[r].err) {
            fail_msg("row %zu, %s: %s, %s", r, name, err_word(err), note.text);
        }
        if (err != ERR_NONE) { /* the neighbours that are named can be taken */
            assert_non_null(strstr(note.text, named(graph, "Conv", 2)));
            assert_non_null(strstr(note.text, named(graph, "Conv", 5)));
            continue;
        }
        assert_string_equal(cut, entering(graph, name));
        value_id value = -1;
        struct graph *lower = NULL;
        struct graph *upper = NULL;
        assert_int_equal(graph_find(graph, cut, &value, &note), ERR_NONE);
        assert_int_equal(graph_split(graph, value, &lower, &upper, &note), ERR_NONE);
        assert_string_equal(graph_node(upper, 0)->name, name);
        graph_free(lower);
        graph_free(upper);
    }
    graph_free(graph);
}

static void the_first_layer_means_the_whole_network(void **state)
{
    struct graph *graph = net_mobile(1);
    const char *cut = "something";

    (void)state;
    assert_int_equal(cut_below(graph, graph_node(graph, 0)->name, &cut, NULL), ERR_NONE);
    assert_null(cut);
    graph_free(graph);
}

/* Nodes without names of their own are found by what they make. */
static void a_layer_is_found_by_what_it_makes(void **state)
{
    struct graph *graph = NULL;
    const struct attrs none = {0};
    struct err_note note = {0};
    struct shape shape = NET_SHAPE(1, 4);
    value_id ids[3];
    const char *cut = NULL;

    (void)state;
    assert_int_equal(graph_new(op_list(), (size_t)1 << 20, &graph), ERR_NONE);
    assert_int_equal(graph_set_opset(graph, "", 13, &note), ERR_NONE);
    assert_int_equal(graph_add_input(graph, "in", DTYPE_F32, &shape, &ids[0], &note), ERR_NONE);
    assert_int_equal(graph_value(graph, "middle", &ids[1], &note), ERR_NONE);
    assert_int_equal(graph_value(graph, "out", &ids[2], &note), ERR_NONE);
    assert_int_equal(graph_add_node(graph, "", "Relu", "", &none, &ids[0], 1, &ids[1], 1, &note), ERR_NONE);
    assert_int_equal(graph_add_node(graph, "", "Relu", "", &none, &ids[1], 1, &ids[2], 1, &note), ERR_NONE);
    assert_int_equal(graph_add_output(graph, ids[2], DTYPE_F32, &shape, &note), ERR_NONE);
    assert_int_equal(graph_finish(graph, &note), ERR_NONE);
    assert_int_equal(cut_below(graph, "out", &cut, &note), ERR_NONE);
    assert_string_equal(cut, "middle");
    assert_int_equal(cut_below(graph, "middle", &cut, &note), ERR_NONE);
    assert_null(cut);
    assert_int_equal(cut_below(graph, "in", &cut, &note), ERR_NOT_FOUND);
    assert_non_null(strstr(note.text, "none that can be named")); /* nothing has weights */
    graph_free(graph);
}

static void an_unknown_name_is_answered_with_known_ones(void **state)
{
    struct graph *graph = net_mobile(1);
    struct err_note note = {0};
    const char *cut = NULL;

    (void)state;
    assert_int_equal(cut_below(graph, "fc9", &cut, &note), ERR_NOT_FOUND);
    assert_non_null(strstr(note.text, "'fc9'"));
    /* each that is listed can be named */
    char *list = strstr(note.text, "there are ");
    assert_non_null(list);
    int listed = 0;
    char *rest = NULL;
    for (char *name = strtok_r(list + strlen("there are "), ", ", &rest); name != NULL;
         name = strtok_r(NULL, ", ", &rest)) {
        if (cut_below(graph, name, &cut, NULL) != ERR_NONE) {
            fail_msg("%s is listed and cannot be named", name);
        }
        listed++;
    }
    assert_int_equal(listed, 5);
    graph_free(graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_layer_and_all_above_it_learn),
                                       cmocka_unit_test(the_first_layer_means_the_whole_network),
                                       cmocka_unit_test(a_layer_is_found_by_what_it_makes),
                                       cmocka_unit_test(an_unknown_name_is_answered_with_known_ones)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
