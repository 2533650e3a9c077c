/* test_log_kernels.c: a kernel whose self-test fails is not used, and the log says which and why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "server/daemon/log.h"
#include "server/daemon/log_kernels.h"

/* Right but for its last number: what a forgotten edge looks like. */
static void wrong_gemm_int(int64_t m, int64_t n, int64_t k, const int16_t *a, const int16_t *b, int32_t *c, int64_t ldc)
{
    gemm_int_ref(m, n, k, a, b, c, ldc);
    c[(m - 1) * ldc + n - 1] += 1;
}

static void spoil(const struct kernel_variant *variant, struct kernels *candidate)
{
    if (variant->family == KERNELS_gemm_int && variant->level != KERNEL_REF) {
        candidate->gemm_int = wrong_gemm_int;
    }
}

/* What is logged of a choice: lines of text in a buffer. */
static void log_of(const struct kernel_report *report, char ret[], size_t room)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    log_set_file(ends[1]);
    log_kernels_refused(report);
    log_set_file(STDERR_FILENO);
    ssize_t n = read(ends[0], ret, room - 1); /* nothing: -1, would block */
    ret[n > 0 ? n : 0] = '\0';
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void check_line(const char *text, const char *level, const struct kernel_variant *variant, const char *because)
{
    json_t *line = json_loads(text, 0, NULL);

    assert_non_null(line);
    assert_string_equal(json_string_value(json_object_get(line, "level")), level);
    assert_string_equal(json_string_value(json_object_get(line, "event")), "kernel_not_used");
    assert_string_equal(json_string_value(json_object_get(line, "family")), variant->family_name);
    assert_string_equal(json_string_value(json_object_get(line, "variant")), variant->name);
    assert_non_null(strstr(json_string_value(json_object_get(line, "text")), because));
    json_decref(line);
}

static void a_failed_self_test_is_an_error(void **state)
{
    struct kernels table;
    struct kernel_report report;
    char text[16384];
    char *rest = NULL;
    int n = 0;

    (void)state;
    assert_int_equal(kernels_choose("auto", spoil, &table, &report, NULL), ERR_NONE);
    assert_ptr_equal(table.gemm_int, gemm_int_ref);
    log_of(&report, text, sizeof text);
    for (const char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        const struct kernel_variant *variant = NULL;
        struct kernels any;
        assert_true(kernels_nth(KERNELS_gemm_int, n++, &any, &variant));
        check_line(line, "error", variant, "self-test failed");
    }
    assert_true(n >= 1); /* the portable one, and whatever else this processor can run */
    assert_int_equal(n, report.n_refused);
}

static void a_variant_left_out_is_a_warning(void **state)
{
    struct kernels table;
    struct kernel_report report;
    char text[4096];

    (void)state;
    assert_int_equal(kernels_choose("portable,gemm_int_portable", NULL, &table, &report, NULL), ERR_NONE);
    log_of(&report, text, sizeof text);
    check_line(text, "warn", report.refused[0].variant, "setting");
}

static void a_choice_without_refusals_is_silent(void **state)
{
    struct kernels table;
    struct kernel_report report;
    char text[4096];

    (void)state;
    assert_int_equal(kernels_choose("auto", NULL, &table, &report, NULL), ERR_NONE);
    log_of(&report, text, sizeof text);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_self_test_is_an_error),
        cmocka_unit_test(a_variant_left_out_is_a_warning),
        cmocka_unit_test(a_choice_without_refusals_is_silent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
