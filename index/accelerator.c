/* accelerator.c: a description, understood; a segment's rows in FAISS's hands. */
#include "index/accelerator.h"

#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "index/faiss_index.h"

enum {
    POINTS_A_CENTRE = 39, /* FAISS's least: with fewer its k-means warns on stderr */
    SAMPLE_ROWS = 4096,   /* where nothing is clustered, and only ranges are learnt */
    MAX_LISTS = 1024,     /* 39 times that are rows of one segment */
    MAX_LINKS = 128,
    MAX_PARTS = 4096,
    MAX_BITS = 10, /* of a part of a product code */
    MAX_LISTED_BITS = 8,
    MAX_LOOK = 65536,
    SCRATCH_BYTES = 64 << 20, /* for training */
    ROW_BYTES = 4096          /* beside four times the floats, which a growing vector takes for a moment */
};

/* ---- Understanding ----------------------------------------------------------------------------------------------- */

static bool take(const char **at, const char *word)
{
    const size_t n = strlen(word);

    if (strncmp(*at, word, n) != 0) {
        return false;
    }
    *at += n;
    return true;
}

static bool take_number(const char **at, int least, int most, int *ret)
{
    const char *digits = *at;
    int value = 0;

    while (*digits >= '0' && *digits <= '9' && digits - *at < 6) {
        value = value * 10 + (*digits++ - '0');
    }
    if (digits == *at || **at == '0' || value < least || value > most) {
        return false;
    }
    *at = digits;
    *ret = value;
    return true;
}

/* What of a description says how much it must learn from, and which parameters it has. */
struct kind {
    int lists, links, parts, centres;
};

static bool take_code(const char **at, struct kind *kind)
{
    static const char *const words[] = {"Flat", "SQfp16", "SQ4", "SQ6", "SQ8"};
    const int most_bits = kind->lists > 0 ? MAX_LISTED_BITS : MAX_BITS;
    int bits = 8;

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (take(at, words[i])) {
            return true;
        }
    }
    if (!take(at, "PQ") || !take_number(at, 1, MAX_PARTS, &kind->parts) ||
        (kind->links == 0 && take(at, "x") && !take_number(at, 4, most_bits, &bits))) {
        return false;
    }
    kind->centres = 1 << bits;
    (void)take(at, "np");
    return true;
}

static bool take_description(const char **at, struct kind *kind)
{
    int coarse_links = 0;

    if (take(at, "IVF")) {
        return take_number(at, 2, MAX_LISTS, &kind->lists) &&
               (!take(at, "_HNSW") || take_number(at, 4, MAX_LINKS, &coarse_links)) && take(at, ",") &&
               take_code(at, kind);
    }
    if (take(at, "HNSW")) {
        return take_number(at, 4, MAX_LINKS, &kind->links) && (!take(at, ",") || take_code(at, kind));
    }
    return take_code(at, kind);
}

static bool take_parameters(const char **at, const struct kind *kind, bool *ret_looks)
{
    int value;

    do {
        const bool nprobe = kind->lists > 0 && take(at, "nprobe=");
        if (!nprobe && (kind->links == 0 || (!take(at, "efSearch=") && !take(at, "efConstruction=")))) {
            return false;
        }
        *ret_looks = *ret_looks || nprobe;
        if (!take_number(at, 1, nprobe ? kind->lists : MAX_LOOK, &value)) {
            return false;
        }
    } while (take(at, ","));
    return true;
}

enum err acceleration_parse(const char *text, struct acceleration *ret, struct err_note *note)
{
    struct acceleration what = {0};
    struct kind kind = {0};
    const char *at = text;
    const char *parameters = "";
    bool looks = false;

    if (strlen(text) >= sizeof what.text) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "a description of an index has at most %zu characters",
                       sizeof what.text - 1);
    }
    bool good = take_description(&at, &kind);
    const int n = (int)(at - text);
    if (good && take(&at, " ")) {
        parameters = at;
        good = take_parameters(&at, &kind, &looks);
    }
    if (!good || *at != '\0') {
        return ERR_SAY(
            note, ERR_UNSUPPORTED,
            "not understood from \"%.16s\" on: known are Flat, SQ4 SQ6 SQ8 SQfp16, PQ16 (to x%d, in IVF to x%d), "
            "IVF256,CODE (to %d, maybe _HNSW32), HNSW32 (to %d) alone or with ,CODE; then \" nprobe=16\", "
            "\" efSearch=64\"",
            at, MAX_BITS, MAX_LISTED_BITS, MAX_LISTS, MAX_LINKS);
    }
    (void)snprintf(what.text, sizeof what.text, "%s", text);
    /* np: codes whose bits alone tell distances, which nobody asks for here, cost minutes of training that nothing can stop. */
    (void)snprintf(what.description, sizeof what.description, "%.*s%s", n, text,
                   kind.centres > 0 && memcmp(text + n - 2, "np", 2) != 0 ? "np" : "");
    if (kind.lists > 0 && !looks) {
        const int least = kind.lists < 8 ? kind.lists : 8;
        (void)snprintf(what.parameters, sizeof what.parameters, "nprobe=%d",
                       kind.lists / 16 > least ? kind.lists / 16 : least);
    } else {
        (void)snprintf(what.parameters, sizeof what.parameters, "%s", parameters);
    }
    what.parts = kind.parts;
    what.least_rows = (size_t)POINTS_A_CENTRE * (size_t)(kind.lists > kind.centres ? kind.lists : kind.centres);
    *ret = what;
    return ERR_NONE;
}

