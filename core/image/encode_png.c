/* encode_png.c: PNG through libspng, its memory taken from our heap. */
#include <spng.h>

#include "core/image/image_private.h"

static void *heap_new(size_t bytes)
{
    return foreign_heap_new(bytes, 1);
}

static enum err why(void)
{
    return foreign_heap_starved() ? ERR_NOMEM : ERR_FOREIGN;
}

static enum err write_png(spng_ctx *png, const struct image *image, struct arena *mem, unsigned char **ret,
                          size_t *ret_bytes)
{
    struct spng_ihdr header = {.width = (uint32_t)image->width,
                               .height = (uint32_t)image->height,
                               .bit_depth = 8,
                               .color_type = SPNG_COLOR_TYPE_TRUECOLOR};
    size_t pixels_bytes = (size_t)IMAGE_CHANNELS * (size_t)image->width * (size_t)image->height;

    int code = spng_set_option(png, SPNG_ENCODE_TO_BUFFER, 1);
    if (code == SPNG_OK) {
        code = spng_set_ihdr(png, &header);
    }
    if (code == SPNG_OK) {
        code = spng_encode_image(png, image->rgb, pixels_bytes, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
    }
    if (code != SPNG_OK) {
        return why();
    }
    size_t bytes = 0;
    void *encoded = spng_get_png_buffer(png, &bytes, &code); /* ours from here on */
    if (encoded == NULL) {
        return why();
    }
    enum err err = encoded_copy(encoded, bytes, mem, ret, ret_bytes);
    foreign_heap_free(encoded);
    return err;
}

enum err png_encode(const struct image *image, struct arena *mem, unsigned char **ret, size_t *ret_bytes)
{
    struct spng_alloc heap = {heap_new, foreign_heap_resize, foreign_heap_new, foreign_heap_free};
    foreign_heap_begin();
    spng_ctx *png = spng_ctx_new2(&heap, SPNG_CTX_ENCODER);

    if (png == NULL) {
        return ERR_NOMEM;
    }
    enum err err = write_png(png, image, mem, ret, ret_bytes);
    spng_ctx_free(png);
    return err;
}
