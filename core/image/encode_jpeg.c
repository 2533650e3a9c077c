/* encode_jpeg.c: JPEG through TurboJPEG, colour at full resolution: what we write are faces, small and looked at closely. */
#include <turbojpeg.h>

#include "core/image/image_private.h"

enum err jpeg_encode(const struct image *image, int quality, struct arena *mem, unsigned char **ret, size_t *ret_bytes)
{
    unsigned char *jpeg = NULL; /* grown by the library */
    unsigned long bytes = 0;
    tjhandle turbo = tjInitCompress();

    if (turbo == NULL) {
        return ERR_NOMEM;
    }
    enum err err = ERR_FOREIGN;
    if (tjCompress2(turbo, image->rgb, image->width, 0, image->height, TJPF_RGB, &jpeg, &bytes, TJSAMP_444, quality,
                    TJFLAG_ACCURATEDCT) == 0) {
        err = encoded_copy(jpeg, bytes, mem, ret, ret_bytes);
    }
    tjFree(jpeg);
    (void)tjDestroy(turbo);
    return err;
}
