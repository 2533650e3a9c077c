/* test_course.c: who teaches, chooses and judges; how far what was learnt is followed; the whole of a tuning. */
#include "synthetic.h"

#include "core/base/cancel.h"
#include "core/base/file.h"
#include "core/train/cost.h"
#include "core/train/loss.h"

/* ---- Parts -------------------------------------------------------------------------------------------------------- */

static void everybody_has_one_part(void **state)
{
    static const struct {
        int people, photos;
        double holdout;
        int held, choosing;
        bool held_people;
    } rows[] = {
        {100, 5, .2, 20, 16, true}, {30, 5, .2, 6, 5, true},  {26, 5, .2, 5, 0, true}, {20, 5, .2, 0, 0, false},
        {10, 6, .5, 5, 0, true},    {3, 9, .34, 0, 0, false}, {40, 4, 0, 0, 8, true},  {12, 4, .2, 0, 0, false},
        {22, 9, .2, 0, 0, false},   {12, 3, .2, 0, 0, false},
    };
    struct arena *mem = arena_new((size_t)16 << 20);

    (void)state;
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        int n = rows[r].people * rows[r].photos;
        int *person = ARENA_ARRAY(mem, int, n);
        int *part_of = ARENA_ARRAY(mem, int, rows[r].people);
        struct parts parts = {0};
        struct parts again = {0};
        int count[3] = {0};
        for (int i = 0; i < n; i++) {
            person[i] = i % rows[r].people;
        }
        assert_int_equal(parts_make(person, n, rows[r].people, rows[r].holdout, 4, mem, &parts, NULL), ERR_NONE);
        assert_int_equal(parts_make(person, n, rows[r].people, rows[r].holdout, 4, mem, &again, NULL), ERR_NONE);
        assert_memory_equal(parts.part, again.part, n);
        if (parts.held_people != rows[r].held_people || parts.held != rows[r].held ||
            parts.choosing != rows[r].choosing || parts.teaching != rows[r].people - parts.held - parts.choosing) {
            fail_msg("row %zu: %d teach, %d choose, %d held", r, parts.teaching, parts.choosing, parts.held);
        }
        for (int i = 0; i < n; i++) {
            count[parts.part[i]]++;
            if (i < rows[r].people) {
                part_of[i] = parts.part[i];
            } else if (parts.held_people && parts.part[i] != part_of[person[i]]) {
                fail_msg("row %zu: person %d has two parts", r, person[i]);
            }
        }
        if (parts.held_people) {
            assert_int_equal(count[PART_HELD], parts.held * rows[r].photos);
            assert_int_equal(count[PART_CHOOSES], parts.choosing * rows[r].photos);
        } else { /* everybody's, who has enough: a pair at least, and as many to learn from */
            assert_int_equal(count[PART_HELD] > 0, rows[r].photos >= 4);
            for (int p = 0; p < rows[r].people && rows[r].photos >= 4; p++) {
                int held = 0;
                for (int i = p; i < n; i += rows[r].people) {
                    held += parts.part[i] == PART_HELD;
                }
                assert_in_range(held, 2, rows[r].photos / 2);
            }
        }
        arena_reset(mem);
    }
    arena_free(mem);
}

static void too_few_are_refused(void **state)
{
    static const int person[] = {0, 0, 0, 0};
    struct arena *mem = arena_new((size_t)1 << 20);
    struct parts parts = {0};
    struct err_note note = {0};

    (void)state;
    assert_int_equal(parts_make(person, 4, 1, .2, 1, mem, &parts, &note), ERR_FORMAT);
    assert_non_null(strstr(note.text, "of 1 people"));
    arena_free(mem);
}

/* ---- How far ------------------------------------------------------------------------------------------------------ */

static int strangers(int *item, int *person)
{
    int n = 0;

    for (int i = TRAINED * PHOTOS; i < COUNT; i++) {
        item[n] = i;
        person[n++] = i / PHOTOS - TRAINED;
    }
    return n;
}

static void check_place(struct student *student, const float *before, const float *after, float share)
{
    const struct parameters *parameters = student_parameters(student);

    for (size_t i = 0; i < parameters->n_floats; i++) {
        float wanted = before[i] + share * (after[i] - before[i]);
        if (fabsf(parameters->values[i] - wanted) > 1e-6F * (1 + fabsf(wanted))) {
            fail_msg("float %zu is %g, between %g and %g", i, (double)parameters->values[i], (double)before[i],
                     (double)after[i]);
        }
    }
}

