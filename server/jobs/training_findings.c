/* training_findings.c: labels become subjects, dropped photos findings. */
#include "server/jobs/training_findings.h"

#include <jansson.h>

#include "core/base/mem.h"
#include "server/gallery/freeze.h"
#include "server/store/finding_rows.h"
#include "server/store/subject_rows.h"

/* The subject behind a label, 0 for one that is gone or for no label; asked once each. */
struct subjects {
    struct store *store;
    const json_t *uuids;
    int64_t *ids; /* [labels], -1: not asked yet */
    struct arena *mem;
    struct err_note *note;
};

static enum err read_list(const char *folder, const char *name, struct arena *mem, json_t **ret, struct err_note *note)
{
    const char *path = arena_format(mem, "%s/%s", folder, name);

    if (path == NULL) {
        return arena_why(mem);
    }
    json_t *list = json_load_file(path, 0, NULL);
    if (!json_is_array(list)) {
        json_decref(list);
        return ERR_SAY(note, ERR_FORMAT, "the training's %s is no list in JSON", name);
    }
    *ret = list;
    return ERR_NONE;
}

static enum err subject_of(const struct subjects *subjects, json_int_t label, int64_t *ret)
{
    struct subject_row row = {0};

    if (label < 0 || label >= (json_int_t)json_array_size(subjects->uuids)) {
        *ret = 0;
        return ERR_NONE;
    }
    if (subjects->ids[label] < 0) {
        const char *uuid = json_string_value(json_array_get(subjects->uuids, (size_t)label));
        enum err err = uuid == NULL
                           ? ERR_NOT_FOUND
                           : store_subject_find_uuid(subjects->store, uuid, subjects->mem, &row, subjects->note);
        if (err != ERR_NONE && err != ERR_NOT_FOUND) {
            return err;
        }
        subjects->ids[label] = row.id;
    }
    *ret = subjects->ids[label];
    return ERR_NONE;
}

static enum err read_one(const struct subjects *subjects, json_t *entry, struct finding_new *ret)
{
    json_int_t face = 0;
    json_int_t label = 0;
    json_int_t likely = -1;
    double degrees = 0;
    double likely_degrees = 0;
    int subcenter = 0;

    if (json_unpack(entry, "{s:I, s:I, s:i, s:F, s:I, s:F}", "face", &face, "label", &label, "subcenter", &subcenter,
                    "degrees", &degrees, "likely", &likely, "likely_degrees", &likely_degrees) != 0) {
        return ERR_SAY(subjects->note, ERR_FORMAT,
                       "the training's " TRAINING_FOUND " holds something else than photos");
    }
    *ret = (struct finding_new){.face_id = face,
                                .subcenter = subcenter,
                                .degrees = (float)degrees,
                                .likely_degrees = likely < 0 ? 0 : (float)likely_degrees};
    enum err err = subject_of(subjects, label, &ret->subject_id);
    return err == ERR_NONE ? subject_of(subjects, likely, &ret->likely_id) : err;
}

static enum err take(const struct subjects *subjects, int64_t job_id, const json_t *found)
{
    size_t n = json_array_size(found);
    struct finding_new *rows = MEM_ARRAY(struct finding_new, n + 1);
    enum err err = rows == NULL ? ERR_NOMEM : ERR_NONE;
    size_t i;
    json_t *entry;

    json_array_foreach(found, i, entry)
    {
        if (err == ERR_NONE) {
            err = read_one(subjects, entry, &rows[i]);
        }
    }
    if (err == ERR_NONE) {
        err = store_findings_put(subjects->store, job_id, rows, (int)n, subjects->note);
    }
    mem_free(rows);
    return err;
}

enum err training_findings_take(struct store *store, int64_t job_id, const char *folder, struct arena *mem,
                                struct err_note *note)
{
    struct subjects subjects = {.store = store, .mem = mem, .note = note};
    json_t *found = NULL;
    json_t *people = NULL;

    enum err err = read_list(folder, TRAINING_FOUND, mem, &found, note);
    if (err == ERR_NONE) {
        err = read_list(folder, FREEZE_PEOPLE, mem, &people, note);
    }
    if (err == ERR_NONE) {
        size_t labels = json_array_size(people);
        subjects.uuids = people;
        subjects.ids = ARENA_ARRAY(mem, int64_t, labels + 1);
        err = subjects.ids == NULL ? arena_why(mem) : ERR_NONE;
        for (size_t i = 0; err == ERR_NONE && i < labels; i++) {
            subjects.ids[i] = -1;
        }
    }
    if (err == ERR_NONE) {
        err = take(&subjects, job_id, found);
    }
    json_decref(people);
    json_decref(found);
    return err;
}