/* ---- Filling ----------------------------------------------------------------------------------------------------- */

/* What FAISS said, in our words where it ran into the allowance. */
static enum err explain(const struct accelerator *accelerator, enum err err, const struct err_note *said,
                        struct err_note *note)
{
    if (accelerator->allowance.stop != NULL && atomic_load(accelerator->allowance.stop)) {
        return ERR_CANCELLED;
    }
    if (accelerator->allowance.refused) {
        return ERR_SAY(note, ERR_LIMIT, "it takes more memory than the %lld MB that are allowed for %zu vectors",
                       (long long)(accelerator->allowance.most >> 20), accelerator->room);
    }
    return ERR_SAY(note, err, "%s", said->text);
}

enum err accelerator_new(const struct acceleration *what, int dim, size_t n, const atomic_bool *stop,
                         struct accelerator **ret, struct err_note *note)
{
    struct err_note said = {0};

    if (what->parts > 0 && dim % what->parts != 0) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "vectors of %d numbers are not cut into %d equal parts, as PQ%d would",
                       dim, what->parts, what->parts);
    }
    struct accelerator *accelerator = MEM_NEW(struct accelerator);
    if (accelerator != NULL) {
        accelerator->rows = MEM_ARRAY(uint16_t, n);
    }
    if (accelerator == NULL || accelerator->rows == NULL) {
        mem_free(accelerator);
        return ERR_SAY(note, ERR_NOMEM, "no memory for %zu rows", n);
    }
    accelerator->room = n;
    accelerator->allowance = (struct faiss_allowance){
        .most = (int64_t)n * (4 * (int64_t)dim * (int64_t)sizeof(float) + ROW_BYTES) + SCRATCH_BYTES, .stop = stop};
    enum err err = faiss_index_make(dim, what->description, what->parameters[0] == '\0' ? NULL : what->parameters,
                                    &accelerator->allowance, &accelerator->faiss, &said);
    if (err != ERR_NONE) {
        err = explain(accelerator, err, &said, note);
        accelerator_free(accelerator);
        return err;
    }
    *ret = accelerator;
    return ERR_NONE;
}

size_t accelerator_sample(const struct accelerator *accelerator, const struct acceleration *what, size_t n)
{
    if (faiss_index_is_trained(accelerator->faiss)) {
        return 0;
    }
    const size_t wanted = what->least_rows > SAMPLE_ROWS ? what->least_rows : SAMPLE_ROWS;
    return wanted < n ? wanted : n;
}

enum err accelerator_train(struct accelerator *accelerator, const float *sample, size_t n, struct err_note *note)
{
    struct err_note said = {0};

    enum err err = faiss_index_train(accelerator->faiss, sample, n, &said);
    return err == ERR_NONE ? ERR_NONE : explain(accelerator, err, &said, note);
}

enum err accelerator_add(struct accelerator *accelerator, const uint16_t *rows, const float *vectors, size_t n,
                         struct err_note *note)
{
    struct err_note said = {0};

    enum err err = faiss_index_append(accelerator->faiss, vectors, n, &said);
    if (err != ERR_NONE) {
        return explain(accelerator, err, &said, note);
    }
    memcpy(accelerator->rows + accelerator->n, rows, n * sizeof *rows);
    accelerator->n += n;
    return ERR_NONE;
}

void accelerator_free(struct accelerator *accelerator)
{
    if (accelerator != NULL) {
        faiss_index_free(accelerator->faiss);
        mem_free(accelerator->rows);
        mem_free(accelerator);
    }
}

size_t accelerator_bytes(const struct accelerator *accelerator)
{
    return (size_t)accelerator->allowance.held + accelerator->room * sizeof *accelerator->rows;
}

/* ---- Asking ------------------------------------------------------------------------------------------------------ */

enum err accelerator_search(const struct accelerator *accelerator, const float *query, size_t n, uint16_t *ret_rows,
                            size_t *ret_count)
{
    float scores[ACCELERATOR_MOST];
    int64_t numbers[ACCELERATOR_MOST];
    size_t count = 0;

    enum err err = faiss_index_search(accelerator->faiss, query, n, scores, numbers, NULL);
    for (size_t i = 0; i < n && err == ERR_NONE; i++) {
        if (numbers[i] >= 0 && (size_t)numbers[i] < accelerator->n) {
            ret_rows[count++] = accelerator->rows[numbers[i]];
        }
    }
    if (err == ERR_NONE) {
        *ret_count = count;
    }
    return err;
}
