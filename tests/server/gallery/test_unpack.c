/* test_unpack.c: archives that mean harm, and what is left of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <archive.h>
#include <archive_entry.h>
#include <cmocka.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "server/gallery/unpack.h"

#define BLOCK 512

static void put_header(FILE *out, const char *name, char type, const char *link, size_t size)
{
    unsigned char block[BLOCK] = {0};
    unsigned sum = 0;

    (void)snprintf((char *)block, 100, "%s", name);
    (void)snprintf((char *)block + 100, 8, "%07o", 0644U);
    (void)snprintf((char *)block + 108, 8, "%07o", 0U);
    (void)snprintf((char *)block + 116, 8, "%07o", 0U);
    (void)snprintf((char *)block + 124, 12, "%011zo", size);
    (void)snprintf((char *)block + 136, 12, "%011o", 0U);
    memset(block + 148, ' ', 8);
    block[156] = (unsigned char)type;
    (void)snprintf((char *)block + 157, 100, "%s", link);
    (void)snprintf((char *)block + 257, 6, "ustar");
    block[263] = block[264] = '0';
    for (int i = 0; i < BLOCK; i++) {
        sum += block[i];
    }
    (void)snprintf((char *)block + 148, 8, "%06o", sum);
    assert_int_equal(fwrite(block, 1, BLOCK, out), BLOCK);
}

static void put_content(FILE *out, size_t size)
{
    for (size_t i = 0; i < (size + BLOCK - 1) / BLOCK * BLOCK; i++) {
        assert_int_not_equal(fputc(i < size ? 'x' : 0, out), EOF);
    }
}

/* What ends an archive. */
static void put_end(FILE *out, int blocks)
{
    for (int i = 0; i < blocks * BLOCK; i++) {
        assert_int_not_equal(fputc(0, out), EOF);
    }
}

static void path_make(char path[64])
{
    (void)snprintf(path, 64, "/tmp/arcfaced-unpack-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
}

enum form {
    TAR,
    ZIP
};

/* Entries of an archive, and what becomes of them.  The types are those of tar, and t, z: a file, in this form alone. */
static const struct {
    const char *name;
    char type;
    size_t size;
    enum unpack_what what;
    const char *outcome; /* or the folder */
} entries[] = {
    {"anna/a.jpg", '0', 10, UNPACK_FILE, "anna"},
    {"./top/anna/a.jpg", '0', 10, UNPACK_FILE, "anna"},
    {"top//anna//a.jpg", '0', 10, UNPACK_FILE, "anna"},
    {"anna/", '5', 0, UNPACK_PASSED, NULL},
    {"anna/.hidden", '0', 10, UNPACK_PASSED, NULL},
    {"__MACOSX/anna/a.jpg", '0', 10, UNPACK_PASSED, NULL},
    {"a.jpg", '0', 10, UNPACK_REFUSED, "no_folder"},
    {"./a.jpg", '0', 10, UNPACK_REFUSED, "no_folder"},
    {"../a.jpg", '0', 10, UNPACK_REFUSED, "bad_path"},
    {"anna/../../a.jpg", '0', 10, UNPACK_REFUSED, "bad_path"},
    {"anna/..", '0', 10, UNPACK_REFUSED, "bad_path"},
    {"/anna/a.jpg", '0', 10, UNPACK_REFUSED, "bad_path"},
    {"C:/anna/a.jpg", '0', 10, UNPACK_REFUSED, "bad_path"},
    {"anna\\a.jpg", 't', 10, UNPACK_REFUSED, "bad_path"},
    {"anna\\a.jpg", 'z', 10, UNPACK_FILE, "anna"}, /* where it is what a slash is */
    {"anna\\..\\..\\a.jpg", '0', 10, UNPACK_REFUSED, "bad_path"},
    {"an\001na/a.jpg", '0', 10, UNPACK_REFUSED, "bad_name"},
    {"an\377na/a.jpg", '0', 10, UNPACK_REFUSED, "bad_name"},
    {"anna/link", '2', 0, UNPACK_REFUSED, "link"},
    {"anna/hard", '1', 0, UNPACK_REFUSED, "link"},
    {"anna/device", '3', 0, UNPACK_REFUSED, "special_file"},
    {"anna/pipe", '6', 0, UNPACK_REFUSED, "special_file"},
    {"anna/empty.jpg", '0', 0, UNPACK_REFUSED, "empty"},
    {"anna/long.jpg", '0', 2000, UNPACK_REFUSED, "too_large"},
    {"anna/last.jpg", '0', 1000, UNPACK_FILE, "anna"},
};

/* A zip knows neither hard links nor devices. */
static bool is_in(enum form form, char type)
{
    return strchr(form == TAR ? "0t12356" : "0z25", type) != NULL;
}

static void put_tar(const char *path)
{
    FILE *out = fopen(path, "wb");

    assert_non_null(out);
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        if (is_in(TAR, entries[i].type)) {
            put_header(out, entries[i].name, entries[i].type == 't' ? '0' : entries[i].type, "/etc/passwd",
                       entries[i].size);
            put_content(out, entries[i].size);
        }
    }
    put_end(out, 2);
    (void)fclose(out);
}

