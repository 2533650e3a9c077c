/* detector_step.c: one step: scenes are drawn, their faces shared out among the cells, and what was said is judged. */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/train/detector_assign.h"
#include "core/train/detector_scene.h"
#include "core/train/detector_train_private.h"

#define FOLLOW .1F /* of running statistics */

/* Calls each for every number below count, on all threads; the numbers are shared out as they come. */
struct sharing {
    struct detector_run *run;
    int count;
    enum err (*each)(struct detector_run *run, struct detector_worker *worker, int i);
};

static void share_work(void *context, int number)
{
    struct sharing *sharing = context;
    struct detector_run *run = sharing->run;
    struct detector_worker *worker = &run->worker[number];

    while (!atomic_load(&run->failed)) {
        int i = atomic_fetch_add(&run->next, 1);
        if (i >= sharing->count) {
            return;
        }
        worker->err = cancel_asked(run->cancel) ? ERR_CANCELLED : sharing->each(run, worker, i);
        arena_reset(worker->mem);
        if (worker->err != ERR_NONE) {
            atomic_store(&run->failed, true);
        }
    }
}

static enum err share(struct detector_run *run, int count,
                      enum err (*each)(struct detector_run *, struct detector_worker *, int))
{
    struct sharing sharing = {.run = run, .count = count, .each = each};
    int threads = pool_threads(run->pool);

    atomic_store(&run->next, 0);
    pool_run(run->pool, threads, share_work, &sharing);
    for (int t = 0; t < threads; t++) {
        struct detector_worker *worker = &run->worker[t];
        if (worker->err != ERR_NONE) {
            return worker->note.text[0] == '\0' ? worker->err
                                                : ERR_SAY(run->note, worker->err, "%s", worker->note.text);
        }
    }
    return ERR_NONE;
}

static enum err draw_example(struct detector_run *run, struct detector_worker *worker, int i)
{
    static const struct preprocess how = {.color = COLOR_RGB, .mean = {127.5F, 127.5F, 127.5F}, .std = {128, 128, 128}};
    struct detector_example *example = &run->example[i];
    struct detector_scene scene;
    uint64_t number = (uint64_t)run->step * (uint64_t)run->options->batch + (uint64_t)i;
    enum err err =
        detector_scene_draw(run->labels, run->side, run->options->seed, number, worker->mem, &scene, &worker->note);

    if (err == ERR_NONE) {
        err = detector_assign(run->side, run->side, scene.faces, scene.n_faces, worker->mem, example->target,
                              &example->positive);
    }
    if (err != ERR_NONE) {
        return err;
    }
    mem_free(example->goal);
    example->goal = MEM_ARRAY(struct detector_goal, (size_t)scene.n_faces);
    if (example->goal == NULL) {
        return ERR_NOMEM;
    }
    for (int k = 0; k < scene.n_faces; k++) {
        memcpy(example->goal[k].box, scene.faces[k].face.box, sizeof example->goal[k].box);
        memcpy(example->goal[k].point, scene.faces[k].face.point, sizeof example->goal[k].point);
    }
    preprocess_image(&scene.image, &how, run->input + (size_t)i * 3 * (size_t)run->side * (size_t)run->side);
    return ERR_NONE;
}

/* Losses and their gradient over one scene's cells. */
static void judge(const struct detector_run *run, const struct detector_example *example, const float *out, float *grad,
                  struct detector_sums *sums)
{
    float factor = 1 / (float)(run->positive > 0 ? run->positive : 1);

    for (int cell = 0; cell < run->cells; cell++) {
        const float *row = out + (size_t)cell * DETECTOR_COLUMNS;
        float *slope = grad + (size_t)cell * DETECTOR_COLUMNS;
        int target = example->target[cell];
        if (target == DETECTOR_CELL_NONE) {
            sums->score += (double)detector_loss_none(row, factor, slope);
        } else if (target >= 0) {
            struct detector_cell at = detector_cell_at(run->side, run->side, cell);
            struct detector_loss loss = detector_loss_face(row, at.x, at.y, (float)detector_stride(at.level),
                                                           &example->goal[target], factor, slope);
            sums->score += (double)loss.score;
            sums->box += (double)loss.box;
            sums->point += (double)loss.point;
            sums->overlap += (double)loss.overlap;
            sums->positive++;
        }
    }
}

