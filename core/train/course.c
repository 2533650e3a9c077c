/* course.c: two phases and what lies between and behind them. */
#include "core/train/course.h"

#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "core/train/centers.h"
#include "core/train/loss.h"

#define LEAST_PHOTOS 2 /* of a class; people with fewer are frozen centers */

struct course {
    struct student *student;
    const int *person;
    const struct parts *parts;
    const struct course_options *options;
    struct cancel *cancel;
    course_watch *watch;
    void *context;
    struct arena *mem;
    struct err_note *note;

    int count, people, dim;
    int *label; /* [count] classes, TRAIN_FOLLOWS, -1: takes no part */
    int classes;
    int *person_of; /* [classes] */
    float *frozen;  /* [n_frozen, dim] those of the options, then people with one photo */
    int n_frozen;
    float *first_weights;

    const char *phase;
    long before, all; /* steps */
    struct course_result result;
};

struct course_options course_default(void)
{
    struct course_options options = {
        .train = train_default(), .rule = COURSE_REFINED, .purify_degrees = PURIFY_DEGREES, .blends = true};

    options.train.objective.distill_l2 = 1;
    options.train.epochs = 6;
    return options;
}

void course_release(struct course_result *result)
{
    train_result_release(&result->first);
    train_result_release(&result->last);
}

static enum err spent(const struct course *course)
{
    return arena_why(course->mem) == ERR_NOMEM ? ERR_NOMEM : ERR_LIMIT;
}

static void begin(struct course *course, const char *phase)
{
    const struct course_step step = {.phase = phase, .done = course->before, .all = course->all};

    course->phase = phase;
    if (course->watch != NULL) {
        course->watch(course->context, &step);
    }
}

/* ---- Classes ------------------------------------------------------------------------------------------------------ */

static bool teaches(const struct course *course, int i)
{
    return course->parts->part[i] == PART_TEACHES && !course->result.dropped[i];
}

/* What becomes of a photo that stands in no class: those who choose and judge are left alone. */
static int label_apart(const struct course *course, int i)
{
    return course->parts->part[i] == PART_TEACHES ? TRAIN_FOLLOWS : -1;
}

/* Numbers the people with photos enough, and makes frozen centers of the others' photos. */
static enum err number_classes(struct course *course)
{
    const struct train_options *given = &course->options->train;
    const float *teacher = student_teacher(course->student);
    size_t dim = (size_t)course->dim;
    int *photos = ARENA_ARRAY(course->mem, int, course->people);
    int *number = ARENA_ARRAY(course->mem, int, course->people);

    course->person_of = ARENA_ARRAY(course->mem, int, course->people);
    course->n_frozen = given->n_frozen;
    course->frozen = ARENA_ARRAY(course->mem, float, ((size_t)course->people + (size_t)given->n_frozen) * dim);
    if (photos == NULL || number == NULL || course->person_of == NULL || course->frozen == NULL) {
        return spent(course);
    }
    if (given->n_frozen > 0) {
        memcpy(course->frozen, given->frozen, (size_t)given->n_frozen * dim * sizeof(float));
    }
    for (int i = 0; i < course->count; i++) {
        photos[course->person[i]] += teaches(course, i);
    }
    course->classes = 0;
    for (int p = 0; p < course->people; p++) {
        number[p] = photos[p] >= LEAST_PHOTOS ? course->classes : -1;
        if (number[p] >= 0) {
            course->person_of[course->classes++] = p;
        }
    }
    for (int i = 0; i < course->count; i++) {
        bool frozen = teaches(course, i) && number[course->person[i]] < 0;
        course->label[i] = teaches(course, i) && !frozen ? number[course->person[i]] : label_apart(course, i);
        if (frozen) {
            memcpy(course->frozen + (size_t)course->n_frozen++ * dim, teacher + (size_t)i * dim, dim * sizeof(float));
        }
    }
    return course->classes >= 2
               ? ERR_NONE
               : ERR_SAY(course->note, ERR_FORMAT,
                         "%d people are left with two photos or more: there is nothing to learn", course->classes);
}

static int n_following(const struct course *course)
{
    int n = 0;

    for (int i = 0; i < course->count; i++) {
        n += course->label[i] == TRAIN_FOLLOWS;
    }
    return n;
}

static int n_labelled(const struct course *course)
{
    int n = 0;

    for (int i = 0; i < course->count; i++) {
        n += course->label[i] >= 0;
    }
    return n;
}

static long steps_of(const struct course *course, int epochs)
{
    int batch = course->options->train.batch;
    int n = n_labelled(course);

    return (long)(n < batch ? 1 : n / batch) * epochs;
}

/* Three sub-centers for those who have photos enough for three groups, one for everybody else. */
static enum err choose_subcenters(struct course *course, struct train_options *options)
{
    int *photos = ARENA_ARRAY(course->mem, int, course->classes);
    int *centers_of = ARENA_ARRAY(course->mem, int, course->classes);
    struct course_result *result = &course->result;

