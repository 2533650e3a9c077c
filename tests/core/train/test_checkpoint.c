/* test_checkpoint.c: what is saved comes back; what is damaged, foreign or half written does not. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/train/checkpoint.h"

static char folder[] = "/tmp/test_checkpoint.XXXXXX";
static const unsigned char run[HASH_SHA256_BYTES] = "this run";
static const unsigned char other_run[HASH_SHA256_BYTES] = "another run";

static float weight[100];
static uint64_t counters[2];

static int n_blocks(struct checkpoint_block *blocks)
{
    blocks[0] = (struct checkpoint_block){"weight", weight, sizeof weight};
    blocks[1] = (struct checkpoint_block){"counters", counters, sizeof counters};
    return 2;
}

static void save(uint64_t step)
{
    struct checkpoint_block blocks[2];
    struct err_note note = {0};

    for (int i = 0; i < 100; i++) {
        weight[i] = (float)step + (float)i / 100;
    }
    counters[0] = step;
    int n = n_blocks(blocks);
    assert_int_equal(checkpoint_save(folder, run, step, blocks, n, &note), ERR_NONE);
    memset(weight, 0, sizeof weight);
}

static enum err load(const unsigned char *which, uint64_t *ret_step)
{
    struct checkpoint_block blocks[2];
    struct err_note note = {0};
    int n = n_blocks(blocks);
    enum err err = checkpoint_load(folder, which, blocks, n, ret_step, &note);
    assert_true(err == ERR_NONE || note.text[0] != '\0');
    return err;
}

static int files(void)
{
    DIR *listing = opendir(folder);
    int count = 0;
    for (struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing)) {
        count += entry->d_name[0] != '.';
    }
    closedir(listing);
    return count;
}

/* Changes one byte of a checkpoint, or cuts it. */
static void damage(uint64_t step, long at, long length)
{
    char path[200];
    (void)snprintf(path, sizeof path, "%s/checkpoint-%012llu", folder, (unsigned long long)step);
    if (length >= 0) {
        assert_int_equal(truncate(path, length), 0);
        return;
    }
    FILE *file = fopen(path, "r+b");
    assert_int_equal(fseek(file, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    (void)fputc(byte ^ 1, file);
    assert_int_equal(fclose(file), 0);
}

static void the_newest_comes_back_and_two_are_kept(void **state)
{
    uint64_t step = 0;

    (void)state;
    assert_int_equal(load(run, &step), ERR_NOT_FOUND);
    save(5);
    save(90);
    save(1000);
    assert_int_equal(files(), 2);
    assert_int_equal(load(run, &step), ERR_NONE);
    assert_true(step == 1000 && weight[50] == 1000.5F && counters[0] == 1000);
}

static void a_damaged_one_is_passed_over(void **state)
{
    static const struct {
        long at, length;
    } rows[] = {{0, -1},   {9, -1}, {30, -1}, {100, -1}, {200, -1}, {-1, -1},
                {-40, -1}, {0, 0},  {0, 7},   {0, 90},   {0, 400}};

    (void)state;
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        uint64_t step = 0;
        assert_int_equal(checkpoint_clear(folder, NULL), ERR_NONE);
        save(10);
        save(20);
        damage(20, rows[r].at, rows[r].length);
        if (load(run, &step) != ERR_NONE || step != 10 || weight[1] != 10.01F) {
            fail_msg("row %zu: step %d", r, (int)step);
        }
        memset(weight, 0, sizeof weight);
        damage(10, rows[r].at, rows[r].length);
        assert_int_equal(load(run, &step), ERR_CORRUPT);
        assert_true(weight[1] == 0);
    }
}

static void another_run_is_refused(void **state)
{
    struct checkpoint_block one = {"weight", weight, sizeof weight};
    struct checkpoint_block shorter[2];
    uint64_t step = 7;
    struct err_note note = {0};

    (void)state;
    assert_int_equal(checkpoint_clear(folder, NULL), ERR_NONE);
    save(10);
    assert_int_equal(load(other_run, &step), ERR_CONFLICT);
    assert_int_equal(checkpoint_load(folder, run, &one, 1, &step, &note), ERR_CONFLICT);
    (void)n_blocks(shorter);
    shorter[0].n_bytes -= 4;
    assert_int_equal(checkpoint_load(folder, run, shorter, 2, &step, NULL), ERR_CONFLICT);
    (void)n_blocks(shorter);
    shorter[1].name = "count";
    assert_int_equal(checkpoint_load(folder, run, shorter, 2, &step, NULL), ERR_CONFLICT);
    assert_true(step == 7 && weight[1] == 0);
}

static void misuse_and_no_memory(void **state)
{
    struct checkpoint_block blocks[2];
    size_t before = mem_live_blocks();

    (void)state;
    int n = n_blocks(blocks);
    mem_fail_at(0);
    assert_int_equal(checkpoint_save(folder, run, 30, blocks, n, NULL), ERR_NOMEM);
    mem_fail_at(-1);
    blocks[0].name = "";
    assert_int_equal(checkpoint_save(folder, run, 30, blocks, n, NULL), ERR_MISUSE);
    blocks[0].name = "a name of more than thirty-one bytes";
    assert_int_equal(checkpoint_save(folder, run, 30, blocks, n, NULL), ERR_MISUSE);
    assert_int_equal(checkpoint_save(folder, run, 30, blocks, 0, NULL), ERR_MISUSE);
    (void)n_blocks(blocks);
    assert_int_equal(checkpoint_save("/nonexistent", run, 30, blocks, n, NULL), ERR_NOT_FOUND);
    assert_int_equal(mem_live_blocks(), before);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    return checkpoint_clear(folder, NULL) != ERR_NONE || rmdir(folder) != 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_comes_back_and_two_are_kept),
        cmocka_unit_test(a_damaged_one_is_passed_over),
        cmocka_unit_test(another_run_is_refused),
        cmocka_unit_test(misuse_and_no_memory),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, make_folder, remove_folder);
}
