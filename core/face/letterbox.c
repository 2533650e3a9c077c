/* letterbox.c: a photo of any size in the frame that a detector looks at, and its faces back in the photo. */

#include <math.h>
#include <string.h>

#include "core/face/letterbox_private.h"
#include "core/image/resize.h"

static int round_up(int side, int unit)
{
    return (side + unit - 1) / unit * unit;
}

/* side × numerator / denominator, cut to an integer as InsightFace cuts it, never 0. */
static int scale_side(int side, int numerator, int denominator)
{
    const int64_t scaled = (int64_t)side * numerator / denominator;

    return scaled < 1 ? 1 : (int)scaled;
}

/*
 * Where the network takes any size, the canvas follows the photo, so that hardly anything is computed on black; InsightFace's
 * canvas is always square.
 */
struct letterbox letterbox_fit(int photo_width, int photo_height, const struct letterbox_frame *frame)
{
    const int frame_width = frame->fixed_width > 0 ? frame->fixed_width : frame->side;
    const int frame_height = frame->fixed_height > 0 ? frame->fixed_height : frame->side;
    struct letterbox box = {.photo_width = photo_width, .photo_height = photo_height};

    if ((int64_t)photo_width * frame_height >= (int64_t)photo_height * frame_width) {
        box.width = frame_width;
        box.height = scale_side(photo_height, frame_width, photo_width);
    } else {
        box.height = frame_height;
        box.width = scale_side(photo_width, frame_height, photo_height);
    }
    /* Enlarged too far, a face that fills the photo becomes larger than the network knows faces. */
    const float most_width = (float)photo_width * frame->max_enlarge;
    const float most_height = (float)photo_height * frame->max_enlarge;
    if ((float)box.width > most_width || (float)box.height > most_height) {
        box.width = most_width < 1.0F ? 1 : (int)fminf(most_width, (float)frame_width);
        box.height = most_height < 1.0F ? 1 : (int)fminf(most_height, (float)frame_height);
    }
    box.canvas_width = frame->fixed_width > 0 ? frame->fixed_width : round_up(box.width, frame->unit);
    box.canvas_height = frame->fixed_height > 0 ? frame->fixed_height : round_up(box.height, frame->unit);
    return box;
}

enum err letterbox_draw(const struct letterbox *box, const struct image *photo, struct arena *mem, struct image *ret)
{
    struct image scaled;
    struct image canvas;

    enum err err = image_resize(photo, box->width, box->height, mem, &scaled);
    if (err == ERR_NONE) {
        err = image_new(box->canvas_width, box->canvas_height, mem, &canvas);
    }
    if (err != ERR_NONE) {
        return err;
    }
    const size_t scaled_row = (size_t)3 * (size_t)scaled.width;
    const size_t canvas_row = (size_t)3 * (size_t)canvas.width;
    for (size_t y = 0; y < (size_t)scaled.height; y++) {
        memcpy(canvas.rgb + y * canvas_row, scaled.rgb + y * scaled_row, scaled_row);
    }
    *ret = canvas;
    return ERR_NONE;
}

/* Each axis has its own scale: the shorter side was cut to an integer, which can be half a percent. */
void letterbox_back(const struct letterbox *box, struct face *face)
{
    const float scale[2] = {(float)box->photo_width / (float)box->width, (float)box->photo_height / (float)box->height};

    for (int i = 0; i < 4; i++) {
        face->box[i] *= scale[i % 2];
    }
    for (int i = 0; i < 5; i++) {
        face->point[i][0] *= scale[0];
        face->point[i][1] *= scale[1];
    }
}

void letterbox_clip(const struct letterbox *box, struct face *face)
{
    const float end[2] = {(float)box->photo_width, (float)box->photo_height};

    for (int i = 0; i < 4; i++) {
        face->box[i] = fminf(fmaxf(face->box[i], 0.0F), end[i % 2]);
    }
}
