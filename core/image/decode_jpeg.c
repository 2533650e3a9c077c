/*
 * decode_jpeg.c: JPEG through TurboJPEG.
 *
 * TurboJPEG and not libjpeg's own interface, because that reports errors by not returning, which leaves setjmp as the
 * only way out.  What TurboJPEG does not tell (EXIF, the Adobe marker, arithmetic coding, the number of scans, odd
 * sampling factors, whether the end is there) a walk over the markers finds before a pixel is decoded; it reads lengths
 * and never entropy-coded data.
 *
 * Warnings of the library are errors: behind them it invents pixels, grey where data is missing.
 */
#include <stdbool.h>
#include <string.h>

#include <turbojpeg.h>

#include "core/image/image_private.h"

/* A progressive photo has about ten; each scan costs a pass over all coefficients, however few bytes it has. */
#define MOST_SCANS 32

enum marker {
    MARKER_TEM = 0x01,
    MARKER_SOF0 = 0xC0,
    MARKER_SOF2 = 0xC2,
    MARKER_DHT = 0xC4,
    MARKER_JPG = 0xC8,
    MARKER_SOF9 = 0xC9,
    MARKER_SOF11 = 0xCB,
    MARKER_DAC = 0xCC,
    MARKER_SOF15 = 0xCF,
    MARKER_RST0 = 0xD0,
    MARKER_RST7 = 0xD7,
    MARKER_SOI = 0xD8,
    MARKER_EOI = 0xD9,
    MARKER_SOS = 0xDA,
    MARKER_APP1 = 0xE1,
    MARKER_APP14 = 0xEE
};

struct facts {
    uint32_t width;
    uint32_t height;
    int components; /* 0 before the frame header */
    int scans;
    bool adobe;
    struct bytes exif;
};

static uint32_t u16be(struct bytes *bytes)
{
    uint32_t high = bytes_u8(bytes);
    return high << 8 | bytes_u8(bytes);
}

/* Returns the next marker's code, or 0 if there is none here. */
static uint8_t next_marker(struct bytes *at)
{
    uint8_t code = 0xFF;

    if (bytes_u8(at) != 0xFF) {
        return 0;
    }
    while (code == 0xFF && !bytes_failed(at)) { /* fill bytes are allowed */
        code = bytes_u8(at);
    }
    return code;
}

/* Steps over entropy-coded data to the marker that ends it. */
static void skip_scan(struct bytes *at)
{
    while (at->left >= 2) {
        const unsigned char *hit = memchr(at->at, 0xFF, at->left - 1);
        if (hit == NULL) {
            break;
        }
        (void)bytes_take(at, (size_t)(hit - at->at));
        uint8_t code = hit[1];
        if (code != 0 && code != 0xFF && (code < MARKER_RST0 || code > MARKER_RST7)) {
            return;
        }
        (void)bytes_take(at, code == 0xFF ? 1 : 2);
    }
    (void)bytes_take(at, SIZE_MAX); /* there is no end */
}

static bool is_frame(uint8_t code)
{
    return code >= MARKER_SOF0 && code <= MARKER_SOF15 && code != MARKER_DHT && code != MARKER_JPG &&
           code != MARKER_DAC;
}

static enum err read_frame(uint8_t code, struct bytes segment, struct facts *facts, struct err_note *note)
{
    if (facts->components != 0) {
        return ERR_SAY(note, ERR_FORMAT, "the JPEG has two frame headers");
    }
    if (code >= MARKER_SOF9 && code <= MARKER_SOF15) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "the JPEG is arithmetic-coded, which is not supported");
    }
    if (code > MARKER_SOF2) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "the JPEG is lossless or hierarchical, which is not supported");
    }
    int precision = bytes_u8(&segment);
    facts->height = u16be(&segment);
    facts->width = u16be(&segment);
    facts->components = bytes_u8(&segment);
    if (bytes_failed(&segment)) {
        return ERR_SAY(note, ERR_FORMAT, "the JPEG's frame header is too short");
    }
    if (precision != 8) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "the JPEG has %d bits a sample, only 8 are supported", precision);
    }
    if (facts->components != 1 && facts->components != 3 && facts->components != 4) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "the JPEG has %d colour components; 1, 3 and 4 are supported",
                       facts->components);
    }
    return ERR_NONE;
}

static enum err read_segment(uint8_t code, struct bytes segment, struct facts *facts, struct err_note *note)
{
    if (is_frame(code)) {
        return read_frame(code, segment, facts, note);
    }
    if (code == MARKER_SOS && ++facts->scans > MOST_SCANS) {
        return ERR_SAY(note, ERR_LIMIT, "the JPEG has more than %d scans", MOST_SCANS);
    }
    if (code == MARKER_APP1 && facts->exif.left == 0 && segment.left > 6 && memcmp(segment.at, "Exif\0", 6) == 0) {
        facts->exif = segment;
    }
    if (code == MARKER_APP14 && segment.left >= 12 && memcmp(segment.at, "Adobe", 5) == 0) {
        facts->adobe = true;
    }
    return ERR_NONE;
}

