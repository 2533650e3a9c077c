/*
 * index_accelerate.c: FAISS's own kinds beside full segments: set, made, dropped, measured.
 *
 * Making one takes from a second to minutes.  Meanwhile no view is held and no lock: rows are copied out a few at a time under the lock of
 * changes, and whoever removes one of the segment, or takes it away, says so (build_stops).  FAISS then ends its call at the next
 * thing that it wants from the heap, which it does many times a second, and all that it was given is overwritten;
 * index_flush waits for that.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/random.h"
#include "index/index_private.h"
#include "index/search.h"

enum {
    TURN_ROWS = 64, /* given in one call: a graph takes .2 s for them, and that is how long a removal may wait for it */
    TRIAL_ROWS = 64,
    QUERIES = 128,
    MEASURED = 10
};

/* ---- Dropping ---------------------------------------------------------------------------------------------------- */

void index_drop_accelerator(struct index *index, struct segment *segment)
{
    if (segment->accelerator != NULL) {
        segment->accelerator->next = index->dropped;
        index->dropped = segment->accelerator;
        segment->accelerator = NULL;
    }
    if (index->building == segment) {
        atomic_store(&index->build_stops, true);
    }
}

void index_free_dropped(struct index *index)
{
    while (index->dropped != NULL) {
        struct accelerator *next = index->dropped->next;
        accelerator_free(index->dropped);
        index->dropped = next;
    }
}

void index_await_builder(struct index *index)
{
    while (index->building != NULL && atomic_load(&index->build_stops)) {
        (void)pthread_cond_wait(&index->let_go, &index->changing);
    }
}

/* Needs no memory, as removing does not: where something is dropped, a view stands ready. */
static void accelerate(struct index *index, const struct acceleration *what)
{
    index_lock_changing(index);
    if (strcmp(index->acceleration.text, what->text) != 0) {
        index->acceleration = *what;
        index->build_failed[0] = '\0';
        index->recall = (struct index_recall){0};
        for (size_t slot = 0; slot < index->n_slots; slot++) {
            if (index->slots[slot] != NULL) {
                index_drop_accelerator(index, index->slots[slot]);
            }
        }
        if (index->dropped != NULL) {
            index_show(index);
            views_wait(&index->views);
            index_free_dropped(index);
        }
    }
    index_await_builder(index);
    index_unlock_changing(index);
}

enum err index_accelerate(struct index *index, const char *description, struct err_note *note)
{
    struct acceleration what = {0};
    enum err err = description[0] == '\0' ? ERR_NONE : acceleration_parse(description, &what, note);

    if (err == ERR_NONE) {
        accelerate(index, &what);
    }
    return err;
}

void index_stop_accelerating(struct index *index)
{
    const struct acceleration none = {0};

    accelerate(index, &none);
}

/* ---- Trying ------------------------------------------------------------------------------------------------------ */

/* FAISS warns on stderr when it learns from too few: what must cluster is made, and not taught. */
static enum err try(const struct acceleration *what, int dim, float *vectors, struct err_note *note)
{
    struct random random = random_seeded(1, 1);
    struct accelerator *accelerator = NULL;
    uint16_t rows[TRIAL_ROWS];
    size_t count = 0;

    for (size_t i = 0; i < (size_t)TRIAL_ROWS * (size_t)dim; i++) {
        vectors[i] = (float)random_normal(&random);
    }
    for (size_t i = 0; i < TRIAL_ROWS; i++) {
        rows[i] = (uint16_t)i;
    }
    enum err err = accelerator_new(what, dim, TRIAL_ROWS, NULL, &accelerator, note);
    if (err != ERR_NONE || what->least_rows > 0) {
        accelerator_free(accelerator);
        return err;
    }
    if (accelerator_sample(accelerator, what, TRIAL_ROWS) > 0) {
        err = accelerator_train(accelerator, vectors, TRIAL_ROWS, note);
    }
    if (err == ERR_NONE) {
        err = accelerator_add(accelerator, rows, vectors, TRIAL_ROWS, note);
    }
    if (err == ERR_NONE && (accelerator_search(accelerator, vectors, 1, rows, &count) != ERR_NONE || count != 1)) {
        err = ERR_SAY(note, ERR_UNSUPPORTED, "FAISS makes it, but finds nothing in it");
    }
    accelerator_free(accelerator);
    return err == ERR_FOREIGN ? ERR_UNSUPPORTED : err;
}

