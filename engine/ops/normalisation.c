#include <inttypes.h>
#include <math.h>

#include "engine/ops/native.h"

/* ---- LayerNormalization: over all dimensions from axis on ---- */

struct layer_norm {
        size_t rows, n;
        size_t n_inputs, n_outputs;
        double epsilon;
        struct strided walk; /* of scale and bias through one row */
};

static int layer_norm_read(struct layer_norm *ret_norm, size_t *ret_axis, const struct graph *graph,
                           const struct node *node, struct error *error) {
        struct layer_norm norm = {.rows = 1, .n = 1, .n_inputs = node->n_inputs};
        const struct value *x, *scale;
        struct shape row = {0}, fits;
        size_t axis;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = graph_need_input(graph, node, 1, &scale, error);
        if (r >= 0)
                r = need_float(x, error);
        if (r >= 0)
                r = axis_normalise(&axis, node_attribute_integer(node, "axis", -1), x->shape.rank, error);
        if (r < 0)
                return r;
        if (node_attribute_integer(node, "stash_type", 1) != 1)
                return error_set(error, ERROR_UNSUPPORTED, "stash_type other than float32");
        for (size_t i = 0; i < x->shape.rank; i++) {
                norm.rows *= i < axis ? x->shape.dims[i] : 1;
                norm.n *= i >= axis ? x->shape.dims[i] : 1;
                if (i >= axis)
                        row.dims[row.rank++] = x->shape.dims[i];
        }
        if (node_input(node, 2) == VALUE_NONE)
                norm.n_inputs = 2;
        for (size_t i = 1; i < norm.n_inputs; i++) {
                const struct value *value = &graph->values[node->inputs[i]];

                r = need_float(value, error);
                if (r >= 0)
                        r = shape_broadcast(&fits, &value->shape, &row, error);
                if (r < 0)
                        return r;
                if (!shape_equal(&fits, &row))
                        return error_set(error, ERROR_UNSUPPORTED,
                                         "'%s' has dimensions that are not normalised", value->name);
        }
        norm.epsilon = (double)node_attribute_real(node, "epsilon", 1e-5f);
        strided_broadcast(
                &norm.walk, &row,
                (const struct shape *const[]){&row, &scale->shape,
                                              &graph->values[node->inputs[norm.n_inputs - 1]].shape},
                3);
        *ret_norm = norm;
        *ret_axis = axis;
        return 0;
}

OPERATOR_INFER(layer_normalization) {
        struct layer_norm norm;
        struct shape shape;
        size_t axis;
        int r;

        r = layer_norm_read(&norm, &axis, graph, node, error);
        if (r < 0)
                return r;
        shape = graph->values[node->inputs[0]].shape;
        graph_set_output(graph, node, DTYPE_F32, &shape);
        /* Mean and inverse deviation. */
        for (size_t i = axis; i < shape.rank; i++)
                shape.dims[i] = 1;
        for (size_t i = 1; i < node->n_outputs; i++)
                graph_set_output_at(graph, node, i, DTYPE_F32, &shape);
        return 0;
}

static void layer_norm_run(const void *params, void *const *addresses) {
        const struct layer_norm *p = params;
        const float *x = addresses[0], *scale = addresses[1];
        const float *bias = p->n_inputs > 2 ? addresses[2] : NULL;
        float *y = addresses[p->n_inputs];
        float *means = p->n_outputs > 1 ? addresses[p->n_inputs + 1] : NULL;
        float *inverses = p->n_outputs > 2 ? addresses[p->n_inputs + 2] : NULL;

        for (size_t i = 0; i < p->rows; i++, x += p->n, y += p->n) {
                double sum = 0, squares = 0;
                float mean, inverse;
                struct strided_row row;

                for (size_t k = 0; k < p->n; k++)
                        sum += (double)x[k];
                mean = (float)(sum / (double)p->n);
                for (size_t k = 0; k < p->n; k++)
                        squares += (double)(x[k] - mean) * (double)(x[k] - mean);
                inverse = (float)(1 / sqrt(squares / (double)p->n + p->epsilon));
                for (bool more = strided_first(&p->walk, &row); more; more = strided_next(&p->walk, &row))
                        for (ptrdiff_t k = 0; k < (ptrdiff_t)row.n; k++) {
                                float value = (x[row.at + (size_t)k] - mean) * inverse *
                                              scale[row.operands[1] + k * row.steps[1]];

                                y[row.at + (size_t)k] =
                                        bias ? value + bias[row.operands[2] + k * row.steps[2]] : value;
                        }
                if (means)
                        means[i] = mean;
                if (inverses)
                        inverses[i] = inverse;
        }
}

OPERATOR_LOWER(layer_normalization) {
        struct native native = {.name = "native:layernorm", .function = layer_norm_run, .inputs = {0, 1, 2}};
        struct layer_norm norm;
        size_t axis;
        int r;

        r = layer_norm_read(&norm, &axis, lowering_graph(lowering), node, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < node->n_outputs && i < NATIVE_MAX_OUTPUTS; i++)
                native.outputs[native.n_outputs++] = i;
        norm.n_outputs = native.n_outputs;
        native.n_inputs = norm.n_inputs;
        native.params = &norm;
        native.params_bytes = sizeof(norm);
        native.flop = 8.0 * (double)norm.rows * (double)norm.n;
        return native_lower(lowering, node, &native, error);
}

/* ---- InstanceNormalization: over each plane, with a scale and a shift for each channel ---- */

struct instance_norm {
        size_t images, channels, n;
        double epsilon;
};

