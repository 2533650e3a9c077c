/* detector_teacher.c: six looks at a photo in four canvases, and what they agree on. */
#include "core/train/detector_teacher.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/image/resize.h"

#define SIDE 640
#define LEVELS 3
#define KINDS 4 /* of outputs */

#define SEEN_SCORE .3F    /* below, a look has seen nothing */
#define SURE_SCORE .6F    /* a look that counts for a face */
#define SAME_OVERLAP .45F /* sights that overlap so far are of one face */
#define LEAST_PIXELS 12   /* the smaller side of what a look can be expected to see */
#define CLEAR_PIXELS 48   /* the smaller side from which a look's points can be trusted */
#define CANVASES 4

struct detector_teacher {
    struct graph *graph;
    int output[LEVELS][KINDS];
};

/* Where each look's photo lies in its canvas: squares whose sides the photo's longer side fills. */
static const struct tile {
    int canvas, x, y, side;
} tiles[TEACHER_VIEWS] = {{0, 0, 0, 640}, {1, 0, 0, 640},   {2, 0, 0, 500},
                          {3, 0, 0, 500}, {2, 500, 0, 140}, {3, 500, 0, 140}};

/* ---- The network -------------------------------------------------------------------------------------------------- */

static int find_output(const struct graph *graph, const char *kind, int stride)
{
    char name[32];

    (void)snprintf(name, sizeof name, "%s_%d", kind, stride);
    for (int i = 0; i < graph_output_count(graph); i++) {
        if (strcmp(graph_output(graph, i)->name, name) == 0) {
            return i;
        }
    }
    return -1;
}

enum err detector_teacher_new(struct graph *take, struct detector_teacher **ret, struct err_note *note)
{
    static const char *const kinds[KINDS] = {"cls", "obj", "bbox", "kps"};
    struct detector_teacher *teacher = MEM_NEW(struct detector_teacher);

    if (teacher == NULL) {
        graph_free(take);
        return ERR_NOMEM;
    }
    teacher->graph = take;
    for (int level = 0; level < LEVELS; level++) {
        for (int kind = 0; kind < KINDS; kind++) {
            int found = find_output(take, kinds[kind], 8 << level);
            if (found < 0) {
                detector_teacher_free(teacher);
                return ERR_SAY(note, ERR_UNSUPPORTED, "the teacher is no YuNet detector: it has no output %s_%d",
                               kinds[kind], 8 << level);
            }
            teacher->output[level][kind] = found;
        }
    }
    *ret = teacher;
    return ERR_NONE;
}

void detector_teacher_free(struct detector_teacher *teacher)
{
    if (teacher != NULL) {
        graph_free(teacher->graph);
        mem_free(teacher);
    }
}

const struct graph *detector_teacher_graph(const struct detector_teacher *teacher)
{
    return teacher->graph;
}

/* ---- Decoding ------------------------------------------------------------------------------------------------------ */

static float score_of(const struct teacher_level *level, int cell)
{
    float class_score = fminf(fmaxf(level->class_score[cell], 0), 1);
    float object_score = fminf(fmaxf(level->object_score[cell], 0), 1);

    return sqrtf(class_score * object_score);
}

struct face teacher_decode(const struct teacher_level *level, int cell)
{
    const float *box = level->box + 4 * (size_t)cell;
    const float *point = level->point + 10 * (size_t)cell;
    float stride = (float)level->stride;
    int line = cell / level->columns;
    float column = (float)(cell % level->columns);
    float row = (float)line;
    float x = (column + box[0]) * stride;
    float y = (row + box[1]) * stride;
    float half_width = expf(box[2]) * stride / 2;
    float half_height = expf(box[3]) * stride / 2;
    struct face face = {.box = {x - half_width, y - half_height, x + half_width, y + half_height},
                        .score = score_of(level, cell)};

    for (int i = 0; i < 5; i++) {
        face.point[i][0] = (column + point[2 * i]) * stride;
        face.point[i][1] = (row + point[2 * i + 1]) * stride;
    }
    return face;
}

