#pragma once
/*
 * inner_product: rows times a matrix, plus a bias, and Gelu of the sum while it is in the first-level cache.
 *
 * y [rows, n] = gelu(x [rows, k] * w + bias). w lies in panels of native->gemm_columns columns, [n /
 * columns, k, columns], the last one padded with zeros.
 */
#include <stddef.h>

#include "engine/native/native.h"

struct inner_product {
        size_t rows, k, n;
        const struct native *native;
        size_t threads;
};

/* bias may be NULL. */
void inner_product_gelu(const struct inner_product *product, const float *x, const float *w,
                        const float *bias, float *y);
