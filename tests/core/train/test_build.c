/* test_build.c: the networks have the structure that is published, run, and are a function of their seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/graph/session.h"
#include "core/onnx/onnx.h"
#include "core/onnx/onnx_save.h"
#include "core/train/build.h"

#define MOST_IMAGES 3
#define IMAGE_FLOATS (3 * BUILD_SIDE * BUILD_SIDE)

static struct graph *build(enum build_network network, uint64_t seed)
{
    struct build_options options = {.seed = seed};
    struct err_note note = {0};
    struct graph *graph = NULL;

    if (build_network(network, &options, &graph, &note) != ERR_NONE) {
        fail_msg("%s: %s", build_name(network), note.text);
    }
    return graph;
}

static float *images(int count, uint64_t seed)
{
    struct random random = random_seeded(seed, 0);
    float *data = MEM_ARRAY(float, (size_t)count *IMAGE_FLOATS);

    assert_non_null(data);
    for (int i = 0; i < count * IMAGE_FLOATS; i++) {
        data[i] = (float)random_normal(&random);
    }
    return data;
}

/* Runs with every value kept. */
static struct session *run(const struct graph *graph, float *data, int count, struct tensor *ret)
{
    struct tensor input = {DTYPE_F32, {4, {count, 3, BUILD_SIDE, BUILD_SIDE}}, data};
    struct session_options options = {.keep_all = true};
    struct session *session;
    struct err_note note = {0};