enum err index_check_acceleration(int dim, size_t segment_rows, const char *description, struct err_note *note)
{
    struct acceleration what = {0};
    enum err err = acceleration_parse(description, &what, note);

    if (err != ERR_NONE) {
        return err;
    }
    float *vectors = MEM_ARRAY(float, (size_t)TRIAL_ROWS *(size_t)dim);
    if (vectors == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory to try %s", what.text);
    }
    err = try(&what, dim, vectors, note);
    mem_free(vectors);
    if (err == ERR_NONE && what.least_rows > segment_rows) {
        return ERR_SAY(note, ERR_UNSUPPORTED,
                       "%s must learn from %zu vectors or more, and a segment, for which it would answer, has %zu",
                       what.text, what.least_rows, segment_rows);
    }
    return err;
}

/* ---- Making ------------------------------------------------------------------------------------------------------ */

static size_t live_rows(const struct segment *segment)
{
    return segment->rows - segment->dead;
}

/* With changing held: full, large enough to learn from, and without one. */
static bool is_due(const struct index *index, size_t slot)
{
    const struct segment *segment = index->slots[slot];

    return segment != NULL && segment->accelerator == NULL && live_rows(segment) > 0 &&
           live_rows(segment) >= index->acceleration.least_rows &&
           (slot != index->tail || segment->rows == index->segment_rows) && !index_is_rewritten(index, slot);
}

/* With changing held: the next that has been quiet for long enough; NULL, and when one will have been, in *ret_wait_ns. */
static struct segment *next_due(const struct index *index, int64_t quiet_ns, int64_t *ret_wait_ns)
{
    const int64_t now_ns = clock_monotonic_ns();

    *ret_wait_ns = 0;
    if (index->acceleration.text[0] == '\0' || index->build_failed[0] != '\0') {
        return NULL;
    }
    for (size_t slot = 0; slot < index->n_slots; slot++) {
        if (!is_due(index, slot)) {
            continue;
        }
        struct segment *segment = index->slots[slot];
        const int64_t wait_ns = segment->removed_ns == 0 ? 0 : segment->removed_ns + quiet_ns - now_ns;
        if (wait_ns <= 0) {
            *ret_wait_ns = 0;
            return segment;
        }
        *ret_wait_ns = *ret_wait_ns == 0 || wait_ns < *ret_wait_ns ? wait_ns : *ret_wait_ns;
    }
    return NULL;
}

/* Rows on their way to FAISS. */
struct giving {
    struct index *index;
    float *vectors; /* room for a sample, or a turn */
    uint16_t *rows;
    size_t room;
    size_t next; /* row of the segment */
};

/*
 * Copies out up to n living rows from the next one on, every step-th of them, in turns; *ret_count is less than n where the
 * segment ends.
 */
static enum err copy_rows(struct giving *giving, size_t n, size_t step, size_t *ret_count)
{
    struct index *index = giving->index;
    const size_t dim = index->codes.dim;
    size_t count = 0;
    size_t living = 0;
    bool more = true;

    while (count < n && more) {
        index_lock_changing(index);
        const struct segment *segment = index->building;
        const size_t end = count + TURN_ROWS < n ? count + TURN_ROWS : n;
        if (atomic_load(&index->build_stops)) {
            index_unlock_changing(index);
            return ERR_CANCELLED;
        }
        for (; giving->next < segment->rows && count < end; giving->next++) {
            if (segment_is_live(segment, giving->next) && living++ % step == 0) {
                memcpy(giving->vectors + count * dim, segment->floats + giving->next * dim, dim * sizeof(float));
                giving->rows[count++] = (uint16_t)giving->next;
            }
        }
        more = giving->next < segment->rows;
        index_unlock_changing(index);
    }
    *ret_count = count;
    return ERR_NONE;
}

static enum err train(struct giving *giving, struct accelerator *accelerator, size_t sample, struct err_note *note)
{
    size_t count = 0;

    enum err err = copy_rows(giving, sample, accelerator->room / sample, &count);
    giving->next = 0;
    return err == ERR_NONE ? accelerator_train(accelerator, giving->vectors, count, note) : err;
}

static enum err give_all(struct giving *giving, struct accelerator *accelerator, struct err_note *note)
{
    enum err err = ERR_NONE;
    size_t count = TURN_ROWS;

    while (err == ERR_NONE && count > 0) {
        err = copy_rows(giving, TURN_ROWS, 1, &count);
        if (err == ERR_NONE && count > 0) {
            err = accelerator_add(accelerator, giving->rows, giving->vectors, count, note);
        }
    }
    return err;
}

