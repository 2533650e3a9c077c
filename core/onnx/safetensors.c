/*
 * safetensors.c: the header is walked twice: counted and checked, then taken.
 *
 * The header's JSON is an object of objects of texts and lists of whole numbers; nothing else is read, so that a few lines
 * suffice and no depth has to be limited.
 */
#include "core/onnx/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/size.h"

/* ---- The limited JSON -------------------------------------------------------------------------------------------- */

struct json {
    struct bytes bytes;
};

static void fail(struct json *json)
{
    json->bytes.failed = true;
    json->bytes.left = 0;
}

/* The next character that is not white space, not taken; 0 at the end. */
static char peek(struct json *json)
{
    while (json->bytes.left > 0 &&
           (*json->bytes.at == ' ' || *json->bytes.at == '\n' || *json->bytes.at == '\r' || *json->bytes.at == '\t')) {
        (void)bytes_u8(&json->bytes);
    }
    return json->bytes.left > 0 ? (char)*json->bytes.at : '\0';
}

/* Takes a character if it is the next one. */
static bool take(struct json *json, char wanted)
{
    if (json->bytes.left > 0 && peek(json) == wanted) {
        (void)bytes_u8(&json->bytes);
        return true;
    }
    return false;
}

static void expect(struct json *json, char wanted)
{
    if (!take(json, wanted)) {
        fail(json);
    }
}

struct text {
    const unsigned char *at;
    size_t len;
    bool plain; /* printable ASCII without escapes */
};

static struct text take_text(struct json *json)
{
    struct text text = {.plain = true};

    expect(json, '"');
    text.at = json->bytes.at;
    while (!bytes_failed(&json->bytes)) {
        uint8_t c = bytes_u8(&json->bytes);
        if (c == '"') {
            break;
        }
        text.len++;
        text.plain = text.plain && c >= 0x20 && c < 0x7F && c != '\\';
        if (c == '\\') { /* the character behind it never ends the text */
            (void)bytes_u8(&json->bytes);
            text.len++;
        }
    }
    return bytes_failed(&json->bytes) ? (struct text){.at = text.at} : text;
}

/* A whole number of at most 18 digits: what fits surely. */
static int64_t take_number(struct json *json)
{
    int64_t value = 0;
    int digits = 0;

    for (char c = peek(json); c >= '0' && c <= '9'; c = json->bytes.left > 0 ? (char)*json->bytes.at : '\0') {
        (void)bytes_u8(&json->bytes);
        if (++digits > 18) {
            break;
        }
        value = 10 * value + (c - '0');
    }
    if (digits == 0 || digits > 18) {
        fail(json);
    }
    return value;
}

/* A list of at most room numbers; returns how many there are, room + 1 if more. */
static int take_numbers(struct json *json, int64_t *ret, int room)
{
    int count = 0;

    expect(json, '[');
    if (take(json, ']')) {
        return 0;
    }
    do {
        int64_t value = take_number(json);
        if (count < room) {
            ret[count] = value;
        }
        count += count <= room;
    } while (take(json, ','));
    expect(json, ']');
    return count;
}

static bool is(const struct text *text, const char *word)
{
    return text->len == strlen(word) && memcmp(text->at, word, text->len) == 0;
}

/* ---- One tensor -------------------------------------------------------------------------------------------------- */

struct described {
    struct text type;
    int64_t dims[TENSOR_MAX_RANK];
    int rank;
    int64_t offsets[2];
    bool has_type, has_shape, has_offsets;
};

/* {"dtype": "F32", "shape": [..], "data_offsets": [from, to]}, in any order. */
static struct described take_described(struct json *json)
{
    struct described described = {0};

    expect(json, '{');
    do {
        struct text key = take_text(json);
        expect(json, ':');
        if (is(&key, "dtype") && !described.has_type) {
            described.type = take_text(json);
            described.has_type = true;
        } else if (is(&key, "shape") && !described.has_shape) {
            described.rank = take_numbers(json, described.dims, TENSOR_MAX_RANK);
            described.has_shape = true;
        } else if (is(&key, "data_offsets") && !described.has_offsets) {
            described.has_offsets = take_numbers(json, described.offsets, 2) == 2;
        } else {
            fail(json);
        }
    } while (take(json, ','));
    expect(json, '}');
    if (!described.has_type || !described.has_shape || !described.has_offsets) {
        fail(json);
    }
    return described;
}

