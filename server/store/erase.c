/*
 * erase.c: removing faces with everything that was made of them.
 *
 * What hangs on a face or a subject goes by the schema's cascades; this file counts it first, for the receipt, and removes
 * the photos that show nobody else enrolled.
 */
#include "server/store/erase_private.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"

/* The same six questions for a face, a subject and a collection; column is that of the faces f. */
#define QUESTIONS(column)                                                                                              \
    .n_faces = "SELECT count(*) FROM faces f WHERE f." column " = ?1",                                                 \
    .face_ids = "SELECT f.id FROM faces f WHERE f." column " = ?1 ORDER BY f.id",                                      \
    .n_embeddings = "SELECT count(*) FROM faces f JOIN embeddings e ON e.face_id = f.id WHERE f." column " = ?1",      \
    .n_crops = "SELECT count(*) FROM faces f JOIN crops c ON c.face_id = f.id WHERE f." column " = ?1",                \
    .n_photos_kept =                                                                                                   \
        "SELECT count(DISTINCT f.photo_id) FROM faces f WHERE f." column " = ?1 AND EXISTS (SELECT 1 FROM "            \
        "faces o WHERE o.photo_id = f.photo_id AND o." column " <> ?1)",                                               \
    .delete_photos = "DELETE FROM photos WHERE id IN (SELECT f.photo_id FROM faces f WHERE f." column " = ?1 "         \
                     "AND f.photo_id IS NOT NULL) AND NOT EXISTS (SELECT 1 FROM faces f WHERE f.photo_id = photos.id " \
                     "AND f." column " <> ?1)"

/* A part that was refused has no face, by which the others are found: its folder has the subject's name. */
#define FORGET_NAMES "UPDATE import_items SET name = '', sentence = '', outcome = 'erased' WHERE face_id IS NULL AND "

static const struct plan {
    const char *n_faces, *face_ids, *n_embeddings, *n_crops, *n_photos_kept, *delete_photos;
    const char *n_subjects;
    const char *forget_names; /* in the lists of imports; NULL: a face has its own trigger */
    const char *delete_rows;
    const char *objects; /* JSON of the ids, without its braces */
    const char *missing;
    const char *action;
} plans[] = {
    [ERASE_FACE] = {QUESTIONS("id"), .n_subjects = "SELECT 0 WHERE EXISTS (SELECT 1 FROM faces WHERE id = ?1)",
                    .delete_rows = "DELETE FROM faces WHERE id = ?1",
                    .objects = "SELECT json_object('collection', f.collection_id, 'subject', s.uuid, 'face', f.uuid) "
                               "FROM faces f JOIN subjects s ON s.id = f.subject_id WHERE f.id = ?1",
                    .missing = "there is no such face", .action = "face.delete"},
    [ERASE_SUBJECT] = {QUESTIONS("subject_id"), .n_subjects = "SELECT 1 FROM subjects WHERE id = ?1",
                       .forget_names = FORGET_NAMES
                       "job_id IN (SELECT j.id FROM jobs j JOIN subjects s ON s.collection_id = j.collection_id WHERE "
                       "s.id = ?1) AND instr('/' || name, '/' || (SELECT name FROM subjects WHERE id = ?1) || '/') > 0",
                       .delete_rows = "DELETE FROM subjects WHERE id = ?1",
                       .objects = "SELECT json_object('collection', collection_id, 'subject', uuid) FROM subjects "
                                  "WHERE id = ?1",
                       .missing = "there is no such subject", .action = "subject.delete"},
    [ERASE_COLLECTION] = {QUESTIONS("collection_id"),
                          .n_subjects = "SELECT (SELECT count(*) FROM subjects WHERE collection_id = c.id) "
                                        "FROM collections c WHERE id = ?1",
                          .forget_names = FORGET_NAMES "job_id IN (SELECT id FROM jobs WHERE collection_id = ?1)",
                          .delete_rows = "DELETE FROM collections WHERE id = ?1",
                          .objects = "SELECT json_object('collection', id) FROM collections WHERE id = ?1",
                          .missing = "there is no such collection", .action = "collection.delete"},
};

static enum err count_all(struct db *db, const struct plan *plan, const struct db_value *id, struct receipt *receipt,
                          struct err_note *note)
{
    enum err err = db_integer(db, plan->n_subjects, id, &receipt->n_subjects, note);

