/* id_list_private.h: row ids one after another, in memory that grows. */
#ifndef SERVER_STORE_ID_LIST_PRIVATE_H
#define SERVER_STORE_ID_LIST_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/mem.h"

struct id_list {
    int64_t *ids; /* mem_free */
    size_t n, room;
};

/* False, and the list as before, if memory is spent. */
static inline bool id_list_append(struct id_list *list, int64_t id)
{
    if (list->n == list->room) {
        size_t room = list->room == 0 ? 1024 : 2 * list->room;
        int64_t *more = mem_resize(list->ids, room, sizeof *more);
        if (more == NULL) {
            return false;
        }
        list->ids = more;
        list->room = room;
    }
    list->ids[list->n++] = id;
    return true;
}

#endif
