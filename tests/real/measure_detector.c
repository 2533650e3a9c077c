/*
 * measure_detector.c: the detector that the program brings, on people it was never taught with.
 *
 * LFW's DevTest people and `wild` (reserved: no label of theirs was ever trained on) and the photo of a group.  Every photo is
 * searched with the settings that the daemon has.  For every sixth photo of LFW and every third of `wild` the published
 * detectors are asked as well: what neither SCRFD-2.5G at a score of .3 nor the teacher's six looks take for anything is a
 * false face; points are compared with those of SCRFD-2.5G.  Face-free pictures are those same photos with everything that any of
 * them took for a face painted over.
 * ARCFACED_DETECTOR names another file to measure; ARCFACED_EVERY=n takes every n-th photo only.
 */
#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/clock.h"
#include "core/train/detector_scene.h"
#include "core/train/detector_teacher.h"
#include "tests/real/real_support.h"

enum {
    N_THREADS = 2,
    MOST_PHOTOS = 8192,
    MOST_FACES = 256
};

/* What was seen in one set, summed up. */
struct sums {
    long photos, found, faces, compared, false_faces, reference_false, hidden, on_hidden, reference_on_hidden;
    long points;
    double point_error;
};

struct photo {
    char path[300];
    bool compare;
};

static struct photo photos[MOST_PHOTOS];
static int n_photos;
static atomic_int next_photo;

static const struct detector *ours, *small, *large;
static const struct detector_teacher *teacher;

struct thread {
    struct session *ours, *small, *large, *teacher;
    struct arena *mem;
    struct sums sums;
};

/* ---- Lists --------------------------------------------------------------------------------------------------------- */

static int every(void)
{
    const char *text = getenv("ARCFACED_EVERY");

    return text == NULL ? 1 : atoi(text);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct photo *)a)->path, ((const struct photo *)b)->path);
}

static void list_folder(const char *folder)
{
    char path[sizeof photos[0].path];
    struct dirent *entry;

    snprintf(path, sizeof path, "%s/%s", real_root(), folder);
    DIR *dir = opendir(path);
    if (dir == NULL) {
        real_die("%s cannot be listed", path);
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strstr(entry->d_name, ".jpg") != NULL) {
            if (n_photos == MOST_PHOTOS) {
                real_die("more than %d photos", MOST_PHOTOS);
            }
            snprintf(photos[n_photos++].path, sizeof photos[0].path, "%s/%s", folder, entry->d_name);
        }
    }
    closedir(dir);
}

static void choose(int compare_every)
{
    int n = 0;

    qsort(photos, (size_t)n_photos, sizeof *photos, by_path);
    for (int i = 0; i < n_photos; i += every()) {
        photos[n] = photos[i];
        photos[n].compare = n % compare_every == 0;
        n++;
    }
    n_photos = n;
}

static void list_lfw(void)
{
    size_t n_bytes;
    unsigned char *bytes = real_read(&n_bytes, "faces/lfw/peopleDevTest.txt");
    char name[64];
    char folder[160];

    n_photos = 0;
    for (char *line = strchr((char *)bytes, '\n'); line != NULL && line[1] != '\0'; line = strchr(line + 1, '\n')) {
        if (sscanf(line + 1, "%63s", name) == 1) {
            snprintf(folder, sizeof folder, "faces/lfw/images/%s", name);
            list_folder(folder);
        }
    }
    mem_free(bytes);
}

static void list_wild(void)
{
    char path[300];
    struct dirent *entry;

    snprintf(path, sizeof path, "%s/faces/wild", real_root());
    DIR *dir = opendir(path);
    if (dir == NULL) {
        real_die("%s cannot be listed", path);
    }
    n_photos = 0;
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.') {
            char folder[300];
            snprintf(folder, sizeof folder, "faces/wild/%.200s", entry->d_name);
            list_folder(folder);
        }
    }
    closedir(dir);
}

/* ---- One photo ----------------------------------------------------------------------------------------------------- */

static int look(const struct detector *detector, struct session *session, const struct image *photo, float score,
                struct arena *mem, struct face **ret)
{
    const struct detect_options options = {.min_score = score};
    struct err_note note = {0};
    int n = 0;

    if (detector_run(detector, session, photo, &options, mem, ret, &n, &note) != ERR_NONE) {
        real_die("a detector fails: %s", note.text);
    }
    return n;
}

static const struct face *match(const struct face *face, const struct face *among, int n, float least)
{
    const struct face *best = NULL;

    for (int i = 0; i < n; i++) {
        if (box_overlap(face->box, among[i].box) >= least) {
            least = box_overlap(face->box, among[i].box);
            best = &among[i];
        }
    }
    return best;
}

static void compare_points(const struct face *face, const struct face *truth, struct sums *sums)
{
    double eyes =
        hypot((double)(truth->point[0][0] - truth->point[1][0]), (double)(truth->point[0][1] - truth->point[1][1]));

    if (eyes < 10) {
        return; /* a face in profile, or a tiny one: the eyes' distance measures nothing */
    }
    for (int i = 0; i < 5; i++) {
        sums->point_error +=
            hypot((double)(face->point[i][0] - truth->point[i][0]), (double)(face->point[i][1] - truth->point[i][1])) /
            eyes / 5;
    }
    sums->points++;
}

