/* faiss_index.c: FAISS's C interface, 1.7.3 to 1.11. */
#include "index/faiss_index.h"

#include <assert.h>
#include <faiss/c_api/AutoTune_c.h>
#include <faiss/c_api/IndexFlat_c.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/index_factory_c.h>
#include <string.h>
#include <sys/mman.h>

#include "core/base/mem.h"
#include "core/base/size.h"
#include "core/kernel/gemm.h"

/*
 * Declared here rather than through omp.h, which lies in gcc's private folder where no other compiler and no lint tool
 * finds it.  The ABI of libgomp fixes this prototype.
 */
void omp_set_num_threads(int n_threads);

struct faiss_index {
    FaissIndex *index;
    size_t dim;
    struct faiss_allowance *allowance; /* for what makes it larger; NULL: none */
};

/*
 * OpenMP's number of threads belongs to the calling thread.  At one, FAISS starts no team: parallelism has one owner, and
 * it is the caller.  OMP_WAIT_POLICY, which says how idle members of a team wait, then has nobody to speak to.
 */
static void run_on_this_thread_only(void)
{
    static _Thread_local int done;

    if (!done) {
        omp_set_num_threads(1);
        done = 1;
    }
}

/*
 * What FAISS says, without the function and the line that it begins with.  The text belongs to the thread and is not cleared by a
 * success, so it means something right after a failure only.
 */
static const char *last_words(void)
{
    static const char *const ends[] = {".cpp:", ": ", "failed: "};
    const char *text = faiss_get_last_error();

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]) && text != NULL; i++) {
        const char *found = strstr(text, ends[i]);
        if (found == NULL && i < 2) {
            break;
        }
        text = found == NULL ? text : found + strlen(ends[i]);
    }
    return text == NULL || *text == '\0' ? "no reason given" : text;
}

static enum err refused(int code, const char *doing, struct err_note *note)
{
    const char *text = last_words();

    /* FAISS's own reasons have another code, and of std::bad_alloc its C interface keeps no more than std::exception. */
    if (code == STD_EXCEPT && (strstr(text, "bad_alloc") != NULL || strstr(text, "std::exception") != NULL)) {
        return ERR_SAY(note, ERR_NOMEM, "the vector index is out of memory while %s", doing);
    }
    return ERR_SAY(note, ERR_FOREIGN, "FAISS refused %s (code %d): %s", doing, code, text);
}

static struct faiss_index *begin(int dim, struct err_note *note)
{
    struct faiss_index *faiss = MEM_NEW(struct faiss_index);

    /* FAISS's products are OpenBLAS's.  This call makes the linker take gemm_blas.c, whose constructor picks the kernels,
     * into programs that multiply nothing themselves. */
    assert(gemm_core() != NULL);
    if (faiss == NULL) {
        (void)ERR_SAY(note, ERR_NOMEM, "no memory for a vector index");
        return NULL;
    }
    faiss->dim = (size_t)dim;
    run_on_this_thread_only();
    return faiss;
}

enum err faiss_index_new(int dim, struct faiss_index **ret, struct err_note *note)
{
    struct faiss_index *faiss = begin(dim, note);

    if (faiss == NULL) {
        return ERR_NOMEM;
    }
    int code = faiss_IndexFlatIP_new_with(&faiss->index, dim);
    if (code != 0) {
        mem_free(faiss);
        return refused(code, "making an index", note);
    }
    *ret = faiss;
    return ERR_NONE;
}

static int set_parameters(FaissIndex *index, const char *parameters)
{
    FaissParameterSpace *space = NULL;

    int code = faiss_ParameterSpace_new(&space);
    if (code == 0) {
        code = faiss_ParameterSpace_set_index_parameters(space, index, parameters);
        faiss_ParameterSpace_free(space);
    }
    return code;
}

enum err faiss_index_make(int dim, const char *description, const char *parameters, struct faiss_allowance *allowance,
                          struct faiss_index **ret, struct err_note *note)
{
    struct faiss_index *faiss = begin(dim, note);

