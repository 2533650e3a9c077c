/* canvas.c: levels up, added and coloured; and the transposed way back. */
#include "core/train/canvas.h"

#include <math.h>
#include <string.h>
#include <tgmath.h>

/* Brightness, red against blue, green against both: of length 1 and upright on each other. */
static const double axis[3][3] = {
    {0.57735026918962576, 0.57735026918962576, 0.57735026918962576},
    {0.70710678118654752, 0, -0.70710678118654752},
    {-0.40824829046386302, 0.81649658092772603, -0.40824829046386302},
};

struct canvas canvas_of(int side, int least, float detail, float colour)
{
    struct canvas canvas = {.side = side, .levels = 1, .colour = colour, .sides = 1};

    canvas.side_of[0] = side;
    canvas.gain[0] = detail;
    canvas.count = (size_t)3 * (size_t)side * (size_t)side;
    while (canvas.levels < CANVAS_MOST_LEVELS && side % 2 == 0 && side / 2 >= least) {
        side /= 2;
        canvas.side_of[canvas.levels] = side;
        canvas.begin[canvas.levels] = canvas.count;
        detail = 2 * detail < 1 ? 2 * detail : 1;
        canvas.gain[canvas.levels] = detail;
        canvas.count += (size_t)3 * (size_t)side * (size_t)side;
        canvas.levels++;
    }
    return canvas;
}

/* Twice as long: each number becomes two, a quarter towards its neighbours; step is the distance of neighbours. */
static void widen(const float *in, int n, int step, float *out)
{
    for (int i = 0; i < n; i++) {
        float here = in[i * step];
        float before = in[(i > 0 ? i - 1 : 0) * step];
        float after = in[(i + 1 < n ? i + 1 : i) * step];
        out[2 * i * step] = (float)0.75 * here + (float)0.25 * before;
        out[(2 * i + 1) * step] = (float)0.75 * here + (float)0.25 * after;
    }
}

/* The transposed of widen. */
static void narrow(const float *in, int n, int step, float *out)
{
    for (int i = 0; i < n; i++) {
        out[i * step] = (float)0.75 * (in[2 * i * step] + in[(2 * i + 1) * step]);
    }
    for (int i = 0; i < n; i++) {
        out[(i > 0 ? i - 1 : 0) * step] += (float)0.25 * in[2 * i * step];
        out[(i + 1 < n ? i + 1 : i) * step] += (float)0.25 * in[(2 * i + 1) * step];
    }
}

/* One plane of side² numbers in place becomes one of (2 side)²; room holds as much.  Rows first, then columns. */
static void enlarge(float *plane, int side, float *room)
{
    int wide = 2 * side;

    for (int y = 0; y < side; y++) {
        widen(plane + y * side, side, 1, room + y * wide);
    }
    for (int x = 0; x < wide; x++) {
        widen(room + x, side, wide, plane + x);
    }
}

static void reduce(float *plane, int side, float *room)
{
    int wide = 2 * side;

    for (int x = 0; x < wide; x++) {
        narrow(plane + x, side, wide, room + x);
    }
    for (int y = 0; y < side; y++) {
        narrow(room + y * wide, side, 1, plane + y * side);
    }
}

static float share(const struct canvas *canvas, int level, int plane)
{
    return canvas->gain[level] * (plane == 0 ? 1 : canvas->colour);
}

static void add_level(const struct canvas *canvas, int level, int plane, const float *p, float *sum)
{
    size_t count = (size_t)canvas->side_of[level] * (size_t)canvas->side_of[level];
    const float *own = p + canvas->begin[level] + (size_t)plane * count;
    float factor = share(canvas, level, plane);

    for (size_t i = 0; i < count; i++) {
        sum[i] += factor * own[i];
    }
}

static void take_level(const struct canvas *canvas, int level, int plane, const float *sum, float *dp)
{
    size_t count = (size_t)canvas->side_of[level] * (size_t)canvas->side_of[level];
    float *own = dp + canvas->begin[level] + (size_t)plane * count;
    float factor = share(canvas, level, plane);

    for (size_t i = 0; i < count; i++) {
        own[i] = factor * sum[i];
    }
}

/* Weakens what is different left and right.  Its own transposed. */
static void even_sides(const struct canvas *canvas, float *plane)
{
    float own = (1 + canvas->sides) / 2;
    float other = (1 - canvas->sides) / 2;

    for (int y = 0; y < canvas->side && canvas->sides != 1; y++) {
        float *row = plane + y * canvas->side;
        for (int x = 0; x < canvas->side / 2; x++) {
            float left = row[x];
            float right = row[canvas->side - 1 - x];
            row[x] = own * left + other * right;
            row[canvas->side - 1 - x] = own * right + other * left;
        }
    }
}

void canvas_draw(const struct canvas *canvas, const float *p, float *work, float *ret)
{
    size_t count = (size_t)canvas->side * (size_t)canvas->side;

    for (int plane = 0; plane < 3; plane++) {
        float *sum = ret + (size_t)plane * count;
        memset(sum, 0, count * sizeof *sum);
        for (int level = canvas->levels - 1; level >= 0; level--) {
            add_level(canvas, level, plane, p, sum);
            if (level > 0) {
                enlarge(sum, canvas->side_of[level], work);
            }
        }
        even_sides(canvas, sum);
    }
    for (size_t i = 0; i < count; i++) {
        float z[3] = {ret[i], ret[count + i], ret[2 * count + i]};
        for (size_t c = 0; c < 3; c++) {
            ret[c * count + i] =
                (float)tanh(z[0] * (float)axis[0][c] + z[1] * (float)axis[1][c] + z[2] * (float)axis[2][c]);
        }
    }
}

void canvas_back(const struct canvas *canvas, const float *pixels, float *d, float *work, float *dp)
{
    size_t count = (size_t)canvas->side * (size_t)canvas->side;

    for (size_t i = 0; i < count; i++) {
        float by[3];
        for (size_t c = 0; c < 3; c++) {
            float t = pixels[c * count + i];
            by[c] = d[c * count + i] * (1 - t * t);
        }
        for (size_t k = 0; k < 3; k++) {
            d[k * count + i] = by[0] * (float)axis[k][0] + by[1] * (float)axis[k][1] + by[2] * (float)axis[k][2];
        }
    }
    for (int plane = 0; plane < 3; plane++) {
        float *sum = d + (size_t)plane * count;
        even_sides(canvas, sum);
        for (int level = 0; level < canvas->levels; level++) {
            take_level(canvas, level, plane, sum, dp);
            if (level + 1 < canvas->levels) {
                reduce(sum, canvas->side_of[level + 1], work);
            }
        }
    }
}
