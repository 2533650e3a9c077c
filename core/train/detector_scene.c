/* detector_scene.c: photos become scenes, drawn repeatably. */
#include "core/train/detector_scene.h"

#include <math.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/image/decode.h"

#define PI 3.14159265358979323846
#define MOST_FACES 512
#define MOST_PHOTOS 4   /* different ones in a scene: decoding is what a scene costs */
#define SMALLEST_PX 9   /* the shorter side of what is called a face */
#define CLEAR_PX 40     /* a face this wide is no blur when it fills a cell */
#define HIDDEN_SHARE .3 /* of the cells */
#define ASIDE_SHARE .2  /* look anywhere, not at a face */
#define TRAP_SHARE .2   /* of the photos, where there are traps */
#define TURNED_SHARE .2 /* of the photos, where there is a face like this: */
#define TURNED_EYES .3F /* sides between its eyes, where .4 are usual */
#define ENLARGE 1.5F    /* of a box that is painted over */

/* ---- Hiding faces -------------------------------------------------------------------------------------------------- */

static uint8_t to_byte(double value)
{
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value + .5);
}

static uint8_t *pixel(const struct image *image, int x, int y)
{
    return image->rgb + 3 * ((size_t)y * (size_t)image->width + (size_t)x);
}

/* From the left edge's colours to the right edge's, row by row, with a little noise; or one colour. */
static void paint_over(struct image *photo, int x0, int y0, int x1, int y1, struct random *random)
{
    bool flat = random_uniform(random) < .4;
    double colour[3];
    double noise = 12 * random_uniform(random);

    for (int c = 0; c < 3; c++) {
        colour[c] = 255 * random_uniform(random);
    }
    for (int y = y0; y < y1; y++) {
        const uint8_t *left = pixel(photo, x0 > 0 ? x0 - 1 : 0, y);
        const uint8_t *right = pixel(photo, x1 < photo->width ? x1 : photo->width - 1, y);
        double from[3];
        double to[3];
        for (int c = 0; c < 3; c++) {
            from[c] = flat ? colour[c] : left[c];
            to[c] = flat ? colour[c] : right[c];
        }
        for (int x = x0; x < x1; x++) {
            double way = (x - x0 + .5) / (x1 - x0);
            double grain = noise * (random_uniform(random) - .5);
            uint8_t *at = pixel(photo, x, y);
            for (int c = 0; c < 3; c++) {
                at[c] = to_byte(from[c] + way * (to[c] - from[c]) + grain);
            }
        }
    }
}

static int within(float value, int limit)
{
    return value <= 0 ? 0 : value >= (float)limit ? limit : (int)value;
}

void detector_scene_hide(struct image *photo, const struct labelled_face *faces, int n_faces, uint64_t seed)
{
    struct random random = random_seeded(seed, 0x41DE);

    for (int i = 0; i < n_faces; i++) {
        const float *box = faces[i].face.box;
        float x = (box[0] + box[2]) / 2;
        float y = (box[1] + box[3]) / 2;
        float half_width = (box[2] - box[0]) / 2 * ENLARGE;
        float half_height = (box[3] - box[1]) / 2 * ENLARGE;
        int x0 = within(x - half_width, photo->width);
        int x1 = within(x + half_width, photo->width);
        int y0 = within(y - half_height, photo->height);
        int y1 = within(y + half_height, photo->height);
        if (x0 < x1 && y0 < y1) {
            paint_over(photo, x0, y0, x1, y1, &random);
        }
    }
}

/* ---- Photos -------------------------------------------------------------------------------------------------------- */

enum err detector_scene_photo(const char *path, struct arena *mem, struct image *ret, struct err_note *note)
{
    const struct image_limits limits = image_limits_default();
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;
    enum err err = file_read(path, limits.bytes, &bytes, &n_bytes, note);

    if (err == ERR_NONE) {
        err = image_decode(bytes, n_bytes, &limits, mem, ret, note);
    }
    mem_free(bytes);
    return err;
}

/* Half the size, each pixel the mean of four: what is scaled down far would else be a matter of luck. */
static enum err halve(const struct image *image, struct arena *mem, struct image *ret)
{
    enum err err = image_new((image->width + 1) / 2, (image->height + 1) / 2, mem, ret);

