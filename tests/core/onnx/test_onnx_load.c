/* test_onnx_load.c: good files load and compute; every kind of bad one is refused in words, in bounded memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/graph/session.h"
#include "core/onnx/onnx.h"
#include "tests/support/onnx_build_support.h"

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define DIMS(...) ((const int64_t[]){__VA_ARGS__, -1})

/* y = Relu(x + c), x of [free, 2]. */
static struct out small_graph(void)
{
    struct out graph = {0};
    struct out record = out_node("Add", NAMES("x", "c"), NAMES("s"));

    out_record(&graph, 1, &record);
    record = out_node("Relu", NAMES("s"), NAMES("y"));
    out_record(&graph, 1, &record);
    record = out_floats("c", DIMS(2), (float[]){1, -1});
    out_record(&graph, 5, &record);
    record = out_value_info("x", DIMS(0, 2));
    out_record(&graph, 11, &record);
    record = out_value_info("y", DIMS(0, 2));
    out_record(&graph, 12, &record);
    return graph;
}

static void check_small(struct graph *graph)
{
    struct session *session;
    float x[4] = {1, 2, -3, 4};
    struct tensor in = {DTYPE_F32, {2, {2, 2}}, x};
    struct tensor out;

    assert_int_equal(session_new(graph, NULL, &session), ERR_NONE);
    assert_int_equal(session_run(session, &in, 1, &out, 1, NULL), ERR_NONE);
    const float *y = out.data;
    assert_true(y[0] == 2 && y[1] == 1 && y[2] == 0 && y[3] == 3);
    session_free(session);
}

static void a_small_model_loads_and_computes(void **state)
{
    size_t blocks = mem_live_blocks();
    struct out record = small_graph();
    struct out model = out_model(&record, 11);

    for (int purpose = 0; purpose < 2; purpose++) {
        struct graph *graph;
        struct onnx_info info;
        struct err_note note = {0};
        if (onnx_load(model.bytes, model.len, (enum onnx_purpose)purpose, &graph, &info, &note) != ERR_NONE) {
            fail_msg("%s", note.text);
        }
        assert_int_equal(info.ir_version, 8);
        assert_int_equal(info.opset, 11);
        assert_string_equal(info.producer, "test");
        assert_int_equal(graph_input(graph, 0)->shape.dim[0], -1);
        if (purpose == ONNX_AS_WRITTEN) {
            graph_seal(graph);
        }
        check_small(graph);
        graph_free(graph);
    }
    out_free(&model);
    assert_int_equal(mem_live_blocks(), blocks);
}

static void initialisers_that_are_inputs_too_are_constants(void **state)
{
    struct out record = small_graph();
    struct out input = out_value_info("c", DIMS(2));
    struct graph *graph;

    out_record(&record, 11, &input);
    struct out model = out_model(&record, 11);
    assert_int_equal(onnx_load(model.bytes, model.len, ONNX_FOR_INFERENCE, &graph, NULL, NULL), ERR_NONE);
    assert_int_equal(graph_input_count(graph), 1);
    check_small(graph);
    graph_free(graph);
    out_free(&model);
}

/* ---- Bad files --------------------------------------------------------------------------------------------------- */

/* Each takes the small graph and spoils it, or the whole model. */

static void add_node(struct out *graph, const char *op, const char *const *in, const char *const *out)
{
    struct out node = out_node(op, in, out);

    out_record(graph, 1, &node);
}

static void spoil_cycle(struct out *graph)
{
    add_node(graph, "Add", NAMES("x", "b"), NAMES("a"));
    add_node(graph, "Relu", NAMES("a"), NAMES("b"));
}

static void spoil_unknown_op(struct out *graph)
{
    add_node(graph, "Frobnicate", NAMES("x"), NAMES("z"));
}

static void spoil_missing_input(struct out *graph)
{
    add_node(graph, "Relu", NAMES("nowhere"), NAMES("z"));
}

