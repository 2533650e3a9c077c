/* test_trainer.c: a small network learns to tell synthetic people apart, with the same bits however it is run. */
#include "synthetic.h"

#include "core/base/cancel.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/train/centers.h"
#include "core/train/cut.h"
#include "core/train/evaluate.h"
#include "core/train/loss.h"
#include "core/train/purify.h"

/* ---- Learning ----------------------------------------------------------------------------------------------------- */

static void people_are_learnt(void **state)
{
    struct student *student = make_student(NULL, NULL);
    struct train_options options = quick_options();
    struct train_result result;
    int64_t start = clock_monotonic_ns();
    double before = held_out_tar(student);

    (void)state;
    options.epochs = 25;
    run(student, &options, &result);
    double after = held_out_tar(student);
    double seconds = (double)(clock_monotonic_ns() - start) / 1e9;
    const struct train_point *last = &result.points[result.steps - 1];
    printf("# 20 people, %ld steps: loss %.2f to %.2f, own class nearest %.2f to %.2f; held-out TAR at FMR 1e-2 %.3f "
           "to %.3f in %.1f s\n",
           result.steps, (double)result.points[0].loss, (double)last->loss, (double)result.points[0].correct,
           (double)last->correct, before, after, seconds);
    assert_true(last->correct > .95);
    assert_true(last->loss < result.points[0].loss / 3);
    assert_true(after > .6 && after > before + .2);
    /* every drawn crop stands in one bin of its epoch */
    for (long epoch = 0; epoch < result.epochs; epoch++) {
        long sum = 0;
        for (int bin = 0; bin < TRAIN_ANGLE_BINS; bin++) {
            sum += result.angles[epoch][bin];
        }
        assert_int_equal(sum, TRAINED * PHOTOS / options.batch * options.batch);
    }
    train_result_release(&result);
    student_free(student);
}

static void upper_layers_are_learnt(void **state)
{
    struct graph *graph = make_network();
    const char *name = NULL;
    char cut[64];
    struct err_note note = {0};

    (void)state;
    assert_int_equal(cut_find(graph, .34, &name, &note), ERR_NONE);
    (void)snprintf(cut, sizeof cut, "%s", name);
    graph_free(graph);
    struct student *student = make_student(cut, NULL);
    struct train_options options = quick_options();
    struct train_result result;
    assert_true(student_maps_bytes(student) > 0);
    /* below the cut lie two of the three convolutions */
    int convolutions = 0;
    for (int i = 0; i < graph_node_count(student_graph(student)); i++) {
        convolutions += graph_node(student_graph(student), i)->op->kind == OP_CONV;
    }
    assert_int_equal(convolutions, 1);
    double before = held_out_tar(student);
    options.epochs = 15;
    run(student, &options, &result);
    double after = held_out_tar(student);
    printf("# the same above %s: held-out TAR %.3f to %.3f\n", cut, before, after);
    assert_true(after > before + .1);
    train_result_release(&result);

    /* the saved file embeds as the student does */
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;
    struct graph *again = NULL;
    assert_int_equal(student_save(student, &bytes, &n_bytes, &note), ERR_NONE);
    assert_int_equal(student_load(bytes, n_bytes, &again, &note), ERR_NONE);
    struct student_options how = {.how = {.mean = {127.5F, 127.5F, 127.5F}, .std = {64, 64, 64}}, .learn_norms = true};
    struct student *reader = NULL;
    assert_int_equal(student_new(again, dataset, &how, NULL, NULL, &reader, &note), ERR_NONE);
    static float u[COUNT * DIM];
    assert_int_equal(student_embed(student, NULL, u, NULL), ERR_NONE);
    for (int i = 0; i < COUNT * DIM; i++) {
        assert_true(fabsf(u[i] - student_teacher(reader)[i]) < 1e-4F);
    }
    mem_free(bytes);
    student_free(reader);
    student_free(student);
}

/* Labels of the first half, with those of every sixth photo spoiled. */
static bool is_spoiled(int i)
{
    return i % 6 == 5;
}

