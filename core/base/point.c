/* point.c: dying where a test wants it. */
#include "core/base/point.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char name_armed[64]; /* written before other threads run */
static atomic_bool armed;
static atomic_long left;

void point_arm(const char *text)
{
    const char *colon = strchr(text, ':');
    size_t len = colon == NULL ? strlen(text) : (size_t)(colon - text);

    if (len >= sizeof name_armed) {
        len = sizeof name_armed - 1;
    }
    memcpy(name_armed, text, len);
    name_armed[len] = '\0';
    atomic_store(&left, colon == NULL ? 1 : strtol(colon + 1, NULL, 10));
    atomic_store(&armed, len > 0);
}

void point_reached(const char *name)
{
    if (atomic_load_explicit(&armed, memory_order_relaxed) && strcmp(name_armed, name) == 0 &&
        atomic_fetch_sub(&left, 1) == 1) {
        (void)kill(getpid(), SIGKILL);
        (void)pause(); /* the signal may reach another thread first */
    }
}
