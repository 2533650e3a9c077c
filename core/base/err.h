/*
 * err.h: how anything in arcfaced says that it failed.
 *
 * A fallible function returns enum err; 0 is success.  On error its outputs are untouched, what it acquired is released
 * and the object is unchanged, unless its header says otherwise.  Where a person must act on the failure, the function
 * also takes a struct err_note, which is written once, where the cause is known, and holds one sentence with the numbers.
 */
#ifndef CORE_BASE_ERR_H
#define CORE_BASE_ERR_H

#include "core/base/attr.h"

enum err {
    ERR_NONE = 0,
    ERR_NOMEM,       /* the heap is empty */
    ERR_LIMIT,       /* a limit that we set ourselves is reached: pixels, bytes, an arena's cap, a queue's length */
    ERR_FORMAT,      /* the bytes are not what they claim to be: truncated, malformed, inconsistent */
    ERR_UNSUPPORTED, /* well-formed, but outside what we claim to handle */
    ERR_NOT_FOUND,   /* no such file, row, person, route */
    ERR_EXISTS,      /* it is there already and may not be twice */
    ERR_CONFLICT,    /* the request contradicts the present state */
    ERR_DENIED,      /* not allowed for this caller, or by the system's permissions */
    ERR_BUSY,        /* full or locked at the moment; trying later is sensible */
    ERR_TIMEOUT,     /* a deadline has passed */
    ERR_CANCELLED,   /* someone asked us to stop */
    ERR_IO,          /* the system could not read, write, sync, listen */
    ERR_NO_SPACE,    /* the disk is full: reads go on, writes do not */
    ERR_CORRUPT,     /* what we ourselves stored is damaged */
    ERR_MISUSE,      /* the caller broke the contract in a way that is checked: wrong dimension, NaN, unknown option */
    ERR_FOREIGN      /* a library said no, for none of the reasons above */
};

/* One sentence for a person, and where it was written.  {0} is a valid empty note. */
struct err_note {
    char text[256];
    const char *file;
    int line;
};

/*
 * Writes the sentence (cut at 255 bytes, never in the middle of a character, and UTF-8 whatever the names in it are) if note
 * is not NULL and is still empty, and returns code, so that a failure is one statement: return ERR_SAY(note, ERR_FORMAT, "node %d ...", i);
 */
#ifdef __clang_analyzer__ /* sees no function bodies of other files; this tells it that code is what comes back */
#define ERR_SAY(note, code, ...) ((void)err_say((note), (code), __FILE__, __LINE__, __VA_ARGS__), (code))
#else
#define ERR_SAY(note, code, ...) err_say((note), (code), __FILE__, __LINE__, __VA_ARGS__)
#endif
enum err err_say(struct err_note *note, enum err code, const char *file, int line, const char *format, ...)
    PRINTF_LIKE(5, 6);

/* Puts words before a note that is already written ("/path/model.onnx: " ...); does nothing to an empty or NULL one. */
void err_prefix(struct err_note *note, const char *format, ...) PRINTF_LIKE(2, 3);

/* Names the code in lower case without prefix ("not_found"), for logs and for problem documents; never NULL. */
const char *err_word(enum err code);

/* Maps an errno of the system to our code: ENOENT to ERR_NOT_FOUND, ENOSPC to ERR_NO_SPACE, ENOMEM, EACCES, else ERR_IO. */
enum err err_from_errno(int system_errno);

#endif
