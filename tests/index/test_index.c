/* test_index.c: the index against a search by hand in double, through adding, removing, ties and refusals. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <setjmp.h>

#include <cmocka.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/random.h"
#include "index/index.h"

/* The gallery as a plain list. */
struct list {
    int dim;
    size_t count;
    int64_t *ids;
    float *vectors;
};

static void random_unit(struct random *random, int dim, float *ret)
{
    double sum = 0;

    for (int i = 0; i < dim; i++) {
        ret[i] = (float)random_normal(random);
        sum += (double)ret[i] * (double)ret[i];
    }
    for (int i = 0; i < dim; i++) {
        ret[i] = (float)(ret[i] / sqrt(sum));
    }
}

/* Four entries of ±1/2: unit length and every cosine a multiple of 1/4, without any rounding, so that ties abound. */
static void random_quarters(struct random *random, int dim, float *ret)
{
    memset(ret, 0, (size_t)dim * sizeof *ret);
    for (int set = 0; set < 4;) {
        size_t i = (size_t)random_below(random, (uint64_t)dim);
        if (ret[i] == 0) {
            ret[i] = random_below(random, 2) ? 0.5F : -0.5F;
            set++;
        }
    }
}

static double cosine_of(const struct list *list, size_t i, const float *query)
{
    double sum = 0;

    for (int j = 0; j < list->dim; j++) {
        sum += (double)query[j] * (double)list->vectors[i * (size_t)list->dim + (size_t)j];
    }
    return sum;
}

struct scored {
    int64_t id;
    double cosine;
};

static int by_cosine_then_id(const void *left, const void *right)
{
    const struct scored *a = left;
    const struct scored *b = right;

    if (a->cosine != b->cosine) {
        return a->cosine > b->cosine ? -1 : 1;
    }
    return a->id < b->id ? -1 : a->id > b->id;
}

/* Compares one search with the list.  exact: the arithmetic has no rounding, so ids and order must be equal. */
static void compare(struct index *index, const struct list *list, const float *query, int k, float min_cosine,
                    bool exact, const char *where)
{
    const double slack = exact ? 0 : 1e-5;
    struct scored *expected = calloc(list->count + 1, sizeof *expected);
    struct index_hit *hits = calloc((size_t)k, sizeof *hits);
    struct err_note note = {0};
    size_t within = 0;
    int count = -1;

    for (size_t i = 0; i < list->count; i++) {
        expected[i] = (struct scored){.id = list->ids[i], .cosine = cosine_of(list, i, query)};
    }
    qsort(expected, list->count, sizeof *expected, by_cosine_then_id);
    while (within < list->count && within < (size_t)k && expected[within].cosine >= (double)min_cosine + slack) {
        within++;
    }
    if (index_search(index, query, k, min_cosine, hits, &count, &note) != ERR_NONE) {
        fail_msg("%s: %s", where, note.text);
    }
    if (count < (int)within || count > k || (exact && count != (int)within)) {
        fail_msg("%s: k %d, least cosine %g: %d hits, not %zu", where, k, (double)min_cosine, count, within);
    }
    for (int i = 0; i < count; i++) {
        bool ordered = i == 0 || hits[i - 1].cosine > hits[i].cosine ||
                       (hits[i - 1].cosine == hits[i].cosine && hits[i - 1].id < hits[i].id);
        if (!ordered || hits[i].cosine < min_cosine || (exact && hits[i].id != expected[i].id) ||
            fabs((double)hits[i].cosine - expected[i].cosine) > slack) {
            fail_msg("%s: k %d: hit %d is %" PRId64 " with %.9g, not %" PRId64 " with %.9g", where, k, i, hits[i].id,
                     (double)hits[i].cosine, expected[i].id, expected[i].cosine);
        }
    }
    free(hits);
    free(expected);
}