/* What helps strangers is followed, what harms them is not. */
static void the_better_place_is_chosen(void **state)
{
    static int item[COUNT];
    static int person[COUNT];
    struct student *student = make_student(NULL, NULL);
    struct train_options options = quick_options();
    const struct parameters *parameters = student_parameters(student);
    float *before = mem_copy(parameters->values, parameters->n_floats * sizeof(float));
    struct train_result result;
    struct blend blend = {0};
    struct random random = random_seeded(9, 9);
    int n = strangers(item, person);

    (void)state;
    options.epochs = 12;
    run(student, &options, &result);
    train_result_release(&result);
    float *after = mem_copy(parameters->values, parameters->n_floats * sizeof(float));
    assert_int_equal(blend_choose(student, before, item, person, n, PEOPLE - TRAINED, NULL, &blend, NULL), ERR_NONE);
    printf("# mean TAR by share %.3f %.3f %.3f %.3f %.3f: %.2f\n", blend.score[0], blend.score[1], blend.score[2],
           blend.score[3], blend.score[4], (double)blend.share);
    assert_true(blend.share > 0);
    for (int k = 0; k < BLEND_SHARES; k++) {
        assert_true(blend.score[(int)(blend.share * (BLEND_SHARES - 1) + .5F)] >= blend.score[k]);
    }
    assert_true(blend.score[BLEND_SHARES - 1] > blend.score[0] + .1);
    check_place(student, before, after, blend.share);

    /* from the learnt weights towards noise: nothing of it */
    for (size_t i = 0; i < parameters->n_trainable; i++) {
        parameters->values[i] = (float)random_normal(&random);
    }
    assert_int_equal(blend_choose(student, after, item, person, n, PEOPLE - TRAINED, NULL, &blend, NULL), ERR_NONE);
    assert_true(blend.share == 0);
    check_place(student, after, after, 0);

    struct err_note note = {0};
    assert_int_equal(blend_choose(student, after, item, person, 4, 1, NULL, &blend, &note), ERR_MISUSE);
    check_place(student, after, after, 0);
    mem_free(before);
    mem_free(after);
    student_free(student);
}

/* ---- The course --------------------------------------------------------------------------------------------------- */

/* Every eighth photo stands under another's name; person 3 has one photo. */
static int name_people(int *person)
{
    int wrong = 0;

    for (int i = 0; i < COUNT; i++) {
        int own = i / PHOTOS;
        bool spoiled = i % 8 == 5 && own != 3;
        person[i] = spoiled ? (own + 9) % PEOPLE : own == 3 && i % PHOTOS > 0 ? 4 : own;
        if (person[i] == 3 && own != 3) {
            person[i] = own;
            spoiled = false;
        }
        wrong += spoiled;
    }
    return wrong;
}

struct heard {
    int phases, steps;
    long last_done;
    struct cancel *cancel;
    int cancel_at;
};

static void hear(void *context, const struct course_step *step)
{
    struct heard *heard = context;

    heard->phases += step->step == NULL;
    heard->steps += step->step != NULL;
    assert_true(step->done <= step->all);
    assert_true(step->done >= heard->last_done || step->step == NULL);
    heard->last_done = step->done;
    if (heard->cancel != NULL && heard->steps == heard->cancel_at) {
        cancel_ask(heard->cancel);
    }
}

static void knows_strangers(struct student *student)
{
    struct train_options options = quick_options();
    struct train_result result;

    options.epochs = 12;
    run(student, &options, &result);
    train_result_release(&result);
}

struct gone_through {
    enum err err;
    struct course_result result;
    unsigned char weights[HASH_SHA256_BYTES];
    struct heard heard;
};

static void go_through(const char *path, int cancel_at, struct arena *mem, struct gone_through *ret)
{
    static int person[COUNT];
    struct student *student = make_student(NULL, NULL);
    const struct parameters *parameters = student_parameters(student);
    struct course_options options = course_default();
    struct parts parts = {0};
    struct cancel cancel = {0};

    *ret = (struct gone_through){.heard = {.cancel = cancel_at > 0 ? &cancel : NULL, .cancel_at = cancel_at}};
    knows_strangers(student);
    (void)name_people(person);
    options.train = quick_options();
    options.train.batch_statistics = false;
    options.train.epochs = 6;
    options.train.schedule.rate = .002F;
    options.train.checkpoint_every = 4;
    options.folder = path;
    assert_int_equal(parts_make(person, COUNT, PEOPLE, .2, 6, mem, &parts, NULL), ERR_NONE);
    ret->err =
        course_run(student, person, PEOPLE, &parts, &options, &cancel, hear, &ret->heard, mem, &ret->result, NULL);
    hash_sha256(parameters->values, parameters->n_floats * sizeof(float), ret->weights);
    student_free(student);
}

