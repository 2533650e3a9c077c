/*
 * bench_stages.c: what each stage of one photo costs, on one thread.
 *
 * The photo is the group of six, 1280 × 886.  One line a stage: the median of the rounds, the fastest, the slowest.  The
 * search has no line here: it is measured through the daemon, where its gallery is.
 */

#include "core/base/clock.h"
#include "core/base/cpu.h"
#include "tests/real/real_support.h"

enum {
    ROUNDS = 15,
    WARM_UP = 2
};

static int compare_doubles(const void *left, const void *right)
{
    const double a = *(const double *)left;
    const double b = *(const double *)right;

    return (a > b) - (a < b);
}

static void print_line(const char *stage, double *ms)
{
    qsort(ms + WARM_UP, ROUNDS, sizeof *ms, compare_doubles);
    printf("stage %-28s median %8.2f ms   least %8.2f   most %8.2f\n", stage, ms[WARM_UP + ROUNDS / 2], ms[WARM_UP],
           ms[WARM_UP + ROUNDS - 1]);
}

static double since(int64_t start)
{
    return (double)(clock_monotonic_ns() - start) / 1e6;
}

static void must(enum err err, const char *what, const struct err_note *note)
{
    if (err != ERR_NONE) {
        real_die("%s: %s", what, note->text);
    }
}

static void bench_decode(const unsigned char *bytes, size_t n_bytes, struct arena *mem)
{
    double ms[WARM_UP + ROUNDS];

    for (int i = 0; i < WARM_UP + ROUNDS; i++) {
        const int64_t start = clock_monotonic_ns();
        (void)real_photo(bytes, n_bytes, mem, "group photo");
        ms[i] = since(start);
        arena_reset(mem);
    }
    print_line("decode 1280x886 jpeg", ms);
}

/* Leaves the faces of the last round in faces[6]. */
static void bench_detect(const char *model, int side, const struct image *photo, struct arena *mem, struct face *faces)
{
    struct detector *detector = real_detector(model);
    struct session *session = real_session(detector_graph(detector), false);
    const struct detect_options options = {.side = side};
    double ms[WARM_UP + ROUNDS];
    char stage[64];

    for (int i = 0; i < WARM_UP + ROUNDS; i++) {
        struct face *found;
        int n_found;
        struct err_note note = {0};
        const int64_t start = clock_monotonic_ns();
        must(detector_run(detector, session, photo, &options, mem, &found, &n_found, &note), model, &note);
        ms[i] = since(start);
        if (n_found != 6) {
            real_die("%s at %d finds %d faces, not 6", model, side, n_found);
        }
        memcpy(faces, found, 6 * sizeof *faces);
        arena_reset(mem);
    }
    snprintf(stage, sizeof stage, "detect %s at %d", model, side);
    print_line(stage, ms);
    session_free(session);
    detector_free(detector);
}

static void bench_embed(const char *model, const struct image *crops, struct arena *mem)
{
    struct recognizer *recognizer = real_recognizer(model);
    struct session *session = real_session(recognizer_graph(recognizer), false);
    double ms[WARM_UP + ROUNDS];
    float embedding[512];
    char stage[64];

    for (int i = 0; i < WARM_UP + ROUNDS; i++) {
        struct err_note note = {0};
        const int64_t start = clock_monotonic_ns();
        must(recognizer_run(recognizer, session, &crops[i % 6], 1, mem, embedding, NULL, &note), model, &note);
        ms[i] = since(start);
        arena_reset(mem);
    }
    snprintf(stage, sizeof stage, "embed a face %s", model);
    print_line(stage, ms);
    session_free(session);
    recognizer_free(recognizer);
}

int main(void)
{
    real_skip_without_shared();
    struct arena *mem = real_arena();
    struct arena *photo_mem = real_arena();
    size_t n_bytes;
    unsigned char *bytes = real_read(&n_bytes, "faces/group_six_faces.jpg");
    struct face faces[6];
    struct image crops[6];
    double ms[WARM_UP + ROUNDS];

    printf("bench stages: %s, one thread, %d rounds\n", cpu_info()->name, ROUNDS);
    bench_decode(bytes, n_bytes, mem);
    const struct image photo = real_photo(bytes, n_bytes, photo_mem, "group photo");
    bench_detect("scrfd_500m", 640, &photo, mem, faces);
    bench_detect("scrfd_2.5g", 640, &photo, mem, faces);
    for (int i = 0; i < WARM_UP + ROUNDS; i++) {
        struct err_note note = {0};
        const int64_t start = clock_monotonic_ns();
        must(align_face(&photo, &faces[i % 6], 112, photo_mem, &crops[i % 6]), "align", &note);
        ms[i] = since(start);
    }
    print_line("align a face", ms);
    bench_embed("mobilefacenet_128", crops, mem);
    bench_embed("mobilefacenet_y1_128", crops, mem);
    bench_embed("mbf_512_int8", crops, mem);
    mem_free(bytes);
    arena_free(photo_mem);
    arena_free(mem);
    return 0;
}
