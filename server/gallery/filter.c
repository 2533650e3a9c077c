/* filter.c: a handful of answers, the oldest makes room. */
#include "server/gallery/filter.h"

#include <pthread.h>
#include <string.h>

#include "core/base/mem.h"
#include "server/store/anchor_rows.h"
#include "server/store/filter_rows.h"

enum {
    KEPT = 8
};

struct kept {
    int64_t collection_id;
    int64_t audit_id; /* the moment it is of, or an earlier one */
    char *filter;     /* NULL: nothing is kept here */
    struct filtered *filtered;
};

struct filters {
    struct store *store; /* immutable */

    pthread_mutex_t lock;
    /* guarded by lock */
    struct kept kept[KEPT];
    int next; /* to make room */
};

enum err filters_new(struct store *store, struct filters **ret, struct err_note *note)
{
    struct filters *filters = MEM_NEW(struct filters);

    if (filters == NULL || pthread_mutex_init(&filters->lock, NULL) != 0) {
        mem_free(filters);
        return ERR_SAY(note, ERR_NOMEM, "no memory for filters");
    }
    filters->store = store;
    *ret = filters;
    return ERR_NONE;
}

/* With the lock held. */
static void unref(struct filtered *filtered)
{
    if (--filtered->refs == 0) {
        mem_free(filtered->ids);
        mem_free(filtered);
    }
}

static void forget(struct kept *kept)
{
    if (kept->filtered != NULL) {
        unref(kept->filtered);
    }
    mem_free(kept->filter);
    *kept = (struct kept){0};
}

void filters_free(struct filters *filters)
{
    if (filters == NULL) {
        return;
    }
    for (int i = 0; i < KEPT; i++) {
        forget(&filters->kept[i]);
    }
    (void)pthread_mutex_destroy(&filters->lock);
    mem_free(filters);
}

/* What is kept of this very moment, with one more reference, or NULL; what is kept of an earlier one goes. */
static struct filtered *look_up(struct filters *filters, int64_t collection_id, const char *filter, int64_t audit_id)
{
    struct filtered *found = NULL;

    (void)pthread_mutex_lock(&filters->lock);
    for (int i = 0; i < KEPT && found == NULL; i++) {
        struct kept *kept = &filters->kept[i];
        if (kept->filter == NULL || kept->collection_id != collection_id || strcmp(kept->filter, filter) != 0) {
            continue;
        }
        if (kept->audit_id == audit_id) {
            found = kept->filtered;
            found->refs++;
        } else {
            forget(kept);
        }
    }
    (void)pthread_mutex_unlock(&filters->lock);
    return found;
}

/* Without memory for it, nothing is kept. */
static void keep(struct filters *filters, struct kept what)
{
    what.filter = mem_copy_text(what.filter);
    if (what.filter == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&filters->lock);
    forget(&filters->kept[filters->next]);
    what.filtered->refs++;
    filters->kept[filters->next] = what;
    filters->next = (filters->next + 1) % KEPT;
    (void)pthread_mutex_unlock(&filters->lock);
}

enum err filters_get(struct filters *filters, int64_t collection_id, const char *filter, struct filtered **ret,
                     struct err_note *note)
{
    struct store_anchor anchor = {0};

    enum err err = store_anchor_now(filters->store, &anchor, note);
    if (err != ERR_NONE) {
        return err;
    }
    struct filtered *filtered = look_up(filters, collection_id, filter, anchor.audit_id);
    if (filtered == NULL) {
        filtered = MEM_NEW(struct filtered);
        if (filtered == NULL) {
            return ERR_SAY(note, ERR_NOMEM, "no memory for a filter");
        }
        filtered->refs = 1;
        err = store_filter_faces(filters->store, collection_id, filter, &filtered->ids, &filtered->n, note);
        if (err != ERR_NONE) {
            mem_free(filtered);
            return err;
        }
        keep(filters, (struct kept){.collection_id = collection_id,
                                    .audit_id = anchor.audit_id,
                                    .filter = (char *)(uintptr_t)filter,
                                    .filtered = filtered});
    }
    *ret = filtered;
    return ERR_NONE;
}

void filters_unref(struct filters *filters, struct filtered *filtered)
{
    if (filtered == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&filters->lock);
    unref(filtered);
    (void)pthread_mutex_unlock(&filters->lock);
}
