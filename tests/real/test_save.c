/*
 * test_save.c: published models saved by us: the same numbers to the bit as written, whole batches prepared, and integer
 * models refused.  What another runtime makes of the files is `make check-ort`.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/random.h"
#include "core/graph/session.h"
#include "core/onnx/onnx_save.h"
#include "tests/real/real_support.h"

enum {
    N_IMAGES = 4,
    IMAGE_FLOATS = 3 * 112 * 112,
    D = 128
};

static struct graph *load(const unsigned char *bytes, size_t n_bytes, enum onnx_purpose purpose)
{
    struct err_note note = {0};
    struct graph *graph;

    if (onnx_load(bytes, n_bytes, purpose, &graph, NULL, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    if (purpose == ONNX_AS_WRITTEN) {
        graph_seal(graph);
    }
    return graph;
}

static void embed(const struct graph *graph, const float *images, int64_t count, float *ret)
{
    struct tensor input = {DTYPE_F32, {4, {count, 3, 112, 112}}, (void *)images};
    struct tensor output;
    struct session *session;
    struct err_note note = {0};

    assert_int_equal(session_new(graph, NULL, &session), ERR_NONE);
    if (session_run(session, &input, 1, &output, 1, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    assert_int_equal(output.shape.rank, 2);
    assert_int_equal(output.shape.dim[0], count);
    assert_int_equal(output.shape.dim[1], D);
    memcpy(ret, output.data, (size_t)count * D * sizeof *ret);
    session_free(session);
}

static double cosine(const float *a, const float *b)
{
    double ab = 0;
    double aa = 0;
    double bb = 0;

    for (int i = 0; i < D; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

static void check(const char *name)
{
    size_t n_bytes;
    size_t n_saved;
    size_t n_again;
    unsigned char *saved;
    unsigned char *again;
    struct err_note note = {0};
    float *images = MEM_ARRAY(float, N_IMAGES *IMAGE_FLOATS);
    float before[N_IMAGES * D];
    float after[N_IMAGES * D];
    struct random random = random_seeded(1, 1);

    for (int i = 0; i < N_IMAGES * IMAGE_FLOATS; i++) {
        images[i] = (float)random_normal(&random);
    }
    unsigned char *bytes = real_read(&n_bytes, "models/%s", name);
    struct graph *graph = load(bytes, n_bytes, ONNX_AS_WRITTEN);
    mem_free(bytes);
    if (onnx_save(graph, NULL, &saved, &n_saved, &note) != ERR_NONE) {
        fail_msg("%s: %s", name, note.text);
    }
    struct graph *loaded = load(saved, n_saved, ONNX_AS_WRITTEN);
    assert_int_equal(onnx_save(loaded, NULL, &again, &n_again, &note), ERR_NONE);
    assert_int_equal(n_again, n_saved);
    assert_memory_equal(again, saved, n_saved);

    /* One by one: mobilefacenet_128 pins the batch to 1, and gives nothing else to compare with. */
    for (int i = 0; i < N_IMAGES; i++) {
        embed(graph, images + (size_t)i * IMAGE_FLOATS, 1, before + (size_t)i * D);
        embed(loaded, images + (size_t)i * IMAGE_FLOATS, 1, after + (size_t)i * D);
    }
    assert_memory_equal(before, after, sizeof before);

    struct graph *prepared = load(saved, n_saved, ONNX_FOR_INFERENCE);
    embed(prepared, images, N_IMAGES, after);
    double worst = 1;
    for (int i = 0; i < N_IMAGES; i++) {
        double c = cosine(before + (size_t)i * D, after + (size_t)i * D);
        worst = c < worst ? c : worst;
    }
    printf("# %s: saved in %zu bytes; prepared, in a batch of %d: smallest cosine %.9f\n", name, n_saved, N_IMAGES,
           worst);
    assert_true(worst >= 0.99999);
    graph_free(prepared);
    graph_free(loaded);
    graph_free(graph);
    mem_free(again);
    mem_free(saved);
    mem_free(images);
}

static void test_recognisers(void **state)
{
    size_t blocks = mem_live_blocks();

    check("mobilefacenet_128.onnx");
    check("mobilefacenet_y1_128.onnx");
    assert_int_equal(mem_live_blocks(), blocks);
}

static void test_integer_model(void **state)
{
    size_t blocks = mem_live_blocks();
    size_t n_bytes;
    size_t n_saved;
    unsigned char *saved;
    struct err_note note = {0};
    unsigned char *bytes = real_read(&n_bytes, "models/mbf_512_int8.onnx");
    struct graph *graph = load(bytes, n_bytes, ONNX_AS_WRITTEN);

    assert_int_equal(onnx_save(graph, NULL, &saved, &n_saved, &note), ERR_UNSUPPORTED);
    assert_non_null(strstr(note.text, "an integer network cannot be saved"));
    graph_free(graph);
    mem_free(bytes);
    assert_int_equal(mem_live_blocks(), blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_recognisers), cmocka_unit_test(test_integer_model)};

    real_skip_without_shared();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
