#pragma once
/*
 * weights: constants in the forms that kernels read, each made once and shared by all plans of a model.
 *
 * A form is a layout of oneDNN's, or whatever else a function of the caller's makes of a tensor. Who asks
 * for one gets a reference; the last one that is given back frees the bytes. Guarded by a lock of its own,
 * which is not held while something is packed: threads that make plans at the same time wait only for a form
 * that another is just making.
 */
#include <stddef.h>

#include "base/error.h"
#include "base/macros.h"
#include "engine/kernel.h"
#include "engine/tensor.h"

struct weights;
struct packed; /* one form of one tensor; references are counted */

int weights_new(struct weights **ret_weights, struct error *error);

/* All references must have been given back. */
void weights_free(struct weights *weights);
DEFINE_CLEANUP(weights)

/* The bytes of tensor, seen as the layout as, in the layout want. */
int weights_pack(struct packed **ret_packed, struct weights *weights, struct tensor *tensor,
                 const struct layout *as, const struct layout *want, struct error *error);

/*
 * Fills in what rows [first, first + n) of the tensor, its first dimension, contribute to the form that
 * params describe; no other row may be needed for that. source: the elements of these rows; target: the
 * whole form, zeroed before the first call; aligned to 64 bytes, source too in the first call. Must be a
 * function of its arguments alone: any thread that needs the form calls it. A large tensor comes in several
 * calls, unless the first of them fails with ERROR_UNSUPPORTED: then all rows come at once.
 */
typedef int weights_packer(const void *params, size_t first, size_t n, const void *source, void *target,
                           struct error *error);

/*
 * A form of bytes bytes that packer makes of elements of dtype. form: a short key that names the function
 * and all of params on which the result depends ("winograd 4x4 16o"); the same tensor, form and size are
 * packed once. Fails with ERROR_UNSUPPORTED where the tensor is of another type, and with whatever packer
 * fails with.
 */
int weights_pack_form(struct packed **ret_packed, struct weights *weights, struct tensor *tensor,
                      const char *form, size_t bytes, enum dtype dtype, weights_packer *packer,
                      const void *params, struct error *error);

/* How large that form of the tensor is which is packed, or just being packed; 0: there is none. For forms
 * whose size takes as long to find as packing does. */
size_t weights_form_bytes(struct weights *weights, const struct tensor *tensor, const char *form);

/* Aligned to 64 bytes; they do not move or change while there is a reference. */
const void *packed_bytes(const struct packed *packed);
void packed_unref(struct packed *packed);

_unused_ static inline void packed_unrefp(struct packed **packed) {
        if (*packed)
                packed_unref(*packed);
}

/* Frees what makes packing many forms one after the other faster: when a plan is complete. */
void weights_settle(struct weights *weights);

/* What all packed forms take. */
size_t weights_bytes(struct weights *weights);