    assert_int_equal(session_new(graph, &options, &session), ERR_NONE);
    if (session_run(session, &input, 1, ret, 1, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    return session;
}

/* ---- Structure --------------------------------------------------------------------------------------------------- */

struct counts {
    double parameters; /* learnt numbers: all constants but the running statistics */
    double macs;       /* of convolutions and products, for one image */
    int norms;         /* BatchNormalization nodes */
    int norm_channels;
};

static bool is_running(const char *name)
{
    return strstr(name, "running_") != NULL;
}

static struct counts count(const struct graph *graph, const struct session *session)
{
    struct counts counts = {0};

    for (value_id id = 0; id < graph_value_count(graph); id++) {
        const struct tensor *constant = graph_constant(graph, id);
        if (constant != NULL && !is_running(graph_value_name(graph, id))) {
            counts.parameters += (double)shape_elements(&constant->shape);
        }
    }
    for (int i = 0; i < graph_node_count(graph); i++) {
        const struct graph_node *node = graph_node(graph, i);
        const struct tensor *out = session_value(session, node->out[0]);
        assert_non_null(out);
        if (node->op->kind == OP_BATCH_NORM) {
            counts.norms++;
            counts.norm_channels += (int)out->shape.dim[1];
        } else if (node->op->kind == OP_CONV || node->op->kind == OP_GEMM) {
            double pixels = out->shape.rank == 4 ? (double)(out->shape.dim[2] * out->shape.dim[3]) : 1;
            counts.macs += (double)shape_elements(&graph_constant(graph, node->in[1])->shape) * pixels;
        }
    }
    return counts;
}

/*
 * Millions of parameters, 10⁹ multiplications, BatchNormalizations and their channels, as published; y1's as counted in
 * the published file.
 */
static const struct row {
    enum build_network network;
    double parameters, macs;
    int norms, channels, outputs;
} rows[] = {
    {BUILD_IRESNET18, 24.03, 2.61, 31, 7360, 512},  {BUILD_IRESNET34, 34.14, 4.46, 55, 12928, 512},
    {BUILD_IRESNET50, 43.59, 6.31, 79, 19072, 512}, {BUILD_IRESNET100, 65.16, 12.09, 154, 34816, 512},
    {BUILD_MBF, 2.06, 0.438, 50, 11904, 512},       {BUILD_MBF_Y1, 1.003264, 0.221, 50, 9792, 128},
    {BUILD_SMALL, 1.031456, 0.216, 13, 1664, 128},
};

static void test_structure(void **state)
{
    size_t blocks = mem_live_blocks();

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        struct graph *graph = build(row->network, 1);
        float *data = images(1, i);
        struct tensor out;
        struct session *session = run(graph, data, 1, &out);
        struct counts counts = count(graph, session);

        print_message("%s: %.0f parameters, %.4f GMAC, %d norms of %d channels\n", build_name(row->network),
                      counts.parameters, counts.macs / 1e9, counts.norms, counts.norm_channels);
        if (fabs(counts.parameters / 1e6 - row->parameters) > 0.00501) {
            fail_msg("row %zu: %.0f parameters", i, counts.parameters);
        }
        if (row->macs > 0 && fabs(counts.macs / 1e9 - row->macs) > 0.00501) {
            fail_msg("row %zu: %.0f multiplications", i, counts.macs);
        }
        if (counts.norms != row->norms || (row->channels > 0 && counts.norm_channels != row->channels)) {
            fail_msg("row %zu: %d norms of %d channels", i, counts.norms, counts.norm_channels);
        }
        if (out.shape.rank != 2 || out.shape.dim[0] != 1 || out.shape.dim[1] != row->outputs) {
            fail_msg("row %zu: output of rank %d", i, out.shape.rank);
        }
        for (int k = 0; k < row->outputs; k++) {
            if (!isfinite(((float *)out.data)[k])) {
                fail_msg("row %zu: output %d is not finite", i, k);
            }
        }
        session_free(session);
        mem_free(data);
        graph_free(graph);
    }
    assert_int_equal(mem_live_blocks(), blocks);
}

/* The embedding of an image does not depend on its batch. */
static void test_batch(void **state)
{
    static const enum build_network networks[] = {BUILD_IRESNET18, BUILD_MBF, BUILD_MBF_Y1};
    size_t blocks = mem_live_blocks();

    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++) {
        struct graph *graph = build(networks[i], 2);
        float *data = images(MOST_IMAGES, 3);
        struct tensor all;
        struct session *session = run(graph, data, MOST_IMAGES, &all);
        int d = (int)all.shape.dim[1];

        assert_int_equal(all.shape.dim[0], MOST_IMAGES);
        for (int b = 0; b < MOST_IMAGES; b++) {
            struct tensor one;
            struct session *alone = run(graph, data + (size_t)b * IMAGE_FLOATS, 1, &one);
            double square = 0;
            for (int k = 0; k < d; k++) {
                square += (double)((float *)one.data)[k] * (double)((float *)one.data)[k];
            }
            for (int k = 0; k < d; k++) {
                float other = ((float *)all.data)[b * d + k];
                if (!(fabs((double)(other - ((float *)one.data)[k])) <= 1e-4 * sqrt(square / d))) {
                    fail_msg("row %zu: image %d, number %d", i, b, k);
                }
            }
            /* Neither vanished nor exploded: the last BatchNormalization leaves numbers of the order of one. */
            if (!(square / d > 0.01 && square / d < 100)) {
                fail_msg("row %zu: image %d has a mean square of %g", i, b, square / d);
            }
            session_free(alone);
        }
        session_free(session);
        mem_free(data);
        graph_free(graph);
    }
    assert_int_equal(mem_live_blocks(), blocks);
}

/* ---- First weights ----------------------------------------------------------------------------------------------- */

static const struct tensor *find(const struct graph *graph, const char *name)
{
    for (value_id id = 0; id < graph_value_count(graph); id++) {
        if (strcmp(graph_value_name(graph, id), name) == 0) {
            assert_non_null(graph_constant(graph, id));
            return graph_constant(graph, id);
        }
    }
    fail_msg("no constant '%s'", name);
    return NULL;
}

/* Mean and deviation of a constant's numbers. */
static const struct weight_row {
    enum build_network network;
    const char *name;
    double mean, deviation;
} weight_rows[] = {
    {BUILD_IRESNET18, "conv1.weight", 0, 0.1},
    {BUILD_IRESNET18, "layer4.1.conv2.weight", 0, 0.1},
    {BUILD_IRESNET18, "layer2.0.downsample.0.weight", 0, 0.1},
    {BUILD_IRESNET18, "layer3.0.prelu.weight", 0.25, 0},
    {BUILD_IRESNET18, "layer3.0.bn1.weight", 1, 0},
    {BUILD_IRESNET18, "layer3.0.bn3.bias", 0, 0},
    {BUILD_IRESNET18, "fc.weight", 0, 0.0036450}, /* 1 / √(3 · 25088) */
    {BUILD_IRESNET18, "features.weight", 1, 0},
    {BUILD_MBF, "layers.0.layers.0.weight", 0, 0.0416667},                   /* √(2 / (128 · 9)) */
    {BUILD_MBF, "layers.3.layers.2.layers.1.layers.0.weight", 0, 0.0416667}, /* √(2 / (128 · 9)) */
    {BUILD_MBF, "conv_sep.layers.0.weight", 0, 0.0625},                      /* √(2 / 512) */
    {BUILD_MBF, "features.layers.2.weight", 0, 0.0625},
    {BUILD_MBF_Y1, "features.layers.3.bias", 0, 0},
};

