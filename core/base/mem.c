/* mem.c: the heap, zeroed, aligned and counted. */
#include "core/base/mem.h"

#include <limits.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/size.h"

/*
 * The size stands in front of the block, in a header as long as the alignment: we need it to count, to wipe and to
 * resize, and malloc_usable_size answers another question.
 */
struct header {
    size_t bytes;
    void *start; /* what the heap gave: up to one alignment before the header */
    unsigned char pad[MEM_ALIGN - sizeof(size_t) - sizeof(void *)];
};

#define HUGE_PAGE ((size_t)2 << 20)

static atomic_size_t live_blocks;
static atomic_size_t live_bytes;
static atomic_long fail_countdown = LONG_MAX; /* LONG_MAX: never; else allocations left before the first failure */

static bool told_to_fail(void)
{
    long left = atomic_load_explicit(&fail_countdown, memory_order_relaxed);

    if (left == LONG_MAX) {
        return false;
    }
    return atomic_fetch_sub_explicit(&fail_countdown, 1, memory_order_relaxed) <= 0;
}

static struct header *header_of(void *block)
{
    return (struct header *)block - 1;
}

static void *new_block(size_t count, size_t size, bool huge)
{
    size_t bytes;
    size_t whole;
    size_t room;

    if (!size_mul(count, size, &bytes) || !size_add(bytes, sizeof(struct header), &whole) ||
        !size_round_up(whole, MEM_ALIGN, &whole)) {
        return NULL;
    }
    /*
     * Zeros from calloc, which knows when pages come from the system as zeros and leaves them untouched: a large arena that
     * is half full is half in memory, and no page is cleared twice.
     */
    size_t align = huge && whole >= HUGE_PAGE ? HUGE_PAGE : MEM_ALIGN; /* a block of huge pages begins with one */
    if (!size_add(whole, align, &room) || told_to_fail()) {
        return NULL;
    }
    unsigned char *start = calloc(1, room);
    if (start == NULL) {
        return NULL;
    }
    struct header *header = (struct header *)(start + (align - (uintptr_t)start % align) % align);
    if (align == HUGE_PAGE) {
        (void)madvise(header, whole / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* a wish, before the pages are touched */
    }
    header->bytes = bytes;
    header->start = start;
    atomic_fetch_add_explicit(&live_blocks, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&live_bytes, bytes, memory_order_relaxed);
    return header + 1;
}

void *mem_new(size_t count, size_t size)
{
    return new_block(count, size, false);
}

void *mem_new_huge(size_t count, size_t size)
{
    return new_block(count, size, true);
}

void *mem_resize(void *block, size_t new_count, size_t size)
{
    void *bigger = mem_new(new_count, size);

    if (bigger == NULL || block == NULL) {
        return bigger;
    }
    size_t old_bytes = header_of(block)->bytes;
    size_t new_bytes = new_count * size; /* fits: mem_new has multiplied it with a check */
    memcpy(bigger, block, old_bytes < new_bytes ? old_bytes : new_bytes);
    mem_free(block);
    return bigger;
}

void *mem_copy(const void *bytes, size_t n_bytes)
{
    void *copy = mem_new(n_bytes, 1);

    if (copy != NULL && n_bytes > 0) {
        memcpy(copy, bytes, n_bytes);
    }
    return copy;
}

char *mem_copy_text(const char *text)
{
    return mem_copy(text, strlen(text) + 1);
}

void mem_free(void *block)
{
    if (block == NULL) {
        return;
    }
    struct header *header = header_of(block);
    atomic_fetch_sub_explicit(&live_blocks, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&live_bytes, header->bytes, memory_order_relaxed);
    free(header->start);
}

void mem_free_wiped(void *block)
{
    if (block != NULL) {
        mem_wipe(block, header_of(block)->bytes);
        mem_free(block);
    }
}

void mem_wipe(void *memory, size_t n_bytes)
{
    if (n_bytes > 0) {
        memset(memory, 0, n_bytes);
        __asm__ __volatile__("" : : "r"(memory) : "memory"); /* a reader, in the compiler's eyes */
    }
}

void mem_forget(void *memory, size_t n_bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t skip = (page - (uintptr_t)memory % page) % page;

    if (n_bytes > skip && n_bytes - skip >= page) {
        (void)madvise((unsigned char *)memory + skip, (n_bytes - skip) / page * page, MADV_DONTNEED);
    }
}

void mem_return_large(void)
{
#if defined(__GLIBC__)
    (void)mallopt(M_MMAP_THRESHOLD, 256 << 10);
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 20);
#endif
}

void mem_return_free(void)
{
#if defined(__GLIBC__)
    (void)malloc_trim(0);
#endif
}

size_t mem_live_blocks(void)
{
    return atomic_load_explicit(&live_blocks, memory_order_relaxed);
}

size_t mem_live_bytes(void)
{
    return atomic_load_explicit(&live_bytes, memory_order_relaxed);
}

void mem_fail_at(long n)
{
    atomic_store_explicit(&fail_countdown, n < 0 ? LONG_MAX : n, memory_order_relaxed);
}
