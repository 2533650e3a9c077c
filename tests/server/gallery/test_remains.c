/* test_remains.c: what was erased is found wherever a piece of it lies, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/random.h"
#include "server/gallery/remains.h"

#define THING 500
#define FILE_BYTES ((9 << 20) + 7)

static char folder[64];
static unsigned char thing[THING];
static unsigned char *content;

static int make_all(void **state)
{
    struct random random = random_seeded(3, 1);

    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/test_remains_XXXXXX");
    content = mem_new(FILE_BYTES, 1);
    if (mkdtemp(folder) == NULL || content == NULL) {
        return -1;
    }
    for (int i = 0; i < THING; i++) {
        thing[i] = (unsigned char)random_below(&random, 256);
    }
    return 0;
}

static int remove_all(void **state)
{
    char command[128];

    (void)state;
    mem_free(content);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static void put_file(const char *name, const void *bytes, size_t n_bytes)
{
    char path[128];

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n_bytes, file), n_bytes);
    assert_int_equal(fclose(file), 0);
}

struct last {
    int n;
    char file[64];
    int64_t offset, n_pieces;
};

static void remember(void *context, const struct remains_found *found)
{
    struct last *last = context;

    last->n++;
    (void)snprintf(last->file, sizeof last->file, "%s", found->file);
    last->offset = found->offset;
    last->n_pieces = found->n_pieces;
}

static struct last scan(struct remains *remains)
{
    struct last last = {0};
    struct remains_summary summary;
    struct err_note note = {0};

    assert_int_equal(remains_scan(remains, folder, remember, &last, &summary, &note), ERR_NONE);
    assert_int_equal(summary.n_found, last.n);
    return last;
}

/* Pieces at the borders of what is read at once, at the first and at the last byte. */
static void test_places(void **state)
{
    static const size_t places[] = {
        0, 1, (4 << 20) - 31, (4 << 20) - 1, 4 << 20, (4 << 20) + 1, (8 << 20) - 40, FILE_BYTES - THING};
    struct remains *remains = NULL;

    (void)state;
    assert_int_equal(remains_new(&remains), ERR_NONE);
    assert_int_equal(remains_add(remains, "thing", thing, THING), ERR_NONE);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        memset(content, 0xA5, FILE_BYTES);
        memcpy(content + places[i], thing, THING);
        put_file("big", content, FILE_BYTES);
        struct last last = scan(remains);
        if (last.n != 1 || last.offset != (int64_t)places[i] || last.n_pieces != THING / REMAINS_PIECE) {
            fail_msg("place %zu: %d found, %lld pieces, the first at %lld", places[i], last.n, (long long)last.n_pieces,
                     (long long)last.offset);
        }
    }
    /* Twice in one file: its pieces are counted once. */
    memcpy(content + 100, thing, THING);
    put_file("big", content, FILE_BYTES);
    struct last twice = scan(remains);
    assert_int_equal(twice.n_pieces, THING / REMAINS_PIECE);
    assert_int_equal(twice.offset, 100);
    /* Half of it, from its middle; and less than a piece for certain. */
    memset(content, 0xA5, FILE_BYTES);
    memcpy(content + 5000, thing + 101, 2 * REMAINS_PIECE - 1);
    put_file("big", content, FILE_BYTES);
    assert_int_equal(scan(remains).n_pieces, 1);
    memcpy(content + 5000, content, 2 * REMAINS_PIECE);
    memcpy(content + 5000, thing + 97, REMAINS_PIECE - 2);
    put_file("big", content, FILE_BYTES);
    assert_int_equal(scan(remains).n, 0);
    remains_free(remains);
}

static void test_folders(void **state)
{
    char path[128];
    char outside[128];
    struct remains *remains = NULL;

    (void)state;
    assert_int_equal(remains_new(&remains), ERR_NONE);
    assert_int_equal(remains_add(remains, "thing", thing, THING), ERR_NONE);
    (void)snprintf(path, sizeof path, "%s/a", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    put_file("a/.hidden", thing, THING);
    struct last last = scan(remains);
    assert_int_equal(last.n, 1);
    assert_string_equal(last.file, "a/.hidden");
    /* A link leads out of the folder: what lies there is not the folder's. */
    (void)snprintf(outside, sizeof outside, "%s.outside", folder);
    (void)snprintf(path, sizeof path, "%s/a/.hidden", folder);
    assert_int_equal(rename(path, outside), 0);
    assert_int_equal(symlink(outside, path), 0);
    assert_int_equal(scan(remains).n, 0);
    assert_int_equal(unlink(outside), 0);
    remains_free(remains);
}

/* A vector from JSON is looked for as it is stored: as it was sent, and at unit length. */
static void test_json(void **state)
{
    char json[2048];
    char path[128];
    float sent[16];
    float unit[16];
    double square = 0;
    struct remains *remains = NULL;
    struct err_note note = {0};

    (void)state;
    int len = snprintf(json, sizeof json, "{\"type\":\"header\"}\n{\"id\":\"x\",\"faces\":[{\"embedding\":[");
    for (int i = 0; i < 16; i++) {
        sent[i] = (float)(i * i - 50) / 7;
        square += (double)sent[i] * (double)sent[i];
        len += snprintf(json + len, sizeof json - (size_t)len, "%s%.9g", i == 0 ? "" : ",", (double)sent[i]);
    }
    len += snprintf(json + len, sizeof json - (size_t)len, "],\"box\":[1,2,3,4]}]}\n");
    for (int i = 0; i < 16; i++) {
        unit[i] = (float)((double)sent[i] / sqrt(square));
    }
    put_file("../test_remains.ndjson", json, (size_t)len);
    (void)snprintf(path, sizeof path, "%s/../test_remains.ndjson", folder);
    assert_int_equal(remains_new(&remains), ERR_NONE);
    assert_int_equal(remains_add_file(remains, path, &note), ERR_NONE);
    assert_int_equal(remains_count(remains), 2);
    put_file("rows", unit, sizeof unit);
    assert_int_equal(scan(remains).n, 1);
    put_file("rows", sent, sizeof sent);
    assert_int_equal(scan(remains).n, 1);
    put_file("rows", json, (size_t)len);
    assert_int_equal(scan(remains).n, 0);
    /* One that has unit length is one thing. */
    len = snprintf(json, sizeof json, "{\"embedding\":[");
    for (int i = 0; i < 16; i++) {
        len += snprintf(json + len, sizeof json - (size_t)len, "%s%.9g", i == 0 ? "" : ",", (double)unit[i]);
    }
    len += snprintf(json + len, sizeof json - (size_t)len, "]}");
    put_file("../test_remains.ndjson", json, (size_t)len);
    assert_int_equal(remains_add_file(remains, path, &note), ERR_NONE);
    assert_int_equal(remains_count(remains), 3);
    put_file("../test_remains.ndjson", "{\"embedding\":[1,2,3]}", 21);
    assert_int_equal(remains_add_file(remains, path, &note), ERR_FORMAT);
    assert_int_equal(unlink(path), 0);
    remains_free(remains);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_places, make_all, remove_all),
        cmocka_unit_test_setup_teardown(test_folders, make_all, remove_all),
        cmocka_unit_test_setup_teardown(test_json, make_all, remove_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