    for (int y = 0; err == ERR_NONE && y < ret->height; y++) {
        const uint8_t *above = pixel(image, 0, 2 * y);
        const uint8_t *below = pixel(image, 0, 2 * y + 1 < image->height ? 2 * y + 1 : 2 * y);
        uint8_t *out = pixel(ret, 0, y);
        for (int x = 0; x < ret->width; x++, above += 6, below += 6, out += 3) {
            const int right = 2 * x + 1 < image->width ? 3 : 0;
            for (int c = 0; c < 3; c++) {
                out[c] = (uint8_t)((above[c] + above[c + right] + below[c] + below[c + right] + 2) / 4);
            }
        }
    }
    return err;
}

/* A photo whole, halved and halved again, as far as that was asked for. */
struct sizes {
    struct image image[3];
    int made;
};

static enum err make_size(struct sizes *sizes, int size, struct arena *mem)
{
    enum err err = ERR_NONE;

    for (; sizes->made <= size && err == ERR_NONE; sizes->made += err == ERR_NONE) {
        err = halve(&sizes->image[sizes->made - 1], mem, &sizes->image[sizes->made]);
    }
    return err;
}

struct scene_photo {
    const struct labelled_photo *labels;
    /* what is looked at; both NULL: a face, or anything */
    const struct labelled_face *turned;
    const struct detector_trap *trap;
    struct sizes shown;
    struct sizes hidden; /* with the faces painted over; made when needed */
};

static bool clear_face(const struct labelled_face *face)
{
    return !face->unsure && face->face.box[2] - face->face.box[0] >= CLEAR_PX;
}

/* Turned to the side: there are few, and their points are hard to tell. */
static bool turned_face(const struct labelled_face *face)
{
    const float *box = face->face.box;
    const float *left = face->face.point[0];
    const float *right = face->face.point[1];

    return clear_face(face) &&
           hypotf(right[0] - left[0], right[1] - left[1]) < TURNED_EYES * sqrtf((box[2] - box[0]) * (box[3] - box[1]));
}

static const struct labelled_face *find_turned(const struct labelled_photo *photo)
{
    for (int i = 0; i < photo->n_faces; i++) {
        if (turned_face(&photo->faces[i])) {
            return &photo->faces[i];
        }
    }
    return NULL;
}

/* What a photo of a scene was chosen for. */
enum wanted {
    WANTED_FACE,
    WANTED_TURNED,
    WANTED_TRAP
};

static bool has(const struct labelled_photo *photo, enum wanted wanted)
{
    switch (wanted) {
    case WANTED_TURNED: return find_turned(photo) != NULL;
    case WANTED_TRAP: return photo->n_traps > 0;
    case WANTED_FACE: break;
    }
    return photo->n_faces > 0;
}

/* NULL: there is hardly one. */
static const struct labelled_photo *find_photo(const struct detector_labels *labels, enum wanted wanted,
                                               struct random *random)
{
    for (int tries = 0; tries < 1000; tries++) {
        const struct labelled_photo *photo = &labels->photos[random_below(random, (uint64_t)labels->n_photos)];
        if (has(photo, wanted)) {
            return photo;
        }
    }
    return NULL;
}

static enum err choose_photo(const struct detector_labels *labels, struct random *random, struct arena *mem,
                             struct scene_photo *ret, struct err_note *note)
{
    const double draw = random_uniform(random);
    enum wanted wanted = draw < TURNED_SHARE ? WANTED_TURNED : WANTED_FACE;

    if (labels->n_traps > 0 && draw >= 1 - TRAP_SHARE) {
        wanted = WANTED_TRAP;
    }
    const struct labelled_photo *photo = find_photo(labels, wanted, random);
    if (photo == NULL && wanted != WANTED_FACE) {
        wanted = WANTED_FACE;
        photo = find_photo(labels, wanted, random);
    }
    if (photo == NULL) {
        return ERR_SAY(note, ERR_FORMAT, "hardly any photo has a label: there is nothing to learn from");
    }
    *ret = (struct scene_photo){.labels = photo};
    ret->turned = wanted == WANTED_TURNED ? find_turned(photo) : NULL;
    ret->trap = wanted == WANTED_TRAP ? &photo->traps[random_below(random, (uint64_t)photo->n_traps)] : NULL;
    ret->shown.made = 1;
    return detector_scene_photo(photo->path, mem, &ret->shown.image[0], note);
}

