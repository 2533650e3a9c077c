/* test_embed.c: recognisers of a few nodes whose vectors can be said in advance. */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/face/embed.h"
#include "tests/core/face/tiny_graph.h"

enum {
    SIDE = 4,
    DIM = 6 /* each channel's first and last column of row 0 */
};

enum kind {
    KIND_FREE,     /* Flatten: any batch */
    KIND_PINNED,   /* Reshape [1, -1], as mobilefacenet_128 */
    KIND_PINNED_2, /* Reshape [1, d]: fails for two */
    KIND_MIXED,    /* transposes images and channels, so that a batch's vectors mix */
    KIND_FOUR,     /* [n, d, 1, 1] */
    KIND_NAN,      /* 0 / 0 on black */
    KIND_CLASSES,  /* Softmax */
    KIND_MAP,      /* [n, 3, 4, 4] */
    KIND_ONE       /* [n, 1] */
};

/* Linear in the pixels, so that the wanted vector is a product worked out beside it. */
static const float *weights(void)
{
    static float w[DIM * 3 * SIDE * SIDE];

    for (int d = 0; d < DIM; d++) {
        for (int i = 0; i < 3 * SIDE * SIDE; i++) {
            w[d * 3 * SIDE * SIDE + i] = (float)((d * 31 + i * 17) % 23 - 11) / 8;
        }
    }
    return w;
}

static struct graph *recognizer_graph_of(enum kind kind, int64_t batch)
{
    struct graph *graph = tiny_new();
    value_id y = tiny_input(graph, batch, 3, SIDE, SIDE);
    const int64_t flat[2] = {1, kind == KIND_PINNED_2 ? 3 * SIDE * SIDE : -1};
    const int64_t mixed[2] = {-1, 3 * SIDE * SIDE};
    const int64_t four[4] = {-1, DIM, 1, 1};
    const int64_t perm[4] = {2, 3, 0, 1};
    const struct attr attr_perm = {.name = "perm", .kind = ATTR_INTS, .ints = perm, .count = 4};
    const struct attr attr_axis = {.name = "axis", .kind = ATTR_INT, .i = 1};

    if (kind == KIND_MAP) {
        tiny_output(graph, tiny_node(graph, "Relu", NULL, 0, y, -1, -1));
        return tiny_seal(graph);
    }
    if (kind == KIND_NAN) {
        y = tiny_node(graph, "Div", NULL, 0, y, y, -1);
    }
    if (kind == KIND_MIXED) {
        y = tiny_node(graph, "Transpose", &attr_perm, 1, y, -1, -1);
        y = tiny_node(graph, "Reshape", NULL, 0, y, tiny_ints(graph, 2, mixed), -1);
    } else if (kind == KIND_PINNED_2) {
        y = tiny_node(graph, "Reshape", NULL, 0, y, tiny_ints(graph, 2, flat), -1);
    } else {
        y = tiny_node(graph, "Flatten", &attr_axis, 1, y, -1, -1);
    }
    const int64_t dim = kind == KIND_ONE ? 1 : DIM;
    float transposed[3 * SIDE * SIDE * DIM];
    for (int i = 0; i < 3 * SIDE * SIDE; i++) {
        for (int d = 0; d < dim; d++) {
            transposed[i * dim + d] = weights()[d * 3 * SIDE * SIDE + i];
        }
    }
    y = tiny_node(graph, "MatMul", NULL, 0, y,
                  tiny_floats(graph, (struct shape){.rank = 2, .dim = {3 * SIDE * SIDE, dim}}, transposed), -1);
    if (kind == KIND_PINNED) {
        y = tiny_node(graph, "Reshape", NULL, 0, y, tiny_ints(graph, 2, flat), -1);
    } else if (kind == KIND_FOUR) {
        y = tiny_node(graph, "Reshape", NULL, 0, y, tiny_ints(graph, 4, four), -1);
    } else if (kind == KIND_CLASSES) {
        y = tiny_node(graph, "Softmax", &attr_axis, 1, y, -1, -1);
    }
    tiny_output(graph, y);
    return tiny_seal(graph);
}

static const struct recognizer_options plain = {.how = {COLOR_RGB, {100, 110, 120}, {50, 60, 70}}};
static const struct recognizer_options flipping = {.how = {COLOR_RGB, {100, 110, 120}, {50, 60, 70}}, .flip = true};

