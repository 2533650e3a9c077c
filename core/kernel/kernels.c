/* kernels.c: the choice among the variants of each kernel. */
#include "core/kernel/kernels.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cpu.h"
#include "core/kernel/probe.h"

static const char *const level_words[] = {
    [KERNEL_REF] = "ref",       [KERNEL_PORTABLE] = "portable", [KERNEL_NEON] = "neon", [KERNEL_AVX2] = "avx2",
    [KERNEL_AVX512] = "avx512", [KERNEL_VNNI] = "vnni",         [KERNEL_VBMI] = "vbmi"};
#define N_LEVELS ((int)(sizeof level_words / sizeof level_words[0]))

/* ---- The lines of kernel_list.h as rows, and row i put into a table ------------------------------------------------- */

#define ROW(family, variant, level, tolerance) {KERNELS_##family, #family, #variant, KERNEL_##level, tolerance},
static const struct kernel_variant rows[] = {KERNEL_LIST(ROW)};
#undef ROW
#define N_ROWS ((int)(sizeof rows / sizeof rows[0]))

#define NUMBER(family, variant, level, tolerance) ROW_##family##_##variant,
enum {
    KERNEL_LIST(NUMBER)
};
#undef NUMBER

static void put_row(int row, struct kernels *table)
{
#define CASE(family, variant, level, tolerance) \
    case ROW_##family##_##variant: table->family = &family##_##variant; break;
    switch (row) {
        KERNEL_LIST(CASE)
    default: break;
    }
#undef CASE
}

#define PROBE(family, type) family##_probe,
static kernel_probe_fn *const probes[] = {KERNEL_FAMILIES(PROBE)};
#undef PROBE

/* ---- Choosing ------------------------------------------------------------------------------------------------------- */

static bool processor_has(enum kernel_level level)
{
    const struct cpu *cpu = cpu_info();

    switch (level) {
    case KERNEL_REF:
    case KERNEL_PORTABLE: return true;
    case KERNEL_NEON: return cpu->neon;
    case KERNEL_AVX2: return cpu->avx2_fma;
    case KERNEL_AVX512: return cpu->avx2_fma && cpu->avx512;
    case KERNEL_VNNI: return cpu->avx2_fma && cpu->avx512_vnni;
    case KERNEL_VBMI: return cpu->avx2_fma && cpu->avx512_vbmi;
    }
    return false;
}

/* The word at *text up to the next comma; moves *text behind it. */
static size_t next_word(const char **text, const char **ret)
{
    size_t length = strcspn(*text, ",");

    *ret = *text;
    *text += length + ((*text)[length] == ',' ? 1 : 0);
    return length;
}

static bool is_row(int row, const char *word, size_t length)
{
    size_t family = strlen(rows[row].family_name);

    return length > family + 1 && strncmp(word, rows[row].family_name, family) == 0 && word[family] == '_' &&
           strlen(rows[row].name) == length - family - 1 &&
           strncmp(word + family + 1, rows[row].name, length - family - 1) == 0;
}

struct wish {
    enum kernel_level level;
    bool unwanted[sizeof rows / sizeof rows[0]];
};

static enum err read_level(const char *word, size_t length, enum kernel_level *ret, struct err_note *note)
{
    if (length == 4 && strncmp(word, "auto", 4) == 0) {
        for (int level = 0; level < N_LEVELS; level++) {
            *ret = processor_has((enum kernel_level)level) ? (enum kernel_level)level : *ret;
        }
        return ERR_NONE;
    }
    for (int level = 0; level < N_LEVELS; level++) {
        if (strlen(level_words[level]) == length && strncmp(level_words[level], word, length) == 0) {
            *ret = (enum kernel_level)level;
            return processor_has(*ret) ? ERR_NONE
                                       : ERR_SAY(note, ERR_UNSUPPORTED, "kernels: this processor (%s) has no %s",
                                                 cpu_info()->name, level_words[level]);
        }
    }
    return ERR_SAY(note, ERR_MISUSE, "kernels: \"%.*s\" is none of auto, ref, portable, neon, avx2, avx512, vnni, vbmi",
                   (int)length, word);
}

static enum err read_wish(const char *set, struct wish *ret, struct err_note *note)
{
    const char *word = NULL;
    size_t length = next_word(&set, &word);