static void test_first_weights(void **state)
{
    size_t blocks = mem_live_blocks();

    for (size_t i = 0; i < sizeof weight_rows / sizeof *weight_rows; i++) {
        const struct weight_row *row = &weight_rows[i];
        struct graph *graph = build(row->network, 5);
        const struct tensor *tensor = find(graph, row->name);
        double n = (double)shape_elements(&tensor->shape);
        double sum = 0;
        double square = 0;
        for (int64_t k = 0; k < (int64_t)n; k++) {
            double v = (double)((const float *)tensor->data)[k];
            sum += v;
            square += v * v;
        }
        double mean = sum / n;
        double deviation = sqrt(fmax(0, square / n - mean * mean));
        /* Four standard errors of the mean, and of the deviation (0.71 of it). */
        if (fabs(mean - row->mean) > 4 * row->deviation / sqrt(n) + 1e-9 ||
            fabs(deviation - row->deviation) > 3 * row->deviation / sqrt(n) + 1e-6) {
            fail_msg("row %zu: mean %g, deviation %g", i, mean, deviation);
        }
        graph_free(graph);
    }
    assert_int_equal(mem_live_blocks(), blocks);
}

static void file_hash(const struct graph *graph, unsigned char ret[HASH_SHA256_BYTES])
{
    unsigned char *bytes;
    size_t n_bytes;

    assert_int_equal(onnx_save(graph, NULL, &bytes, &n_bytes, NULL), ERR_NONE);
    hash_sha256(bytes, n_bytes, ret);
    mem_free(bytes);
}

static void test_seed(void **state)
{
    size_t blocks = mem_live_blocks();
    static const uint64_t seeds[] = {7, 7, 8};
    unsigned char hash[3][HASH_SHA256_BYTES];

    for (int i = 0; i < 3; i++) {
        struct graph *graph = build(BUILD_MBF_Y1, seeds[i]);
        file_hash(graph, hash[i]);
        graph_free(graph);
    }
    assert_memory_equal(hash[0], hash[1], HASH_SHA256_BYTES);
    assert_memory_not_equal(hash[0], hash[2], HASH_SHA256_BYTES);
    assert_int_equal(mem_live_blocks(), blocks);
}

/* ---- Weights from elsewhere -------------------------------------------------------------------------------------- */

struct giving {
    int asked;
    int fail_at; /* -1: never */
};

static enum err give(void *context, const char *name, const struct shape *shape, float *ret, struct err_note *note)
{
    struct giving *giving = context;

    if (giving->asked++ == giving->fail_at) {
        return ERR_SAY(note, ERR_FORMAT, "no '%s'", name);
    }
    for (int64_t i = 0; i < shape_elements(shape); i++) {
        ret[i] = (float)strlen(name);
    }
    return ERR_NONE;
}

static void test_source(void **state)
{
    size_t blocks = mem_live_blocks();
    struct giving giving = {.fail_at = -1};
    struct build_source source = {give, &giving};
    struct build_options options = {.source = &source, .embedding = 64};
    struct graph *graph = NULL;
    struct err_note note = {0};

    assert_int_equal(build_network(BUILD_IRESNET18, &options, &graph, &note), ERR_NONE);
    /* 21 convolutions, 31 norms of four, 9 slopes, the product's two. */
    assert_int_equal(giving.asked, 21 + 31 * 4 + 9 + 2);
    assert_float_equal(*(const float *)find(graph, "fc.bias")->data, 7, 0);
    assert_int_equal(find(graph, "fc.weight")->shape.dim[0], 64);
    graph_free(graph);

    graph = NULL;
    giving = (struct giving){.fail_at = 30};
    assert_int_equal(build_network(BUILD_IRESNET18, &options, &graph, &note), ERR_FORMAT);
    assert_null(graph);
    assert_int_equal(giving.asked, 31); /* nothing is asked for after the first failure */
    assert_string_equal(note.text, "no 'layer1.1.conv1.weight'");
    assert_int_equal(mem_live_blocks(), blocks);
}