/* Bytes of one number; 0: no type that the format knows. */
static size_t bytes_of_type(const char *type)
{
    static const struct {
        char name[8];
        size_t bytes;
    } types[] = {{"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1},
                 {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},
                 {"U32", 4},  {"F32", 4}, {"I64", 8}, {"U64", 8},     {"F64", 8}};

    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(types[i].name, type) == 0) {
            return types[i].bytes;
        }
    }
    return 0;
}

static enum err check_described(const struct described *described, const struct text *name, const struct bytes *data,
                                struct safetensors_entry *ret, struct err_note *note)
{
    int shown = (int)(name->len < 80 ? name->len : 80);
    struct safetensors_entry entry = {.shape.rank = described->rank};
    int64_t count = 0;
    size_t bytes = 0;

    if (!name->plain || name->len == 0) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "a tensor's name is not printable ASCII");
    }
    if (described->rank > TENSOR_MAX_RANK) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "tensor '%.*s': more than %d dimensions", shown, (const char *)name->at,
                       TENSOR_MAX_RANK);
    }
    memcpy(entry.shape.dim, described->dims, sizeof described->dims);
    if (described->type.plain && described->type.len < sizeof entry.type) {
        memcpy(entry.type, described->type.at, described->type.len);
    }
    size_t size = bytes_of_type(entry.type);
    if (size == 0) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "tensor '%.*s': its type is not known", shown, (const char *)name->at);
    }
    int64_t from = described->offsets[0];
    int64_t to = described->offsets[1];
    if (!shape_count(&entry.shape, &count) || !size_mul((size_t)count, size, &bytes) || from > to ||
        (uint64_t)to > data->left || (uint64_t)(to - from) != bytes) {
        return ERR_SAY(note, ERR_FORMAT, "tensor '%.*s': its shape does not fit its %lld bytes, or the file", shown,
                       (const char *)name->at, (long long)(to - from));
    }
    entry.data = data->at + from;
    entry.n_bytes = bytes;
    *ret = entry;
    return ERR_NONE;
}

/* ---- The header -------------------------------------------------------------------------------------------------- */

/* {"format": "pt", ...}: says nothing about the tensors. */
static void skip_metadata(struct json *json)
{
    expect(json, '{');
    if (take(json, '}')) {
        return;
    }
    do {
        (void)take_text(json);
        expect(json, ':');
        (void)take_text(json);
    } while (take(json, ','));
    expect(json, '}');
}

static enum err copy_name(struct arena *mem, const struct text *text, const char **ret)
{
    char *name = arena_alloc(mem, text->len + 1, 1);

    if (name == NULL) {
        return arena_why(mem);
    }
    memcpy(name, text->at, text->len);
    *ret = name;
    return ERR_NONE;
}

/* Walks the header; list NULL only counts. */
static enum err walk(struct json json, const struct bytes *data, struct arena *mem, struct safetensors_entry *list,
                     int *ret_count, struct err_note *note)
{
    int count = 0;
    enum err err = ERR_NONE;

    expect(&json, '{');
    if (!take(&json, '}')) {
        do {
            struct text name = take_text(&json);
            struct safetensors_entry entry = {0};
            expect(&json, ':');
            if (is(&name, "__metadata__")) {
                skip_metadata(&json);
                continue;
            }
            struct described described = take_described(&json);
            if (bytes_failed(&json.bytes)) {
                break;
            }
            err = check_described(&described, &name, data, &entry, note);
            if (err == ERR_NONE && count == SAFETENSORS_MOST) {
                err = ERR_SAY(note, ERR_LIMIT, "more than %d tensors", SAFETENSORS_MOST);
            }
            if (err == ERR_NONE && list != NULL) {
                err = copy_name(mem, &name, &entry.name);
                list[count] = entry;
            }
            count++;
        } while (err == ERR_NONE && take(&json, ','));
        if (err != ERR_NONE) {
            return ERR_SAY(note, err, "no memory for the tensors' names");
        }
        expect(&json, '}');
    }
    if (bytes_failed(&json.bytes) || peek(&json) != '\0') {
        return ERR_SAY(note, ERR_FORMAT, "the header is damaged: is it a safetensors file?");
    }
    *ret_count = count;
    return ERR_NONE;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct safetensors_entry *)a)->name, ((const struct safetensors_entry *)b)->name);
}

