/* test_file.c: whole files in with a limit, out atomically, errors named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)snprintf(folder, sizeof folder, "/tmp/test_file.XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    return rmdir(folder); /* fails if a test leaves anything behind */
}

static const char *in_folder(const char *name)
{
    static char path[2][512];
    static int turn;

    turn = !turn;
    (void)snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static void reads_what_it_wrote(void **state)
{
    size_t before = mem_live_blocks();
    char path[512];
    unsigned char *content = NULL;
    size_t bytes = 9;

    (void)snprintf(path, sizeof path, "%s", in_folder("photo"));
    for (size_t len = 0; len < 100000; len = len * 3 + 1) {
        unsigned char *wanted = mem_new(len + 1, 1);
        memset(wanted, (int)len, len);
        assert_int_equal(file_write(path, wanted, len, NULL), ERR_NONE);
        assert_int_equal(file_read(path, len, &content, &bytes, NULL), ERR_NONE);
        assert_int_equal(bytes, len);
        assert_memory_equal(content, wanted, len);
        assert_int_equal(content[len], 0);
        mem_free(content);
        mem_free(wanted);
    }
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    assert_true(file_exists(path));
    assert_int_equal(file_remove(path, NULL), ERR_NONE);
    assert_int_equal(file_remove(path, NULL), ERR_NONE);
    assert_false(file_exists(path));
    assert_int_equal(mem_live_blocks(), before);
}

static void keeps_to_the_limit(void **state)
{
    size_t before = mem_live_blocks();
    struct err_note note = {0};
    unsigned char *content = NULL;
    const unsigned char *mapped = NULL;
    size_t bytes = 9;
    char path[512];

    (void)snprintf(path, sizeof path, "%s", in_folder("ten"));
    assert_int_equal(file_write(path, "0123456789", 10, NULL), ERR_NONE);
    assert_int_equal(file_read(path, 9, &content, &bytes, &note), ERR_LIMIT);
    assert_non_null(strstr(note.text, "10 bytes, the limit is 9"));
    assert_int_equal(file_map(path, 9, &mapped, &bytes, NULL), ERR_LIMIT);
    assert_null(content);
    assert_null(mapped);
    assert_int_equal(bytes, 9);
    assert_int_equal(file_map(path, 10, &mapped, &bytes, NULL), ERR_NONE);
    assert_memory_equal(mapped, "0123456789", 10);
    file_unmap(mapped, bytes);
    file_unmap(NULL, 0);
    assert_int_equal(file_write(path, "", 0, NULL), ERR_NONE);
    assert_int_equal(file_map(path, 10, &mapped, &bytes, NULL), ERR_FORMAT);
    mem_fail_at(0);
    assert_int_equal(file_read(path, 10, &content, &bytes, NULL), ERR_NOMEM);
    mem_fail_at(-1);
    assert_int_equal(file_remove(path, NULL), ERR_NONE);
    assert_int_equal(mem_live_blocks(), before);
}

static void names_the_errors(void **state)
{
    struct err_note note = {0};
    unsigned char *content = NULL;
    size_t bytes = 0;
    char long_path[5000];

    assert_int_equal(file_read(in_folder("none"), 10, &content, &bytes, &note), ERR_NOT_FOUND);
    assert_non_null(strstr(note.text, "none"));
    assert_int_equal(file_read(folder, 10, &content, &bytes, NULL), ERR_FORMAT);
    assert_int_equal(file_write(in_folder("no/such/folder"), "x", 1, NULL), ERR_NOT_FOUND);
    memset(long_path, 'a', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    assert_int_equal(file_write(long_path, "x", 1, NULL), ERR_MISUSE);
    assert_int_equal(folder_make(long_path, NULL), ERR_MISUSE);
    assert_int_equal(folder_make("", NULL), ERR_MISUSE);
    assert_int_equal(folder_sync(in_folder("none"), NULL), ERR_NOT_FOUND);
    assert_null(content);
}

/* Opening a FIFO for reading waits for a writer; a path that an operator mistyped must not hang the daemon. */
static void refuses_a_fifo_at_once(void **state)
{
    char path[512];
    unsigned char *content = NULL;
    size_t bytes = 0;

    (void)snprintf(path, sizeof path, "%s", in_folder("fifo"));
    assert_int_equal(mkfifo(path, 0600), 0);
    (void)alarm(20);
    assert_int_equal(file_read(path, 10, &content, &bytes, NULL), ERR_FORMAT);
    (void)alarm(0);
    assert_int_equal(unlink(path), 0);
}

static void leaves_the_old_file_when_writing_fails(void **state)
{
    char path[512];
    struct stat about;

    (void)snprintf(path, sizeof path, "%s", in_folder("taken"));
    assert_int_equal(mkdir(path, 0700), 0); /* a folder cannot be replaced by a file */
    assert_int_not_equal(file_write(path, "x", 1, NULL), ERR_NONE);
    assert_int_equal(stat(path, &about), 0);
    assert_true(S_ISDIR(about.st_mode));
    assert_int_equal(rmdir(path), 0);
    DIR *listing = opendir(folder);
    struct dirent *entry = NULL;
    while ((entry = readdir(listing)) != NULL) {
        assert_true(entry->d_name[0] == '.'); /* no temporary file is left */
    }
    (void)closedir(listing);
}

#define WRITERS 4
#define WRITES 40
#define CONTENT_BYTES 50000

static void *write_often(void *argument)
{
    const char *letter = argument;
    char path[512];
    unsigned char *content = mem_new(CONTENT_BYTES, 1);
    enum err worst = ERR_NONE;

    (void)snprintf(path, sizeof path, "%s/shared", folder);
    memset(content, *letter, CONTENT_BYTES);
    for (int i = 0; i < WRITES; i++) {
        enum err err = file_write(path, content, CONTENT_BYTES, NULL);
        worst = err != ERR_NONE ? err : worst;
    }
    mem_free(content);
    return worst == ERR_NONE ? argument : NULL;
}

static void replaces_one_file_from_many_threads(void **state)
{
    size_t before = mem_live_blocks();
    static char letters[] = "abcd";
    pthread_t threads[WRITERS];
    char path[512];

    (void)snprintf(path, sizeof path, "%s/shared", folder);
    assert_int_equal(file_write(path, "", 0, NULL), ERR_NONE);
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, write_often, &letters[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_non_null(result);
    }
    unsigned char *content = NULL;
    size_t bytes = 0;
    assert_int_equal(file_read(path, CONTENT_BYTES, &content, &bytes, NULL), ERR_NONE);
    assert_int_equal(bytes, CONTENT_BYTES);
    for (size_t i = 1; i < bytes; i++) {
        if (content[i] != content[0]) {
            fail_msg("byte %zu comes from another writer", i);
        }
    }
    mem_free(content);
    assert_int_equal(file_remove(path, NULL), ERR_NONE);
    assert_int_equal(mem_live_blocks(), before);
}

static void makes_folders(void **state)
{
    assert_int_equal(folder_make(in_folder("a/b//c/"), NULL), ERR_NONE);
    assert_int_equal(folder_make(in_folder("a/b/c"), NULL), ERR_NONE);
    assert_int_equal(folder_sync(in_folder("a/b/c"), NULL), ERR_NONE);
    assert_int_equal(folder_make("/", NULL), ERR_NONE);
    assert_int_equal(file_write(in_folder("a/file"), "x", 1, NULL), ERR_NONE);
    assert_int_equal(folder_make(in_folder("a/file"), NULL), ERR_EXISTS);
    assert_int_not_equal(folder_make(in_folder("a/file/below"), NULL), ERR_NONE);
    assert_int_equal(file_remove(in_folder("a/file"), NULL), ERR_NONE);
    assert_int_equal(rmdir(in_folder("a/b/c")), 0);
    assert_int_equal(rmdir(in_folder("a/b")), 0);
    assert_int_equal(rmdir(in_folder("a")), 0);
}

static void writes_into_the_present_folder(void **state)
{
    char old[4096];

    assert_non_null(getcwd(old, sizeof old));
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(file_write("plain", "x", 1, NULL), ERR_NONE);
    assert_int_equal(file_remove("plain", NULL), ERR_NONE);
    assert_int_equal(chdir(old), 0);
}

static void finds_the_base_name(void **state)
{
    assert_string_equal(file_base_name("/a/b/c.onnx"), "c.onnx");
    assert_string_equal(file_base_name("c.onnx"), "c.onnx");
    assert_string_equal(file_base_name("a/"), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_wrote),
        cmocka_unit_test(keeps_to_the_limit),
        cmocka_unit_test(names_the_errors),
        cmocka_unit_test(refuses_a_fifo_at_once),
        cmocka_unit_test(leaves_the_old_file_when_writing_fails),
        cmocka_unit_test(replaces_one_file_from_many_threads),
        cmocka_unit_test(makes_folders),
        cmocka_unit_test(writes_into_the_present_folder),
        cmocka_unit_test(finds_the_base_name),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