struct found {
    int wrong, dropped, right;
};

static struct found count_found(const struct verdict *verdicts, const int *photo, int n)
{
    struct found found = {0};

    for (int i = 0; i < n; i++) {
        found.wrong += is_spoiled(photo[i]);
        found.dropped += !verdicts[i].keep;
        found.right += is_spoiled(photo[i]) && !verdicts[i].keep;
    }
    return found;
}

/* The paper's way: three sub-centers, purify, one; begun with a network that knows other people, as fine-tuning does. */
static void phases_follow_each_other(void **state)
{
    static int others[COUNT];
    static int spoiled[COUNT];
    static float u[COUNT * DIM];
    static int own[COUNT];
    static int photo[COUNT];
    struct student *student = make_student(NULL, NULL);
    struct train_options options = quick_options();
    struct arena *mem = arena_new((size_t)64 << 20);
    struct verdict *plain = ARENA_ARRAY(mem, struct verdict, COUNT);
    struct verdict *refined = ARENA_ARRAY(mem, struct verdict, COUNT);
    struct train_result result;
    struct err_note note = {0};
    int n = 0;

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        others[i] = label[i] < 0 ? i / PHOTOS - TRAINED : -1;
        spoiled[i] = label[i] < 0 ? -1 : is_spoiled(i) ? (label[i] + 1 + i % 7) % TRAINED : label[i];
    }
    options.epochs = 25;
    assert_int_equal(objective_choose(&options.objective, "norm_softmax", NULL), ERR_NONE);
    assert_int_equal(train_phase(student, others, TRAINED, &options, NULL, NULL, NULL, &result, &note), ERR_NONE);
    train_result_release(&result);

    assert_int_equal(objective_choose(&options.objective, "arcface", NULL), ERR_NONE);
    options.objective.margin.scale = 24;
    options.objective.subcenters = 3;
    options.epochs = 2;
    options.schedule.rate = .002F;
    assert_int_equal(train_phase(student, spoiled, TRAINED, &options, NULL, NULL, NULL, &result, &note), ERR_NONE);
    assert_int_equal(student_embed(student, NULL, u, NULL), ERR_NONE);
    for (int i = 0; i < COUNT; i++) {
        if (spoiled[i] >= 0) {
            memmove(u + n * DIM, u + i * DIM, DIM * sizeof *u);
            photo[n] = i;
            own[n++] = spoiled[i];
        }
    }
    assert_int_equal(purify_plain(u, own, n, DIM, result.centers, TRAINED, 3, NULL, PURIFY_DEGREES, mem, plain),
                     ERR_NONE);
    assert_int_equal(purify_refined(u, own, n, DIM, TRAINED, PURIFY_DEGREES, mem, refined), ERR_NONE);
    train_result_release(&result);
    struct found by_plain = count_found(plain, photo, n);
    struct found by_refined = count_found(refined, photo, n);
    printf("# of %d spoiled photos the plain rule finds %d (drops %d), the refined one %d (drops %d)\n", by_plain.wrong,
           by_plain.right, by_plain.dropped, by_refined.right, by_refined.dropped);
    assert_true(by_refined.right >= by_refined.wrong * 3 / 4 && by_refined.right >= by_refined.dropped * 3 / 4);

    for (int i = 0; i < n; i++) {
        spoiled[photo[i]] = refined[i].keep ? spoiled[photo[i]] : -1;
    }
    double before = held_out_tar(student);
    options.objective.subcenters = 1;
    options.epochs = 3;
    assert_int_equal(train_phase(student, spoiled, TRAINED, &options, NULL, NULL, NULL, &result, &note), ERR_NONE);
    assert_true(result.points[result.steps - 1].correct > .7F);
    assert_true(held_out_tar(student) > before - .1);
    train_result_release(&result);
    arena_free(mem);
    student_free(student);
}

/* ---- The same bits ------------------------------------------------------------------------------------------------ */