static int count_false(const struct face *faces, int n, const struct face *known, int n_known)
{
    int count = 0;

    for (int i = 0; i < n; i++) {
        count += match(&faces[i], known, n_known, .3F) == NULL;
    }
    return count;
}

/* One line for each of ours that is not known. */
static void tell_false(const char *what, const char *path, const struct face *faces, int n, const struct face *known,
                       int n_known)
{
    for (int i = 0; i < n; i++) {
        if (match(&faces[i], known, n_known, .3F) == NULL) {
            printf("# %s: %s, score %.2f, %.0f × %.0f pixels at %.0f %.0f\n", what, path, (double)faces[i].score,
                   (double)(faces[i].box[2] - faces[i].box[0]), (double)(faces[i].box[3] - faces[i].box[1]),
                   (double)faces[i].box[0], (double)faces[i].box[1]);
        }
    }
}

static void compare_photo(struct thread *thread, const char *path, const struct image *image, const struct face *faces,
                          int n)
{
    struct sums *sums = &thread->sums;
    struct face known[3 * MOST_FACES];
    struct labelled_face all[3 * MOST_FACES];
    struct labelled_face *labels;
    struct face *sure;
    struct face *faint;
    struct face *reference;
    struct err_note note = {0};
    int n_labels;
    int n_known = 0;
    const int n_sure = look(large, thread->large, image, .5F, thread->mem, &sure);
    const int n_faint = look(large, thread->large, image, .3F, thread->mem, &faint);
    const int n_reference = look(small, thread->small, image, .5F, thread->mem, &reference);

    if (detector_teacher_label(teacher, thread->teacher, image, thread->mem, &labels, &n_labels, &note) != ERR_NONE) {
        real_die("the teacher fails: %s", note.text);
    }
    for (int i = 0; i < n_faint; i++) {
        known[n_known++] = faint[i];
    }
    for (int i = 0; i < n_labels && n_known < 2 * MOST_FACES; i++) {
        known[n_known++] = labels[i].face;
    }
    sums->compared++;
    sums->false_faces += count_false(faces, n, known, n_known);
    tell_false("no face is where one is seen", path, faces, n, known, n_known);
    sums->reference_false += count_false(reference, n_reference, known, n_known);
    for (int i = 0; i < n_sure; i++) {
        const struct face *face = match(&sure[i], faces, n, .4F);
        if (face != NULL) {
            compare_points(face, &sure[i], sums);
        }
    }
    for (int i = 0; i < n_known; i++) {
        all[i] = (struct labelled_face){.face = known[i]};
    }
    struct image hidden;
    if (image_new(image->width, image->height, thread->mem, &hidden) != ERR_NONE) {
        real_die("no memory");
    }
    memcpy(hidden.rgb, image->rgb, 3 * (size_t)image->width * (size_t)image->height);
    detector_scene_hide(&hidden, all, n_known, (uint64_t)sums->compared);
    sums->hidden++;
    const int n_hidden = look(ours, thread->ours, &hidden, .5F, thread->mem, &faint);
    sums->on_hidden += n_hidden;
    tell_false("all faces were painted over", path, faint, n_hidden, NULL, 0);
    sums->reference_on_hidden += look(small, thread->small, &hidden, .5F, thread->mem, &faint);
}

static void measure_photo(struct thread *thread, const struct photo *photo)
{
    size_t n_bytes;
    unsigned char *bytes = real_read(&n_bytes, "%s", photo->path);
    const struct image image = real_photo(bytes, n_bytes, thread->mem, photo->path);
    struct face *faces;
    const int n = look(ours, thread->ours, &image, .5F, thread->mem, &faces);

    mem_free(bytes);
    thread->sums.photos++;
    thread->sums.found += n > 0;
    thread->sums.faces += n;
    if (n == 0) {
        printf("# no face: %s\n", photo->path);
    }
    if (photo->compare) {
        compare_photo(thread, photo->path, &image, faces, n);
    }
}

static void *measure_photos(void *context)
{
    struct thread *thread = context;

    for (;;) {
        const int i = atomic_fetch_add(&next_photo, 1);
        if (i >= n_photos) {
            return NULL;
        }
        measure_photo(thread, &photos[i]);
        arena_reset(thread->mem);
    }
}

/* ---- The whole ------------------------------------------------------------------------------------------------------ */

static struct sums measure(const char *name, int compare_every)
{
    static struct thread threads[N_THREADS];
    pthread_t id[N_THREADS];
    struct sums all = {0};
    const int64_t start = clock_monotonic_ns();

