/*
 * test_conformance.c: ONNX's own operator cases.
 *
 * Every case of Debian's libonnx-testdata is offered to the loader, as written and prepared.  It is either computed, and then
 * every output of every data set must agree, or refused as unsupported: when it is loaded, or, where ranks, types and values come with
 * the inputs only, when it is planned.  Any other error, a wrong number, a leak or a crash fails: these files are all valid.
 * `make conformance` prints the tallies.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/graph/session.h"
#include "core/onnx/onnx.h"
#include "core/onnx/wire.h"

#define DATA "/usr/share/libonnx-testdata/data"
#define FILE_LIMIT ((size_t)64 << 20)
#define MAX_IO 64

/* ONNX's own runner: rtol 1e-3, atol 1e-7; ours may be off by a little more only next to zero. */
#define RTOL 1e-3
#define ATOL 1e-6

/* Below these the claims have shrunk, or the walk has found too little: raise them when more is claimed. */
#define LEAST_CASES 1000
#define LEAST_RUN 440

/* What face networks are made of: of each at least one case is computed. */
static const char *const needed[] = {"Conv",
                                     "BatchNormalization",
                                     "PRelu",
                                     "Relu",
                                     "LeakyRelu",
                                     "Clip",
                                     "Sigmoid",
                                     "Add",
                                     "Sub",
                                     "Mul",
                                     "Div",
                                     "Floor",
                                     "MaxPool",
                                     "AveragePool",
                                     "GlobalAveragePool",
                                     "Resize",
                                     "Upsample",
                                     "Transpose",
                                     "Reshape",
                                     "Flatten",
                                     "Gemm",
                                     "MatMul",
                                     "Concat",
                                     "Shape",
                                     "Gather",
                                     "Slice",
                                     "Unsqueeze",
                                     "Squeeze",
                                     "Cast",
                                     "Constant",
                                     "Identity",
                                     "Dropout",
                                     "Softmax",
                                     "ReduceMean",
                                     "ReduceSum",
                                     "Pad",
                                     "Split",
                                     "Expand",
                                     "ConvInteger",
                                     "DynamicQuantizeLinear",
                                     "MatMulInteger",
                                     "QuantizeLinear",
                                     "DequantizeLinear"};

enum outcome {
    RUN,
    REFUSED, /* when it was loaded */
    UNPLANNED,
    FAILED,
    N_OUTCOMES
};

static const char *const outcome_names[N_OUTCOMES] = {"run", "refused", "refused when planned", "failed"};

/* ---- Tallies by operator ----------------------------------------------------------------------------------------- */

struct tally {
    char op[48];
    int count[N_OUTCOMES];
};

static struct tally tallies[400];
static int n_tallies;
static int totals[N_OUTCOMES];

static void tally_op(const char *op, size_t len, enum outcome outcome)
{
    int i = 0;

    len = len < sizeof tallies[0].op ? len : sizeof tallies[0].op - 1;
    while (i < n_tallies && (strlen(tallies[i].op) != len || memcmp(tallies[i].op, op, len) != 0)) {
        i++;
    }
    if (i == n_tallies) {
        assert_true(n_tallies < 400);
        memcpy(tallies[i].op, op, len);
        n_tallies++;
    }
    tallies[i].count[outcome]++;
}

/* Counts the case once for each different operator in it. */
static void tally_model(const unsigned char *bytes, size_t n_bytes, enum outcome outcome)
{
    struct bytes seen[64];
    int n_seen = 0;
    struct wire model = wire_over(bytes, n_bytes);
    struct wire_field field;

    totals[outcome]++;
    while (wire_next(&model, &field)) {
        if (field.number != 7) {
            continue;
        }
        struct wire graph = wire_enter(&model, &field);
        struct wire_field node_field;
        while (wire_next(&graph, &node_field)) {
            if (node_field.number != 1) {
                continue;
            }
            struct wire node = wire_enter(&graph, &node_field);
            struct wire_field op;
            while (wire_next(&node, &op)) {
                if (op.number != 4) {
                    continue;
                }
                bool known = false;
                for (int i = 0; i < n_seen; i++) {
                    known = known || (seen[i].left == op.content.left &&
                                      memcmp(seen[i].at, op.content.at, op.content.left) == 0);
                }
                if (!known && n_seen < 64) {
                    seen[n_seen++] = op.content;
                    tally_op((const char *)op.content.at, op.content.left, outcome);
                }
            }
        }
    }
}

static int runs_of(const char *op)
{
    for (int i = 0; i < n_tallies; i++) {
        if (strcmp(tallies[i].op, op) == 0) {
            return tallies[i].count[RUN];
        }
    }
    return 0;
}

static int compare_tallies(const void *a, const void *b)
{
    return strcmp(((const struct tally *)a)->op, ((const struct tally *)b)->op);
}