static void clear_course(const char *path)
{
    char phase[700];

    (void)snprintf(phase, sizeof phase, "%s/first", path);
    empty_folder(phase);
    (void)rmdir(phase);
    (void)snprintf(phase, sizeof phase, "%s/last", path);
    empty_folder(phase);
    (void)rmdir(phase);
    (void)rmdir(path);
}

static void a_course_is_gone_through(void **state)
{
    struct arena *mem = arena_new((size_t)256 << 20);
    struct gone_through whole;
    struct gone_through cut;
    struct gone_through rest;
    char path[600];

    (void)state;
    go_through(NULL, 0, mem, &whole);
    assert_int_equal(whole.err, ERR_NONE);
    assert_int_equal(whole.heard.phases, 4); /* first, purify, last, choose */
    assert_true(whole.result.has_first && whole.result.blended);
    assert_int_equal(whole.heard.steps, whole.result.first.steps + whole.result.last.steps);
    assert_true(whole.result.n_judged > 0 && whole.result.n_taught == whole.result.n_judged - whole.result.n_refined);
    int dropped = 0;
    for (int i = 0; i < COUNT; i++) {
        dropped += whole.result.dropped[i];
    }
    assert_int_equal(dropped, whole.result.n_refined);
    for (int i = 0; i < whole.result.n_judged; i++) {
        assert_true(whole.result.dropped[whole.result.item[i]] == !whole.result.refined[i].keep);
        assert_in_range(whole.result.class_of[i], 0, whole.result.first.classes - 1);
    }

    /* cut off in the first phase, and in the last, it goes on to the same bits */
    (void)snprintf(path, sizeof path, "%s/course", folder);
    assert_int_equal(folder_make(path, NULL), ERR_NONE);
    go_through(path, 7, mem, &cut);
    assert_int_equal(cut.err, ERR_CANCELLED);
    go_through(path, (int)whole.result.first.steps, mem, &cut);
    assert_int_equal(cut.err, ERR_CANCELLED);
    go_through(path, 0, mem, &rest);
    assert_int_equal(rest.err, ERR_NONE);
    assert_true(rest.result.last.begun_at > 0 || rest.result.first.begun_at > 0);
    assert_memory_equal(rest.weights, whole.weights, HASH_SHA256_BYTES);
    course_release(&whole.result);
    course_release(&rest.result);
    clear_course(path);
    arena_free(mem);
}

/* Every other person is two, with six photos each. */
static int halve_people(int *person)
{
    for (int i = 0; i < COUNT; i++) {
        int own = i / PHOTOS;
        person[i] = own % 2 == 1 && i % PHOTOS >= PHOTOS / 2 ? PEOPLE + own / 2 : own;
    }
    return PEOPLE + PEOPLE / 2;
}

/* Three sub-centers by ten photos or more, one by fewer, in one training. */
static void few_photos_have_one_center(void **state)
{
    static const int asked[] = {0, 2};
    static int person[COUNT];
    struct arena *mem = arena_new((size_t)256 << 20);
    int people = halve_people(person);

    (void)state;
    for (int a = 0; a < 2; a++) {
        struct course_options options = course_default();
        struct student *student = make_student(NULL, NULL);
        struct course_result result = {0};
        struct parts parts = {0};
        int photos[PEOPLE + PEOPLE / 2] = {0};
        int many = 0;
        options.train = quick_options();
        options.train.epochs = 1;
        options.rule = COURSE_PLAIN;
        options.blends = false;
        options.subcenters = asked[a];
        assert_int_equal(parts_make(person, COUNT, people, .2, 6, mem, &parts, NULL), ERR_NONE);
        assert_int_equal(course_run(student, person, people, &parts, &options, NULL, NULL, NULL, mem, &result, NULL),
                         ERR_NONE);
        for (int i = 0; i < result.n_judged; i++) {
            photos[result.class_of[i]]++;
        }
        for (int j = 0; j < result.first.classes; j++) {
            many += photos[j] >= 10;
            if (asked[a] == 0 && result.first.centers_of[j] != (photos[j] >= 10 ? 3 : 1)) {
                fail_msg("a person of %d photos has %d sub-centers", photos[j], result.first.centers_of[j]);
            }
        }
        assert_true(many > 0 && many < result.first.classes);
        assert_int_equal(result.subcenters, asked[a] == 0 ? 3 : 2);
        assert_int_equal(result.n_subcenters, asked[a] == 0 ? many : result.first.classes);
        assert_true((result.first.centers_of == NULL) == (asked[a] > 0));
        for (int i = 0; i < result.n_judged; i++) { /* a photo's nearest center is one that its person has */
            int had = asked[a] > 0 ? asked[a] : result.first.centers_of[result.class_of[i]];
            assert_in_range(result.plain[i].subcenter, 0, had - 1);
        }
        assert_int_equal(result.last.subcenters, 1);
        course_release(&result);
        student_free(student);
    }
    arena_free(mem);
}

