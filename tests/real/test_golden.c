/*
 * test_golden.c: the same numbers as another runtime (reference/: ONNX Runtime 1.30) gets from the same files.
 *
 * A wrong normalisation still scores 99 % on LFW; only this finds it.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/real/real_support.h"

enum {
    N_CROPS = 7,
    CROP_BYTES = 112 * 112 * 3
};

/* ---- Detectors --------------------------------------------------------------------------------------------------- */

static double number(const json_t *array, size_t i)
{
    return json_number_value(json_array_get(array, i));
}

static double largest(double a, double b)
{
    return a > b ? a : b;
}

/* How far a found face is from a reference one: the largest difference of a box's side and of a point's coordinate. */
static double distance_to(const struct face *face, const json_t *want, double *ret_points)
{
    const json_t *box = json_object_get(want, "bbox");
    const json_t *points = json_object_get(want, "kps");
    double worst = 0;

    *ret_points = 0;
    for (size_t i = 0; i < 4; i++) {
        worst = largest(worst, fabs((double)face->box[i] - number(box, i)));
    }
    for (size_t i = 0; i < 5; i++) {
        for (size_t k = 0; k < 2; k++) {
            *ret_points = largest(*ret_points, fabs((double)face->point[i][k] - number(json_array_get(points, i), k)));
        }
    }
    return worst;
}

static void six_faces_of_the_group(void **state)
{
    static const struct {
        const char *model;
        int side;
    } rows[] = {{"scrfd_500m", 320}, {"scrfd_500m", 640}, {"scrfd_2.5g", 320}, {"scrfd_2.5g", 640}};
    json_t *reference = real_json("reference/reference.json");
    struct arena *mem = real_arena();
    size_t n_bytes;
    unsigned char *bytes = real_read(&n_bytes, "faces/group_six_faces.jpg");
    const struct image photo = real_photo(bytes, n_bytes, mem, "group photo");
    int n_bad = 0;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct detector *detector = real_detector(rows[i].model);
        struct session *session = real_session(detector_graph(detector), false);
        const struct detect_options options = {.side = rows[i].side};
        struct face *faces;
        int n_faces;
        char key[64];
        double worst_box = 0;
        double worst_point = 0;
        double worst_score = 0;
        struct err_note note = {0};
        if (detector_run(detector, session, &photo, &options, mem, &faces, &n_faces, &note) != ERR_NONE) {
            fail_msg("row %zu: %s", i, note.text);
        }
        snprintf(key, sizeof key, "%s@%d", rows[i].model, rows[i].side);
        const json_t *want = json_object_get(json_object_get(reference, "det"), key);
        if ((size_t)n_faces != json_array_size(want) || n_faces != 6) {
            fail_msg("row %zu: %d faces, not 6", i, n_faces);
        }
        for (size_t k = 0; k < 6; k++) {
            double nearest = 1e9;
            double points = 0;
            double score = 0;
            for (int f = 0; f < n_faces; f++) {
                double of_points;
                const double box = distance_to(&faces[f], json_array_get(want, k), &of_points);
                if (box < nearest) {
                    nearest = box;
                    points = of_points;
                    score = fabs((double)faces[f].score -
                                 json_number_value(json_object_get(json_array_get(want, k), "score")));
                }
            }
            worst_box = largest(worst_box, nearest);
            worst_point = largest(worst_point, points);
            worst_score = largest(worst_score, score);
        }
        printf("# %s: 6 faces; largest difference: box %.3f px, points %.3f px, score %.5f\n", key, worst_box,
               worst_point, worst_score);
        n_bad += worst_box > 1 || worst_point > 1 || worst_score > .005;
        session_free(session);
        detector_free(detector);
    }
    json_decref(reference);
    mem_free(bytes);
    arena_free(mem);
    assert_int_equal(n_bad, 0);
    assert_int_equal(mem_live_blocks(), 0);
}

