/*
 * mem.h: the heap; nobody else in this project calls malloc.
 *
 * Every block is zeroed, aligned to 64 bytes and counted.  Tests can make the n-th allocation fail.
 * Any thread.
 */
#ifndef CORE_BASE_MEM_H
#define CORE_BASE_MEM_H

#include <stddef.h>

#define MEM_ALIGN 64

/*
 * Returns count × size zeroed bytes, or NULL when that overflows or the heap is empty.  A zero product returns a block of
 * its own all the same, so that NULL always means failure.
 * Owns:   the caller, until mem_free.
 */
void *mem_new(size_t count, size_t size) __attribute__((malloc, alloc_size(1, 2)));

/*
 * The same, in pages of 2 MiB where the system has them: for blocks of many megabytes that are read from end to end again and
 * again, where 4 KiB pages cost the processor a tenth of its time and more.  Below 2 MiB it is mem_new.
 */
void *mem_new_huge(size_t count, size_t size) __attribute__((malloc, alloc_size(1, 2)));

/*
 * Returns a block of new_count × size bytes that begins with the old block's content and is zero after it; the old block
 * is gone.  On failure returns NULL and the old block stays valid.  block may be NULL (then it is mem_new).
 */
void *mem_resize(void *block, size_t new_count, size_t size) __attribute__((warn_unused_result));

/* Copies bytes, or a string with its terminating zero. */
void *mem_copy(const void *bytes, size_t n_bytes);
char *mem_copy_text(const char *text);

/* Gives a block back; NULL does nothing. */
void mem_free(void *block);

/* Gives a block back after overwriting it with zeros, for secrets and embeddings; NULL does nothing. */
void mem_free_wiped(void *block);

/*
 * Gives the whole pages of a part of a block back to the system; the block stays as it is, but these pages read as zeros from
 * now on, and take memory again when they are written.
 */
void mem_forget(void *memory, size_t n_bytes);

/* Overwrites memory in a way that the compiler may not remove. */
void mem_wipe(void *memory, size_t n_bytes);

#define MEM_NEW(type) ((type *)mem_new(1, sizeof(type)))
#define MEM_ARRAY(type, count) ((type *)mem_new((count), sizeof(type)))

/*
 * For a process that lives long: freed blocks of 256 KiB and more go back to the system at once.  Left alone, glibc raises
 * that bound with every large block that is freed, to 32 MiB, and photos of changing size leave holes that stay resident
 * (measured: 80 MB after three bodies of 16 MB).  Costs one page fault for each page of a large block.
 */
void mem_return_large(void);

/*
 * Gives the system the whole pages among what was freed in smaller blocks: each of glibc's heaps keeps them otherwise, except at its end.
 * Takes milliseconds, during which allocating threads may wait: for a thread that has just done something large.
 */
void mem_return_free(void);

/* What is allocated at the moment: blocks and the bytes asked for. */
size_t mem_live_blocks(void);
size_t mem_live_bytes(void);

/* The n-th allocation from now on (0 is the next) fails, and every one after it, until mem_fail_at(-1).  For tests. */
void mem_fail_at(long n);

#endif