struct row {
    int dim;
    size_t n;          /* added in all */
    int twins_percent; /* vectors that repeat an earlier one */
    bool exact;        /* quarters, not random directions */
};

static void add_all(struct index *index, struct list *list, const struct row *row, struct random *random)
{
    for (size_t i = 0; i < row->n; i++) {
        float *vector = list->vectors + i * (size_t)row->dim;
        if (i > 0 && random_below(random, 100) < (uint64_t)row->twins_percent) {
            memcpy(vector, list->vectors + random_below(random, i) * (size_t)row->dim,
                   (size_t)row->dim * sizeof(float));
        } else if (row->exact) {
            random_quarters(random, row->dim, vector);
        } else {
            random_unit(random, row->dim, vector);
        }
        /* Ids in no order, with gaps, and very large. */
        list->ids[i] = (int64_t)((i * 7919 + 13) % 100003) * (i % 5 == 0 ? 1000000007LL : 1);
    }
    for (size_t i = 0; i < row->n;) {
        size_t batch = 1 + (size_t)random_below(random, row->n);
        batch = batch < row->n - i ? batch : row->n - i;
        assert_int_equal(index_add(index, list->ids + i, list->vectors + i * (size_t)row->dim, batch, NULL), ERR_NONE);
        i += batch;
    }
    list->count = row->n;
}

/* Removes about a share of the list from both, in batches, with unknown ids among them. */
static void remove_some(struct index *index, struct list *list, uint64_t percent, struct random *random)
{
    for (size_t i = 0; i < list->count;) {
        if (random_below(random, 100) >= percent) {
            i++;
            continue;
        }
        int64_t gone[2] = {list->ids[i], INT64_MAX - (int64_t)i};
        size_t removed = 9;
        assert_int_equal(index_remove(index, gone, 2, &removed, NULL), ERR_NONE);
        assert_int_equal(removed, 1);
        list->count--;
        list->ids[i] = list->ids[list->count];
        memmove(list->vectors + i * (size_t)list->dim, list->vectors + list->count * (size_t)list->dim,
                (size_t)list->dim * sizeof(float));
    }
}

static void search_all_ways(struct index *index, const struct list *list, const struct row *row, struct random *random,
                            const char *where)
{
    static const int ks[] = {1, 2, 7, 57, 58, 59, 100, 5000};
    static const float least[] = {-1.5F, -0.25F, 0.0F, 0.25F, 0.5F, 1.5F};
    float query[512];

    assert_int_equal(index_count(index), (int64_t)list->count);
    for (size_t i = 0; i < sizeof ks / sizeof *ks; i++) {
        for (size_t j = 0; j < sizeof least / sizeof *least; j++) {
            if (row->exact) {
                random_quarters(random, row->dim, query);
            } else {
                random_unit(random, row->dim, query);
            }
            compare(index, list, query, ks[i], least[j], row->exact, where);
        }
    }
    for (size_t i = 0; i < list->count; i += 1 + list->count / 20) {
        float copy[512];
        assert_int_equal(index_get(index, list->ids[i], copy, NULL), ERR_NONE);
        assert_memory_equal(copy, list->vectors + i * (size_t)row->dim, (size_t)row->dim * sizeof(float));
        compare(index, list, copy, 3, 0.9F, row->exact, where);
    }
}