    *ret = (struct wish){.level = KERNEL_REF};
    enum err err = read_level(word, length, &ret->level, note);
    while (err == ERR_NONE && *set != '\0') {
        bool known = false;
        length = next_word(&set, &word);
        for (int i = 0; i < N_ROWS; i++) {
            if (is_row(i, word, length) && rows[i].level != KERNEL_REF) {
                ret->unwanted[i] = true;
                known = true;
            }
        }
        if (!known) {
            err = ERR_SAY(note, ERR_MISUSE, "kernels: no variant is called \"%.*s\"", (int)length, word);
        }
    }
    return err;
}

static bool is_allowed(int row, enum kernel_level level)
{
    return rows[row].level <= level && processor_has(rows[row].level);
}

static void refuse(struct kernel_report *report, int row, enum kernel_refusal why)
{
    if (report->n_refused < KERNEL_MAX_REFUSED) {
        report->refused[report->n_refused].variant = &rows[row];
        report->refused[report->n_refused++].why = why;
    }
}

enum err kernels_choose(const char *set, kernel_tamper_fn *tamper, struct kernels *ret,
                        struct kernel_report *ret_report, struct err_note *note)
{
    struct wish wish;
    struct kernels table = {0};
    struct kernel_report report = {0};

    enum err err = read_wish(set, &wish, note);
    if (err != ERR_NONE) {
        return err;
    }
    report.set = wish.level;
    for (int i = 0; i < N_ROWS; i++) {
        enum kernel_family family = rows[i].family;
        if (report.chosen[family] != NULL || !is_allowed(i, wish.level)) {
            continue;
        }
        if (wish.unwanted[i]) {
            refuse(&report, i, KERNEL_UNWANTED);
            continue;
        }
        struct kernels candidate = {0};
        put_row(i, &candidate);
        if (tamper != NULL) {
            tamper(&rows[i], &candidate);
        }
        if (rows[i].level != KERNEL_REF && !probes[family](&candidate, rows[i].tolerance)) {
            refuse(&report, i, KERNEL_FAILED);
            continue;
        }
        put_row(i, &table);
        report.chosen[family] = &rows[i];
    }
    *ret = table;
    *ret_report = report;
    return ERR_NONE;
}

bool kernels_nth(enum kernel_family family, int n, struct kernels *ret, const struct kernel_variant **ret_variant)
{
    for (int i = 0; i < N_ROWS; i++) {
        if (rows[i].family == family && processor_has(rows[i].level) && n-- == 0) {
            put_row(i, ret);
            *ret_variant = &rows[i];
            return true;
        }
    }
    return false;
}

/* ---- The choice of this process ------------------------------------------------------------------------------------- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool in_use; /* written once, under once or before there are threads */
static struct kernels table_in_use;
static struct kernel_report report_in_use;

static void choose_best(void)
{
    if (!in_use) { /* "auto" is never refused */
        in_use = kernels_choose("auto", NULL, &table_in_use, &report_in_use, NULL) == ERR_NONE;
    }
}

enum err kernels_force(const char *set, struct err_note *note)
{
    if (in_use) {
        return ERR_SAY(note, ERR_MISUSE, "kernels: they are in use already");
    }
    enum err err = kernels_choose(set, NULL, &table_in_use, &report_in_use, note);
    in_use = err == ERR_NONE;
    return err;
}

const struct kernels *kernels(void)
{
    (void)pthread_once(&once, choose_best);
    return &table_in_use;
}

const struct kernel_report *kernels_report(void)
{
    (void)kernels();
    return &report_in_use;
}

const char *kernel_level_word(enum kernel_level level)
{
    return level_words[level];
}

const char *kernel_refusal_text(enum kernel_refusal why)
{
    return why == KERNEL_FAILED ? "its self-test failed: its numbers differ from the reference's on this machine"
                                : "left out by the setting kernels";
}

const char *kernels_text(const struct kernel_report *report, char text[KERNELS_TEXT_BYTES])
{
    size_t used = 0;

    text[0] = '\0';
    for (int i = 0; i < KERNELS_COUNT && used < KERNELS_TEXT_BYTES; i++) {
        int n = snprintf(text + used, KERNELS_TEXT_BYTES - used, "%s%s:%s", i > 0 ? " " : "",
                         report->chosen[i]->family_name, report->chosen[i]->name);
        used += n > 0 ? (size_t)n : 0;
    }
    return text;
}
