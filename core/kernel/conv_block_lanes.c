/* conv_block_lanes.c: groups of one, two and four channels, block by block. */
#include "core/kernel/conv_block_private.h"

#define TASK_FLOATS (1 << 15) /* outputs that make a task worth its start */

int64_t conv_lanes_floats(const struct conv_shape *s)
{
    return block_count(s->groups * s->oc) * BLOCK * conv_taps(s) * s->ic;
}

/* [block][tap][j][16]: lane c multiplies the input of lane c xor j, which is input (c xor j) mod group of its group. */
void conv_lanes_pack(const struct conv_shape *s, const float *w, float *ret)
{
    int64_t taps = conv_taps(s);

    for (int64_t c = 0; c < s->groups * s->oc; c++) {
        for (int64_t t = 0; t < taps; t++) {
            for (int64_t j = 0; j < s->ic; j++) {
                int64_t input = (c ^ j) % s->ic;
                ret[((c / BLOCK * taps + t) * s->ic + j) * BLOCK + c % BLOCK] = w[(c * s->ic + input) * taps + t];
            }
        }
    }
}

struct lanes_run {
    const struct conv_block_job *job;
    int64_t blocks, parts; /* of channels; of the rows of an image */
};

static void lanes_task(void *context, int i)
{
    const struct lanes_run *run = context;
    const struct conv_block_job *job = run->job;
    const struct conv_shape *s = job->s;
    int64_t image_block = i / run->parts;
    int64_t part = i % run->parts;
    int64_t block = image_block % run->blocks;
    float *y = job->y + image_block * conv_out_pixels(s) * BLOCK;
    struct block_lanes lanes = conv_lanes_of(s);

    lanes.x = job->x + image_block * conv_in_pixels(s) * BLOCK;
    lanes.w = job->packed->w + block * BLOCK * conv_taps(s) * s->ic;
    lanes.y = y;
    lanes.finish = conv_block_finish(job, block, y);
    job->kernels->lanes(&lanes, conv_part_start(s->out[1], run->parts, part),
                        conv_part_start(s->out[1], run->parts, part + 1));
}

void conv_lanes_run(const struct conv_block_job *job)
{
    const struct conv_shape *s = job->s;
    struct lanes_run run = {.job = job, .blocks = block_count(s->groups * s->oc)};
    int64_t parts = conv_parts(conv_out_pixels(s) * BLOCK, TASK_FLOATS);

    run.parts = parts < s->out[1] ? parts : s->out[1];
    pool_run(job->pool, (int)(s->n * run.blocks * run.parts), lanes_task, &run);
}
