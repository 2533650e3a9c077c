/*
 * test_detector_train.c: a detector learns to find discs with dots; the same bits at any number of threads and through a
 * break; what comes out is a detector that core/face runs, and a start for the next run.
 */
#include <math.h>

#include "core/base/hash.h"
#include "core/face/detect.h"
#include "core/image/decode.h"
#include "core/onnx/onnx.h"
#include "core/op/op_list.h"
#include "core/train/checkpoint.h"
#include "core/train/detector_build.h"
#include "core/train/detector_train.h"
#include "detector_photos.h"

static struct detector_photos photos;

static int set_up(void **state)
{
    make_photos(&photos);
    return 0;
}

static int tear_down(void **state)
{
    remove_photos(&photos);
    return mem_live_blocks() == 0 ? 0 : -1;
}

static struct detector_train_options small_run(long steps)
{
    struct detector_train_options options = detector_train_default();

    options.steps = steps;
    options.batch = 4;
    options.shard = 2;
    options.side = 64;
    return options;
}

struct watched {
    struct detector_train_step first, last;
    struct cancel *cancel;
    long cancel_at;
};

static void watch(void *context, const struct detector_train_step *step)
{
    struct watched *watched = context;

    if (step->step == 1) {
        watched->first = *step;
    }
    watched->last = *step;
    if (watched->cancel != NULL && step->step == watched->cancel_at) {
        cancel_ask(watched->cancel);
    }
}

