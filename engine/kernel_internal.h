#pragma once
/* kernel_internal: the inside of layouts and kernels, for layout.c, kernel.c and call.c: the files that know
 * oneDNN. */
#include <oneapi/dnnl/dnnl.h>

#include "base/pool.h"
#include "engine/kernel.h"

#define KERNEL_MAX_ARGS (KERNEL_CONCAT_MAX + 1u)

struct layout {
        dnnl_memory_desc_t md;
};

struct kernel_arg {
        int role; /* DNNL_ARG_..., 0 for native kernels */
        const struct layout *layout;
};

struct kernel {
        const struct kernels *kernels;
        const char *name;
        size_t n_args;
        const struct kernel_arg *args;
        size_t scratch_bytes;
        const struct layout *scratch;

        dnnl_primitive_t primitive; /* NULL: native */
        kernel_native *native;
        const void *params;

        struct kernel *next; /* of its kernels, to be destroyed */
};

struct kernels {
        dnnl_engine_t engine;
        unsigned threads;
        size_t code_bytes; /* estimated, see kernels_charge() */
        struct pool *pool;
        struct kernel *all;
};

/* An error with oneDNN's reason; what: the thing that failed. */
int dnnl_failed(dnnl_status_t status, const char *what, struct error *error);

/* A copy in the pool of kernels; NULL: out of memory. */
const struct layout *layout_from_md(struct kernels *kernels, const dnnl_memory_desc_t *md);

void dims_from_shape(dnnl_dims_t dims, const struct shape *shape);