OPERATOR_INFER(instance_normalization) {
        const struct value *x, *scale, *shift;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = graph_need_input(graph, node, 1, &scale, error);
        if (r >= 0)
                r = graph_need_input(graph, node, 2, &shift, error);
        if (r >= 0)
                r = need_float(x, error);
        if (r >= 0)
                r = need_float(scale, error);
        if (r >= 0)
                r = need_float(shift, error);
        if (r < 0)
                return r;
        if (x->shape.rank < 2)
                return error_set(error, ERROR_INVALID, "rank %zu, [N, C, ...] is needed", x->shape.rank);
        if (shape_elements(&scale->shape) != x->shape.dims[1] ||
            shape_elements(&shift->shape) != x->shape.dims[1])
                return error_set(error, ERROR_INVALID,
                                 "as many scales and shifts as %zu channels are needed", x->shape.dims[1]);
        graph_set_output(graph, node, DTYPE_F32, &x->shape);
        return 0;
}

static void instance_norm_run(const void *params, void *const *addresses) {
        const struct instance_norm *p = params;
        const float *x = addresses[0], *scale = addresses[1], *shift = addresses[2];
        float *y = addresses[3];

        for (size_t i = 0; i < p->images * p->channels; i++, x += p->n, y += p->n) {
                size_t channel = i % p->channels;
                double sum = 0, squares = 0, mean, factor;

                for (size_t k = 0; k < p->n; k++)
                        sum += (double)x[k];
                mean = sum / (double)p->n;
                for (size_t k = 0; k < p->n; k++)
                        squares += ((double)x[k] - mean) * ((double)x[k] - mean);
                factor = (double)scale[channel] / sqrt(squares / (double)p->n + p->epsilon);
                for (size_t k = 0; k < p->n; k++)
                        y[k] = (float)(((double)x[k] - mean) * factor) + shift[channel];
        }
}

OPERATOR_LOWER(instance_normalization) {
        const struct shape *x = &lowering_graph(lowering)->values[node->inputs[0]].shape;
        struct instance_norm norm = {.images = x->dims[0],
                                     .channels = x->dims[1],
                                     .n = shape_elements(x) / x->dims[0] / x->dims[1],
                                     .epsilon = (double)node_attribute_real(node, "epsilon", 1e-5f)};

        return native_lower(lowering, node,
                            &(struct native){
                                    .name = "native:instancenorm",
                                    .function = instance_norm_run,
                                    .params = &norm,
                                    .params_bytes = sizeof(norm),
                                    .inputs = {0, 1, 2},
                                    .n_inputs = 3,
                                    .n_outputs = 1,
                                    .flop = 6.0 * (double)shape_elements(x),
                            },
                            error);
}

/* ---- LRN: over the squares of neighbouring channels ---- */

struct lrn {
        size_t images, channels, n, before, after; /* how many channels before and after count */
        float factor, beta, bias;
};

static int lrn_read(struct lrn *ret_lrn, const struct graph *graph, const struct node *node,
                    struct error *error) {
        int64_t size = node_attribute_integer(node, "size", 0);
        struct lrn lrn = {.beta = node_attribute_real(node, "beta", 0.75f),
                          .bias = node_attribute_real(node, "bias", 1.0f)};
        const struct value *x;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = need_float(x, error);
        if (r < 0)
                return r;
        if (x->shape.rank < 2)
                return error_set(error, ERROR_INVALID, "rank %zu, [N, C, ...] is needed", x->shape.rank);
        if (size < 1 || size > INT32_MAX)
                return error_set(error, ERROR_INVALID, "size %" PRId64, size);
        lrn.images = x->shape.dims[0];
        lrn.channels = x->shape.dims[1];
        lrn.n = shape_elements(&x->shape) / lrn.images / lrn.channels;
        lrn.before = (size_t)(size - 1) / 2;
        lrn.after = (size_t)size / 2;
        lrn.factor = node_attribute_real(node, "alpha", 0.0001f) / (float)size;
        *ret_lrn = lrn;
        return 0;
}

OPERATOR_INFER(lrn) {
        struct lrn lrn;
        int r;

        r = lrn_read(&lrn, graph, node, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, DTYPE_F32, &graph->values[node->inputs[0]].shape);
        return 0;
}

static void lrn_run(const void *params, void *const *addresses) {
        const struct lrn *p = params;
        const float *x = addresses[0];
        float *y = addresses[1];

        for (size_t image = 0; image < p->images; image++, x += p->channels * p->n)
                for (size_t c = 0; c < p->channels; c++) {
                        size_t first = c > p->before ? c - p->before : 0;
                        size_t last = MIN(c + p->after, p->channels - 1);

                        for (size_t i = 0; i < p->n; i++) {
                                float sum = 0;

                                for (size_t k = first; k <= last; k++)
                                        sum += x[k * p->n + i] * x[k * p->n + i];
                                *y++ = x[c * p->n + i] / powf(p->bias + p->factor * sum, p->beta);
                        }
                }
}

OPERATOR_LOWER(lrn) {
        struct lrn lrn;
        int r;

        r = lrn_read(&lrn, lowering_graph(lowering), node, error);
        if (r < 0)
                return r;
        return native_lower(lowering, node,
                            &(struct native){
                                    .name = "native:lrn",
                                    .function = lrn_run,
                                    .params = &lrn,
                                    .params_bytes = sizeof(lrn),
                                    .n_inputs = 1,
                                    .n_outputs = 1,
                            },
                            error);
}
