/*
 * bytes.h: reading untrusted bytes in order, without ever looking past their end.
 *
 * After the first read that does not fit, the reader has failed: that read and every later one return zero or NULL, and
 * bytes_failed says so.  A parser may therefore read a whole record and check once.
 */
#ifndef CORE_BASE_BYTES_H
#define CORE_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
    const unsigned char *at;
    size_t left;
    bool failed;
};

static inline struct bytes bytes_over(const void *start, size_t len)
{
    return (struct bytes){.at = start, .left = len};
}

static inline bool bytes_failed(const struct bytes *bytes)
{
    return bytes->failed;
}

/* Returns a pointer to the next len bytes and steps over them; NULL (and failed) if fewer are left. */
static inline const unsigned char *bytes_take(struct bytes *bytes, size_t len)
{
    if (bytes->failed || len > bytes->left) {
        bytes->failed = true;
        bytes->left = 0;
        return NULL;
    }
    const unsigned char *taken = bytes->at;
    bytes->at += len;
    bytes->left -= len;
    return taken;
}

static inline uint8_t bytes_u8(struct bytes *bytes)
{
    const unsigned char *p = bytes_take(bytes, 1);
    return p == NULL ? 0 : *p;
}

static inline uint16_t bytes_u16le(struct bytes *bytes)
{
    const unsigned char *p = bytes_take(bytes, 2);
    return p == NULL ? 0 : (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t bytes_u32le(struct bytes *bytes)
{
    const unsigned char *p = bytes_take(bytes, 4);
    return p == NULL ? 0 : (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t bytes_u64le(struct bytes *bytes)
{
    uint64_t low = bytes_u32le(bytes);
    uint64_t high = bytes_u32le(bytes);
    return low | high << 32;
}

/* Protocol-buffer varint: seven bits a byte, least significant first, at most ten bytes. */
static inline uint64_t bytes_varint(struct bytes *bytes)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = bytes_u8(bytes);
        value |= (uint64_t)(byte & 0x7FU) << shift;
        if ((byte & 0x80U) == 0) {
            return bytes->failed ? 0 : value;
        }
    }
    bytes->failed = true;
    bytes->left = 0;
    return 0;
}

#endif
