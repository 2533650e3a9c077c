/* foreign_heap.c: our heap for the libraries that let us choose, with a memory of what it had to refuse. */
#include "core/base/mem.h"
#include "core/image/image_private.h"

static _Thread_local bool starved;

static void *noted(void *block)
{
    starved = starved || block == NULL;
    return block;
}

void foreign_heap_begin(void)
{
    starved = false;
}

bool foreign_heap_starved(void)
{
    return starved;
}

void *foreign_heap_new(size_t count, size_t size)
{
    return noted(mem_new(count, size));
}

void *foreign_heap_resize(void *block, size_t bytes)
{
    return noted(mem_resize(block, bytes, 1));
}

void foreign_heap_free(void *block)
{
    mem_free(block);
}
