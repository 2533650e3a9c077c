/* scan.c: the scans in use, and all that this processor can run. */
#include "core/kernel/scan.h"

#include "core/kernel/kernels.h"

const struct scan *scan_nth(int n)
{
    struct kernels table;
    const struct kernel_variant *variant = NULL;

    return kernels_nth(KERNELS_scan, n, &table, &variant) ? table.scan : NULL;
}

const struct scan *scan_best(void)
{
    return kernels()->scan;
}
