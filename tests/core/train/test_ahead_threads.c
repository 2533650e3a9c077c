/* test_ahead_threads.c: inputs made ahead are those that student_fill makes, in order, whoever makes them; a damaged crop is told. */
#include "synthetic.h"

#include "core/base/file.h"
#include "core/train/ahead.h"

#define BATCH 7

static const size_t floats = 3 * (size_t)SIDE * SIDE;

static void crops_of(int batch, int item[BATCH])
{
    for (int i = 0; i < BATCH; i++) {
        item[i] = (batch * 31 + i * 5) % COUNT;
    }
}

static void same_as_filled(const struct student *student, const int *item, long epoch, const float *inputs)
{
    static float row[3 * SIDE * SIDE];
    struct arena *mem = arena_new((size_t)16 << 20);

    for (int i = 0; i < BATCH; i++) {
        assert_int_equal(student_fill(student, item[i], epoch, mem, row, NULL), ERR_NONE);
        assert_memory_equal(row, inputs + (size_t)i * floats, floats * sizeof *row);
        arena_reset(mem);
    }
    arena_free(mem);
}

static void inputs_are_those_of_the_student(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads += 3) {
        struct student *student = make_student(NULL, NULL);
        struct ahead *ahead = NULL;
        float *before = NULL;
        int item[2][BATCH];

        assert_int_equal(ahead_new(student, BATCH, threads, &ahead), ERR_NONE);
        crops_of(0, item[0]);
        ahead_ask(ahead, item[0], BATCH, 0);
        for (int batch = 0; batch < 40; batch++) {
            float *inputs = NULL;
            assert_int_equal(ahead_take(ahead, &inputs, NULL), ERR_NONE);
            assert_ptr_not_equal(inputs, before);
            crops_of(batch + 1, item[(batch + 1) % 2]);
            ahead_ask(ahead, item[(batch + 1) % 2], BATCH, (batch + 1) / 10);
            same_as_filled(student, item[batch % 2], batch / 10, inputs); /* while the next is being made */
            before = inputs;
        }
        ahead_free(ahead); /* what was asked for last is never taken */
        student_free(student);
    }
}

/* A student whose first crop is damaged: another teacher, so that nothing reads the crops before. */
static struct student *damaged_student(struct dataset *damaged)
{
    static float teacher[COUNT * DIM];
    const struct student_options options = {
        .how = {.std = {64, 64, 64}}, .seed = 3, .learn_norms = true, .teacher = teacher, .teacher_dim = DIM};
    struct student *student = NULL;

    teacher[0] = 1;
    assert_int_equal(student_new(make_network(), damaged, &options, NULL, NULL, &student, NULL), ERR_NONE);
    return student;
}

static void a_damaged_crop_is_told(void **state)
{
    char path[sizeof data_path + 8];
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;
    struct dataset *damaged = NULL;
    struct ahead *ahead = NULL;
    struct err_note note = {0};
    float *inputs = NULL;
    const int bad[BATCH] = {9, 8, 7, 0, 6, 5, 4};
    const int fine[BATCH] = {9, 8, 7, 1, 6, 5, 4};

    (void)state;
    (void)snprintf(path, sizeof path, "%s.bad", data_path);
    assert_int_equal(file_read(data_path, (size_t)64 << 20, &bytes, &n_bytes, NULL), ERR_NONE);
    bytes[40] ^= 0xFF; /* of the first crop */
    assert_int_equal(file_write(path, bytes, n_bytes, NULL), ERR_NONE);
    mem_free(bytes);
    assert_int_equal(dataset_open(path, &damaged, NULL), ERR_NONE);
    struct student *student = damaged_student(damaged);
    assert_int_equal(ahead_new(student, BATCH, 2, &ahead), ERR_NONE);
    ahead_ask(ahead, bad, BATCH, 0);
    assert_int_equal(ahead_take(ahead, &inputs, &note), ERR_CORRUPT);
    assert_non_null(strstr(note.text, "crop 0 "));
    ahead_ask(ahead, fine, BATCH, 0); /* one bad batch spoils no other */
    assert_int_equal(ahead_take(ahead, &inputs, &note), ERR_NONE);
    same_as_filled(student, fine, 0, inputs);
    ahead_free(ahead);
    student_free(student);
    dataset_close(damaged);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(inputs_are_those_of_the_student),
                                       cmocka_unit_test(a_damaged_crop_is_told)};

    return cmocka_run_group_tests(tests, make_people, remove_people);
}
