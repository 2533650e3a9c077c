/* memory_support.c: /proc/self/mem, piece by piece. */
#include "tests/support/memory_support.h"

#include <assert.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    PIECE = 1 << 16,
    MOST = 64
};
#define SHADOW (UINT64_C(1) << 32) /* as much at once is a sanitizer's record of what memory is good */

static char piece[PIECE + MOST];

static long copies_between(int memory, uintptr_t begin, uintptr_t end, const void *bytes, size_t n, uintptr_t own,
                           size_t n_own)
{
    long copies = 0;

    for (uintptr_t at = begin; at < end; at += PIECE) {
        const size_t wanted = end - at < sizeof piece ? end - at : sizeof piece; /* overlaps with the next one */
        const ssize_t got = pread(memory, piece, wanted, (off_t)at);
        for (size_t i = 0; got > 0 && i + n <= (size_t)got && i < PIECE; i += 4) {
            const uintptr_t where = at + i;
            const bool ours = (where >= own && where < own + n_own) ||
                              (where >= (uintptr_t)piece && where < (uintptr_t)piece + sizeof piece);
            copies += !ours && memcmp(piece + i, bytes, n) == 0;
        }
    }
    return copies;
}

long memory_copies(const void *bytes, size_t n, const void *own, size_t n_own)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    const int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    char line[4096];
    long copies = 0;

    assert(n <= MOST);
    while (maps != NULL && memory >= 0 && fgets(line, sizeof line, maps) != NULL) {
        uintptr_t begin;
        uintptr_t end;
        if (sscanf(line, "%lx-%lx rw", &begin, &end) == 2 && strstr(line, " rw") != NULL &&
            strstr(line, "[stack") == NULL && strstr(line, "[v") == NULL && end - begin < SHADOW) {
            copies += copies_between(memory, begin, end, bytes, n, (uintptr_t)own, n_own);
        }
    }
    const bool seen = maps != NULL && memory >= 0;
    if (maps != NULL) {
        (void)fclose(maps);
    }
    if (memory >= 0) {
        (void)close(memory);
    }
    return seen ? copies : -1;
}
