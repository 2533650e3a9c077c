/* scrfd.c: the nine outputs of an SCRFD network become faces. */

#include <math.h>
#include <stdlib.h>

#include "core/face/scrfd_private.h"

static const int strides[SCRFD_LEVELS] = {8, 16, 32};

/* ---- Which output is which --------------------------------------------------------------------------------------- */

enum {
    COLUMNS_SCORE = 1,
    COLUMNS_BOX = 4,
    COLUMNS_POINT = 10
};

/* Reads an output as rows × columns; false if it is no table of floats. */
static bool table_of(const struct tensor *output, int64_t *ret_rows, int64_t *ret_columns)
{
    const struct shape *shape = &output->shape;

    if (output->type != DTYPE_F32 || (shape->rank != 2 && shape->rank != 3)) {
        return false;
    }
    if (shape->rank == 3 && shape->dim[0] != 1) {
        return false;
    }
    *ret_rows = shape->dim[shape->rank - 2];
    *ret_columns = shape->dim[shape->rank - 1];
    return true;
}

static int64_t cells_at(int stride, int width, int height)
{
    return (int64_t)(width / stride) * (height / stride);
}

static int count_tables(const struct tensor *outputs, int n_outputs, int64_t want_columns)
{
    int count = 0;

    for (int i = 0; i < n_outputs; i++) {
        int64_t rows;
        int64_t columns;
        count += table_of(&outputs[i], &rows, &columns) && columns == want_columns;
    }
    return count;
}

/* The only output with so many rows and columns; -1 if there is none, or more than one. */
static int find_table(const struct tensor *outputs, int n_outputs, int64_t want_rows, int64_t want_columns)
{
    int found = -1;

    for (int i = 0; i < n_outputs; i++) {
        int64_t rows;
        int64_t columns;
        if (table_of(&outputs[i], &rows, &columns) && rows == want_rows && columns == want_columns) {
            if (found >= 0) {
                return -1;
            }
            found = i;
        }
    }
    return found;
}

/* What the counts of outputs say before any row is compared; the commonest other networks get their own sentence. */
static enum err check_kinds(const char *const *names, const struct tensor *outputs, int n_outputs,
                            struct err_note *note)
{
    for (int i = 0; i < n_outputs; i++) {
        int64_t rows;
        int64_t columns;
        if (!table_of(&outputs[i], &rows, &columns) ||
            (columns != COLUMNS_SCORE && columns != COLUMNS_BOX && columns != COLUMNS_POINT)) {
            char text[SHAPE_TEXT_BYTES];
            return ERR_SAY(
                note, ERR_UNSUPPORTED,
                "not a face detector of the SCRFD family: its output '%s' has the shape %s, where a score has "
                "1 column, a box 4 and five points 10",
                names[i], shape_text(&outputs[i].shape, text));
        }
    }

    const int n_scores = count_tables(outputs, n_outputs, COLUMNS_SCORE);
    const int n_boxes = count_tables(outputs, n_outputs, COLUMNS_BOX);
    const int n_points = count_tables(outputs, n_outputs, COLUMNS_POINT);
    if (n_scores == 2 * SCRFD_LEVELS && n_boxes == SCRFD_LEVELS) {
        return ERR_SAY(
            note, ERR_UNSUPPORTED,
            "a detector with two scores for each anchor (class and object), as YuNet has it, is not supported; "
            "use an SCRFD network with five points");
    }
    if (n_scores == SCRFD_LEVELS && n_boxes == SCRFD_LEVELS && n_points == 0) {
        return ERR_SAY(note, ERR_UNSUPPORTED,
                       "the detector has no outputs for the five points (10 columns), without which a face cannot be "
                       "aligned; use the variant with key points (kps)");
    }
    if (n_scores != SCRFD_LEVELS || n_boxes != SCRFD_LEVELS || n_points != SCRFD_LEVELS) {
        return ERR_SAY(note, ERR_UNSUPPORTED,
                       "not a face detector of the SCRFD family: it has %d outputs for scores, %d for boxes and %d for "
                       "points, where each must have %d, one for each of the strides 8, 16 and 32",
                       n_scores, n_boxes, n_points, SCRFD_LEVELS);
    }
    return ERR_NONE;
}

enum err scrfd_recognise(const char *const *names, const struct tensor *outputs, int n_outputs, int width, int height,
                         struct scrfd_heads *ret, struct err_note *note)
{
    struct scrfd_heads heads = {.n_anchors = 0};