    if (faiss == NULL) {
        return ERR_NOMEM;
    }
    faiss->allowance = allowance;
    faiss_memory_allow(allowance);
    int code = faiss_index_factory(&faiss->index, dim, description, METRIC_INNER_PRODUCT);
    if (code == 0 && parameters != NULL) {
        code = set_parameters(faiss->index, parameters);
    }
    faiss_memory_allow(NULL);
    if (code != 0) {
        enum err err = refused(code, "it", note);
        faiss_index_free(faiss);
        return err == ERR_FOREIGN ? ERR_UNSUPPORTED : err;
    }
    *ret = faiss;
    return ERR_NONE;
}

/* All floats, one row behind the other. */
static float *floats_of(struct faiss_index *faiss)
{
    float *floats = NULL;
    size_t count = 0;

    faiss_IndexFlat_xb(faiss->index, &floats, &count);
    return floats;
}

void faiss_index_free(struct faiss_index *faiss)
{
    if (faiss == NULL) {
        return;
    }
    faiss_Index_free(faiss->index); /* its destructor is virtual; one of NULL does nothing */
    mem_free(faiss);
}

size_t faiss_index_rows(const struct faiss_index *faiss)
{
    return (size_t)faiss_Index_ntotal(faiss->index);
}

float *faiss_index_row(struct faiss_index *faiss, size_t row)
{
    return floats_of(faiss) + row * faiss->dim;
}

enum err faiss_index_append(struct faiss_index *faiss, const float *vectors, size_t n, struct err_note *note)
{
    run_on_this_thread_only();
    faiss_memory_allow(faiss->allowance);
    int code = faiss_Index_add(faiss->index, (int64_t)n, vectors);
    faiss_memory_allow(NULL);
    return code == 0 ? ERR_NONE : refused(code, "adding vectors", note);
}

/*
 * FAISS has no call that reserves, but one addition to an empty index takes exactly the memory it needs.  Pages that nobody has
 * written are all the kernel's one page of zeros, so the source costs none.
 */
enum err faiss_index_reserve(struct faiss_index *faiss, size_t n, struct err_note *note)
{
    size_t bytes;

    assert(faiss_index_rows(faiss) == 0);
    if (!size_mul(n, faiss->dim * sizeof(float), &bytes)) {
        return ERR_SAY(note, ERR_NOMEM, "no memory for %zu vectors", n);
    }
    void *zeros = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (zeros == MAP_FAILED) {
        return ERR_SAY(note, ERR_NOMEM, "no memory for %zu vectors", n);
    }
    (void)madvise(zeros, bytes, MADV_HUGEPAGE); /* there is a huge one of zeros too: fewer faults */
    enum err err = faiss_index_append(faiss, zeros, n, note);
    (void)munmap(zeros, bytes);
    return err;
}

enum err faiss_index_search(struct faiss_index *faiss, const float *query, size_t n, float *ret_scores,
                            int64_t *ret_rows, struct err_note *note)
{
    run_on_this_thread_only();
    /* One query at a time: FAISS then scores row by row with a fixed order of sums.  Many at once would go through a matrix
     * product, whose sums depend on where in the block a row lies. */
    int code = faiss_Index_search(faiss->index, 1, query, (int64_t)n, ret_scores, ret_rows);
    return code == 0 ? ERR_NONE : refused(code, "a search", note);
}

bool faiss_index_is_trained(const struct faiss_index *faiss)
{
    return faiss_Index_is_trained(faiss->index) != 0;
}

enum err faiss_index_train(struct faiss_index *faiss, const float *vectors, size_t n, struct err_note *note)
{
    run_on_this_thread_only();
    faiss_memory_allow(faiss->allowance);
    int code = faiss_Index_train(faiss->index, (int64_t)n, vectors);
    faiss_memory_allow(NULL);
    return code == 0 ? ERR_NONE : refused(code, "the training", note);
}
