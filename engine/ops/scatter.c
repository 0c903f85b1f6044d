#include <string.h>

#include "engine/ops/native.h"
#include "engine/ops/runs.h"

/* Operators that put runs of updates where constant indices say, in place of what is there, or added to it
 * or multiplied with it: ScatterElements, ScatterND, and Scatter, the former's old name. */

static int scatter_runs(struct runs *ret_runs, const struct graph *graph, const struct node *node,
                        struct error *error) {
        bool elements = strcmp(node->type, "ScatterND") != 0;
        _cleanup_(runs_release) struct runs runs = {0};
        const struct value *x, *updates;
        const struct tensor *indices;
        size_t axis, depth, length = 1;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = graph_need_input(graph, node, 2, &updates, error);
        if (r >= 0)
                r = indices_read(&indices, graph, node, error);
        if (r < 0)
                return r;
        if (elements) {
                r = axis_normalise(&axis, node_attribute_integer(node, "axis", 0), x->shape.rank, error);
                if (r >= 0 && indices->shape.rank != x->shape.rank)
                        r = error_set(error, ERROR_INVALID, "indices of rank %zu for data of rank %zu",
                                      indices->shape.rank, x->shape.rank);
                for (size_t i = 0; r >= 0 && i < x->shape.rank; i++)
                        if (indices->shape.dims[i] > x->shape.dims[i] && i != axis)
                                r = error_set(error, ERROR_INVALID, "indices larger than the data");
                if (r >= 0)
                        r = runs_new(&runs, indices->n_elements, 1, error);
                if (r >= 0)
                        r = elements_named(runs.from, &x->shape, indices, axis, error);
        } else {
                r = indices_nd_read(&depth, &x->shape, &indices->shape, 0, error);
                for (size_t i = r < 0 ? x->shape.rank : depth; i < x->shape.rank; i++)
                        length *= x->shape.dims[i];
                if (r >= 0)
                        r = runs_new(&runs, length > 0 ? indices->n_elements / depth : 0, length, error);
                for (size_t i = 0; i < runs.n && r >= 0; i++)
                        r = run_named(&runs.from[i], &x->shape, indices, i, depth, 0, 0, length, error);
        }
        if (r < 0)
                return r;
        if (shape_elements(&updates->shape) != runs.n * runs.length || updates->dtype != x->dtype)
                return error_set(error, ERROR_INVALID, "updates that do not fit data and indices");
        *ret_runs = runs;
        runs.from = NULL;
        return 0;
}

enum combine { COMBINE_REPLACE, COMBINE_ADD, COMBINE_MULTIPLY };

static int combine_read(enum combine *ret_combine, const struct node *node, struct error *error) {
        const char *reduction = node_attribute_string(node, "reduction", "none");

        if (strcmp(reduction, "none") == 0)
                *ret_combine = COMBINE_REPLACE;
        else if (strcmp(reduction, "add") == 0)
                *ret_combine = COMBINE_ADD;
        else if (strcmp(reduction, "mul") == 0)
                *ret_combine = COMBINE_MULTIPLY;
        else
                return error_set(error, ERROR_UNSUPPORTED, "reduction '%s'", reduction);
        return 0;
}

OPERATOR_INFER(scatter) {
        const struct value *x;
        enum combine combine;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = combine_read(&combine, node, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, x->dtype, &x->shape);
        return 0;
}

static void scatter_copy(const struct runs *runs, void *dst, const void *updates, size_t element_bytes) {
        size_t bytes = runs->length * element_bytes;

        for (size_t i = 0; i < runs->n; i++)
                memcpy((char *)dst + runs->from[i] * element_bytes, (const char *)updates + i * bytes,
                       bytes);
}

static void scatter_combine(const struct runs *runs, float *dst, const float *updates,
                            enum combine combine) {
        for (size_t i = 0; i < runs->n; i++)
                for (size_t k = 0; k < runs->length; k++) {
                        float *to = &dst[runs->from[i] + k], update = updates[i * runs->length + k];

                        *to = combine == COMBINE_ADD ? *to + update : *to * update;
                }
}

OPERATOR_FOLD(scatter) {
        const struct tensor *x = graph_input_constant(graph, node, 0);
        _cleanup_(runs_release) struct runs runs = {0};
        enum combine combine;
        int r;

        r = combine_read(&combine, node, error);
        if (r >= 0 && combine != COMBINE_REPLACE)
                r = error_set(error, ERROR_UNSUPPORTED, "a reduction of constants");
        if (r >= 0)
                r = fold_check(&x->shape, error);
        if (r >= 0)
                r = scatter_runs(&runs, graph, node, error);
        if (r >= 0)
                r = tensor_reshape(ret_tensor, x, &x->shape, error);
        if (r < 0)
                return r;
        scatter_copy(&runs, (*ret_tensor)->data, graph_input_constant(graph, node, 2)->data,
                     dtype_bytes(x->dtype));
        return 0;
}

struct scatter {
        struct runs runs;
        enum combine combine;
        size_t n;
};

static void scatter_run(const void *params, void *const *addresses) {
        const struct scatter *p = params;

        memcpy(addresses[2], addresses[0], p->n * sizeof(float));
        if (p->combine == COMBINE_REPLACE)
                scatter_copy(&p->runs, addresses[2], addresses[1], sizeof(float));
        else
                scatter_combine(&p->runs, addresses[2], addresses[1], p->combine);
}

OPERATOR_LOWER(scatter) {
        const struct graph *graph = lowering_graph(lowering);
        _cleanup_(runs_release) struct runs runs = {0};
        struct scatter scatter;
        enum combine combine;
        int r;

        r = combine_read(&combine, node, error);
        if (r >= 0)
                r = scatter_runs(&runs, graph, node, error);
        if (r < 0)
                return r;
        scatter = (struct scatter){.runs = runs,
                                   .combine = combine,
                                   .n = shape_elements(&graph->values[node->inputs[0]].shape)};
        scatter.runs.from = lowering_keep(lowering, runs.from, runs.n * sizeof(*runs.from));
        if (!scatter.runs.from)
                return error_no_memory(error);
        return native_lower(lowering, node,
                            &(struct native){
                                    .name = "native:scatter",
                                    .function = scatter_run,
                                    .params = &scatter,
                                    .params_bytes = sizeof(scatter),
                                    .inputs = {0, 2},
                                    .n_inputs = 2,
                                    .n_outputs = 1,
                            },
                            error);
}
