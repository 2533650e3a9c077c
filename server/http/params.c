/* params.c: three places where parameters stand, one table that says which there are. */
#include "server/http/params.h"

#include <errno.h>
#include <math.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/utf8.h"
#include "server/http/json.h"
#include "server/http/multipart.h"

struct reading {
    const struct route *route;
    const struct request *request;
    const struct params_limits *limits;
    struct arena *mem;
    struct params *params;
    const struct problem *problem;
    struct err_note *note;
};

static enum err refuse(struct reading *reading, const struct problem *problem, enum err err)
{
    reading->problem = problem;
    return err;
}

/* Finds the parameter and marks it as given; NULL after writing the refusal. */
static struct param_value *claim(struct reading *reading, const char *name, const struct param_def **ret_def)
{
    for (int i = 0; i < ROUTE_MAX_PARAMS && reading->route->params[i] != NULL; i++) {
        if (strcmp(reading->route->params[i]->name, name) != 0) {
            continue;
        }
        if (reading->params->values[i].given || reading->params->values[i].is_null) {
            (void)ERR_SAY(reading->note, ERR_FORMAT, "the parameter \"%s\" is given twice", name);
            (void)refuse(reading, &PROBLEM_BAD_PARAMETER, ERR_FORMAT);
            return NULL;
        }
        *ret_def = reading->route->params[i];
        return &reading->params->values[i];
    }
    (void)ERR_SAY(reading->note, ERR_FORMAT, "this call has no parameter \"%.64s\"", name);
    (void)refuse(reading, &PROBLEM_UNKNOWN_PARAMETER, ERR_FORMAT);
    return NULL;
}

static enum err bad(struct reading *reading, const struct param_def *def, const char *why)
{
    (void)ERR_SAY(reading->note, ERR_FORMAT, "the parameter \"%s\" %s", def->name, why);
    return refuse(reading, &PROBLEM_BAD_PARAMETER, ERR_FORMAT);
}

static enum err no_memory(struct reading *reading)
{
    enum err err = arena_why(reading->mem);
    return refuse(reading, problem_of(err), err);
}

static enum err put_number(struct reading *reading, const struct param_def *def, double number,
                           struct param_value *value)
{
    if (!isfinite(number) || number < def->min || number > def->max) {
        (void)ERR_SAY(reading->note, ERR_FORMAT, "the parameter \"%s\" is not within %.15g .. %.15g", def->name,
                      def->min, def->max);
        return refuse(reading, &PROBLEM_BAD_PARAMETER, ERR_FORMAT);
    }
    value->real = number;
    value->whole = (int64_t)number;
    return ERR_NONE;
}

static enum err put_choice(struct reading *reading, const struct param_def *def, const char *text,
                           struct param_value *value)
{
    int number = 0;
    size_t length = strlen(text);

    for (const char *word = def->choices; word != NULL; number++) {
        size_t word_length = strcspn(word, "|");
        if (word_length == length && memcmp(word, text, length) == 0) {
            value->choice = number;
            value->text = text;
            return ERR_NONE;
        }
        word = word[word_length] == '|' ? word + word_length + 1 : NULL;
    }
    (void)ERR_SAY(reading->note, ERR_FORMAT, "the parameter \"%s\" is none of %s", def->name, def->choices);
    return refuse(reading, &PROBLEM_BAD_PARAMETER, ERR_FORMAT);
}

static enum err put_vector(struct reading *reading, const struct param_def *def, const json_t *array,
                           struct param_value *value)
{
    size_t count = json_array_size(array);

    if (count == 0 || count > (size_t)reading->limits->vector_length) {
        return bad(reading, def, "has no numbers, or too many");
    }
    float *vector = ARENA_ARRAY(reading->mem, float, count);
    if (vector == NULL) {
        return no_memory(reading);
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *number = json_array_get(array, i);
        if (!json_is_number(number)) {
            return bad(reading, def, "holds something that is not a number");
        }
        vector[i] = (float)json_number_value(number);
    }
    value->vector = vector;
    value->count = (int)count;
    return ERR_NONE;
}

