/* letterbox.c: a photo of any size in the frame that a detector looks at, and its faces back in the photo. */

#include <math.h>
#include <string.h>

#include "core/face/letterbox_private.h"
#include "core/image/resize.h"

static int round_up(int side, int unit)
{
    return (side + unit - 1) / unit * unit;
}

static int scale_side(int side, double scale)
{
    const int scaled = (int)floor(side * scale + .5);

    return scaled < 1 ? 1 : scaled;
}

/*
 * InsightFace cuts the scaled sides to integers and stretches the photo to them: at 320 pixels that moves points by two or
 * three pixels of a photo of 1280.  Here both axes have one scale, and only the picture's edge is rounded.
 * Where the network takes any size, the canvas follows the photo, so that hardly anything is computed on black; InsightFace's
 * canvas is always square.
 */
struct letterbox letterbox_fit(int photo_width, int photo_height, const struct letterbox_frame *frame)
{
    const double frame_width = frame->fixed_width > 0 ? frame->fixed_width : frame->side;
    const double frame_height = frame->fixed_height > 0 ? frame->fixed_height : frame->side;
    struct letterbox box = {.photo_width = photo_width, .photo_height = photo_height};

    /* Enlarged too far, a face that fills the photo becomes larger than the network knows faces. */
    box.scale = fmin(fmin(frame_width / photo_width, frame_height / photo_height), (double)frame->max_enlarge);
    box.width = scale_side(photo_width, box.scale);
    box.height = scale_side(photo_height, box.scale);
    box.canvas_width = frame->fixed_width > 0 ? frame->fixed_width : round_up(box.width, frame->unit);
    box.canvas_height = frame->fixed_height > 0 ? frame->fixed_height : round_up(box.height, frame->unit);
    return box;
}

enum err letterbox_draw(const struct letterbox *box, const struct image *photo, struct arena *mem, struct image *ret)
{
    struct image scaled;
    struct image canvas;

    enum err err = image_scale(photo, box->scale, box->width, box->height, mem, &scaled);
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

void letterbox_back(const struct letterbox *box, struct face *face)
{
    const float scale = (float)(1.0 / box->scale);

    for (int i = 0; i < 4; i++) {
        face->box[i] *= scale;
    }
    for (int i = 0; i < 5; i++) {
        face->point[i][0] *= scale;
        face->point[i][1] *= scale;
    }
}

void letterbox_clip(const struct letterbox *box, struct face *face)
{
    const float end[2] = {(float)box->photo_width, (float)box->photo_height};

    for (int i = 0; i < 4; i++) {
        face->box[i] = fminf(fmaxf(face->box[i], 0.0F), end[i % 2]);
    }
}
