/* fuzz_unpack.c: archives that somebody sent: what stands around libarchive, and its three readers behind it. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/utf8.h"
#include "server/gallery/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(struct unpack_source *source, const struct unpack_limits *limits)
{
    int64_t total = 0;
    int64_t entries = 0;

    for (enum err err = ERR_NONE; err == ERR_NONE;) {
        struct arena *mem = arena_new((size_t)1 << 22);
        struct unpack_item item = {0};
        struct err_note note = {0};
        const unsigned char *bytes = NULL;
        size_t n_bytes = 0;

        if (mem == NULL) {
            return;
        }
        err = unpack_next(source, mem, &item, &note);
        if (err == ERR_NONE) {
            /* What the rows and the answers rely on. */
            if (!utf8_is_text(item.name, strlen(item.name)) || ++entries > limits->entries ||
                (item.what == UNPACK_FILE && (item.folder[0] == '\0' || strchr(item.folder, '/') != NULL)) ||
                (item.what == UNPACK_REFUSED && (item.outcome == NULL || item.sentence == NULL))) {
                abort();
            }
            if (item.what == UNPACK_FILE) {
                err = unpack_read(source, mem, &item, &bytes, &n_bytes, &note);
                total += err == ERR_NONE ? (int64_t)n_bytes : 0;
                if (n_bytes > limits->entry_bytes || total > limits->total_bytes) {
                    abort();
                }
            }
        } else if (err != ERR_NOT_FOUND && err != ERR_NOMEM && note.text[0] == '\0') {
            abort(); /* refused without words */
        }
        arena_free(mem);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct unpack_limits limits = {.entries = 40, .entry_bytes = 65536, .total_bytes = 1 << 20, .ratio = 100};
    char path[40];
    struct unpack_source *source = NULL;
    int fd = memfd_create("archive", 0);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size) {
        abort();
    }
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (unpack_open(path, &limits, &source, NULL) == ERR_NONE) {
        walk(source, &limits);
        unpack_close(source);
    }
    (void)close(fd);
    return 0;
}