/* Everything that a phase leaves behind. */
static void hash_outcome(struct student *student, const struct train_result *result,
                         unsigned char ret[3][HASH_SHA256_BYTES])
{
    const struct parameters *parameters = student_parameters(student);

    hash_sha256(parameters->values, parameters->n_floats * sizeof(float), ret[0]);
    hash_sha256(result->centers, (size_t)(result->classes * result->subcenters * DIM) * sizeof(float), ret[1]);
    hash_sha256(result->points, (size_t)result->steps * sizeof *result->points, ret[2]);
}

static const struct bits_row {
    const char *name;
    const char *loss;
    int subcenters;
    double sample;
    float intra, inter, triplet, cosine, l2, kl;
    enum optimizer_kind optimizer;
    bool balanced, cut;
    int frozen;
    bool mixed;  /* every third person has one sub-center */
    int follows; /* each so many-th photo of the strangers */
} bits_rows[] = {
    {"arcface", "arcface", 1, 1, 0, 0, 0, 0, 0, 0, OPTIMIZER_SGD, false, false, 0, false, 0},
    {"sub-centers, AdamW, balanced", "arcface", 3, 1, 0, 0, 0, 0, 0, 0, OPTIMIZER_ADAMW, true, false, 0, false, 0},
    {"sampled centers beside frozen ones", "cosface", 2, .6, .1F, 0, 0, 0, 1, 0, OPTIMIZER_SGD, false, false, 5, false,
     0},
    {"every term", "cm1", 1, 1, .1F, .1F, .5F, .5F, .5F, .1F, OPTIMIZER_SGD, false, false, 5, false, 0},
    {"plain softmax with triplets", "softmax", 1, 1, 0, 0, .5F, .5F, 0, 0, OPTIMIZER_SGD, false, false, 0, false, 0},
    {"above a cut", "arcface", 1, 1, 0, 0, 0, 1, 0, .1F, OPTIMIZER_SGD, false, true, 0, false, 0},
    {"people with three sub-centers and with one", "arcface", 3, .6, .1F, 0, 0, 0, 1, 0, OPTIMIZER_SGD, false, false, 5,
     true, 0},
    {"others who follow", "arcface", 1, 1, 0, 0, 0, .5F, 1, .1F, OPTIMIZER_SGD, true, false, 5, false, 5},
    {"others who follow, few and above a cut", "softmax", 1, 1, 0, 0, .5F, 0, 1, 0, OPTIMIZER_SGD, false, true, 0,
     false, 80},
};
#define N_BITS_ROWS ((int)(sizeof bits_rows / sizeof bits_rows[0]))

static float strangers[5 * DIM];
static int one_in_three[TRAINED];

static struct train_options row_options(const struct bits_row *row)
{
    struct train_options options = quick_options();

    assert_int_equal(objective_choose(&options.objective, row->loss, NULL), ERR_NONE);
    options.objective.margin.scale = 24;
    options.objective.subcenters = row->subcenters;
    options.objective.sample_rate = row->sample;
    options.objective.intra = row->intra;
    options.objective.inter = row->inter;
    options.objective.triplet = row->triplet;
    options.objective.distill_cosine = row->cosine;
    options.objective.distill_l2 = row->l2;
    options.objective.distill_kl = row->kl;
    options.optimizer.kind = row->optimizer;
    options.schedule.rate = row->optimizer == OPTIMIZER_ADAMW ? .002F : .01F;
    options.balanced = row->balanced;
    options.frozen = row->frozen > 0 ? strangers : NULL;
    options.n_frozen = row->frozen;
    options.epochs = 2;
    for (int j = 0; j < TRAINED; j++) {
        one_in_three[j] = j % 3 == 0 ? 1 : row->subcenters;
    }
    options.centers_of = row->mixed ? one_in_three : NULL;
    for (int i = 0; i < 5 * DIM; i++) {
        strangers[i] = i % DIM == i / DIM ? 1 : 0;
    }
    return options;
}