/* ---- Who is only kept near ------------------------------------------------------------------------------------------- */

/* One course on spoiled names, by a teacher of which some rows were turned round; returns what it makes of the network. */
static struct course_result taught_by(const float *rows, const unsigned char *part, const int *person, float distill,
                                      const float *frozen, struct arena *mem, unsigned char weights[HASH_SHA256_BYTES])
{
    struct student_options how = {.how = {.mean = {127.5F, 127.5F, 127.5F}, .std = {64, 64, 64}},
                                  .learn_norms = true,
                                  .teacher = rows,
                                  .teacher_dim = DIM};
    struct course_options options = course_default();
    struct student *student = NULL;
    struct course_result result = {0};
    struct parts parts = {.part = (unsigned char *)part, .choosing = 4};

    options.train = quick_options();
    options.train.epochs = 1;
    options.train.objective.distill_l2 = distill;
    options.train.frozen = frozen;
    options.train.n_frozen = frozen != NULL ? 1 : 0;
    options.blends = false;
    assert_int_equal(student_new(make_network(), dataset, &how, NULL, NULL, &student, NULL), ERR_NONE);
    assert_int_equal(course_run(student, person, PEOPLE, &parts, &options, NULL, NULL, NULL, mem, &result, NULL),
                     ERR_NONE);
    const struct parameters *parameters = student_parameters(student);
    hash_sha256(parameters->values, parameters->n_floats * sizeof(float), weights);
    student_free(student);
    return result;
}

/* Rows that say whose face it is, but for those that spoil names: a person's direction and some of the photo's. */
static void teach(float *rows)
{
    float length[COUNT];

    for (int i = 0; i < COUNT; i++) {
        struct random own = random_seeded(21, (uint64_t)(i / PHOTOS));
        struct random other = random_seeded(22, (uint64_t)i);
        for (int k = 0; k < DIM; k++) {
            rows[i * DIM + k] = (float)(random_normal(&own) + .2 * random_normal(&other));
        }
    }
    unit_rows(rows, COUNT, DIM, rows, length);
}

static void turn_round(float *rows, int photo)
{
    for (int k = 0; k < DIM; k++) {
        rows[photo * DIM + k] = -rows[photo * DIM + k];
    }
}

/* Dropped photos and people with one photo follow the teacher; whoever chooses or judges could have any. */
static void the_rest_is_kept_near_and_judges_are_not_touched(void **state)
{
    static float rows[COUNT * DIM];
    static int person[COUNT];
    static unsigned char part[COUNT];
    struct arena *mem = arena_new((size_t)256 << 20);
    unsigned char weights[3][HASH_SHA256_BYTES];
    int photos[PEOPLE] = {0};
    int apart = 0;
    int dropped = -1;

    (void)state;
    (void)name_people(person);
    for (int i = 0; i < COUNT; i++) {
        part[i] = person[i] >= PEOPLE - 8 ? PART_HELD : person[i] >= PEOPLE - 12 ? PART_CHOOSES : PART_TEACHES;
    }
    teach(rows);
    struct course_result first = taught_by(rows, part, person, 1, NULL, mem, weights[0]);
    for (int i = 0; i < COUNT; i++) {
        photos[person[i]] += part[i] == PART_TEACHES && !first.dropped[i];
    }
    for (int i = 0; i < COUNT; i++) {
        bool single = part[i] == PART_TEACHES && !first.dropped[i] && photos[person[i]] < 2;
        apart += single || first.dropped[i];
        dropped = first.dropped[i] ? i : dropped;
        assert_true(!first.dropped[i] || part[i] == PART_TEACHES);
    }
    printf("# %d photos teach, %d are kept near\n", first.n_taught, first.n_followed);
    assert_true(first.n_refined > 10 && apart > first.n_refined);
    assert_int_equal(first.n_followed, apart);
    course_release(&first);

    /* the teacher's rows of those who choose and are held out are not looked at */
    for (int i = 0; i < COUNT; i++) {
        if (part[i] != PART_TEACHES) {
            turn_round(rows, i);
        }
    }
    struct course_result again = taught_by(rows, part, person, 1, NULL, mem, weights[1]);
    course_release(&again);
    assert_memory_equal(weights[0], weights[1], HASH_SHA256_BYTES);

    /* that of a dropped photo is: turned round it is still dropped, and pulls the other way */
    turn_round(rows, dropped);
    struct course_result turned = taught_by(rows, part, person, 1, NULL, mem, weights[2]);
    assert_true(turned.dropped[dropped]);
    course_release(&turned);
    assert_memory_not_equal(weights[0], weights[2], HASH_SHA256_BYTES);

    /* a person whom no photo shows is one more to keep away from, unless there are no angles */
    float other[DIM] = {0};
    other[0] = 1;
    struct course_result away = taught_by(rows, part, person, 1, other, mem, weights[0]);
    assert_int_equal(away.n_frozen, turned.n_frozen);
    assert_int_equal(away.classes, turned.classes);
    course_release(&away);
    assert_memory_not_equal(weights[0], weights[2], HASH_SHA256_BYTES);

    /* and without distillation nobody is kept near */
    struct course_result none = taught_by(rows, part, person, 0, NULL, mem, weights[2]);
    assert_int_equal(none.n_followed, 0);
    course_release(&none);
    arena_free(mem);
}

