/* memory.h: what an index takes of the machine's memory, beside what its design predicts. */
#ifndef TESTS_BENCH_INDEX_MEMORY_H
#define TESTS_BENCH_INDEX_MEMORY_H

#include <stddef.h>

/* Bytes of this process that are in memory: its own, and of mapped files, which the system may drop and read again. */
struct memory {
    size_t own, mapped;
};
struct memory memory_now(void);

/* What INDEX predicts of a face's codes, and of its floats. */
size_t memory_of_codes(size_t dim);
size_t memory_of_floats(size_t dim);

/* The entry in the map of ids with the id itself, at its fullest and at its emptiest, on the average of growth. */
#define MEMORY_OF_ID 48

/* Of a face that is mapped from a file: its entry in the map of ids at its emptiest, live bits and checksums. */
#define MEMORY_OF_MAPPED 67

/* Prints a line of the table: what n faces have taken since before, and what was predicted of each.  Returns the bytes of each that
 * are the process's own. */
double memory_print(const char *setting, struct memory before, size_t n, size_t by_index, size_t predicted);

#endif
