/*
 * cancel.h: a request to stop, set by one thread and polled by another: per training step, per batch of re-embedding.
 */
#ifndef CORE_BASE_CANCEL_H
#define CORE_BASE_CANCEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct cancel {
    atomic_bool asked;
};

static inline void cancel_ask(struct cancel *cancel)
{
    atomic_store(&cancel->asked, true);
}

/* NULL means that nobody can ask. */
static inline bool cancel_asked(struct cancel *cancel)
{
    return cancel != NULL && atomic_load_explicit(&cancel->asked, memory_order_relaxed);
}

#endif
