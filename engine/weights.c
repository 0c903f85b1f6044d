#include "engine/weights.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#define WEIGHTS_ALIGNMENT 64u

struct packed {
        struct packed *next;
        struct tensor *tensor; /* a reference: a freed one's address may come back with other data */
        struct layout *as, *layout;
        void *bytes;
};

struct weights {
        pthread_mutex_t lock;
        struct packed *packed;
        size_t bytes;
};

static void packed_free(struct packed *packed) {
        if (packed->tensor)
                tensor_unref(packed->tensor);
        layout_free(packed->as);
        layout_free(packed->layout);
        free(packed->bytes);
        free(packed);
}
DEFINE_CLEANUP(packed)

int weights_new(struct weights **ret_weights, struct error *error) {
        struct weights *weights = calloc(1, sizeof(*weights));

        if (!weights)
                return error_no_memory(error);
        pthread_mutex_init(&weights->lock, NULL);
        *ret_weights = weights;
        return 0;
}

void weights_free(struct weights *weights) {
        while (weights->packed) {
                struct packed *next = weights->packed->next;

                packed_free(weights->packed);
                weights->packed = next;
        }
        pthread_mutex_destroy(&weights->lock);
        free(weights);
}

static int pack(struct packed **ret_packed, struct tensor *tensor, const struct layout *as,
                const struct layout *want, struct error *error) {
        _cleanup_(packed_freep) struct packed *packed = calloc(1, sizeof(*packed));
        _cleanup_(kernels_freep) struct kernels *kernels = NULL;
        _cleanup_(call_freep) struct call *call = NULL;
        const struct kernel *kernel;
        size_t bytes;
        int r;

        if (!packed)
                return error_no_memory(error);
        packed->tensor = tensor_ref(tensor);
        packed->as = layout_copy(as);
        packed->layout = layout_copy(want);
        if (!size_add(&bytes, layout_bytes(want), WEIGHTS_ALIGNMENT - 1))
                return error_no_memory(error);
        bytes &= ~(size_t)(WEIGHTS_ALIGNMENT - 1);
        packed->bytes = aligned_alloc(WEIGHTS_ALIGNMENT, bytes);
        if (!packed->as || !packed->layout || !packed->bytes)
                return error_no_memory(error);

        r = kernels_new(&kernels, 1, error);
        if (r >= 0)
                r = kernel_reorder_new(&kernel, kernels, as, want, error);
        if (r >= 0)
                r = call_new(&call, kernel, (void *[]){tensor->data, packed->bytes}, NULL, error);
        if (r >= 0)
                r = call_execute(call, error);
        if (r < 0)
                return r;
        *ret_packed = steal_ptr(&packed);
        return 0;
}

static int pack_locked(struct weights *weights, struct tensor *tensor, const struct layout *as,
                       const struct layout *want, const void **ret_bytes, struct error *error) {
        struct packed *packed;
        int r;

        for (packed = weights->packed; packed; packed = packed->next)
                if (packed->tensor == tensor && layout_equal(packed->as, as) &&
                    layout_equal(packed->layout, want)) {
                        *ret_bytes = packed->bytes;
                        return 0;
                }
        r = pack(&packed, tensor, as, want, error);
        if (r < 0)
                return r;
        packed->next = weights->packed;
        weights->packed = packed;
        weights->bytes += layout_bytes(want);
        *ret_bytes = packed->bytes;
        return 0;
}

int weights_pack(struct weights *weights, struct tensor *tensor, const struct layout *as,
                 const struct layout *want, const void **ret_bytes, struct error *error) {
        int r;

        if (layout_equal(as, want) && (uintptr_t)tensor->data % WEIGHTS_ALIGNMENT == 0) {
                *ret_bytes = tensor->data;
                return 0;
        }
        pthread_mutex_lock(&weights->lock);
        r = pack_locked(weights, tensor, as, want, ret_bytes, error);
        pthread_mutex_unlock(&weights->lock);
        return r;
}

size_t weights_bytes(struct weights *weights) {
        size_t bytes;

        pthread_mutex_lock(&weights->lock);
        bytes = weights->bytes;
        pthread_mutex_unlock(&weights->lock);
        return bytes;
}
