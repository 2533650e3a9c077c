/* image.c: room for pixels. */
#include "core/image/image.h"

#include "core/base/size.h"
#include "core/image/image_private.h"

enum err image_new(int width, int height, struct arena *mem, struct image *ret)
{
    size_t pixels;

    if (width < 1 || height < 1) {
        return ERR_MISUSE;
    }
    if (!size_mul((size_t)width, (size_t)height, &pixels)) {
        return ERR_LIMIT;
    }
    uint8_t *rgb = arena_alloc(mem, pixels, IMAGE_CHANNELS);
    if (rgb == NULL) {
        return arena_why(mem);
    }
    *ret = (struct image){.width = width, .height = height, .rgb = rgb};
    return ERR_NONE;
}
