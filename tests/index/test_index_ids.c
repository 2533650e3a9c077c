/* test_index_ids.c: whoever holds a view finds in it what lives in it, whatever happens meanwhile. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <setjmp.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "index/index_private.h"

enum {
    DIM = 64,
    SEGMENT = 64,
    ALL = 2 * SEGMENT
};

static struct index *with_all(void)
{
    static float vectors[ALL][DIM];
    struct index *index = NULL;
    int64_t ids[ALL];

    memset(vectors, 0, sizeof vectors);
    for (int i = 0; i < ALL; i++) {
        vectors[i][i % DIM] = 1;
        ids[i] = 1000 + i;
    }
    assert_int_equal(index_new_with(DIM, SEGMENT, scan_best(), &index, NULL), ERR_NONE);
    assert_int_equal(index_add(index, ids, vectors[0], ALL, NULL), ERR_NONE);
    return index;
}

/* Whether the view has every step-th id from a first one, rightly. */
static void assert_finds(const struct view *view, int64_t first, int64_t step)
{
    for (int64_t id = first; id < 1000 + ALL; id += step) {
        struct row_at at;
        if (!index_ids_find(view, id, &at) || view->parts[at.part].segment->ids[at.row] != id) {
            fail_msg("id %lld lives in the view and is not found in it", (long long)id);
        }
    }
}

static void assert_finds_none(const struct view *view, int64_t first, int64_t step)
{
    struct row_at at;

    for (int64_t id = first; id < 1000 + ALL; id += step) {
        assert_false(index_ids_find(view, id, &at));
    }
}

/* The view that is shown after an older one. */
static const struct view *next_view(struct index *index, const struct view *older)
{
    const struct view *view = views_take(&index->views);

    while (view == older) {
        views_drop(&index->views, view);
        (void)usleep(100);
        view = views_take(&index->views);
    }
    return view;
}

/* Those of even numbers; waits for the views that show them. */
static void *remove_half(void *context)
{
    int64_t ids[ALL / 2];

    for (int i = 0; i < ALL / 2; i++) {
        ids[i] = 1000 + 2 * i;
    }
    return index_remove(context, ids, ALL / 2, NULL, NULL) == ERR_NONE ? NULL : context;
}

static void test_removing(void **state)
{
    struct index *index = with_all();
    pthread_t remover;
    void *failed = NULL;

    const struct view *before = views_take(&index->views);
    assert_int_equal(pthread_create(&remover, NULL, remove_half, index), 0);
    const struct view *after = next_view(index, before);
    assert_finds(before, 1000, 1);
    assert_finds(after, 1001, 2);
    assert_finds_none(after, 1000, 2);
    views_drop(&index->views, before);
    views_drop(&index->views, after);
    assert_int_equal(pthread_join(remover, &failed), 0);
    assert_null(failed);
    index_free(index);
    assert_int_equal(mem_live_blocks(), 0);
}

static void *tidy(void *context)
{
    index_tidy(context);
    return NULL;
}

/* Half of the rows of two segments die, as if at once, and the rest is copied into one: a view before the copy, one with it of which
 * the map knows nothing yet, and one that needs no translation. */
static void test_rewriting(void **state)
{
    struct index *index = with_all();
    pthread_t tidier;
    int64_t ids[ALL / 2];

    for (int i = 0; i < ALL / 2; i++) {
        ids[i] = 1000 + 2 * i;
    }
    index_lock_changing(index);
    for (int i = 0; i < ALL / 2; i++) { /* without index_remove, which would begin to copy by itself */
        size_t location;
        assert_true(id_map_find(&index->map, ids[i], &location));
        segment_kill(index->slots[location / SEGMENT_MAX_ROWS], location % SEGMENT_MAX_ROWS);
        id_map_remove(&index->map, ids[i]);
    }
    index_unlock_changing(index);
    const struct view *before = views_take(&index->views);
    assert_int_equal(before->n_parts, 2);
    assert_int_equal(pthread_create(&tidier, NULL, tidy, index), 0);
    const struct view *copied = next_view(index, before);
    assert_int_equal(copied->n_parts, 1);
    assert_non_null(copied->landed);
    assert_finds(before, 1001, 2);
    assert_finds(copied, 1001, 2);
    views_drop(&index->views, before);
    const struct view *known = next_view(index, copied);
    assert_null(known->landed);
    assert_finds(copied, 1001, 2);
    assert_finds(known, 1001, 2);
    assert_finds_none(known, 1000, 2);
    views_drop(&index->views, copied);
    views_drop(&index->views, known);
    assert_int_equal(pthread_join(tidier, NULL), 0);
    index_free(index);
    assert_int_equal(mem_live_blocks(), 0);
}

static void *add_many(void *context)
{
    float vector[DIM] = {1};

    for (int64_t id = 5000; id < 5100; id++) {
        if (index_add(context, &id, vector, 1, NULL) != ERR_NONE) {
            return context;
        }
    }
    return NULL;
}

/* The map is made anew, and its old self lives as long as a view that has it. */
static void test_growing(void **state)
{
    struct index *index = with_all();
    pthread_t adder;
    void *failed = NULL;

    const struct view *before = views_take(&index->views);
    const size_t n_slots = before->ids.n_slots;
    assert_int_equal(pthread_create(&adder, NULL, add_many, index), 0);
    for (bool grown = false; !grown; (void)usleep(100)) {
        const struct view *now = views_take(&index->views);
        grown = now->ids.n_slots > n_slots;
        assert_finds(now, 1000, 1);
        views_drop(&index->views, now);
    }
    assert_finds(before, 1000, 1);
    views_drop(&index->views, before);
    assert_int_equal(pthread_join(adder, &failed), 0);
    assert_null(failed);
    assert_int_equal(index_count(index), ALL + 100);
    index_free(index);
    assert_int_equal(mem_live_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_removing), cmocka_unit_test(test_rewriting),
                                       cmocka_unit_test(test_growing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
