/* train_flags.c: flags of "arcfaced train". */
#include "server/train_flags.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cpu.h"
#include "server/command.h"
#include "server/command_flags.h"

const char train_usage[] =
    "usage: arcfaced train --recognizer F.onnx --set DIR [--detector F | --aligned] --out OUT.onnx [flags]\n"
    "Tunes a recogniser on a folder for each person.  Writes OUT.onnx, OUT.onnx.json (its manifest), OUT.onnx.html (a "
    "report)\n"
    "and, while it runs, the folder OUT.onnx.run, from which the same call goes on after it was cut off.\n"
    "data\n"
    "  --only FILE, --except FILE  lists of people, one a line\n"
    "  --dataset FILE       crops and labels, instead of --set\n"
    "  --holdout SHARE      of the people, kept out to measure (0.2)\n"
    "  --purify RULE        refined, plain or none (refined)\n"
    "  --photos FILE        what purifying says of each photo, a JSON line a photo\n"
    "  --balanced           people take turns, however many photos each has\n"
    "  --looks N            augmented looks kept per crop (4)\n"
    "what learns\n"
    "  --learn SHARE        of the convolutions, from the top (0.6); 1: the whole network\n"
    "  --from LAYER         instead: this layer and all above it, by its name or that of what it makes\n"
    "  --norms              scales and shifts of BatchNormalization too\n"
    "  --batch-statistics   BatchNormalization by the batch, as in training from nothing\n"
    "  --whole              the whole way of what was learnt; else a share, chosen on people who were not trained on\n"
    "loss\n"
    "  --loss NAME          softmax, norm_softmax, sphereface, cosface, arcface, cm1, cm2 (arcface)\n"
    "  --margin R --scale S --filter C --straight   of the loss: m2 in radians (0.5), s (64), the cosine above which\n"
    "                       another class does not count (1), a straight-through gradient\n"
    "  --subcenters K       of everybody in the first phase (3 of people with 10 photos, 1 of others);\n"
    "                       with --purify none of the only one (1)\n"
    "  --sample SHARE       of the classes in each step (1)\n"
    "  --intra W --inter W --triplet W              weights of the paper's terms (0)\n"
    "  --distill W --distill-cosine W --kl W        weights of staying near the recogniser as it was: squared "
    "distance,\n"
    "                       cosine, Kullback-Leibler of its similarities to the classes (1, 0, 0)\n"
    "steps\n"
    "  --epochs N           of the last phase (6); the first has a third of them\n"
    "  --batch N --shard N  crops a step (32) and at once in memory (8)\n"
    "  --optimizer NAME     sgd or adamw (sgd)\n"
    "  --schedule NAME      constant, step, cosine or polynomial (cosine)\n"
    "  --rate R --center-rate R --warmup SHARE --decay W --clip L   (0.002, 10, 0.1, 0.0005, 5)\n"
    "  --seed N --threads N\n";

/* A number of single precision; *value stays where the flag is absent. */
static bool take_real(int *argc, char **argv, const char *flag, double least, double most, float *value)
{
    double real = (double)*value;
    bool fine = command_real(argc, argv, flag, least, most, &real);

    *value = (float)real;
    return fine;
}

static bool take_int(int *argc, char **argv, const char *flag, long least, long most, int *value)
{
    long whole = *value;
    bool fine = command_whole(argc, argv, flag, least, most, &whole);

    *value = (int)whole;
    return fine;
}

/* Takes one of a list of words; *value stays where the flag is absent. */
static bool take_word(int *argc, char **argv, const char *flag, const char *const *words, int n, int *value)
{
    const char *word = NULL;

    if (!command_option(argc, argv, flag, &word)) {
        return true;
    }
    for (int i = 0; i < n; i++) {
        if (strcmp(word, words[i]) == 0) {
            *value = i;
            return true;
        }
    }
    (void)fprintf(stderr, "arcfaced: %s must be one of", flag);
    for (int i = 0; i < n; i++) {
        (void)fprintf(stderr, "%s %s", i > 0 ? "," : "", words[i]);
    }
    (void)fprintf(stderr, "\n");
    return false;
}

/* The name first: it sets the margins that the other flags change. */
static bool take_loss(struct train_wish *wish, int *argc, char **argv)
{
    struct objective *objective = &wish->course.train.objective;
    struct err_note note = {0};

    (void)command_option(argc, argv, "--loss", &wish->loss);
    if (objective_choose(objective, wish->loss, &note) != ERR_NONE) {
        (void)fprintf(stderr, "arcfaced: %s\n", note.text);
        return false;
    }
    objective->margin.straight = command_switch(argc, argv, "--straight");
    float sample = (float)objective->sample_rate;
    bool fine = take_real(argc, argv, "--margin", 0, 1.5, &objective->margin.m2) &&
                take_real(argc, argv, "--scale", 1, 256, &objective->margin.scale) &&
                take_real(argc, argv, "--filter", -1, 1, &objective->margin.filter) &&
                take_real(argc, argv, "--sample", .001, 1, &sample) &&
                take_real(argc, argv, "--intra", 0, 1000, &objective->intra) &&
                take_real(argc, argv, "--inter", 0, 1000, &objective->inter) &&
                take_real(argc, argv, "--triplet", 0, 1000, &objective->triplet) &&
                take_real(argc, argv, "--distill", 0, 1000, &objective->distill_l2) &&
                take_real(argc, argv, "--distill-cosine", 0, 1000, &objective->distill_cosine) &&
                take_real(argc, argv, "--kl", 0, 1000, &objective->distill_kl);
    objective->sample_rate = (double)sample;
    if (fine && objective_check(objective, &note) != ERR_NONE) {
        (void)fprintf(stderr, "arcfaced: %s\n", note.text);
        return false;
    }
    return fine;
}

