#pragma once
/*
 * npy: NumPy's .npy files, version 1 to 3, little endian, C order; the exchange format of `saccade infer`.
 *
 * Format: NumPy Enhancement Proposal 1 and numpy/lib/format. The bytes are hostile.
 */
#include <stddef.h>

#include "base/error.h"

#define NPY_MAX_RANK 8u

struct npy {
        float *values; /* float32; '<f4' as it is, '<f2', '<f8', '<i4', '<i8', '|u1' converted */
        size_t rank;
        size_t dims[NPY_MAX_RANK];
        size_t n_values;
};

/* The caller calls npy_release(). Fails with ERROR_INVALID, ERROR_UNSUPPORTED, ERROR_NO_MEMORY. */
int npy_parse(struct npy *ret_npy, const void *bytes, size_t size, struct error *error);
void npy_release(struct npy *npy);

/* Writes '<f4'. Fails with ERROR_IO; no half-written file is left under path. */
int npy_write(const char *path, const float *values, const size_t *dims, size_t rank, struct error *error);
