/* cpu.c: CPU features through the compiler's own detection. */
#include "core/base/cpu.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

static struct cpu found;
static pthread_once_t once = PTHREAD_ONCE_INIT;

#if defined(__x86_64__)
static void detect(void)
{
    unsigned words[12] = {0};
    char brand[sizeof words + 1] = {0};

    for (unsigned i = 0; i < 3; i++) {
        unsigned *w = words + 4 * i;
        if (__get_cpuid(0x80000002U + i, &w[0], &w[1], &w[2], &w[3]) == 0) {
            break;
        }
    }
    memcpy(brand, words, sizeof words);
    (void)snprintf(found.name, sizeof found.name, "%s", brand[0] != '\0' ? brand : "x86-64");
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    bool f16c = __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0; /* clang's builtin does not know it */
    __builtin_cpu_init(); /* checks XGETBV too, so "supports" means the system saves the registers */
    found.avx2_fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && f16c;
    found.avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                   __builtin_cpu_supports("avx512cd");
    found.avx512_vnni = found.avx512 && __builtin_cpu_supports("avx512vnni");
    found.avx512_vbmi = found.avx512_vnni && __builtin_cpu_supports("avx512vbmi");
}
#else
static void detect(void)
{
#if defined(__aarch64__)
    (void)snprintf(found.name, sizeof found.name, "aarch64");
    found.neon = true;
#else
    (void)snprintf(found.name, sizeof found.name, "portable");
#endif
}
#endif

const struct cpu *cpu_info(void)
{
    (void)pthread_once(&once, detect);
    return &found;
}

int cpu_count(void)
{
    cpu_set_t allowed;

    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
        int count = CPU_COUNT(&allowed);
        if (count > 0) {
            return count;
        }
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}
