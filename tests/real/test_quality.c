/*
 * test_quality.c: on real photos the level auto lets nearly all pass, and finds what is made bad on purpose.
 *
 * Every 8th photo of LFW; `test_quality 1` looks at all of them.  Prints the distribution of each measure, from
 * which the limits in quality.c were chosen, at the shares 0, .001, .005, .01, .05, .25, .5, .75, .95, .99, .995, .999, 1.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>

#include "core/image/resize.h"
#include "tests/real/real_support.h"

enum {
    MOST_PHOTOS = 16384,
    N_REASONS = 6
};

static int every = 8;

/* ---- Ways to spoil a photo --------------------------------------------------------------------------------------- */

static void scale_tones(struct image *photo, double factor, double offset)
{
    for (size_t i = 0; i < (size_t)3 * (size_t)photo->width * (size_t)photo->height; i++) {
        const double value = photo->rgb[i] * factor + offset;
        photo->rgb[i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
    }
}

/* A mean over (2 radius + 1)² pixels, edges repeated, once along each axis. */
static void blur(struct image *photo, int radius, struct arena *mem)
{
    struct image copy;

    for (int axis = 0; axis < 2; axis++) {
        assert_int_equal(image_new(photo->width, photo->height, mem, &copy), ERR_NONE);
        memcpy(copy.rgb, photo->rgb, (size_t)3 * (size_t)photo->width * (size_t)photo->height);
        for (int y = 0; y < photo->height; y++) {
            for (int x = 0; x < photo->width; x++) {
                for (int c = 0; c < 3; c++) {
                    int sum = 0;
                    for (int k = -radius; k <= radius; k++) {
                        int px = x + (axis == 0 ? k : 0);
                        int py = y + (axis == 1 ? k : 0);
                        px = px < 0 ? 0 : px >= photo->width ? photo->width - 1 : px;
                        py = py < 0 ? 0 : py >= photo->height ? photo->height - 1 : py;
                        sum += copy.rgb[3 * (py * photo->width + px) + c];
                    }
                    photo->rgb[3 * (y * photo->width + x) + c] = (uint8_t)(sum / (2 * radius + 1));
                }
            }
        }
    }
}

static void smaller(struct image *photo, int width, struct arena *mem)
{
    struct image small;

    assert_int_equal(image_resize(photo, width, width * photo->height / photo->width, mem, &small), ERR_NONE);
    *photo = small;
}

/* Leaves the photo's right part, so that the face is cut through. */
static void cut(struct image *photo, int left, struct arena *mem)
{
    struct image part;

    assert_int_equal(image_new(photo->width - left, photo->height, mem, &part), ERR_NONE);
    for (int y = 0; y < part.height; y++) {
        memcpy(part.rgb + (size_t)3 * (size_t)y * (size_t)part.width,
               photo->rgb + (size_t)3 * ((size_t)y * (size_t)photo->width + (size_t)left),
               (size_t)3 * (size_t)part.width);
    }
    *photo = part;
}

enum spoil {
    AS_IT_IS,
    BLURRED_3,
    BLURRED_5,
    DIM_QUARTER,
    DARK_TENTH,
    BURNT,
    SMALL_60,
    CUT_110,
    N_SPOILS
};

static const struct {
    const char *name;
    unsigned want; /* reasons of which one at least is expected */
    double least;  /* share of the photos with a face; for 0, the share that may not be flagged at all */
} spoils[N_SPOILS] = {
    [AS_IT_IS] = {"as it is", 0, .99},
    [BLURRED_3] = {"box blur 7 px", QUALITY_BLURRED, .65},
    [BLURRED_5] = {"box blur 11 px", QUALITY_BLURRED, .95},
    [DIM_QUARTER] = {"a third as bright", 0, .95},
    [DARK_TENTH] = {"a twelfth as bright", QUALITY_DARK, .9},
    [BURNT] = {"burnt out", QUALITY_DARK, .95},
    [SMALL_60] = {"60 px wide", QUALITY_TOO_SMALL | QUALITY_BLURRED, .9},
    [CUT_110] = {"cut through the face", QUALITY_CUT_OFF | QUALITY_UNSURE, .9},
};

static void spoil_photo(struct image *photo, enum spoil how, struct arena *mem)
{
    switch (how) {
    case AS_IT_IS: break;
    case BLURRED_3: blur(photo, 3, mem); break;
    case BLURRED_5: blur(photo, 5, mem); break;
    case DIM_QUARTER: scale_tones(photo, 1 / 3.0, 0); break;
    case DARK_TENTH: scale_tones(photo, 1 / 12.0, 0); break;
    case BURNT: scale_tones(photo, 1, 190); break;
    case SMALL_60: smaller(photo, 60, mem); break;
    case CUT_110: cut(photo, 118, mem); break;
    case N_SPOILS: break;
    }
}

/* ---- The photos -------------------------------------------------------------------------------------------------- */

static char *paths[MOST_PHOTOS];
static int n_paths;

static int compare_texts(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static void list_photos(void)
{
    char root[4096];

    snprintf(root, sizeof root, "%s/faces/lfw/images", real_root());
    DIR *folder = opendir(root);
    assert_non_null(folder);
    for (struct dirent *person = readdir(folder); person != NULL; person = readdir(folder)) {
        char path[8192];
        if (person->d_name[0] == '.') {
            continue;
        }
        snprintf(path, sizeof path, "%s/%s", root, person->d_name);
        DIR *inner = opendir(path);
        assert_non_null(inner);
        for (struct dirent *photo = readdir(inner); photo != NULL; photo = readdir(inner)) {
            if (strstr(photo->d_name, ".jpg") != NULL && n_paths < MOST_PHOTOS) {
                snprintf(path, sizeof path, "faces/lfw/images/%s/%s", person->d_name, photo->d_name);
                paths[n_paths++] = mem_copy_text(path);
            }
        }
        closedir(inner);
    }
    closedir(folder);
    qsort(paths, (size_t)n_paths, sizeof paths[0], compare_texts);
}

/* ---- Counting ---------------------------------------------------------------------------------------------------- */

enum {
    N_MEASURES = 7
};

static const char *const measure_names[N_MEASURES] = {"eye distance", "sharpness", "yaw",  "brightness",
                                                      "contrast",     "inside",    "score"};
static float measures[N_MEASURES][MOST_PHOTOS];

static int compare_floats(const void *left, const void *right)
{
    const float a = *(const float *)left;
    const float b = *(const float *)right;

    return (a > b) - (a < b);
}

static void print_distribution(int count)
{
    static const double share[] = {0, .001, .005, .01, .05, .25, .5, .75, .95, .99, .995, .999, 1};

    for (int m = 0; m < N_MEASURES; m++) {
        qsort(measures[m], (size_t)count, sizeof(float), compare_floats);
        printf("#   %-12s", measure_names[m]);
        for (size_t i = 0; i < sizeof share / sizeof share[0]; i++) {
            printf(" %8.4g", (double)measures[m][(int)(share[i] * (count - 1))]);
        }
        printf("\n");
    }
}

static void levels_on_real_photos(void **state)
{
    struct detector *detector = real_detector("scrfd_500m");
    struct session *session = real_session(detector_graph(detector), false);
    struct arena *mem = real_arena();
    const struct detect_options options = {.side = 0};
    int n_bad = 0;

    (void)state;
    list_photos();
    assert_int_equal(n_paths, 13233);
    for (int how = 0; how < N_SPOILS; how++) {
        /* Spoiling needs fewer photos than finding out what passes. */
        const int step = how == AS_IT_IS ? every : every * 8;
        int count[2][N_REASONS + 1] = {{0}};
        int n_faces_seen = 0;
        int n_flagged = 0;
        int n_wanted = 0;
        int n_high = 0;
        for (int i = 0; i < n_paths; i += step) {
            size_t n_bytes;
            struct face *faces;
            int n_faces;
            struct image crop;
            struct quality quality;
            struct err_note note = {0};
            unsigned char *bytes = real_read(&n_bytes, "%s", paths[i]);
            struct image photo = real_photo(bytes, n_bytes, mem, paths[i]);
            mem_free(bytes);
            spoil_photo(&photo, (enum spoil)how, mem);
            if (detector_run(detector, session, &photo, &options, mem, &faces, &n_faces, &note) != ERR_NONE) {
                fail_msg("%s: %s", paths[i], note.text);
            }
            const struct face *face = real_central_face(faces, n_faces, &photo);
            if (face != NULL && align_face(&photo, face, 112, mem, &crop) == ERR_NONE) {
                for (int level = 0; level < 2; level++) {
                    quality_judge(&photo, face, &crop, level == 0 ? QUALITY_AUTO : QUALITY_HIGH, &quality);
                    for (int r = 0; r < N_REASONS; r++) {
                        count[level][r] += (quality.reasons >> r & 1U) != 0;
                    }
                    n_flagged += level == 0 && quality.reasons != 0;
                    n_wanted += level == 0 && (quality.reasons & spoils[how].want) != 0;
                    n_high += level == 1 && quality.reasons != 0;
                }
                const float values[N_MEASURES] = {
                    quality.eye_distance_px, quality.sharpness, quality.yaw, quality.brightness,
                    quality.contrast,        quality.inside,    face->score};
                for (int m = 0; m < N_MEASURES; m++) {
                    measures[m][n_faces_seen] = values[m];
                }
                n_faces_seen++;
            }
            arena_reset(mem);
        }
        printf("# %s: %d faces in %d photos; auto flags %d (%.2f %%), high %d (%.2f %%);", spoils[how].name,
               n_faces_seen, (n_paths + step - 1) / step, n_flagged, 100.0 * n_flagged / n_faces_seen, n_high,
               100.0 * n_high / n_faces_seen);
        for (int r = 0; r < N_REASONS; r++) {
            printf(" %s %d/%d", quality_reason_word((enum quality_reason)(1 << r)), count[0][r], count[1][r]);
        }
        printf("\n");
        if (how == AS_IT_IS) {
            print_distribution(n_faces_seen);
        }
        const double share =
            spoils[how].want == 0 ? 1 - (double)n_flagged / n_faces_seen : (double)n_wanted / n_faces_seen;
        if (share < spoils[how].least) {
            printf("# %s: only %.3f, not %.3f\n", spoils[how].name, share, spoils[how].least);
            n_bad++;
        }
    }
    for (int i = 0; i < n_paths; i++) {
        mem_free(paths[i]);
    }
    arena_free(mem);
    session_free(session);
    detector_free(detector);
    assert_int_equal(n_bad, 0);
    assert_int_equal(mem_live_blocks(), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(levels_on_real_photos)};

    if (argc > 1 && strtol(argv[1], NULL, 10) > 0) {
        every = (int)strtol(argv[1], NULL, 10);
    }
    real_skip_without_shared();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
