/*
 * index.h: nearest vectors.  Ids and floats; it knows neither faces nor rows.
 *
 * An index holds vectors of unit length under ids of the caller and finds the ids with the greatest inner product, which
 * for unit vectors is the cosine.  It is derived and disposable: the truth are the caller's rows.
 * Threads: any number may search while one adds or removes; a search sees each change whole, and every change that had
 *         returned before the search began.
 */
#ifndef INDEX_INDEX_H
#define INDEX_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

struct index;

/* Errors: ERR_MISUSE dim below 1 or above 4096; ERR_NOMEM; ERR_FOREIGN. */
MUST_CHECK enum err index_new(int dim, struct index **ret, struct err_note *note);
void index_free(struct index *index);

/* The same with segments of another length, a power of two from 64 to INDEX_SEGMENT_ROWS, which index_new takes: only full ones
 * become files.  Errors: ERR_MISUSE another number. */
#define INDEX_SEGMENT_ROWS 65536
MUST_CHECK enum err index_new_segmented(int dim, size_t segment_rows, struct index **ret, struct err_note *note);

int index_dim(const struct index *index);
int64_t index_count(struct index *index);
size_t index_bytes(struct index *index); /* memory held, an estimate; not what is mapped from files */

/*
 * Adds n vectors; each found by the next search.
 * Shapes: vectors [n, dim] f32 of unit length (to 1e-3), finite; ids ≥ 0, not yet in the index.
 * Errors: ERR_MISUSE not finite, not of unit length, a negative id; ERR_EXISTS an id is there already, or twice in ids;
 *         nothing has then been added.  ERR_NOMEM, ERR_FOREIGN.
 */
MUST_CHECK enum err index_add(struct index *index, const int64_t *ids, const float *vectors, size_t n,
                              struct err_note *note);

/*
 * Removes ids; unknown ones are passed over.  *ret_removed may be NULL.  From the return on no search finds them, and their
 * floats and codes are overwritten, in memory and, where they stand in a file, there and on the disk.
 * Errors: ERR_IO, ERR_NO_SPACE a file could not be overwritten: no search finds them all the same, and the file has lost its name.
 */
MUST_CHECK enum err index_remove(struct index *index, const int64_t *ids, size_t n, size_t *ret_removed,
                                 struct err_note *note);

/*
 * The same in two steps, for an owner who removes under a lock and answers outside of it: index_remove_unflushed returns when files
 * are overwritten and before the disk has it; index_flush returns when the disk has all that was overwritten before it was called,
 * and when FAISS has let go of a segment that index_build was giving to it.
 * Several who call it share what the first one waits for.
 */
MUST_CHECK enum err index_remove_unflushed(struct index *index, const int64_t *ids, size_t n, size_t *ret_removed,
                                           struct err_note *note);
MUST_CHECK enum err index_flush(struct index *index, struct err_note *note);

/*
 * Gives the memory of removed vectors back: copies what lives of half-dead parts into new ones.  Adding and removing do some of
 * this each time, so it is for an owner who has a background thread and wants it done at once; it may take a second, searches do
 * not notice, and changes wait a few milliseconds.
 */
void index_tidy(struct index *index);

struct index_hit {
    int64_t id;
    float cosine;
};

/*
 * Finds at most k hits with cosine ≥ min_cosine, best first; equal cosines by smaller id.
 * Where min_cosine is high enough for the dimension (from .28 at 512, .46 at 128) codes of a few bits sort out first; they
 * miss a hit whose cosine is min_cosine itself with a probability of at most 6e-7, a better one less often.  index_search_many
 * can be told not to.
 * Shapes: query [dim] f32 of unit length; ret_hits room for k.
 * Errors: ERR_MISUSE k below 1, a query that is not finite or not of unit length; ERR_NOMEM, ERR_FOREIGN.
 */
MUST_CHECK enum err index_search(struct index *index, const float *query, int k, float min_cosine,
                                 struct index_hit *ret_hits, int *ret_count, struct err_note *note);

/* ---- More than one query, and ways to answer it -------------------------------------------------------------------- */

