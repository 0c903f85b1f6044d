#include <stdio.h>

#include "engine/ops/quantised.h"

struct q_form q_form_of(const struct shape *shape) {
        if (shape->rank == 4)
                return (struct q_form){shape->dims[0] * shape->dims[2] * shape->dims[3], shape->dims[1]};
        return (struct q_form){1, shape_elements(shape)};
}

struct bytes_real q_real_of(const struct value *value) {
        const struct quantisation *q = value->quantisation;

        return q ? (struct bytes_real){q->scale, q->zero_point} : (struct bytes_real){1, 0};
}

enum bytes_type q_type_of(const struct value *value) {
        return value->quantisation ? BYTES_U8 : BYTES_F32;
}

int q_source(struct lowering *lowering, uint32_t value, struct operand *ret_operand, size_t *ret_pixel,
             struct error *error) {
        struct kernels *kernels = lowering_kernels(lowering);
        const struct value *v = &lowering_graph(lowering)->values[value];
        const struct layout *layout;
        int r;

        r = lowering_layout_any(lowering, value, &layout, error);
        if (r < 0)
                return r;
        if (v->shape.rank != 4)
                layout = layout_plain(kernels, &v->shape);
        else if (layout_pixel(layout) == 0)
                layout = layout_channels_last(kernels, &v->shape);
        layout = layout_as(kernels, layout, lowering_dtype(lowering, value));
        if (!layout)
                return error_no_memory(error);
        r = lowering_use(lowering, value, layout, ret_operand, error);
        if (r < 0)
                return r;
        *ret_pixel = v->shape.rank == 4 ? layout_pixel(layout) : shape_elements(&v->shape);
        return 0;
}

int q_destination(struct lowering *lowering, const struct node *node, struct operand *ret_operand,
                  size_t *ret_pixel, struct error *error) {
        struct kernels *kernels = lowering_kernels(lowering);
        uint32_t value = node->outputs[0];
        const struct shape *shape = &lowering_graph(lowering)->values[value].shape;
        int r;

        if (shape->rank == 4)
                r = lowering_place_pixels(lowering, value, ret_operand, error);
        else
                r = lowering_place(
                        lowering,
                        layout_as(kernels, layout_plain(kernels, shape), lowering_dtype(lowering, value)),
                        ret_operand, error);
        if (r < 0)
                return r;
        *ret_pixel = shape->rank == 4 ? layout_pixel(ret_operand->layout) : shape_elements(shape);
        return 0;
}

static const struct layout *rows_layout(struct lowering *lowering, uint32_t value) {
        struct kernels *kernels = lowering_kernels(lowering);

        return layout_as(kernels, layout_plain(kernels, &lowering_graph(lowering)->values[value].shape),
                         lowering_dtype(lowering, value));
}

int q_source_rows(struct lowering *lowering, uint32_t value, struct operand *ret_operand,
                  struct error *error) {
        const struct layout *layout = rows_layout(lowering, value);

        return layout ? lowering_use(lowering, value, layout, ret_operand, error) : error_no_memory(error);
}

int q_destination_rows(struct lowering *lowering, const struct node *node, struct operand *ret_operand,
                       struct error *error) {
        return lowering_place(lowering, rows_layout(lowering, node->outputs[0]), ret_operand, error);
}

#define OPERANDS_MAX 5u

int q_emit(struct lowering *lowering, const struct node *node, const struct q_step *step,
           struct error *error) {
        const struct layout *layouts[OPERANDS_MAX];
        const struct kernel *kernel;
        char op[OP_TEXT_BYTES], name[64];
        int r;

        for (size_t i = 0; i < step->n_operands; i++)
                layouts[i] = step->operands[i].layout;
        snprintf(name, sizeof(name), "native_%s:%s", step->family, step->isa);
        r = kernel_native_scratch_new(&kernel, lowering_kernels(lowering), name, step->function,
                                      step->params, step->params_bytes, layouts, step->n_operands,
                                      step->scratch_bytes, error);
        if (r >= 0)
                r = lowering_emit(lowering, node, op_text(node, op), kernel, step->operands, step->flop,
                                  error);
        if (r < 0)
                return r;
        if (!step->part)
                lowering_define(lowering, node->outputs[0], step->operands[step->n_operands - 1]);
        return 0;
}
