#pragma once
/* top_k: the k largest of n. */
#include <stddef.h>

/* Writes the indices of the k largest values, largest first, equal ones by lower index; NaN counts as
 * smallest. k <= n. Returns k. Allocates nothing. */
size_t top_k(size_t *ret_indices, size_t k, const float *values, size_t n);