static enum err put_texts(struct reading *reading, const struct param_def *def, const json_t *array,
                          struct param_value *value)
{
    size_t count = json_array_size(array);

    if (count > REQUEST_MAX_PAIRS) {
        return bad(reading, def, "has too many entries");
    }
    value->texts = ARENA_ARRAY(reading->mem, const char *, count + 1);
    if (value->texts == NULL) {
        return no_memory(reading);
    }
    for (size_t i = 0; i < count; i++) {
        value->texts[i] = json_string_value(json_array_get(array, i));
        if (value->texts[i] == NULL) {
            return bad(reading, def, "holds something that is not a text");
        }
    }
    value->count = (int)count;
    return ERR_NONE;
}

static enum err split_texts(struct reading *reading, const struct param_def *def, const char *text,
                            struct param_value *value)
{
    char *copy = arena_copy_text(reading->mem, text);
    value->texts = ARENA_ARRAY(reading->mem, const char *, REQUEST_MAX_PAIRS);

    if (copy == NULL || value->texts == NULL) {
        return no_memory(reading);
    }
    while (*copy != '\0') {
        size_t length = strcspn(copy, ",");
        bool last = copy[length] == '\0';
        if (value->count == REQUEST_MAX_PAIRS) {
            return bad(reading, def, "has too many entries");
        }
        copy[length] = '\0';
        value->texts[value->count++] = copy;
        copy += length + (last ? 0 : 1);
    }
    return ERR_NONE;
}

/* A parameter as text: from the address, or a part of a multipart body. */
static enum err put_text(struct reading *reading, const struct param_def *def, const char *text,
                         struct param_value *value)
{
    char *end = NULL;
    json_t *document = NULL;
    enum err err = ERR_NONE;

    switch (def->type) {
    case PARAM_TEXT: value->text = text; return ERR_NONE;
    case PARAM_WHOLE:
    case PARAM_REAL:
        errno = 0;
        double number = def->type == PARAM_WHOLE ? (double)strtoll(text, &end, 10) : strtod(text, &end);
        if (end == text || *end != '\0' || errno != 0) {
            return bad(reading, def, def->type == PARAM_WHOLE ? "is not a whole number" : "is not a number");
        }
        return put_number(reading, def, number, value);
    case PARAM_SWITCH:
        value->on = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
        if (!value->on && strcmp(text, "false") != 0 && strcmp(text, "0") != 0) {
            return bad(reading, def, "is neither true nor false");
        }
        return ERR_NONE;
    case PARAM_CHOICE: return put_choice(reading, def, text, value);
    case PARAM_TEXTS: return split_texts(reading, def, text, value);
    case PARAM_OBJECT:
        err = json_read(text, strlen(text), reading->limits->json_depth, &document, reading->note);
        json_decref(document);
        value->text = text;
        return err == ERR_NONE ? ERR_NONE : refuse(reading, &PROBLEM_BAD_PARAMETER, err);
    case PARAM_VECTOR:
        err = json_read_array(text, strlen(text), reading->limits->json_depth, &document, reading->note);
        if (err != ERR_NONE) {
            return refuse(reading, &PROBLEM_BAD_PARAMETER, err);
        }
        err = put_vector(reading, def, document, value);
        json_decref(document);
        return err;
    case PARAM_PHOTO: return bad(reading, def, "is a photo and does not belong into the address");
    }
    return ERR_NONE;
}

/* base64, with or without padding, with or without a data: prefix, line ends allowed. */
static enum err put_base64(struct reading *reading, const struct param_def *def, const json_t *text,
                           struct param_value *value)
{
    const char *start = json_string_value(text);
    size_t length = json_string_length(text);
    static const int variants[] = {sodium_base64_VARIANT_ORIGINAL, sodium_base64_VARIANT_ORIGINAL_NO_PADDING};