static void test_against_double(void **state)
{
    static const struct row rows[] = {
        {1, 40, 0, false},    {2, 300, 0, false},   {17, 63, 10, false},  {128, 900, 0, false}, {128, 2000, 30, false},
        {512, 700, 5, false}, {4, 500, 0, true},    {5, 1500, 0, true},   {8, 64, 50, true},    {128, 3000, 20, true},
        {512, 400, 90, true}, {512, 65, 100, true}, {128, 4000, 0, true},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct random random = random_seeded(11, i);
        struct list list = {.dim = rows[i].dim};
        struct index *index = NULL;
        char where[64];

        list.ids = calloc(rows[i].n, sizeof *list.ids);
        list.vectors = calloc(rows[i].n * (size_t)rows[i].dim, sizeof(float));
        assert_int_equal(index_new(rows[i].dim, &index, NULL), ERR_NONE);
        assert_int_equal(index_dim(index), rows[i].dim);
        for (int round = 0; round < 2; round++) {
            add_all(index, &list, &rows[i], &random);
            (void)snprintf(where, sizeof where, "row %zu, round %d, full", i, round);
            search_all_ways(index, &list, &rows[i], &random, where);
            remove_some(index, &list, 30, &random);
            (void)snprintf(where, sizeof where, "row %zu, round %d, after removals", i, round);
            search_all_ways(index, &list, &rows[i], &random, where);
            remove_some(index, &list, 85, &random); /* more spare than live rows: they are cut off */
            (void)snprintf(where, sizeof where, "row %zu, round %d, nearly empty", i, round);
            search_all_ways(index, &list, &rows[i], &random, where);
            remove_some(index, &list, 100, &random);
            assert_int_equal(index_count(index), 0);
        }
        index_free(index);
        free(list.ids);
        free(list.vectors);
        assert_int_equal(mem_live_blocks(), 0);
    }
}

static void test_empty_index(void **state)
{
    const float query[2] = {1, 0};
    struct index *index = NULL;
    struct index_hit hit;
    float vector[2];
    int count = 9;

    assert_int_equal(index_new(2, &index, NULL), ERR_NONE);
    assert_int_equal(index_search(index, query, 1, -1, &hit, &count, NULL), ERR_NONE);
    assert_int_equal(count, 0);
    assert_int_equal(index_get(index, 1, vector, NULL), ERR_NOT_FOUND);
    assert_int_equal(index_remove(index, (int64_t[]){1, 2}, 2, NULL, NULL), ERR_NONE);
    assert_int_equal(index_add(index, NULL, NULL, 0, NULL), ERR_NONE);
    assert_int_equal(index_count(index), 0);
    index_free(index);
    index_free(NULL);
    assert_int_equal(mem_live_blocks(), 0);
}

static void test_dimensions(void **state)
{
    static const struct {
        int dim;
        enum err err;
    } rows[] = {{-1, ERR_MISUSE}, {0, ERR_MISUSE}, {1, ERR_NONE}, {4096, ERR_NONE}, {4097, ERR_MISUSE}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err_note note = {0};
        struct index *index = NULL;
        if (index_new(rows[i].dim, &index, &note) != rows[i].err || (index == NULL) != (rows[i].err != ERR_NONE) ||
            (note.text[0] == '\0') != (rows[i].err == ERR_NONE)) {
            fail_msg("row %zu: \"%s\"", i, note.text);
        }
        index_free(index);
    }
    assert_int_equal(mem_live_blocks(), 0);
}

