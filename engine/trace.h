#pragma once
/*
 * trace: where the elements of a value lie in the row-major data of another one, its source.
 *
 * Reshape, Transpose and Slice only say in which order elements are read. A trace writes each dimension of
 * the value as atoms, pairs of a size and a step in elements through the source, the outermost first: a
 * window of 7 x 7 pixels out of a map of 56 x 56 x 96 is one dimension of two atoms, 7 (step 5376) and 7
 * (step 96). Plain data.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/tensor.h"

#define TRACE_MAX_ATOMS 6u /* of a dimension */

struct trace_atom {
        size_t size, step;
};

struct trace_dim {
        size_t size, n_atoms; /* no atom where size is 1 */
        struct trace_atom atoms[TRACE_MAX_ATOMS];
};

struct trace {
        uint32_t source; /* a value */
        size_t offset;
        size_t rank;
        struct trace_dim dims[TENSOR_MAX_RANK];
};

/* The value itself. */
struct trace trace_itself(uint32_t value, const struct shape *shape);

/* Each changes *trace and returns true, or leaves it and returns false where atoms cannot say it. */
bool trace_reshape(struct trace *trace, const struct shape *shape);
bool trace_slice(struct trace *trace, size_t axis, size_t begin, size_t n);

void trace_transpose(struct trace *trace, const size_t *permutation);

/* Atoms of the dimensions [first, last) in a row, neighbours made one where they can be. Returns their
 * number; SIZE_MAX where there are more than max. */
size_t trace_atoms(const struct trace *trace, size_t first, size_t last, struct trace_atom *ret_atoms,
                   size_t max);

/* Does the value have each element of its source, of shape, once? */
bool trace_covers(const struct trace *trace, const struct shape *shape);

/* Does the value have the elements of its source in the source's order? */
bool trace_is_reshape(const struct trace *trace, const struct shape *shape);

/* Is the value only its source, of shape, with the dimensions in another order? */
bool trace_is_transpose(const struct trace *trace, const struct shape *shape,
                        size_t ret_permutation[TENSOR_MAX_RANK]);

/* Same order of elements, whatever the sources are. */
bool trace_same_order(const struct trace *a, const struct trace *b);