    if (strncmp(start, "data:", 5) == 0) {
        const char *comma = memchr(start, ',', length < 256 ? length : 256);
        if (comma == NULL) {
            return bad(reading, def, "begins as a data: address but has no comma");
        }
        length -= (size_t)(comma + 1 - start);
        start = comma + 1;
    }
    size_t room = length / 4 * 3 + 3;
    unsigned char *bytes = ARENA_ARRAY(reading->mem, unsigned char, room);
    if (bytes == NULL) {
        return no_memory(reading);
    }
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
        if (sodium_base642bin(bytes, room, start, length, "\r\n ", &value->n_bytes, NULL, variants[i]) == 0) {
            value->bytes = bytes;
            return ERR_NONE;
        }
    }
    return bad(reading, def, "is not base64");
}

/* A parameter as a member of the JSON body. */
static enum err put_json(struct reading *reading, const struct param_def *def, json_t *json, struct param_value *value)
{
    switch (def->type) {
    case PARAM_TEXT:
        value->text = json_string_value(json);
        return value->text == NULL ? bad(reading, def, "is not a text") : ERR_NONE;
    case PARAM_WHOLE:
        if (!json_is_integer(json)) {
            return bad(reading, def, "is not a whole number");
        }
        return put_number(reading, def, (double)json_integer_value(json), value);
    case PARAM_REAL:
        if (!json_is_number(json)) {
            return bad(reading, def, "is not a number");
        }
        return put_number(reading, def, json_number_value(json), value);
    case PARAM_SWITCH:
        value->on = json_is_true(json);
        return json_is_boolean(json) ? ERR_NONE : bad(reading, def, "is neither true nor false");
    case PARAM_CHOICE:
        return json_is_string(json) ? put_choice(reading, def, json_string_value(json), value)
                                    : bad(reading, def, "is not a text");
    case PARAM_TEXTS:
        return json_is_array(json) ? put_texts(reading, def, json, value) : bad(reading, def, "is not an array");
    case PARAM_OBJECT: {
        if (!json_is_object(json)) {
            return bad(reading, def, "is not an object");
        }
        size_t length = json_dumpb(json, NULL, 0, JSON_COMPACT);
        char *text = ARENA_ARRAY(reading->mem, char, length + 1);
        if (text == NULL) {
            return no_memory(reading);
        }
        (void)json_dumpb(json, text, length, JSON_COMPACT);
        value->text = text;
        return ERR_NONE;
    }
    case PARAM_VECTOR:
        return json_is_array(json) ? put_vector(reading, def, json, value) : bad(reading, def, "is not an array");
    case PARAM_PHOTO:
        return json_is_string(json) ? put_base64(reading, def, json, value) : bad(reading, def, "is not a text");
    }
    return ERR_NONE;
}

static enum err read_query(struct reading *reading)
{
    for (int i = 0; i < reading->request->n_query; i++) {
        const struct query_pair *pair = &reading->request->query[i];
        const struct param_def *def = NULL;
        struct param_value *value = claim(reading, pair->name, &def);
        if (value == NULL) {
            return ERR_FORMAT;
        }
        if (def->type == PARAM_VECTOR) {
            return bad(reading, def, "does not belong into the address");
        }
        enum err err = put_text(reading, def, pair->value, value);
        if (err != ERR_NONE) {
            return err;
        }
        value->given = true;
    }
    return ERR_NONE;
}

static enum err read_json(struct reading *reading)
{
    const struct request *request = reading->request;
    const char *name = NULL;
    json_t *member = NULL;

