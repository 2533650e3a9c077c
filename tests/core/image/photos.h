/*
 * photos.h: encoded photos for tests, built in memory: a scene, and what the encoders do not write (EXIF, other chunks).
 */
#ifndef TESTS_CORE_IMAGE_PHOTOS_H
#define TESTS_CORE_IMAGE_PHOTOS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/image/image.h"

struct photo {
    unsigned char *bytes;
    size_t len;
};

/* Smooth, and different in every corner, so that lossy formats keep it and no turn looks like another. */
static inline struct image scene_new(int width, int height, struct arena *mem)
{
    struct image image = {0};

    if (image_new(width, height, mem, &image) == ERR_NONE) {
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x++) {
                uint8_t *p = image.rgb + 3 * (y * width + x);
                p[0] = (uint8_t)(20 + 200 * x / width);
                p[1] = (uint8_t)(20 + 200 * y / height);
                p[2] = (uint8_t)(230 - 150 * x / width - 60 * y / height);
            }
        }
    }
    return image;
}

static inline void put_u16(unsigned char *at, unsigned value, int big)
{
    at[big ? 0 : 1] = (unsigned char)(value >> 8);
    at[big ? 1 : 0] = (unsigned char)value;
}

static inline void put_u32(unsigned char *at, uint32_t value, int big)
{
    put_u16(at + (big ? 0 : 2), value >> 16, big);
    put_u16(at + (big ? 2 : 0), value & 0xFFFFU, big);
}

#define TIFF_BYTES 26

/* A TIFF structure with one entry: the orientation. */
static inline void put_tiff(unsigned char *at, int orientation, int big)
{
    memset(at, 0, TIFF_BYTES);
    memcpy(at, big ? "MM" : "II", 2);
    put_u16(at + 2, 42, big);
    put_u32(at + 4, 8, big);
    put_u16(at + 8, 1, big);
    put_u16(at + 10, 0x0112, big);
    put_u16(at + 12, 3, big);
    put_u32(at + 14, 1, big);
    put_u16(at + 18, (unsigned)orientation, big);
}

/* Puts bytes into a photo at a place. */
static inline struct photo photo_insert(struct photo photo, size_t place, const void *bytes, size_t len,
                                        struct arena *mem)
{
    struct photo longer = {arena_alloc(mem, photo.len + len, 1), photo.len + len};

    if (place > 0) {
        memcpy(longer.bytes, photo.bytes, place);
    }
    memcpy(longer.bytes + place, bytes, len);
    if (place < photo.len) {
        memcpy(longer.bytes + place + len, photo.bytes + place, photo.len - place);
    }
    return longer;
}

static inline struct photo jpeg_with_exif(struct photo jpeg, int orientation, int big, struct arena *mem)
{
    unsigned char segment[10 + TIFF_BYTES] = {0xFF, 0xE1, 0, 8 + TIFF_BYTES, 'E', 'x', 'i', 'f', 0, 0};

    put_tiff(segment + 10, orientation, big);
    return photo_insert(jpeg, 2, segment, sizeof segment, mem);
}

static inline uint32_t png_crc(const unsigned char *bytes, size_t len)
{
    uint32_t sum = 0xFFFFFFFF;

    for (size_t i = 0; i < len; i++) {
        sum ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            sum = (sum >> 1) ^ ((sum & 1U) != 0 ? 0xEDB88320U : 0);
        }
    }
    return ~sum;
}

#define PNG_HEAD_BYTES 33 /* signature and IHDR */

static inline struct photo png_with_exif(struct photo png, int orientation, int big, struct arena *mem)
{
    unsigned char chunk[12 + TIFF_BYTES] = {0, 0, 0, TIFF_BYTES, 'e', 'X', 'I', 'f'};

    put_tiff(chunk + 8, orientation, big);
    put_u32(chunk + 8 + TIFF_BYTES, png_crc(chunk + 4, 4 + TIFF_BYTES), 1);
    return photo_insert(png, PNG_HEAD_BYTES, chunk, sizeof chunk, mem);
}

/* The whole of a PNG's first 33 bytes, with its checksum. */
static inline void put_png_head(unsigned char *at, uint32_t width, uint32_t height)
{
    memcpy(at, "\x89PNG\r\n\x1A\n\0\0\0\rIHDR", 16);
    put_u32(at + 16, width, 1);
    put_u32(at + 20, height, 1);
    memcpy(at + 24, "\x08\x02\0\0\0", 5);
    put_u32(at + 29, png_crc(at + 12, 17), 1);
}

/* A simple WebP becomes an extended one: the VP8X chunk before, the EXIF chunk behind. */
static inline struct photo webp_extended(struct photo webp, int width, int height, unsigned flags, const void *tail,
                                         size_t tail_bytes, struct arena *mem)
{
    unsigned char head[18] = {'V', 'P', '8', 'X', 10, 0, 0, 0, (unsigned char)flags};

    put_u16(head + 12, (unsigned)width - 1, 0);
    put_u16(head + 15, (unsigned)height - 1, 0);
    struct photo longer = photo_insert(webp, 12, head, sizeof head, mem);
    longer = photo_insert(longer, longer.len, tail, tail_bytes, mem);
    put_u32(longer.bytes + 4, (uint32_t)longer.len - 8, 0);
    return longer;
}

static inline struct photo webp_with_exif(struct photo webp, int width, int height, int orientation, int big,
                                          struct arena *mem)
{
    unsigned char chunk[8 + TIFF_BYTES] = {'E', 'X', 'I', 'F', TIFF_BYTES, 0, 0, 0};

    put_tiff(chunk + 8, orientation, big);
    return webp_extended(webp, width, height, 0x08, chunk, sizeof chunk, mem);
}

#endif