static void put_zip(const char *path)
{
    struct archive *zip = archive_write_new();
    char content[2000];

    memset(content, 'x', sizeof content);
    assert_int_equal(archive_write_set_format_zip(zip), ARCHIVE_OK);
    assert_int_equal(archive_write_open_filename(zip, path), ARCHIVE_OK);
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        if (!is_in(ZIP, entries[i].type)) {
            continue;
        }
        struct archive_entry *entry = archive_entry_new();
        archive_entry_set_pathname(entry, entries[i].name);
        archive_entry_set_filetype(entry, entries[i].type == '2'   ? AE_IFLNK
                                          : entries[i].type == '5' ? AE_IFDIR
                                                                   : AE_IFREG);
        archive_entry_set_perm(entry, 0644);
        archive_entry_set_size(entry, (int64_t)entries[i].size);
        if (entries[i].type == '2') {
            archive_entry_set_symlink(entry, "/etc/passwd");
        }
        assert_true(archive_write_header(zip, entry) >= ARCHIVE_WARN);
        assert_int_equal(archive_write_data(zip, content, entries[i].size), entries[i].size);
        archive_entry_free(entry);
    }
    assert_int_equal(archive_write_free(zip), ARCHIVE_OK);
}

static void test_every_entry_is_judged(void **state)
{
    static void (*const puts[])(const char *path) = {[TAR] = put_tar, [ZIP] = put_zip};

    for (enum form form = TAR; form <= ZIP; form++) {
        struct unpack_limits limits = unpack_limits_default();
        struct unpack_source *source = NULL;
        struct unpack_item item;
        const unsigned char *content = NULL;
        size_t n_bytes = 0;
        size_t blocks = mem_live_blocks();
        struct arena *mem = arena_new((size_t)1 << 20);
        int64_t number = 0;
        char path[64];

        path_make(path);
        puts[form](path);
        limits.entry_bytes = 1000;
        assert_int_equal(unpack_open(path, &limits, &source, NULL), ERR_NONE);
        for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
            struct err_note note = {0};
            if (!is_in(form, entries[i].type)) {
                continue;
            }
            number++;
            enum err err = unpack_next(source, mem, &item, &note);
            if (err == ERR_NONE && item.what == UNPACK_FILE) {
                err = unpack_read(source, mem, &item, &content, &n_bytes, &note);
            }
            const char *word = item.what == UNPACK_FILE ? item.folder : item.outcome;
            if (err != ERR_NONE || item.what != entries[i].what || item.number != number ||
                (entries[i].outcome != NULL && strcmp(word, entries[i].outcome) != 0) ||
                (item.what == UNPACK_FILE && (n_bytes != entries[i].size || content[n_bytes - 1] != 'x'))) {
                fail_msg("%s, row %zu: %s (%s), what %d, %s", form == TAR ? "tar" : "zip", i, err_word(err), note.text,
                         (int)item.what, word == NULL ? "-" : word);
            }
        }
        assert_int_equal(unpack_next(source, mem, &item, NULL), ERR_NOT_FOUND);
        unpack_close(source);
        arena_free(mem);
        (void)unlink(path);
        assert_int_equal(mem_live_blocks(), blocks);
    }
}

