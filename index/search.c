/* search.c: plan, scan, score. */
#include "index/search.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum {
    RUN = 32,        /* blocks between two looks at the floors; their byte codes fit into the second cache */
    FEW_ROWS = 256,  /* below, preparing a query costs more than scoring every row */
    WAITING = 16,    /* candidates whose floats are on their way from memory */
    LINES_AHEAD = 8, /* of a candidate's floats; the processor goes on by itself */
    LINE = 64,
    STEP_BYTES = 1152,  /* what is scanned between two calls for what comes AHEAD_BYTES later; at least a block */
    AHEAD_BYTES = 4608, /* beyond the page, with which the processor's own fetching ends */
    TRIAL_ROWS = 16384
};

/*
 * Bytes that a way reads a row, or as many as would take as long.  A candidate's floats are read out of order, at about 1.5 of
 * the price of bytes that are read in order.
 */
static double float_bytes(const struct codes *codes)
{
    return 1.5 * 4 * (double)codes->dim;
}

static double int8_bytes(const struct codes *codes)
{
    return (double)codes_int8_bytes(codes) / SCAN_ROWS;
}

static double bits_bytes(const struct codes *codes)
{
    return (double)codes_bits_bytes(codes) / SCAN_ROWS;
}

/* The share of rows that pass the bit codes: strangers, whose cosines spread normally around 0, with the estimate's error. */
static double passing_bits(const struct codes *codes, float min_cosine)
{
    const double strangers =
        fmax(0.065, 1 / sqrt((double)codes->dim)); /* measured on faces; at least what chance gives */
    const double deviation = (double)codes_bits_deviation(codes, min_cosine);
    const double reach = (double)min_cosine - (double)CODES_SIGMAS * deviation;

    return 0.5 * erfc(reach / sqrt(2 * (strangers * strangers + deviation * deviation)));
}

enum index_way search_plan(const struct codes *codes, size_t rows, size_t allowed, float min_cosine,
                           enum index_way wanted)
{
    const bool has_bits = codes->padded > 0;
    const double least_bytes = has_bits && wanted == INDEX_WAY_PLANNED ? bits_bytes(codes) : int8_bytes(codes);

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
    if (wanted == INDEX_WAY_PLANNED && has_bits &&
        bits_bytes(codes) + passing_bits(codes, min_cosine) * float_bytes(codes) < int8_bytes(codes)) {
        return INDEX_WAY_BITS;
    }
    return INDEX_WAY_BYTES;
}

size_t search_room_bytes(const struct codes *codes)
{
    size_t code_bytes = (codes->groups * 4 + 63) & ~(size_t)63;
    return code_bytes + codes->chunks * 128;
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
    return query->n_hits == (size_t)ask->k && query->hits[0].cosine > ask->min_cosine ? query->hits[0].cosine
                                                                                      : ask->min_cosine;
}

/* ---- Scoring ----------------------------------------------------------------------------------------------------- */

struct search {
    const struct codes *codes;
    const struct view *view;
    const struct index_ask *ask;
    struct search_query *queries;
    size_t n;

    /* Rows that passed, their floats being fetched. */
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

/* Returns how many rows there were. */
static size_t score_masks(struct search *search, struct search_query *query, const struct part *part,
                          size_t first_block, size_t n_blocks, const uint16_t *masks)
{
    size_t count = 0;

    for (size_t b = 0; b < n_blocks; b++) {
        for (unsigned left = masks[b]; left != 0; left &= left - 1) {
            score(search, query, part, (first_block + b) * SCAN_ROWS + (size_t)__builtin_ctz(left));
            count++;
        }
    }
    return count;
}

/* ---- Scanning ---------------------------------------------------------------------------------------------------- */

/* Blocks are scanned in short steps, and asked from memory well before their turn. */
struct steps {
    size_t blocks; /* of a step */
    size_t ahead;  /* bytes */
};

static struct steps steps_of(size_t block_bytes)
{
    const size_t blocks = STEP_BYTES / block_bytes;
    return (struct steps){.blocks = blocks > 0 ? blocks : 1,
                          .ahead = block_bytes > AHEAD_BYTES ? block_bytes : AHEAD_BYTES};
}

/* What lies behind the last block is asked for too, which is allowed and does no harm. */
static void fetch(const uint8_t *codes, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += LINE) {
        __builtin_prefetch(codes + i);
    }
}

static void scan_bits(struct search *search, const struct part *part, size_t block, size_t n_blocks, uint16_t *masks)
{
    const size_t block_bytes = codes_bits_bytes(search->codes);
    const struct steps steps = steps_of(block_bytes);
    const uint8_t *codes = part->segment->bits + block * block_bytes;

    for (size_t q = 0; q < search->n; q++) {
        struct search_query *query = &search->queries[q];
        codes_bits_floor(&query->bits, floor_of(query, search->ask));
        for (size_t b = 0; b < n_blocks; b += steps.blocks) {
            const size_t n = n_blocks - b < steps.blocks ? n_blocks - b : steps.blocks;
            if (q == 0) { /* for all of them */
                fetch(codes + b * block_bytes + steps.ahead, n * block_bytes);
            }
            search->codes->scan->bits(&query->bits, search->codes->chunks, codes + b * block_bytes, n,
                                      part->live + block + b, masks + q * n_blocks + b);
        }
    }
}

