/* import.c: which kind of file it is, and the rows of what was not enrolled. */
#include "server/gallery/import_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"

#define TEXTS_BYTES ((size_t)4 << 20) /* of the rows that wait, and of the bits */
#define BITS_BYTES ((size_t)1 << 30)

bool import_is_done(const struct import *import, int64_t number)
{
    return number <= import->n_done && (import->done[(number - 1) / 8] >> (unsigned)((number - 1) % 8) & 1U) != 0;
}

enum err import_flush(struct import *import, struct err_note *note)
{
    enum err err =
        store_import_add(import->gallery->store, import->plan->job_id, import->failed, import->n_failed, note);

    if (err == ERR_NONE) {
        import->n_failed = 0;
        arena_reset_wiped(import->mem);
    }
    return err;
}

enum err import_failed(struct import *import, int64_t number, const char *name, const char *outcome,
                       const char *sentence, struct err_note *note)
{
    struct import_item item = {.number = number,
                               .name = arena_copy_text(import->mem, name),
                               .outcome = arena_copy_text(import->mem, outcome),
                               .sentence = arena_copy_text(import->mem, sentence)};

    if (item.name == NULL || item.outcome == NULL || item.sentence == NULL) {
        return spent(import->mem);
    }
    import->failed[import->n_failed++] = item;
    return import->n_failed == IMPORT_FAILED_AT_ONCE ? import_flush(import, note) : ERR_NONE;
}

enum err import_goes_on(const struct import *import, int64_t position)
{
    if (import->plan->progress != NULL) {
        import->plan->progress(import->plan->context, position, import->file_bytes);
    }
    return cancel_asked(import->plan->cancel) ? ERR_CANCELLED : ERR_NONE;
}

const char *import_outcome(enum err err, const struct gallery_fault *fault)
{
    if (fault->reason == GALLERY_NO_SUCH_COLLECTION || fault->reason == GALLERY_NO_MODEL) {
        return NULL;
    }
    if (fault->reason != GALLERY_REASON_NONE) {
        return gallery_reason_word(fault->reason);
    }
    return err == ERR_LIMIT || err == ERR_FORMAT || err == ERR_UNSUPPORTED || err == ERR_MISUSE ? err_word(err) : NULL;
}

/* The first byte that is no white space, and the length. */
static enum err file_look(struct import *import, char *ret_first, struct err_note *note)
{
    char head[256];
    struct stat status;
    int fd = open(import->plan->path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return ERR_SAY(note, err_from_errno(errno), "the file of this import is gone");
    }
    ssize_t n = read(fd, head, sizeof head - 1);
    int rc = fstat(fd, &status);
    (void)close(fd);
    if (n < 0 || rc != 0) {
        return ERR_SAY(note, ERR_IO, "the file of this import cannot be read");
    }
    head[n] = '\0';
    *ret_first = head[strspn(head, " \t\r\n")];
    import->file_bytes = status.st_size;
    return ERR_NONE;
}

static enum err run(struct import *import, struct arena *bits, struct gallery_fault *fault)
{
    char first = '\0';
    unsigned char *done = NULL;

    enum err err = file_look(import, &first, &fault->note);
    if (err == ERR_NONE) {
        err =
            store_import_done(import->gallery->store, import->plan->job_id, bits, &done, &import->n_done, &fault->note);
        import->done = done;
    }
    if (err == ERR_NONE) {
        err = first == '{' ? import_lines(import, fault) : import_photos(import, fault);
    }
    /* Also after an error: what is known of single parts is worth keeping. */
    enum err flushed = import_flush(import, err == ERR_NONE ? &fault->note : NULL);
    return err != ERR_NONE ? err : flushed;
}

enum err gallery_import(struct gallery *gallery, const struct import_plan *plan, struct gallery_fault *fault)
{
    struct import *import = MEM_NEW(struct import);
    struct arena *bits = arena_new(BITS_BYTES);
    enum err err = ERR_NOMEM;

    if (import != NULL && bits != NULL) {
        import->gallery = gallery;
        import->plan = plan;
        import->mem = arena_new(TEXTS_BYTES);
        err = import->mem == NULL ? ERR_NOMEM : run(import, bits, fault);
        arena_free(import->mem);
    }
    arena_free(bits);
    mem_free(import);
    return err;
}
