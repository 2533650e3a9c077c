/* test_store_threads.c: two threads write while a third reads; each sees whole changes only. */
#include <pthread.h>

#include "tests/server/store/fixture.h"

struct writer {
    struct fixture *f;
    int n;
};

static void *writer_run(void *context)
{
    struct writer *writer = context;
    struct arena *mem = arena_new((size_t)1 << 20);

    for (int i = 0; i < writer->n; i++) {
        struct enrolled enrolled;
        struct receipt receipt;
        char name[32];
        (void)snprintf(name, sizeof name, "person %d", i);
        if (enroll_sample(writer->f, name, (uint64_t)i, mem, &enrolled, NULL) != ERR_NONE) {
            break;
        }
        if (i % 3 == 0 &&
            store_face_delete(writer->f->store, enrolled.faces[0].id, "key1", NULL, mem, &receipt, NULL) != ERR_NONE) {
            break;
        }
        arena_reset(mem);
    }
    arena_free(mem);
    return NULL;
}

static enum err visit_count(void *context, int64_t face_id, const float *vector, int dim)
{
    int64_t *count = context;

    if (face_id <= 0 || dim != DIM || !isfinite(vector[0])) {
        return ERR_CORRUPT;
    }
    (*count)++;
    return ERR_NONE;
}

static void test_threads(void **state)
{
    struct fixture f;
    struct writer writers[2];
    pthread_t threads[2];

    (void)state;
    fixture_open(&f);
    for (int i = 0; i < 2; i++) {
        writers[i] = (struct writer){.f = &f, .n = 60};
        assert_int_equal(pthread_create(&threads[i], NULL, writer_run, &writers[i]), 0);
    }
    for (int i = 0; i < 40; i++) {
        int64_t count = 0;
        struct collection_counts counts;
        GOOD(store_embedding_each(f.store, f.collection_id, f.model_id, 0, visit_count, &count, &note));
        GOOD(store_collection_count(f.store, f.collection_id, &counts, &note));
        assert_true(counts.n_faces <= 120);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    struct collection_counts counts;
    int64_t n_audit;
    GOOD(store_collection_count(f.store, f.collection_id, &counts, &note));
    assert_int_equal(counts.n_subjects, 60);
    assert_int_equal(counts.n_faces, 80);
    GOOD(store_audit_verify(f.store, &n_audit, NULL, &note));
    assert_int_equal(n_audit, 2 + 120 + 40);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