static bool finite_face(const struct face *face)
{
    bool finite = isfinite(face->score);

    for (int i = 0; i < 4; i++) {
        finite = finite && isfinite(face->box[i]);
    }
    for (int i = 0; i < 5; i++) {
        finite = finite && isfinite(face->point[i][0]) && isfinite(face->point[i][1]);
    }
    return finite;
}

/* ---- Looking ------------------------------------------------------------------------------------------------------- */

/* Columns are exchanged; afterwards the left eye as seen is what was the right one. */
static void mirror_image(struct image *image)
{
    for (int y = 0; y < image->height; y++) {
        uint8_t *row = image->rgb + 3 * (size_t)y * (size_t)image->width;
        for (int x = 0; x < image->width / 2; x++) {
            uint8_t *left = row + 3 * (size_t)x;
            uint8_t *right = row + 3 * (size_t)(image->width - 1 - x);
            for (int c = 0; c < 3; c++) {
                uint8_t keep = left[c];
                left[c] = right[c];
                right[c] = keep;
            }
        }
    }
}

static void exchange_points(struct face *face, int a, int b)
{
    for (int k = 0; k < 2; k++) {
        float keep = face->point[a][k];
        face->point[a][k] = face->point[b][k];
        face->point[b][k] = keep;
    }
}

/* From the canvas to the photo. */
static void face_back(struct face *face, const struct tile *tile, float scale, int mirrored_width)
{
    for (int i = 0; i < 4; i++) {
        face->box[i] -= (float)(i % 2 == 0 ? tile->x : tile->y);
    }
    for (int i = 0; i < 5; i++) {
        face->point[i][0] -= (float)tile->x;
        face->point[i][1] -= (float)tile->y;
    }
    if (mirrored_width > 0) {
        float width = (float)mirrored_width;
        float left = width - face->box[2];
        face->box[2] = width - face->box[0];
        face->box[0] = left;
        for (int i = 0; i < 5; i++) {
            face->point[i][0] = width - face->point[i][0];
        }
        exchange_points(face, 0, 1);
        exchange_points(face, 3, 4);
    }
    for (int i = 0; i < 4; i++) {
        face->box[i] /= scale;
    }
    for (int i = 0; i < 5; i++) {
        face->point[i][0] /= scale;
        face->point[i][1] /= scale;
    }
}

static enum err draw_view(const struct image *photo, int v, float scale, int width, struct arena *mem,
                          struct image *canvas)
{
    int height = (int)fmaxf(1, floorf((float)photo->height * scale + .5F));
    struct image view;
    enum err err = image_scale(photo, (double)scale, width, height, mem, &view);

    if (err != ERR_NONE) {
        return err;
    }
    if (v % 2 == 1) {
        mirror_image(&view);
    }
    for (int y = 0; y < height; y++) {
        memcpy(canvas->rgb + 3 * ((size_t)(tiles[v].y + y) * SIDE + (size_t)tiles[v].x),
               view.rgb + 3 * (size_t)y * (size_t)width, 3 * (size_t)width);
    }
    return ERR_NONE;
}

/* The look in whose picture the point of a canvas lies; -1: in none. */
static int view_at(int canvas, float x, float y)
{
    for (int v = 0; v < TEACHER_VIEWS; v++) {
        const struct tile *tile = &tiles[v];
        if (tile->canvas == canvas && x >= (float)tile->x && x < (float)(tile->x + tile->side) && y >= (float)tile->y &&
            y < (float)(tile->y + tile->side)) {
            return v;
        }
    }
    return -1;
}

/* What has been seen in the canvases so far. */
struct sights {
    struct teacher_sight *list;
    int n, room;
    float scale[TEACHER_VIEWS];
    int width[TEACHER_VIEWS]; /* of each look's picture */
};

static enum err add_sight(struct sights *sights, const struct teacher_sight *one, struct arena *mem)
{
    if (sights->n == sights->room) {
        int room = sights->room == 0 ? 256 : 2 * sights->room;
        struct teacher_sight *list = ARENA_ARRAY(mem, struct teacher_sight, room);
        if (list == NULL) {
            return arena_why(mem);
        }
        if (sights->n > 0) {
            memcpy(list, sights->list, (size_t)sights->n * sizeof *list);
        }
        sights->list = list;
        sights->room = room;
    }
    sights->list[sights->n++] = *one;
    return ERR_NONE;
}