static enum err run_shard(struct detector_run *run, struct detector_worker *worker, int shard)
{
    int n = run->options->shard;
    size_t pixels = 3 * (size_t)run->side * (size_t)run->side;
    size_t floats = (size_t)run->cells * DETECTOR_COLUMNS;
    float *gradient = run->gradient + (size_t)shard * run->parameters->n_floats;
    struct tensor input = {.type = DTYPE_F32,
                           .shape = {.rank = 4, .dim = {n, 3, run->side, run->side}},
                           .data = run->input + (size_t)shard * (size_t)n * pixels};
    struct tensor output = {0};
    enum err err = tape_forward(worker->tape, &input, 0, &output, &worker->note);

    if (err != ERR_NONE) {
        return err;
    }
    memset(gradient, 0, run->parameters->n_floats * sizeof *gradient);
    memset(worker->grad, 0, (size_t)n * floats * sizeof *worker->grad);
    memset(&run->sums[shard], 0, sizeof run->sums[shard]);
    for (int i = 0; i < n; i++) {
        judge(run, &run->example[shard * n + i], (const float *)output.data + (size_t)i * floats,
              worker->grad + (size_t)i * floats, &run->sums[shard]);
    }
    return tape_backward(worker->tape, worker->grad, gradient, NULL, &worker->note);
}

static void apply(struct detector_run *run, struct detector_train_step *told)
{
    struct parameters *p = run->parameters;
    struct detector_sums sums = {0};

    memset(run->total, 0, p->n_floats * sizeof *run->total);
    for (int s = 0; s < run->shards; s++) {
        const float *gradient = run->gradient + (size_t)s * p->n_floats;
        for (size_t i = 0; i < p->n_floats; i++) {
            run->total[i] += gradient[i];
        }
        sums.score += run->sums[s].score;
        sums.box += run->sums[s].box;
        sums.point += run->sums[s].point;
        sums.overlap += run->sums[s].overlap;
        sums.positive += run->sums[s].positive;
    }
    double cells = sums.positive > 0 ? sums.positive : 1;
    told->rate = schedule_rate(&run->schedule, run->step);
    told->norm = (float)gradient_clip(run->total, 0, p->n_trainable, (double)run->options->clip);
    told->score = (float)(sums.score / cells);
    told->box = (float)(sums.box / cells);
    told->point = (float)(sums.point / cells);
    told->overlap = (float)(sums.overlap / cells);
}

enum err detector_step(struct detector_run *run, struct detector_train_step *told)
{
    const struct detector_train_options *o = run->options;
    struct parameters *p = run->parameters;

    run->side = run->step % 3 == 2 ? detector_greatest_side(o) : o->side;
    run->cells = detector_cells(run->side, run->side);
    enum err err = share(run, o->batch, draw_example);
    if (err != ERR_NONE) {
        return err;
    }
    run->positive = 0;
    for (int i = 0; i < o->batch; i++) {
        run->positive += run->example[i].positive;
    }
    err = share(run, run->shards, run_shard);
    if (err != ERR_NONE) {
        return err;
    }
    apply(run, told);
    if (!isfinite(told->norm) || !isfinite(told->score) || !isfinite(told->box) || !isfinite(told->point)) {
        return ERR_SAY(run->note, ERR_FORMAT, "step %ld: the loss is no number any more: the rate %g is too high",
                       run->step + 1, (double)told->rate);
    }
    if (!o->keep_statistics) {
        parameters_follow(p, run->total, FOLLOW, run->shards);
    }
    optimizer_step(run->optimizer, told->rate, run->total, p->values);
    /* At first the mean looks back over as many steps as there were. */
    float keep = fminf(o->average, (float)(run->step + 1) / (float)(run->step + 10));
    for (size_t i = 0; i < p->n_floats; i++) {
        run->average[i] = keep * run->average[i] + (1 - keep) * p->values[i];
    }
    run->step++;
    return ERR_NONE;
}
