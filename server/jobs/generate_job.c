/* generate_job.c: from the row of a job to pictures. */
#include "server/jobs/generate_job.h"

#include <jansson.h>
#include <stdlib.h>

#include "server/gallery/generate.h"

#define WORKER_ARENA_BYTES ((size_t)256 << 20)

static void tell_progress(void *context, int64_t done, int64_t total, const char *unit)
{
    job_run_progress(context, done, total, unit);
}

static struct generate_wish wish_of(const json_t *arguments)
{
    struct generate_wish wish = generate_wish_default();

    wish.count = (int)json_integer_value(json_object_get(arguments, "count"));
    wish.steps = (long)json_integer_value(json_object_get(arguments, "steps"));
    wish.seconds = json_number_value(json_object_get(arguments, "seconds"));
    wish.seed = json_integer_value(json_object_get(arguments, "seed"));
    return wish;
}

static enum err give_result(const struct generated *made, struct arena *mem, const char **ret)
{
    json_t *pictures = json_array();

    for (int i = 0; i < made->n; i++) {
        (void)json_array_append_new(pictures, json_pack("{s:i, s:f}", "number", i + 1, "cosine", made->cosine[i]));
    }
    json_t *root = json_pack("{s:s, s:s, s:s?, s:o, s:i, s:i, s:s, s:f}", "collection", made->collection, "model",
                             made->model, "subject", made->subject_id, "pictures", pictures, "batch_norms", made->norms,
                             "convolutions", made->convolutions, "prior", made->prior, "seconds", made->seconds);
    char *text = root == NULL ? NULL : json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(6));
    json_decref(root);
    *ret = text == NULL ? NULL : arena_copy_text(mem, text);
    free(text); /* foreign heap: jansson's */
    return *ret == NULL ? ERR_NOMEM : ERR_NONE;
}

static enum err generate_run(void *context, struct job_run *run, struct arena *mem, const char **ret_result,
                             struct err_note *note)
{
    const struct generate_job *job = context;
    const struct job_row *row = job_run_row(run);
    const struct long_work work = {
        .progress = tell_progress, .context = run, .cancel = job_run_cancel(run), .actor = "daemon"};
    struct gallery_worker *worker = NULL;
    struct gallery_fault fault = {0};
    struct generated made = {0};
    json_t *arguments = json_loads(row->arguments, 0, NULL);
    const struct generate_wish wish = wish_of(arguments);

    json_decref(arguments);
    enum err err = gallery_worker_new(job->gallery, WORKER_ARENA_BYTES, &worker);
    if (err != ERR_NONE) {
        return err;
    }
    err = gallery_generate(worker, job->data, row->id, row->collection_id, &wish, &work, &made, &fault);
    if (err == ERR_NONE) {
        err = give_result(&made, mem, ret_result);
    } else {
        *note = fault.note;
    }
    gallery_worker_free(worker);
    return err;
}

struct job_handler generate_handler(struct generate_job *job)
{
    return (struct job_handler){.kind = GENERATE_KIND, .resumable = true, .context = job, .run = generate_run};
}