static enum err hide_faces(struct scene_photo *photo, uint64_t seed, struct arena *mem)
{
    const struct image *whole = &photo->shown.image[0];
    struct image *hidden = &photo->hidden.image[0];
    enum err err = photo->hidden.made > 0 ? ERR_NONE : image_new(whole->width, whole->height, mem, hidden);

    if (err == ERR_NONE && photo->hidden.made == 0) {
        memcpy(hidden->rgb, whole->rgb, 3 * (size_t)whole->width * (size_t)whole->height);
        detector_scene_hide(hidden, photo->labels->faces, photo->labels->n_faces, seed);
        photo->hidden.made = 1;
    }
    return err;
}

/* ---- One cell ------------------------------------------------------------------------------------------------------- */

/* A rectangle of the scene, and how a photo's points come there: turned, mirrored and scaled about (from), then moved. */
struct placing {
    int x, y, width, height;
    double scale, cosine, sine;
    double from_x, from_y, to_x, to_y; /* to: pixels of the cell */
    bool mirrored, hidden;
};

static void place_point(const struct placing *p, double x, double y, double *ret_x, double *ret_y)
{
    double dx = (p->mirrored ? -1 : 1) * (x - p->from_x);
    double dy = y - p->from_y;

    *ret_x = p->to_x + p->scale * (p->cosine * dx - p->sine * dy);
    *ret_y = p->to_y + p->scale * (p->sine * dx + p->cosine * dy);
}

static double uniform(struct random *random, double low, double high)
{
    return low + (high - low) * random_uniform(random);
}

/* Rarely one that is small in its photo, or unsure: enlarged, it would be a blur. */
static const struct labelled_face *choose_face(const struct labelled_photo *photo, struct random *random)
{
    const struct labelled_face *face = NULL;

    for (int tries = 0; tries < 4; tries++) {
        face = &photo->faces[random_below(random, (uint64_t)photo->n_faces)];
        if (clear_face(face)) {
            break;
        }
    }
    return face;
}

static void choose_placing(const struct scene_photo *photo, int grid, struct random *random, struct placing *ret)
{
    const struct image *image = &photo->shown.image[0];
    const float *box = photo->trap != NULL     ? photo->trap->box
                       : photo->turned != NULL ? photo->turned->face.box
                                               : choose_face(photo->labels, random)->face.box;
    double face_side = sqrt(fmax(1, (double)((box[2] - box[0]) * (box[3] - box[1]))));
    double cell = ret->width < ret->height ? ret->width : ret->height;
    /* of the cell's side: a face alone may be far larger than it, among many it is smaller */
    double least = grid == 1 ? .3 : .36;
    double most = grid == 1 ? 1.5 : 1.1;
    double share = least * pow(most / least, random_uniform(random));
    double degrees = random_uniform(random) < .15 ? uniform(random, -40, 40) : 8 * random_normal(random);

    ret->hidden = random_uniform(random) < HIDDEN_SHARE;
    ret->mirrored = random_uniform(random) < .5;
    ret->scale = share * cell / face_side;
    ret->cosine = cos(degrees * PI / 180);
    ret->sine = sin(degrees * PI / 180);
    ret->from_x = (double)(box[0] + box[2]) / 2;
    ret->from_y = (double)(box[1] + box[3]) / 2;
    if (photo->trap != NULL) {
        ret->hidden = photo->trap->hidden;
    } else if (random_uniform(random) < ASIDE_SHARE) {
        ret->from_x = image->width * random_uniform(random);
        ret->from_y = image->height * random_uniform(random);
    }
    double border = share > .7 ? .35 : .18;
    ret->to_x = ret->width * uniform(random, border, 1 - border);
    ret->to_y = ret->height * uniform(random, border, 1 - border);
}

struct light {
    double gain[3], offset[3]; /* by channel */
    double saturation;
};

static struct light choose_light(struct random *random)
{
    struct light light;
    double bright = uniform(random, .6, 1.35);
    double contrast = uniform(random, .65, 1.3);

    light.saturation = random_uniform(random) < .12 ? 0 : uniform(random, .6, 1.3);
    for (int c = 0; c < 3; c++) {
        double tint = uniform(random, .92, 1.08);
        light.gain[c] = bright * contrast * tint;
        light.offset[c] = bright * 110 * (1 - contrast);
    }
    return light;
}