/* ---- What it takes -------------------------------------------------------------------------------------------------- */

static struct cost cost_of(double learn, long photos, long taught, int threads)
{
    struct course_options course = course_default();
    const struct cost_question question = {
        .learn = learn, .side = SIDE, .photos = photos, .taught = taught, .threads = threads, .course = &course};
    struct cost cost = {0};
    struct err_note note = {0};

    course.train = quick_options();
    course.train.epochs = 6;
    enum err err = cost_estimate(make_network(), &question, &cost, &note);
    if (err != ERR_NONE) {
        fail_msg("%s: %s", err_word(err), note.text);
    }
    return cost;
}

static void the_cost_is_told(void **state)
{
    struct cost few = cost_of(.34, 480, 240, 1);
    struct cost many = cost_of(.34, 4800, 2400, 1);
    struct cost whole = cost_of(1, 480, 240, 1);
    struct cost two = cost_of(.34, 480, 240, 2);

    (void)state;
    printf("# 480 crops: %.2f s, %.1f MiB above the cut; %.2f s, %.1f MiB the whole network\n", few.seconds,
           (double)few.bytes / 1048576, whole.seconds, (double)whole.bytes / 1048576);
    assert_int_equal(few.steps, 240 / 24 * (6 + 2)); /* two epochs of the first phase */
    assert_int_equal(many.steps, 10 * few.steps);
    assert_true(few.lower_ms > 0 && few.upper_ms > 0 && few.back_ms > 0 && whole.lower_ms == 0);
    /* maps of every look at every crop are kept above a cut: 16 x 8 x 8 floats here */
    assert_true(few.bytes > (size_t)480 * 4 * 16 * 8 * 8 * 4);
    assert_true(many.bytes > 5 * few.bytes && whole.bytes < many.bytes);
    assert_true(two.bytes > few.bytes);
}

/* ---- Wrong names by both ------------------------------------------------------------------------------------------- */

static void both_must_agree(void **state)
{
    /* two dimensions: five photos of one person, the last two off; the second recogniser knows the fourth */
    static const float before[] = {1, 0, 1, 0, 1, 0, 0, 1, 0, -1};
    static const float after[] = {1, 0, 1, 0, 1, 0, .8F, .6F, 0, -1};
    static const int person[5] = {0};
    struct arena *mem = arena_new((size_t)1 << 20);
    bool wrong[5];

    (void)state;
    assert_int_equal(purify_both(before, 2, after, 2, person, 5, 1, 75, mem, wrong), ERR_NONE);
    assert_false(wrong[0] || wrong[1] || wrong[2] || wrong[3]);
    assert_true(wrong[4]);
    arena_free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(everybody_has_one_part),
                                       cmocka_unit_test(too_few_are_refused),
                                       cmocka_unit_test(the_better_place_is_chosen),
                                       cmocka_unit_test(a_course_is_gone_through),
                                       cmocka_unit_test(few_photos_have_one_center),
                                       cmocka_unit_test(the_rest_is_kept_near_and_judges_are_not_touched),
                                       cmocka_unit_test(the_cost_is_told),
                                       cmocka_unit_test(both_must_agree)};

    return cmocka_run_group_tests(tests, make_people, remove_people);
}
