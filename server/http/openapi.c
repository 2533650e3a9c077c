/* openapi.c: routes and schemas become one document. */
#include "server/http/openapi.h"

#include <ctype.h>
#include <string.h>

#include "server/http/openapi_text.h"
#include "server/http/route.h"
#include "server/store/key_rows.h"

/* The words of "a|b|c". */
static json_t *choices_json(const char *choices)
{
    json_t *words = json_array();

    for (const char *word = choices; word != NULL;) {
        size_t length = strcspn(word, "|");
        (void)json_array_append_new(words, json_stringn(word, length));
        word = word[length] == '|' ? word + length + 1 : NULL;
    }
    return words;
}

static json_t *schema_of(const struct param_def *def)
{
    switch (def->type) {
    case PARAM_TEXT: return json_pack("{s:s}", "type", "string");
    case PARAM_WHOLE:
        return json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)def->min, "maximum",
                         (json_int_t)def->max);
    case PARAM_REAL: return json_pack("{s:s, s:f, s:f}", "type", "number", "minimum", def->min, "maximum", def->max);
    case PARAM_SWITCH: return json_pack("{s:s}", "type", "boolean");
    case PARAM_CHOICE: return json_pack("{s:s, s:o}", "type", "string", "enum", choices_json(def->choices));
    case PARAM_TEXTS: return json_pack("{s:s, s:{s:s}}", "type", "array", "items", "type", "string");
    case PARAM_OBJECT: return json_pack("{s:s}", "type", "object");
    case PARAM_VECTOR: return json_pack("{s:s, s:{s:s}}", "type", "array", "items", "type", "number");
    case PARAM_PHOTO: return json_pack("{s:s, s:s}", "type", "string", "contentEncoding", "base64");
    }
    return NULL;
}

/* Parameters of the address: those of the path, and all that are neither photo nor vector. */
static json_t *parameters_of(const struct route *route)
{
    json_t *list = json_array();
    const char *brace = strchr(route->pattern, '{');

    if (route_keeps(route)) {
        (void)json_array_append_new(list, json_pack("{s:s}", "$ref", "#/components/parameters/IdempotencyKey"));
    }
    if (brace != NULL) {
        (void)json_array_append_new(list, json_pack("{s:o, s:s, s:b, s:{s:s}}", "name",
                                                    json_stringn(brace + 1, strcspn(brace + 1, "}")), "in", "path",
                                                    "required", 1, "schema", "type", "string"));
    }
    for (int i = 0; i < ROUTE_MAX_PARAMS && route->params[i] != NULL; i++) {
        const struct param_def *def = route->params[i];
        if (def->type != PARAM_PHOTO && def->type != PARAM_VECTOR) {
            (void)json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o}", "name", def->name, "in", "query",
                                                        "description", def->help, "schema", schema_of(def)));
        }
    }
    return list;
}

/* The same parameters, and the photos and vectors, as members of a body. */
static json_t *body_of(const struct route *route)
{
    json_t *properties = json_object();

    if ((route->flags & ROUTE_UPLOAD) != 0) {
        json_decref(properties);
        return json_pack("{s:{s:{}}}", "content", "application/octet-stream");
    }
    for (int i = 0; i < ROUTE_MAX_PARAMS && route->params[i] != NULL; i++) {
        json_t *schema = schema_of(route->params[i]);
        (void)json_object_set_new(schema, "description", json_string(route->params[i]->help));
        (void)json_object_set_new(properties, route->params[i]->name, schema);
    }
    json_t *schema =
        json_pack("{s:s, s:o, s:b}", "type", "object", "properties", properties, "additionalProperties", 0);
    json_t *content =
        json_pack("{s:{s:O}, s:{s:o}}", "application/json", "schema", schema, "multipart/form-data", "schema", schema);
    if ((route->flags & ROUTE_PHOTO) != 0) {
        (void)json_object_set_new(content, "image/*", json_object());
    }
    return json_pack("{s:o}", "content", content);
}

static json_t *operation_of(const struct route *route)
{
    char status[8];
    char reference[64];

    (void)snprintf(status, sizeof(status), "%d", route->success);
    (void)snprintf(reference, sizeof(reference), "#/components/schemas/%s", route->answer);
    json_t *answer = route->answer[0] == '*' || strchr(route->answer, '/') != NULL
                         ? json_pack("{s:s, s:{s:{}}}", "description", "The content.", "content", route->answer)
                         : json_pack("{s:s, s:{s:{s:{s:s}}}}", "description", "The answer.", "content",
                                     "application/json", "schema", "$ref", reference);
    json_t *operation =
        json_pack("{s:s, s:o, s:{s:o, s:{s:s}}}", "summary", route->summary, "parameters", parameters_of(route),
                  "responses", status, answer, "default", "$ref", "#/components/responses/Problem");
    if (route->params[0] != NULL && route->method != METHOD_GET && route->method != METHOD_DELETE) {
        (void)json_object_set_new(operation, "requestBody", body_of(route));
    }
    if ((route->flags & ROUTE_OPEN) != 0) {
        (void)json_object_set_new(operation, "security", json_array());
    }
    if (route->scope != 0) {
        (void)json_object_set_new(operation, "x-scope", json_string(scope_word((enum scope)route->scope)));
    }
    return operation;
}

json_t *openapi_document(const char *version)
{
    int count = 0;
    const struct route *routes = route_list(&count);
    json_t *document = json_loads(openapi_text, 0, NULL);
    json_t *paths = json_object();

    for (int i = 0; i < count; i++) {
        char method[8];
        (void)snprintf(method, sizeof(method), "%s", method_text(routes[i].method));
        for (char *c = method; *c != '\0'; c++) {
            *c = (char)tolower((unsigned char)*c);
        }
        json_t *path = json_object_get(paths, routes[i].pattern);
        if (path == NULL) {
            path = json_object();
            (void)json_object_set_new(paths, routes[i].pattern, path);
        }
        (void)json_object_set_new(path, method, operation_of(&routes[i]));
    }
    if (document == NULL || json_object_set_new(document, "paths", paths) != 0 ||
        json_object_set_new(json_object_get(document, "info"), "version", json_string(version)) != 0) {
        json_decref(document);
        return NULL;
    }
    return document;
}