/* Of the n living rows of what is being built.  Owns: *ret, as soon as it is not NULL. */
static enum err make(struct index *index, const struct acceleration *what, size_t n, struct accelerator **ret,
                     struct err_note *note)
{
    const int dim = (int)index->codes.dim;

    enum err err = accelerator_new(what, dim, n, &index->build_stops, ret, note);
    if (err != ERR_NONE) {
        return err;
    }
    const size_t sample = accelerator_sample(*ret, what, n);
    struct giving giving = {.index = index, .room = sample > TURN_ROWS ? sample : TURN_ROWS};
    giving.vectors = MEM_ARRAY(float, giving.room *(size_t)dim);
    giving.rows = MEM_ARRAY(uint16_t, giving.room);
    if (giving.vectors == NULL || giving.rows == NULL) {
        err = ERR_SAY(note, ERR_NOMEM, "no memory for %zu vectors to learn from", giving.room);
    }
    if (err == ERR_NONE && sample > 0) {
        err = train(&giving, *ret, sample, note);
    }
    if (err == ERR_NONE) {
        err = give_all(&giving, *ret, note);
    }
    mem_free_wiped(giving.vectors);
    mem_free(giving.rows);
    return err;
}

/* What FAISS was given is in its place, or gone, before anybody hears that it has let go. */
static void end_building(struct index *index, struct accelerator *made, enum err err, const struct err_note *said)
{
    index_lock_changing(index);
    const bool stopped = atomic_load(&index->build_stops);
    const bool shown = err == ERR_NONE && !stopped && views_reserve(&index->views, index->n_slots);
    if (shown) {
        index->building->accelerator = made;
        made->allowance.stop = NULL;
        made = NULL;
        index_show(index);
    } else if (!stopped) {
        (void)snprintf(index->build_failed, sizeof index->build_failed, "%s",
                       err == ERR_NONE ? "no memory to show it" : said->text);
    }
    index_unlock_changing(index);
    accelerator_free(made);
    index_lock_changing(index);
    index->building = NULL;
    (void)pthread_cond_broadcast(&index->let_go);
    index_unlock_changing(index);
}

bool index_wants_building(struct index *index)
{
    bool due = false;

    index_lock_changing(index);
    for (size_t slot = 0; slot < index->n_slots && index->acceleration.text[0] != '\0' && !due; slot++) {
        due = is_due(index, slot);
    }
    due = due && index->build_failed[0] == '\0';
    index_unlock_changing(index);
    return due;
}

static bool build_next(struct index *index, int64_t quiet_ns, int64_t *ret_wait_ns)
{
    struct accelerator *made = NULL;
    struct err_note said = {0};

    index_lock_changing(index);
    struct segment *segment = next_due(index, quiet_ns, ret_wait_ns);
    const struct acceleration what = index->acceleration;
    const size_t n = segment == NULL ? 0 : live_rows(segment);
    index->building = segment;
    atomic_store(&index->build_stops, false);
    index_unlock_changing(index);
    if (segment == NULL) {
        return false;
    }
    enum err err = make(index, &what, n, &made, &said);
    end_building(index, made, err, &said);
    return true;
}

/* ---- Measuring --------------------------------------------------------------------------------------------------- */

/* Hits that are not the query itself and not worse than least. */
static size_t count_good(const struct index_hit *hits, size_t n, int64_t self, float least)
{
    size_t good = 0;

    for (size_t i = 0; i < n; i++) {
        good += hits[i].id != self && hits[i].cosine >= least;
    }
    return good;
}

struct measuring {
    struct index_hit exact[MEASURED + 1], found[MEASURED + 1];
    size_t n_1, good_1, n_10, good_10;
    int n_queries;
    float *vector;
    uint8_t *room;
};