static void spoil_missing_output(struct out *graph)
{
    struct out info = out_value_info("absent", DIMS(1));

    out_record(graph, 12, &info);
}

static void spoil_two_producers(struct out *graph)
{
    add_node(graph, "Relu", NAMES("x"), NAMES("y"));
}

static void spoil_two_constants(struct out *graph)
{
    struct out tensor = out_floats("c", DIMS(1), (float[]){0});

    out_record(graph, 5, &tensor);
}

static void spoil_no_op_name(struct out *graph)
{
    add_node(graph, "", NAMES("x"), NAMES("z"));
}

static void spoil_name_bytes(struct out *graph)
{
    add_node(graph, "Relu", NAMES("x"), NAMES("z\xff"));
}

static void spoil_name_control(struct out *graph)
{
    add_node(graph, "Relu", NAMES("x"), NAMES("z\n{}"));
}

static void spoil_many_inputs(struct out *graph)
{
    struct out node = out_node("Sum", NAMES("x"), NAMES("z"));

    for (int i = 0; i < 64; i++) {
        out_text(&node, 1, "x");
    }
    out_record(graph, 1, &node);
}

static void spoil_tensor(struct out *graph, const int64_t *dims, int64_t type)
{
    struct out tensor = {0};

    for (; *dims != INT64_MIN; dims++) {
        out_int(&tensor, 1, *dims);
    }
    out_int(&tensor, 2, type);
    out_text(&tensor, 8, "w");
    out_bytes(&tensor, 9, "12345678", 8);
    out_record(graph, 5, &tensor);
}

static void spoil_huge_tensor(struct out *graph)
{
    spoil_tensor(graph, (int64_t[]){1 << 20, 1 << 18, INT64_MIN}, 1);
}

static void spoil_overflowing_tensor(struct out *graph)
{
    spoil_tensor(graph, (int64_t[]){INT64_MAX, 4, INT64_MIN}, 1);
}

static void spoil_overflowing_bytes(struct out *graph)
{
    spoil_tensor(graph, (int64_t[]){INT64_MAX / 2, INT64_MIN}, 7);
}

static void spoil_negative_tensor(struct out *graph)
{
    spoil_tensor(graph, (int64_t[]){-2, -1, INT64_MIN}, 1);
}

static void spoil_short_tensor(struct out *graph)
{
    spoil_tensor(graph, (int64_t[]){3, INT64_MIN}, 1);
}

static void spoil_half_tensor(struct out *graph)
{
    spoil_tensor(graph, (int64_t[]){4, INT64_MIN}, 10);
}

static void spoil_unknown_type(struct out *graph)
{
    spoil_tensor(graph, (int64_t[]){4, INT64_MIN}, 1000);
}

static void spoil_deep_tensor(struct out *graph)
{
    spoil_tensor(graph, (int64_t[]){1, 1, 1, 1, 1, 1, 1, 1, 2, INT64_MIN}, 1);
}

static void spoil_external_data(struct out *graph)
{
    struct out tensor = {0};
    struct out entry = {0};

    out_int(&tensor, 1, 2);
    out_int(&tensor, 2, 1);
    out_text(&tensor, 8, "w");
    out_text(&entry, 1, "location");
    out_text(&entry, 2, "/etc/passwd");
    out_record(&tensor, 13, &entry);
    out_int(&tensor, 14, 1);
    out_record(graph, 5, &tensor);
}

static void spoil_sparse(struct out *graph)
{
    out_bytes(graph, 15, "", 0);
}

static void spoil_two_attributes(struct out *graph)
{
    struct out node = out_node("LeakyRelu", NAMES("x"), NAMES("z"));

    for (int i = 0; i < 2; i++) {
        struct out attr = {0};
        out_text(&attr, 1, "alpha");
        out_float(&attr, 2, 0.5F);
        out_int(&attr, 20, 1);
        out_record(&node, 5, &attr);
    }
    out_record(graph, 1, &node);
}

