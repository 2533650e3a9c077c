/*
 * unpack.h: the files inside a tar, tar.gz or zip that somebody sent, one after the other, with limits.
 *
 * Nothing is ever written to a path of the archive, so a hostile path cannot reach a file; it is refused all the same, because
 * the last folder becomes a person's name and the rest is shown.  The foreign library is asked for these three forms only, and
 * for a text that is packed by gzip: its other readers are never run on bytes from outside.
 * One thread per object.
 */
#ifndef SERVER_GALLERY_UNPACK_H
#define SERVER_GALLERY_UNPACK_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/err.h"

struct unpack_limits {
    int64_t entries;
    size_t entry_bytes;  /* of one file, unpacked; longer ones are passed over */
    int64_t total_bytes; /* unpacked */
    int ratio;           /* unpacked to packed, asked once RATIO_FROM_BYTES are unpacked: photos hardly shrink */
};

/* A million entries, 16 MiB, 256 GiB, 100. */
struct unpack_limits unpack_limits_default(void);

struct unpack_source;

/*
 * Opens a file of one of the three forms.  A zip of a million entries takes some 150 MB, the others nothing.
 * Errors: ERR_UNSUPPORTED it is none of them; ERR_LIMIT a zip of too many entries; ERR_NOT_FOUND, ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err unpack_open(const char *path, const struct unpack_limits *limits, struct unpack_source **ret,
                                struct err_note *note);
void unpack_close(struct unpack_source *source);

enum unpack_what {
    UNPACK_FILE,
    UNPACK_PASSED, /* not wanted, without a fault: folders, hidden files */
    UNPACK_REFUSED /* outcome and sentence say why */
};

struct unpack_item {
    enum unpack_what what;
    int64_t number;     /* of the entry, from 1, the same on every reading */
    const char *name;   /* the path, as valid UTF-8; unreadable bytes are shown as "?" */
    const char *folder; /* the last one, whose name is the subject's; only with UNPACK_FILE */
    /* bad_path, bad_name, link, special_file, no_folder, too_large, empty or damaged, and why; both static */
    const char *outcome;
    const char *sentence;
};

/*
 * Steps to the next entry; its content is read by unpack_read or passed over.
 * Owns:   texts are carved from mem.
 * Errors: ERR_NOT_FOUND there is none, without a note; ERR_FORMAT the archive is damaged from here on; ERR_LIMIT too many
 *         entries, too many bytes, or too much made from too little: the note says which; ERR_NOMEM.
 */
MUST_CHECK enum err unpack_next(struct unpack_source *source, struct arena *mem, struct unpack_item *ret,
                                struct err_note *note);

/*
 * Reads the content of the present file.  One that is empty, too long or damaged becomes UNPACK_REFUSED.
 * Owns:   *ret is carved from mem.
 * Errors: as unpack_next.
 */
MUST_CHECK enum err unpack_read(struct unpack_source *source, struct arena *mem, struct unpack_item *item,
                                const unsigned char **ret, size_t *ret_bytes, struct err_note *note);

/*
 * Opens a file that is one text, as it is or packed by gzip; with limits.total_bytes and limits.ratio.
 * Errors: as unpack_open.
 */
MUST_CHECK enum err unpack_text_open(const char *path, const struct unpack_limits *limits, struct unpack_source **ret,
                                     struct err_note *note);

/* The next bytes of the text, at most room; *ret_bytes 0 is the end.  Errors: ERR_FORMAT the file is damaged or cut off; ERR_LIMIT. */
MUST_CHECK enum err unpack_text_read(struct unpack_source *source, char *ret, size_t room, size_t *ret_bytes,
                                     struct err_note *note);

/* How many bytes of the file have been read, for progress. */
int64_t unpack_position(const struct unpack_source *source);

#endif
