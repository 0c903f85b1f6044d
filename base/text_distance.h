#pragma once
/* text_distance: how far a word is from the one that was meant, for "did you mean ...?". Thread safe. */
#include <stddef.h>

#define TEXT_DISTANCE_MAX_BYTES 128u

/* Edit distance of Damerau and Levenshtein in its restricted form, in bytes: a swap of neighbours is one
 * mistake. SIZE_MAX where a text is longer than TEXT_DISTANCE_MAX_BYTES. */
size_t text_distance(const char *a, const char *b);
