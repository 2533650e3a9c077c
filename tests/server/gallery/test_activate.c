/* test_activate.c: a collection changes over to another model and back, with everything that may come in between. */
#include "tests/server/gallery/moving_fixture.h"

#include <signal.h>
#include <sys/wait.h>

#include "server/store/face_rows.h"
#include "server/store/finding_rows.h"
#include "server/store/job_rows.h"
#include "server/store/reembed_rows.h"

/* What a photo of a person is answered with: the bits of the best cosine; the name and the model must be right. */
static float ask(struct fixture *f, int person, const char *version)
{
    struct identify_answer answer;
    char name[16];
    const struct identify_query query = {.photo = crop_of(f, f->worker, person, 500)};

    (void)snprintf(name, sizeof name, "person %d", person);
    GOOD(gallery_identify(f->worker, &query, &answer, &f->fault));
    assert_int_equal(answer.n_faces, 1);
    assert_true(answer.faces[0].n_candidates > 0);
    assert_string_equal(answer.faces[0].candidates[0].subject_name, name);
    if (version != NULL) {
        assert_string_equal(answer.model, version);
    }
    float cosine = answer.faces[0].candidates[0].cosine;
    gallery_worker_reset(f->worker);
    return cosine;
}

static const char *model_of(struct fixture *f, char ret[STORE_VERSION_TEXT])
{
    struct collection_info info;

    GOOD(gallery_collection_get(f->worker, NULL, &info, &f->fault));
    memcpy(ret, info.model, STORE_VERSION_TEXT);
    gallery_worker_reset(f->worker);
    return ret;
}

static void check_whole(struct fixture *f, int64_t searched)
{
    struct gallery_usage usage;
    char version[STORE_VERSION_TEXT];

    for (int person = 0; person < PEOPLE; person++) {
        (void)ask(f, person, model_of(f, version));
    }
    gallery_usage(f->gallery, &usage);
    assert_int_equal(usage.indexed_faces, searched);
}

static void activate(struct fixture *f, const char *version, const struct long_work *work, struct activated *ret)
{
    GOOD(gallery_activate(f->worker, version, "default", work, ret, &f->fault));
    gallery_worker_reset(f->worker);
}

/* ---- There and back ------------------------------------------------------------------------------------------------- */

static void test_there_and_back(void **state)
{
    struct fixture fixture, *f = &fixture;
    char first[STORE_VERSION_TEXT], second[STORE_VERSION_TEXT], former[STORE_VERSION_TEXT];
    const struct long_work work = {.actor = "key1"};
    struct collection_change change = {.has_threshold = true, .has_index = true, .index = "SQ8"};
    struct collection_info info;
    struct index_acceleration acceleration;
    struct activated done;
    struct activation_plan plan;
    float before[PEOPLE];
    int64_t missing = 0;
    bool is_new;

    (void)state;
    fixture_open(f, -1);
    enroll_people(f);
    (void)model_of(f, first);
    BAD(gallery_former_model(f->worker, NULL, former, &missing, &f->fault), ERR_CONFLICT, GALLERY_NO_FORMER_MODEL);
    change.threshold =
        (struct threshold_wish){.has_threshold = true, .threshold = .25F, .has_margin = true, .margin = 0};
    GOOD(gallery_collection_patch(f->worker, "default", &change, &info, &f->fault));
    for (int i = 0; i < PEOPLE; i++) {
        before[i] = ask(f, i, first);
    }
    upload(f, 28, second);
    GOOD(gallery_activation_plan(f->worker, second, "default", ACTIVATE_PROVEN, &plan, &f->fault));
    assert_true(plan.n_faces == PEOPLE * FACES && plan.n_missing == PEOPLE * FACES && !plan.is_active);
    activate(f, second, &work, &done);
    assert_string_equal(done.from, first);
    assert_string_equal(done.to, second);
    assert_int_equal(done.n_embedded, PEOPLE * FACES);
    assert_true(done.threshold_dropped && !done.max_fmr_dropped);
    check_whole(f, PEOPLE * FACES);
    GOOD(gallery_collection_get(f->worker, "default", &info, &f->fault));
    assert_true(!info.threshold.has_threshold && info.threshold.has_margin && info.dim == 48);
    assert_string_equal(info.index.description, "SQ8"); /* no matter of the model; the new pair has it too */
    assert_string_equal(info.index.state, "waiting");
    assert_true(live_acceleration(f->gallery->live, 1, &acceleration));
    assert_string_equal(acceleration.description, "SQ8");
    fixture_restart(f); /* the collection keeps it, whatever is given at start */
    assert_true(live_acceleration(f->gallery->live, 1, &acceleration));
    assert_string_equal(acceleration.description, "SQ8");
    check_whole(f, PEOPLE * FACES);

    /* Somebody new, then back: the answers are the old ones to the bit, and the new face is known to the old model. */
    enroll_crop(f, f->worker, 0, 77, NULL);
    GOOD(gallery_former_model(f->worker, NULL, former, &missing, &f->fault));
    assert_string_equal(former, first);
    assert_int_equal(missing, 1);
    activate(f, former, &work, &done);
    assert_int_equal(done.n_embedded, 1);
    GOOD(gallery_collection_get(f->worker, "default", &info, &f->fault));
    assert_true(info.threshold.has_threshold && info.threshold.threshold == .25F);
    for (int i = 1; i < PEOPLE; i++) {
        float now = ask(f, i, first);
        assert_memory_equal(&now, &before[i], sizeof now);
    }
    check_whole(f, PEOPLE * FACES + 1);
    activate(f, former, &work, &done); /* again: nothing */
    assert_int_equal(done.n_embedded, 0);
    /* And a new collection may be made with the second one. */
    change = (struct collection_change){.model = second};
    GOOD(gallery_collection_put(f->worker, "other", &change, &info, &is_new, &f->fault));
    assert_int_equal(info.dim, 48);
    fixture_close(f);
}

