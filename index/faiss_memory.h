/*
 * faiss_memory.h: what FAISS takes from the heap and gives back.
 *
 * FAISS's objects hold vectors in places that its C interface does not show, and whoever frees them frees bytes of faces.  So the
 * linker puts these functions between FAISS and C++'s operators new and delete (faiss.mk): whatever FAISS gives back is
 * overwritten first, also what a growing vector leaves behind and what training needed for a while.
 *
 * A thread that makes something large of a stranger's description lends itself an allowance: what FAISS takes is counted, and
 * once that is too much, or somebody has asked to stop, the next allocation fails, which FAISS answers with an error after
 * undoing what it did.  Not inside of a parallel region, where an exception ends the process: so the bound is passed by as much as one
 * call of FAISS takes there.
 */
#ifndef INDEX_FAISS_MEMORY_H
#define INDEX_FAISS_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct faiss_allowance {
    int64_t held;            /* bytes, of what was taken with this allowance */
    int64_t most;            /* of held */
    const atomic_bool *stop; /* NULL: nobody asks */
    bool refused;            /* something was too much, or stop was asked for */
};

/* From now on this thread's; NULL: none.  It must live until another is. */
void faiss_memory_allow(struct faiss_allowance *allowance);

#endif
