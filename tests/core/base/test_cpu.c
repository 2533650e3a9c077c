/* test_cpu.c: features are consistent with each other and with what the system tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cpu.h"

static void is_consistent(void **state)
{
    const struct cpu *cpu = cpu_info();

    assert_ptr_equal(cpu, cpu_info());
    assert_true(cpu->name[0] != '\0');
    assert_true(cpu->avx2_fma || !cpu->avx512);
    assert_true(cpu->avx512 || !cpu->avx512_vnni);
    assert_true(cpu->avx512_vnni || !cpu->avx512_vbmi);
    assert_false(cpu->neon && cpu->avx2_fma);
    assert_true(cpu_count() >= 1);
}

/* Reads the flags that the kernel lists, which hides what it does not save on a context switch. */
static void agrees_with_the_system(void **state)
{
#if defined(__x86_64__) && defined(__linux__)
    static char line[1 << 15];
    FILE *file = fopen("/proc/cpuinfo", "r");
    bool seen = false;

    if (file == NULL) {
        skip();
    }
    while (!seen && fgets(line, sizeof line, file) != NULL) {
        seen = strncmp(line, "flags", 5) == 0;
    }
    (void)fclose(file);
    assert_true(seen);
    assert_int_equal(cpu_info()->avx2_fma,
                     strstr(line, " avx2") != NULL && strstr(line, " fma") != NULL && strstr(line, " f16c") != NULL);
    assert_int_equal(cpu_info()->avx512_vnni, strstr(line, " avx512_vnni") != NULL && cpu_info()->avx512);
    assert_int_equal(cpu_info()->avx512_vbmi, strstr(line, " avx512vbmi ") != NULL && cpu_info()->avx512_vnni);
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_consistent),
        cmocka_unit_test(agrees_with_the_system),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