static void test_limits(void **state)
{
    static const struct {
        int64_t entries, total_bytes;
        size_t cut; /* of the file's end */
        int good;   /* entries before the end */
        enum err err;
    } rows[] = {
        {4, 1 << 20, 0, 4, ERR_NOT_FOUND},
        {3, 1 << 20, 0, 3, ERR_LIMIT},
        {4, 20000, 0, 2, ERR_LIMIT},
        {4, 1 << 20, 15000, 3, ERR_FORMAT}, /* cut within the last */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct unpack_limits limits = unpack_limits_default();
        struct unpack_source *source = NULL;
        struct unpack_item item;
        const unsigned char *content = NULL;
        size_t n_bytes = 0;
        struct err_note note = {0};
        struct arena *mem = arena_new((size_t)1 << 20);
        char path[64];
        int good = 0;
        path_make(path);
        FILE *out = fopen(path, "wb");
        assert_non_null(out);
        for (int k = 0; k < 4; k++) {
            put_header(out, "anna/a.jpg", '0', "", 9000);
            put_content(out, 9000);
        }
        put_end(out, 20);
        assert_int_equal(fflush(out), 0);
        assert_int_equal(ftruncate(fileno(out), ftell(out) - (long)rows[i].cut), 0);
        (void)fclose(out);
        limits.entries = rows[i].entries;
        limits.total_bytes = rows[i].total_bytes;
        assert_int_equal(unpack_open(path, &limits, &source, NULL), ERR_NONE);
        enum err err = ERR_NONE;
        while (err == ERR_NONE) {
            err = unpack_next(source, mem, &item, &note);
            if (err == ERR_NONE) {
                err = unpack_read(source, mem, &item, &content, &n_bytes, &note);
            }
            good += err == ERR_NONE;
        }
        if (err != rows[i].err || good != rows[i].good || (err != ERR_NOT_FOUND && note.text[0] == '\0')) {
            fail_msg("row %zu: %s, %d good, \"%s\"", i, err_word(err), good, note.text);
        }
        unpack_close(source);
        arena_free(mem);
        (void)unlink(path);
    }
}

/* Every length, and a flipped bit in every byte of the first header: no crash, no endless loop, no leak. */
static void test_damage(void **state)
{
    unsigned char *tar = NULL;
    char path[64];
    size_t size = 0;
    size_t blocks = mem_live_blocks();

    (void)state;
    path_make(path);
    FILE *out = fopen(path, "wb");
    put_header(out, "anna/a.jpg", '0', "", 700);
    put_content(out, 700);
    put_header(out, "bert/b.jpg", '0', "", 700);
    put_content(out, 700);
    put_end(out, 2);
    size = (size_t)ftell(out);
    (void)fclose(out);
    tar = mem_new(size, 1);
    out = fopen(path, "rb");
    assert_int_equal(fread(tar, 1, size, out), size);
    (void)fclose(out);
    for (size_t i = 0; i < size + BLOCK; i += i < size ? 7 : 1) {
        struct unpack_limits limits = unpack_limits_default();
        struct unpack_source *source = NULL;
        struct unpack_item item;
        const unsigned char *content = NULL;
        size_t n_bytes = 0;
        struct arena *mem = arena_new((size_t)32 << 20);
        int steps = 0;
        if (i >= size) {
            tar[i - size] ^= 0x10;
        }
        out = fopen(path, "wb");
        assert_int_equal(fwrite(tar, 1, i < size ? i : size, out), i < size ? i : size);
        (void)fclose(out);
        if (i >= size) {
            tar[i - size] ^= 0x10;
        }
        if (unpack_open(path, &limits, &source, NULL) == ERR_NONE) {
            while (unpack_next(source, mem, &item, NULL) == ERR_NONE && steps++ < 100) {
                if (item.what == UNPACK_FILE && unpack_read(source, mem, &item, &content, &n_bytes, NULL) != ERR_NONE) {
                    break;
                }
            }
            unpack_close(source);
        }
        assert_true(steps < 100);
        arena_free(mem);
    }
    mem_free(tar);
    (void)unlink(path);
    assert_int_equal(mem_live_blocks(), blocks);
}