static void train(const struct detector_train_options *options, int threads, unsigned char hash[HASH_SHA256_BYTES])
{
    struct pool *pool;
    unsigned char *onnx;
    size_t n_bytes;
    struct err_note note = {0};

    assert_int_equal(pool_new(threads, &pool), ERR_NONE);
    if (detector_train(&photos.labels, options, pool, NULL, NULL, NULL, &onnx, &n_bytes, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    hash_sha256(onnx, n_bytes, hash);
    mem_free(onnx);
    pool_free(pool);
}

static void same_bits(void **state)
{
    struct detector_train_options options = small_run(3);
    unsigned char first[HASH_SHA256_BYTES];
    unsigned char again[HASH_SHA256_BYTES];

    train(&options, 1, first);
    for (int threads = 2; threads <= 3; threads++) {
        train(&options, threads, again);
        assert_memory_equal(first, again, sizeof first);
    }
    options.seed = 2;
    train(&options, 1, again);
    assert_memory_not_equal(first, again, sizeof first);
}

static void goes_on_where_it_stopped(void **state)
{
    struct detector_train_options options = small_run(5);
    unsigned char whole[HASH_SHA256_BYTES];
    unsigned char resumed[HASH_SHA256_BYTES];
    char folder[80];
    struct cancel cancel = {0};
    struct watched watched = {.cancel = &cancel, .cancel_at = 2};
    unsigned char *onnx = NULL;
    size_t n_bytes = 0;
    struct err_note note = {0};

    train(&options, 1, whole);
    snprintf(folder, sizeof folder, "%s/checkpoints", photos.folder);
    assert_int_equal(folder_make(folder, NULL), ERR_NONE);
    options.checkpoint_folder = folder;
    assert_int_equal(detector_train_peek(&photos.labels, &options, &onnx, &n_bytes, NULL), ERR_NOT_FOUND);
    assert_int_equal(detector_train(&photos.labels, &options, NULL, &cancel, watch, &watched, &onnx, &n_bytes, &note),
                     ERR_CANCELLED);
    assert_int_equal(watched.last.step, 2);
    assert_int_equal(detector_train_peek(&photos.labels, &options, &onnx, &n_bytes, NULL), ERR_NONE);
    mem_free(onnx);
    train(&options, 2, resumed);
    assert_memory_equal(whole, resumed, sizeof whole);
    train(&options, 1, resumed); /* it had ended: nothing is left to do */
    assert_memory_equal(whole, resumed, sizeof whole);

    options.rate *= 2;
    note = (struct err_note){0};
    assert_int_equal(detector_train(&photos.labels, &options, NULL, NULL, NULL, NULL, &onnx, &n_bytes, &note),
                     ERR_CONFLICT);
    assert_true(note.text[0] != '\0');
    assert_int_equal(checkpoint_clear(folder, NULL), ERR_NONE);
    assert_int_equal(rmdir(folder), 0);
}

static struct graph *load(const unsigned char *onnx, size_t n_bytes, enum onnx_purpose purpose)
{
    struct graph *graph;
    struct onnx_info info;
    struct err_note note = {0};

    if (onnx_load(onnx, n_bytes, purpose, &graph, &info, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    return graph;
}

static float score_bias(const unsigned char *onnx, size_t n_bytes)
{
    struct graph *graph = load(onnx, n_bytes, ONNX_AS_WRITTEN);
    float bias = NAN;

    for (int i = 0; i < graph_value_count(graph); i++) {
        const struct tensor *tensor = graph_constant(graph, i);
        if (tensor != NULL && strcmp(graph_value_name(graph, i), "head.1.score.bias") == 0) {
            bias = *(const float *)tensor->data;
        }
    }
    graph_free(graph);
    return bias;
}

static bool is_statistic(const char *name)
{
    return strstr(name, ".running_mean") != NULL || strstr(name, ".running_var") != NULL;
}

/* By how much of itself, or of 1, a run changed what it began with at most: the norms' statistics, or else what is learnt. */
static double greatest_change(const struct graph *start, const unsigned char *onnx, size_t n_bytes, bool statistics)
{
    struct graph *graph = load(onnx, n_bytes, ONNX_AS_WRITTEN);
    double most = 0;
    int compared = 0;

    for (int i = 0; i < graph_value_count(start); i++) {
        const struct tensor *before = graph_constant(start, i);
        for (int k = 0; before != NULL && before->type == DTYPE_F32 && k < graph_value_count(graph); k++) {
            const struct tensor *after = graph_constant(graph, k);
            if (after == NULL || strcmp(graph_value_name(start, i), graph_value_name(graph, k)) != 0 ||
                is_statistic(graph_value_name(start, i)) != statistics) {
                continue;
            }
            for (int64_t n = 0; n < shape_elements(&before->shape); n++) {
                double was = (double)((float *)before->data)[n];
                most = fmax(most, fabs((double)((float *)after->data)[n] - was) / (1 + fabs(was)));
            }
            compared++;
        }
    }
    graph_free(graph);
    assert_true(compared > 50);
    return most;
}

/* How far the best face is from where it should be, in sides of the disc; 9 if there is none. */
static double miss(const struct detector *detector, int photo)
{
    const struct image_limits limits = image_limits_default();
    const struct detect_options options = {.side = 160};
    const struct labelled_photo *labels = &photos.labels.photos[photo];
    struct arena *mem = arena_new((size_t)64 << 20);
    struct session *session;
    struct image image;
    struct face *faces;
    unsigned char *bytes;
    size_t n_bytes;
    int n = 0;
    double sum = 0;

    assert_int_equal(file_read(labels->path, limits.bytes, &bytes, &n_bytes, NULL), ERR_NONE);
    assert_int_equal(image_decode(bytes, n_bytes, &limits, mem, &image, NULL), ERR_NONE);
    assert_int_equal(session_new(detector_graph(detector), NULL, &session), ERR_NONE);
    assert_int_equal(detector_run(detector, session, &image, &options, mem, &faces, &n, NULL), ERR_NONE);
    for (int i = 0; i < 5 && n > 0; i++) {
        sum += hypot((double)(faces[0].point[i][0] - labels->faces[0].face.point[i][0]),
                     (double)(faces[0].point[i][1] - labels->faces[0].face.point[i][1])) /
               (5 * 2 * DISC);
    }
    mem_free(bytes);
    session_free(session);
    arena_free(mem);
    return n > 0 ? sum : 9;
}

static void learns(void **state)
{
    static const struct preprocess how = {.color = COLOR_RGB, .mean = {127.5F, 127.5F, 127.5F}, .std = {128, 128, 128}};
    struct detector_train_options options = small_run(300);
    struct watched watched = {.cancel = NULL};
    struct detector *detector;
    struct pool *pool;
    unsigned char *onnx;
    size_t n_bytes;
    int found = 0;
    double missed = 0;
    struct err_note note = {0};

    options.batch = 8;
    options.shard = 4;
    options.side = 96;
    options.rate = .004F;
    options.average = .95F;
    assert_int_equal(pool_new(2, &pool), ERR_NONE);
    if (detector_train(&photos.labels, &options, pool, NULL, watch, &watched, &onnx, &n_bytes, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    pool_free(pool);
    assert_true(n_bytes < (size_t)1500 * 1000);
    if (!(watched.last.overlap > .6F && watched.last.point < .5F * watched.first.point)) {
        fail_msg("boxes overlap by %.3f; the points' loss fell from %.3f to %.3f", (double)watched.last.overlap,
                 (double)watched.first.point, (double)watched.last.point);
    }

    assert_int_equal(detector_new(load(onnx, n_bytes, ONNX_FOR_INFERENCE), &how, &detector, &note), ERR_NONE);
    for (int i = 0; i < PHOTOS; i++) {
        double far = miss(detector, i);
        found += far < 9;
        missed += far < 9 ? far : 0;
    }
    detector_free(detector);
    if (found < PHOTOS - 1 || missed / found > .15) {
        fail_msg("found %d of %d, points off by %.3f of the disc", found, PHOTOS, missed / found);
    }

    /* A run that begins with this detector begins well. */
    struct graph *start = load(onnx, n_bytes, ONNX_AS_WRITTEN);
    struct watched second = {.cancel = NULL};
    options.start = start;
    options.steps = 1;
    mem_free(onnx);
    assert_int_equal(detector_train(&photos.labels, &options, NULL, NULL, watch, &second, &onnx, &n_bytes, &note),
                     ERR_NONE);
    assert_true(second.first.overlap > .55F && second.first.point < .5F * watched.first.point);
    float bias = score_bias(onnx, n_bytes);
    assert_true(greatest_change(start, onnx, n_bytes, true) > 1e-4);
    mem_free(onnx);

    /* With its statistics it learns as it will be used. */
    struct watched kept = {.cancel = NULL};
    options.keep_statistics = true;
    assert_int_equal(detector_train(&photos.labels, &options, NULL, NULL, watch, &kept, &onnx, &n_bytes, &note),
                     ERR_NONE);
    assert_true(kept.first.overlap > .55F && kept.first.point < .5F * watched.first.point);
    assert_true(kept.first.point != second.first.point);
    assert_true(greatest_change(start, onnx, n_bytes, true) < 1e-6);
    assert_true(greatest_change(start, onnx, n_bytes, false) > 1e-5);
    mem_free(onnx);
    options.keep_statistics = false;

    /* At another level the same steps are taken, and the scores begin elsewhere. */
    struct watched third = {.cancel = NULL};
    options.level = .7F;
    assert_int_equal(detector_train(&photos.labels, &options, NULL, NULL, watch, &third, &onnx, &n_bytes, &note),
                     ERR_NONE);
    assert_true(third.last.score == second.last.score);
    assert_float_equal(score_bias(onnx, n_bytes), bias - logf(.7F / .3F), 1e-5);
    mem_free(onnx);
    graph_free(start);
}

/* A graph that holds one constant, as a detector might that was made when the network was smaller. */
static struct graph *with_one_constant(const char *name, const struct shape *shape, float value)
{
    struct tensor tensor = {.type = DTYPE_F32, .shape = *shape};
    struct graph *graph;
    value_id id;

    assert_int_equal(graph_new(op_list(), (size_t)1 << 20, &graph), ERR_NONE);
    tensor.data = ARENA_ARRAY(graph_arena(graph), float, shape_elements(shape));
    for (int64_t i = 0; i < shape_elements(shape); i++) {
        ((float *)tensor.data)[i] = value;
    }
    assert_int_equal(graph_add_constant(graph, name, &tensor, &id, NULL), ERR_NONE);
    return graph;
}

/* What the detector to start from lacks begins from chance; one that has nothing in common, or another shape, is refused. */
static void starts_from_a_smaller_one(void **state)
{
    static const struct shape one = {1, {1}};
    static const struct shape two = {1, {2}};
    const struct {
        const char *name;
        const struct shape *shape;
        enum err err;
        const char *says;
    } rows[] = {{"head.1.score.bias", &one, ERR_NONE, ""},
                {"head.1.score.bias", &two, ERR_CONFLICT, "head.1.score.bias"},
                {"somebody else's", &one, ERR_CONFLICT, "not made by this program"}};
    struct detector_train_options options = small_run(1);

    options.rate = 1e-7F;
    for (int i = 0; i < (int)(sizeof rows / sizeof rows[0]); i++) {
        struct graph *start = with_one_constant(rows[i].name, rows[i].shape, -3.25F);
        unsigned char *onnx = NULL;
        size_t n_bytes = 0;
        struct err_note note = {0};
        options.start = start;
        assert_int_equal(detector_train(&photos.labels, &options, NULL, NULL, NULL, NULL, &onnx, &n_bytes, &note),
                         rows[i].err);
        assert_non_null(strstr(note.text, rows[i].says));
        if (onnx != NULL) {
            assert_float_equal(score_bias(onnx, n_bytes), -3.25F, 1e-4);
        }
        mem_free(onnx);
        graph_free(start);
    }
}

/* What a cell at (x, y) and its neighbours say of number k of the points, in strides from that cell. */
static double voted(const float *all, int columns, int rows, int x, int y, int k)
{
    double sum = 0;
    double weights = 1e-6;

    for (int row = y > 0 ? y - 1 : 0; row <= y + 1 && row < rows; row++) {
        for (int column = x > 0 ? x - 1 : 0; column <= x + 1 && column < columns; column++) {
            const float *cell = all + (size_t)(row * columns + column) * DETECTOR_COLUMNS;
            double score = 1 / (1 + exp(-(double)cell[0]));
            weights += score * score;
            sum += score * score * ((double)cell[5 + k] + (k % 2 == 0 ? column - x : row - y));
        }
    }
    return sum / weights;
}

/* The form that learns and the form that finds say the same for the same weights; of the points the latter takes a vote. */
static void both_forms_agree(void **state)
{
    const struct build_options options = {.seed = 5};
    struct graph *graphs[2];
    struct session *sessions[2];
    struct tensor outputs[10];
    struct random random = random_seeded(1, 1);
    struct tensor input = {.type = DTYPE_F32, .shape = {4, {2, 3, 64, 96}}};
    const int cells[3] = {8 * 12, 4 * 6, 2 * 3};
    const int columns[3] = {12, 6, 3};

    input.data = mem_new(2 * 3 * 64 * 96, sizeof(float));
    for (int i = 0; i < 2 * 3 * 64 * 96; i++) {
        ((float *)input.data)[i] = (float)random_normal(&random);
    }
    for (int form = 0; form < 2; form++) {
        assert_int_equal(detector_build((enum detector_form)form, &options, &graphs[form], NULL), ERR_NONE);
        assert_int_equal(session_new(graphs[form], NULL, &sessions[form]), ERR_NONE);
        assert_int_equal(session_run(sessions[form], &input, 1, outputs + form, form == 0 ? 1 : 9, NULL), ERR_NONE);
    }
    const float *all = outputs[0].data;
    assert_int_equal(outputs[0].shape.dim[1], cells[0] + cells[1] + cells[2]);
    for (int image = 0; image < 2; image++) {
        for (int level = 0; level < 3; level++) {
            const float *level_cells = all;
            for (int cell = 0; cell < cells[level]; cell++, all += DETECTOR_COLUMNS) {
                size_t row = (size_t)image * (size_t)cells[level] + (size_t)cell;
                double score = (double)((const float *)outputs[1 + level].data)[row];
                assert_true(fabs(score - 1 / (1 + exp(-(double)all[0]))) < 1e-6);
                assert_memory_equal((const float *)outputs[4 + level].data + 4 * row, all + 1, 4 * sizeof(float));
                for (int k = 0; k < 10; k++) {
                    double mean = voted(level_cells, columns[level], cells[level] / columns[level],
                                        cell % columns[level], cell / columns[level], k);
                    assert_float_equal(((const float *)outputs[7 + level].data)[10 * row + (size_t)k], mean, 1e-3);
                }
            }
        }
    }
    for (int form = 0; form < 2; form++) {
        session_free(sessions[form]);
        graph_free(graphs[form]);
    }
    mem_free(input.data);
}

static void refuses(void **state)
{
    struct detector_train_options options = small_run(3);
    struct detector_labels none = {.whole = true};
    unsigned char *onnx = NULL;
    size_t n_bytes = 0;
    struct err_note note = {0};

    options.side = 70;
    assert_int_equal(detector_train(&photos.labels, &options, NULL, NULL, NULL, NULL, &onnx, &n_bytes, &note),
                     ERR_MISUSE);
    options = small_run(3);
    options.batch = 5;
    assert_int_equal(detector_train(&photos.labels, &options, NULL, NULL, NULL, NULL, &onnx, &n_bytes, NULL),
                     ERR_MISUSE);
    options = small_run(3);
    assert_int_equal(detector_train(&none, &options, NULL, NULL, NULL, NULL, &onnx, &n_bytes, NULL), ERR_FORMAT);
    options = small_run(40);
    options.rate = 1e20F;
    note = (struct err_note){0};
    assert_int_equal(detector_train(&photos.labels, &options, NULL, NULL, NULL, NULL, &onnx, &n_bytes, &note),
                     ERR_FORMAT);
    assert_non_null(strstr(note.text, "rate"));
    assert_null(onnx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(both_forms_agree),          cmocka_unit_test(same_bits),
                                       cmocka_unit_test(goes_on_where_it_stopped),  cmocka_unit_test(refuses),
                                       cmocka_unit_test(starts_from_a_smaller_one), cmocka_unit_test(learns)};

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
