/*
 * long_work.h: how a use case that takes minutes speaks with whoever runs it: how far it is, whether it shall stop.
 */
#ifndef SERVER_GALLERY_LONG_WORK_H
#define SERVER_GALLERY_LONG_WORK_H

#include <stdint.h>

#include "core/base/cancel.h"

struct long_work {
    /* both may be NULL; called on the worker's thread */
    void (*progress)(void *context, int64_t done, int64_t total, const char *unit);
    void (*stage)(void *context,
                  const char *stage); /* "embedding", "indexing", "switching", "switched"; static texts */
    void *context;
    struct cancel *cancel; /* may be NULL; polled per batch: ERR_CANCELLED */
    const char *actor;     /* for the audit log */
};

static inline void long_work_progress(const struct long_work *work, int64_t done, int64_t total, const char *unit)
{
    if (work->progress != NULL) {
        work->progress(work->context, done, total, unit);
    }
}

static inline void long_work_stage(const struct long_work *work, const char *stage)
{
    if (work->stage != NULL) {
        work->stage(work->context, stage);
    }
}

#endif