static void raw_outputs_of_detectors(void **state)
{
    static const char *const models[] = {"scrfd_500m", "scrfd_2.5g"};
    size_t n_bytes;
    unsigned char *input = real_read(&n_bytes, "reference/det/group_320_input.f32");

    (void)state;
    assert_int_equal(n_bytes, 3 * 320 * 320 * sizeof(float));
    for (size_t i = 0; i < 2; i++) {
        struct preprocess how;
        struct graph *graph = real_graph(models[i], ONNX_FOR_INFERENCE, &how);
        struct session *session = real_session(graph, false);
        const struct tensor tensor = {.type = DTYPE_F32, .shape = {.rank = 4, .dim = {1, 3, 320, 320}}, .data = input};
        struct tensor outputs[9];
        struct err_note note = {0};
        unsigned char *want_bytes = real_read(&n_bytes, "reference/det/%s_320_outputs.f32", models[i]);
        const float *want = (const float *)want_bytes;
        const float *const end = want + n_bytes / sizeof *want;
        double worst = 0;
        if (session_run(session, &tensor, 1, outputs, 9, &note) != ERR_NONE) {
            fail_msg("%s: %s", models[i], note.text);
        }
        for (int k = 0; k < 9; k++) {
            const int64_t count = shape_elements(&outputs[k].shape);
            const float *got = outputs[k].data;
            double peak = 0;
            double difference = 0;
            assert_true(end - want >= count);
            for (int64_t e = 0; e < count; e++) {
                peak = largest(peak, fabs((double)want[e]));
                difference = largest(difference, fabs((double)want[e] - (double)got[e]));
            }
            worst = largest(worst, difference / peak);
            want += count;
        }
        assert_ptr_equal(want, end);
        printf("# %s raw outputs at 320: largest difference over the maximum %.2e\n", models[i], worst);
        if (!(worst <= 1e-4)) {
            fail_msg("%s: %g of the maximum", models[i], worst);
        }
        mem_free(want_bytes);
        session_free(session);
        graph_free(graph);
    }
    mem_free(input);
    assert_int_equal(mem_live_blocks(), 0);
}

/* ---- Crops and embeddings ---------------------------------------------------------------------------------------- */

static void crops_of_the_group(void **state)
{
    json_t *reference = real_json("reference/reference.json");
    struct arena *mem = real_arena();
    size_t n_bytes;
    size_t n_crop_bytes;
    unsigned char *bytes = real_read(&n_bytes, "faces/group_six_faces.jpg");
    unsigned char *crops = real_read(&n_crop_bytes, "reference/aligned_112_rgb_u8.bin");
    const struct image photo = real_photo(bytes, n_bytes, mem, "group photo");

    (void)state;
    assert_int_equal(n_crop_bytes, N_CROPS * CROP_BYTES);
    for (size_t i = 0; i < 6; i++) {
        const json_t *points = json_object_get(json_array_get(json_object_get(reference, "faces"), i), "k");
        struct face face = {.score = 1};
        struct image crop;
        int histogram[256] = {0};
        for (size_t k = 0; k < 5; k++) {
            face.point[k][0] = (float)number(json_array_get(points, k), 0);
            face.point[k][1] = (float)number(json_array_get(points, k), 1);
        }
        assert_int_equal(align_face(&photo, &face, 112, mem, &crop), ERR_NONE);
        double sum = 0;
        int worst = 0;
        for (size_t b = 0; b < CROP_BYTES; b++) {
            const int difference = abs((int)crop.rgb[b] - (int)crops[i * CROP_BYTES + b]);
            histogram[difference]++;
            sum += difference;
            worst = difference > worst ? difference : worst;
        }
        printf(
            "# crop %zu against the reference: mean difference %.3f grey levels, largest %d, equal %.1f %%, within 1 "
            "%.1f %%\n",
            i, sum / CROP_BYTES, worst, 100.0 * histogram[0] / CROP_BYTES,
            100.0 * (histogram[0] + histogram[1]) / CROP_BYTES);
        assert_true(sum / CROP_BYTES < 1.0);
    }
    json_decref(reference);
    mem_free(crops);
    mem_free(bytes);
    arena_free(mem);
    assert_int_equal(mem_live_blocks(), 0);
}

