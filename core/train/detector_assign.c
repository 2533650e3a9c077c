/* detector_assign.c: ATSS over three levels. */
#include "core/train/detector_assign.h"

#include <math.h>

#define NEAREST 9
#define OUTSTANDING .85F /* of the best candidate's overlap: this is always enough */

int detector_cells(int width, int height)
{
    int cells = 0;

    for (int i = 0; i < DETECTOR_LEVELS; i++) {
        cells += (width / detector_stride(i)) * (height / detector_stride(i));
    }
    return cells;
}

struct detector_cell detector_cell_at(int width, int height, int cell)
{
    int level = 0;

    for (; level + 1 < DETECTOR_LEVELS; level++) {
        int here = (width / detector_stride(level)) * (height / detector_stride(level));
        if (cell < here) {
            break;
        }
        cell -= here;
    }
    int stride = detector_stride(level);
    int columns = width / stride;
    int row = cell / columns;
    return (struct detector_cell){.level = level, .x = (float)(cell % columns * stride), .y = (float)(row * stride)};
}

struct candidate {
    int cell;
    float distance; /* squared */
    float overlap;
    float x, y;
};

/* The nearest cells of one level, in no order; returns how many there are. */
static int nearest_cells(int width, int height, int level, int first, float x, float y, struct candidate *ret)
{
    int stride = detector_stride(level);
    int columns = width / stride;
    int rows = height / stride;
    int n = 0;

    for (int row = 0; row < rows; row++) {
        for (int column = 0; column < columns; column++) {
            struct candidate one = {
                .cell = first + row * columns + column, .x = (float)(column * stride), .y = (float)(row * stride)};
            one.distance = (one.x - x) * (one.x - x) + (one.y - y) * (one.y - y);
            int at = n;
            if (n == NEAREST) {
                at = 0;
                for (int k = 1; k < NEAREST; k++) {
                    at = ret[k].distance > ret[at].distance ? k : at;
                }
                if (one.distance >= ret[at].distance) {
                    continue;
                }
            } else {
                n++;
            }
            ret[at] = one;
        }
    }
    return n;
}

static void assign_face(int width, int height, const struct labelled_face *face, int number, int *ret, float *best)
{
    const float *box = face->face.box;
    float x = (box[0] + box[2]) / 2;
    float y = (box[1] + box[3]) / 2;
    struct candidate all[DETECTOR_LEVELS * NEAREST];
    int first = 0;
    int n = 0;
    float mean = 0;
    float square = 0;
    float most = 0;

    for (int level = 0; level < DETECTOR_LEVELS; level++) {
        float half = detector_anchor_px[level] / 2;
        int more = nearest_cells(width, height, level, first, x, y, all + n);
        for (int k = n; k < n + more; k++) {
            const float anchor[4] = {all[k].x - half, all[k].y - half, all[k].x + half, all[k].y + half};
            all[k].overlap = box_overlap(anchor, box);
            mean += all[k].overlap;
            most = fmaxf(most, all[k].overlap);
        }
        n += more;
        first += (width / detector_stride(level)) * (height / detector_stride(level));
    }
    mean /= (float)n;
    for (int k = 0; k < n; k++) {
        square += (all[k].overlap - mean) * (all[k].overlap - mean);
    }
    /* Between the sizes of two levels, which are further apart here than ATSS has them, no candidate stands out from the others. */
    float least = fminf(mean + sqrtf(square / (float)(n > 1 ? n - 1 : 1)), OUTSTANDING * most);
    for (int k = 0; k < n; k++) {
        const struct candidate *one = &all[k];
        bool inside = one->x > box[0] && one->x < box[2] && one->y > box[1] && one->y < box[3];
        if (one->overlap >= least && inside && one->overlap > best[one->cell]) {
            ret[one->cell] = number;
            best[one->cell] = one->overlap;
        }
    }
}

static void mark_unsure(int width, int height, const float box[4], int *ret)
{
    int cells = detector_cells(width, height);

    for (int i = 0; i < cells; i++) {
        struct detector_cell cell = detector_cell_at(width, height, i);
        if (ret[i] == DETECTOR_CELL_NONE && cell.x >= box[0] && cell.x <= box[2] && cell.y >= box[1] &&
            cell.y <= box[3]) {
            ret[i] = DETECTOR_CELL_UNSURE;
        }
    }
}

enum err detector_assign(int width, int height, const struct labelled_face *faces, int n_faces, struct arena *mem,
                         int *ret, int *ret_positive)
{
    int cells = detector_cells(width, height);
    float *best = ARENA_ARRAY(mem, float, cells);
    int positive = 0;

    if (best == NULL) {
        return arena_why(mem);
    }
    for (int i = 0; i < cells; i++) {
        ret[i] = DETECTOR_CELL_NONE;
    }
    for (int i = 0; i < n_faces; i++) {
        if (!faces[i].unsure) {
            assign_face(width, height, &faces[i], i, ret, best);
        }
    }
    for (int i = 0; i < n_faces; i++) {
        if (faces[i].unsure) {
            mark_unsure(width, height, faces[i].face.box, ret);
        }
    }
    for (int i = 0; i < cells; i++) {
        positive += ret[i] >= 0;
    }
    *ret_positive = positive;
    return ERR_NONE;
}
