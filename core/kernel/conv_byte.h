/*
 * conv_byte.h: convolutions of bytes with constant weights, channels last.
 *
 * Images are [n, h, w, channels] of unsigned bytes; signed ones count with their top bit flipped, which moves their zero by
 * 128.  Weights are packed once, their zero subtracted; those that are no signed bytes then (-255 .. 255) are sums of
 * several, and the products take as many passes.  Every sum is exact, so all kernel sets give the same.
 *
 * Padding is laid around a copy of the image, filled with the image's zero, so a pixel of the output sees a few stretches of
 * contiguous bytes (byte_product.h).  Groups of few channels are computed as blocks of 32 output channels that look at the
 * channels of their groups only, with zero weights where channels do not belong together.
 */
#ifndef CORE_KERNEL_CONV_BYTE_H
#define CORE_KERNEL_CONV_BYTE_H

#include "core/kernel/byte_loops.h"
#include "core/kernel/byte_product.h"
#include "core/kernel/conv.h"

/* What sums become. */
struct conv_byte_end {
    bool as_float;
    struct byte_requant requant; /* scale [padded channels] */
    const float *scale, *bias,
        *slope; /* for floats: as byte_loops.to_float, [padded channels]; bias, slope may be NULL */
};

/* Output channels, rounded up to whole blocks: how many numbers scale, bias, slope and start have. */
int64_t conv_byte_lanes(const struct conv_shape *s);

/* Can this shape be computed here?  Groups must fill whole blocks or share one. */
bool conv_byte_fits(const struct conv_shape *s);

/* How many signed bytes each weight is the sum of: 1 to CONV_BYTE_MAX_PASSES. */
#define CONV_BYTE_MAX_PASSES 3
int conv_byte_passes(const int16_t *w, int64_t count);

/* Bytes of the packed weights; false if they do not fit in size_t. */
MUST_CHECK bool conv_byte_packed_bytes(const struct conv_shape *s, int passes, size_t *ret);

/* Packs w [groups·oc, ic, kernel...]; packed is aligned to 64 bytes; sums [lanes] gets the sum of each channel's weights. */
void conv_byte_pack(const struct conv_shape *s, int passes, const int16_t *w, int8_t *packed, int32_t *sums);

MUST_CHECK bool conv_byte_work_bytes(const struct conv_shape *s, int threads, size_t *ret);

/*
 * y = end(start + Σ x · w); the caller puts bias - zero · sums into start [lanes].
 * Shapes: x [n, in..., channels], y [n, out..., groups·oc] of bytes or floats; work as conv_byte_work_bytes says.
 *         flip: 0, or 128 if x is signed; zero: of the flipped bytes.
 */
struct conv_byte_call {
    const struct conv_shape *shape;
    const uint8_t *x;
    uint8_t flip, zero;
    int passes;
    const int8_t *packed;
    const int32_t *start;
    struct conv_byte_end end;
    void *y;
};
void conv_byte(const struct conv_byte_call *call, void *work, struct pool *pool);

/*
 * For those who quantise the image themselves (the scale of a dynamically quantised one is known only when all of it has
 * been seen): where in work the pixel (d, h, w) of image n goes, and the call afterwards with x NULL.
 */
uint8_t *conv_byte_place(const struct conv_shape *s, void *work, int64_t n, int64_t d, int64_t h);
void conv_byte_fill(const struct conv_shape *s, uint8_t zero, void *work);

#endif