enum index_way {
    INDEX_WAY_PLANNED, /* the fastest for this dimension and least cosine, which is what index_search takes */
    INDEX_WAY_EXACT,   /* the fastest of those that never miss a hit: all but the codes of a few bits */
    INDEX_WAY_FLOATS,  /* every vector is scored */
    INDEX_WAY_BYTES,   /* codes of one byte a dimension rule out by proof all but a few */
    INDEX_WAY_BITS /* codes of a bit or less a dimension do, and miss a hit at the least cosine with probability 6e-7 */
};

/* {0} but for k and min_cosine is what index_search asks. */
struct index_ask {
    int k;
    float min_cosine;
    enum index_way way;
    /* Says whether a hit may have this id; NULL: any.  Asked, on the searching thread, only of ids that codes do not rule out;
     * it must not call the index. */
    bool (*allow)(void *context, int64_t id);
    void *context;
    /* The only ids that a hit may have, in any order, without twins; NULL: all.  They become a mask of a bit a row, which is ANDed
     * with what lives: some 50 ns an id, and no more for a scan that skips what is masked out.  Unknown ones do not matter. */
    const int64_t *only;
    size_t n_only;
};

/*
 * Answers n queries, up to 16 of them in one pass over the index; each answer is what index_search would give, and all are
 * of one moment per 16.
 * Shapes: queries [n, dim] f32 of unit length; ret_hits [n, k], ret_counts [n].
 * Errors: as index_search.
 */
MUST_CHECK enum err index_search_many(struct index *index, const float *queries, size_t n, const struct index_ask *ask,
                                      struct index_hit *ret_hits, int *ret_counts, struct err_note *note);

/* How long searches have waited for the one lock that they take, twice each. */
struct index_waits {
    uint64_t taken, over_10us, over_100us, over_1ms;
    int64_t longest_ns;
};
void index_waits(struct index *index, struct index_waits *ret);

/* ---- Files -------------------------------------------------------------------------------------------------------- */

/*
 * So that an index of many vectors is there at once when a process begins, its full segments can be kept as files in a folder of
 * its own.  They are a copy that can be thrown away: whoever has the vectors compares (index_reconcile) and adds what is
 * missing.  The owner says whose they are; a moment, up to when its vectors are what the files hold; both are opaque here.
 */
#define INDEX_OWNER_BYTES 32
struct index_moment {
    unsigned char bytes[40];
};

struct index_files {
    const char *folder;
    unsigned char owner[INDEX_OWNER_BYTES];
    /* Says whether the vectors of that moment are still the owner's; asked for each file. */
    bool (*accept)(void *context, const struct index_moment *moment);
    /* The present moment; asked, with no lock held, before a file is begun that holds nothing younger. */
    enum err (*now)(void *context, struct index_moment *ret, struct err_note *note);
    void *context;
    bool look_only; /* nothing is changed on the disk: refused files stay, and none is written */
    bool map_saved; /* what has been written is read from its file from then on, and its memory given back */
};

struct index_load_report {
    size_t n_taken, n_refused;
    int64_t n_vectors;
    char reason[256]; /* of the first refusal */
};

/*
 * Makes an empty index keep files, and takes what the folder holds, if it is there.  Files that are damaged, unfinished, of
 * somebody else or of a moment that is not accepted are refused: overwritten and removed, unless files->look_only.
 * files->folder is copied, context is lent until index_free or index_close_files.
 * Errors: ERR_MISUSE not empty; ERR_DENIED, ERR_NO_SPACE, ERR_IO the folder; ERR_NOMEM.  The index is then empty and keeps none.
 */
MUST_CHECK enum err index_load(struct index *index, const struct index_files *files, struct index_load_report *ret,
                               struct err_note *note);

/*
 * Removes every vector whose id is not among those given, and says which of the given ids the index has no vector for.
 * Shapes: ids [n], ascending; ret_missing room for n.
 */
MUST_CHECK enum err index_reconcile(struct index *index, const int64_t *ids, size_t n, int64_t *ret_missing,
                                    size_t *ret_n_missing, struct err_note *note);

/* Makes the codes of every vector anew and compares.  Errors: ERR_CORRUPT the note says where; ERR_NOMEM. */
MUST_CHECK enum err index_check_codes(struct index *index, struct err_note *note);

