/* exif.c: which way up a photo was taken, through libexif. */
#include <string.h>

#include <libexif/exif-data.h>
#include <libexif/exif-mem.h>

#include "core/image/image_private.h"

static const unsigned char magic[] = {'E', 'x', 'i', 'f', 0, 0};

/* The first IFD, where the orientation stands, comes first; a JPEG's segment cannot be longer either. */
#define MOST_BYTES 65535

static void *heap_new(ExifLong bytes)
{
    return foreign_heap_new(bytes, 1);
}

static void *heap_resize(void *block, ExifLong bytes)
{
    return foreign_heap_resize(block, bytes);
}

static int orientation_of(ExifData *data)
{
    ExifEntry *entry = exif_content_get_entry(data->ifd[EXIF_IFD_0], EXIF_TAG_ORIENTATION);

    if (entry == NULL || entry->format != EXIF_FORMAT_SHORT || entry->components < 1 || entry->size < 2 ||
        entry->data == NULL) {
        return 1;
    }
    int value = exif_get_short(entry->data, exif_data_get_byte_order(data));
    return value >= 1 && value <= 8 ? value : 1;
}

enum err exif_orientation(const unsigned char *block, size_t bytes, struct arena *mem, int *ret)
{
    if (bytes >= sizeof magic && memcmp(block, magic, sizeof magic) == 0) {
        block += sizeof magic;
        bytes -= sizeof magic;
    }
    if (bytes > MOST_BYTES - sizeof magic) {
        bytes = MOST_BYTES - sizeof magic;
    }
    unsigned char *whole = arena_alloc(mem, bytes + sizeof magic, 1); /* libexif insists on the magic */
    if (whole == NULL) {
        return arena_why(mem);
    }
    memcpy(whole, magic, sizeof magic);
    if (bytes > 0) {
        memcpy(whole + sizeof magic, block, bytes);
    }

    int orientation = 1;
    foreign_heap_begin();
    ExifMem *heap = exif_mem_new(heap_new, heap_resize, foreign_heap_free);
    ExifData *data = heap == NULL ? NULL : exif_data_new_mem(heap);
    if (data != NULL && !foreign_heap_starved()) {
        exif_data_unset_option(data, EXIF_DATA_OPTION_FOLLOW_SPECIFICATION); /* it would add and repair entries */
        exif_data_load_data(data, whole, (unsigned)(bytes + sizeof magic));
        orientation = orientation_of(data);
    }
    if (data != NULL) {
        exif_data_unref(data);
    }
    if (heap != NULL) {
        exif_mem_unref(heap);
    }
    if (foreign_heap_starved()) {
        return ERR_NOMEM;
    }
    *ret = orientation;
    return ERR_NONE;
}