/* Strangers' photos follow, each so many-th; 0: none. */
static void let_follow(int each)
{
    for (int i = TRAINED * PHOTOS; i < COUNT; i++) {
        label[i] = each > 0 && i % each == 0 ? TRAIN_FOLLOWS : -1;
    }
}

static const char *row_cut(const struct bits_row *row, char ret[64])
{
    struct graph *graph = make_network();
    const char *name = NULL;

    assert_int_equal(cut_find(graph, .7, &name, NULL), ERR_NONE);
    (void)snprintf(ret, 64, "%s", name);
    graph_free(graph);
    return row->cut ? ret : NULL;
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    for (int i = 0; i < N_BITS_ROWS; i++) {
        const struct bits_row *row = &bits_rows[i];
        struct train_options options = row_options(row);
        unsigned char hash[3][3][HASH_SHA256_BYTES];
        char cut[64];
        let_follow(row->follows);
        for (int threads = 1; threads <= 3; threads++) {
            struct pool *pool = NULL;
            struct train_result result;
            assert_int_equal(pool_new(threads, &pool), ERR_NONE);
            struct student *student = make_student(row_cut(row, cut), pool);
            run(student, &options, &result);
            hash_outcome(student, &result, hash[threads - 1]);
            train_result_release(&result);
            student_free(student);
            pool_free(pool);
        }
        if (memcmp(hash[0], hash[1], sizeof hash[0]) != 0 || memcmp(hash[0], hash[2], sizeof hash[0]) != 0) {
            fail_msg("row %d (%s): threads change the result", i, row->name);
        }
    }
    let_follow(0);
}

struct cutter {
    struct cancel cancel;
    long at;
    long seen;
};

static void cut_at(void *context, const struct train_step *step)
{
    struct cutter *cutter = context;

    cutter->seen = step->step;
    if (step->step == cutter->at) {
        cancel_ask(&cutter->cancel);
    }
}

static void resume_changes_no_bit(void **state)
{
    char path[sizeof folder + 32];

    (void)state;
    (void)snprintf(path, sizeof path, "%s/checkpoints", folder);
    for (int i = 0; i < N_BITS_ROWS; i++) {
        const struct bits_row *row = &bits_rows[i];
        struct train_options options = row_options(row);
        struct cutter cutter = {.at = 7 + 3 * i};
        struct train_result whole;
        struct train_result rest;
        unsigned char hash[3][3][HASH_SHA256_BYTES];
        struct err_note note = {0};
        char cut[64];

        let_follow(row->follows);
        struct student *student = make_student(row_cut(row, cut), NULL);
        run(student, &options, &whole);
        hash_outcome(student, &whole, hash[0]);
        assert_true(cutter.at < whole.steps - 1 || i > 3);
        cutter.at = cutter.at < whole.steps - 1 ? cutter.at : whole.steps - 2;
        student_free(student);
        train_result_release(&whole);

        /* cut off within a run: cancelled at once, and the last whole step is on disk */
        assert_int_equal(folder_make(path, NULL), ERR_NONE);
        options.checkpoint_folder = path;
        options.checkpoint_every = 4;
        student = make_student(row_cut(row, cut), NULL);
        assert_int_equal(train_phase(student, label, TRAINED, &options, &cutter.cancel, cut_at, &cutter, &rest, &note),
                         ERR_CANCELLED);
        assert_int_equal(cutter.seen, cutter.at);
        student_free(student);

        for (int again = 1; again <= 2; again++) { /* the second time it has ended already */
            student = make_student(row_cut(row, cut), NULL);
            assert_int_equal(train_phase(student, label, TRAINED, &options, NULL, NULL, NULL, &rest, &note), ERR_NONE);
            assert_int_equal(rest.begun_at, again == 1 ? cutter.at : rest.steps);
            hash_outcome(student, &rest, hash[again]);
            student_free(student);
            train_result_release(&rest);
        }
        if (memcmp(hash[0], hash[1], sizeof hash[0]) != 0 || memcmp(hash[0], hash[2], sizeof hash[0]) != 0) {
            fail_msg("row %d (%s): going on from step %ld changes the result", i, row->name, cutter.at);
        }

        /* other options, other labels: another run */
        struct train_options other = options;
        other.clip = 4;
        student = make_student(row_cut(row, cut), NULL);
        assert_int_equal(train_phase(student, label, TRAINED, &other, NULL, NULL, NULL, &rest, &note), ERR_CONFLICT);
        label[0] = 1;
        assert_int_equal(train_phase(student, label, TRAINED, &options, NULL, NULL, NULL, &rest, NULL), ERR_CONFLICT);
        label[0] = 0;
        if (row->follows > 0) {
            let_follow(row->follows + 1);
            assert_int_equal(train_phase(student, label, TRAINED, &options, NULL, NULL, NULL, &rest, NULL),
                             ERR_CONFLICT);
        }
        student_free(student);
        empty_folder(path);
        (void)rmdir(path);
    }
    let_follow(0);
}

