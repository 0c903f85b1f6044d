#pragma once
/*
 * origin: where the elements of a tensor come from that does not hold them.
 *
 * Large weights stay in their file until something needs their elements (packing, folding), and are
 * forgotten afterwards, so that they never take memory beside their packed form; what is derived from them
 * element by element (another type, a factor a row) is computed on the way. Immutable, references counted:
 * threads may share one.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/source.h"
#include "engine/tensor.h"

/* Smaller tensors are read at once: scalars, axes, biases, what a value for each channel has. */
#define ORIGIN_MIN_BYTES ((size_t)32 << 10)

/* A tensor of the bytes of source from offset on, of which there must be enough. Held at once where there
 * are ORIGIN_MIN_BYTES or fewer, and where it is not of a type that weights have: shapes and indices are
 * looked at everywhere. */
int tensor_from_source(struct tensor **ret_tensor, enum dtype dtype, const struct shape *shape,
                       struct source *source, uint64_t offset, struct error *error);

/* The float32 tensor with each of its rows (elements of the first dimension) multiplied by one of factors:
 * float32, as many as there are rows, or one. */
int tensor_scale_rows(struct tensor **ret_tensor, struct tensor *tensor, struct tensor *factors,
                      struct error *error);

/* ---- behind engine/tensor.h ---- */

/* tensor, which has an origin, as another type or shape. */
int origin_cast(struct tensor **ret_tensor, struct tensor *tensor, enum dtype dtype, struct error *error);
int origin_reshape(struct tensor **ret_tensor, const struct tensor *tensor, const struct shape *shape,
                   struct error *error);

/* Computes elements [first, first + n) into target. */
int origin_fetch(const struct origin *origin, size_t first, size_t n, void *target, struct error *error);
void origin_unref(struct origin *origin);