static enum err collect_level(const struct teacher_level *level, int canvas, struct arena *mem, struct sights *sights)
{
    enum err err = ERR_NONE;

    for (int cell = 0; cell < level->columns * level->rows && err == ERR_NONE; cell++) {
        if (!(score_of(level, cell) >= SEEN_SCORE)) {
            continue;
        }
        struct teacher_sight one = {.face = teacher_decode(level, cell)};
        one.view = view_at(canvas, (one.face.box[0] + one.face.box[2]) / 2, (one.face.box[1] + one.face.box[3]) / 2);
        if (one.view >= 0 && finite_face(&one.face)) {
            one.scale = sights->scale[one.view];
            face_back(&one.face, &tiles[one.view], one.scale, one.view % 2 == 1 ? sights->width[one.view] : 0);
            err = add_sight(sights, &one, mem);
        }
    }
    return err;
}

static enum err collect(const struct detector_teacher *teacher, const struct tensor *outputs, int canvas,
                        struct arena *mem, struct sights *sights, struct err_note *note)
{
    enum err err = ERR_NONE;

    for (int l = 0; l < LEVELS && err == ERR_NONE; l++) {
        const int *output = teacher->output[l];
        const struct teacher_level level = {.stride = 8 << l,
                                            .columns = SIDE / (8 << l),
                                            .rows = SIDE / (8 << l),
                                            .class_score = outputs[output[0]].data,
                                            .object_score = outputs[output[1]].data,
                                            .box = outputs[output[2]].data,
                                            .point = outputs[output[3]].data};
        if (shape_elements(&outputs[output[0]].shape) != (int64_t)level.columns * level.rows ||
            shape_elements(&outputs[output[3]].shape) != 10 * (int64_t)level.columns * level.rows) {
            return ERR_SAY(note, ERR_UNSUPPORTED, "the teacher's outputs are not those of an input of %d × %d", SIDE,
                           SIDE);
        }
        err = collect_level(&level, canvas, mem, sights);
    }
    return err;
}

/* One canvas is drawn, shown to the network, and what that sees is added. */
static enum err look(const struct detector_teacher *teacher, struct session *session, const struct image *photo,
                     int canvas, float *pixels, struct arena *mem, struct sights *sights, struct err_note *note)
{
    static const struct preprocess raw = {.color = COLOR_BGR, .std = {1, 1, 1}};
    struct tensor input = {.type = DTYPE_F32, .shape = {.rank = 4, .dim = {1, 3, SIDE, SIDE}}, .data = pixels};
    struct tensor outputs[LEVELS * KINDS] = {{0}};
    struct image drawn;
    enum err err = image_new(SIDE, SIDE, mem, &drawn);

    for (int v = 0; v < TEACHER_VIEWS && err == ERR_NONE; v++) {
        if (tiles[v].canvas == canvas) {
            err = draw_view(photo, v, sights->scale[v], sights->width[v], mem, &drawn);
        }
    }
    if (err != ERR_NONE) {
        return err;
    }
    preprocess_image(&drawn, &raw, pixels);
    err = session_run(session, &input, 1, outputs, LEVELS * KINDS, note);
    return err != ERR_NONE ? err : collect(teacher, outputs, canvas, mem, sights, note);
}

enum err detector_teacher_label(const struct detector_teacher *teacher, struct session *session,
                                const struct image *photo, struct arena *mem, struct labelled_face **ret,
                                int *ret_count, struct err_note *note)
{
    int longer = photo->width > photo->height ? photo->width : photo->height;
    float *pixels = ARENA_ARRAY(mem, float, 3 * SIDE * SIDE);
    struct sights sights = {.list = NULL};
    enum err err = pixels == NULL ? arena_why(mem) : ERR_NONE;

    for (int v = 0; v < TEACHER_VIEWS; v++) {
        sights.scale[v] = (float)tiles[v].side / (float)longer;
        sights.width[v] = (int)fmaxf(1, floorf((float)photo->width * sights.scale[v] + .5F));
    }
    for (int canvas = 0; canvas < CANVASES && err == ERR_NONE; canvas++) {
        err = look(teacher, session, photo, canvas, pixels, mem, &sights, note);
    }
    struct labelled_face *labels = err != ERR_NONE ? NULL : ARENA_ARRAY(mem, struct labelled_face, sights.n + 1);
    if (labels == NULL) {
        return err != ERR_NONE ? err : arena_why(mem);
    }
    *ret_count = teacher_join(sights.list, sights.n, sights.scale, labels);
    *ret = labels;
    return ERR_NONE;
}

