/* search.c: plan, scan, score. */
#include "index/search.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "index/accelerator.h"

enum {
    RUN = 512,       /* rows between two looks at the floors; their byte codes fit into the second cache */
    FEW_ROWS = 256,  /* below, preparing a query costs more than scoring every row */
    WAITING = 16,    /* candidates whose floats are on their way from memory */
    LINES_AHEAD = 8, /* of a candidate's floats; the processor goes on by itself */
    TRIAL_ROWS = 16384,
    MANY_QUERIES = 8,
    SOUGHT =
        100 /* rows a hit: where more are asked for, the last of them is too near the others for half a byte to tell */
};

/*
 * Bytes that a way reads a row, or as many as would take as long.  A candidate's floats are read out of order, at about 1.5 of
 * the price of bytes that are read in order.
 */
static double float_bytes(const struct codes *codes)
{
    return 1.5 * 4 * (double)codes->dim;
}

static double bits_bytes(const struct codes *codes)
{
    return (double)codes_bits_bytes(codes) / SCAN_BITS_ROWS;
}

/* A row's signs are sought one by one, and no line of theirs is shared. */
static double sign_bytes(const struct codes *codes)
{
    return 4 * (double)codes_sign_bytes(codes);
}

/* The share of strangers, whose cosines spread normally around 0, that reach a cosine by an estimate with a deviation. */
static double reaching(const struct codes *codes, double cosine, double deviation)
{
    const double strangers =
        fmax(0.065, 1 / sqrt((double)codes->dim)); /* measured on faces; at least what chance gives */

    return 0.5 * erfc(cosine / sqrt(2 * (strangers * strangers + deviation * deviation)));
}

static double passing_by(const struct codes *codes, float min_cosine, float deviation)
{
    return reaching(codes, (double)(min_cosine - CODES_SIGMAS * deviation), (double)deviation);
}

/* Bits of all, signs of what those let pass, and floats of what both do. */
static double all_bits_bytes(const struct codes *codes, float min_cosine)
{
    return bits_bytes(codes) +
           passing_by(codes, min_cosine, codes_bits_deviation(codes, min_cosine)) * sign_bytes(codes) +
           passing_by(codes, min_cosine, codes_signs_deviation(codes, min_cosine)) * float_bytes(codes);
}

static double all_int8_bytes(const struct codes *codes)
{
    return (double)(codes_high_bytes(codes) + codes_low_bytes(codes)) / SCAN_ROWS;
}

static double int8_bytes(const struct codes *codes, float min_cosine)
{
    const double reach = 0.13; /* of high halves: .12 at 512 dimensions, .14 at 4096 */
    const double passing = reaching(codes, (double)min_cosine - reach, 0);

    return fmin((double)codes_high_bytes(codes) / SCAN_ROWS + passing * float_bytes(codes), all_int8_bytes(codes));
}

enum index_way search_plan(const struct codes *codes, size_t rows, size_t allowed, float min_cosine,
                           enum index_way wanted)
{
    const bool has_bits = codes->padded > 0;
    const double least_bytes =
        has_bits && wanted == INDEX_WAY_PLANNED ? bits_bytes(codes) : int8_bytes(codes, min_cosine);

    switch (wanted) {
    case INDEX_WAY_FLOATS:
    case INDEX_WAY_BYTES: return wanted;
    case INDEX_WAY_BITS: return has_bits ? INDEX_WAY_BITS : INDEX_WAY_BYTES;
    case INDEX_WAY_PLANNED:
    case INDEX_WAY_EXACT: break;
    }
    if (allowed <= FEW_ROWS || (double)allowed * float_bytes(codes) <= (double)rows * least_bytes) {
        return INDEX_WAY_FLOATS;
    }
    if (wanted == INDEX_WAY_PLANNED && has_bits && all_bits_bytes(codes, min_cosine) < int8_bytes(codes, min_cosine)) {
        return INDEX_WAY_BITS;
    }
    return INDEX_WAY_BYTES;
}