/* Two vectors of dimension 2 are offered beside id 5, which is there; a refusal must leave that alone. */
static void test_refused_vectors(void **state)
{
    static const struct {
        int64_t ids[2];
        float vectors[4];
        enum err err;
        const char *says;
    } rows[] = {
        {{1, 2}, {1, 0, NAN, 0}, ERR_MISUSE, "id 2: a vector to add holds a value that is not a finite number"},
        {{1, 2}, {1, 0, 0, INFINITY}, ERR_MISUSE, "not a finite"},
        {{1, 2}, {1, 0, 3e38F, -INFINITY}, ERR_MISUSE, "not a finite"},
        {{1, 2}, {1, 0, 0, 0}, ERR_MISUSE, "length 0"},
        {{1, 2}, {1, 0, 1.002F, 0}, ERR_MISUSE, "length 1.002"},
        {{1, 2}, {1, 0, 0.998F, 0}, ERR_MISUSE, "length 0.998"},
        {{1, 2}, {1, 0, 3e38F, 3e38F}, ERR_MISUSE, "length"},
        {{1, -2}, {1, 0, 0, 1}, ERR_MISUSE, "id -2 is negative"},
        {{1, 5}, {1, 0, 0, 1}, ERR_EXISTS, "id 5 is in the index already"},
        {{7, 7}, {1, 0, 0, 1}, ERR_EXISTS, "id 7 stands twice"},
    };
    const float up[2] = {0, 1};
    struct index *index = NULL;

    assert_int_equal(index_new(2, &index, NULL), ERR_NONE);
    assert_int_equal(index_add(index, (int64_t[]){5}, up, 1, NULL), ERR_NONE);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err_note note = {0};
        struct index_hit hits[4];
        int count = 0;
        enum err err = index_add(index, rows[i].ids, rows[i].vectors, 2, &note);
        if (err != rows[i].err || strstr(note.text, rows[i].says) == NULL) {
            fail_msg("row %zu: %s, \"%s\"", i, err_word(err), note.text);
        }
        assert_int_equal(index_search(index, up, 4, -2, hits, &count, NULL), ERR_NONE);
        if (count != 1 || hits[0].id != 5 || hits[0].cosine != 1.0F || index_count(index) != 1) {
            fail_msg("row %zu changed the index: %d hits", i, count);
        }
    }
    /* Within the tolerance both sides of 1 are fine. */
    assert_int_equal(index_add(index, (int64_t[]){1, 2}, (float[]){0.9992F, 0, 1.0008F, 0}, 2, NULL), ERR_NONE);
    index_free(index);
    assert_int_equal(mem_live_blocks(), 0);
}

static void test_refused_searches(void **state)
{
    static const struct {
        float query[2];
        int k;
        float min_cosine;
    } rows[] = {
        {{1, 0}, 0, 0}, {{1, 0}, -1, 0}, {{NAN, 1}, 1, 0}, {{INFINITY, 0}, 1, 0},
        {{2, 0}, 1, 0}, {{0, 0}, 1, 0},  {{1, 0}, 1, NAN},
    };
    struct index *index = NULL;

    assert_int_equal(index_new(2, &index, NULL), ERR_NONE);
    assert_int_equal(index_add(index, (int64_t[]){5}, (float[]){0, 1}, 1, NULL), ERR_NONE);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err_note note = {0};
        struct index_hit hit = {.id = -7};
        int count = -7;
        enum err err = index_search(index, rows[i].query, rows[i].k, rows[i].min_cosine, &hit, &count, &note);
        if (err != ERR_MISUSE || note.text[0] == '\0' || count != -7 || hit.id != -7) {
            fail_msg("row %zu: %s, count %d", i, err_word(err), count);
        }
    }
    index_free(index);
    assert_int_equal(mem_live_blocks(), 0);
}

/* Fails allocation 0, 1, 2 ... of a change and of a wide search, until each succeeds. */
static void test_out_of_memory(void **state)
{
    enum {
        N = 200,
        DIM = 8
    };
    struct random random = random_seeded(3, 0);
    struct index_hit hits[N];
    float vectors[N * DIM];
    int64_t ids[N];
    struct index *index = NULL;
    int count = 0;
    int failures = 0;

    for (int i = 0; i < N; i++) {
        random_unit(&random, DIM, vectors + (size_t)i * DIM);
        ids[i] = i;
    }
    for (long n = 0;; n++, failures++) {
        mem_fail_at(n);
        enum err err = index_new(DIM, &index, NULL);
        mem_fail_at(-1);
        if (err == ERR_NONE) {
            break;
        }
        assert_int_equal(err, ERR_NOMEM);
        assert_int_equal(mem_live_blocks(), 0);
    }
    for (long n = 0;; n++, failures++) {
        mem_fail_at(n);
        enum err err = index_add(index, ids, vectors, N, NULL);
        mem_fail_at(-1);
        if (err == ERR_NONE) {
            break;
        }
        assert_int_equal(err, ERR_NOMEM);
        assert_int_equal(index_count(index), 0);
    }
    for (long n = 0;; n++, failures++) {
        mem_fail_at(n);
        enum err err = index_search(index, vectors, N, -2, hits, &count, NULL);
        mem_fail_at(-1);
        if (err == ERR_NONE) {
            break;
        }
        assert_int_equal(err, ERR_NOMEM);
        assert_int_equal(count, 0);
    }
    assert_int_equal(count, N);
    assert_true(failures >= 5);
    /* A search for few allocates nothing of ours. */
    mem_fail_at(0);
    assert_int_equal(index_search(index, vectors, 10, -2, hits, &count, NULL), ERR_NONE);
    mem_fail_at(-1);
    assert_int_equal(count, 10);
    assert_true(index_bytes(index) >= sizeof vectors + sizeof ids);
    index_free(index);
    assert_int_equal(mem_live_blocks(), 0);
}