    if (photos == NULL || centers_of == NULL) {
        return spent(course);
    }
    if (course->options->subcenters > 0) {
        options->objective.subcenters = course->options->subcenters;
        result->n_subcenters = options->objective.subcenters > 1 ? course->classes : 0;
        return ERR_NONE;
    }
    for (int i = 0; i < course->count; i++) {
        if (course->label[i] >= 0) {
            photos[course->label[i]]++;
        }
    }
    for (int j = 0; j < course->classes; j++) {
        centers_of[j] = centers_by_photos(photos[j]);
        result->n_subcenters += centers_of[j] > 1;
    }
    options->objective.subcenters = result->n_subcenters > 0 ? CENTERS_SEVERAL : 1;
    options->centers_of = result->n_subcenters > 0 ? centers_of : NULL;
    return ERR_NONE;
}

/* ---- Phases ------------------------------------------------------------------------------------------------------- */

static void watch_step(void *context, const struct train_step *step)
{
    struct course *course = context;
    const struct course_step told = {
        .phase = course->phase, .step = step, .done = course->before + step->step, .all = course->all};

    if (course->watch != NULL) {
        course->watch(course->context, &told);
    }
}

static enum err run_phase(struct course *course, const char *name, const struct train_options *wanted,
                          struct train_result *ret)
{
    struct train_options options = *wanted;