/* What the network must say to a crop, by the definition. */
static void want_vector(const struct image *crop, bool flip, double ret[DIM], double *ret_norm)
{
    double sum = 0;

    for (int d = 0; d < DIM; d++) {
        ret[d] = 0;
        for (int pass = 0; pass < (flip ? 2 : 1); pass++) {
            for (int i = 0; i < 3 * SIDE * SIDE; i++) {
                const int c = i / (SIDE * SIDE);
                const int y = i / SIDE % SIDE;
                const int x = pass == 0 ? i % SIDE : SIDE - 1 - i % SIDE;
                const double value =
                    ((double)crop->rgb[3 * (y * SIDE + x) + c] - (double)plain.how.mean[c]) / (double)plain.how.std[c];
                ret[d] += value * (double)weights()[d * 3 * SIDE * SIDE + i];
            }
        }
        sum += ret[d] * ret[d];
    }
    *ret_norm = sqrt(sum);
    for (int d = 0; d < DIM; d++) {
        ret[d] /= *ret_norm;
    }
}

static void draw(struct image *crop, uint8_t *pixels, int seed)
{
    for (int i = 0; i < 3 * SIDE * SIDE; i++) {
        pixels[i] = (uint8_t)((i + 1) * (seed * 37 + 11) % 256);
    }
    *crop = (struct image){.width = SIDE, .height = SIDE, .rgb = pixels};
}

static void vectors_are_the_networks_own(void **state)
{
    static const struct {
        enum kind kind;
        int batch;
        const struct recognizer_options *options;
        int want_batch;
    } rows[] = {
        {KIND_FREE, -1, &plain, 16},    {KIND_FREE, 1, &plain, 16}, /* a declared 1 is often wrong */
        {KIND_FREE, -1, &flipping, 16}, {KIND_PINNED, -1, &plain, 1},   {KIND_PINNED, 1, &flipping, 1},
        {KIND_PINNED_2, -1, &plain, 1}, {KIND_FOUR, -1, &flipping, 16},
    };
    enum {
        MOST = 35 /* two full batches and a rest */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct recognizer *recognizer;
        struct session *session;
        struct err_note note = {0};
        struct graph *graph = recognizer_graph_of(rows[i].kind, rows[i].batch);
        if (recognizer_new(graph, rows[i].options, &recognizer, &note) != ERR_NONE) {
            fail_msg("row %zu: %s", i, note.text);
        }
        assert_int_equal(recognizer_dim(recognizer), DIM);
        assert_int_equal(recognizer_side(recognizer), SIDE);
        assert_ptr_equal(recognizer_graph(recognizer), graph);
        if (recognizer_max_batch(recognizer) != rows[i].want_batch) {
            fail_msg("row %zu: batches of %d", i, recognizer_max_batch(recognizer));
        }
        assert_int_equal(session_new(graph, NULL, &session), ERR_NONE);
        for (int n = 0; n <= MOST; n = n < 3 ? n + 1 : n * 2 + 1 > MOST ? MOST + (n == MOST) : n * 2 + 1) {
            struct arena *mem = arena_new((size_t)4 << 20);
            static uint8_t pixels[MOST][3 * SIDE * SIDE];
            struct image crops[MOST];
            float got[MOST * DIM];
            float norms[MOST];
            for (int k = 0; k < n; k++) {
                draw(&crops[k], pixels[k], k);
            }
            if (recognizer_run(recognizer, session, crops, n, mem, got, norms, &note) != ERR_NONE) {
                fail_msg("row %zu, %d crops: %s", i, n, note.text);
            }
            for (int k = 0; k < n; k++) {
                double want[DIM];
                double norm;
                want_vector(&crops[k], rows[i].options->flip, want, &norm);
                for (int d = 0; d < DIM; d++) {
                    if (fabs((double)got[k * DIM + d] - want[d]) > 1e-5) {
                        fail_msg("row %zu, crop %d of %d, number %d: %g, not %g", i, k, n, d, (double)got[k * DIM + d],
                                 want[d]);
                    }
                }
                assert_true(fabs((double)norms[k] - norm) < 1e-4 * norm);
            }
            arena_free(mem);
        }
        session_free(session);
        recognizer_free(recognizer);
    }
    assert_int_equal(mem_live_blocks(), 0);
}

