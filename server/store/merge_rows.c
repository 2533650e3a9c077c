/* merge_rows.c: two subjects become one, and two again. */
#include "server/store/merge_rows.h"

#include "core/base/clock.h"
#include "server/store/replay_private.h"
#include "server/store/subject_private.h"

struct merging {
    int64_t from_id, into_id;
    const char *actor;
    const struct replay *replay;
    struct arena *mem;
    struct subject_row row;
};

/* Refuses what makes no sense, in words. */
static enum err merging_judge(struct db *db, const struct merging *what, struct err_note *note)
{
    const struct db_value both[] = {db_int(what->from_id), db_int(what->into_id), {0}};
    int64_t n = 0;

    if (what->from_id == what->into_id) {
        return ERR_SAY(note, ERR_MISUSE, "a subject cannot be merged into itself");
    }
    enum err err = db_integer(db, "SELECT count(*) FROM subjects WHERE id IN (?1, ?2)", both, &n, note);
    if (err == ERR_NONE && n != 2) {
        return ERR_SAY(note, ERR_NOT_FOUND, "there is no such subject");
    }
    if (err == ERR_NONE) {
        err = db_integer(db, "SELECT count(DISTINCT collection_id) FROM subjects WHERE id IN (?1, ?2)", both, &n, note);
    }
    if (err == ERR_NONE && n != 1) {
        return ERR_SAY(note, ERR_CONFLICT, "the two subjects belong to different collections");
    }
    return err;
}

/* One audit row with two ids, read from the rows themselves. */
static enum err merge_audit(struct db *db, const char *actor, const char *action, int64_t merge_id,
                            struct err_note *note)
{
    char ids[AUDIT_IDS_TEXT];

    enum err err = one_read_in(db,
                               "SELECT json_object('from', from_uuid, 'into', into_uuid, 'faces', (SELECT count(*) "
                               "FROM merged_faces WHERE merge_id = merges.id)) FROM merges WHERE id = ?1",
                               (const struct db_value[]){db_int(merge_id), {0}}, audit_ids_read, NULL, ids,
                               "there is no such merge", note);
    return err != ERR_NONE ? err : audit_append(db, actor, action, ids, NULL, NULL, note);
}

static enum err merging_apply(struct db *db, void *context, struct err_note *note)
{
    struct merging *what = context;
    const int64_t now_ms = clock_unix_ms();
    const struct db_value from[] = {db_int(what->from_id), {0}};
    const struct db_value both[] = {db_int(what->from_id), db_int(what->into_id), {0}};
    const struct db_value all[] = {db_int(what->from_id), db_int(what->into_id), db_int(now_ms), {0}};

    enum err err = merging_judge(db, what, note);
    if (err == ERR_NONE) {
        err = db_run(db,
                     "INSERT INTO merges (owner_id, into_uuid, from_uuid, from_name, from_external_id, from_metadata, "
                     "from_created_ms, at_ms) SELECT ?2, (SELECT uuid FROM subjects WHERE id = ?2), uuid, name, "
                     "external_id, metadata, created_ms, ?3 FROM subjects WHERE id = ?1",
                     all, note);
    }
    int64_t merge_id = db_last_id(db);
    if (err == ERR_NONE) {
        err = db_run(db, "INSERT INTO merged_faces (merge_id, face_id) SELECT ?1, id FROM faces WHERE subject_id = ?2",
                     (const struct db_value[]){db_int(merge_id), db_int(what->from_id), {0}}, note);
    }
    if (err == ERR_NONE) {
        err = db_run(db, "UPDATE faces SET subject_id = ?2 WHERE subject_id = ?1", both, note);
    }
    if (err == ERR_NONE) {
        err = db_run(db, "UPDATE merges SET owner_id = ?2 WHERE owner_id = ?1", both, note);
    }
    if (err == ERR_NONE) {
        err = db_run(db, "DELETE FROM subjects WHERE id = ?1", from, note);
    }
    if (err == ERR_NONE) {
        err = db_run(db, "UPDATE subjects SET updated_ms = ?2 WHERE id = ?1",
                     (const struct db_value[]){db_int(what->into_id), db_int(now_ms), {0}}, note);
    }
    if (err == ERR_NONE) {
        err = merge_audit(db, what->actor, "subject.merge", merge_id, note);
    }
    if (err == ERR_NONE) {
        err = subject_get_in(db, what->into_id, what->mem, &what->row, note);
    }
    return err != ERR_NONE ? err : replay_keep(db, what->replay, &what->row, note);
}

