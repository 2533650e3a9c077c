/* attr.c: finding a node's attributes by name and kind. */
#include <string.h>

#include "core/graph/op.h"

static const char *kind_name(enum attr_kind kind)
{
    switch (kind) {
    case ATTR_INT: return "an integer";
    case ATTR_FLOAT: return "a float";
    case ATTR_TEXT: return "a text";
    case ATTR_INTS: return "a list of integers";
    case ATTR_FLOATS: return "a list of floats";
    case ATTR_TENSOR: return "a tensor";
    case ATTR_OTHER: break;
    }
    return "of another kind";
}

const struct attr *attr_find(const struct attrs *attrs, const char *name)
{
    for (int i = 0; i < attrs->count; i++) {
        if (strcmp(attrs->list[i].name, name) == 0) {
            return &attrs->list[i];
        }
    }
    return NULL;
}

/* *ret is NULL when it is absent. */
static enum err find_kind(const struct attrs *attrs, const char *name, enum attr_kind kind, const struct attr **ret,
                          struct err_note *note)
{
    const struct attr *found = attr_find(attrs, name);

    if (found != NULL && found->kind != kind) {
        return ERR_SAY(note, ERR_FORMAT, "attribute '%s' is %s, where %s is expected", name, kind_name(found->kind),
                       kind_name(kind));
    }
    *ret = found;
    return ERR_NONE;
}

enum err attr_int(const struct attrs *attrs, const char *name, int64_t absent, int64_t *ret, struct err_note *note)
{
    const struct attr *found;
    enum err err = find_kind(attrs, name, ATTR_INT, &found, note);

    if (err == ERR_NONE) {
        *ret = found == NULL ? absent : found->i;
    }
    return err;
}

enum err attr_float(const struct attrs *attrs, const char *name, float absent, float *ret, struct err_note *note)
{
    const struct attr *found;
    enum err err = find_kind(attrs, name, ATTR_FLOAT, &found, note);

    if (err == ERR_NONE) {
        *ret = found == NULL ? absent : found->f;
    }
    return err;
}

enum err attr_text(const struct attrs *attrs, const char *name, const char *absent, const char **ret,
                   struct err_note *note)
{
    const struct attr *found;
    enum err err = find_kind(attrs, name, ATTR_TEXT, &found, note);

    if (err == ERR_NONE) {
        *ret = found == NULL ? absent : found->text;
    }
    return err;
}

enum err attr_ints(const struct attrs *attrs, const char *name, const int64_t **ret, size_t *ret_count,
                   struct err_note *note)
{
    const struct attr *found;
    enum err err = find_kind(attrs, name, ATTR_INTS, &found, note);

    if (err == ERR_NONE) {
        *ret = found == NULL ? NULL : found->ints;
        *ret_count = found == NULL ? 0 : found->count;
    }
    return err;
}

enum err attr_floats(const struct attrs *attrs, const char *name, const float **ret, size_t *ret_count,
                     struct err_note *note)
{
    const struct attr *found;
    enum err err = find_kind(attrs, name, ATTR_FLOATS, &found, note);

    if (err == ERR_NONE) {
        *ret = found == NULL ? NULL : found->floats;
        *ret_count = found == NULL ? 0 : found->count;
    }
    return err;
}