enum err safetensors_read(const void *bytes, size_t n_bytes, struct arena *mem, struct safetensors *ret,
                          struct err_note *note)
{
    struct bytes data = bytes_over(bytes, n_bytes);
    uint64_t length = bytes_u64le(&data);
    int count = 0;

    if (bytes_failed(&data) || length > data.left) {
        return ERR_SAY(note, ERR_FORMAT, "the file is shorter than its header: is it a safetensors file?");
    }
    if (length > SAFETENSORS_HEADER_BYTES) {
        return ERR_SAY(note, ERR_LIMIT, "a header of %llu bytes; the limit is %zu", (unsigned long long)length,
                       SAFETENSORS_HEADER_BYTES);
    }
    struct json json = {.bytes = bytes_over(bytes_take(&data, (size_t)length), (size_t)length)};
    enum err err = walk(json, &data, mem, NULL, &count, note);
    if (err != ERR_NONE) {
        return err;
    }
    struct safetensors_entry *list = ARENA_ARRAY(mem, struct safetensors_entry, count);
    if (list == NULL) {
        return ERR_SAY(note, arena_why(mem), "no memory for %d tensors", count);
    }
    err = walk(json, &data, mem, list, &count, note);
    if (err != ERR_NONE) {
        return err;
    }
    qsort(list, (size_t)count, sizeof *list, by_name);
    for (int i = 1; i < count; i++) {
        if (strcmp(list[i - 1].name, list[i].name) == 0) {
            return ERR_SAY(note, ERR_FORMAT, "two tensors are named '%.80s'", list[i].name);
        }
    }
    *ret = (struct safetensors){.list = list, .count = count};
    return ERR_NONE;
}

const struct safetensors_entry *safetensors_find(const struct safetensors *file, const char *name)
{
    struct safetensors_entry wanted = {.name = name};

    return file->count == 0 ? NULL : bsearch(&wanted, file->list, (size_t)file->count, sizeof wanted, by_name);
}

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

/* IEEE 754 binary16 in the bits of a binary32. */
static uint32_t widen(uint32_t half)
{
    uint32_t sign = (half & 0x8000U) << 16;
    uint32_t exponent = half >> 10 & 0x1FU;
    uint32_t fraction = half & 0x3FFU;

    if (exponent == 0x1F) {
        return sign | 0x7F800000U | fraction << 13;
    }
    if (exponent == 0) {
        if (fraction == 0) {
            return sign;
        }
        exponent = 1;
        while ((fraction & 0x400U) == 0) { /* a denormal of half precision is normal in single */
            fraction <<= 1;
            exponent--;
        }
        fraction &= 0x3FFU;
    }
    return sign | (exponent + 112) << 23 | fraction << 13;
}

enum err safetensors_floats(const struct safetensors_entry *entry, float *ret, struct err_note *note)
{
    struct bytes bytes = bytes_over(entry->data, entry->n_bytes);
    bool single = strcmp(entry->type, "F32") == 0;
    bool half = strcmp(entry->type, "F16") == 0;

    if (!single && !half && strcmp(entry->type, "BF16") != 0) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "tensor '%.80s': numbers of type %s are no weights", entry->name,
                       entry->type);
    }
    for (size_t i = 0; bytes.left > 0; i++) {
        uint32_t bits = single ? bytes_u32le(&bytes) : bytes_u16le(&bytes);
        bits = single ? bits : half ? widen(bits) : bits << 16;
        memcpy(&ret[i], &bits, sizeof bits);
    }
    return ERR_NONE;
}
