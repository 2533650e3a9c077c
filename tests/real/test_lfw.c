/*
 * test_lfw.c: View 1 of LFW from the JPEG files: detect, align, embed, compare.
 *
 * The threshold is chosen on pairsDevTrain and judged on pairsDevTest, whose people are others.  Each photo is embedded
 * once, by two threads with a session each.
 */

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/clock.h"
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

static int compare_pairs(const void *left, const void *right)
{
    const double a = ((const struct pair *)left)->cosine;
    const double b = ((const struct pair *)right)->cosine;

    return (a > b) - (a < b);
}

static double accuracy_at(const struct pair *pairs, int count, double threshold)
{
    int n_right = 0;

    for (int i = 0; i < count; i++) {
        n_right += (pairs[i].cosine >= threshold) == pairs[i].same;
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
        pairs[i].cosine = real_cosine(photos[pairs[i].a].embedding, photos[pairs[i].b].embedding, DIM);
    }
}

static void view_1(void **state)
{
    static struct pair train[MOST_PAIRS];
    static struct pair test[MOST_PAIRS];
    struct detector *scrfd = real_detector("scrfd_500m");
    struct recognizer *mobilefacenet = real_recognizer("mobilefacenet_128");
    const int n_train = read_pairs("pairsDevTrain.txt", train);
    const int n_test = read_pairs("pairsDevTest.txt", test);
    pthread_t threads[N_THREADS];
    int n_missed = 0;
    int n_good = 0;

    (void)state;
    assert_int_equal(n_train, 2200);
    assert_int_equal(n_test, 1000);
    detector = scrfd;
    recognizer = mobilefacenet;
    assert_int_equal(recognizer_dim(recognizer), DIM);
    const int64_t start = clock_monotonic_ns();
    for (int i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, embed_photos, NULL), 0);
    }
    for (int i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    const double seconds = (double)(clock_monotonic_ns() - start) / 1e9;
    recognizer_free(mobilefacenet);
    detector_free(scrfd);

    for (int i = 0; i < n_photos; i++) {
        n_missed += !photos[i].found;
        n_good += photos[i].found && photos[i].reasons == 0;
    }
    compare(train, n_train);
    compare(test, n_test);
    const double threshold = best_threshold(train, n_train);
    const double accuracy = accuracy_at(test, n_test, threshold);
    printf("# LFW View 1, scrfd_500m + mobilefacenet_128: %.1f %% of %d test pairs at the threshold %.4f, chosen on %d "
           "pairs (%.2f %% there)\n",
           100 * accuracy, n_test, threshold, n_train, 100 * accuracy_at(train, n_train, threshold));
    printf("# %d photos in %.1f s, %d without a face; quality auto passes %d (%.2f %%)\n", n_photos, seconds, n_missed,
           n_good, 100.0 * n_good / n_photos);
    assert_int_equal(n_missed, 0);
    assert_true(accuracy >= .99);
    assert_true(n_good >= .99 * n_photos);
    assert_int_equal(mem_live_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(view_1)};

    real_skip_without_shared();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
