/* encode_webp.c: lossless WebP through libwebp; what is decoded again is what was given, byte for byte. */
#include <webp/encode.h>

#include "core/image/image_private.h"

/* 0 is fast, 9 small; 6 is the library's own default for lossless pictures. */
#define LOSSLESS_LEVEL 6

static enum err from_webp(WebPEncodingError code)
{
    return code == VP8_ENC_ERROR_OUT_OF_MEMORY || code == VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY ? ERR_NOMEM
                                                                                                : ERR_FOREIGN;
}

enum err webp_encode(const struct image *image, struct arena *mem, unsigned char **ret, size_t *ret_bytes)
{
    WebPConfig config;
    WebPPicture picture;
    WebPMemoryWriter writer;

    if (!WebPConfigInit(&config) || !WebPConfigLosslessPreset(&config, LOSSLESS_LEVEL) || !WebPPictureInit(&picture)) {
        return ERR_FOREIGN;
    }
    config.exact = 1;
    picture.use_argb = 1;
    picture.width = image->width;
    picture.height = image->height;
    WebPMemoryWriterInit(&writer);
    picture.writer = WebPMemoryWrite;
    picture.custom_ptr = &writer;
    enum err err = ERR_NONE;
    if (!WebPPictureImportRGB(&picture, image->rgb, IMAGE_CHANNELS * image->width) || !WebPEncode(&config, &picture)) {
        err = from_webp(picture.error_code);
    } else {
        err = encoded_copy(writer.mem, writer.size, mem, ret, ret_bytes);
    }
    WebPPictureFree(&picture);
    WebPMemoryWriterClear(&writer);
    return err;
}
