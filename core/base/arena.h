/*
 * arena.h: memory that dies all at once: a request's, a job's, a loaded graph's.
 *
 * An arena grows by chunks up to its cap and never beyond; what it hands out is zeroed, aligned to 64 bytes and stays in
 * place until reset or free.  There is no free of a single piece.  Under AddressSanitizer each piece has a red zone and
 * is poisoned after the reset.
 * One thread per arena.
 */
#ifndef CORE_BASE_ARENA_H
#define CORE_BASE_ARENA_H

#include <stddef.h>

#include "core/base/err.h"

struct arena;

/*
 * Makes an arena that hands out at most cap_bytes (chunk overhead included); nothing is allocated before the first use
 * but the object itself.  Returns NULL when the heap is empty.
 */
struct arena *arena_new(size_t cap_bytes);
void arena_free(struct arena *arena);

/* Returns count × size zeroed bytes, or NULL at the cap, on overflow, or when the heap is empty (see arena_why). */
void *arena_alloc(struct arena *arena, size_t count, size_t size);
char *arena_copy_text(struct arena *arena, const char *text);

/* printf into the arena; NULL as for arena_alloc. */
char *arena_format(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Says why the last arena_alloc that returned NULL did so: ERR_LIMIT (the cap, or an overflow) or ERR_NOMEM (the heap).
 * A smaller piece that fits afterwards does not hide it, so several pieces may be asked for before any is looked at;
 * arena_reset does.
 */
enum err arena_why(const struct arena *arena);

/* Everything handed out is gone; up to 1 MiB is kept for the next user, the rest goes back to the heap. */
void arena_reset(struct arena *arena);

/* The same, overwriting what was handed out: for memory that held photos, embeddings or keys. */
void arena_reset_wiped(struct arena *arena);

size_t arena_used_bytes(const struct arena *arena);
size_t arena_peak_bytes(const struct arena *arena);

#define ARENA_NEW(arena, type) ((type *)arena_alloc((arena), 1, sizeof(type)))
#define ARENA_ARRAY(arena, type, count) ((type *)arena_alloc((arena), (size_t)(count), sizeof(type)))

#endif