/* ---- Very many entries --------------------------------------------------------------------------------------------- */

/* Headers of 4096 empty files, packed; several of them one after another are an archive. */
static size_t put_packed_headers(const char *path)
{
    FILE *plain = tmpfile();
    struct archive *packed = archive_write_new();
    struct archive_entry *entry = archive_entry_new();
    static char headers[4096 * BLOCK];

    assert_true(plain != NULL && packed != NULL && entry != NULL);
    for (unsigned i = 0; i < 4096; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "p%08x/x.jpg", i * 2654435761U);
        put_header(plain, name, '0', "", 0);
    }
    rewind(plain);
    assert_int_equal(fread(headers, 1, sizeof headers, plain), sizeof headers);
    (void)fclose(plain);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_pathname(entry, "headers");
    assert_int_equal(archive_write_set_format_raw(packed), ARCHIVE_OK);
    assert_int_equal(archive_write_add_filter_gzip(packed), ARCHIVE_OK);
    assert_int_equal(archive_write_set_bytes_in_last_block(packed, 1), ARCHIVE_OK);
    assert_int_equal(archive_write_open_filename(packed, path), ARCHIVE_OK);
    assert_int_equal(archive_write_header(packed, entry), ARCHIVE_OK);
    assert_int_equal(archive_write_data(packed, headers, sizeof headers), sizeof headers);
    assert_int_equal(archive_write_free(packed), ARCHIVE_OK);
    archive_entry_free(entry);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t n = fread(headers, 1, sizeof headers, file);
    (void)fclose(file);
    return n;
}

static long resident_kb(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_maxrss;
}

/* A million is let through, each with its outcome; the next one ends it. */
static void test_a_million_empty_files(void **state)
{
    const struct unpack_limits limits = unpack_limits_default();
    struct unpack_source *source = NULL;
    struct unpack_item item;
    const unsigned char *content = NULL;
    size_t n_bytes = 0;
    struct err_note note = {0};
    struct arena *mem = arena_new((size_t)1 << 20);
    static char packed[1 << 20];
    char path[64];
    int64_t n = 0;

    (void)state;
    path_make(path);
    const size_t n_packed = put_packed_headers(path);
    FILE *file = fopen(path, "r+b");
    assert_true(file != NULL && n_packed < sizeof packed && fread(packed, 1, n_packed, file) == n_packed);
    for (int64_t i = 1; i <= limits.entries / 4096; i++) {
        assert_int_equal(fwrite(packed, 1, n_packed, file), n_packed);
    }
    (void)fclose(file);
    const long before_kb = resident_kb();
    enum err err = unpack_open(path, &limits, &source, &note);
    while (err == ERR_NONE) {
        arena_reset(mem);
        err = unpack_next(source, mem, &item, &note);
        if (err == ERR_NONE) {
            assert_int_equal(item.what, UNPACK_FILE);
            assert_int_equal(unpack_read(source, mem, &item, &content, &n_bytes, &note), ERR_NONE);
            assert_string_equal(item.outcome, "empty");
            n++;
        }
    }
    assert_int_equal(err, ERR_LIMIT);
    assert_int_equal(n, limits.entries);
    assert_non_null(strstr(note.text, "more than 1000000 entries"));
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    (void)before_kb; /* what was freed is kept for a while */
#else
    assert_true(resident_kb() - before_kb < 65536);
#endif
    unpack_close(source);
    arena_free(mem);
    (void)unlink(path);
}

