/* test_safetensors.c: right files are read, wrong ones refused in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/onnx/safetensors.h"

#define FILE_BYTES 4096

/* A file of a header's text and count bytes of data: 0, 1, 2 ... */
static size_t file_of(const char *header, size_t count, unsigned char ret[FILE_BYTES])
{
    size_t len = strlen(header);

    assert_true(8 + len + count <= FILE_BYTES);
    for (int i = 0; i < 8; i++) {
        ret[i] = (unsigned char)(len >> (8 * i));
    }
    memcpy(ret + 8, header, len);
    for (size_t i = 0; i < count; i++) {
        ret[8 + len + i] = (unsigned char)i;
    }
    return 8 + len + count;
}

/* Reads from a block of exactly the file's size, so that a sanitizer sees every byte too far. */
static enum err read_exact(const unsigned char *bytes, size_t n_bytes, struct arena *mem, struct safetensors *ret,
                           void **ret_block, struct err_note *note)
{
    *ret_block = mem_copy(bytes, n_bytes);
    assert_non_null(*ret_block);
    return safetensors_read(*ret_block, n_bytes, mem, ret, note);
}

static void test_right(void **state)
{
    static const char header[] = "{ \"__metadata__\" : {\"format\":\"pt\",\"a \\\"quoted\\\" key\":\"\\\\\"},\n"
                                 "\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
                                 "\"a.num\" : {\"data_offsets\":[24,32], \"shape\":[], \"dtype\":\"I64\"} ,"
                                 "\"empty\":{\"dtype\":\"F16\",\"shape\":[0],\"data_offsets\":[32,32]}}   ";
    size_t blocks = mem_live_blocks();
    struct arena *mem = arena_new(1 << 20);
    unsigned char bytes[FILE_BYTES];
    struct safetensors file;
    struct err_note note = {0};
    void *block;

    size_t n_bytes = file_of(header, 32, bytes);
    if (read_exact(bytes, n_bytes, mem, &file, &block, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    assert_int_equal(file.count, 3);
    assert_string_equal(file.list[0].name, "a.num");
    assert_string_equal(file.list[0].type, "I64");
    assert_int_equal(file.list[0].shape.rank, 0);
    assert_int_equal(file.list[0].n_bytes, 8);
    assert_int_equal(file.list[0].data[0], 24);
    const struct safetensors_entry *b = safetensors_find(&file, "b");
    assert_non_null(b);
    assert_int_equal(b->shape.rank, 2);
    assert_int_equal(b->shape.dim[1], 3);
    assert_int_equal(b->data[23], 23);
    assert_int_equal(safetensors_find(&file, "empty")->n_bytes, 0);
    assert_null(safetensors_find(&file, "c"));
    float none;
    assert_int_equal(safetensors_floats(&file.list[0], &none, &note), ERR_UNSUPPORTED);
    assert_non_null(strstr(note.text, "I64"));
    mem_free(block);

    n_bytes = file_of("{}", 0, bytes);
    assert_int_equal(read_exact(bytes, n_bytes, mem, &file, &block, NULL), ERR_NONE);
    assert_int_equal(file.count, 0);
    assert_null(safetensors_find(&file, "b"));
    mem_free(block);
    arena_free(mem);
    assert_int_equal(mem_live_blocks(), blocks);
}

static const struct wrong_row {
    const char *header;
    size_t count; /* bytes of data */
    enum err err;
} wrong_rows[] = {
    {"", 0, ERR_FORMAT},
    {"[]", 0, ERR_FORMAT},
    {"{", 0, ERR_FORMAT},
    {"{}x", 0, ERR_FORMAT},
    {"{\"a\"", 0, ERR_FORMAT},
    {"{\"dtype\":{\"dtyp", 0, ERR_FORMAT},
    {"{\"a\\", 0, ERR_FORMAT},
    {"{\"a\":{}}", 0, ERR_FORMAT},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, ERR_FORMAT},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, ERR_FORMAT},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,4]}}", 4, ERR_FORMAT},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, ERR_FORMAT},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"more\":1}}", 4, ERR_FORMAT},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},}", 4, ERR_FORMAT},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}", 4, ERR_FORMAT},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, ERR_FORMAT},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4, ERR_FORMAT},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 8, ERR_FORMAT},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 7, ERR_FORMAT},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 8, ERR_FORMAT},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[9,9]}}", 8, ERR_FORMAT},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[999999999999999999,999999999999999999],\"data_offsets\":[0,4]}}", 4,
     ERR_FORMAT},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387905],\"data_offsets\":[0,4]}}", 4, ERR_FORMAT},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_"
     "offsets\":[0,4]}}",
     4, ERR_FORMAT},
    {"{\"a\":{\"dtype\":\"F12\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, ERR_UNSUPPORTED},
    {"{\"a\":{\"dtype\":\"F32andmore\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, ERR_UNSUPPORTED},
    {"{\"a\\n\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, ERR_UNSUPPORTED},
    {"{\"\xC3\xA4\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, ERR_UNSUPPORTED},
    {"{\"\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, ERR_UNSUPPORTED},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, ERR_UNSUPPORTED},
    {"{\"__metadata__\":{\"a\":1}}", 0, ERR_FORMAT},
};

static void test_wrong(void **state)
{
    size_t blocks = mem_live_blocks();

    for (size_t i = 0; i < sizeof wrong_rows / sizeof *wrong_rows; i++) {
        struct arena *mem = arena_new(1 << 20);
        unsigned char bytes[FILE_BYTES];
        struct safetensors file;
        struct err_note note = {0};
        void *block;
        size_t n_bytes = file_of(wrong_rows[i].header, wrong_rows[i].count, bytes);
        enum err err = read_exact(bytes, n_bytes, mem, &file, &block, &note);
        if (err != wrong_rows[i].err || note.text[0] == '\0') {
            fail_msg("row %zu: %s, \"%s\"", i, err_word(err), note.text);
        }
        mem_free(block);
        arena_free(mem);
    }
    assert_int_equal(mem_live_blocks(), blocks);
}

/* Cut anywhere, a file is refused and nothing is read behind its end. */
static void test_truncated(void **state)
{
    static const char header[] = "{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_"
                                 "offsets\":[0,8]}}";
    size_t blocks = mem_live_blocks();
    unsigned char bytes[FILE_BYTES];
    size_t n_bytes = file_of(header, 8, bytes);

    for (size_t len = 0; len <= n_bytes; len++) {
        struct arena *mem = arena_new(1 << 20);
        struct safetensors file;
        struct err_note note = {0};
        void *block;
        enum err err = read_exact(bytes, len, mem, &file, &block, &note);
        assert_int_equal(err, len == n_bytes ? ERR_NONE : ERR_FORMAT);
        mem_free(block);
        /* And with a header that ends where the file does. */
        if (len >= 8) {
            unsigned char cut[FILE_BYTES];
            memcpy(cut, bytes, len);
            cut[0] = (unsigned char)(len - 8);
            cut[1] = 0;
            assert_int_not_equal(read_exact(cut, len, mem, &file, &block, NULL), ERR_NONE);
            mem_free(block);
        }
        arena_free(mem);
    }
    assert_int_equal(mem_live_blocks(), blocks);
}

static void test_limits(void **state)
{
    size_t blocks = mem_live_blocks();
    struct arena *mem = arena_new(512);
    unsigned char bytes[FILE_BYTES] = {0, 0, 0, 0, 0, 0, 0, 0x80};
    struct safetensors file;
    struct err_note note = {0};

    /* A length that no file has. */
    assert_int_equal(safetensors_read(bytes, sizeof bytes, mem, &file, &note), ERR_FORMAT);
    size_t n_bytes =
        file_of("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"b\":{\"dtype\":\"U8\",\"shape\":["
                "1],\"data_offsets\":[0,1]},\"c\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"d\":{"
                "\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
                1, bytes);
    note = (struct err_note){0};
    assert_int_equal(safetensors_read(bytes, n_bytes, mem, &file, &note), ERR_LIMIT);
    assert_string_not_equal(note.text, "");
    arena_free(mem);

    /* A header above the limit. */
    size_t large = 8 + SAFETENSORS_HEADER_BYTES + 1;
    unsigned char *block = mem_new(large, 1);
    for (int i = 0; i < 8; i++) {
        block[i] = (unsigned char)((large - 8) >> (8 * i));
    }
    mem = arena_new(1 << 20);
    note = (struct err_note){0};
    assert_int_equal(safetensors_read(block, large, mem, &file, &note), ERR_LIMIT);
    assert_non_null(strstr(note.text, "limit"));
    arena_free(mem);
    mem_free(block);
    assert_int_equal(mem_live_blocks(), blocks);
}

/* Bits of each type, and the float they are. */
static const struct number_row {
    const char *type;
    uint32_t bits;
    float value;
} number_rows[] = {
    {"F32", 0x3FC00000, 1.5F},   {"BF16", 0x3FC0, 1.5F},         {"F16", 0x3E00, 1.5F},
    {"F16", 0xC000, -2},         {"F16", 0x7BFF, 65504},         {"F16", 0x0400, 0x1p-14F},
    {"F16", 0x0001, 0x1p-24F},   {"F16", 0x83FF, -0x1.FF8p-15F}, {"F16", 0x0200, 0x1p-15F},
    {"F16", 0x7C00, INFINITY},   {"F16", 0xFC00, -INFINITY},     {"F16", 0x0000, 0},
    {"BF16", 0xFF80, -INFINITY}, {"BF16", 0x0001, 0x1p-133F},
};

static void test_numbers(void **state)
{
    for (size_t i = 0; i < sizeof number_rows / sizeof *number_rows; i++) {
        const struct number_row *row = &number_rows[i];
        unsigned char data[8];
        struct safetensors_entry entry = {.name = "a", .data = data};
        float values[2] = {-1, -1};
        size_t size = strcmp(row->type, "F32") == 0 ? 4 : 2;

        strncpy(entry.type, row->type, sizeof entry.type - 1);
        for (size_t k = 0; k < 2 * size; k++) {
            data[k] = (unsigned char)(row->bits >> (8 * (k % size)));
        }
        entry.n_bytes = 2 * size;
        assert_int_equal(safetensors_floats(&entry, values, NULL), ERR_NONE);
        if (values[0] != row->value || values[1] != row->value) {
            fail_msg("row %zu: %g", i, (double)values[0]);
        }
    }
    /* Minus zero and NaN keep what they are. */
    struct safetensors_entry entry = {
        .name = "a", .type = "F16", .data = (const unsigned char *)"\0\x80\0\x7E", .n_bytes = 4};
    float values[2];
    assert_int_equal(safetensors_floats(&entry, values, NULL), ERR_NONE);
    assert_true(values[0] == 0 && signbit(values[0]));
    assert_true(isnan(values[1]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right),  cmocka_unit_test(test_wrong),   cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_limits), cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
