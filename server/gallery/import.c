/* import.c: which kind of file it is, and the rows of what was not enrolled. */
#include "server/gallery/import_private.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/mem.h"
#include "server/gallery/unpack.h"

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

/*
 * Whether a file is lines: a text, packed or not, that begins with a brace.  A tar begins with a name, which may do so, too, but
 * zeros follow it.
 */
static enum err is_lines(const char *path, bool *ret)
{
    const struct unpack_limits limits = unpack_limits_default();
    struct unpack_source *source = NULL;
    struct err_note unsaid = {0}; /* who reads it all says what is wrong */
    char head[512];
    size_t n = 0;
    size_t more = 1;

    enum err err = unpack_text_open(path, &limits, &source, &unsaid);
    while (err == ERR_NONE && n < sizeof head && more > 0) {
        err = unpack_text_read(source, head + n, sizeof head - n, &more, &unsaid);
        n += err == ERR_NONE ? more : 0;
    }
    unpack_close(source);
    size_t at = 0;
    while (at < n && strchr(" \t\r\n", head[at]) != NULL && head[at] != '\0') {
        at++;
    }
    *ret = at < n && head[at] == '{' && memchr(head, 0, n) == NULL;
    return err == ERR_NOMEM ? err : ERR_NONE;
}

static enum err file_look(struct import *import, bool *ret_lines, struct err_note *note)
{
    struct stat status;

    if (stat(import->plan->path, &status) != 0) {
        return ERR_SAY(note, err_from_errno(errno), "the file of this import is gone");
    }
    import->file_bytes = status.st_size;
    return is_lines(import->plan->path, ret_lines);
}

static enum err run(struct import *import, struct arena *bits, struct gallery_fault *fault)
{
    bool lines = false;
    unsigned char *done = NULL;

    enum err err = file_look(import, &lines, &fault->note);
    if (err == ERR_NONE) {
        err =
            store_import_done(import->gallery->store, import->plan->job_id, bits, &done, &import->n_done, &fault->note);
        import->done = done;
    }
    if (err == ERR_NONE) {
        err = lines ? import_lines(import, fault) : import_photos(import, fault);
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
