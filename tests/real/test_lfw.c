/*
 * test_lfw.c: View 1 of LFW from the JPEG files: detect, align, embed, compare; for published models and for those
 * inside the program.
 *
 * The threshold is chosen on pairsDevTrain and judged on pairsDevTest, whose people are others.  Each photo is embedded
 * once, by two threads with a session each.  A pair with a photo on which no face was found is judged wrong.
 */

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/clock.h"
#include "core/models/built_in.h"
#include "tests/real/real_support.h"

enum {
    N_THREADS = 2,
    MOST_PHOTOS = 8192,
    MOST_PAIRS = 4096,
    DIM = 128
};

struct photo {
    char path[160]; /* below the root */
    float embedding[DIM];
    bool found;
    unsigned reasons; /* quality at the level auto */
};

struct pair {
    int a, b; /* numbers of photos */
    bool same;
    double cosine;
};

static struct photo photos[MOST_PHOTOS];
static int n_photos;

/* ---- The list of pairs ------------------------------------------------------------------------------------------- */

static int photo_number(const char *name, int i)
{
    char path[sizeof photos[0].path];

    snprintf(path, sizeof path, "faces/lfw/images/%s/%s_%04d.jpg", name, name, i);
    for (int k = 0; k < n_photos; k++) {
        if (strcmp(photos[k].path, path) == 0) {
            return k;
        }
    }
    if (n_photos == MOST_PHOTOS) {
        real_die("more than %d photos", MOST_PHOTOS);
    }
    memcpy(photos[n_photos].path, path, sizeof path);
    return n_photos++;
}

/* A count, then lines of "name i j" (the same person) or "name i name j". */
static int read_pairs(const char *file, struct pair *ret)
{
    size_t n_bytes;
    unsigned char *bytes = real_read(&n_bytes, "faces/lfw/%s", file);
    char *line = (char *)bytes;
    int count = 0;

    for (int number = 0; line != NULL && *line != '\0'; number++) {
        char a[64];
        char b[64];
        int i;
        int j;
        char *end = strchr(line, '\n');
        if (end != NULL) {
            *end++ = '\0';
        }
        assert_true(count < MOST_PAIRS);
        if (sscanf(line, "%63s %d %63s %d", a, &i, b, &j) == 4) {
            ret[count++] = (struct pair){.a = photo_number(a, i), .b = photo_number(b, j), .same = false};
        } else if (sscanf(line, "%63s %d %d", a, &i, &j) == 3) {
            ret[count++] = (struct pair){.a = photo_number(a, i), .b = photo_number(a, j), .same = true};
        } else if (number > 0) {
            real_die("%s: line %d is no pair", file, number + 1);
        }
        line = end;
    }
    mem_free(bytes);
    return count;
}

/* ---- Embedding each photo once ----------------------------------------------------------------------------------- */

static const struct detector *detector;
static const struct recognizer *recognizer;
static atomic_int next_photo;

static void embed_photo(struct photo *photo, struct session *detect, struct session *embed, struct arena *mem)
{
    const struct detect_options options = {.side = 0};
    size_t n_bytes;
    unsigned char *bytes = real_read(&n_bytes, "%s", photo->path);
    const struct image image = real_photo(bytes, n_bytes, mem, photo->path);
    struct face *faces;
    int n_faces;
    struct image crop;
    struct quality quality;
    struct err_note note = {0};

    mem_free(bytes);
    if (detector_run(detector, detect, &image, &options, mem, &faces, &n_faces, &note) != ERR_NONE) {
        real_die("%s: %s", photo->path, note.text);
    }
    const struct face *face = real_central_face(faces, n_faces, &image);
    photo->found = face != NULL;
    if (face == NULL) {
        printf("# no face: %s\n", photo->path);
        return;
    }
    if (align_face(&image, face, 112, mem, &crop) != ERR_NONE ||
        recognizer_run(recognizer, embed, &crop, 1, mem, photo->embedding, NULL, &note) != ERR_NONE) {
        real_die("%s: %s", photo->path, note.text);
    }
    quality_judge(&image, face, &crop, QUALITY_AUTO, &quality);
    photo->reasons = quality.reasons;
}

static void *embed_photos(void *unused)
{
    struct session *detect = real_session(detector_graph(detector), false);
    struct session *embed = real_session(recognizer_graph(recognizer), false);
    struct arena *mem = real_arena();

    for (;;) {
        const int i = atomic_fetch_add(&next_photo, 1);
        if (i >= n_photos) {
            break;
        }
        embed_photo(&photos[i], detect, embed, mem);
        arena_reset(mem);
    }
    arena_free(mem);
    session_free(embed);
    session_free(detect);
    return unused;
}

/* ---- Judging ----------------------------------------------------------------------------------------------------- */

/* What a pair of models has to reach. */
struct wanted {
    const char *models;
    double accuracy;
    double most_missed; /* part of the photos on which no face may be found */
};

static int compare_pairs(const void *left, const void *right)
{
    const double a = ((const struct pair *)left)->cosine;
    const double b = ((const struct pair *)right)->cosine;

    return (a > b) - (a < b);
}

static bool both_found(const struct pair *pair)
{
    return photos[pair->a].found && photos[pair->b].found;
}

static double accuracy_at(const struct pair *pairs, int count, double threshold)
{
    int n_right = 0;

    for (int i = 0; i < count; i++) {
        n_right += both_found(&pairs[i]) && (pairs[i].cosine >= threshold) == pairs[i].same;
    }
    return (double)n_right / count;
}