/* ---- Limits ------------------------------------------------------------------------------------------------------- */

static void bad_options_are_refused(void **state)
{
    static const int none[TRAINED];
    static const int three[TRAINED] = {1, 2, 3};
    struct student *student = make_student(NULL, NULL);

    (void)state;
    for (int i = 0; i < 12; i++) {
        struct train_options options = quick_options();
        struct train_result result;
        struct err_note note = {0};
        switch (i) {
        case 0: options.batch = 20; break;
        case 1: options.epochs = 0; break;
        case 2: options.schedule.rate = NAN; break;
        case 3: options.warmup_share = 1; break;
        case 4: options.objective.subcenters = 0; break;
        case 5: options.objective.sample_rate = 0; break;
        case 6:
            options.objective.softmax = true;
            options.objective.subcenters = 2;
            break;
        case 7: options.objective.distill_l2 = -1; break;
        case 8:
            options.objective.inter = 1;
            options.objective.subcenters = 3;
            break;
        case 9: options.centers_of = none; break;
        case 10:
            options.objective.subcenters = 2;
            options.centers_of = three;
            break;
        default: label[3] = TRAINED; break;
        }
        if (train_phase(student, label, TRAINED, &options, NULL, NULL, NULL, &result, &note) != ERR_MISUSE ||
            note.text[0] == '\0') {
            fail_msg("row %d was not refused in words: %s", i, note.text);
        }
    }
    label[3] = 0;
    struct objective objective = objective_default();
    assert_int_equal(objective_choose(&objective, "arcfaze", NULL), ERR_MISUSE);
    student_free(student);
}

static void too_high_a_rate_is_told(void **state)
{
    struct student *student = make_student(NULL, NULL);
    struct train_options options = quick_options();
    struct train_result result;
    struct err_note note = {0};

    (void)state;
    options.schedule.rate = 1e30F;
    options.clip = 0;
    assert_int_equal(train_phase(student, label, TRAINED, &options, NULL, NULL, NULL, &result, &note), ERR_FORMAT);
    assert_non_null(strstr(note.text, "rate"));
    student_free(student);
}

static void maps_have_a_limit(void **state)
{
    struct student_options options = {.how = {.std = {1, 1, 1}}, .looks = 100, .maps_limit = 1 << 20};
    struct student *student = NULL;
    struct err_note note = {0};
    char cut[64];

    (void)state;
    options.cut = row_cut(&(struct bits_row){.cut = true}, cut);
    assert_int_equal(student_new(make_network(), dataset, &options, NULL, NULL, &student, &note), ERR_LIMIT);
    assert_non_null(strstr(note.text, "100 looks"));
    options.cut = "nowhere";
    assert_int_equal(student_new(make_network(), dataset, &options, NULL, NULL, &student, NULL), ERR_NOT_FOUND);
}

/* From the second step on nothing is allocated; only decoding a crop, which keeps its pixels elsewhere, asks its library to. */
/* Rows that say more than whose crop it is, so that following them is no accident: a person's direction and some of the photo's. */
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