    enum err err = check_kinds(names, outputs, n_outputs, note);
    if (err != ERR_NONE) {
        return err;
    }

    /* The finest level has the most rows, which tells how many anchors a cell has; the other levels must then follow. */
    int64_t most_rows = 0;
    for (int i = 0; i < n_outputs; i++) {
        int64_t rows;
        int64_t columns;
        if (table_of(&outputs[i], &rows, &columns) && columns == COLUMNS_SCORE && rows > most_rows) {
            most_rows = rows;
        }
    }
    const int64_t finest_cells = cells_at(strides[0], width, height);
    if (most_rows == 0 || most_rows % finest_cells != 0 || most_rows / finest_cells > 16) {
        return ERR_SAY(
            note, ERR_UNSUPPORTED,
            "not a face detector of the SCRFD family: for an input of %d × %d its largest output has %lld rows, "
            "which is not a number of anchors for each of the %lld cells at stride 8",
            width, height, (long long)most_rows, (long long)finest_cells);
    }
    heads.n_anchors = (int)(most_rows / finest_cells);
    for (int i = 0; i < SCRFD_LEVELS; i++) {
        const int64_t rows = cells_at(strides[i], width, height) * heads.n_anchors;
        struct scrfd_level level = {.stride = strides[i],
                                    .score = find_table(outputs, n_outputs, rows, COLUMNS_SCORE),
                                    .box = find_table(outputs, n_outputs, rows, COLUMNS_BOX),
                                    .point = find_table(outputs, n_outputs, rows, COLUMNS_POINT)};
        if (level.score < 0 || level.box < 0 || level.point < 0) {
            return ERR_SAY(
                note, ERR_UNSUPPORTED,
                "not a face detector of the SCRFD family: no output with the %lld rows of the %s at stride %d "
                "(%d anchors a cell, input %d × %d)",
                (long long)rows, level.score < 0 ? "score" : (level.box < 0 ? "box" : "five points"), strides[i],
                heads.n_anchors, width, height);
        }
        heads.level[i] = level;
    }
    *ret = heads;
    return ERR_NONE;
}

/* ---- Decoding ---------------------------------------------------------------------------------------------------- */

static bool all_finite(const float *value, int count)
{
    for (int i = 0; i < count; i++) {
        if (!isfinite(value[i])) {
            return false;
        }
    }
    return true;
}

/* One level's outputs, checked. */
struct level_view {
    const float *score; /* [rows] */
    const float *box;   /* [rows, 4] */
    const float *point; /* [rows, 10] */
    int64_t rows;
    int stride;
    int columns_of_cells;
};

static bool has_shape(const struct tensor *output, int64_t want_rows, int64_t want_columns)
{
    int64_t rows;
    int64_t columns;

    return table_of(output, &rows, &columns) && rows == want_rows && columns == want_columns;
}

static enum err view_level(const struct scrfd_heads *heads, int i, const struct tensor *outputs, int width, int height,
                           struct level_view *ret, struct err_note *note)
{
    const struct scrfd_level *level = &heads->level[i];
    const int64_t rows = cells_at(level->stride, width, height) * heads->n_anchors;

    if (!has_shape(&outputs[level->score], rows, COLUMNS_SCORE) ||
        !has_shape(&outputs[level->box], rows, COLUMNS_BOX) ||
        !has_shape(&outputs[level->point], rows, COLUMNS_POINT)) {
        return ERR_SAY(note, ERR_FORMAT,
                       "the detector's outputs at stride %d do not have the %lld rows that an input of %d × %d makes",
                       level->stride, (long long)rows, width, height);
    }
    *ret = (struct level_view){.score = outputs[level->score].data,
                               .box = outputs[level->box].data,
                               .point = outputs[level->point].data,
                               .rows = rows,
                               .stride = level->stride,
                               .columns_of_cells = width / level->stride};
    return ERR_NONE;
}

/* Counts the anchors that are good enough, and looks at every score on the way. */
static enum err count_good(const struct level_view *level, float min_score, size_t *count, struct err_note *note)
{
    for (int64_t row = 0; row < level->rows; row++) {
        const float score = level->score[row];
        if (!(score >= 0.0F && score <= 1.0F)) { /* a NaN too */
            return ERR_SAY(note, ERR_FORMAT,
                           "the detector gave a score of %g, which is not in 0..1; its scores must have "
                           "passed a Sigmoid",
                           (double)score);
        }
        *count += score >= min_score;
    }
    return ERR_NONE;
}