    if (err == ERR_NOT_FOUND) {
        return ERR_SAY(note, ERR_NOT_FOUND, "%s", plan->missing);
    }
    if (err == ERR_NONE) {
        err = db_integer(db, plan->n_faces, id, &receipt->n_faces, note);
    }
    if (err == ERR_NONE) {
        err = db_integer(db, plan->n_embeddings, id, &receipt->n_embeddings, note);
    }
    if (err == ERR_NONE) {
        err = db_integer(db, plan->n_crops, id, &receipt->n_crops, note);
    }
    if (err == ERR_NONE) {
        err = db_integer(db, plan->n_photos_kept, id, &receipt->n_photos_kept, note);
    }
    return err;
}

static enum err ids_read(struct db *db, const struct plan *plan, const struct db_value *id, struct arena *mem,
                         struct receipt *receipt, struct err_note *note)
{
    sqlite3_stmt *statement = NULL;
    int64_t *ids = ARENA_ARRAY(mem, int64_t, receipt->n_faces);

    if (ids == NULL) {
        return arena_why(mem);
    }
    enum err err = db_start(db, plan->face_ids, id, &statement, note);
    if (err != ERR_NONE) {
        return err;
    }
    for (int64_t i = 0; i < receipt->n_faces; i++) {
        bool row = false;
        err = db_step(db, statement, &row, note);
        if (err != ERR_NONE) {
            break;
        }
        ids[i] = sqlite3_column_int64(statement, 0);
    }
    db_done(statement);
    receipt->face_ids = ids;
    return err;
}

enum err erase_apply(struct db *db, void *context, struct err_note *note)
{
    struct erase *erase = context;
    const struct plan *plan = &plans[erase->what];
    const struct db_value id[] = {db_int(erase->id), {0}};
    struct receipt *receipt = &erase->receipt;
    char ids[AUDIT_IDS_TEXT];
    char objects[512];

    *receipt = (struct receipt){.subject_id = erase->what == ERASE_SUBJECT ? erase->id : 0,
                                .collection_id = erase->what == ERASE_COLLECTION ? erase->id : 0};
    enum err err = count_all(db, plan, id, receipt, note);
    if (err == ERR_NONE && erase->what != ERASE_COLLECTION) {
        err = ids_read(db, plan, id, erase->mem, receipt, note);
    }
    if (err == ERR_NONE) {
        err = one_read_in(db, plan->objects, id, audit_ids_read, NULL, ids, plan->missing, note);
    }
    if (err == ERR_NONE) {
        err = db_run(db, plan->delete_photos, id, note);
        receipt->n_photos = db_changed(db);
    }
    if (err == ERR_NONE && plan->forget_names != NULL) {
        err = db_run(db, plan->forget_names, id, note);
    }
    if (err == ERR_NONE) {
        err = db_run(db, plan->delete_rows, id, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    /* The ids without their closing brace, then the counts. */
    size_t len = strlen(ids);
    (void)snprintf(objects, sizeof objects,
                   "%.*s,\"subjects\":%lld,\"faces\":%lld,\"embeddings\":%lld,\"crops\":%lld,\"photos\":%lld,"
                   "\"photos_kept\":%lld}",
                   (int)(len == 0 ? 0 : len - 1), ids, (long long)receipt->n_subjects, (long long)receipt->n_faces,
                   (long long)receipt->n_embeddings, (long long)receipt->n_crops, (long long)receipt->n_photos,
                   (long long)receipt->n_photos_kept);
    receipt->at_ms = clock_unix_ms();
    return audit_append(db, erase->actor, plan->action, objects, &receipt->audit_id, receipt->audit_hash, note);
}

/* The receipt is the caller's before the index is told. */
struct handover {
    const struct erase *erase;
    struct receipt *ret;
    const struct after_commit *after;
};

static void handover_call(void *context)
{
    struct handover *handover = context;

    *handover->ret = handover->erase->receipt;
    if (handover->after != NULL) {
        handover->after->call(handover->after->context);
    }
}

enum err erase_run(struct store *store, struct erase *erase, const struct after_commit *after, struct receipt *ret,
                   struct err_note *note)
{
    struct handover handover = {.erase = erase, .ret = ret, .after = after};
    bool scrubbed = false;
    enum err err =
        db_erase(store, erase_apply, erase, &(struct after_commit){handover_call, &handover}, &scrubbed, note);

    if (err == ERR_NONE) {
        ret->scrubbed = scrubbed;
    }
    return err;
}