/* The library would read all of a zip's directory first: too many entries are refused before. */
static void test_the_directory_of_a_zip(void **state)
{
    static const struct {
        int entries;
        int64_t limit;
        enum err err;
    } rows[] = {{40, 40, ERR_NONE}, {41, 40, ERR_LIMIT}, {9000, 8999, ERR_LIMIT}, {9000, 9000, ERR_NONE}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct unpack_limits limits = unpack_limits_default();
        struct unpack_source *source = NULL;
        struct err_note note = {0};
        struct archive *zip = archive_write_new();
        char path[64];
        path_make(path);
        assert_int_equal(archive_write_set_format_zip(zip), ARCHIVE_OK);
        assert_int_equal(archive_write_open_filename(zip, path), ARCHIVE_OK);
        for (int k = 0; k < rows[i].entries; k++) {
            struct archive_entry *entry = archive_entry_new();
            archive_entry_set_filetype(entry, AE_IFREG);
            archive_entry_set_size(entry, 0);
            archive_entry_set_pathname(entry, k % 2 == 0 ? "anna/a.jpg" : "somebody else/with a longer name.jpg");
            assert_int_equal(archive_write_header(zip, entry), ARCHIVE_OK);
            archive_entry_free(entry);
        }
        assert_int_equal(archive_write_free(zip), ARCHIVE_OK);
        limits.entries = rows[i].limit;
        enum err err = unpack_open(path, &limits, &source, &note);
        if (err != rows[i].err || (err == ERR_LIMIT && strstr(note.text, "entries") == NULL)) {
            fail_msg("row %zu: %s, \"%s\"", i, err_word(err), note.text);
        }
        unpack_close(source);
        (void)unlink(path);
    }
}

/* ---- Names of people ----------------------------------------------------------------------------------------------- */

/* An archive as it comes from a desktop whose language has more letters than ASCII. */
static void put_named(const char *path, const char *folder, int (*format)(struct archive *))
{
    struct archive *out = archive_write_new();
    struct archive_entry *entry = archive_entry_new();
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    char name[128];

    assert_true(utf8 != (locale_t)0);
    locale_t before = uselocale(utf8);
    (void)snprintf(name, sizeof name, "%s/a.jpg", folder);
    assert_int_equal(format(out), ARCHIVE_OK);
    assert_int_equal(archive_write_open_filename(out, path), ARCHIVE_OK);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_size(entry, 1);
    archive_entry_set_pathname(entry, name);
    assert_int_equal(archive_write_header(out, entry), ARCHIVE_OK);
    assert_int_equal(archive_write_data(out, "x", 1), 1);
    assert_int_equal(archive_write_free(out), ARCHIVE_OK);
    archive_entry_free(entry);
    (void)uselocale(before);
    freelocale(utf8);
}

/* A person's name is the person's name, whatever the archive and whatever language the daemon was started in. */
static void test_names_in_every_script(void **state)
{
    static const char *const folders[] = {"Jos\303\251", "\345\261\261\347\224\260", "Joe"};
    static int (*const formats[])(struct archive *) = {archive_write_set_format_zip, archive_write_set_format_pax,
                                                       archive_write_set_format_gnutar};
    const struct unpack_limits limits = unpack_limits_default();

    (void)state;
    for (size_t i = 0; i < sizeof folders / sizeof *folders * 3; i++) {
        struct unpack_source *source = NULL;
        struct unpack_item item = {0};
        struct arena *mem = arena_new((size_t)1 << 20);
        char path[64];
        path_make(path);
        put_named(path, folders[i / 3], formats[i % 3]);
        assert_int_equal(unpack_open(path, &limits, &source, NULL), ERR_NONE);
        assert_int_equal(unpack_next(source, mem, &item, NULL), ERR_NONE);
        if (item.what != UNPACK_FILE || strcmp(item.folder, folders[i / 3]) != 0) {
            fail_msg("row %zu: \"%s\", %s", i, item.name, item.outcome == NULL ? item.folder : item.outcome);
        }
        unpack_close(source);
        arena_free(mem);
        (void)unlink(path);
    }
}

/* ---- One text, packed or not ----------------------------------------------------------------------------------------- */