/* The anchors' centres are the cells' upper left corners: SCRFD has no offset of half a cell. */
static void decode_row(const struct level_view *level, int64_t row, int n_anchors, struct face *ret)
{
    const int64_t cell = row / n_anchors;
    const float stride = (float)level->stride;
    const int64_t column = cell % level->columns_of_cells;
    const int64_t line = cell / level->columns_of_cells;
    const float x = (float)column * stride;
    const float y = (float)line * stride;
    const float *box = level->box + COLUMNS_BOX * row;
    const float *point = level->point + COLUMNS_POINT * row;

    ret->box[0] = x - box[0] * stride;
    ret->box[1] = y - box[1] * stride;
    ret->box[2] = x + box[2] * stride;
    ret->box[3] = y + box[3] * stride;
    for (int i = 0; i < 5; i++) {
        ret->point[i][0] = x + point[2 * i] * stride;
        ret->point[i][1] = y + point[2 * i + 1] * stride;
    }
    ret->score = level->score[row];
}

enum err scrfd_decode(const struct scrfd_heads *heads, const struct tensor *outputs, int width, int height,
                      float min_score, struct arena *mem, struct face **ret, int *ret_count, struct err_note *note)
{
    struct level_view level[SCRFD_LEVELS] = {{0}};
    size_t n_good = 0;
    int n_faces = 0;

    for (int i = 0; i < SCRFD_LEVELS; i++) {
        enum err err = view_level(heads, i, outputs, width, height, &level[i], note);
        if (err == ERR_NONE) {
            err = count_good(&level[i], min_score, &n_good, note);
        }
        if (err != ERR_NONE) {
            return err;
        }
    }
    struct face *faces = ARENA_ARRAY(mem, struct face, n_good + 1);
    if (faces == NULL) {
        return ERR_SAY(note, arena_why(mem), "no memory for %zu candidates of faces", n_good);
    }
    for (int i = 0; i < SCRFD_LEVELS; i++) {
        for (int64_t row = 0; row < level[i].rows; row++) {
            if (level[i].score[row] < min_score) {
                continue;
            }
            struct face *face = &faces[n_faces++];
            decode_row(&level[i], row, heads->n_anchors, face);
            if (!all_finite(face->box, 4) || !all_finite(&face->point[0][0], 10)) {
                return ERR_SAY(note, ERR_FORMAT, "the detector gave a box or a point that is not finite");
            }
        }
    }
    *ret = faces;
    *ret_count = n_faces;
    return ERR_NONE;
}

/* ---- One box for each face --------------------------------------------------------------------------------------- */

/* Best first; among equal scores by place, so that the order never depends on the sorting algorithm. */
static int compare_faces(const void *left, const void *right)
{
    const struct face *a = left;
    const struct face *b = right;

    if (a->score != b->score) {
        return a->score > b->score ? -1 : 1;
    }
    for (int i = 0; i < 4; i++) {
        if (a->box[i] != b->box[i]) {
            return a->box[i] < b->box[i] ? -1 : 1;
        }
    }
    return 0;
}

/* Sides count the pixels at both ends (+ 1), as InsightFace does: it matters for tiny boxes only. */
static float area_of(float x0, float y0, float x1, float y1)
{
    const float width = x1 - x0 + 1.0F;
    const float height = y1 - y0 + 1.0F;

    return width > 0.0F && height > 0.0F ? width * height : 0.0F;
}

static float overlap_of(const float a[4], const float b[4])
{
    const float common = area_of(fmaxf(a[0], b[0]), fmaxf(a[1], b[1]), fminf(a[2], b[2]), fminf(a[3], b[3]));
    const float together = area_of(a[0], a[1], a[2], a[3]) + area_of(b[0], b[1], b[2], b[3]) - common;

    return together > 0.0F ? common / together : 0.0F;
}

int scrfd_suppress(struct face *faces, int count, float max_overlap, int max_faces)
{
    int n_kept = 0;

    qsort(faces, (size_t)count, sizeof *faces, compare_faces);
    for (int i = 0; i < count && n_kept < max_faces; i++) {
        bool covered = false;
        for (int k = 0; k < n_kept && !covered; k++) {
            covered = overlap_of(faces[i].box, faces[k].box) > max_overlap;
        }
        if (!covered) {
            faces[n_kept++] = faces[i];
        }
    }
    return n_kept;
}