/* ---- Agreeing ------------------------------------------------------------------------------------------------------ */

static int by_score(const void *left, const void *right)
{
    const struct teacher_sight *a = left;
    const struct teacher_sight *b = right;

    if (a->face.score != b->face.score) {
        return a->face.score > b->face.score ? -1 : 1;
    }
    return a->view != b->view ? a->view - b->view
                              : (a->face.box[0] > b->face.box[0]) - (a->face.box[0] < b->face.box[0]);
}

static int compare_floats(const void *left, const void *right)
{
    float a = *(const float *)left;
    float b = *(const float *)right;

    return (a > b) - (a < b);
}

static float median(float *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, compare_floats);
    return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static float shorter_side(const struct face *face)
{
    return fminf(face->box[2] - face->box[0], face->box[3] - face->box[1]);
}

/* Mean of the points of those looks that show the face clearly, or, if none does, of the largest ones. */
static void join_points(const struct face *const all[], const float scale[], int n, struct face *ret)
{
    float side = shorter_side(ret);
    float least = 0;
    int clear = 0;

    for (int i = 0; i < n; i++) {
        least = fmaxf(least, side * scale[i]);
    }
    least = fminf(least, CLEAR_PIXELS);
    for (int i = 0; i < n; i++) {
        if (side * scale[i] >= least) {
            clear++;
            for (int k = 0; k < 10; k++) {
                ret->point[k / 2][k % 2] += all[i]->point[k / 2][k % 2];
            }
        }
    }
    for (int k = 0; k < 10; k++) {
        ret->point[k / 2][k % 2] /= (float)clear;
    }
}

/* The best sight of each look, joined: one at least is there. */
static struct labelled_face join_one(struct teacher_sight *const best[TEACHER_VIEWS], const float scale[TEACHER_VIEWS])
{
    struct labelled_face label = {.unsure = true};
    const struct face *all[TEACHER_VIEWS];
    float scale_of[TEACHER_VIEWS];
    float values[TEACHER_VIEWS];
    int n = 0;
    int sure = 0;
    int expected = 0;

    for (int v = 0; v < TEACHER_VIEWS; v++) {
        if (best[v] != NULL) {
            scale_of[n] = scale[v];
            all[n++] = &best[v]->face;
            sure += best[v]->face.score >= SURE_SCORE;
            label.face.score = fmaxf(label.face.score, best[v]->face.score);
        }
    }
    for (int k = 0; k < 4; k++) {
        for (int i = 0; i < n; i++) {
            values[i] = all[i]->box[k];
        }
        label.face.box[k] = median(values, n);
    }
    join_points(all, scale_of, n, &label.face);
    for (int v = 0; v < TEACHER_VIEWS; v++) {
        expected += shorter_side(&label.face) * scale[v] >= LEAST_PIXELS;
    }
    label.unsure = sure < 2 || 2 * sure < expected;
    return label;
}

int teacher_join(struct teacher_sight *sights, int n, const float scale[TEACHER_VIEWS], struct labelled_face *ret)
{
    int count = 0;

    qsort(sights, (size_t)n, sizeof *sights, by_score);
    for (int i = 0; i < n; i++) {
        struct teacher_sight *best[TEACHER_VIEWS] = {NULL};
        float box[4];
        if (sights[i].view < 0) {
            continue; /* taken by a better one */
        }
        memcpy(box, sights[i].face.box, sizeof box);
        for (int k = i; k < n; k++) {
            if (sights[k].view < 0 || box_overlap(box, sights[k].face.box) < SAME_OVERLAP) {
                continue;
            }
            if (best[sights[k].view] == NULL) {
                best[sights[k].view] = &sights[k];
            }
            sights[k].view = -1;
        }
        ret[count++] = join_one(best, scale);
    }
    return count;
}
