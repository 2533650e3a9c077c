/*
 * op_channel_part.c: ChannelPart, some of an image's channels turned to the last place: what pass_join_heads.c puts behind a
 * convolution that stands for several.  From an image in blocks it is one pass of copies of a few neighbours each.
 */
#include <string.h>

#include "core/kernel/block.h"
#include "core/op/op_private.h"

struct channel_part {
    int64_t first, count;
    int batch_at; /* 0: [n, h, w, c]; 2: [h, w, n, c] */
};

static enum err part_parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                           struct err_note *note)
{
    struct channel_part *part = ARENA_NEW(mem, struct channel_part);
    int64_t batch_at = 0;

    if (part == NULL) {
        return arena_why(mem);
    }
    enum err err = attr_int(attrs, "first", 0, &part->first, note);
    err = err != ERR_NONE ? err : attr_int(attrs, "count", 0, &part->count, note);
    err = err != ERR_NONE ? err : attr_int(attrs, "batch_at", 0, &batch_at, note);
    if (err != ERR_NONE) {
        return err;
    }
    if (part->first < 0 || part->count < 1 || part->count > INT32_MAX || part->first > INT32_MAX ||
        (batch_at != 0 && batch_at != 2)) {
        return ERR_SAY(note, ERR_FORMAT, "no such part of channels");
    }
    part->batch_at = (int)batch_at;
    *ret = part;
    return ERR_NONE;
}

static enum err part_shape(struct op_call *call, struct err_note *note)
{
    const struct channel_part *part = call->parsed;
    const int64_t *x = call->in[0].shape.dim;
    struct shape out = {.rank = 4, .dim = {x[0], x[2], x[3], part->count}};

    if (part->first + part->count > x[1]) {
        return ERR_SAY(note, ERR_FORMAT, "channels %lld to %lld of %lld", (long long)part->first,
                       (long long)(part->first + part->count), (long long)x[1]);
    }
    if (part->batch_at == 2) {
        out.dim[0] = x[2];
        out.dim[1] = x[3];
        out.dim[2] = x[0];
    }
    return op_set(call, 0, call->in[0].type, &out, note);
}

/* Goes with what is there in blocks. */
static bool part_block(struct op_call *call, struct op_block *ret)
{
    *ret = (struct op_block){.in = 1};
    return (call->blocked_in & 1U) != 0;
}

#define COPY_CASE(n)                                               \
    case (n):                                                      \
        for (int64_t p = 0; p < pixels; p++, from += BLOCK) {      \
            memcpy(to + p * step, from, (size_t)(n) * sizeof *to); \
        }                                                          \
        break;

/* n neighbours of each pixel; a copy of known size is a few moves. */
static void copy_lanes(int64_t pixels, int64_t n, const float *from, float *to, int64_t step)
{
    switch (n) {
        COPY_CASE(1)
        COPY_CASE(2)
        COPY_CASE(3)
        COPY_CASE(4)
        COPY_CASE(5)
        COPY_CASE(6)
        COPY_CASE(7)
        COPY_CASE(8)
        COPY_CASE(9)
        COPY_CASE(10)
        COPY_CASE(11)
        COPY_CASE(12)
        COPY_CASE(13)
        COPY_CASE(14)
        COPY_CASE(15)
        COPY_CASE(16)
    default: break;
    }
}

static void forward_blocked(const struct op_call *call, int64_t pixel_step, int64_t image_step)
{
    const struct channel_part *part = call->parsed;
    const int64_t *x = call->in[0].shape.dim;
    const int64_t pixels = x[2] * x[3];
    const int64_t end = part->first + part->count;

    for (int64_t n = 0; n < x[0]; n++) {
        float *to = (float *)call->out[0].data + n * image_step;
        for (int64_t c = part->first; c < end;) {
            const int64_t next = (c / BLOCK + 1) * BLOCK < end ? (c / BLOCK + 1) * BLOCK : end;
            const float *from =
                (const float *)call->in[0].data + (n * block_count(x[1]) + c / BLOCK) * pixels * BLOCK + c % BLOCK;
            copy_lanes(pixels, next - c, from, to + c - part->first, pixel_step);
            c = next;
        }
    }
}

static enum err part_forward(const struct op_call *call)
{
    const struct channel_part *part = call->parsed;
    const int64_t *x = call->in[0].shape.dim;
    const int64_t pixels = x[2] * x[3];
    const int64_t pixel_step = part->batch_at == 2 ? x[0] * part->count : part->count;
    const int64_t image_step = part->batch_at == 2 ? part->count : pixels * part->count;

    if ((call->blocked_in & 1U) != 0) {
        forward_blocked(call, pixel_step, image_step);
        return ERR_NONE;
    }
    for (int64_t n = 0; n < x[0]; n++) {
        for (int64_t c = 0; c < part->count; c++) {
            const float *from = (const float *)call->in[0].data + (n * x[1] + part->first + c) * pixels;
            float *to = (float *)call->out[0].data + n * image_step + c;
            for (int64_t p = 0; p < pixels; p++) {
                to[p * pixel_step] = from[p];
            }
        }
    }
    return ERR_NONE;
}

static const struct op_def rows[] = {
    {.domain = "arcfaced",
     .name = "ChannelPart",
     .opset_min = 1,
     .opset_max = 1,
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .types = OP_F32,
     .min_rank = 4,
     .max_rank = 4,
     .parse = part_parse,
     .shape = part_shape,
     .forward = part_forward,
     .block = part_block},
};
const struct op_rows op_rows_channel_part = OP_ROWS(rows);