    begin(course, name);
    /* the plain softmax has no angles that they could push by */
    options.n_frozen = options.objective.softmax ? 0 : course->n_frozen;
    options.frozen = options.n_frozen > 0 ? course->frozen : NULL;
    if (course->options->folder != NULL) {
        options.checkpoint_folder = arena_format(course->mem, "%s/%s", course->options->folder, name);
        if (options.checkpoint_folder == NULL) {
            return spent(course);
        }
        enum err err = folder_make(options.checkpoint_folder, course->note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    return train_phase(course->student, course->label, course->classes, &options, course->cancel, watch_step, course,
                       ret, course->note);
}

static int first_epochs(const struct course *course)
{
    int epochs = course->options->train.epochs;

    return epochs < 3 ? 1 : epochs / 3;
}

/* The terms that know one sub-center only belong to the last phase. */
static enum err first_phase(struct course *course)
{
    struct train_options options = course->options->train;
    struct objective *objective = &options.objective;

    options.epochs = first_epochs(course);
    enum err err = ERR_NONE;
    if (!objective->softmax) { /* which knows one */
        err = choose_subcenters(course, &options);
    }
    if (err == ERR_NONE && objective->subcenters > 1) {
        objective->inter = objective->distill_kl = 0;
    }
    if (err == ERR_NONE) {
        err = run_phase(course, "first", &options, &course->result.first);
    }
    course->result.has_first = err == ERR_NONE;
    return err;
}

/* ---- Purifying ---------------------------------------------------------------------------------------------------- */

static int count_dropped(const struct verdict *verdict, int n)
{
    int dropped = 0;

    for (int i = 0; verdict != NULL && i < n; i++) {
        dropped += !verdict[i].keep;
    }
    return dropped;
}

/* Both rules, each through its own network. */
static enum err judge(struct course *course)
{
    struct course_result *result = &course->result;
    const struct train_result *first = &result->first;
    const float *teacher = student_teacher(course->student);
    size_t dim = (size_t)course->dim;
    int n = n_labelled(course);
    float *learnt = ARENA_ARRAY(course->mem, float, (size_t)n *dim);
    float *taught = ARENA_ARRAY(course->mem, float, (size_t)n *dim);
    bool plain = !course->options->train.objective.softmax;

    result->item = ARENA_ARRAY(course->mem, int, n);
    result->class_of = ARENA_ARRAY(course->mem, int, n);
    result->refined = ARENA_ARRAY(course->mem, struct verdict, n);
    result->plain = plain ? ARENA_ARRAY(course->mem, struct verdict, n) : NULL;
    if (learnt == NULL || taught == NULL || result->item == NULL || result->class_of == NULL ||
        result->refined == NULL || (plain && result->plain == NULL)) {
        return spent(course);
    }
    for (int i = 0; i < course->count; i++) {
        if (course->label[i] >= 0) {
            memcpy(taught + (size_t)result->n_judged * dim, teacher + (size_t)i * dim, dim * sizeof(float));
            result->class_of[result->n_judged] = course->label[i];
            result->item[result->n_judged++] = i;
        }
    }
    enum err err = purify_refined(taught, result->class_of, n, course->dim, course->classes,
                                  course->options->purify_degrees, course->mem, result->refined);
    if (err == ERR_NONE && plain) {
        err = student_embed_some(course->student, result->item, n, course->cancel, learnt, course->note);
    }
    if (err == ERR_NONE && plain) {
        err = purify_plain(learnt, result->class_of, n, course->dim, first->centers, first->classes, first->subcenters,
                           first->centers_of, course->options->purify_degrees, course->mem, result->plain);
    }
    return err;
}

static enum err purify(struct course *course)
{
    struct course_result *result = &course->result;

    begin(course, "purify");
    enum err err = judge(course);
    const struct verdict *asked = course->options->rule == COURSE_PLAIN ? result->plain : result->refined;
    if (err == ERR_NONE && asked == NULL) {
        err = ERR_SAY(course->note, ERR_MISUSE, "the plain rule needs unit centers, which the plain softmax has not");
    }
    if (err != ERR_NONE) {
        return err;
    }
    result->subcenters = result->first.subcenters;
    result->person_of = course->person_of;
    result->n_plain = count_dropped(result->plain, result->n_judged);
    result->n_refined = count_dropped(result->refined, result->n_judged);
    for (int i = 0; i < result->n_judged; i++) {
        result->dropped[result->item[i]] = !asked[i].keep;
    }
    return number_classes(course);
}

/* ---- How far ------------------------------------------------------------------------------------------------------ */

static enum err follow(struct course *course)
{
    struct arena *mem = course->mem;
    int *item = ARENA_ARRAY(mem, int, course->count);
    int *person = ARENA_ARRAY(mem, int, course->count);
    int *number = ARENA_ARRAY(mem, int, course->people);
    int people = 0;
    int n = 0;

    if (item == NULL || person == NULL || number == NULL) {
        return spent(course);
    }
    begin(course, "choose");
    for (int i = 0; i < course->count; i++) {
        if (course->parts->part[i] == PART_CHOOSES) {
            int p = course->person[i];
            number[p] = number[p] == 0 ? ++people : number[p];
            person[n] = number[p] - 1;
            item[n++] = i;
        }
    }
    struct err_note unsaid = {0};
    enum err err = blend_choose(course->student, course->first_weights, item, person, n, people, course->cancel,
                                &course->result.blend, &unsaid);
    course->result.blended = err == ERR_NONE;
    if (err == ERR_MISUSE) { /* too few pairs to choose by: the whole way, for the gate to judge */
        return ERR_NONE;
    }
    return err == ERR_NONE || unsaid.text[0] == '\0' ? err : ERR_SAY(course->note, err, "%s", unsaid.text);
}

/* ---- The course --------------------------------------------------------------------------------------------------- */

static enum err prepare(struct course *course)
{
    const struct parameters *parameters = student_parameters(course->student);

    course->count = student_count(course->student);
    course->dim = student_dim(course->student);
    course->label = ARENA_ARRAY(course->mem, int, course->count);
    course->result.dropped = ARENA_ARRAY(course->mem, bool, course->count);
    course->first_weights = ARENA_ARRAY(course->mem, float, parameters->n_floats);
    if (course->label == NULL || course->result.dropped == NULL || course->first_weights == NULL) {
        return spent(course);
    }
    memcpy(course->first_weights, parameters->values, parameters->n_floats * sizeof(float));
    return number_classes(course);
}

static enum err walk(struct course *course)
{
    const struct course_options *options = course->options;
    const struct parameters *parameters = student_parameters(course->student);
    enum err err = prepare(course);

    if (err == ERR_NONE && options->rule != COURSE_KEEPS_ALL) {
        long first = steps_of(course, first_epochs(course));
        course->all = first + steps_of(course, options->train.epochs);
        err = first_phase(course);
        if (err == ERR_NONE) {
            course->before = first;
            err = purify(course);
        }
        if (err == ERR_NONE) {
            memcpy(parameters->values, course->first_weights, parameters->n_floats * sizeof(float));
        }
    }
    if (err == ERR_NONE) {
        struct train_options last = options->train;
        course->all = course->before + steps_of(course, last.epochs);
        course->result.classes = course->classes;
        course->result.n_frozen = course->n_frozen - options->train.n_frozen;
        course->result.n_taught = n_labelled(course);
        course->result.n_followed = objective_distils(&last.objective) ? n_following(course) : 0;
        if (options->rule == COURSE_KEEPS_ALL && options->subcenters > 0) {
            last.objective.subcenters = options->subcenters; /* there is no first phase for them */
        }
        err = run_phase(course, "last", &last, &course->result.last);
        course->before = course->all;
    }
    return err == ERR_NONE && options->blends && course->parts->choosing > 0 ? follow(course) : err;
}

enum err course_run(struct student *student, const int *person, int people, const struct parts *parts,
                    const struct course_options *options, struct cancel *cancel, course_watch *watch, void *context,
                    struct arena *mem, struct course_result *ret, struct err_note *note)
{
    struct course course = {.student = student,
                            .person = person,
                            .people = people,
                            .parts = parts,
                            .options = options,
                            .cancel = cancel,
                            .watch = watch,
                            .context = context,
                            .mem = mem,
                            .note = note};

    enum err err = walk(&course);
    if (err != ERR_NONE) {
        course_release(&course.result);
        return err;
    }
    *ret = course.result;
    return ERR_NONE;
}