static void bad_crops_and_vectors_are_errors(void **state)
{
    struct arena *mem = arena_new((size_t)4 << 20);
    struct recognizer *recognizer;
    struct session *session;
    struct image crop;
    uint8_t pixels[3 * SIDE * SIDE];
    float got[DIM] = {42};
    struct err_note note = {0};
    const struct recognizer_options raw = {.how = {COLOR_RGB, {0, 0, 0}, {1, 1, 1}}};

    (void)state;
    struct graph *graph = recognizer_graph_of(KIND_FREE, -1);
    assert_int_equal(recognizer_new(graph, &raw, &recognizer, NULL), ERR_NONE);
    assert_int_equal(session_new(graph, NULL, &session), ERR_NONE);
    draw(&crop, pixels, 3);
    crop.width = SIDE - 1;
    assert_int_equal(recognizer_run(recognizer, session, &crop, 1, mem, got, NULL, &note), ERR_MISUSE);
    assert_non_null(strstr(note.text, "3 × 4"));
    crop.width = SIDE;
    assert_int_equal(recognizer_run(recognizer, session, &crop, -1, mem, got, NULL, NULL), ERR_MISUSE);
    memset(pixels, 0, sizeof pixels); /* a linear network says zero to black */
    note = (struct err_note){0};
    assert_int_equal(recognizer_run(recognizer, session, &crop, 1, mem, got, NULL, &note), ERR_FORMAT);
    assert_non_null(strstr(note.text, "length 0"));
    struct arena *small = arena_new(128);
    draw(&crop, pixels, 3);
    assert_int_equal(recognizer_run(recognizer, session, &crop, 1, small, got, NULL, NULL), ERR_LIMIT);
    arena_free(small);
    assert_true(got[0] == 42); /* untouched so far */
    assert_int_equal(recognizer_run(recognizer, session, &crop, 1, mem, got, NULL, NULL), ERR_NONE);
    session_free(session);
    recognizer_free(recognizer);

    /* White makes 0 / 0 behind a preprocessing with the mean 255; nothing in the probe is white. */
    const struct recognizer_options white = {.how = {COLOR_RGB, {255, 255, 255}, {1, 1, 1}}};
    graph = recognizer_graph_of(KIND_NAN, -1);
    note = (struct err_note){0};
    got[0] = 42;
    assert_int_equal(recognizer_new(graph, &white, &recognizer, &note), ERR_NONE);
    assert_int_equal(session_new(graph, NULL, &session), ERR_NONE);
    memset(pixels, 255, sizeof pixels);
    assert_int_equal(recognizer_run(recognizer, session, &crop, 1, mem, got, NULL, &note), ERR_FORMAT);
    assert_non_null(strstr(note.text, "nan"));
    assert_true(got[0] == 42);
    session_free(session);
    recognizer_free(recognizer);
    arena_free(mem);
    assert_int_equal(mem_live_blocks(), 0);
}

static void other_networks_are_refused_in_words(void **state)
{
    static const struct {
        enum kind kind;
        const char *words;
    } rows[] = {
        {KIND_CLASSES, "classifier"},
        {KIND_MAP, "[1, 3, 4, 4]"},
        {KIND_ONE, "[1, 1]"},
        {KIND_NAN, "not finite"},
    };
    /* All pixels become 0, so that KIND_NAN divides 0 by 0. */
    const struct recognizer_options black = {.how = {COLOR_RGB, {0, 0, 0}, {INFINITY, INFINITY, INFINITY}}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct recognizer *recognizer = NULL;
        struct err_note note = {0};
        const enum err err = recognizer_new(recognizer_graph_of(rows[i].kind, -1),
                                            rows[i].kind == KIND_NAN ? &black : &plain, &recognizer, &note);
        if (err != ERR_UNSUPPORTED || strstr(note.text, rows[i].words) == NULL || recognizer != NULL) {
            fail_msg("row %zu: %s: %s", i, err_word(err), note.text);
        }
    }
    /* Two outputs; an input that is not square. */
    struct recognizer *recognizer;
    struct graph *graph = tiny_new();
    value_id x = tiny_input(graph, -1, 3, SIDE, SIDE);
    tiny_output(graph, tiny_node(graph, "Relu", NULL, 0, x, -1, -1));
    tiny_output(graph, tiny_node(graph, "Sigmoid", NULL, 0, x, -1, -1));
    assert_int_equal(recognizer_new(tiny_seal(graph), &plain, &recognizer, NULL), ERR_UNSUPPORTED);
    graph = tiny_new();
    tiny_output(graph, tiny_node(graph, "Relu", NULL, 0, tiny_input(graph, -1, 3, 112, 96), -1, -1));
    assert_int_equal(recognizer_new(tiny_seal(graph), &plain, &recognizer, NULL), ERR_UNSUPPORTED);
    recognizer_free(NULL);
    assert_int_equal(mem_live_blocks(), 0);
}

