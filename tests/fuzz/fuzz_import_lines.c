/*
 * fuzz_import_lines.c: the lines of an import, as gallery_import gets them from somebody's file, with a real gallery behind them.
 *
 * An input is one file.  The model's name cannot be guessed, so "MODEL" in it stands for the right one.  Whatever comes, the
 * import ends in words, every line has a row or was enrolled, and what is enrolled can be searched for.
 */
#include "tests/server/gallery/fixture.h"

#include <sys/mman.h>

#include "server/gallery/import.h"
#include "server/store/import_rows.h"
#include "server/store/job_rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Nothing here must outlive the process: the disk is not waited for. */
int fsync(int fd)
{
    return fd < 0;
}

int fdatasync(int fd)
{
    return fd < 0;
}

static struct fixture f;
static char version[65];
static int64_t job_id;

static void finish(void)
{
    fixture_stop(&f);
    fixture_remove(f.folder);
}

static void begin(void)
{
    struct collection_row collection = {0};
    struct pair *pair = NULL;

    fixture_open(&f, -1);
    gallery_worker_begin(f.worker, &(struct gallery_request){.actor = "fuzz"});
    if (find_pair(f.worker, NULL, &collection, &pair, &f.fault) != ERR_NONE) {
        abort();
    }
    (void)snprintf(version, sizeof version, "%s", pair->model->version);
    live_unref(f.gallery->live, pair);
    gallery_worker_reset(f.worker);
    (void)atexit(finish);
}

/* A job of its own for every input: what is done is remembered for each. */
static void job_make(void)
{
    if (store_job_add(f.store, "import", 0, "{}", "fuzz", NULL, &job_id, NULL) != ERR_NONE) {
        abort();
    }
}

static int file_make(const uint8_t *data, size_t size)
{
    int fd = memfd_create("lines", 0);
    const uint8_t *end = data + size;

    for (bool fine = fd >= 0; data < end && fine;) {
        const uint8_t *mark = memmem(data, (size_t)(end - data), "MODEL", 5);
        const size_t n = (size_t)((mark == NULL ? end : mark) - data);
        fine = write(fd, data, n) == (ssize_t)n && (mark == NULL || write(fd, version, 64) == 64);
        data = mark == NULL ? end : mark + 5;
        if (!fine) {
            abort();
        }
    }
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[40];

    if (f.gallery == NULL) {
        begin();
    }
    job_make();
    int fd = file_make(data, size);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const struct import_plan plan = {
        .path = path, .job_id = job_id, .actor = "fuzz", .n_workers = 1, .arena_bytes = (size_t)16 << 20};
    struct gallery_fault fault = {0};
    enum err err = gallery_import(f.gallery, &plan, &fault);
    if (err != ERR_NONE && err != ERR_NOMEM && fault.note.text[0] == '\0' && fault.reason == GALLERY_REASON_NONE) {
        abort(); /* refused without words */
    }
    (void)close(fd);
    return 0;
}
