/* fuzz_json.c: what stands before the JSON library, and the library behind it; and targets of requests. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/utf8.h"
#include "server/http/json.h"
#include "server/http/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *document = NULL;
    struct request request = {0};

    if (json_read(data, size, 32, &document, NULL) == ERR_NONE) {
        json_decref(document);
    }
    char *target = mem_new(size + 1, 1);
    memcpy(target, data, size);
    struct arena *mem = arena_new((size_t)1 << 20);
    if (request_parse_target(target, mem, &request, NULL) == ERR_NONE) {
        for (int i = 0; i < request.n_segments; i++) {
            if (!utf8_is_text(request.segments[i], strlen(request.segments[i]))) {
                abort();
            }
        }
    }
    arena_free(mem);
    mem_free(target);
    return 0;
}
