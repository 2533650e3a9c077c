/* generate.c: POST /v1/admin/generate, and the pictures that came of it. */
#include "server/gallery/generate.h"

#include "server/http/answers.h"
#include "server/http/handlers.h"

void handle_generate(struct call *call)
{
    struct generate_wish wish = generate_wish_default();
    const struct param_value *seconds = call_param(call, "seconds");
    struct gallery_fault fault = {0};
    int64_t job = 0;

    wish.collection = call_text(call, "collection", NULL);
    wish.subject = call_subject(call);
    wish.embedding = call_embedding(call, "embedding");
    wish.count = (int)call_whole(call, "count", wish.count);
    wish.steps = (long)call_whole(call, "steps", wish.steps);
    wish.seconds = seconds->given ? seconds->real : wish.seconds;
    wish.seed = call_whole(call, "seed", wish.seed);
    int claims = (wish.embedding.values != NULL) + (wish.subject.id != NULL || wish.subject.name != NULL);
    if (claims != 1) {
        call_problem(call, claims == 0 ? &PROBLEM_MISSING_PARAMETER : &PROBLEM_BAD_PARAMETER,
                     "exactly one of subject and embedding says whose face to make");
        return;
    }
    (void)call_keep_job(call);
    enum err err = gallery_generate_ask(call->worker, &wish, &job, &fault);
    call_job(call, err, job, &fault);
}

void handle_job_picture(struct call *call)
{
    const unsigned char *png = NULL;
    size_t n_bytes = 0;
    struct gallery_fault fault = {0};

    enum err err = gallery_generated_picture(call->worker, call_job_number(call), (int)call_whole(call, "number", 1),
                                             &png, &n_bytes, &fault);
    if (err == ERR_NONE) {
        err = reply_set(call->reply, 200, "image/png", png, n_bytes);
    }
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
    }
}