static void embeddings_of_the_crops(void **state)
{
    static const struct {
        const char *model;
        int dim;
        int max_batch;
        double least_cosine;
        double norm_error; /* relative */
    } rows[] = {
        {"mobilefacenet_128", 128, 1, .99999, 1e-4},
        {"mobilefacenet_y1_128", 128, 16, .99999, 1e-4},
        /* Dynamic quantisation amplifies the last bit of a float: the runtime against itself agrees no better. */
        {"mbf_512_int8", 512, 1, .994, .02},
    };
    size_t n_bytes;
    unsigned char *pixels = real_read(&n_bytes, "reference/aligned_112_rgb_u8.bin");
    struct arena *mem = real_arena();

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct recognizer *recognizer = real_recognizer(rows[i].model);
        struct session *session = real_session(recognizer_graph(recognizer), false);
        unsigned char *want_bytes = real_read(&n_bytes, "reference/rec/%s.f32", rows[i].model);
        const float *want = (const float *)want_bytes;
        const int dim = rows[i].dim;
        struct image crops[N_CROPS];
        float *got = ARENA_ARRAY(mem, float, N_CROPS *dim);
        float norms[N_CROPS];
        struct err_note note = {0};
        double least = 1;
        double worst_norm = 0;
        assert_non_null(got);
        assert_int_equal(recognizer_dim(recognizer), dim);
        assert_int_equal(recognizer_side(recognizer), 112);
        assert_int_equal(recognizer_max_batch(recognizer), rows[i].max_batch);
        assert_int_equal(n_bytes, N_CROPS * (size_t)dim * sizeof(float));
        for (size_t k = 0; k < N_CROPS; k++) {
            crops[k] = (struct image){.width = 112, .height = 112, .rgb = pixels + k * CROP_BYTES};
        }
        if (recognizer_run(recognizer, session, crops, N_CROPS, mem, got, norms, &note) != ERR_NONE) {
            fail_msg("%s: %s", rows[i].model, note.text);
        }
        for (int k = 0; k < N_CROPS; k++) {
            double norm = 0;
            for (int e = 0; e < dim; e++) {
                norm += (double)want[k * dim + e] * (double)want[k * dim + e];
            }
            const double cosine = real_cosine(got + k * dim, want + k * dim, dim);
            least = cosine < least ? cosine : least;
            worst_norm = largest(worst_norm, fabs((double)norms[k] / sqrt(norm) - 1));
        }
        printf("# %s: least cosine of 7 crops %.7f, largest relative difference of the norm %.1e\n", rows[i].model,
               least, worst_norm);
        if (!(least >= rows[i].least_cosine) || !(worst_norm <= rows[i].norm_error)) {
            fail_msg("%s: cosine %g, norm %g", rows[i].model, least, worst_norm);
        }
        mem_free(want_bytes);
        session_free(session);
        recognizer_free(recognizer);
    }
    mem_free(pixels);
    arena_free(mem);
    assert_int_equal(mem_live_blocks(), 0);
}

/* Without a manifest, the graph's own first nodes must say what belongs into it. */
static void networks_that_normalise_themselves(void **state)
{
    static const struct {
        const char *model;
        bool want;
    } rows[] = {{"mobilefacenet_128", false}, {"mobilefacenet_y1_128", true}, {"mbf_512_int8", false}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct preprocess how;
        struct graph *graph = real_graph(rows[i].model, ONNX_FOR_INFERENCE, &how);
        if (recognizer_normalises_itself(graph) != rows[i].want) {
            fail_msg("%s", rows[i].model);
        }
        graph_free(graph);
    }
    assert_int_equal(mem_live_blocks(), 0);
}

/* What is kept of a detector's weights is packed, and yet photos of any size and shape are searched. */
static void detectors_keep_packed_weights_only(void **state)
{
    static const char *const models[] = {"scrfd_500m", "scrfd_2.5g"};
    static const int sides[] = {20, 64, 160, 333, 640};
    struct arena *mem = real_arena();

    for (size_t m = 0; m < sizeof models / sizeof models[0]; m++) {
        struct detector *detector = real_detector(models[m]);
        struct session *session = real_session(detector_graph(detector), false);
        const struct detect_options options = {.side = 640};

        /* what is left is read as it is written: weights of layers that need no other form */
        assert_true(4 * graph_constant_bytes(detector_graph(detector)) < graph_packed_bytes(detector_graph(detector)));
        for (size_t i = 0; i < sizeof sides / sizeof sides[0] * sizeof sides / sizeof sides[0]; i++) {
            const int width = sides[i % (sizeof sides / sizeof sides[0])];
            const int height = sides[i / (sizeof sides / sizeof sides[0])];
            struct image black;
            struct face *faces;
            struct err_note note = {0};
            int n = 0;
            assert_int_equal(image_new(width, height, mem, &black), ERR_NONE);
            if (detector_run(detector, session, &black, &options, mem, &faces, &n, &note) != ERR_NONE) {
                fail_msg("%s on a photo of %d x %d: %s", models[m], width, height, note.text);
            }
            arena_reset(mem);
        }
        session_free(session);
        detector_free(detector);
    }
    arena_free(mem);
    assert_int_equal(mem_live_blocks(), 0);
}