static void spoil_attribute_kind(struct out *graph)
{
    struct out node = out_node("LeakyRelu", NAMES("x"), NAMES("z"));
    struct out attr = {0};

    out_text(&attr, 1, "alpha");
    out_text(&attr, 4, "much");
    out_int(&attr, 20, 3);
    out_record(&node, 5, &attr);
    out_record(graph, 1, &node);
}

/* A graph in an attribute of a node of a graph ..., ten thousand times. */
static void spoil_nesting(struct out *graph)
{
    struct out inner = {0};

    for (int i = 0; i < 10000; i++) {
        struct out attr = {0};
        struct out node = out_node("If", NAMES("x"), NAMES("z"));
        struct out outer = {0};
        out_text(&attr, 1, "then_branch");
        out_record(&attr, 6, &inner);
        out_record(&node, 5, &attr);
        out_record(&outer, 1, &node);
        inner = outer;
    }
    out_raw(graph, inner.bytes, inner.len);
    out_free(&inner);
}

/* The same in the type of an input: an optional of a sequence of an optional ... */
static void spoil_nested_type(struct out *graph)
{
    struct out type = {0};
    struct out info = {0};

    for (int i = 0; i < 10000; i++) {
        struct out sequence = {0};
        struct out outer = {0};
        out_record(&sequence, 1, &type);
        out_record(&outer, 4, &sequence);
        type = outer;
    }
    out_text(&info, 1, "deep");
    out_record(&info, 2, &type);
    out_record(graph, 11, &info);
}

static void spoil_negative_input(struct out *graph)
{
    struct out dim = {0};
    struct out shape = {0};
    struct out tensor = {0};
    struct out type = {0};
    struct out info = {0};

    out_int(&dim, 1, -7);
    out_record(&shape, 1, &dim);
    out_int(&tensor, 1, 1);
    out_record(&tensor, 2, &shape);
    out_record(&type, 1, &tensor);
    out_text(&info, 1, "minus");
    out_record(&info, 2, &type);
    out_record(graph, 11, &info);
}

static void spoil_length(struct out *graph)
{
    out_raw(graph, "\x0a\xff\xff\xff\xff\x0f", 6);
}

static void spoil_group(struct out *graph)
{
    out_raw(graph, "\x0b\x0c", 2);
}

static void spoil_wire_type(struct out *graph)
{
    out_int(graph, 1, 5);
}