enum err store_subject_merge(struct store *store, int64_t from_id, int64_t into_id, const char *actor,
                             const struct replay *replay, struct arena *mem, struct subject_row *ret,
                             struct err_note *note)
{
    struct merging what = {.from_id = from_id, .into_id = into_id, .actor = actor, .replay = replay, .mem = mem};

    enum err err = db_change(store, merging_apply, &what, NULL, note);
    if (err == ERR_NONE) {
        *ret = what.row;
    }
    return err;
}

/* ---- Undoing ------------------------------------------------------------------------------------------------------ */

struct undoing {
    int64_t into_id;
    const char *actor;
    const struct replay *replay;
    struct arena *mem;
    char uuid[STORE_UUID_TEXT];
    struct subject_row row;
};

static enum err uuid_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    (void)mem;
    return db_column_id(statement, 0, ret_row, STORE_UUID_TEXT);
}

/* Merges into the one that came back, and into those that were merged into it, are its own again. */
static enum err merges_give_back(struct db *db, int64_t subject_id, const char *uuid, struct err_note *note)
{
    return db_run(db,
                  "UPDATE merges SET owner_id = ?1 WHERE id IN (WITH RECURSIVE below (id, from_uuid) AS ("
                  "SELECT id, from_uuid FROM merges WHERE into_uuid = ?2 UNION "
                  "SELECT m.id, m.from_uuid FROM merges m JOIN below b ON m.into_uuid = b.from_uuid) "
                  "SELECT id FROM below)",
                  (const struct db_value[]){db_int(subject_id), db_text(uuid), {0}}, note);
}

static enum err undoing_apply(struct db *db, void *context, struct err_note *note)
{
    struct undoing *what = context;
    int64_t merge_id = 0;
    const struct db_value into[] = {db_int(what->into_id), {0}};

    /* The last one into this very subject: later ones into those that it has swallowed cannot be. */
    enum err err = db_integer(db,
                              "SELECT m.id FROM merges m JOIN subjects s ON s.id = m.owner_id AND s.uuid = m.into_uuid "
                              "WHERE m.owner_id = ?1 ORDER BY m.id DESC LIMIT 1",
                              into, &merge_id, note);
    if (err == ERR_NOT_FOUND) {
        return ERR_SAY(note, err, "nothing was merged into this subject that could be taken back");
    }
    const struct db_value merge[] = {db_int(merge_id), {0}};
    if (err == ERR_NONE) {
        err =
            one_read_in(db, "SELECT from_uuid FROM merges WHERE id = ?1", merge, uuid_read, NULL, what->uuid, "", note);
    }
    if (err == ERR_NONE) {
        err = db_run(db,
                     "INSERT INTO subjects (uuid, collection_id, name, external_id, metadata, created_ms, updated_ms) "
                     "SELECT from_uuid, (SELECT collection_id FROM subjects WHERE id = ?2), from_name, "
                     "from_external_id, from_metadata, from_created_ms, ?3 FROM merges WHERE id = ?1",
                     (const struct db_value[]){db_int(merge_id), db_int(what->into_id), db_int(clock_unix_ms()), {0}},
                     note);
    }
    if (err == ERR_EXISTS) {
        return ERR_SAY(note, err, "the name of the subject that was merged belongs to another one by now");
    }
    int64_t subject_id = db_last_id(db);
    if (err == ERR_NONE) {
        err = db_run(db,
                     "UPDATE faces SET subject_id = ?1 WHERE subject_id = ?3 AND id IN (SELECT face_id FROM "
                     "merged_faces WHERE merge_id = ?2)",
                     (const struct db_value[]){db_int(subject_id), db_int(merge_id), db_int(what->into_id), {0}}, note);
    }
    if (err == ERR_NONE) {
        err = merges_give_back(db, subject_id, what->uuid, note);
    }
    if (err == ERR_NONE) {
        err = merge_audit(db, what->actor, "subject.merge_undo", merge_id, note);
    }
    if (err == ERR_NONE) {
        err = db_run(db, "DELETE FROM merges WHERE id = ?1", merge, note);
    }
    if (err == ERR_NONE) {
        err = subject_get_in(db, subject_id, what->mem, &what->row, note);
    }
    return err != ERR_NONE ? err : replay_keep(db, what->replay, &what->row, note);
}

enum err store_merge_undo(struct store *store, int64_t into_id, const char *actor, const struct replay *replay,
                          struct arena *mem, struct subject_row *ret, struct err_note *note)
{
    struct undoing what = {.into_id = into_id, .actor = actor, .replay = replay, .mem = mem};

    enum err err = db_change(store, undoing_apply, &what, NULL, note);
    if (err == ERR_NONE) {
        *ret = what.row;
    }
    return err;
}