/* A detector of another family says so; a recogniser is no detector. */
static void other_networks_are_no_detectors(void **state)
{
    static const char *const models[] = {"yunet_640", "mobilefacenet_y1_128"};
    static const char *const words[] = {"YuNet", "input side of 112 pixels"};
    const struct preprocess how = {COLOR_RGB, {0, 0, 0}, {1, 1, 1}};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        size_t n_bytes;
        unsigned char *bytes = real_read(&n_bytes, "models/%s.onnx", models[i]);
        struct graph *graph;
        struct onnx_info info;
        struct detector *detector;
        struct err_note note = {0};
        if (onnx_load(bytes, n_bytes, ONNX_FOR_INFERENCE, &graph, &info, &note) != ERR_NONE) {
            fail_msg("%s is refused at load: %s", models[i], note.text);
        }
        assert_int_equal(detector_new(graph, &how, &detector, &note), ERR_UNSUPPORTED);
        printf("# %s: %s\n", models[i], note.text);
        assert_non_null(strstr(note.text, words[i]));
        mem_free(bytes);
    }
    assert_int_equal(mem_live_blocks(), 0);
}

/* ---- Integer layers, exactly -------------------------------------------------------------------------------------- */

/* One element of an 8-bit tensor less its zero point. */
static int32_t element(const struct tensor *tensor, int64_t i, int32_t zero)
{
    return (tensor->type == DTYPE_U8 ? ((const uint8_t *)tensor->data)[i] : ((const int8_t *)tensor->data)[i]) - zero;
}

/* Zero point of output channel c: absent, one for all, or one for each. */
static int32_t zero_of(const struct tensor *zero, int64_t c)
{
    return zero == NULL ? 0 : element(zero, shape_elements(&zero->shape) > 1 ? c : 0, 0);
}

struct integer_node {
    const struct tensor *x, *w, *x_zero, *w_zero, *y;
};

static int64_t attr_or(const struct graph_node *node, const char *name, size_t i, int64_t absent)
{
    const struct attr *attr = attr_find(&node->attrs, name);

    if (attr == NULL) {
        return absent;
    }
    return attr->kind == ATTR_INTS ? attr->ints[i] : attr->i;
}

/* The sum that one output element of a convolution is. */
static int32_t convolve_at(const struct graph_node *node, const struct integer_node *in, int64_t oc, int64_t oy,
                           int64_t ox)
{
    const int64_t *xd = in->x->shape.dim;
    const int64_t *wd = in->w->shape.dim;
    const int64_t per_group = in->y->shape.dim[1] / attr_or(node, "group", 0, 1);
    const int64_t first_channel = oc / per_group * wd[1];
    int32_t sum = 0;

    for (int64_t ic = 0; ic < wd[1]; ic++) {
        for (int64_t ky = 0; ky < wd[2]; ky++) {
            for (int64_t kx = 0; kx < wd[3]; kx++) {
                const int64_t y = oy * attr_or(node, "strides", 0, 1) + ky - attr_or(node, "pads", 0, 0);
                const int64_t x = ox * attr_or(node, "strides", 1, 1) + kx - attr_or(node, "pads", 1, 0);
                if (y >= 0 && y < xd[2] && x >= 0 && x < xd[3]) {
                    sum += element(in->x, ((first_channel + ic) * xd[2] + y) * xd[3] + x, zero_of(in->x_zero, 0)) *
                           element(in->w, ((oc * wd[1] + ic) * wd[2] + ky) * wd[3] + kx, zero_of(in->w_zero, oc));
                }
            }
        }
    }
    return sum;
}