/* ---- Weights from a safetensors file ----------------------------------------------------------------------------- */

#define HEADER_BYTES ((size_t)1 << 20)

struct file {
    char *header;
    size_t header_len;
    unsigned char *data;
    size_t data_len;
};

static void append(struct file *file, const char *name, const char *type, const struct shape *shape, const void *data,
                   size_t n_bytes)
{
    char dims[SHAPE_TEXT_BYTES];

    file->header_len += (size_t)snprintf(file->header + file->header_len, HEADER_BYTES - file->header_len,
                                         "%s\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}",
                                         file->header_len == 0 ? "{" : ",", name, type, shape_text(shape, dims),
                                         file->data_len, file->data_len + n_bytes);
    memcpy(file->data + file->data_len, data, n_bytes);
    file->data_len += n_bytes;
}

/* What is wrong with a file, and what is said about it. */
static const struct file_row {
    enum build_network network; /* that the y1 file is read as */
    const char *left_out;
    const char *added;
    const char *flattened; /* written as a vector */
    const char *said;      /* NULL: read */
} file_rows[] = {
    {BUILD_MBF_Y1, "", NULL, "", NULL},
    {BUILD_MBF_Y1, "conv_sep.layers.0.weight", NULL, "", "holds no 'model.net.conv_sep.layers.0.weight'"},
    {BUILD_MBF_Y1, "features.layers.3.running_mean", NULL, "", "it is another network"},
    {BUILD_MBF_Y1, "", "model.net.head.weight", "", "'model.net.head.weight' has no place"},
    {BUILD_MBF_Y1, "", "ema.features.layers.3.running_mean", "", "two networks"},
    {BUILD_MBF_Y1, "", "model.net.more.num_batches_tracked", "", NULL},
    {BUILD_MBF_Y1, "", NULL, "conv_sep.layers.0.weight", "'model.net.conv_sep.layers.0.weight' has the shape [65536]"},
    {BUILD_MBF, "", NULL, "", "has the shape [64, 3, 3, 3]; this network needs [128, 3, 3, 3]"},
    {BUILD_IRESNET18, "", NULL, "", "holds no vector 'features.running_mean'"},
};

/* As CVLface writes them: a prefix, slopes as vectors, counters that nobody needs. */
static unsigned char *safetensors_of(const struct graph *graph, const struct file_row *row, size_t *ret_bytes)
{
    static const int64_t counter = 5;
    const struct shape scalar = {0};
    size_t room = graph_constant_bytes(graph) + 4096;
    struct file file = {mem_new(HEADER_BYTES, 1), 0, mem_new(room, 1), 0};

    for (value_id id = 0; id < graph_value_count(graph); id++) {
        const struct tensor *constant = graph_constant(graph, id);
        char name[128];
        (void)snprintf(name, sizeof name, "model.net.%s", graph_value_name(graph, id));
        if (constant == NULL || strcmp(row->left_out, graph_value_name(graph, id)) == 0) {
            continue;
        }
        struct shape shape = constant->shape;
        if (shape.rank == 3 || strcmp(row->flattened, graph_value_name(graph, id)) == 0) {
            shape = (struct shape){1, {shape_elements(&shape)}};
        }
        append(&file, name, "F32", &shape, constant->data, tensor_bytes(constant));
        char *end = strstr(name, "running_mean");
        if (end != NULL) {
            (void)snprintf(end, sizeof name - (size_t)(end - name), "num_batches_tracked");
            append(&file, name, "I64", &scalar, &counter, sizeof counter);
        }
    }
    if (row->added != NULL) {
        append(&file, row->added, "I64", &scalar, &counter, sizeof counter);
    }
    file.header[file.header_len++] = '}';
    *ret_bytes = 8 + file.header_len + file.data_len;
    unsigned char *bytes = mem_new(*ret_bytes, 1);
    for (int i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)(file.header_len >> (8 * i));
    }
    memcpy(bytes + 8, file.header, file.header_len);
    memcpy(bytes + 8 + file.header_len, file.data, file.data_len);
    mem_free(file.header);
    mem_free(file.data);
    return bytes;
}

