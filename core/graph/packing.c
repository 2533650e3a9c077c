/* packing.c: one choice for the process. */
#include "core/graph/packing.h"

#include <string.h>

static struct packing chosen; /* written before there are threads */

enum err packing_choose(const char *memory, const char *weights, struct err_note *note)
{
    const bool fast = strcmp(memory, "fast") == 0;
    const bool half = strcmp(weights, "fp16") == 0;

    if (!fast && strcmp(memory, "small") != 0) {
        return ERR_SAY(note, ERR_MISUSE, "memory is '%.40s', where small or fast is wanted", memory);
    }
    if (!half && strcmp(weights, "fp32") != 0) {
        return ERR_SAY(note, ERR_MISUSE, "weights is '%.40s', where fp32 or fp16 is wanted", weights);
    }
    chosen = (struct packing){.fast = fast, .half = half};
    return ERR_NONE;
}

struct packing packing_chosen(void)
{
    return chosen;
}