/* The middle between the two cosines where the accuracy is best; the first such, as the protocol's reference has it. */
static double best_threshold(struct pair *pairs, int count)
{
    double best = -1;
    double best_accuracy = 0;

    qsort(pairs, (size_t)count, sizeof *pairs, compare_pairs);
    for (int i = 1; i < count; i++) {
        const double threshold = (pairs[i - 1].cosine + pairs[i].cosine) / 2;
        const double accuracy = accuracy_at(pairs, count, threshold);
        if (accuracy > best_accuracy) {
            best_accuracy = accuracy;
            best = threshold;
        }
    }
    return best;
}

static void compare(struct pair *pairs, int count)
{
    for (int i = 0; i < count; i++) {
        pairs[i].cosine =
            both_found(&pairs[i]) ? real_cosine(photos[pairs[i].a].embedding, photos[pairs[i].b].embedding, DIM) : -1;
    }
}

static void view_1(struct detector *with_detector, struct recognizer *with_recognizer, const struct wanted *wanted)
{
    static struct pair train[MOST_PAIRS];
    static struct pair test[MOST_PAIRS];
    pthread_t threads[N_THREADS];
    int n_missed = 0;
    int n_good = 0;

    n_photos = 0;
    atomic_store(&next_photo, 0);
    const int n_train = read_pairs("pairsDevTrain.txt", train);
    const int n_test = read_pairs("pairsDevTest.txt", test);
    assert_int_equal(n_train, 2200);
    assert_int_equal(n_test, 1000);
    detector = with_detector;
    recognizer = with_recognizer;
    assert_int_equal(recognizer_dim(recognizer), DIM);
    const int64_t start = clock_monotonic_ns();
    for (int i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, embed_photos, NULL), 0);
    }
    for (int i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    const double seconds = (double)(clock_monotonic_ns() - start) / 1e9;
    recognizer_free(with_recognizer);
    detector_free(with_detector);

    for (int i = 0; i < n_photos; i++) {
        n_missed += !photos[i].found;
        n_good += photos[i].found && photos[i].reasons == 0;
    }
    compare(train, n_train);
    compare(test, n_test);
    const double threshold = best_threshold(train, n_train);
    const double accuracy = accuracy_at(test, n_test, threshold);
    printf("# LFW View 1, %s: %.1f %% of %d test pairs at the threshold %.4f, chosen on %d pairs (%.2f %% there)\n",
           wanted->models, 100 * accuracy, n_test, threshold, n_train, 100 * accuracy_at(train, n_train, threshold));
    printf("# %d photos in %.1f s, %d without a face; quality auto passes %d (%.2f %%)\n", n_photos, seconds, n_missed,
           n_good, 100.0 * n_good / n_photos);
    assert_true(n_missed <= wanted->most_missed * n_photos);
    assert_true(accuracy >= wanted->accuracy);
    assert_true(n_good >= .99 * n_photos);
    assert_int_equal(mem_live_blocks(), 0);
}

static void published_models(void **state)
{
    static const struct wanted wanted = {.models = "scrfd_500m + mobilefacenet_128", .accuracy = .99, .most_missed = 0};

    view_1(real_detector("scrfd_500m"), real_recognizer("mobilefacenet_128"), &wanted);
}

/* ---- The models inside the program ------------------------------------------------------------------------------- */

static struct graph *built_in_graph(enum built_in which, size_t most_bytes, json_t **ret_manifest)
{
    struct built_in_model inside;
    struct graph *graph;
    struct onnx_info info;
    struct err_note note = {0};

    assert_true(built_in_find(which, &inside));
    printf("# %s: %zu bytes\n", inside.name, inside.onnx_bytes);
    assert_true(inside.onnx_bytes < most_bytes);
    if (onnx_load(inside.onnx, inside.onnx_bytes, ONNX_FOR_INFERENCE, &graph, &info, &note) != ERR_NONE) {
        real_die("%s: %s", inside.name, note.text);
    }
    *ret_manifest = json_loads(inside.manifest, 0, NULL);
    assert_non_null(*ret_manifest);
    return graph;
}

static struct detector *built_in_detector(void)
{
    json_t *manifest;
    struct graph *graph = built_in_graph(BUILT_IN_DETECTOR, 1500000, &manifest);
    const struct preprocess how = real_preprocess(manifest);
    struct detector *ret;
    struct err_note note = {0};

    json_decref(manifest);
    if (detector_new(graph, &how, &ret, &note) != ERR_NONE) {
        real_die("the detector inside the program: %s", note.text);
    }
    return ret;
}

static struct recognizer *built_in_recognizer(void)
{
    json_t *manifest;
    struct graph *graph = built_in_graph(BUILT_IN_RECOGNIZER, 5000000, &manifest);
    const struct recognizer_options options = {.how = real_preprocess(manifest),
                                               .flip = json_is_true(json_object_get(manifest, "flip"))};
    struct recognizer *ret;
    struct err_note note = {0};

    json_decref(manifest);
    if (recognizer_new(graph, &options, &ret, &note) != ERR_NONE) {
        real_die("the recogniser inside the program: %s", note.text);
    }
    return ret;
}

static void models_inside_the_program(void **state)
{
    static const struct wanted wanted = {
        .models = "detector and recogniser inside the program", .accuracy = .965, .most_missed = .005};

    view_1(built_in_detector(), built_in_recognizer(), &wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(published_models), cmocka_unit_test(models_inside_the_program)};

    real_skip_without_shared();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
