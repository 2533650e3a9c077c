/* scan.c: the choice among the variants. */
#include "core/kernel/scan.h"

#include "core/base/cpu.h"

const struct scan *scan_nth(int n)
{
    const struct scan *found[3];
    int count = 0;

#if defined(__x86_64__)
    if (cpu_info()->avx512_vnni) {
        found[count++] = &scan_vnni;
    }
    if (cpu_info()->avx2_fma) {
        found[count++] = &scan_avx2;
    }
#endif
    found[count++] = &scan_ref;
    return n < count ? found[n] : NULL;
}

const struct scan *scan_best(void)
{
    return scan_nth(0);
}