/* Counts where in this process's memory the bytes stand, inverted so that the pattern itself is not found. */
static size_t copies_in_memory(const unsigned char *inverted, size_t n_bytes)
{
    enum {
        CHUNK = 1 << 20
    };
    static unsigned char chunk[CHUNK]; /* not on the heap: the map that it lies in is left out */
    FILE *maps = fopen("/proc/self/maps", "r");
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    char line[512];
    size_t found = 0;

    assert_non_null(maps);
    assert_true(memory >= 0);
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long long from;
        unsigned long long to;
        char mode[5];
        if (sscanf(line, "%llx-%llx %4s", &from, &to, mode) != 3 || mode[0] != 'r' || mode[1] != 'w' ||
            to - from > 256ULL << 20) { /* the shadow of a sanitizer */
            continue;
        }
        while (from < to) {
            size_t want = to - from < CHUNK ? (size_t)(to - from) : CHUNK;
            ssize_t got =
                from <= (uintptr_t)chunk && (uintptr_t)chunk < to ? -1 : pread(memory, chunk, want, (off_t)from);
            for (ssize_t i = 0; i + (ssize_t)n_bytes <= got; i += 4) {
                size_t same = 0;
                while (same < n_bytes && (unsigned char)~chunk[(size_t)i + same] == inverted[same]) {
                    same++;
                }
                found += same == n_bytes;
            }
            from += want;
        }
    }
    close(memory);
    fclose(maps);
    return found;
}

static void test_removed_floats_are_gone(void **state)
{
    enum {
        N = 50,
        DIM = 64,
        ROW = 20
    };
    static float vectors[N * DIM];
    static unsigned char inverted[DIM * sizeof(float)];
    struct random random = random_seeded(23, 0);
    struct index *index = NULL;
    int64_t ids[N];

    for (int i = 0; i < N; i++) {
        random_unit(&random, DIM, vectors + (size_t)i * DIM);
        ids[i] = i;
    }
    for (size_t i = 0; i < sizeof inverted; i++) {
        inverted[i] = (unsigned char)~((const unsigned char *)(vectors + ROW * DIM))[i];
    }
    assert_int_equal(index_new(DIM, &index, NULL), ERR_NONE);
    assert_int_equal(index_add(index, ids, vectors, N, NULL), ERR_NONE);
    mem_wipe(vectors, sizeof vectors);
    assert_int_equal(copies_in_memory(inverted, sizeof inverted),
                     1); /* the search for copies finds one that is there */
    assert_int_equal(index_remove(index, &ids[ROW], 1, NULL, NULL), ERR_NONE);
    assert_int_equal(copies_in_memory(inverted, sizeof inverted), 0);
    index_free(index);
    assert_int_equal(mem_live_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_double),
        cmocka_unit_test(test_empty_index),
        cmocka_unit_test(test_dimensions),
        cmocka_unit_test(test_refused_vectors),
        cmocka_unit_test(test_refused_searches),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_removed_floats_are_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
