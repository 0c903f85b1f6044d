#pragma once
/*
 * strided: walks a row-major result together with operands that are read in steps of their own.
 *
 * What Slice, Expand, Tile or a broadcast Add do differs only in the steps with which an operand is read:
 * negative where it is read backwards, 0 where it is repeated. Plain data, so that it can be the parameters
 * of a native kernel.
 */
#include <stdbool.h>
#include <stddef.h>

#include "engine/tensor.h"

#define STRIDED_MAX_RANK     (2u * TENSOR_MAX_RANK) /* Tile has a dimension and its repetitions apart */
#define STRIDED_MAX_OPERANDS 3u

struct strided {
        size_t rank, dims[STRIDED_MAX_RANK];
        size_t n_operands;
        ptrdiff_t steps[STRIDED_MAX_OPERANDS][STRIDED_MAX_RANK]; /* in elements */
        ptrdiff_t starts[STRIDED_MAX_OPERANDS];
};

/* A row: the innermost dimension of the walk. */
struct strided_row {
        size_t n;                                 /* elements of a row */
        size_t at;                                /* of the result, where the row begins */
        ptrdiff_t operands[STRIDED_MAX_OPERANDS]; /* where each operand's row begins */
        ptrdiff_t steps[STRIDED_MAX_OPERANDS];    /* and its step */
        size_t index[STRIDED_MAX_RANK];
};

/* Steps through dense row-major data of shape. */
void strided_dense(ptrdiff_t steps[TENSOR_MAX_RANK], const struct shape *shape);

/* The walk over result in which each operand is broadcast to it by numpy's rules. */
void strided_broadcast(struct strided *ret_strided, const struct shape *result,
                       const struct shape *const *operands, size_t n_operands);

/* Makes neighbouring dimensions one wherever all operands allow it, so that rows get long. */
void strided_merge(struct strided *strided);

/* for (bool more = strided_first(s, &row); more; more = strided_next(s, &row)) ... */
bool strided_first(const struct strided *strided, struct strided_row *ret_row);
bool strided_next(const struct strided *strided, struct strided_row *row);

/* The walk with its only operand as a copy, of elements of 1, 2, 4 or 8 bytes. */
void strided_copy(const struct strided *strided, void *dst, const void *src, size_t element_bytes);

/* The next position in a box of n dimensions, in row-major order; false behind the last one, index is 0
 * then. */
bool box_advance(int64_t *index, const int64_t *dims, size_t n);

/* numpy's broadcasting: aligned at the last dimension. Fails with ERROR_INVALID. */
int shape_broadcast(struct shape *ret_shape, const struct shape *a, const struct shape *b,
                    struct error *error);