static void print_tallies(void)
{
    qsort(tallies, (size_t)n_tallies, sizeof *tallies, compare_tallies);
    printf("# operator                     run refused unplanned failed   (cases that contain it)\n");
    int never = 0;
    for (int i = 0; i < n_tallies; i++) {
        const struct tally *t = &tallies[i];
        if (t->count[RUN] == 0 && t->count[FAILED] == 0) {
            never++;
        } else {
            printf("# %-26s %5d %7d %9d %6d\n", t->op, t->count[RUN], t->count[REFUSED], t->count[UNPLANNED],
                   t->count[FAILED]);
        }
    }
    printf("# %d operators occur in refused cases only\n", never);
    printf("# conformance: %d run, %d refused (%d of them when planned), %d failed\n", totals[RUN],
           totals[REFUSED] + totals[UNPLANNED], totals[UNPLANNED], totals[FAILED]);
}

/* ---- One case ---------------------------------------------------------------------------------------------------- */

/* What went wrong, for the message. */
static char why[512];

static enum outcome explain(enum outcome outcome, const char *format, ...) __attribute__((format(printf, 2, 3)));
static enum outcome explain(enum outcome outcome, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(why, sizeof why, format, args);
    va_end(args);
    return outcome;
}

static bool close_enough(double got, double want)
{
    if (isnan(want)) {
        return isnan(got);
    }
    return got == want || fabs(got - want) <= ATOL + RTOL * fabs(want);
}

static double element(const struct tensor *tensor, int64_t i)
{
    switch (tensor->type) {
    case DTYPE_F32: return (double)((const float *)tensor->data)[i];
    case DTYPE_F64: return ((const double *)tensor->data)[i];
    case DTYPE_I64: return (double)((const int64_t *)tensor->data)[i];
    case DTYPE_I32: return (double)((const int32_t *)tensor->data)[i];
    case DTYPE_U8:
    case DTYPE_BOOL: return (double)((const uint8_t *)tensor->data)[i];
    case DTYPE_I8: return (double)((const int8_t *)tensor->data)[i];
    case DTYPE_NONE:
    case DTYPE_COUNT: break;
    }
    return (double)NAN;
}

static enum outcome compare(const struct tensor *got, const struct tensor *want, int output)
{
    char have[SHAPE_TEXT_BYTES];
    char need[SHAPE_TEXT_BYTES];

    if (got->type != want->type || !shape_equal(&got->shape, &want->shape)) {
        return explain(FAILED, "output %d is %s %s, expected %s %s", output, dtype_name(got->type),
                       shape_text(&got->shape, have), dtype_name(want->type), shape_text(&want->shape, need));
    }
    bool exact = got->type != DTYPE_F32 && got->type != DTYPE_F64;
    if (exact) {
        return memcmp(got->data, want->data, tensor_bytes(got)) == 0
                   ? RUN
                   : explain(FAILED, "output %d: integers differ", output);
    }
    for (int64_t i = 0; i < shape_elements(&got->shape); i++) {
        if (!close_enough(element(got, i), element(want, i))) {
            return explain(FAILED, "output %d[%" PRId64 "] is %.9g, expected %.9g", output, i, element(got, i),
                           element(want, i));
        }
    }
    return RUN;
}

/* Reads FOLDER/KIND_I.pb for i = 0 .. count-1. */
static enum outcome read_tensors(const char *folder, const char *kind, int count, struct arena *mem,
                                 struct tensor *tensors)
{
    for (int i = 0; i < count; i++) {
        char path[512];
        unsigned char *bytes;
        size_t n_bytes;
        const char *name;
        struct err_note note = {0};
        (void)snprintf(path, sizeof path, "%s/%s_%d.pb", folder, kind, i);
        if (file_read(path, FILE_LIMIT, &bytes, &n_bytes, &note) != ERR_NONE) {
            return explain(FAILED, "%s", note.text);
        }
        enum err err = onnx_load_tensor(bytes, n_bytes, mem, &tensors[i], &name, &note);
        mem_free(bytes);
        if (err != ERR_NONE) {
            return explain(FAILED, "%s_%d.pb: %s", kind, i, note.text);
        }
    }
    return RUN;
}

static enum outcome run_data_set(const struct graph *graph, struct session *session, const char *folder)
{
    struct tensor inputs[MAX_IO];
    struct tensor wanted[MAX_IO];
    struct tensor outputs[MAX_IO];
    int n_inputs = graph_input_count(graph);
    int n_outputs = graph_output_count(graph);
    struct err_note note = {0};

