/* view.c: one lock, held for a few lines. */
#include "index/view.h"

#include <assert.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/size.h"

static void lock(struct views *views)
{
    int failed = pthread_mutex_lock(&views->lock);
    assert(failed == 0);
    (void)failed;
}

static void unlock(struct views *views)
{
    (void)pthread_mutex_unlock(&views->lock);
}

static struct view *view_new(size_t room)
{
    struct view *view = NULL;
    size_t bytes;

    if (size_mul(room, sizeof(struct part), &bytes) && size_add(bytes, sizeof *view, &bytes)) {
        view = mem_new(bytes, 1);
    }
    if (view != NULL) {
        view->room = room;
    }
    return view;
}

bool views_init(struct views *views)
{
    if (pthread_mutex_init(&views->lock, NULL) != 0) {
        return false;
    }
    if (pthread_cond_init(&views->nobody_left, NULL) != 0) {
        (void)pthread_mutex_destroy(&views->lock);
        return false;
    }
    views->unused = NULL;
    views->n_old = 0;
    views->waits = (struct index_waits){0};
    views->now = view_new(0);
    if (views->now == NULL) {
        (void)pthread_cond_destroy(&views->nobody_left);
        (void)pthread_mutex_destroy(&views->lock);
        return false;
    }
    views->now->refs = 1;
    return true;
}

void views_release(struct views *views)
{
    assert(views->n_old == 0);
    while (views->unused != NULL) {
        struct view *view = views->unused;
        views->unused = view->next;
        mem_free(view);
    }
    mem_free(views->now);
    (void)pthread_cond_destroy(&views->nobody_left);
    (void)pthread_mutex_destroy(&views->lock);
}

/* With the lock held.  The present view has one reference of its own, so what reaches zero is old.  True: it was the last of these. */
static bool put_back(struct views *views, struct view *view)
{
    if (--view->refs > 0) {
        return false;
    }
    view->next = views->unused;
    views->unused = view;
    return --views->n_old == 0;
}

/* A reader's lock.  Only who does not get it at once looks at the clock; the counts are guarded by what he then holds. */
static void lock_counted(struct views *views)
{
    if (pthread_mutex_trylock(&views->lock) == 0) {
        views->waits.taken++;
        return;
    }
    int64_t begin = clock_monotonic_ns();
    lock(views);
    int64_t ns = clock_monotonic_ns() - begin;
    views->waits.taken++;
    views->waits.over_10us += ns > 10000;
    views->waits.over_100us += ns > 100000;
    views->waits.over_1ms += ns > 1000000;
    views->waits.longest_ns = ns > views->waits.longest_ns ? ns : views->waits.longest_ns;
}

void views_waits(struct views *views, struct index_waits *ret)
{
    lock(views);
    *ret = views->waits;
    unlock(views);
}

const struct view *views_take(struct views *views)
{
    lock_counted(views);
    struct view *view = views->now;
    view->refs++;
    unlock(views);
    return view;
}

void views_drop(struct views *views, const struct view *view)
{
    lock_counted(views);
    const bool last = put_back(views, (struct view *)view); /* readers get it const; its count is ours */
    unlock(views);
    if (last) { /* not under the lock: the system may give this processor to the writer at once */
        (void)pthread_cond_signal(&views->nobody_left);
    }
}

/* Takes those out that have enough room, up to two, and frees the rest outside the lock. */
bool views_reserve(struct views *views, size_t room)
{
    struct view *kept = NULL;
    size_t n_kept = 0;
    size_t wanted = 0;

    lock(views);
    struct view *all = views->unused;
    views->unused = NULL;
    unlock(views);
    while (all != NULL) {
        struct view *next = all->next;
        if (n_kept < 2 && all->room >= room) {
            all->next = kept;
            kept = all;
            n_kept++;
        } else {
            mem_free(all);
        }
        all = next;
    }
    bool enough = size_add(room, room / 2, &wanted); /* some to spare: segments come one by one */
    while (enough && n_kept < 2) {
        struct view *view = view_new(wanted);
        enough = view != NULL;
        if (enough) {
            view->next = kept;
            kept = view;
            n_kept++;
        }
    }
    lock(views);
    while (kept != NULL) {
        struct view *next = kept->next;
        kept->next = views->unused;
        views->unused = kept;
        kept = next;
    }
    unlock(views);
    return enough;
}

struct view *views_begin(struct views *views, size_t room)
{
    lock(views);
    struct view **link = &views->unused;
    while (*link != NULL && (*link)->room < room) {
        link = &(*link)->next;
    }
    struct view *view = *link;
    assert(view != NULL);
    *link = view->next;
    unlock(views);
    view->n_parts = 0;
    view->count = 0;
    return view;
}

void views_show(struct views *views, struct view *view)
{
    lock(views);
    struct view *old = views->now;
    view->refs = 1;
    views->now = view;
    views->n_old++;
    (void)put_back(views, old); /* the one who waits is this writer */
    unlock(views);
}

void views_wait(struct views *views)
{
    lock(views);
    while (views->n_old > 0) {
        (void)pthread_cond_wait(&views->nobody_left, &views->lock);
    }
    unlock(views);
}