    enum err err = json_read(request->body, request->body_bytes, reading->limits->json_depth,
                             &reading->params->document, reading->note);
    if (err != ERR_NONE) {
        return refuse(reading, err == ERR_NOMEM ? problem_of(err) : &PROBLEM_BAD_JSON, err);
    }
    json_object_foreach(reading->params->document, name, member)
    {
        const struct param_def *def = NULL;
        struct param_value *value = claim(reading, name, &def);
        if (value == NULL) {
            return ERR_FORMAT;
        }
        if (json_is_null(member)) {
            value->is_null = true;
            continue;
        }
        err = put_json(reading, def, member, value);
        if (err != ERR_NONE) {
            return err;
        }
        value->given = true;
    }
    return ERR_NONE;
}

static enum err read_multipart(struct reading *reading)
{
    const struct request *request = reading->request;
    struct part parts[MULTIPART_MAX_PARTS];
    int count = 0;

    enum err err = multipart_parse(request->content_type, request->body, request->body_bytes, reading->mem, parts,
                                   &count, reading->note);
    if (err != ERR_NONE) {
        return refuse(reading, &PROBLEM_BAD_MULTIPART, err);
    }
    for (int i = 0; i < count; i++) {
        const struct param_def *def = NULL;
        struct param_value *value = claim(reading, parts[i].name, &def);
        if (value == NULL) {
            return ERR_FORMAT;
        }
        if (def->type == PARAM_PHOTO) {
            value->bytes = parts[i].bytes;
            value->n_bytes = parts[i].n_bytes;
        } else {
            char *text = ARENA_ARRAY(reading->mem, char, parts[i].n_bytes + 1);
            if (text == NULL) {
                return no_memory(reading);
            }
            memcpy(text, parts[i].bytes, parts[i].n_bytes);
            if (!utf8_is_text(text, parts[i].n_bytes)) {
                return bad(reading, def, "is not UTF-8");
            }
            err = put_text(reading, def, text, value);
            if (err != ERR_NONE) {
                return err;
            }
        }
        value->given = true;
    }
    return ERR_NONE;
}

/* The body is the photo. */
static enum err read_raw(struct reading *reading)
{
    const struct param_def *def = NULL;
    struct param_value *value = claim(reading, "image", &def);

    if (value == NULL) {
        return ERR_FORMAT;
    }
    value->bytes = reading->request->body;
    value->n_bytes = reading->request->body_bytes;
    value->given = true;
    return ERR_NONE;
}

static bool type_is(const char *content_type, const char *wanted)
{
    size_t length = strlen(wanted);
    return content_type != NULL && strncasecmp(content_type, wanted, length) == 0 &&
           strchr(";, \t", content_type[length]) != NULL;
}

static enum err read_body(struct reading *reading)
{
    const struct request *request = reading->request;

    if ((reading->route->flags & ROUTE_UPLOAD) != 0) {
        return ERR_NONE; /* the handler looks into the file */
    }
    if (type_is(request->content_type, "multipart/form-data")) {
        return read_multipart(reading);
    }
    if (request->body_bytes == 0) {
        return ERR_NONE;
    }
    if (type_is(request->content_type, "application/json")) {
        return read_json(reading);
    }
    if ((reading->route->flags & ROUTE_PHOTO) != 0) {
        return read_raw(reading);
    }
    return refuse(reading, &PROBLEM_MEDIA_TYPE, ERR_UNSUPPORTED);
}

enum err params_read(const struct route *route, const struct request *request, const struct params_limits *limits,
                     struct arena *mem, struct params *ret, const struct problem **ret_problem, struct err_note *note)
{
    struct params params = {0};
    struct reading reading = {
        .route = route, .request = request, .limits = limits, .mem = mem, .params = &params, .note = note};

    enum err err = read_query(&reading);
    if (err == ERR_NONE) {
        err = read_body(&reading);
    }
    if (err != ERR_NONE) {
        params_release(&params);
        *ret_problem = reading.problem == NULL ? problem_of(err) : reading.problem;
        return err;
    }
    *ret = params;
    return ERR_NONE;
}

void params_release(struct params *params)
{
    json_decref(params->document);
    *params = (struct params){0};
}
