#pragma once
/*
 * tensor: constant data with a shape: initializers, attributes, folded values.
 *
 * Row-major and dense, little endian as in ONNX. A tensor is filled by the one who made it and immutable
 * afterwards; references are counted atomically, so threads may share it. Large ones may lie elsewhere
 * (engine/origin.h): then data is NULL, and who needs the elements fetches them.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"

#define TENSOR_MAX_RANK     8u
#define TENSOR_MAX_ELEMENTS ((size_t)1 << 31) /* VGG-16's largest weight has 2^27 */

enum dtype {
        DTYPE_F32,
        DTYPE_F16,
        DTYPE_BF16,
        DTYPE_F64,
        DTYPE_I64,
        DTYPE_I32,
        DTYPE_I8,
        DTYPE_U8,
        DTYPE_BOOL,
};

size_t dtype_bytes(enum dtype dtype);
const char *dtype_name(enum dtype dtype); /* "float32" */

struct shape {
        size_t rank;
        size_t dims[TENSOR_MAX_RANK];
};

/* The gate that sizes from outside pass: rank, sign, overflow, TENSOR_MAX_ELEMENTS. A dimension may be 0.
 * Fails with ERROR_INVALID or ERROR_LIMIT. */
int shape_from_dims(struct shape *ret_shape, const int64_t *dims, size_t n_dims, struct error *error);

size_t shape_elements(const struct shape *shape); /* of a shape that passed the gate */
bool shape_equal(const struct shape *a, const struct shape *b);

/* "1x64x112x112"; "scalar" for rank 0. Returns buffer. */
#define SHAPE_TEXT_BYTES 192u
const char *shape_text(const struct shape *shape, char buffer[SHAPE_TEXT_BYTES]);

struct origin;

struct tensor {
        unsigned refs;
        enum dtype dtype;
        struct shape shape;
        size_t n_elements;
        void *data;            /* aligned to 64 bytes, or to 8 where it was adopted */
        struct origin *origin; /* where data is NULL */
};

/* Zeroed. */
int tensor_new(struct tensor **ret_tensor, enum dtype dtype, const struct shape *shape, struct error *error);

/* Takes ownership of data (from malloc) on success. */
int tensor_adopt(struct tensor **ret_tensor, enum dtype dtype, const struct shape *shape, void *data,
                 struct error *error);
struct tensor *tensor_ref(struct tensor *tensor);
void tensor_unref(struct tensor *tensor);

_unused_ static inline void tensor_unrefp(struct tensor **tensor) {
        if (*tensor)
                tensor_unref(*tensor);
}

size_t tensor_bytes(const struct tensor *tensor);

/* Copies elements [first, first + n), wherever they lie. Fails with ERROR_IO, ERROR_NO_MEMORY. */
int tensor_fetch(const struct tensor *tensor, size_t first, size_t n, void *target, struct error *error);

/* The same elements in a tensor that has data: tensor itself where it has. */
int tensor_hold(struct tensor **ret_tensor, struct tensor *tensor, struct error *error);

/* A tensor of another type with the same values, as ONNX's Cast has them; the same tensor where the type is
 * the same. */
int tensor_cast(struct tensor **ret_tensor, struct tensor *tensor, enum dtype dtype, struct error *error);

/* The same for n elements in memory; aligned to their size. */
void elements_cast(void *target, enum dtype target_dtype, const void *source, enum dtype source_dtype,
                   size_t n);

/* A copy of the data under another shape of as many elements. */
int tensor_reshape(struct tensor **ret_tensor, const struct tensor *tensor, const struct shape *shape,
                   struct error *error);

/* Element index as an integer or as a real number, whatever the type; of a tensor that has data. */
int64_t tensor_integer(const struct tensor *tensor, size_t index);
double tensor_real(const struct tensor *tensor, size_t index);
void tensor_set(struct tensor *tensor, size_t index, double real, int64_t integer);
