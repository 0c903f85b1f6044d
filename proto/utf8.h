#pragma once
/*
 * utf8: telling UTF-8 from other bytes, and repairing what is not.
 *
 * A bad byte becomes U+FFFD as the Encoding standard does it (Unicode 15, section 3.9, "U+FFFD substitution
 * of maximal subparts"): overlong forms, surrogates and values beyond U+10FFFF are bad. Thread safe, no
 * allocation.
 */
#include <stdbool.h>
#include <stddef.h>

/* Bytes of the character at the start of bytes, or of what must be replaced by one U+FFFD; size > 0. */
size_t utf8_step(const void *bytes, size_t size, bool *ret_valid);

bool utf8_is_valid(const void *bytes, size_t size);

/* Room that utf8_repair() may need: a single bad byte becomes the three of U+FFFD. */
#define UTF8_REPAIR_FACTOR 3u

/* Writes the repaired bytes, without a terminating zero, and returns their number. */
size_t utf8_repair(char *to, const void *bytes, size_t size);

/* The longest prefix of at most max bytes that cuts no character in two. */
size_t utf8_prefix(const void *bytes, size_t size, size_t max);