/* Mean cosine with the teacher over those trained on. */
static double agreement(struct student *student, const float *rows)
{
    static float u[COUNT * DIM];
    double sum = 0;

    assert_int_equal(student_embed(student, NULL, u, NULL), ERR_NONE);
    for (int i = 0; i < TRAINED * PHOTOS * DIM; i++) {
        sum += (double)u[i] * (double)rows[i];
    }
    return sum / (TRAINED * PHOTOS);
}

static void another_teacher_is_followed(void **state)
{
    static float rows[COUNT * DIM];
    struct student_options how = {
        .how = {.mean = {127.5F, 127.5F, 127.5F}, .std = {64, 64, 64}}, .learn_norms = true, .teacher = rows};
    struct student *student = NULL;
    struct train_options options = quick_options();
    struct train_result result;
    struct err_note note = {0};

    (void)state;
    teach(rows);
    how.teacher_dim = DIM - 1;
    assert_int_equal(student_new(make_network(), dataset, &how, NULL, NULL, &student, &note), ERR_MISUSE);
    assert_non_null(strstr(note.text, "teacher"));
    how.teacher_dim = DIM;
    assert_int_equal(student_new(make_network(), dataset, &how, NULL, NULL, &student, &note), ERR_NONE);
    assert_memory_equal(student_teacher(student), rows, sizeof rows);
    double before = agreement(student, rows);
    options.epochs = 15;
    options.objective.distill_cosine = 20;
    run(student, &options, &result);
    double after = agreement(student, rows);
    printf("# mean cosine with the other teacher %.3f to %.3f\n", before, after);
    assert_true(before < .3 && after > .8);
    train_result_release(&result);
    student_free(student);
}

/* Mean cosine with the teacher over each so many-th photo of the strangers. */
static double strangers_agreement(struct student *student, const float *rows, int each)
{
    static float u[COUNT * DIM];
    double sum = 0;
    int n = 0;

    assert_int_equal(student_embed(student, NULL, u, NULL), ERR_NONE);
    for (int i = TRAINED * PHOTOS; i < COUNT; i++) {
        for (int k = 0; i % each == 0 && k < DIM; k++) {
            sum += (double)u[i * DIM + k] * (double)rows[i * DIM + k];
        }
        n += i % each == 0;
    }
    return sum / n;
}

/* What a phase does to the photos that follow, against a phase in which they take no part. */
static double followed(int each, float weight, struct train_result *ret)
{
    static float rows[COUNT * DIM];
    struct student_options how = {.how = {.mean = {127.5F, 127.5F, 127.5F}, .std = {64, 64, 64}},
                                  .learn_norms = true,
                                  .teacher = rows,
                                  .teacher_dim = DIM};
    struct student *student = NULL;
    struct train_options options = quick_options();

    teach(rows);
    let_follow(each);
    assert_int_equal(student_new(make_network(), dataset, &how, NULL, NULL, &student, NULL), ERR_NONE);
    options.epochs = 10;
    options.objective.distill_cosine = weight;
    run(student, &options, ret);
    let_follow(0);
    double after = strangers_agreement(student, rows, 3);
    student_free(student);
    return after;
}

/* Photos that teach nothing are kept near the teacher; the classification sees as many crops and steps as without them. */
static void who_follows_is_kept_near(void **state)
{
    struct train_result alone;
    struct train_result with;
    struct train_result without_term;

    (void)state;
    double forgotten = followed(0, 20, &alone);
    double kept = followed(3, 20, &with);
    printf("# mean cosine of strangers with the teacher %.3f, of those who follow %.3f\n", forgotten, kept);
    assert_true(kept > forgotten + .3);
    assert_int_equal(with.steps, alone.steps);
    assert_true(with.points[with.steps - 1].correct > .9F);
    assert_true(with.points[with.steps - 1].terms < with.points[0].terms / 2);
    for (long epoch = 0; epoch < with.epochs; epoch++) {
        long sum = 0;
        for (int bin = 0; bin < TRAIN_ANGLE_BINS; bin++) {
            sum += with.angles[epoch][bin];
        }
        assert_int_equal(sum, TRAINED * PHOTOS); /* those who teach, and no other */
    }
    train_result_release(&alone);
    train_result_release(&with);

    /* without a term of distillation they take no part: the same bits */
    (void)followed(0, 0, &alone);
    (void)followed(3, 0, &without_term);
    assert_memory_equal(alone.points, without_term.points, (size_t)alone.steps * sizeof *alone.points);
    assert_memory_equal(alone.centers, without_term.centers, TRAINED * DIM * sizeof(float));
    train_result_release(&alone);
    train_result_release(&without_term);
}

