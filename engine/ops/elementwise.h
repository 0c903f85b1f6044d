#pragma once
/*
 * elementwise: functions of two elements, on constants of any type and on rows of float32.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/tensor.h"

struct binary_function {
        const char *type;
        bool gives_bool;
        bool takes_bool_only;

        /* Of real and of integer constants; NULL: not of those. */
        double (*real)(double a, double b);
        int (*integer)(int64_t *ret_result, int64_t a, int64_t b, struct error *error);

        /* dst[i] = f(a[i * step_a], b[i * step_b]); NULL: steps do not compute it. */
        void (*row)(float *dst, const float *a, ptrdiff_t step_a, const float *b, ptrdiff_t step_b,
                    size_t n);
};

/* NULL where there is none. */
const struct binary_function *binary_function_find(const char *type);
