/*
 * enroll_rows.c DATA FACES QUERIES: enrolls synthetic faces (tests/bench/index/faces.h) into the collection "default" of a data
 * folder that no daemon uses, four a person, and prints queries, each a JSON array: a new photo of somebody enrolled.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "server/store/collection_rows.h"
#include "server/store/enroll.h"
#include "server/store/model_rows.h"
#include "tests/bench/index/faces.h"

enum {
    PEOPLE_AT_ONCE = 64
};

static struct err_note note;

static void must(enum err err)
{
    if (err != ERR_NONE) {
        (void)fprintf(stderr, "enroll_rows: %s\n", note.text[0] == '\0' ? err_word(err) : note.text);
        exit(1);
    }
}

static void enroll_people(struct store *store, const struct enroll *like, size_t dim, size_t first, size_t n,
                          struct arena *mem)
{
    struct enroll whats[PEOPLE_AT_ONCE];
    struct enrolled enrolled[PEOPLE_AT_ONCE];
    struct enroll_face *faces = ARENA_ARRAY(mem, struct enroll_face, n * FACES_A_PERSON);
    float *vectors = arena_alloc(mem, n * FACES_A_PERSON * dim, sizeof(float));
    int to_blame = 0;

    must(faces == NULL || vectors == NULL ? ERR_NOMEM : ERR_NONE);
    for (size_t i = 0; i < n; i++) {
        whats[i] = *like;
        whats[i].subject_name = arena_format(mem, "person%zu", first + i);
        whats[i].metadata = arena_format(mem, "{\"site\":\"s%zu\"}", (first + i) % 100);
        whats[i].faces = faces + i * FACES_A_PERSON;
        whats[i].n_faces = FACES_A_PERSON;
        for (size_t j = 0; j < FACES_A_PERSON; j++) {
            float *vector = vectors + (i * FACES_A_PERSON + j) * dim;
            face_make(dim, first + i, j, vector);
            faces[i * FACES_A_PERSON + j] =
                (struct enroll_face){.source = FACE_FROM_EMBEDDING, .embedding = vector, .norm = 1};
        }
    }
    must(store_enroll_many(store, whats, (int)n, NULL, mem, enrolled, &to_blame, &note));
}

int main(int argc, char **argv)
{
    struct store *store = NULL;
    struct collection_row collection = {0};
    struct model_row model = {0};
    char path[4096];

    if (argc != 4) {
        (void)fprintf(stderr, "usage: enroll_rows DATA FACES QUERIES\n");
        return 2;
    }
    const size_t n_people = (size_t)strtoul(argv[2], NULL, 10) / FACES_A_PERSON;
    const size_t n_queries = (size_t)strtoul(argv[3], NULL, 10);
    struct arena *mem = arena_new((size_t)256 << 20);
    (void)snprintf(path, sizeof path, "%s/arcfaced.db", argv[1]);
    must(mem == NULL ? ERR_NOMEM : store_open(path, NULL, &store, &note));
    must(store_collection_find(store, "default", mem, &collection, &note));
    must(store_model_get(store, collection.model_id, mem, &model, &note));
    const size_t dim = (size_t)model.dim;
    const struct enroll like = {.collection_id = collection.id, .model_id = model.id, .actor = "bench"};
    for (size_t first = 0; first < n_people; first += PEOPLE_AT_ONCE) {
        size_t left = n_people - first;
        struct arena *some = arena_new((size_t)64 << 20);
        must(some == NULL ? ERR_NOMEM : ERR_NONE);
        enroll_people(store, &like, dim, first, left < PEOPLE_AT_ONCE ? left : PEOPLE_AT_ONCE, some);
        arena_free(some);
    }
    float *query = mem_new(dim, sizeof(float));
    must(query == NULL ? ERR_NOMEM : ERR_NONE);
    for (size_t q = 0; q < n_queries; q++) {
        face_make(dim, q * (n_people / n_queries), FACES_A_PERSON + q, query);
        for (size_t i = 0; i < dim; i++) {
            (void)printf("%s%.7g", i == 0 ? "[" : ",", (double)query[i]);
        }
        (void)printf("]\n");
    }
    mem_free(query);
    arena_free(mem);
    must(store_close(store, &note));
    return 0;
}
