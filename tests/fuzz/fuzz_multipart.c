/* fuzz_multipart.c: the first line is the content type, the rest the body. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/http/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size == 0 ? NULL : memchr(data, '\n', size);
    struct part parts[MULTIPART_MAX_PARTS];
    char type[256];
    int count = 0;

    if (end == NULL || (size_t)(end - data) >= sizeof(type)) {
        return 0;
    }
    memcpy(type, data, (size_t)(end - data));
    type[end - data] = '\0';
    size_t n_bytes = size - (size_t)(end + 1 - data);
    const char *body = (const char *)end + 1;
    struct arena *mem = arena_new((size_t)1 << 20);
    if (multipart_parse(type, body, n_bytes, mem, parts, &count, NULL) == ERR_NONE) {
        for (int i = 0; i < count; i++) {
            const char *bytes = (const char *)parts[i].bytes;
            if (bytes < body || bytes + parts[i].n_bytes > body + n_bytes || parts[i].name[0] == '\0') {
                abort();
            }
        }
    }
    arena_free(mem);
    return 0;
}