static void test_safetensors(void **state)
{
    size_t blocks = mem_live_blocks();
    struct build_options options = {.seed = 3, .embedding = 48}; /* the file says how many numbers */
    struct graph *graph;
    unsigned char hash[2][HASH_SHA256_BYTES];

    assert_int_equal(build_network(BUILD_MBF_Y1, &options, &graph, NULL), ERR_NONE);
    file_hash(graph, hash[0]);
    for (size_t i = 0; i < sizeof file_rows / sizeof *file_rows; i++) {
        const struct file_row *row = &file_rows[i];
        size_t n_bytes;
        unsigned char *bytes = safetensors_of(graph, row, &n_bytes);
        struct graph *read = NULL;
        struct err_note note = {0};
        enum err err = build_from_safetensors(row->network, bytes, n_bytes, &read, &note);
        if (err != (row->said == NULL ? ERR_NONE : ERR_FORMAT) ||
            (row->said != NULL && strstr(note.text, row->said) == NULL)) {
            fail_msg("row %zu: %s, \"%s\"", i, err_word(err), note.text);
        }
        if (err == ERR_NONE) {
            file_hash(read, hash[1]);
            assert_memory_equal(hash[0], hash[1], HASH_SHA256_BYTES);
        } else {
            assert_null(read);
        }
        graph_free(read);
        mem_free(bytes);
    }
    /* Every allocation may fail. */
    size_t n_bytes;
    unsigned char *bytes = safetensors_of(graph, &file_rows[0], &n_bytes);
    size_t before = mem_live_blocks();
    for (long n = 0;; n++) {
        struct graph *read = NULL;
        struct err_note note = {0};
        mem_fail_at(n);
        enum err err = build_from_safetensors(BUILD_MBF_Y1, bytes, n_bytes, &read, &note);
        mem_fail_at(-1);
        if (err == ERR_NONE) {
            assert_true(n > 2);
            graph_free(read);
            break;
        }
        assert_int_equal(err, ERR_NOMEM);
        assert_string_not_equal(note.text, "");
        assert_int_equal(mem_live_blocks(), before);
    }
    mem_free(bytes);
    graph_free(graph);
    assert_int_equal(mem_live_blocks(), blocks);
}

static void test_names_and_limits(void **state)
{
    size_t blocks = mem_live_blocks();
    enum build_network network;
    struct graph *graph = NULL;

    assert_true(build_find("r100", &network));
    assert_int_equal(network, BUILD_IRESNET100);
    assert_true(build_find("y1", &network));
    assert_string_equal(build_name(network), "y1");
    assert_false(build_find("r101", &network));

    static const int wrong[] = {-1, 4097};
    for (size_t i = 0; i < 2; i++) {
        struct build_options options = {.embedding = wrong[i]};
        struct err_note note = {0};
        assert_int_equal(build_network(BUILD_MBF, &options, &graph, &note), ERR_MISUSE);
        assert_string_not_equal(note.text, "");
    }
    /* Every allocation may fail. */
    struct build_options options = {.embedding = 16};
    for (long n = 0;; n++) {
        struct err_note note = {0};
        mem_fail_at(n);
        enum err err = build_network(BUILD_MBF_Y1, &options, &graph, &note);
        mem_fail_at(-1);
        if (err == ERR_NONE) {
            assert_true(n > 1);
            break;
        }
        assert_int_equal(err, ERR_NOMEM);
        assert_string_not_equal(note.text, "");
        assert_int_equal(mem_live_blocks(), blocks);
    }
    graph_free(graph);
    assert_int_equal(mem_live_blocks(), blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_structure),   cmocka_unit_test(test_batch),  cmocka_unit_test(test_first_weights),
        cmocka_unit_test(test_seed),        cmocka_unit_test(test_source), cmocka_unit_test(test_names_and_limits),
        cmocka_unit_test(test_safetensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
