#include "engine/origin.h"

#include <stdlib.h>

/* Conversions one after the other that are computed on the way; what would be deeper is held. */
#define ORIGIN_MAX_DEPTH 4u

#define FETCH_BYTES      ((size_t)64 << 10) /* converted at a time: stays in the first cache */

enum origin_kind { ORIGIN_SOURCE, ORIGIN_CAST, ORIGIN_SCALE };

struct origin {
        unsigned refs, depth;
        enum origin_kind kind;
        enum dtype dtype;

        struct source *source; /* ORIGIN_SOURCE */
        uint64_t offset;

        struct tensor *of;      /* the others: what they make their elements of */
        struct tensor *factors; /* ORIGIN_SCALE */
        size_t row;             /* elements for one factor */
};

static void origin_free(struct origin *origin) {
        if (origin->source)
                source_unref(origin->source);
        if (origin->of)
                tensor_unref(origin->of);
        if (origin->factors)
                tensor_unref(origin->factors);
        free(origin);
}

void origin_unref(struct origin *origin) {
        if (__atomic_sub_fetch(&origin->refs, 1, __ATOMIC_ACQ_REL) == 0)
                origin_free(origin);
}

/* Takes over the reference to origin, also on failure. */
static int tensor_of_origin(struct tensor **ret_tensor, struct origin *origin, const struct shape *shape,
                            struct error *error) {
        struct tensor *tensor;
        int r;

        r = tensor_adopt(&tensor, origin->dtype, shape, NULL, error);
        if (r < 0) {
                origin_unref(origin);
                return r;
        }
        tensor->origin = origin;
        *ret_tensor = tensor;
        return 0;
}

int tensor_from_source(struct tensor **ret_tensor, enum dtype dtype, const struct shape *shape,
                       struct source *source, uint64_t offset, struct error *error) {
        size_t bytes = shape_elements(shape) * dtype_bytes(dtype);
        _cleanup_(tensor_unrefp) struct tensor *tensor = NULL;
        struct origin *origin;
        int r;

        if (bytes > ORIGIN_MIN_BYTES && (dtype == DTYPE_F32 || dtype == DTYPE_F16 || dtype == DTYPE_BF16)) {
                origin = malloc(sizeof(*origin));
                if (!origin)
                        return error_no_memory(error);
                *origin = (struct origin){.refs = 1,
                                          .kind = ORIGIN_SOURCE,
                                          .dtype = dtype,
                                          .source = source_ref(source),
                                          .offset = offset};
                return tensor_of_origin(ret_tensor, origin, shape, error);
        }
        r = tensor_new(&tensor, dtype, shape, error);
        if (r >= 0)
                r = source_read(source, offset, tensor->data, bytes, error);
        if (r < 0)
                return r;
        *ret_tensor = steal_ptr(&tensor);
        return 0;
}

/* A tensor of shape whose elements are made of those of another; held where that has data, or is deep
 * already. */
static int derive(struct tensor **ret_tensor, const struct origin *template, const struct shape *shape,
                  struct error *error) {
        _cleanup_(tensor_unrefp) struct tensor *tensor = NULL, *held = NULL;
        const struct tensor *of = template->of;
        struct origin *origin = malloc(sizeof(*origin));
        int r;

        if (!origin)
                return error_no_memory(error);
        *origin = *template;
        origin->refs = 1;
        origin->depth = of->origin ? of->origin->depth + 1 : 0;
        tensor_ref(origin->of);
        if (origin->factors)
                tensor_ref(origin->factors);
        r = tensor_of_origin(&tensor, origin, shape, error);
        if (r < 0)
                return r;
        if (!of->origin || origin->depth > ORIGIN_MAX_DEPTH) {
                r = tensor_hold(&held, tensor, error);
                if (r < 0)
                        return r;
                *ret_tensor = steal_ptr(&held);
                return 0;
        }
        *ret_tensor = steal_ptr(&tensor);
        return 0;
}

int tensor_scale_rows(struct tensor **ret_tensor, struct tensor *tensor, struct tensor *factors,
                      struct error *error) {
        return derive(ret_tensor,
                      &(struct origin){.kind = ORIGIN_SCALE,
                                       .dtype = DTYPE_F32,
                                       .of = tensor,
                                       .factors = factors,
                                       .row = tensor->n_elements / MAX(factors->n_elements, 1u)},
                      &tensor->shape, error);
}

int origin_cast(struct tensor **ret_tensor, struct tensor *tensor, enum dtype dtype, struct error *error) {
        return derive(ret_tensor, &(struct origin){.kind = ORIGIN_CAST, .dtype = dtype, .of = tensor},
                      &tensor->shape, error);
}

int origin_reshape(struct tensor **ret_tensor, const struct tensor *tensor, const struct shape *shape,
                   struct error *error) {
        __atomic_fetch_add(&tensor->origin->refs, 1, __ATOMIC_RELAXED);
        return tensor_of_origin(ret_tensor, tensor->origin, shape, error);
}

/* ---- elements ---- */

static int fetch_cast(const struct origin *origin, size_t first, size_t n, void *target,
                      struct error *error) {
        size_t size = dtype_bytes(origin->of->dtype), chunk = FETCH_BYTES / size;
        _cleanup_(freep) void *buffer = malloc(FETCH_BYTES);
        int r;

        if (!buffer)
                return error_no_memory(error);
        for (size_t done = 0; done < n; done += chunk) {
                size_t count = MIN(chunk, n - done);

                r = tensor_fetch(origin->of, first + done, count, buffer, error);
                if (r < 0)
                        return r;
                elements_cast((unsigned char *)target + done * dtype_bytes(origin->dtype), origin->dtype,
                              buffer, origin->of->dtype, count);
        }
        return 0;
}

static int fetch_scale(const struct origin *origin, size_t first, size_t n, void *target,
                       struct error *error) {
        const float *factors = origin->factors->data;
        float *elements = target;
        int r;

        r = tensor_fetch(origin->of, first, n, target, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n;) {
                size_t row = (first + i) / origin->row, end = MIN(n, (row + 1) * origin->row - first);
                float factor = factors[row];

                for (; i < end; i++)
                        elements[i] *= factor;
        }
        return 0;
}

int origin_fetch(const struct origin *origin, size_t first, size_t n, void *target, struct error *error) {
        size_t size = dtype_bytes(origin->dtype);

        switch (origin->kind) {
        case ORIGIN_SOURCE:
                return source_read(origin->source, origin->offset + first * size, target, n * size, error);
        case ORIGIN_CAST:
                return fetch_cast(origin, first, n, target, error);
        case ORIGIN_SCALE:
                return fetch_scale(origin, first, n, target, error);
        }
        return error_set(error, ERROR_INTERNAL, "a tensor of unknown origin");
}