static enum err read_markers(struct bytes photo, struct facts *facts, struct err_note *note)
{
    (void)bytes_take(&photo, 2); /* SOI, which brought us here */
    for (;;) {
        uint8_t code = next_marker(&photo);
        if (bytes_failed(&photo)) {
            return ERR_SAY(note, ERR_FORMAT, "the JPEG is truncated");
        }
        if (code == 0 || code == MARKER_SOI) {
            return ERR_SAY(note, ERR_FORMAT, "the JPEG is damaged: something else stands where a marker must be");
        }
        if (code == MARKER_EOI) {
            break;
        }
        if (code == MARKER_TEM || (code >= MARKER_RST0 && code <= MARKER_RST7)) {
            continue;
        }
        size_t len = u16be(&photo);
        const unsigned char *segment = len < 2 ? NULL : bytes_take(&photo, len - 2);
        if (segment == NULL) {
            return ERR_SAY(note, ERR_FORMAT, "the JPEG is truncated, or a segment's length is wrong");
        }
        enum err err = read_segment(code, bytes_over(segment, len - 2), facts, note);
        if (err != ERR_NONE) {
            return err;
        }
        if (code == MARKER_SOS) {
            skip_scan(&photo);
        }
    }
    if (facts->components == 0 || facts->scans == 0) {
        return ERR_SAY(note, ERR_FORMAT, "the JPEG holds no picture");
    }
    return ERR_NONE;
}

/*
 * Cyan, magenta, yellow and black to RGB in the same memory.  Adobe's programs, and nobody else, store ink inverted: 255
 * is paper; the others are brought to that first.
 */
static void squeeze_cmyk(const struct image *image, bool inverted)
{
    const uint8_t *from = image->rgb;
    uint8_t *to = image->rgb;
    size_t pixels = (size_t)image->width * (size_t)image->height;
    unsigned flip = inverted ? 0 : 255;

    for (size_t i = 0; i < pixels; i++, from += 4, to += 3) {
        unsigned black = from[3] ^ flip;
        to[0] = (uint8_t)(((from[0] ^ flip) * black + 127) / 255);
        to[1] = (uint8_t)(((from[1] ^ flip) * black + 127) / 255);
        to[2] = (uint8_t)(((from[2] ^ flip) * black + 127) / 255);
    }
}

static enum err read_pixels(struct bytes photo, const struct facts *facts, const struct image *room,
                            struct err_note *note)
{
    bool cmyk = facts->components == 4;
    enum err err = ERR_NONE;
    tjhandle turbo = tjInitDecompress();

    if (turbo == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory to decode a JPEG");
    }
    int pitch = room->width * (cmyk ? 4 : IMAGE_CHANNELS);
    if (tjDecompress2(turbo, photo.at, photo.left, room->rgb, room->width, pitch, room->height,
                      cmyk ? TJPF_CMYK : TJPF_RGB, TJFLAG_STOPONWARNING) != 0) {
        const char *why = tjGetErrorStr2(turbo);
        bool starved = strstr(why, "nsufficient memory") != NULL;
        err = ERR_SAY(note, starved ? ERR_NOMEM : ERR_FORMAT, "the JPEG is damaged: %s", why);
    }
    (void)tjDestroy(turbo);
    return err;
}

enum err jpeg_decode(struct bytes photo, const struct image_limits *limits, struct arena *mem, struct raw_image *ret,
                     struct err_note *note)
{
    struct facts facts = {0};
    struct raw_image raw = {.orientation = 1};

    enum err err = read_markers(photo, &facts, note);
    if (err == ERR_NONE) {
        err = limits_check(limits, "JPEG", facts.width, facts.height, note);
    }
    if (err == ERR_NONE) {
        err = pixels_new(facts.width, facts.height, facts.components == 4 ? 4 : IMAGE_CHANNELS, mem, &raw.image, note);
    }
    if (err == ERR_NONE) {
        err = read_pixels(photo, &facts, &raw.image, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    if (facts.components == 4) {
        squeeze_cmyk(&raw.image, facts.adobe);
    }
    if (facts.exif.left > 0) {
        err = exif_orientation(facts.exif.at, facts.exif.left, mem, &raw.orientation);
        if (err != ERR_NONE) {
            return ERR_SAY(note, err, "no memory to read the JPEG's EXIF data");
        }
    }
    *ret = raw;
    return ERR_NONE;
}
