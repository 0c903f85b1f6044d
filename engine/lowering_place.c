#include "engine/lowering_internal.h"

/* ---- buffers ---- */

int lowering_add_buffer(struct lowering *lowering, const void *constant, size_t bytes, uint32_t *ret_buffer,
                        struct error *error) {
        struct plan *plan = lowering->plan;

        if (plan->n_buffers == plan->n_buffers_allocated) {
                size_t n = MAX(2 * plan->n_buffers_allocated, 64u);
                struct plan_buffer *buffers = reallocarray(plan->buffers, n, sizeof(*buffers));
                uint32_t *last_use;

                if (!buffers)
                        return error_no_memory(error);
                plan->buffers = buffers;
                last_use = reallocarray(lowering->buffer_last_use, n, sizeof(*last_use));
                if (!last_use)
                        return error_no_memory(error);
                lowering->buffer_last_use = last_use;
                plan->n_buffers_allocated = n;
        }
        lowering->buffer_last_use[plan->n_buffers] = 0;
        plan->buffers[plan->n_buffers] =
                (struct plan_buffer){.bytes = bytes, .constant = constant, .first = UINT32_MAX, .last = 0};
        *ret_buffer = (uint32_t)plan->n_buffers++;
        return 0;
}

int lowering_place(struct lowering *lowering, const struct layout *layout, struct operand *ret_operand,
                   struct error *error) {
        struct operand operand = {.layout = layout};
        int r;

        if (!layout)
                return error_no_memory(error);
        if (layout_bytes(layout) > lowering->plan->allowance.run_bytes)
                return error_set(error, ERROR_LIMIT,
                                 "activations of %zu bytes; the limit for a model of its weights is %zu",
                                 layout_bytes(layout), lowering->plan->allowance.run_bytes);
        r = lowering_add_buffer(lowering, NULL, layout_bytes(layout), &operand.buffer, error);
        if (r < 0)
                return r;
        *ret_operand = operand;
        return 0;
}

/* ---- constants ---- */

static int charge_packed(struct plan *plan, size_t bytes, struct error *error) {
        if (bytes > plan->allowance.packed_bytes ||
            plan->packed_bytes > plan->allowance.packed_bytes - bytes)
                return error_set(error, ERROR_LIMIT,
                                 "weights of more than %zu bytes in the layouts of kernels",
                                 plan->allowance.packed_bytes);
        plan->packed_bytes += bytes;
        return 0;
}

/* The plan takes over the reference to packed, also on failure. */
static int packed_place(struct lowering *lowering, struct packed *packed, const struct layout *layout,
                        struct operand *ret_operand, struct error *error) {
        struct operand operand = {.layout = layout};
        int r;

        r = plan_keep_packed(lowering->plan, packed, error);
        if (r >= 0)
                r = lowering_add_buffer(lowering, packed_bytes(packed), layout_bytes(layout),
                                        &operand.buffer, error);
        if (r < 0)
                return r;
        *ret_operand = operand;
        return 0;
}

int lowering_constant(struct lowering *lowering, struct tensor *tensor, const struct layout *as,
                      const struct layout *want, struct operand *ret_operand, struct error *error) {
        struct packed *packed;
        int r;

        r = charge_packed(lowering->plan, layout_equal(as, want) ? 0 : layout_bytes(want), error);
        if (r >= 0)
                r = weights_pack(&packed, lowering->weights, tensor, as, want, error);
        if (r < 0)
                return r;
        return packed_place(lowering, packed, want, ret_operand, error);
}

size_t lowering_form_bytes(struct lowering *lowering, const struct tensor *tensor, const char *form) {
        return weights_form_bytes(lowering->weights, tensor, form);
}

int lowering_constant_form(struct lowering *lowering, struct tensor *tensor, const char *form,
                           const struct layout *layout, enum dtype dtype, weights_packer *packer,
                           const void *params, struct operand *ret_operand, struct error *error) {
        struct packed *packed;
        int r;

        if (!layout)
                return error_no_memory(error);
        r = charge_packed(lowering->plan, layout_bytes(layout), error);
        if (r >= 0)
                r = weights_pack_form(&packed, lowering->weights, tensor, form, layout_bytes(layout), dtype,
                                      packer, params, error);
        if (r < 0)
                return r;
        return packed_place(lowering, packed, layout, ret_operand, error);
}

void *lowering_keep(struct lowering *lowering, const void *bytes, size_t n_bytes) {
        lowering->plan->kept_bytes += n_bytes;
        return pool_copy(lowering->plan->pool, bytes, MAX(n_bytes, 1u), 1);
}

/* ---- slices ---- */

bool lowering_is_sliced(const struct lowering *lowering, uint32_t value) {
        return slices_find(lowering->slices, value) != NULL;
}

int lowering_slice(struct lowering *lowering, uint32_t value, size_t first_channel, size_t n_channels,
                   struct operand *ret_operand, struct error *error) {
        struct kernels *kernels = lowering->plan->kernels;
        struct slice *slice = slices_find(lowering->slices, value);
        struct slice *whole = slices_whole(lowering->slices, slice);
        struct shape shape = lowering->plan->graph->values[value].shape;
        enum dtype dtype = lowering_dtype(lowering, whole->value);
        struct operand operand;
        int r;

        if (!whole->placed) {
                const struct shape *all = &lowering->plan->graph->values[whole->value].shape;

                r = lowering_place(lowering, layout_as(kernels, layout_channels_last(kernels, all), dtype),
                                   &operand, error);
                if (r < 0)
                        return r;
                whole->buffer = operand.buffer;
                whole->channels = all->dims[1];
                whole->placed = true;
        }
        shape.dims[1] = n_channels;
        operand.buffer = whole->buffer;
        operand.offset = (slice->channel + first_channel) * dtype_bytes(dtype);
        operand.layout = layout_as(kernels, layout_pixels(kernels, &shape, whole->channels), dtype);
        if (!operand.layout)
                return error_no_memory(error);
        *ret_operand = operand;
        return 0;
}

int lowering_place_pixels(struct lowering *lowering, uint32_t value, struct operand *ret_operand,
                          struct error *error) {
        const struct shape *shape = &lowering->plan->graph->values[value].shape;
        struct kernels *kernels = lowering->plan->kernels;

        if (slices_find(lowering->slices, value))
                return lowering_slice(lowering, value, 0, shape->dims[1], ret_operand, error);
        return lowering_place(
                lowering,
                layout_as(kernels, layout_channels_last(kernels, shape), lowering_dtype(lowering, value)),
                ret_operand, error);
}