static const struct {
    void (*spoil)(struct out *graph);
    enum err err;
    const char *text;
} bad_graphs[] = {
    {spoil_cycle, ERR_FORMAT, "node 3 (Relu): is part of a cycle, through 'a'"},
    {spoil_unknown_op, ERR_UNSUPPORTED, "node 2 (Frobnicate): this operator of opset 11 is not supported"},
    {spoil_missing_input, ERR_FORMAT, "node 2 (Relu): reads 'nowhere', which nothing defines"},
    {spoil_missing_output, ERR_FORMAT, "the output 'absent' is produced by no node"},
    {spoil_two_producers, ERR_FORMAT, "node 2 (Relu): its output 'y' is defined twice"},
    {spoil_two_constants, ERR_FORMAT, "initializer 'c': the name 'c' is defined twice"},
    {spoil_no_op_name, ERR_FORMAT, "node 2, no operator: its operator has no name"},
    {spoil_name_bytes, ERR_FORMAT, "node 2, Relu: a value's name is not UTF-8 or holds control characters"},
    {spoil_name_control, ERR_FORMAT, "node 2, Relu: a value's name is not UTF-8 or holds control characters"},
    {spoil_many_inputs, ERR_LIMIT, "node 2, Sum: more than 64 inputs or outputs"},
    {spoil_huge_tensor, ERR_FORMAT,
     "initializer: tensor 'w': shape [1048576, 262144] needs 1099511627776 bytes, the file holds 8"},
    {spoil_overflowing_tensor, ERR_FORMAT,
     "initializer: tensor 'w': shape [9223372036854775807, 4] is negative or too large"},
    {spoil_overflowing_bytes, ERR_FORMAT,
     "initializer: tensor 'w': shape [4611686018427387903] is negative or too large"},
    {spoil_negative_tensor, ERR_FORMAT, "initializer: tensor 'w': shape [-2, -1] is negative or too large"},
    {spoil_short_tensor, ERR_FORMAT, "initializer: tensor 'w': shape [3] needs 12 bytes, the file holds 8"},
    {spoil_half_tensor, ERR_UNSUPPORTED, "initializer: tensor 'w': type float16 (10) is not supported"},
    {spoil_unknown_type, ERR_UNSUPPORTED, "initializer: tensor 'w': type unknown (1000) is not supported"},
    {spoil_deep_tensor, ERR_UNSUPPORTED, "initializer: tensor 'w': more than 8 dimensions"},
    {spoil_external_data, ERR_UNSUPPORTED,
     "initializer: tensor 'w': external data are not supported: all data must be in the file"},
    {spoil_sparse, ERR_UNSUPPORTED, "sparse tensors are not supported"},
    {spoil_two_attributes, ERR_FORMAT, "node 2, LeakyRelu: has two attributes 'alpha'"},
    {spoil_attribute_kind, ERR_FORMAT, NULL},
    {spoil_nesting, ERR_UNSUPPORTED, "node 2, If: attribute 'then_branch' is a sub-graph, which is not supported"},
    {spoil_nested_type, ERR_UNSUPPORTED, "input: 'deep': it is no tensor (a sequence, map or optional)"},
    {spoil_negative_input, ERR_FORMAT, "input: 'minus': its shape is damaged"},
    {spoil_length, ERR_FORMAT, "the graph is truncated or damaged"},
    {spoil_group, ERR_FORMAT, "the graph is truncated or damaged"},
    {spoil_wire_type, ERR_FORMAT, NULL},
};

/* Refused with these words, if words are given; nothing stays, and nothing out of proportion is ever allocated. */
static void check_refused(const struct out *model, enum err wanted, const char *text, size_t row)
{
    size_t blocks = mem_live_blocks();

    for (int purpose = 0; purpose < 2; purpose++) {
        struct graph *graph = NULL;
        struct err_note note = {0};
        enum err err = onnx_load(model->bytes, model->len, (enum onnx_purpose)purpose, &graph, NULL, &note);
        if (err != wanted || note.text[0] == '\0' || (text != NULL && strcmp(note.text, text) != 0)) {
            fail_msg("row %zu: %s: %s", row, err_word(err), note.text);
        }
        assert_null(graph);
        if (mem_live_blocks() != blocks) {
            fail_msg("row %zu leaks", row);
        }
    }
}

static void bad_graphs_are_refused_in_words(void **state)
{
    for (size_t i = 0; i < sizeof bad_graphs / sizeof *bad_graphs; i++) {
        struct out graph = small_graph();
        bad_graphs[i].spoil(&graph);
        struct out model = out_model(&graph, 11);
        check_refused(&model, bad_graphs[i].err, bad_graphs[i].text, i);
        out_free(&model);
    }
}

static void spoil_no_graph(struct out *model)
{
    out_free(model);
    out_int(model, 1, 8);
}

static void spoil_two_graphs(struct out *model)
{
    struct out graph = small_graph();

    out_record(model, 7, &graph);
}

static void spoil_functions(struct out *model)
{
    out_bytes(model, 25, "", 0);
}

static void spoil_training(struct out *model)
{
    out_bytes(model, 20, "", 0);
}

static void spoil_opsets(struct out *model)
{
    struct out import = {0};

    out_int(&import, 2, 12);
    out_record(model, 8, &import);
}

static void spoil_opset_zero(struct out *model)
{
    struct out import = {0};

    out_text(&import, 1, "com.example");
    out_record(model, 8, &import);
}