/* Mean cosine of a person's photos with a direction, after a phase in which that was frozen, or not. */
static double cosine_after(const float *direction, int n_frozen)
{
    static float u[COUNT * DIM];
    struct student *student = make_student(NULL, NULL);
    struct train_options options = quick_options();
    struct train_result result;
    double sum = 0;

    options.epochs = 12;
    options.frozen = direction;
    options.n_frozen = n_frozen;
    run(student, &options, &result);
    assert_int_equal(result.classes, TRAINED); /* it is nobody's class */
    assert_int_equal(student_embed(student, NULL, u, NULL), ERR_NONE);
    for (int i = 0; i < PHOTOS * DIM; i++) {
        sum += (double)u[i] * (double)direction[i % DIM];
    }
    train_result_release(&result);
    student_free(student);
    return sum / PHOTOS;
}

/* A frozen center where a person would come to lie pushes them elsewhere, and stays. */
static void a_frozen_center_pushes(void **state)
{
    float direction[DIM] = {0};
    float kept[DIM];
    float length;
    struct student *student = make_student(NULL, NULL);

    (void)state;
    for (int i = 0; i < TRAINED * PHOTOS * DIM; i++) { /* person 0, as the network tells them from others before */
        direction[i % DIM] +=
            (i < PHOTOS * DIM ? TRAINED : 0) * student_teacher(student)[i] - student_teacher(student)[i];
    }
    student_free(student);
    unit_rows(direction, 1, DIM, direction, &length);
    memcpy(kept, direction, sizeof kept);
    double alone = cosine_after(direction, 0);
    double pushed = cosine_after(direction, 1);
    printf("# mean cosine with where one was: %.3f, with a frozen center there %.3f\n", alone, pushed);
    assert_true(pushed < alone - .1);
    assert_memory_equal(direction, kept, sizeof kept);
}

static void forbid_heap(void *context, const struct train_step *step)
{
    long *steps = context;

    *steps = step->step;
    mem_fail_at(step->step >= 2 && step->step < step->steps ? 0 : -1);
}

static void steps_allocate_nothing(void **state)
{
    char cut[64];
    struct student *student = make_student(row_cut(&(struct bits_row){.cut = true}, cut), NULL);
    struct train_options options = quick_options();
    struct train_result result;
    long steps = 0;

    (void)state;
    options.objective.distill_l2 = 1;
    let_follow(3);
    enum err err = train_phase(student, label, TRAINED, &options, NULL, forbid_heap, &steps, &result, NULL);
    mem_fail_at(-1);
    let_follow(0);
    if (err != ERR_NONE) {
        fail_msg("after step %ld: %s", steps, err_word(err));
    }
    train_result_release(&result);
    student_free(student);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(people_are_learnt),           cmocka_unit_test(upper_layers_are_learnt),
        cmocka_unit_test(phases_follow_each_other),    cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(resume_changes_no_bit),       cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(too_high_a_rate_is_told),     cmocka_unit_test(maps_have_a_limit),
        cmocka_unit_test(another_teacher_is_followed), cmocka_unit_test(who_follows_is_kept_near),
        cmocka_unit_test(a_frozen_center_pushes),      cmocka_unit_test(steps_allocate_nothing)};

    return cmocka_run_group_tests(tests, make_people, remove_people);
}