/* Whether index_save has something to do. */
bool index_wants_saving(struct index *index);

/*
 * Writes a file for every full segment that has none, and overwrites those of segments that are no more.  For a background
 * thread: it takes a second for 100 MB; searches do not notice, and changes wait for a millisecond now and then.  One at a time.
 * Errors: ERR_NO_SPACE, ERR_DENIED, ERR_IO, ERR_NOMEM, and what now says; the index is as good as before.
 */
MUST_CHECK enum err index_save(struct index *index, struct err_note *note);

/* Keeps files no longer, and either leaves them for another index or takes their names away. */
void index_close_files(struct index *index, bool remove);

/* Overwrites and removes all files of a folder, and the folder; one that is not there is fine.  Errors: ERR_IO, ERR_DENIED. */
MUST_CHECK enum err index_files_destroy(const char *folder, struct err_note *note);

/* ---- FAISS's own kinds -------------------------------------------------------------------------------------------- */

/*
 * Who wants them lets FAISS answer for full segments, with one of its approximate kinds after a description of its factory
 * ("IVF256,SQ8", "HNSW32 efSearch=64"; accelerator.h says which).  It names the rows that may be the best, twice as many as are wanted
 * and some more; they are scored like all others, so that scores are the same on every way, but some hits may be missed: how many is
 * measured on the index's own vectors, and never assumed.  Asked so are planned searches without allow and only; the last segment, and
 * whatever has none, is scanned.
 * They live in memory only.  When a vector is removed, all that FAISS has made of its segment is overwritten and freed before
 * index_remove returns (or, if just then it is being made, index_flush), and made again when its owner calls index_build.
 */
#define INDEX_ACCELERATION_CHARS 64

/*
 * Tries a description on a few vectors.  Errors: ERR_UNSUPPORTED it is not understood, FAISS refuses it, in its own words, or it must learn from more vectors than
 * a segment has; ERR_LIMIT it takes too much memory; ERR_NOMEM.
 */
MUST_CHECK enum err index_check_acceleration(int dim, size_t segment_rows, const char *description,
                                             struct err_note *note);

/*
 * From now on that description's, which index_check_acceleration has found good; "": none.  What was made after another one is
 * overwritten and freed when this returns, also what was being made.  The same description changes nothing.
 * Errors: ERR_UNSUPPORTED not understood; the index is then as it was.
 */
MUST_CHECK enum err index_accelerate(struct index *index, const char *description, struct err_note *note);
void index_stop_accelerating(struct index *index); /* the same with "", which cannot fail */

/* Whether index_build has something to do, now or when it has been quiet. */
bool index_wants_building(struct index *index);

/*
 * Makes what is missing, but not for segments from which a vector was removed in the last quiet_ns, and then measures.  For a background thread:
 * it takes from a second to minutes a segment; searches do not notice, and changes wait for a millisecond now and then.  One at a time.
 * *ret_wait_ns: when to call again, 0: when something changed.
 */
void index_build(struct index *index, int64_t quiet_ns, int64_t *ret_wait_ns);

enum index_acceleration_state {
    INDEX_NOT_ACCELERATED,
    INDEX_ACCELERATION_WAITS, /* no segment is full and has enough vectors to learn from: every search is a scan */
    INDEX_ACCELERATION_BUILDS,
    INDEX_ACCELERATION_STANDS,
    INDEX_ACCELERATION_FAILED /* reason says why: every search is a scan until there is another description */
};

/* Of the vectors most like one of the index's own, itself left out: how many of those that an exact search finds are found. */
struct index_recall {
    int n_queries; /* 0: not measured */
    double at_1, at_10;
};

struct index_acceleration {
    char description[INDEX_ACCELERATION_CHARS];
    enum index_acceleration_state state;
    int64_t n_covered; /* vectors that FAISS answers for */
    size_t bytes;      /* that it holds for this */
    struct index_recall recall;
    char reason[256];
};
void index_acceleration(struct index *index, struct index_acceleration *ret);

/* The vector of an id, copied out.  Errors: ERR_NOT_FOUND. */
MUST_CHECK enum err index_get(struct index *index, int64_t id, float *ret, struct err_note *note);

#endif
