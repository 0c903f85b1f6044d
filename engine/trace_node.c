#include "engine/trace_node.h"

#include "engine/ops/families.h"
#include "engine/pattern.h"

static bool trace_transpose_node(const struct node *node, struct trace *trace) {
        const struct attribute *perm = node_attribute(node, "perm");
        size_t permutation[TENSOR_MAX_RANK];

        for (size_t i = 0; i < trace->rank; i++)
                permutation[i] = perm ? (size_t)perm->ints[i] : trace->rank - 1 - i;
        trace_transpose(trace, permutation);
        return true;
}

/* A slice with steps of 1, whose bounds ONNX clips. */
static bool trace_slice_node(const struct graph *graph, const struct node *node, struct trace *trace) {
        int64_t starts[2 * TENSOR_MAX_RANK], ends[2 * TENSOR_MAX_RANK], axes[2 * TENSOR_MAX_RANK],
                steps[2 * TENSOR_MAX_RANK];
        const struct shape *out = &graph->values[node->outputs[0]].shape;
        size_t n, n_ends, n_axes, n_steps, axis;

        if (read_integers(graph, node, "starts", 1, starts, &n, NULL) < 0 ||
            read_integers(graph, node, "ends", 2, ends, &n_ends, NULL) < 0 ||
            read_integers(graph, node, "axes", 3, axes, &n_axes, NULL) < 0 ||
            read_integers(graph, node, NULL, 4, steps, &n_steps, NULL) < 0 || n != n_ends)
                return false;
        for (size_t i = 0; i < n; i++) {
                int64_t size;

                if (axis_normalise(&axis, i < n_axes ? axes[i] : (int64_t)i, trace->rank, NULL) < 0 ||
                    (i < n_steps && steps[i] != 1))
                        return false;
                size = (int64_t)trace->dims[axis].size;
                if (starts[i] < 0)
                        starts[i] += size;
                starts[i] = MIN(MAX(starts[i], 0), size);
                if (!trace_slice(trace, axis, (size_t)starts[i], out->dims[axis]))
                        return false;
        }
        return true;
}

/* One index out of a dimension, which vanishes. */
static bool trace_gather_node(const struct graph *graph, const struct node *node, struct trace *trace) {
        const struct tensor *indices = graph_input_constant(graph, node, 1);
        size_t axis;
        int64_t index;

        if (!indices || indices->n_elements != 1 ||
            axis_normalise(&axis, node_attribute_integer(node, "axis", 0), trace->rank, NULL) < 0)
                return false;
        index = tensor_integer(indices, 0);
        if (index < 0)
                index += (int64_t)trace->dims[axis].size;
        return index >= 0 && (size_t)index < trace->dims[axis].size &&
               trace_slice(trace, axis, (size_t)index, 1) &&
               trace_reshape(trace, &graph->values[node->outputs[0]].shape);
}

/* Swin pads maps to whole windows, which most of them are. */
static bool pads_nothing(const struct graph *graph, const struct node *node) {
        int64_t begin[TENSOR_MAX_RANK], end[TENSOR_MAX_RANK];
        float value;

        if (pad_read(begin, end, &value, graph, node, NULL) < 0)
                return false;
        for (size_t i = 0; i < graph->values[node->inputs[0]].shape.rank; i++)
                if (begin[i] != 0 || end[i] != 0)
                        return false;
        return true;
}

bool trace_node(const struct graph *graph, const struct node *node, struct trace *trace) {
        static const char *const reshapes[] = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"};

        for (size_t i = 0; i < ARRAY_SIZE(reshapes); i++)
                if (node_is(node, reshapes[i]))
                        return trace_reshape(trace, &graph->values[node->outputs[0]].shape);
        if (node_is(node, "Transpose"))
                return trace_transpose_node(node, trace);
        if (node_is(node, "Slice"))
                return trace_slice_node(graph, node, trace);
        if (node_is(node, "Gather"))
                return trace_gather_node(graph, node, trace);
        if (node_is(node, "Pad"))
                return pads_nothing(graph, node);
        return false;
}
