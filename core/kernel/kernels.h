/*
 * kernels.h: which variant of each kernel this process uses.
 *
 * Chosen once, at the first use: of each family (kernel_list.h) the best variant that the processor can run and that computes
 * on a small awkward shape what the reference computes; else the next best.  The reference is never doubted.
 * Not: which family suits a layer; that is decided by its shape, by whoever calls.
 * Any thread, except where said.
 */
#ifndef CORE_KERNEL_KERNELS_H
#define CORE_KERNEL_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"
#include "core/kernel/kernel_list.h"

/* What a variant needs, each rank including those before it (except NEON, which is another machine). */
enum kernel_level {
    KERNEL_REF, /* the definition */
    KERNEL_PORTABLE,
    KERNEL_NEON,
    KERNEL_AVX2,
    KERNEL_AVX512,
    KERNEL_VNNI,
    KERNEL_VBMI
};

#define KERNEL_FAMILY_NUMBER(family, type) KERNELS_##family,
enum kernel_family {
    KERNEL_FAMILIES(KERNEL_FAMILY_NUMBER) KERNELS_COUNT
};
#undef KERNEL_FAMILY_NUMBER

/* The table: kernels()->gemm_int(...). */
#define KERNEL_MEMBER(family, type) type *family;
struct kernels {
    KERNEL_FAMILIES(KERNEL_MEMBER)
};
#undef KERNEL_MEMBER

/* The chosen ones; always the same object, valid until exit. */
const struct kernels *kernels(void);

/*
 * Restricts the choice; before the first use of any kernel, on the only thread.
 * set is "auto" or a level ("ref", "portable", "neon", "avx2", "avx512", "vnni", "vbmi"): no variant above it is used; then, each
 * after a comma, names of variants that shall not be used: "auto,gemm_int_vnni".
 * Errors: ERR_MISUSE no such set or variant, or kernels are in use already; ERR_UNSUPPORTED the processor cannot do it.
 */
MUST_CHECK enum err kernels_force(const char *set, struct err_note *note);

/* ---- What was chosen ---------------------------------------------------------------------------------------------- */

struct kernel_variant {
    enum kernel_family family;
    const char *family_name, *name;
    enum kernel_level level;
    double tolerance;
};

enum kernel_refusal {
    KERNEL_FAILED, /* its self-test */
    KERNEL_UNWANTED
};

#define KERNEL_MAX_REFUSED 64
struct kernel_report {
    enum kernel_level set; /* the highest level that was allowed */
    const struct kernel_variant *chosen[KERNELS_COUNT];
    int n_refused; /* variants that would have been chosen */
    struct {
        const struct kernel_variant *variant;
        enum kernel_refusal why;
    } refused[KERNEL_MAX_REFUSED];
};
const struct kernel_report *kernels_report(void);
const char *kernel_level_word(enum kernel_level level);
const char *kernel_refusal_text(enum kernel_refusal why); /* a sentence, for the log */

/* Writes "gemm_f32:blas gemm_int:vnni ..." and returns text. */
#define KERNELS_TEXT_BYTES 2048
const char *kernels_text(const struct kernel_report *report, char text[KERNELS_TEXT_BYTES]);

/* ---- Choosing without taking into use: for tests -------------------------------------------------------------------- */

/*
 * What kernels_force and kernels do.  tamper, if not NULL, is shown every candidate just before its self-test and may put
 * another function into it.
 */
typedef void kernel_tamper_fn(const struct kernel_variant *variant, struct kernels *candidate);
MUST_CHECK enum err kernels_choose(const char *set, kernel_tamper_fn *tamper, struct kernels *ret,
                                   struct kernel_report *ret_report, struct err_note *note);

/* Puts the n-th variant of a family that this processor can run, best first, into *ret; false past the last, the reference. */
bool kernels_nth(enum kernel_family family, int n, struct kernels *ret, const struct kernel_variant **ret_variant);

#endif