static void spoil_empty(struct out *model)
{
    out_free(model);
    out_raw(model, "", 0);
}

static void spoil_picture(struct out *model)
{
    out_free(model);
    out_raw(model, "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16);
}

static void bad_models_are_refused_in_words(void **state)
{
    static const struct {
        void (*spoil)(struct out *model);
        enum err err;
        const char *text;
    } rows[] = {
        {spoil_no_graph, ERR_FORMAT, "the file holds no graph: is it an ONNX model?"},
        {spoil_two_graphs, ERR_FORMAT, "the file holds two graphs"},
        {spoil_functions, ERR_UNSUPPORTED, "model-local functions are not supported"},
        {spoil_training, ERR_UNSUPPORTED, "training information is not supported"},
        {spoil_opsets, ERR_FORMAT, "domain '' is imported as opset 11 and as 12"},
        {spoil_opset_zero, ERR_FORMAT, "operator set 'com.example' has version 0"},
        {spoil_empty, ERR_FORMAT, "the file holds no graph: is it an ONNX model?"},
        {spoil_picture, ERR_FORMAT, "the model is truncated or damaged"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct out graph = small_graph();
        struct out model = out_model(&graph, 11);
        rows[i].spoil(&model);
        check_refused(&model, rows[i].err, rows[i].text, i);
        out_free(&model);
    }
}

/* Many tiny nodes are the densest way to make us allocate; the factor is what onnx.h calls a small multiple. */
static void memory_stays_in_proportion_to_the_file(void **state)
{
    struct out graph = {0};
    char in[16];
    char out[16];
    struct out info = out_value_info("0", DIMS(1));

    out_record(&graph, 11, &info);
    for (int i = 0; i < 16000; i++) {
        (void)snprintf(in, sizeof in, "%x", (unsigned)i);
        (void)snprintf(out, sizeof out, "%x", (unsigned)i + 1);
        add_node(&graph, "Relu", NAMES(in), NAMES(out));
    }
    info = out_value_info(out, DIMS(1));
    out_record(&graph, 12, &info);
    struct out model = out_model(&graph, 11);
    size_t before = mem_live_bytes();
    struct graph *loaded;
    struct err_note note = {0};
    enum err err = onnx_load(model.bytes, model.len, ONNX_FOR_INFERENCE, &loaded, NULL, &note);
    if (err != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    assert_true(mem_live_bytes() - before <= 10 * model.len + ((size_t)5 << 20));
    graph_free(loaded);
    out_free(&model);
}

/* ---- Damage ------------------------------------------------------------------------------------------------------ */

/* Whatever it is, it loads or is refused in words; what loads may be run. */
static void offer(const unsigned char *bytes, size_t n_bytes)
{
    size_t blocks = mem_live_blocks();
    struct graph *graph = NULL;
    struct err_note note = {0};
    struct session *session;

    enum err err = onnx_load(bytes, n_bytes, ONNX_FOR_INFERENCE, &graph, NULL, &note);
    if (err != ERR_NONE) {
        assert_true(note.text[0] != '\0');
        assert_true(err == ERR_FORMAT || err == ERR_UNSUPPORTED || err == ERR_LIMIT);
    } else {
        float x[8] = {0};
        struct tensor in = {DTYPE_F32, {2, {4, 2}}, x};
        struct tensor out[16];
        struct session_options options = {.memory_limit = (size_t)1 << 20};
        assert_int_equal(session_new(graph, &options, &session), ERR_NONE);
        int n_outputs = graph_output_count(graph);
        if (n_outputs <= 16) {
            err = session_run(session, &in, 1, out, n_outputs, &note);
            assert_true(err == ERR_NONE || note.text[0] != '\0');
        }
        session_free(session);
    }
    graph_free(graph);
    assert_int_equal(mem_live_blocks(), blocks);
}

/* A model with an attribute, a typed tensor and shapes, of the standard's own cases if they are installed. */
static void damaged_files_are_refused_or_harmless(void **state)
{
    static const char *const files[] = {
        "/usr/share/libonnx-testdata/data/pytorch-converted/test_Conv2d_groups/model.onnx",
        "/usr/share/libonnx-testdata/data/pytorch-converted/test_PReLU_2d/model.onnx",
        "/usr/share/libonnx-testdata/data/simple/test_expand_shape_model1/model.onnx",
        NULL,
    };
    struct random random = random_seeded(11, 0);

    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        struct out model = {0};
        unsigned char *bytes;
        size_t n_bytes;
        if (files[f] == NULL) {
            struct out graph = small_graph();
            model = out_model(&graph, 11);
        } else if (file_read(files[f], (size_t)1 << 20, &bytes, &n_bytes, NULL) == ERR_NONE) {
            out_raw(&model, bytes, n_bytes);
            mem_free(bytes);
        } else {
            printf("# no %s (Debian package libonnx-testdata)\n", files[f]);
            continue;
        }
        /* Exact copies, so that AddressSanitizer sees a read beyond the end. */
        size_t step = model.len / 400 + 1;
        for (size_t len = 0; len < model.len; len += step) {
            unsigned char *cut = mem_copy(model.bytes, len);
            offer(cut, len);
            mem_free(cut);
        }
        for (int i = 0; i < 1500; i++) {
            unsigned char *copy = mem_copy(model.bytes, model.len);
            for (uint64_t k = random_below(&random, 4) + 1; k > 0; k--) {
                copy[random_below(&random, model.len)] ^= (unsigned char)(1U << random_below(&random, 8));
            }
            offer(copy, model.len);
            mem_free(copy);
        }
        out_free(&model);
    }
}

/* Files that once crashed or hung the loader. */
static void old_crashers_stay_harmless(void **state)
{
    DIR *folder = opendir("tests/crashers/onnx");

    if (folder == NULL) {
        return; /* none so far */
    }
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        char path[512];
        unsigned char *bytes;
        size_t n_bytes;
        if (entry->d_name[0] == '.') {
            continue;
        }
        (void)snprintf(path, sizeof path, "tests/crashers/onnx/%s", entry->d_name);
        assert_int_equal(file_read(path, (size_t)16 << 20, &bytes, &n_bytes, NULL), ERR_NONE);
        offer(bytes, n_bytes);
        mem_free(bytes);
    }
    (void)closedir(folder);
}

static void every_failed_allocation_is_survived(void **state)
{
    size_t blocks = mem_live_blocks();
    struct out graph = small_graph();
    struct out model = out_model(&graph, 11);
    size_t with_model = mem_live_blocks();
    enum err err = ERR_NOMEM;

    for (long n = 0; err != ERR_NONE; n++) {
        struct graph *loaded = NULL;
        struct err_note note = {0};
        mem_fail_at(n);
        err = onnx_load(model.bytes, model.len, ONNX_FOR_INFERENCE, &loaded, NULL, &note);
        mem_fail_at(-1);
        if (err != ERR_NONE && (err != ERR_NOMEM || note.text[0] == '\0' || n > 50)) {
            fail_msg("allocation %ld: %s: %s", n, err_word(err), note.text);
        }
        graph_free(loaded);
        assert_int_equal(mem_live_blocks(), with_model);
    }
    out_free(&model);
    assert_int_equal(mem_live_blocks(), blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_model_loads_and_computes),
        cmocka_unit_test(initialisers_that_are_inputs_too_are_constants),
        cmocka_unit_test(bad_graphs_are_refused_in_words),
        cmocka_unit_test(bad_models_are_refused_in_words),
        cmocka_unit_test(memory_stays_in_proportion_to_the_file),
        cmocka_unit_test(damaged_files_are_refused_or_harmless),
        cmocka_unit_test(old_crashers_stay_harmless),
        cmocka_unit_test(every_failed_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
