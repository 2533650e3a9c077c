/* memory.c: resident memory by the system's word. */
#include "tests/bench/index/memory.h"

#include <stdio.h>

struct memory memory_now(void)
{
    struct memory now = {0};
    char line[256];
    size_t kib = 0;
    FILE *file = fopen("/proc/self/status", "r");

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "RssAnon: %zu kB", &kib) == 1) {
            now.own = kib * 1024;
        } else if (sscanf(line, "RssFile: %zu kB", &kib) == 1) {
            now.mapped = kib * 1024;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return now;
}

size_t memory_of_codes(size_t dim)
{
    size_t padded = 64;

    while (padded < dim) {
        padded *= 2;
    }
    return padded / 8 + 12 + dim + 16;
}

size_t memory_of_floats(size_t dim)
{
    return dim * sizeof(float);
}

double memory_print(const char *setting, struct memory before, size_t n, size_t by_index, size_t predicted)
{
    const struct memory now = memory_now();
    const double own = ((double)now.own - (double)before.own) / (double)n;
    const double mapped = ((double)now.mapped - (double)before.mapped) / (double)n;

    printf("  memory, %-30s %6.0f bytes a face of its own, %5.0f of mapped files; by the index's word %5zu; predicted "
           "%zu\n",
           setting, own, mapped, by_index / n, predicted);
    return own;
}