/* ---- What comes in between ------------------------------------------------------------------------------------------ */

struct meanwhile {
    struct fixture *f;
    struct gallery_worker *worker; /* a request's */
    const char *stage;             /* when */
    char deleted[STORE_UUID_TEXT];
    int64_t job; /* whose findings are set aside */
    bool aside;
    bool stopped;
    struct cancel cancel;
    int times;
};

static void happen(void *context, const char *stage)
{
    struct meanwhile *m = context;
    struct fixture *f = m->f;
    struct receipt receipt;
    struct aside aside;

    if (strcmp(stage, m->stage) != 0 || m->times++ > 0) {
        return;
    }
    for (int i = 0; i < 3; i++) {
        enroll_crop(f, m->worker, i, 100, NULL);
    }
    GOOD(gallery_forget_face(m->worker, m->deleted, &receipt, &f->fault));
    gallery_worker_reset(m->worker);
    if (m->aside) {
        GOOD(store_set_aside(f->store, m->job, "key1", NULL, NULL, m->worker->mem, &aside, &f->fault.note));
        assert_int_equal(aside.n_faces, 1);
        live_removed(f->gallery->live, aside.collection_id, aside.face_ids, 1);
    }
    if (m->stopped) {
        cancel_ask(&m->cancel);
    }
}