static int64_t wrong_in_convolution(const struct graph_node *node, const struct integer_node *in)
{
    const int64_t *yd = in->y->shape.dim;
    const int32_t *got = in->y->data;
    int64_t n_wrong = 0;

    assert_int_equal(yd[0], 1);
    for (int64_t oc = 0; oc < yd[1]; oc++) {
        for (int64_t oy = 0; oy < yd[2]; oy++) {
            for (int64_t ox = 0; ox < yd[3]; ox++) {
                n_wrong += convolve_at(node, in, oc, oy, ox) != got[(oc * yd[2] + oy) * yd[3] + ox];
            }
        }
    }
    return n_wrong;
}

static int64_t wrong_in_product(const struct integer_node *in)
{
    const int64_t k = in->x->shape.dim[1];
    const int64_t n = in->w->shape.dim[1];
    const int32_t *got = in->y->data;
    int64_t n_wrong = 0;

    assert_int_equal(in->x->shape.dim[0], 1);
    for (int64_t j = 0; j < n; j++) {
        int32_t sum = 0;
        for (int64_t i = 0; i < k; i++) {
            sum += element(in->x, i, zero_of(in->x_zero, 0)) * element(in->w, i * n + j, zero_of(in->w_zero, j));
        }
        n_wrong += sum != got[j];
    }
    return n_wrong;
}

static void integer_layers_are_exact(void **state)
{
    struct preprocess how;
    struct graph *graph = real_graph("mbf_512_int8", ONNX_AS_WRITTEN, &how);
    struct arena *mem = real_arena();
    size_t n_bytes;
    unsigned char *pixels = real_read(&n_bytes, "reference/aligned_112_rgb_u8.bin");
    const struct image crop = {.width = 112, .height = 112, .rgb = pixels};
    float *input = ARENA_ARRAY(mem, float, 3 * 112 * 112);
    const struct tensor tensor = {.type = DTYPE_F32, .shape = {.rank = 4, .dim = {1, 3, 112, 112}}, .data = input};
    struct tensor output;
    struct err_note note = {0};
    int n_convolutions = 0;
    int n_products = 0;
    int64_t n_numbers = 0;

    (void)state;
    assert_non_null(input);
    graph_seal(graph);
    struct session *session = real_session(graph, true);
    preprocess_image(&crop, &how, input);
    if (session_run(session, &tensor, 1, &output, 1, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    for (int i = 0; i < graph_node_count(graph); i++) {
        const struct graph_node *node = graph_node(graph, i);
        const bool convolution = strcmp(node->op->name, "ConvInteger") == 0;
        const bool product = strcmp(node->op->name, "MatMulInteger") == 0;
        const struct tensor *in[4] = {NULL, NULL, NULL, NULL};
        if (!convolution && !product) {
            continue;
        }
        for (int k = 0; k < node->n_in && k < 4; k++) {
            if (node->in[k] >= 0) {
                in[k] = graph_constant(graph, node->in[k]);
                in[k] = in[k] != NULL ? in[k] : session_value(session, node->in[k]);
                assert_non_null(in[k]);
            }
        }
        const struct integer_node integer = {in[0], in[1], in[2], in[3], session_value(session, node->out[0])};
        assert_non_null(integer.y);
        assert_int_equal(integer.y->type, DTYPE_I32);
        const int64_t n_wrong = convolution ? wrong_in_convolution(node, &integer) : wrong_in_product(&integer);
        if (n_wrong != 0) {
            fail_msg("%s '%s': %lld of %lld numbers differ", node->op->name, node->name, (long long)n_wrong,
                     (long long)shape_elements(&integer.y->shape));
        }
        n_convolutions += convolution;
        n_products += product;
        n_numbers += shape_elements(&integer.y->shape);
    }
    printf("# mbf_512_int8: %d ConvInteger and %d MatMulInteger, %lld sums, all exact\n", n_convolutions, n_products,
           (long long)n_numbers);
    assert_int_equal(n_convolutions, 49);
    assert_int_equal(n_products, 1);
    session_free(session);
    graph_free(graph);
    mem_free(pixels);
    arena_free(mem);
    assert_int_equal(mem_live_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_outputs_of_detectors),
        cmocka_unit_test(six_faces_of_the_group),
        cmocka_unit_test(crops_of_the_group),
        cmocka_unit_test(embeddings_of_the_crops),
        cmocka_unit_test(integer_layers_are_exact),
        cmocka_unit_test(networks_that_normalise_themselves),
        cmocka_unit_test(detectors_keep_packed_weights_only),
        cmocka_unit_test(other_networks_are_no_detectors),
    };

    real_skip_without_shared();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
