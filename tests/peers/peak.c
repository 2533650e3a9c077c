/* peak.c: GFLOPS of fused multiply-adds from registers, the best of some
 * rounds: what one core could do at most. */
#include <stdio.h>
#include <time.h>

#if defined(__x86_64__)
typedef float v16 __attribute__((vector_size(64)));
typedef float v8 __attribute__((vector_size(32)));

#define ROUNDS 200000L
#define PEAK(name, isa, v, n)                                                                      \
    __attribute__((target(isa))) static double name(void)                                          \
    {                                                                                              \
        v sum[12];                                                                                 \
        v a;                                                                                       \
        v b;                                                                                       \
        for (int i = 0; i < (n); i++) {                                                            \
            a[i] = 0.999F;                                                                         \
            b[i] = 0.001F;                                                                         \
        }                                                                                          \
        for (int k = 0; k < 12; k++) {                                                             \
            sum[k] = a;                                                                            \
        }                                                                                          \
        struct timespec from;                                                                      \
        struct timespec to;                                                                        \
        clock_gettime(CLOCK_MONOTONIC, &from);                                                     \
        for (long r = 0; r < ROUNDS; r++) {                                                        \
            _Pragma("GCC unroll 12") for (int k = 0; k < 12; k++)                                  \
            {                                                                                      \
                sum[k] = sum[k] * a + b;                                                           \
            }                                                                                      \
        }                                                                                          \
        clock_gettime(CLOCK_MONOTONIC, &to);                                                       \
        volatile float sink = 0;                                                                   \
        for (int k = 0; k < 12; k++) {                                                             \
            sink += sum[k][0];                                                                     \
        }                                                                                          \
        double s = (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec); \
        return 2.0 * 12 * (n)*ROUNDS / s * 1e-9;                                                   \
    }
PEAK(peak_512, "avx512f", v16, 16)
PEAK(peak_256, "avx2,fma", v8, 8)

int main(void)
{
    double best = 0;

    __builtin_cpu_init();
    for (int i = 0; i < 400; i++) {
        double now = __builtin_cpu_supports("avx512f") ? peak_512() : __builtin_cpu_supports("avx2") ? peak_256() : 1;
        best = now > best ? now : best;
    }
    printf("%.1f\n", best);
    return 0;
}
#else
int main(void)
{
    printf("1\n");
    return 0;
}
#endif
