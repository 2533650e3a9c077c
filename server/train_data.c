/* train_data.c: crops are made on all threads in groups, and written in order. */
#include "server/train_data.h"

#include "core/base/mem.h"
#include "core/image/encode.h"

/* Photos whose crops are held in memory at once: 512 × some 13 KB. */
#define GROUP 512

struct encoded {
    unsigned char *bytes[GROUP];
    size_t n_bytes[GROUP];
};

static enum err encode(void *context, int thread, int i, const struct image *crop, struct arena *mem,
                       struct err_note *note)
{
    struct encoded *encoded = context;
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;
    enum err err = image_encode(crop, IMAGE_WEBP_LOSSLESS, 0, mem, &bytes, &n_bytes);

    (void)thread;
    if (err != ERR_NONE) {
        return ERR_SAY(note, err, "a crop cannot be encoded");
    }
    encoded->bytes[i] = mem_copy(bytes, n_bytes);
    encoded->n_bytes[i] = n_bytes;
    return encoded->bytes[i] == NULL ? ERR_NOMEM : ERR_NONE;
}

/* Two rounds over the photos: which of them are usable decides who has enough; the crops of the second are kept. */
struct writing {
    const struct people_folder *folder;
    struct crop_source source;
    struct dataset_writer *writer; /* NULL in the first round */
    unsigned char *state;
    int *label; /* of each person, -1: left out */
    struct encoded *encoded;
    struct progress progress;
};

static enum err write_group(struct writing *writing, int from, int n, struct err_note *note)
{
    struct crop_source group = writing->source;
    enum err err;

    group.paths = writing->source.paths + from;
    group.n = n;
    err = crop_files(&group, encode, writing->encoded, &writing->progress, writing->state + from, note);
    for (int i = 0; i < n; i++) {
        int label = writing->label[writing->folder->person[from + i]];
        if (err == ERR_NONE && writing->state[from + i] == CROP_SEEN && label >= 0) {
            err = dataset_add(writing->writer, writing->encoded->bytes[i], writing->encoded->n_bytes[i], label,
                              from + i, note);
        }
        mem_free(writing->encoded->bytes[i]);
        writing->encoded->bytes[i] = NULL;
    }
    return err;
}

static enum err nothing(void *context, int thread, int i, const struct image *crop, struct arena *mem,
                        struct err_note *note)
{
    (void)context;
    (void)thread;
    (void)i;
    (void)crop;
    (void)mem;
    (void)note;
    return ERR_NONE;
}

/* Labels the people with enough usable photos; returns how many. */
static int label_people(const struct writing *writing, int least_photos, const char **ret_name)
{
    const struct people_folder *folder = writing->folder;
    int people = 0;

    for (int p = 0, i = 0; p < folder->people; p++) {
        int usable = 0;
        for (; i < folder->n && folder->person[i] == p; i++) {
            usable += writing->state[i] == CROP_SEEN;
        }
        writing->label[p] = usable >= least_photos ? people : -1;
        if (usable >= least_photos) {
            ret_name[people++] = folder->names[p];
        }
    }
    return people;
}

static enum err write_all(struct writing *writing, int side, int least_photos, const char *path, const char **ret_name,
                          int *ret_people, struct err_note *note)
{
    const struct people_folder *folder = writing->folder;

    progress_start(&writing->progress, "looking", 0, folder->n);
    enum err err = crop_files(&writing->source, nothing, NULL, &writing->progress, writing->state, note);
    progress_end(&writing->progress);
    if (err != ERR_NONE) {
        return err;
    }
    *ret_people = label_people(writing, least_photos, ret_name);
    if (*ret_people < 2) {
        return ERR_SAY(note, ERR_FORMAT, "%d of %d people have %d usable photos; two are needed", *ret_people,
                       folder->people, least_photos);
    }
    err = dataset_create(path, side, &writing->writer, note);
    if (err != ERR_NONE) {
        return err;
    }
    progress_start(&writing->progress, "cropping", 0, folder->n);
    for (int from = 0; from < folder->n && err == ERR_NONE; from += GROUP) {
        err = write_group(writing, from, folder->n - from < GROUP ? folder->n - from : GROUP, note);
    }
    progress_end(&writing->progress);
    if (err != ERR_NONE) {
        dataset_abandon(writing->writer);
        return err;
    }
    return dataset_finish(writing->writer, note);
}

enum err train_data_write(const struct people_folder *folder, const struct model *detector, int side, int threads,
                          int least_photos, const char *path, struct cancel *cancel, const char **ret_name,
                          int *ret_people, struct err_note *note)
{
    struct writing writing = {.folder = folder,
                              .source = {.paths = folder->paths,
                                         .n = folder->n,
                                         .detector = detector,
                                         .side = side,
                                         .threads = threads,
                                         .cancel = cancel},
                              .state = MEM_ARRAY(unsigned char, folder->n),
                              .label = MEM_ARRAY(int, folder->people),
                              .encoded = MEM_NEW(struct encoded)};
    enum err err = writing.state == NULL || writing.label == NULL || writing.encoded == NULL ? ERR_NOMEM : ERR_NONE;

    if (err == ERR_NONE) {
        err = write_all(&writing, side, least_photos, path, ret_name, ret_people, note);
    }
    mem_free(writing.state);
    mem_free(writing.label);
    mem_free(writing.encoded);
    return err;
}