    assert_true(n_inputs <= MAX_IO && n_outputs <= MAX_IO);
    struct arena *mem = arena_new(FILE_LIMIT);
    assert_non_null(mem);
    enum outcome outcome = read_tensors(folder, "input", n_inputs, mem, inputs);
    if (outcome == RUN) {
        outcome = read_tensors(folder, "output", n_outputs, mem, wanted);
    }
    if (outcome == RUN) {
        enum err err = session_run(session, inputs, n_inputs, outputs, n_outputs, &note);
        if (err != ERR_NONE) {
            outcome = explain(err == ERR_UNSUPPORTED ? UNPLANNED : FAILED, "%s: %s", err_word(err), note.text);
        }
    }
    for (int i = 0; outcome == RUN && i < n_outputs; i++) {
        outcome = compare(&outputs[i], &wanted[i], i);
    }
    arena_free(mem);
    return outcome;
}

static enum outcome run_data_sets(const struct graph *graph, const char *folder)
{
    struct session *session;
    enum outcome outcome = RUN;
    struct stat info;
    char path[512];

    assert_int_equal(session_new(graph, NULL, &session), ERR_NONE);
    for (int i = 0; outcome == RUN; i++) {
        (void)snprintf(path, sizeof path, "%s/test_data_set_%d", folder, i);
        if (stat(path, &info) != 0) {
            outcome = i == 0 ? explain(FAILED, "no data set") : RUN;
            break;
        }
        outcome = run_data_set(graph, session, path);
    }
    session_free(session);
    return outcome;
}

static enum outcome run_model(const unsigned char *bytes, size_t n_bytes, enum onnx_purpose purpose, const char *folder)
{
    struct graph *graph;
    struct err_note note = {0};

    enum err err = onnx_load(bytes, n_bytes, purpose, &graph, NULL, &note);
    if (err != ERR_NONE) {
        return explain(err == ERR_UNSUPPORTED ? REFUSED : FAILED, "%s: %s", err_word(err), note.text);
    }
    if (purpose == ONNX_AS_WRITTEN) {
        graph_seal(graph);
    }
    enum outcome outcome = run_data_sets(graph, folder);
    graph_free(graph);
    return outcome;
}

static void run_case(const char *group, const char *name)
{
    char folder[320];
    char path[512];
    unsigned char *bytes;
    size_t n_bytes;
    size_t blocks = mem_live_blocks();

    (void)snprintf(folder, sizeof folder, DATA "/%s/%s", group, name);
    (void)snprintf(path, sizeof path, "%s/model.onnx", folder);
    assert_int_equal(file_read(path, FILE_LIMIT, &bytes, &n_bytes, NULL), ERR_NONE);
    enum outcome written = run_model(bytes, n_bytes, ONNX_AS_WRITTEN, folder);
    if (written == FAILED) {
        printf("# %s/%s: as written: %s\n", group, name, why);
    } else if (getenv("CONFORMANCE_VERBOSE") != NULL) {
        printf("# %s/%s: %s %s\n", group, name, outcome_names[written], written != RUN ? why : "");
    }
    enum outcome prepared = run_model(bytes, n_bytes, ONNX_FOR_INFERENCE, folder);
    if (prepared == FAILED) {
        printf("# %s/%s: prepared: %s\n", group, name, why);
    } else if ((prepared == RUN) != (written == RUN) && written != FAILED) {
        printf("# %s/%s: %s as written, %s when prepared: %s\n", group, name, outcome_names[written],
               outcome_names[prepared], why);
        prepared = FAILED;
    }
    tally_model(bytes, n_bytes, written == FAILED ? FAILED : prepared);
    mem_free(bytes);
    if (mem_live_blocks() != blocks) {
        fail_msg("%s/%s leaks", group, name);
    }
}

/* ---- All cases --------------------------------------------------------------------------------------------------- */

static int select_case(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void every_case_is_right_or_refused(void **state)
{
    static const char *const groups[] = {"node", "simple", "pytorch-operator", "pytorch-converted"};
    struct stat info;

    if (stat(DATA, &info) != 0) {
        printf("# skipped: no " DATA " (Debian package libonnx-testdata)\n");
        skip();
    }
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
        char path[256];
        struct dirent **entries;
        (void)snprintf(path, sizeof path, DATA "/%s", groups[g]);
        int count = scandir(path, &entries, select_case, alphasort);
        assert_true(count > 0);
        for (int i = 0; i < count; i++) {
            run_case(groups[g], entries[i]->d_name);
            free(entries[i]);
        }
        free(entries);
    }
    print_tallies();
    assert_int_equal(totals[FAILED], 0);
    assert_true(totals[RUN] + totals[REFUSED] + totals[UNPLANNED] >= LEAST_CASES);
    assert_true(totals[RUN] >= LEAST_RUN);
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        if (runs_of(needed[i]) == 0) {
            fail_msg("no case of %s is computed", needed[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_case_is_right_or_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
