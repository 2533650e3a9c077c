/* arena.c: chunked, capped memory with one lifetime. */
#include "core/base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/size.h"

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif

#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(memory, bytes) ASAN_POISON_MEMORY_REGION((memory), (bytes))
#define UNPOISON(memory, bytes) ASAN_UNPOISON_MEMORY_REGION((memory), (bytes))
#define RED_ZONE MEM_ALIGN
#else
#define POISON(memory, bytes) ((void)(memory), (void)(bytes))
#define UNPOISON(memory, bytes) ((void)(memory), (void)(bytes))
#define RED_ZONE 0
#endif

#define FIRST_CHUNK ((size_t)64 << 10)
#define LARGEST_STEP ((size_t)4 << 20)
#define KEPT_BYTES ((size_t)1 << 20)

struct chunk {
    struct chunk *next; /* the one before it in time */
    size_t capacity;    /* bytes of data */
    size_t used;
    unsigned char *data; /* behind this header, in the same block */
};

struct arena {
    struct chunk *current;
    size_t cap_bytes;
    size_t held_bytes; /* capacity of all chunks */
    size_t used_bytes;
    size_t peak_bytes;
    enum err why;
};

struct arena *arena_new(size_t cap_bytes)
{
    struct arena *arena = MEM_NEW(struct arena);

    if (arena != NULL) {
        arena->cap_bytes = cap_bytes;
    }
    return arena;
}

static void chunk_free(struct chunk *chunk)
{
    UNPOISON(chunk->data, chunk->capacity);
    mem_free(chunk);
}

void arena_free(struct arena *arena)
{
    if (arena == NULL) {
        return;
    }
    while (arena->current != NULL) {
        struct chunk *gone = arena->current;
        arena->current = gone->next;
        chunk_free(gone);
    }
    mem_free(arena);
}

/* Adds a chunk with room for bytes: twice the last one's size within bounds, but never past the cap. */
static enum err arena_grow(struct arena *arena, size_t bytes)
{
    if (arena->current != NULL && arena->current->used == 0) {
        /* Only kept from before the reset and too small now: it must not count against the cap. */
        struct chunk *unused = arena->current;
        arena->current = unused->next;
        arena->held_bytes -= unused->capacity;
        chunk_free(unused);
    }
    size_t left = arena->cap_bytes - arena->held_bytes;
    size_t wanted = arena->current == NULL ? FIRST_CHUNK : 2 * arena->current->capacity;

    if (wanted > LARGEST_STEP) {
        wanted = LARGEST_STEP;
    }
    if (wanted > left) {
        wanted = left & ~(size_t)(MEM_ALIGN - 1);
    }
    if (wanted < bytes) {
        wanted = bytes;
    }
    if (wanted > left) {
        return ERR_LIMIT;
    }
    size_t whole;
    if (!size_add(wanted, MEM_ALIGN, &whole)) {
        return ERR_LIMIT;
    }
    struct chunk *chunk = mem_new(whole, 1);
    if (chunk == NULL) {
        return ERR_NOMEM;
    }
    chunk->data = (unsigned char *)chunk + MEM_ALIGN;
    chunk->capacity = wanted;
    chunk->next = arena->current;
    arena->current = chunk;
    arena->held_bytes += wanted;
    POISON(chunk->data, chunk->capacity);
    return ERR_NONE;
}

void *arena_alloc(struct arena *arena, size_t count, size_t size)
{
    size_t bytes;
    size_t room;

    _Static_assert(sizeof(struct chunk) <= MEM_ALIGN, "the data begins one alignment unit behind the header");
    if (!size_mul(count, size, &bytes) || !size_add(bytes, RED_ZONE, &room) || !size_round_up(room, MEM_ALIGN, &room)) {
        arena->why = ERR_LIMIT;
        return NULL;
    }
    struct chunk *chunk = arena->current;
    if (chunk == NULL || chunk->capacity - chunk->used < room) {
        enum err err = arena_grow(arena, room);
        if (err != ERR_NONE) {
            arena->why = err;
            return NULL;
        }
        chunk = arena->current;
    }
    void *piece = chunk->data + chunk->used;
    chunk->used += room;
    arena->used_bytes += room;
    if (arena->used_bytes > arena->peak_bytes) {
        arena->peak_bytes = arena->used_bytes;
    }
    UNPOISON(piece, bytes);
    memset(piece, 0, bytes); /* a kept chunk holds the last user's bytes */
    return piece;
}

char *arena_copy_text(struct arena *arena, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = arena_alloc(arena, bytes, 1);

    if (copy != NULL) {
        memcpy(copy, text, bytes);
    }
    return copy;
}

char *arena_format(struct arena *arena, const char *format, ...)
{
    va_list args;
    va_list again;

    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = len < 0 ? NULL : arena_alloc(arena, (size_t)len + 1, 1);
    if (text != NULL) {
        (void)vsnprintf(text, (size_t)len + 1, format, again);
    }
    va_end(again);
    return text;
}

enum err arena_why(const struct arena *arena)
{
    return arena->why;
}

static void reset(struct arena *arena, int wipe)
{
    struct chunk *kept = NULL;

    while (arena->current != NULL) {
        struct chunk *chunk = arena->current;
        arena->current = chunk->next;
        UNPOISON(chunk->data, chunk->capacity);
        if (wipe) {
            mem_wipe(chunk->data, chunk->used);
        }
        /* The first chunk that is small enough to keep; walking goes from the latest, which is the largest. */
        if (kept == NULL && chunk->capacity <= KEPT_BYTES) {
            kept = chunk;
        } else {
            arena->held_bytes -= chunk->capacity;
            chunk_free(chunk);
        }
    }
    if (kept != NULL) {
        kept->next = NULL;
        kept->used = 0;
        POISON(kept->data, kept->capacity);
    }
    arena->current = kept;
    arena->used_bytes = 0;
    arena->why = ERR_NONE;
}

void arena_reset(struct arena *arena)
{
    reset(arena, 0);
}

void arena_reset_wiped(struct arena *arena)
{
    reset(arena, 1);
}

size_t arena_used_bytes(const struct arena *arena)
{
    return arena->used_bytes;
}

size_t arena_peak_bytes(const struct arena *arena)
{
    return arena->peak_bytes;
}
