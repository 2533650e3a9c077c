/*
 * utf8.h: texts from outside, whose encoding must be checked once and in one way (RFC 3629: no overlong forms, no surrogates,
 * nothing beyond U+10FFFF).
 */
#ifndef CORE_BASE_UTF8_H
#define CORE_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* The bytes of the well-formed character at the start, 1 to 4; 0 if there is none within n_bytes.  A zero byte is a character. */
size_t utf8_character(const void *bytes, size_t n_bytes);

/* Well-formed throughout and without zero bytes. */
bool utf8_is_text(const void *bytes, size_t n_bytes);

/* Puts a question mark in place of every byte of a zero-terminated text that belongs to no well-formed character. */
void utf8_mend(char *text);

#endif