size_t search_room_bytes(const struct codes *codes)
{
    size_t code_bytes = (codes->groups * SCAN_INT8_GROUP + 63) & ~(size_t)63;
    return code_bytes + CODES_BITS_ROOM_BYTES(codes->padded);
}

/* ---- The heap of hits -------------------------------------------------------------------------------------------- */

static bool is_better(struct index_hit a, struct index_hit b)
{
    return a.cosine > b.cosine || (a.cosine == b.cosine && a.id < b.id);
}

/* Lets the hit at i sink until nothing below it is worse. */
static void sink(struct index_hit *hits, size_t n, size_t i)
{
    struct index_hit hit = hits[i];

    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n) {
            break;
        }
        if (child + 1 < n && is_better(hits[child], hits[child + 1])) {
            child++;
        }
        if (!is_better(hit, hits[child])) {
            break;
        }
        hits[i] = hits[child];
        i = child;
    }
    hits[i] = hit;
}

static void rise(struct index_hit *hits, size_t i)
{
    struct index_hit hit = hits[i];

    while (i > 0 && is_better(hits[(i - 1) / 2], hit)) {
        hits[i] = hits[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    hits[i] = hit;
}

static void offer(struct search_query *query, size_t k, struct index_hit hit)
{
    if (query->n_hits < k) {
        query->hits[query->n_hits] = hit;
        rise(query->hits, query->n_hits++);
    } else if (is_better(hit, query->hits[0])) {
        query->hits[0] = hit;
        sink(query->hits, k, 0);
    }
}

static void sort(struct index_hit *hits, size_t n)
{
    while (n > 1) {
        n--;
        struct index_hit worst = hits[0];
        hits[0] = hits[n];
        sink(hits, n, 0);
        hits[n] = worst;
    }
}

/* What a row must reach to change the answer. */
static float floor_of(const struct search_query *query, const struct index_ask *ask)
{
    return query->n_hits == (size_t)ask->k && query->hits[0].cosine > query->least ? query->hits[0].cosine
                                                                                   : query->least;
}

/* ---- Scoring ----------------------------------------------------------------------------------------------------- */

struct search {
    const struct codes *codes;
    const struct view *view;
    const struct index_ask *ask;
    struct search_query *queries;
    size_t n;
    bool seeking; /* hits that say how high the floors are, and not the answer */

    /* Rows that this way has scanned, of those the ones whose signs were read, and those that were scored; for all queries. */
    size_t scanned, looked_at, scored;

    /* Rows of one run that bits let pass, their signs being fetched: they are looked at after the next run. */
    struct {
        struct search_query *query;
        const struct part *part;
        size_t first, n;
        uint16_t rows[RUN]; /* from first on */
    } passed;

    /* Rows that passed, their floats being fetched: they are scored after the next run, or when there are too many. */
    size_t n_waiting;
    struct {
        struct search_query *query;
        const float *floats;
        int64_t id;
    } waiting[WAITING];
};

static void score_waiting(struct search *search)
{
    for (size_t i = 0; i < search->n_waiting; i++) {
        struct search_query *query = search->waiting[i].query;
        float cosine = search->codes->scan->dot(query->vector, search->waiting[i].floats, search->codes->dim);
        if (cosine >= search->ask->min_cosine) {
            offer(query, (size_t)search->ask->k, (struct index_hit){.id = search->waiting[i].id, .cosine = cosine});
        }
    }
    search->n_waiting = 0;
}

static void score(struct search *search, struct search_query *query, const struct part *part, size_t row)
{
    const float *floats = part->segment->floats + row * search->codes->dim;
    const int64_t id = part->segment->ids[row];

    if (search->ask->allow != NULL && !search->ask->allow(search->ask->context, id)) {
        return;
    }
    for (size_t i = 0; i < LINES_AHEAD && i * 16 < search->codes->dim; i++) {
        __builtin_prefetch(floats + i * 16);
    }
    search->waiting[search->n_waiting].query = query;
    search->waiting[search->n_waiting].floats = floats;
    search->waiting[search->n_waiting].id = id;
    search->n_waiting++;
    if (search->n_waiting == WAITING) {
        score_waiting(search);
    }
}

/* The rows of a mask, whose lowest bit is that of first. */
static void score_mask(struct search *search, struct search_query *query, const struct part *part, size_t first,
                       uint64_t mask)
{
    for (uint64_t left = mask; left != 0; left &= left - 1) {
        score(search, query, part, first + (size_t)__builtin_ctzll(left));
    }
}

/* The same with rows that their codes let pass, which says what the codes are worth. */
static void score_passed(struct search *search, struct search_query *query, const struct part *part, size_t first,
                         uint64_t mask)
{
    if (mask != 0) {
        search->scored += (size_t)__builtin_popcountll(mask);
        score_mask(search, query, part, first, mask);
    }
}

/* ---- Asking FAISS ------------------------------------------------------------------------------------------------- */

enum {
    MORE = 16,           /* beside twice as many as are wanted: FAISS's scores are not ours */
    ACCELERATED_PART = 4 /* where more than one in so many rows is wanted, a scan is as fast, and misses none */
};

static bool is_accelerated(const struct search *search, const struct part *part)
{
    const size_t wanted = 2 * (size_t)search->ask->k + MORE;

    return part->accelerator != NULL && search->ask->way == INDEX_WAY_PLANNED && search->ask->allow == NULL &&
           wanted <= ACCELERATOR_MOST && wanted * ACCELERATED_PART <= part->accelerator->n;
}

/* FAISS names rows, which are scored like all others; where it has no memory to do so, all are. */
static void ask_accelerator(struct search *search, struct search_query *query, const struct part *part)
{
    uint16_t rows[ACCELERATOR_MOST];
    size_t count = 0;

    if (accelerator_search(part->accelerator, query->vector, 2 * (size_t)search->ask->k + MORE, rows, &count) !=
        ERR_NONE) {
        for (size_t row = 0; row < part->rows; row += SCAN_ROWS) {
            const unsigned there = part->rows - row < SCAN_ROWS ? (1U << (part->rows - row)) - 1 : UINT16_MAX;
            score_mask(search, query, part, row, part->live[row / SCAN_ROWS] & there);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if ((part->live[rows[i] / SCAN_ROWS] >> rows[i] % SCAN_ROWS & 1U) != 0) {
            score(search, query, part, rows[i]);
        }
    }
}

/* ---- Scanning ---------------------------------------------------------------------------------------------------- */

/* Each of these looks at the run of rows from first to before end, whole blocks. */
typedef void run_fn(struct search *search, const struct part *part, size_t first, size_t end);

/* Behind the last whole block of 16, rows are being written. */
static inline uint64_t live_rows(const struct part *part, size_t row, size_t end)
{
    const uint16_t *quarters = part->live + row / SCAN_ROWS;
    uint64_t live = 0;

    if (end - row >= SCAN_BITS_ROWS) {
        return quarters[0] | (uint64_t)quarters[1] << 16 | (uint64_t)quarters[2] << 32 | (uint64_t)quarters[3] << 48;
    }
    for (size_t i = 0; i < SCAN_BITS_ROWS && row + i < end; i += SCAN_ROWS) {
        live |= (uint64_t)quarters[i / SCAN_ROWS] << i;
    }
    return live;
}

/* Scores those of the rows waiting for it whose signs, too, let them pass. */
static void look_at_passed(struct search *search)
{
    const struct codes *codes = search->codes;
    const struct part *part = search->passed.part;
    const size_t bytes = codes_sign_bytes(codes);
    struct search_query *query = search->passed.query;
    uint16_t rows[RUN];

    if (search->passed.n == 0) {
        return;
    }
    const size_t n =
        codes->scan->signs(&query->bits.signs, bytes, part->segment->at.signs + search->passed.first * bytes,
                           search->passed.rows, search->passed.n, rows);
    for (size_t i = 0; i < n; i++) {
        score(search, query, part, search->passed.first + rows[i]);
    }
    search->looked_at += search->passed.n;
    search->scored += n;
    search->passed.n = 0;
}

/* Asks for the signs of rows that passed. */
static void await_signs(struct search *search, struct search_query *query, const struct part *part, size_t first,
                        const uint64_t *passed, size_t n_blocks)
{
    const size_t bytes = codes_sign_bytes(search->codes);
    const uint8_t *signs = part->segment->at.signs + first * bytes;
    size_t n = 0;

    for (size_t b = 0; b < n_blocks; b++) {
        for (uint64_t left = passed[b]; left != 0; left &= left - 1) {
            const size_t row = b * SCAN_BITS_ROWS + (size_t)__builtin_ctzll(left);
            __builtin_prefetch(signs + row * bytes);
            search->passed.rows[n++] = (uint16_t)row;
        }
    }
    search->passed.query = query;
    search->passed.part = part;
    search->passed.first = first;
    search->passed.n = n;
}

static void run_bits(struct search *search, const struct part *part, size_t first, size_t end)
{
    const struct codes *codes = search->codes;
    const uint8_t *blocks = part->segment->at.bits + first / SCAN_BITS_ROWS * codes_bits_bytes(codes);
    uint64_t live[RUN / SCAN_BITS_ROWS];
    uint64_t passed[RUN / SCAN_BITS_ROWS];
    size_t n_blocks = 0;

    for (size_t row = first; row < end; row += SCAN_BITS_ROWS) {
        live[n_blocks++] = live_rows(part, row, end);
    }
    for (size_t q = 0; q < search->n; q++) {
        struct search_query *query = &search->queries[q];
        if (search->seeking) {
            codes_bits_likely(&query->bits, floor_of(query, search->ask));
        } else {
            codes_bits_floor(&query->bits, floor_of(query, search->ask));
        }
        codes->scan->bits(&query->bits.scan, codes->planes, blocks, n_blocks, live, passed);
        score_waiting(search);
        if (codes->peaks) {
            look_at_passed(search);
            await_signs(search, query, part, first, passed, n_blocks);
            continue;
        }
        for (size_t b = 0; b < n_blocks; b++) {
            score_passed(search, query, part, first + b * SCAN_BITS_ROWS, passed[b]);
        }
    }
}

static void run_int8(struct search *search, const struct part *part, size_t first, size_t end)
{
    const struct codes *codes = search->codes;
    const uint8_t *high = part->segment->at.high + first / SCAN_ROWS * codes_high_bytes(codes);
    const uint8_t *low = part->segment->at.low + first / SCAN_ROWS * codes_low_bytes(codes);
    const size_t n_blocks = (end - first) / SCAN_ROWS;
    struct scan_int8_query scans[SEARCH_MAX_QUERIES];
    uint16_t passed[SEARCH_MAX_QUERIES * RUN / SCAN_ROWS];

    for (size_t q = 0; q < search->n; q++) {
        struct search_query *query = &search->queries[q];
        codes_int8_floor(&query->int8, floor_of(query, search->ask));
        scans[q] = query->int8.scan;
    }
    codes->scan->int8(scans, search->n, codes->groups, high, low, n_blocks, part->live + first / SCAN_ROWS, passed);
    score_waiting(search);
    for (size_t q = 0; q < search->n; q++) {
        for (size_t b = 0; b < n_blocks; b++) {
            score_passed(search, &search->queries[q], part, first + b * SCAN_ROWS, passed[q * n_blocks + b]);
        }
    }
}

/* What the high halves of bytes let pass is scored at once: the low ones of its block are more bytes than its floats. */
static void run_halves(struct search *search, const struct part *part, size_t first, size_t end)
{
    const struct codes *codes = search->codes;
    const uint8_t *high = part->segment->at.high + first / SCAN_ROWS * codes_high_bytes(codes);
    const size_t n_blocks = (end - first) / SCAN_ROWS;
    uint16_t passed[RUN / SCAN_ROWS];

    for (size_t q = 0; q < search->n; q++) {
        struct search_query *query = &search->queries[q];
        codes_int8_floor(&query->int8, floor_of(query, search->ask));
        codes->scan->high(&query->int8.scan, codes->groups, high, n_blocks, part->live + first / SCAN_ROWS, passed);
        score_waiting(search);
        for (size_t b = 0; b < n_blocks; b++) {
            score_passed(search, query, part, first + b * SCAN_ROWS, passed[b]);
        }
    }
}

static void run_floats(struct search *search, const struct part *part, size_t first, size_t end)
{

    for (size_t q = 0; q < search->n; q++) {
        for (size_t row = first; row < end; row += SCAN_BITS_ROWS) {
            score_mask(search, &search->queries[q], part, row, live_rows(part, row, end));
        }
    }
}

/* Rows behind the last whole block have no codes. */
static void score_loose(struct search *search, const struct part *part)
{
    const size_t block = part->rows / SCAN_ROWS;
    const size_t loose = part->rows % SCAN_ROWS;

    if (loose > 0) {
        const uint64_t mask = part->live[block] & ((UINT64_C(1) << loose) - 1);
        for (size_t q = 0; q < search->n; q++) {
            score_mask(search, &search->queries[q], part, block * SCAN_ROWS, mask);
        }
    }
}

static void prepare(struct search *search, enum index_way way)
{
    for (size_t q = 0; q < search->n; q++) {
        struct search_query *query = &search->queries[q];
        if (way == INDEX_WAY_BYTES) {
            codes_int8_query(search->codes, query->vector, (int8_t *)query->room, &query->int8);
        } else if (way == INDEX_WAY_BITS) {
            codes_bits_query(search->codes, query->vector, query->room, &query->bits);
        }
    }
}

static size_t rows_of(const struct view *view)
{
    size_t rows = 0;

    for (size_t i = 0; i < view->n_parts; i++) {
        rows += view->parts[i].rows;
    }
    return rows;
}

/* Filters leave many blocks without a row, and rewriting comes late. */
static bool has_row(const struct part *part, size_t first, size_t end)
{
    for (size_t block = first / SCAN_ROWS; block < end / SCAN_ROWS; block++) {
        if (part->live[block] != 0) { /* mostly the first */
            return true;
        }
    }
    return false;
}

/*
 * The k best by the bits' estimate, roughly: the worst of their cosines is a floor from the first row on, and not only when the last
 * of the best has been met.
 */
static void seek_floors(struct search *search)
{
    const struct view *view = search->view;

    prepare(search, INDEX_WAY_BITS);
    search->seeking = true;
    for (size_t i = 0; i < view->n_parts; i++) {
        const size_t whole = view->parts[i].rows / SCAN_ROWS * SCAN_ROWS;
        for (size_t first = 0; first < whole; first += RUN) {
            const size_t end = whole - first < RUN ? whole : first + RUN;
            if (has_row(&view->parts[i], first, end)) {
                run_bits(search, &view->parts[i], first, end);
            }
        }
    }
    look_at_passed(search);
    score_waiting(search);
    search->seeking = false;
    search->looked_at = search->scored = 0;
    for (size_t q = 0; q < search->n; q++) {
        search->queries[q].least = floor_of(&search->queries[q], search->ask);
        search->queries[q].n_hits = 0; /* they are met again */
    }
}

/*
 * Whether half of the bytes and some floats are less than all bytes.  Many queries share what their bytes cost to read, and what is
 * computed is the same for half a byte as for a whole one.
 */
static bool halves_pay(struct search *search)
{
    const struct codes *codes = search->codes;
    const size_t most = search->view->count / SOUGHT;
    float least = INFINITY;

    if (search->n >= MANY_QUERIES) {
        return false;
    }
    if (codes->padded > 0 && (size_t)search->ask->k <= most &&
        int8_bytes(codes, search->ask->min_cosine) >= all_int8_bytes(codes)) {
        seek_floors(search);
    }
    for (size_t q = 0; q < search->n; q++) {
        least = fminf(least, search->queries[q].least);
    }
    return int8_bytes(codes, least) < all_int8_bytes(codes);
}

static run_fn *begin(struct search *search, enum index_way way)
{
    run_fn *run = way == INDEX_WAY_BITS ? run_bits : way == INDEX_WAY_FLOATS ? run_floats : run_int8;

    if (run == run_int8 && halves_pay(search)) {
        run = run_halves;
    }
    prepare(search, way);
    return run;
}

/* What the way by bytes reads a row, if hits have no higher floor than the asker's. */
static double exact_bytes(const struct search *search)
{
    return search->n >= MANY_QUERIES ? all_int8_bytes(search->codes)
                                     : int8_bytes(search->codes, search->ask->min_cosine);
}

/* A gallery in which everybody looks alike: bits, or half bytes, tell too few apart. */
static run_fn *reconsider(struct search *search, run_fn *run)
{
    const struct codes *codes = search->codes;
    const double floats = (double)search->scored * float_bytes(codes) / (double)search->scanned;
    const double more = floats + (double)search->looked_at * sign_bytes(codes) / (double)search->scanned;
    const double low = (double)codes_low_bytes(codes) / SCAN_ROWS;

    if (run == run_bits && search->ask->way == INDEX_WAY_PLANNED && more > exact_bytes(search) - bits_bytes(codes)) {
        look_at_passed(search); /* before the room has the other codes */
        prepare(search, INDEX_WAY_BYTES);
        search->scanned = search->looked_at = search->scored = 0;
        /* Half bytes rule out rows that signs do not, but for those that nearly reach the floor. */
        return exact_bytes(search) < all_int8_bytes(codes) && floats < 0.7 * float_bytes(codes) ? run_halves : run_int8;
    }
    return run == run_halves && floats > low ? run_int8 : run;
}

void search_view(const struct codes *codes, const struct view *view, const struct index_ask *ask,
                 struct search_query *queries, size_t n)
{
    struct search search = {.codes = codes, .view = view, .ask = ask, .queries = queries, .n = n};

    assert(n <= SEARCH_MAX_QUERIES);
    for (size_t q = 0; q < n; q++) {
        queries[q].n_hits = 0;
        queries[q].least = ask->min_cosine;
    }
    run_fn *run = begin(&search, search_plan(codes, rows_of(view), view->count, ask->min_cosine, ask->way));
    for (size_t i = 0; i < view->n_parts; i++) {
        const struct part *part = &view->parts[i];
        if (is_accelerated(&search, part)) {
            for (size_t q = 0; q < n; q++) {
                ask_accelerator(&search, &queries[q], part);
            }
            continue;
        }
        const size_t whole = part->rows / SCAN_ROWS * SCAN_ROWS;
        for (size_t first = 0; first < whole; first += RUN) {
            const size_t end = whole - first < RUN ? whole : first + RUN;
            if (!has_row(part, first, end)) {
                continue;
            }
            run(&search, part, first, end);
            search.scanned += (end - first) * n;
            if (search.scanned > TRIAL_ROWS * n) {
                run = reconsider(&search, run);
            }
        }
        score_loose(&search, part);
    }
    look_at_passed(&search);
    score_waiting(&search);
    for (size_t q = 0; q < n; q++) {
        sort(queries[q].hits, queries[q].n_hits);
    }
}
