/* faiss_memory.c: between FAISS and the heap of C++. */
#include "index/faiss_memory.h"

#include <malloc.h>
#include <stddef.h>

#include "core/base/mem.h"

/* As in faiss_index.c; a region with one thread is a level too, and exceptions do not leave it either. */
int omp_get_level(void);

static _Thread_local struct faiss_allowance *allowed;

void faiss_memory_allow(struct faiss_allowance *allowance)
{
    allowed = allowance;
}

/* C++'s way to say that the heap is empty, which its operators pass on; this file is compiled so that it may pass through. */
_Noreturn void throw_bad_alloc(void) __asm__("_ZSt17__throw_bad_allocv");

static size_t granted(size_t bytes)
{
    if (allowed != NULL && omp_get_level() == 0 &&
        (bytes > (size_t)allowed->most || allowed->held + (int64_t)bytes > allowed->most ||
         (allowed->stop != NULL && atomic_load(allowed->stop)))) {
        allowed->refused = true;
        throw_bad_alloc();
    }
    return bytes;
}

static void *taken(void *memory)
{
    if (allowed != NULL) {
        allowed->held += (int64_t)malloc_usable_size(memory);
    }
    return memory;
}

static void wiped(void *memory)
{
    if (memory != NULL) {
        const size_t bytes = malloc_usable_size(memory);
        mem_wipe(memory, bytes);
        if (allowed != NULL) {
            allowed->held -= (int64_t)bytes;
        }
    }
}

/*
 * The names are those that --wrap makes of C++'s: __wrap_X is called where FAISS says X, and __real_X is X.  Those that take an
 * alignment are the newer versions' of FAISS.
 */
void *operator_new(size_t bytes) __asm__("__wrap__Znwm");
void *operator_new_array(size_t bytes) __asm__("__wrap__Znam");
void operator_delete(void *memory) __asm__("__wrap__ZdlPv");
void operator_delete_sized(void *memory, size_t bytes) __asm__("__wrap__ZdlPvm");
void operator_delete_array(void *memory) __asm__("__wrap__ZdaPv");
void operator_delete_array_sized(void *memory, size_t bytes) __asm__("__wrap__ZdaPvm");
void operator_delete_aligned(void *memory, size_t align) __asm__("__wrap__ZdlPvSt11align_val_t");
void operator_delete_sized_aligned(void *memory, size_t bytes, size_t align) __asm__("__wrap__ZdlPvmSt11align_val_t");
void operator_delete_array_aligned(void *memory, size_t align) __asm__("__wrap__ZdaPvSt11align_val_t");

void *real_new(size_t bytes) __asm__("__real__Znwm");
void *real_new_array(size_t bytes) __asm__("__real__Znam");
void real_delete(void *memory) __asm__("__real__ZdlPv");
void real_delete_array(void *memory) __asm__("__real__ZdaPv");
void real_delete_aligned(void *memory, size_t align) __asm__("__real__ZdlPvSt11align_val_t");
void real_delete_array_aligned(void *memory, size_t align) __asm__("__real__ZdaPvSt11align_val_t");

void *operator_new(size_t bytes)
{
    return taken(real_new(granted(bytes)));
}

void *operator_new_array(size_t bytes)
{
    return taken(real_new_array(granted(bytes)));
}

void operator_delete(void *memory)
{
    wiped(memory);
    real_delete(memory);
}

void operator_delete_sized(void *memory, size_t bytes)
{
    wiped(memory);
    real_delete(memory);
}

void operator_delete_array(void *memory)
{
    wiped(memory);
    real_delete_array(memory);
}

void operator_delete_array_sized(void *memory, size_t bytes)
{
    wiped(memory);
    real_delete_array(memory);
}

void operator_delete_aligned(void *memory, size_t align)
{
    wiped(memory);
    real_delete_aligned(memory, align);
}

void operator_delete_sized_aligned(void *memory, size_t bytes, size_t align)
{
    wiped(memory);
    real_delete_aligned(memory, align);
}

void operator_delete_array_aligned(void *memory, size_t align)
{
    wiped(memory);
    real_delete_array_aligned(memory, align);
}