    choose(compare_every);
    atomic_store(&next_photo, 0);
    for (int t = 0; t < N_THREADS; t++) {
        threads[t] = (struct thread){.ours = real_session(detector_graph(ours), false),
                                     .small = real_session(detector_graph(small), false),
                                     .large = real_session(detector_graph(large), false),
                                     .teacher = real_session(detector_teacher_graph(teacher), false),
                                     .mem = real_arena()};
        assert_int_equal(pthread_create(&id[t], NULL, measure_photos, &threads[t]), 0);
    }
    for (int t = 0; t < N_THREADS; t++) {
        const struct sums *one = &threads[t].sums;
        assert_int_equal(pthread_join(id[t], NULL), 0);
        all.photos += one->photos;
        all.found += one->found;
        all.faces += one->faces;
        all.compared += one->compared;
        all.false_faces += one->false_faces;
        all.reference_false += one->reference_false;
        all.hidden += one->hidden;
        all.on_hidden += one->on_hidden;
        all.reference_on_hidden += one->reference_on_hidden;
        all.points += one->points;
        all.point_error += one->point_error;
        session_free(threads[t].ours);
        session_free(threads[t].small);
        session_free(threads[t].large);
        session_free(threads[t].teacher);
        arena_free(threads[t].mem);
    }
    printf("# %s: a face in %ld of %ld photos (%.2f %%), %.3f faces a photo; %.1f s\n", name, all.found, all.photos,
           100.0 * (double)all.found / (double)all.photos, (double)all.faces / (double)all.photos,
           (double)(clock_monotonic_ns() - start) / 1e9);
    printf(
        "# %s, %ld photos compared: false faces %ld (scrfd_500m: %ld); with all faces painted over %ld (%ld); points "
        "%.2f %% of the eyes' distance from scrfd_2.5g's on %ld faces\n",
        name, all.compared, all.false_faces, all.reference_false, all.on_hidden, all.reference_on_hidden,
        100 * all.point_error / (double)all.points, all.points);
    return all;
}

static void on_lfw(void **state)
{
    list_lfw();
    assert_true(n_photos > 3000);
    const struct sums sums = measure("LFW DevTest", 6);

    assert_true((double)sums.found >= .995 * (double)sums.photos);
    assert_true(sums.false_faces <= sums.reference_false);
    assert_int_equal(sums.on_hidden, 0);
    assert_true(sums.point_error <= .07 * (double)sums.points);
}

static void in_the_wild(void **state)
{
    list_wild();
    assert_true(n_photos >= 300);
    const struct sums sums = measure("wild", 3);

    assert_true((double)sums.found >= .985 * (double)sums.photos);
    assert_true(sums.false_faces <= sums.reference_false);
    assert_int_equal(sums.on_hidden, 0);
    assert_true(sums.point_error <= .07 * (double)sums.points);
}

static void a_group(void **state)
{
    struct session *session = real_session(detector_graph(ours), false);
    struct arena *mem = real_arena();
    struct face *faces;
    size_t n_bytes;
    unsigned char *bytes = real_read(&n_bytes, "faces/group_six_faces.jpg");
    const struct image image = real_photo(bytes, n_bytes, mem, "group_six_faces.jpg");
    const int n = look(ours, session, &image, .5F, mem, &faces);

    printf("# the group: %d faces, the weakest with a score of %.2f\n", n, n > 0 ? (double)faces[n - 1].score : 0);
    mem_free(bytes);
    arena_free(mem);
    session_free(session);
    assert_int_equal(n, 6);
}

static struct detector *load_ours(void)
{
    static const struct preprocess how = {.color = COLOR_RGB, .mean = {127.5F, 127.5F, 127.5F}, .std = {128, 128, 128}};
    const char *path = getenv("ARCFACED_DETECTOR");
    struct detector *detector;
    struct graph *graph;
    struct onnx_info info;
    unsigned char *bytes;
    size_t n_bytes;
    struct err_note note = {0};

    path = path == NULL ? "core/models/detector.onnx" : path;
    if (file_read(path, (size_t)64 << 20, &bytes, &n_bytes, &note) != ERR_NONE ||
        onnx_load(bytes, n_bytes, ONNX_FOR_INFERENCE, &graph, &info, &note) != ERR_NONE ||
        detector_new(graph, &how, &detector, &note) != ERR_NONE) {
        real_die("%s: %s", path, note.text);
    }
    mem_free(bytes);
    return detector;
}

static int set_up(void **state)
{
    struct detector_teacher *yunet;
    struct graph *graph;
    struct onnx_info info;
    size_t n_bytes;
    unsigned char *bytes = real_read(&n_bytes, "models/yunet_640.onnx");
    struct err_note note = {0};

    if (onnx_load(bytes, n_bytes, ONNX_FOR_INFERENCE, &graph, &info, &note) != ERR_NONE ||
        detector_teacher_new(graph, &yunet, &note) != ERR_NONE) {
        real_die("yunet_640: %s", note.text);
    }
    mem_free(bytes);
    teacher = yunet;
    ours = load_ours();
    small = real_detector("scrfd_500m");
    large = real_detector("scrfd_2.5g");
    return 0;
}

static int tear_down(void **state)
{
    detector_teacher_free((struct detector_teacher *)teacher);
    detector_free((struct detector *)ours);
    detector_free((struct detector *)small);
    detector_free((struct detector *)large);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_group), cmocka_unit_test(in_the_wild),
                                       cmocka_unit_test(on_lfw)};

    real_skip_without_shared();
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