/* The reference code's steps: a tenth at the half and at four fifths of the way. */
static bool take_steps(struct train_options *train, int *argc, char **argv)
{
    static const char *const optimizers[] = {"sgd", "adamw"};
    static const char *const schedules[] = {"constant", "step", "cosine", "polynomial"};
    int optimizer = (int)train->optimizer.kind;
    int schedule = (int)train->schedule.kind;

    bool fine = take_int(argc, argv, "--epochs", 1, 100000, &train->epochs) &&
                take_int(argc, argv, "--batch", 1, 65536, &train->batch) &&
                take_int(argc, argv, "--shard", 1, 65536, &train->shard) &&
                take_word(argc, argv, "--optimizer", optimizers, 2, &optimizer) &&
                take_word(argc, argv, "--schedule", schedules, 4, &schedule) &&
                take_real(argc, argv, "--rate", 1e-9, 10, &train->schedule.rate) &&
                take_real(argc, argv, "--center-rate", 0, 1000, &train->center_rate) &&
                take_real(argc, argv, "--warmup", 0, .9, &train->warmup_share) &&
                take_real(argc, argv, "--decay", 0, 1, &train->weight_decay) &&
                take_real(argc, argv, "--clip", 0, 1e6, &train->clip);
    train->optimizer.kind = (enum optimizer_kind)optimizer;
    train->schedule.kind = (enum schedule_kind)schedule;
    if (train->schedule.kind == SCHEDULE_STEP) {
        train->schedule.at[0] = .5F;
        train->schedule.at[1] = .8F;
        train->schedule.n_at = 2;
    }
    return fine;
}

static bool take_purify(struct train_wish *wish, int *argc, char **argv)
{
    static const char *const rules[] = {"none", "plain", "refined"};
    int rule = (int)wish->course.rule;

    if (!take_word(argc, argv, "--purify", rules, 3, &rule)) {
        return false;
    }
    wish->course.rule = (enum course_rule)rule;
    wish->purify = rules[rule];
    if (wish->course.rule == COURSE_PLAIN && wish->course.train.objective.softmax) {
        (void)fprintf(stderr, "arcfaced: the plain rule needs unit centers, which the plain softmax has not\n");
        return false;
    }
    return true;
}

static bool take_learn(struct train_wish *wish, int *argc, char **argv)
{
    if (!command_real(argc, argv, "--learn", .01, 1, &wish->learn)) {
        return false;
    }
    if (wish->from != NULL && wish->learn > 0) {
        (void)fprintf(stderr, "arcfaced: --learn and --from both say where learning begins: name one of them\n");
        return false;
    }
    if (wish->from == NULL && wish->learn == 0) {
        wish->learn = .6;
    }
    return true;
}

bool train_flags_take(struct train_wish *wish, int *argc, char **argv)
{
    struct train_options *train = &wish->course.train;
    long seed = 1;

    *wish = (struct train_wish){
        .loss = "arcface", .holdout = .2, .looks = 4, .threads = cpu_count(), .course = course_default()};
    (void)command_option(argc, argv, "--set", &wish->set);
    (void)command_option(argc, argv, "--dataset", &wish->dataset);
    (void)command_option(argc, argv, "--only", &wish->only);
    (void)command_option(argc, argv, "--except", &wish->except);
    (void)command_option(argc, argv, "--out", &wish->out);
    (void)command_option(argc, argv, "--photos", &wish->photos);
    (void)command_option(argc, argv, "--from", &wish->from);
    wish->aligned = command_switch(argc, argv, "--aligned");
    wish->learn_norms = command_switch(argc, argv, "--norms");
    wish->course.blends = !command_switch(argc, argv, "--whole");
    train->balanced = command_switch(argc, argv, "--balanced");
    train->batch_statistics = command_switch(argc, argv, "--batch-statistics");
    bool fine = take_loss(wish, argc, argv) && take_steps(train, argc, argv) && take_purify(wish, argc, argv) &&
                take_int(argc, argv, "--subcenters", 1, 64, &wish->course.subcenters) &&
                command_whole(argc, argv, "--looks", 1, 1000, &wish->looks) &&
                command_whole(argc, argv, "--seed", 0, LONG_MAX, &seed) &&
                command_whole(argc, argv, "--threads", 1, 64, &wish->threads) && take_learn(wish, argc, argv) &&
                command_real(argc, argv, "--holdout", 0, .9, &wish->holdout);
    train->seed = (uint64_t)seed;
    return fine;
}