static void compare(struct measuring *m, const struct index *index, const struct view *view, int64_t self)
{
    struct index_ask ask = {.k = MEASURED + 1, .min_cosine = -2, .way = INDEX_WAY_EXACT};
    struct search_query exact = {.vector = m->vector, .hits = m->exact, .room = m->room};
    struct search_query found = {.vector = m->vector, .hits = m->found, .room = m->room};
    size_t n = 0;

    search_view(&index->codes, view, &ask, &exact, 1);
    ask.way = INDEX_WAY_PLANNED;
    search_view(&index->codes, view, &ask, &found, 1);
    for (size_t i = 0; i < exact.n_hits && n < MEASURED; i++) {
        if (m->exact[i].id == self) {
            continue;
        }
        n++;
        if (n == 1) {
            m->n_1++;
            m->good_1 += count_good(m->found, found.n_hits, self, m->exact[i].cosine) > 0;
        }
        if (n == MEASURED || i + 1 == exact.n_hits) {
            const size_t good = count_good(m->found, found.n_hits, self, m->exact[i].cosine);
            m->n_10 += n;
            m->good_10 += good < n ? good : n;
        }
    }
    m->n_queries++;
}

/* A living row of a view, some way along it. */
static bool row_at(const struct view *view, double along, const struct part **ret, size_t *ret_row)
{
    size_t rows = 0;

    for (size_t i = 0; i < view->n_parts; i++) {
        rows += view->parts[i].rows;
    }
    size_t at = (size_t)(along * (double)rows);
    for (size_t i = 0; i < view->n_parts; i++) {
        const struct part *part = &view->parts[i];
        for (size_t row = at < part->rows ? at : part->rows; row < part->rows; row++) {
            if ((part->live[row / SCAN_ROWS] >> row % SCAN_ROWS & 1U) != 0) {
                *ret = part;
                *ret_row = row;
                return true;
            }
        }
        at = at < part->rows ? 0 : at - part->rows;
    }
    return false;
}

/* Each query has a view of its own, because whoever removes waits for those that are older. */
static void measure(struct index *index)
{
    struct measuring m = {.vector = MEM_ARRAY(float, index->codes.dim),
                          .room = mem_new(1, search_room_bytes(&index->codes))};
    bool stopped = m.vector == NULL || m.room == NULL;

    for (int i = 0; i < QUERIES && !stopped; i++) {
        const struct part *part = NULL;
        size_t row = 0;
        const struct view *view = views_take(&index->views);
        if (row_at(view, (i + 0.5) / QUERIES, &part, &row)) {
            memcpy(m.vector, part->segment->floats + row * index->codes.dim, index->codes.dim * sizeof(float));
            compare(&m, index, view, part->segment->ids[row]);
        }
        views_drop(&index->views, view);
        mem_wipe(m.vector, index->codes.dim * sizeof(float));
        index_lock_changing(index);
        stopped = index->acceleration.text[0] == '\0';
        index_unlock_changing(index);
    }
    index_lock_changing(index);
    if (!stopped && m.n_1 > 0 && index->acceleration.text[0] != '\0') {
        index->recall = (struct index_recall){.n_queries = m.n_queries,
                                              .at_1 = (double)m.good_1 / (double)m.n_1,
                                              .at_10 = (double)m.good_10 / (double)m.n_10};
    }
    index_unlock_changing(index);
    mem_free(m.vector);
    mem_free_wiped(m.room);
}

void index_build(struct index *index, int64_t quiet_ns, int64_t *ret_wait_ns)
{
    bool built = false;

    int failed = pthread_mutex_lock(&index->accelerating);
    assert(failed == 0);
    (void)failed;
    while (build_next(index, quiet_ns, ret_wait_ns)) {
        built = true;
    }
    if (built) {
        measure(index);
    }
    (void)pthread_mutex_unlock(&index->accelerating);
}

void index_acceleration(struct index *index, struct index_acceleration *ret)
{
    struct index_acceleration is = {0};
    bool due = false;

    index_lock_changing(index);
    for (size_t slot = 0; slot < index->n_slots; slot++) {
        const struct segment *segment = index->slots[slot];
        if (segment != NULL && segment->accelerator != NULL) {
            is.n_covered += (int64_t)live_rows(segment);
            is.bytes += accelerator_bytes(segment->accelerator);
        }
        due = due || is_due(index, slot);
    }
    (void)snprintf(is.description, sizeof is.description, "%s", index->acceleration.text);
    (void)snprintf(is.reason, sizeof is.reason, "%s", index->build_failed);
    is.recall = index->recall;
    is.state = is.description[0] == '\0' ? INDEX_NOT_ACCELERATED
               : is.reason[0] != '\0'    ? INDEX_ACCELERATION_FAILED
               : due                     ? INDEX_ACCELERATION_BUILDS
               : is.n_covered > 0        ? INDEX_ACCELERATION_STANDS
                                         : INDEX_ACCELERATION_WAITS;
    index_unlock_changing(index);
    *ret = is;
}
