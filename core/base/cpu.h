/*
 * cpu.h: what this processor can do, asked once.
 * Any thread.
 */
#ifndef CORE_BASE_CPU_H
#define CORE_BASE_CPU_H

#include <stdbool.h>

struct cpu {
    char name[64]; /* the vendor's brand string, or the machine's architecture */
    bool avx2_fma; /* AVX2 with FMA and F16C, usable: the system saves the registers */
    bool avx512;   /* F, BW, DQ, VL, CD: what compilers call x86-64-v4 */
    bool avx512_vnni;
    bool avx512_vbmi; /* and VNNI */
    bool neon;        /* arm64 */
};

/* The same object on every call, valid until exit. */
const struct cpu *cpu_info(void);

/* Processors that this process may run on (its affinity, not the machine's count); at least 1. */
int cpu_count(void);

#endif