static void write_packed(const char *path, const char *text, size_t n_bytes, size_t times, bool packed)
{
    struct archive *out = archive_write_new();
    struct archive_entry *entry = archive_entry_new();

    assert_int_equal(archive_write_set_format_raw(out), ARCHIVE_OK);
    if (packed) {
        assert_int_equal(archive_write_add_filter_gzip(out), ARCHIVE_OK);
    }
    assert_int_equal(archive_write_open_filename(out, path), ARCHIVE_OK);
    archive_entry_set_pathname(entry, "text");
    archive_entry_set_filetype(entry, AE_IFREG);
    assert_int_equal(archive_write_header(out, entry), ARCHIVE_OK);
    for (size_t i = 0; i < times; i++) {
        assert_int_equal(archive_write_data(out, text, n_bytes), n_bytes);
    }
    archive_entry_free(entry);
    assert_int_equal(archive_write_free(out), ARCHIVE_OK);
}

static void test_texts(void **state)
{
    static char block[1 << 20]; /* zeros: packed to a thousandth */
    static char noise[1 << 16];
    const struct {
        const char *text;
        size_t n_bytes, times;
        bool packed;
        int64_t total_bytes;
        size_t cut;
        enum err err;
        int64_t good_least;
    } rows[] = {
        {"{\"a\":1}\n", 8, 3, true, 1 << 20, 0, ERR_NONE, 24},
        {"{\"a\":1}\n", 8, 3, false, 1 << 20, 0, ERR_NONE, 24},
        {noise, sizeof noise, 20, true, 1 << 30, 0, ERR_NONE, 20 * (1 << 16)},
        {noise, sizeof noise, 20, true, 1 << 20, 0, ERR_LIMIT, 0},
        {noise, sizeof noise, 20, false, 1 << 20, 0, ERR_LIMIT, 0},
        {noise, sizeof noise, 20, true, 1 << 30, 1000, ERR_FORMAT, 1 << 16},
        {block, sizeof block, 200, true, 1 << 30, 0, ERR_LIMIT, 63 << 20},
        {block, sizeof block, 60, true, 1 << 30, 0, ERR_NONE, 60 << 20}, /* less is not worth a word */
        {block, sizeof block, 200, false, 1 << 30, 0, ERR_NONE, 200 << 20},
        {"", 0, 1, true, 1 << 30, 0, ERR_NONE, 0},
    };
    unsigned number = 1;

    (void)state;
    for (size_t i = 0; i < sizeof noise; i++) {
        number = number * 1664525 + 1013904223;
        noise[i] = (char)(number >> 24);
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct unpack_limits limits = unpack_limits_default();
        struct unpack_source *source = NULL;
        struct err_note note = {0};
        char path[64];
        char piece[5000];
        size_t n = 1;
        int64_t good = 0;
        path_make(path);
        write_packed(path, rows[i].text, rows[i].n_bytes, rows[i].times, rows[i].packed);
        if (rows[i].cut > 0) {
            FILE *file = fopen(path, "rb+");
            assert_int_equal(fseek(file, 0, SEEK_END), 0);
            assert_int_equal(ftruncate(fileno(file), ftell(file) - (long)rows[i].cut), 0);
            (void)fclose(file);
        }
        limits.total_bytes = rows[i].total_bytes;
        enum err err = unpack_text_open(path, &limits, &source, &note);
        while (err == ERR_NONE && n > 0) {
            err = unpack_text_read(source, piece, sizeof piece, &n, &note);
            for (size_t k = 0; err == ERR_NONE && k < n; k++) {
                size_t at = ((size_t)good + k) % (rows[i].n_bytes == 0 ? 1 : rows[i].n_bytes);
                if (piece[k] != rows[i].text[at]) {
                    fail_msg("row %zu: another byte at %lld", i, (long long)good);
                }
            }
            good += err == ERR_NONE ? (int64_t)n : 0;
        }
        if (err != rows[i].err || good < rows[i].good_least || (err != ERR_NONE && note.text[0] == '\0')) {
            fail_msg("row %zu: %s after %lld bytes, \"%s\"", i, err_word(err), (long long)good, note.text);
        }
        unpack_close(source);
        (void)unlink(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_entry_is_judged),
                                       cmocka_unit_test(test_limits),
                                       cmocka_unit_test(test_damage),
                                       cmocka_unit_test(test_a_million_empty_files),
                                       cmocka_unit_test(test_the_directory_of_a_zip),
                                       cmocka_unit_test(test_names_in_every_script),
                                       cmocka_unit_test(test_texts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