/* A graph that mixes the images of a batch gives each alone, and therefore runs one by one. */
static void mixing_graphs_run_one_by_one(void **state)
{
    struct recognizer *recognizer;

    (void)state;
    assert_int_equal(recognizer_new(recognizer_graph_of(KIND_MIXED, -1), &plain, &recognizer, NULL), ERR_NONE);
    assert_int_equal(recognizer_max_batch(recognizer), 1);
    recognizer_free(recognizer);
    assert_int_equal(mem_live_blocks(), 0);
}

static void first_nodes_tell_who_normalises(void **state)
{
    /* The operators behind the input; S, A, M, D with a constant, I Identity, R Relu, C Conv, B BatchNormalization. */
    static const struct {
        const char *nodes;
        bool want;
    } rows[] = {{"C", false}, {"SMC", true}, {"ISMC", true}, {"AMC", true},   {"SDC", true},  {"MSC", true},
                {"BC", true}, {"SC", false}, {"MC", false},  {"RSMC", false}, {"CSM", false}, {"CB", false}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct graph *graph = tiny_new();
        const float number[3] = {3, 3, 3};
        value_id y = tiny_input(graph, -1, 3, SIDE, SIDE);
        for (const char *p = rows[i].nodes; *p != '\0'; p++) {
            const float w[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
            const char *op = *p == 'S' ? "Sub" : *p == 'A' ? "Add" : *p == 'M' ? "Mul" : *p == 'D' ? "Div" : NULL;
            if (op != NULL) {
                y = tiny_node(graph, op, NULL, 0, y, tiny_floats(graph, (struct shape){.rank = 1, .dim = {1}}, number),
                              -1);
            } else if (*p == 'C') {
                y = tiny_conv(graph, y, 1, 3, 3, w, number);
            } else if (*p == 'B') {
                const struct attrs no_attrs = {.count = 0};
                const struct shape three = {.rank = 1, .dim = {3}};
                value_id in[5] = {y};
                value_id out;
                for (int k = 1; k < 5; k++) {
                    in[k] = tiny_floats(graph, three, number);
                }
                assert_int_equal(graph_value(graph, tiny_name(graph, "bn"), &out, NULL), ERR_NONE);
                assert_int_equal(graph_add_node(graph, "", "BatchNormalization", "bn", &no_attrs, in, 5, &out, 1, NULL),
                                 ERR_NONE);
                y = out;
            } else {
                y = tiny_node(graph, *p == 'I' ? "Identity" : "Relu", NULL, 0, y, -1, -1);
            }
        }
        tiny_output(graph, y);
        tiny_seal(graph);
        if (recognizer_normalises_itself(graph) != rows[i].want) {
            fail_msg("row %zu (%s)", i, rows[i].nodes);
        }
        graph_free(graph);
    }
    assert_int_equal(mem_live_blocks(), 0);
}

static void no_allocation_fails_badly(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        struct recognizer *recognizer = NULL;
        struct graph *graph = recognizer_graph_of(KIND_FREE, -1);
        mem_fail_at(n);
        const enum err err = recognizer_new(graph, &plain, &recognizer, NULL);
        mem_fail_at(-1);
        if (err == ERR_NONE) {
            assert_true(n > 2);
            recognizer_free(recognizer);
            break;
        }
        if (err != ERR_NOMEM) {
            fail_msg("allocation %ld: %s", n, err_word(err));
        }
        assert_int_equal(mem_live_blocks(), 0);
    }
    assert_int_equal(mem_live_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_are_the_networks_own),        cmocka_unit_test(bad_crops_and_vectors_are_errors),
        cmocka_unit_test(other_networks_are_refused_in_words), cmocka_unit_test(mixing_graphs_run_one_by_one),
        cmocka_unit_test(first_nodes_tell_who_normalises),     cmocka_unit_test(no_allocation_fails_badly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