static void draw_pixels(const struct image *photo, double photo_scale, const struct placing *p,
                        const struct light *light, const uint8_t around[3], struct image *scene)
{
    /* The inverse of place_point, then pixel centres at whole numbers; along a row it grows by equal steps. */
    const double step = photo_scale / p->scale;
    const double turn = p->mirrored ? -1 : 1;
    const double x_by_x = turn * p->cosine * step;
    const double x_by_y = turn * p->sine * step;
    const double y_by_x = -p->sine * step;
    const double y_by_y = p->cosine * step;
    const float most_x = (float)(photo->width - 1);
    const float most_y = (float)(photo->height - 1);
    const size_t row_bytes = 3 * (size_t)photo->width;
    float gain[3];
    float offset[3];
    float saturation = (float)light->saturation;

    for (int c = 0; c < 3; c++) {
        gain[c] = (float)light->gain[c];
        offset[c] = (float)light->offset[c];
    }
    for (int y = 0; y < p->height; y++) {
        uint8_t *out = pixel(scene, p->x, p->y + y);
        double dx = .5 - p->to_x;
        double dy = y + .5 - p->to_y;
        float from_x = (float)(p->from_x * photo_scale - .5 + x_by_x * dx + x_by_y * dy);
        float from_y = (float)(p->from_y * photo_scale - .5 + y_by_x * dx + y_by_y * dy);
        for (int x = 0; x < p->width; x++, out += 3) {
            float at_x = from_x + (float)x * (float)x_by_x;
            float at_y = from_y + (float)x * (float)y_by_x;
            if (!(at_x >= 0 && at_y >= 0 && at_x < most_x && at_y < most_y)) {
                memcpy(out, around, 3);
                continue;
            }
            int left = (int)at_x;
            int top = (int)at_y;
            float u = at_x - (float)left;
            float v = at_y - (float)top;
            const uint8_t *a = photo->rgb + (size_t)top * row_bytes + 3 * (size_t)left;
            const uint8_t *b = a + row_bytes;
            float rgb[3];
            for (int c = 0; c < 3; c++) {
                float upper = (float)a[c] + u * (float)(a[c + 3] - a[c]);
                float lower = (float)b[c] + u * (float)(b[c + 3] - b[c]);
                rgb[c] = upper + v * (lower - upper);
            }
            float grey = .299F * rgb[0] + .587F * rgb[1] + .114F * rgb[2];
            for (int c = 0; c < 3; c++) {
                float value = gain[c] * (grey + saturation * (rgb[c] - grey)) + offset[c];
                out[c] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value + .5F);
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

/* The face where it has come to; false if hardly anything of it is in the cell. */
static bool place_face(const struct placing *p, const struct labelled_face *from, struct labelled_face *ret)
{
    const float *box = from->face.box;
    double x;
    double y;
    double half_width = (double)(box[2] - box[0]) / 2 * p->scale;
    double half_height = (double)(box[3] - box[1]) / 2 * p->scale;

    *ret = *from;
    place_point(p, (double)(box[0] + box[2]) / 2, (double)(box[1] + box[3]) / 2, &x, &y);
    double seen_width = fmin(x + half_width, p->width) - fmax(x - half_width, 0);
    double seen_height = fmin(y + half_height, p->height) - fmax(y - half_height, 0);
    double seen = seen_width > 0 && seen_height > 0 ? seen_width * seen_height / (4 * half_width * half_height) : 0;
    if (seen < .08) {
        return false;
    }
    bool inside = x > 0 && x < p->width && y > 0 && y < p->height;
    ret->unsure = from->unsure || seen < .55 || !inside || 2 * fmin(half_width, half_height) < SMALLEST_PX;
    for (int i = 0; i < 5; i++) {
        double at[2];
        place_point(p, (double)from->face.point[i][0], (double)from->face.point[i][1], &at[0], &at[1]);
        ret->face.point[i][0] = (float)(at[0] + p->x);
        ret->face.point[i][1] = (float)(at[1] + p->y);
    }
    if (p->mirrored) {
        exchange_points(&ret->face, 0, 1);
        exchange_points(&ret->face, 3, 4);
    }
    x += p->x;
    y += p->y;
    if (ret->unsure) { /* only what is in the cell is unsure */
        ret->face.box[0] = (float)fmax(x - half_width, p->x);
        ret->face.box[1] = (float)fmax(y - half_height, p->y);
        ret->face.box[2] = (float)fmin(x + half_width, p->x + p->width);
        ret->face.box[3] = (float)fmin(y + half_height, p->y + p->height);
        return true;
    }
    ret->face.box[0] = (float)(x - half_width);
    ret->face.box[1] = (float)(y - half_height);
    ret->face.box[2] = (float)(x + half_width);
    ret->face.box[3] = (float)(y + half_height);
    return true;
}

static enum err draw_cell(struct scene_photo *photo, int grid, struct placing *p, struct random *random,
                          struct arena *mem, struct detector_scene *ret)
{
    uint8_t around[3] = {0, 0, 0};
    int half = 0;

    choose_placing(photo, grid, random, p);
    struct light light = choose_light(random);
    bool black = random_uniform(random) < .5;
    for (int c = 0; c < 3; c++) {
        double colour = 255 * random_uniform(random);
        around[c] = black ? 0 : (uint8_t)colour;
    }
    enum err err = p->hidden ? hide_faces(photo, random_u64(random), mem) : ERR_NONE;
    if (err != ERR_NONE) {
        return err;
    }
    while (half < 2 && p->scale * (1 << half) < .6) {
        half++;
    }
    struct sizes *sizes = p->hidden ? &photo->hidden : &photo->shown;
    err = make_size(sizes, half, mem);
    if (err != ERR_NONE) {
        return err;
    }
    draw_pixels(&sizes->image[half], 1.0 / (1 << half), p, &light, around, &ret->image);
    for (int i = 0; !p->hidden && i < photo->labels->n_faces && ret->n_faces < MOST_FACES; i++) {
        ret->n_faces += place_face(p, &photo->labels->faces[i], &ret->faces[ret->n_faces]);
    }
    return ERR_NONE;
}

/* ---- The scene ------------------------------------------------------------------------------------------------------ */

/* A scene of 36 faces counts as 36 of one: with these odds three tenths of the faces that are learnt from stand alone. */
static int choose_grid(struct random *random)
{
    static const double upto[] = {.75, .93, .97, .985, .995, 1};
    double draw = random_uniform(random);
    int grid = 1;

    while (draw >= upto[grid - 1] && grid < 6) {
        grid++;
    }
    return grid;
}

static void add_noise(struct image *image, double strength, struct random *random)
{
    size_t bytes = 3 * (size_t)image->width * (size_t)image->height;

    for (size_t i = 0; i < bytes; i++) {
        image->rgb[i] = to_byte(image->rgb[i] + strength * (random_uniform(random) - .5));
    }
}

enum err detector_scene_draw(const struct detector_labels *labels, int side, uint64_t seed, uint64_t number,
                             struct arena *mem, struct detector_scene *ret, struct err_note *note)
{
    struct random random = random_seeded(seed, number);
    struct scene_photo photos[MOST_PHOTOS];
    struct detector_scene scene = {.faces = ARENA_ARRAY(mem, struct labelled_face, MOST_FACES)};
    int grid = choose_grid(&random);
    int n_photos = grid * grid < MOST_PHOTOS ? grid * grid : MOST_PHOTOS;
    enum err err = scene.faces == NULL ? arena_why(mem) : image_new(side, side, mem, &scene.image);

    if (err == ERR_NONE && labels->n_photos == 0) {
        err = ERR_SAY(note, ERR_FORMAT, "there are no labelled photos");
    }
    for (int i = 0; i < n_photos && err == ERR_NONE; i++) {
        err = choose_photo(labels, &random, mem, &photos[i], note);
    }
    for (int row = 0; row < grid && err == ERR_NONE; row++) {
        for (int column = 0; column < grid && err == ERR_NONE; column++) {
            struct placing p = {.x = side * column / grid, .y = side * row / grid};
            p.width = side * (column + 1) / grid - p.x;
            p.height = side * (row + 1) / grid - p.y;
            err = draw_cell(&photos[(row * grid + column) % n_photos], grid, &p, &random, mem, &scene);
        }
    }
    if (err == ERR_NONE && random_uniform(&random) < .15) {
        add_noise(&scene.image, 40 * random_uniform(&random), &random);
    }
    if (err == ERR_NONE) {
        *ret = scene;
    }
    return err;
}