static void scan_int8(struct search *search, const struct part *part, size_t block, size_t n_blocks, uint16_t *masks)
{
    const size_t block_bytes = codes_int8_bytes(search->codes);
    const struct steps steps = steps_of(block_bytes);
    const uint8_t *codes = part->segment->int8 + block * block_bytes;
    struct scan_int8_query scans[SEARCH_MAX_QUERIES];

    for (size_t q = 0; q < search->n; q++) {
        struct search_query *query = &search->queries[q];
        codes_int8_floor(&query->int8, floor_of(query, search->ask));
        scans[q] = query->int8.scan;
    }
    if (search->n > 1) { /* their arithmetic takes longer than memory does */
        search->codes->scan->int8(scans, search->n, search->codes->groups, codes, n_blocks, part->live + block, masks);
        return;
    }
    for (size_t b = 0; b < n_blocks; b += steps.blocks) {
        const size_t n = n_blocks - b < steps.blocks ? n_blocks - b : steps.blocks;
        fetch(codes + b * block_bytes + steps.ahead, n * block_bytes);
        search->codes->scan->int8(scans, 1, search->codes->groups, codes + b * block_bytes, n, part->live + block + b,
                                  masks + b);
    }
}

/* Returns how many rows were scored, all queries together. */
static size_t scan_run(struct search *search, enum index_way way, const struct part *part, size_t block,
                       size_t n_blocks)
{
    uint16_t masks[SEARCH_MAX_QUERIES * RUN];
    size_t count = 0;

    if (way == INDEX_WAY_BITS) {
        scan_bits(search, part, block, n_blocks, masks);
    } else if (way == INDEX_WAY_BYTES) {
        scan_int8(search, part, block, n_blocks, masks);
    } else {
        for (size_t q = 0; q < search->n; q++) {
            memcpy(masks + q * n_blocks, part->live + block, n_blocks * sizeof *masks);
        }
    }
    for (size_t q = 0; q < search->n; q++) {
        count += score_masks(search, &search->queries[q], part, block, n_blocks, masks + q * n_blocks);
    }
    score_waiting(search);
    return count;
}

/* Rows behind the last whole block have no codes. */
static void score_loose(struct search *search, const struct part *part)
{
    const size_t block = part->rows / SCAN_ROWS;
    const size_t loose = part->rows % SCAN_ROWS;

    if (loose > 0) {
        uint16_t mask = part->live[block] & (uint16_t)((1U << loose) - 1);
        for (size_t q = 0; q < search->n; q++) {
            (void)score_masks(search, &search->queries[q], part, block, 1, &mask);
        }
    }
    score_waiting(search);
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
static bool has_row(const uint16_t *live, size_t n_blocks)
{
    unsigned any = 0;

    for (size_t i = 0; i < n_blocks; i++) {
        any |= live[i];
    }
    return any != 0;
}

void search_view(const struct codes *codes, const struct view *view, const struct index_ask *ask,
                 struct search_query *queries, size_t n)
{
    struct search search = {.codes = codes, .view = view, .ask = ask, .queries = queries, .n = n};
    enum index_way way = search_plan(codes, rows_of(view), view->count, ask->min_cosine, ask->way);
    size_t scanned = 0;
    size_t scored = 0;

    assert(n <= SEARCH_MAX_QUERIES);
    for (size_t q = 0; q < n; q++) {
        queries[q].n_hits = 0;
    }
    prepare(&search, way);
    for (size_t i = 0; i < view->n_parts; i++) {
        const struct part *part = &view->parts[i];
        for (size_t block = 0; block < part->rows / SCAN_ROWS; block += RUN) {
            size_t left = part->rows / SCAN_ROWS - block;
            size_t n_blocks = left < RUN ? left : RUN;
            if (!has_row(part->live + block, n_blocks)) {
                continue;
            }
            scored += scan_run(&search, way, part, block, n_blocks);
            scanned += n_blocks * SCAN_ROWS * n;
            /* A gallery in which everybody looks alike: the bit codes tell too few apart. */
            if (way == INDEX_WAY_BITS && ask->way == INDEX_WAY_PLANNED && scanned > TRIAL_ROWS * n &&
                (double)scored / (double)scanned * float_bytes(codes) > int8_bytes(codes) - bits_bytes(codes)) {
                way = INDEX_WAY_BYTES;
                prepare(&search, way);
            }
        }
        score_loose(&search, part);
    }
    for (size_t q = 0; q < n; q++) {
        sort(queries[q].hits, queries[q].n_hits);
    }
}