static void test_meanwhile(void **state)
{
    static const struct {
        const char *stage;
        bool aside, stopped;
    } rows[] = {
        {"embedding", false, false}, {"indexing", false, false}, {"switching", false, false},
        {"switching", true, false},  {"embedding", false, true}, {"indexing", false, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture fixture, *f = &fixture;
        struct meanwhile m = {.f = f, .stage = rows[i].stage, .aside = rows[i].aside, .stopped = rows[i].stopped};
        char first[STORE_VERSION_TEXT], second[STORE_VERSION_TEXT], now[STORE_VERSION_TEXT], named[STORE_UUID_TEXT];
        struct activated done;
        struct face_row face;
        struct collection_row collection;
        fixture_open(f, -1);
        assert_int_equal(gallery_worker_new(f->gallery, (size_t)64 << 20, &m.worker), ERR_NONE);
        enroll_people(f);
        enroll_crop(f, f->worker, 1, 90, m.deleted);
        enroll_crop(f, f->worker, 2, 91, named);
        (void)model_of(f, first);
        upload(f, 28, second);
        GOOD(store_face_find_uuid(f->store, named, f->worker->mem, &face, &f->fault.note));
        GOOD(store_collection_find(f->store, "default", f->worker->mem, &collection, &f->fault.note));
        GOOD(store_job_add(f->store, "purify", collection.id, "{}", "key1", NULL, &m.job, &f->fault.note));
        const struct finding_new found = {.face_id = face.id, .subject_id = face.subject_id, .degrees = 90};
        GOOD(store_findings_put(f->store, m.job, &found, 1, &f->fault.note));
        const struct long_work work = {.stage = happen, .context = &m, .cancel = &m.cancel, .actor = "key1"};
        f->fault = (struct gallery_fault){0};
        enum err err = gallery_activate(f->worker, second, "default", &work, &done, &f->fault);
        gallery_worker_reset(f->worker);
        if (err != (rows[i].stopped ? ERR_CANCELLED : ERR_NONE) || m.times == 0) {
            fail_msg("row %zu: %s: %s", i, err_word(err), f->fault.note.text);
        }
        assert_string_equal(model_of(f, now), rows[i].stopped ? first : second);
        check_whole(f, PEOPLE * FACES + 1 + 3 - rows[i].aside);
        gallery_worker_free(m.worker);
        fixture_restart(f); /* the rows say the same as the index did */
        check_whole(f, PEOPLE * FACES + 1 + 3 - rows[i].aside);
        fixture_close(f);
    }
}

/* ---- Refusals ------------------------------------------------------------------------------------------------------- */

static void test_refused(void **state)
{
    struct fixture fixture, *f = &fixture;
    char second[STORE_VERSION_TEXT], small[STORE_VERSION_TEXT], first[STORE_VERSION_TEXT], now[STORE_VERSION_TEXT];
    const struct long_work work = {.actor = "key1"};
    struct activation_plan plan;
    struct activated done;
    float vector[DIM];

    (void)state;
    fixture_open(f, -1);
    upload(f, 28, second);
    BAD(gallery_activation_plan(f->worker, "no such version", "default", ACTIVATE_PROVEN, &plan, &f->fault),
        ERR_NOT_FOUND, GALLERY_NO_SUCH_MODEL);
    BAD(gallery_activation_plan(f->worker, second, "nowhere", ACTIVATE_PROVEN, &plan, &f->fault), ERR_NOT_FOUND,
        GALLERY_NO_SUCH_COLLECTION);
    (void)model_of(f, first);
    upload_of(f, 56, 14, small);
    GOOD(gallery_activation_plan(f->worker, small, "default", ACTIVATE_PROVEN, &plan, &f->fault)); /* no faces yet */
    for (int i = 0; i < 3; i++) {
        enroll_crop(f, f->worker, i, 1, NULL);
    }
    BAD(gallery_activation_plan(f->worker, small, "default", ACTIVATE_FORCED, &plan, &f->fault), ERR_CONFLICT,
        GALLERY_OTHER_CROPS);
    assert_non_null(strstr(f->fault.note.text, "3 of the 3 crops"));
    assert_non_null(strstr(f->fault.note.text, "56 x 56 pixels"));
    BAD(gallery_activate(f->worker, small, "default", &work, &done, &f->fault), ERR_CONFLICT, GALLERY_OTHER_CROPS);
    gallery_worker_reset(f->worker);
    assert_string_equal(model_of(f, now), first);
    for (int i = 0; i < 2; i++) {
        leaning(DIM, i, i + 1, .5, vector);
        enroll_vector(f, NULL, "a vector", vector, DIM, NULL);
    }
    BAD(gallery_activation_plan(f->worker, second, "default", ACTIVATE_PROVEN, &plan, &f->fault), ERR_CONFLICT,
        GALLERY_NO_CROPS);
    assert_non_null(strstr(f->fault.note.text, "2 of the 5 faces"));
    BAD(gallery_activate(f->worker, second, "default", &work, &done, &f->fault), ERR_CONFLICT, GALLERY_NO_CROPS);
    gallery_worker_reset(f->worker);
    assert_string_equal(model_of(f, now), first);
    fixture_close(f);
}

static void test_uploads(void **state)
{
    struct fixture fixture, *f = &fixture;
    char version[STORE_VERSION_TEXT], path[PATH_MAX];
    struct model_uploaded answer;
    struct known_model *known;
    const char *next;
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;
    int n = 0;

    (void)state;
    fixture_open(f, -1);
    upload(f, 28, version);
    upload(f, 28, version); /* the same again is the same version */
    GOOD(gallery_known_models(f->worker, NULL, 10, &known, &n, &next, &f->fault));
    assert_int_equal(n, 2);
    assert_true(known[0].is_default && known[0].n_used_by == 1 && strcmp(known[0].used_by[0], "default") == 0);
    assert_true(!known[1].is_default && known[1].n_used_by == 0 && known[1].row.dim == 48);
    assert_string_equal(known[1].row.version, version);

    (void)fixture_path(path, f->folder, "bad.onnx");
    tiny_detector(path, 1);
    assert_int_equal(file_read(path, 1 << 20, &bytes, &n_bytes, NULL), ERR_NONE);
    const struct model_upload bad[] = {
        {.onnx = "nonsense", .n_bytes = 8},
        {.onnx = bytes, .n_bytes = n_bytes},                    /* a detector */
        {.onnx = bytes, .n_bytes = n_bytes / 2},                /* cut */
        {.onnx = bytes, .n_bytes = n_bytes, .manifest = "{{{"}, /* no manifest */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        f->fault = (struct gallery_fault){0};
        enum err err = gallery_model_upload(f->worker, &bad[i], &answer, &f->fault);
        if (err != ERR_UNSUPPORTED || f->fault.reason != GALLERY_BAD_MODEL || f->fault.note.text[0] == '\0') {
            fail_msg("row %zu: %s: %s", i, err_word(err), f->fault.note.text);
        }
    }
    mem_free(bytes);
    const char *in_use = arena_copy_text(f->worker->mem, known[0].row.version);
    BAD(gallery_model_delete(f->worker, in_use, &f->fault), ERR_CONFLICT, GALLERY_MODEL_IN_USE);
    GOOD(gallery_model_delete(f->worker, version, &f->fault));
    BAD(gallery_model_delete(f->worker, version, &f->fault), ERR_NOT_FOUND, GALLERY_NO_SUCH_MODEL);
    fixture_close(f);
}

/* ---- Killed --------------------------------------------------------------------------------------------------------- */

struct killing {
    const char *stage;
    int64_t done;
};

static void kill_at_stage(void *context, const char *stage)
{
    const struct killing *killing = context;
    if (killing->stage != NULL && strcmp(stage, killing->stage) == 0) {
        (void)kill(getpid(), SIGKILL);
    }
}

static void kill_at_count(void *context, int64_t done, int64_t total, const char *unit)
{
    const struct killing *killing = context;
    (void)total;
    (void)unit;
    if (killing->stage == NULL && done >= killing->done) {
        (void)kill(getpid(), SIGKILL);
    }
}

/* Whatever the moment: one whole pair answers after the restart, nothing enrolled is lost, and calling again goes on. */
static void test_killed(void **state)
{
    static const struct {
        const char *stage;
        int64_t done; /* faces */
        bool moved;   /* when the daemon comes back */
        int left;     /* faces still to embed */
    } rows[] = {
        {"embedding", 0, false, 40}, {NULL, 1, false, 8},        {NULL, 40, false, 0},
        {"indexing", 0, false, 0},   {"switching", 0, false, 0}, {"switched", 0, true, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture fixture, *f = &fixture;
        struct killing killing = {rows[i].stage, rows[i].done};
        const struct long_work work = {
            .stage = kill_at_stage, .progress = kill_at_count, .context = &killing, .actor = "key1"};
        const struct long_work calm = {.actor = "key1"};
        char first[STORE_VERSION_TEXT], second[STORE_VERSION_TEXT], now[STORE_VERSION_TEXT];
        struct activated done;
        int status = 0;
        fixture_open(f, -1);
        enroll_people(f);
        (void)model_of(f, first);
        upload(f, 28, second);
        fixture_stop(f); /* no connection may cross the fork */
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            fixture_start(f);
            activate(f, second, &work, &done);
            _exit(1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFSIGNALED(status)) {
            fail_msg("row %zu: it was not killed", i);
        }
        fixture_start(f);
        assert_string_equal(model_of(f, now), rows[i].moved ? second : first);
        check_whole(f, PEOPLE * FACES);
        activate(f, second, &calm, &done);
        if (done.n_embedded != rows[i].left) {
            fail_msg("row %zu: %d faces were embedded again", i, (int)done.n_embedded);
        }
        assert_string_equal(model_of(f, now), second);
        check_whole(f, PEOPLE * FACES);
        assert_int_equal(store_check(f->store, NULL), ERR_NONE);
        fixture_close(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_meanwhile), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_uploads),        cmocka_unit_test(test_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
