#include "engine/independence.h"

#include <stdlib.h>
#include <string.h>

#include "engine/operator.h"
#include "engine/ops/families.h"

#define AXIS_NONE SIZE_MAX /* not known, or images depend on each other; also of constants */

/* Where the images of each value are: of dims[axes[value]] = outers[value] * batch * any number, in this
 * order. */
struct tracker {
        const struct graph *graph;
        size_t batch;
        size_t *axes, *outers;
        bool *fixed;  /* of constants alone, though not folded: weights that are integers in the file */
        size_t outer; /* of the outputs of the node that is looked at */
};

static const struct shape *shape_of(const struct tracker *t, uint32_t value) {
        return &t->graph->values[value].shape;
}

static size_t axis_of_input(const struct tracker *t, const struct node *node, size_t input) {
        uint32_t value = node_input(node, input);

        return value == VALUE_NONE ? AXIS_NONE : t->axes[value];
}

static bool is_constant(const struct tracker *t, const struct node *node, size_t input) {
        uint32_t value = node_input(node, input);

        return value == VALUE_NONE || t->graph->values[value].constant || t->fixed[value];
}

static bool others_are_constant(const struct tracker *t, const struct node *node) {
        for (size_t i = 1; i < node->n_inputs; i++)
                if (!is_constant(t, node, i))
                        return false;
        return true;
}

static size_t product(const size_t *dims, size_t n) {
        size_t elements = 1;

        for (size_t i = 0; i < n; i++)
                elements *= dims[i];
        return elements;
}

/* Has a constant the same for each image along its axis, which is the images' in what it meets? */
static bool is_same_for_all(const struct tracker *t, const struct tensor *constant, size_t axis) {
        const size_t *dims = constant->shape.dims;
        size_t bytes, n_outer;

        if (dims[axis] == 1)
                return true;
        if (!constant->data || dims[axis] % (t->outer * t->batch) != 0)
                return false;
        n_outer = product(dims, axis) * t->outer;
        bytes = constant->n_elements / n_outer / t->batch * dtype_bytes(constant->dtype);
        for (size_t outer = 0; outer < n_outer; outer++) {
                const unsigned char *first =
                        (const unsigned char *)constant->data + outer * t->batch * bytes;

                for (size_t image = 1; image < t->batch; image++)
                        if (memcmp(first, first + image * bytes, bytes) != 0)
                                return false;
        }
        return true;
}

/* The axis from the end, from 1, that inputs first to last of node have the images at, dimensions being
 * matched from the end as ONNX broadcasts them; 0: they differ, or there is none. */
static size_t broadcast(const struct tracker *t, const struct node *node, size_t first, size_t last) {
        size_t from_end = 0;

        for (size_t i = first; i <= last; i++) {
                size_t axis = axis_of_input(t, node, i), own;

                if (is_constant(t, node, i))
                        continue;
                if (axis == AXIS_NONE)
                        return 0;
                own = shape_of(t, node->inputs[i])->rank - axis;
                if ((from_end > 0 && own != from_end) || t->outers[node->inputs[i]] != t->outer)
                        return 0;
                from_end = own;
        }
        for (size_t i = first; i <= last && from_end > 0; i++) {
                const struct tensor *constant = graph_input_constant(t->graph, node, i);

                if (constant && constant->shape.rank >= from_end &&
                    !is_same_for_all(t, constant, constant->shape.rank - from_end))
                        return 0;
        }
        return from_end;
}

static size_t axis_from_end(const struct tracker *t, const struct node *node, size_t from_end) {
        size_t rank = shape_of(t, node->outputs[0])->rank;

        return from_end == 0 || from_end > rank ? AXIS_NONE : rank - from_end;
}

static size_t after_elementwise(const struct tracker *t, const struct node *node) {
        return axis_from_end(t, node, broadcast(t, node, 0, node->n_inputs - 1));
}

/* Rows and columns are the last two axes; what is summed over is neither. */
static size_t after_matmul(const struct tracker *t, const struct node *node) {
        bool right = is_constant(t, node, 0), both = !right && !is_constant(t, node, 1);
        size_t from_end = broadcast(t, node, 0, 1), summed = right ? 2 : 1;

        if (shape_of(t, node->inputs[0])->rank < 2 || shape_of(t, node->inputs[1])->rank < 2)
                return AXIS_NONE;
        /* Rows of the left operand meet no constant of the right one. */
        if (!both && from_end == 0 && axis_of_input(t, node, right) != AXIS_NONE) {
                size_t own = shape_of(t, node->inputs[right])->rank - axis_of_input(t, node, right);

                from_end = own <= 2 ? own : 0;
        }
        return from_end == summed || (both && from_end <= 2) ? AXIS_NONE : axis_from_end(t, node, from_end);
}

static size_t after_gemm(const struct tracker *t, const struct node *node) {
        const struct tensor *c = graph_input_constant(t->graph, node, 2);

        if (node_attribute_integer(node, "transA", 0) || axis_of_input(t, node, 0) != 0 ||
            !others_are_constant(t, node) || (c && c->shape.rank == 2 && !is_same_for_all(t, c, 0)))
                return AXIS_NONE;
        return 0;
}

/* A row-major array is renamed: as much lies before the images. */
static size_t after_view(struct tracker *t, const struct node *node) {
        const struct shape *in = shape_of(t, node->inputs[0]), *out = shape_of(t, node->outputs[0]);
        size_t axis = axis_of_input(t, node, 0), before, n = 1;

        /* A Squeeze of whatever is 1 is another one for a single image. */
        if (axis == AXIS_NONE || (node->op->infer == squeeze_infer && !node_attribute(node, "axes") &&
                                  node_input(node, 1) == VALUE_NONE))
                return AXIS_NONE;
        before = product(in->dims, axis) * t->outer;
        for (size_t i = 0; i < out->rank && before % n == 0; n *= out->dims[i++])
                if (out->dims[i] % (before / n * t->batch) == 0) {
                        t->outer = before / n;
                        return i;
                }
        return AXIS_NONE;
}

static size_t after_transpose(const struct tracker *t, const struct node *node) {
        const struct attribute *perm = node_attribute(node, "perm");
        size_t rank = shape_of(t, node->inputs[0])->rank, axis = axis_of_input(t, node, 0);

        if (axis == AXIS_NONE || !perm)
                return axis == AXIS_NONE ? AXIS_NONE : rank - 1 - axis;
        for (size_t i = 0; i < perm->n; i++)
                if ((size_t)perm->ints[i] == axis)
                        return i;
        return AXIS_NONE;
}

static size_t after_reduce(const struct tracker *t, const struct node *node) {
        size_t rank = shape_of(t, node->inputs[0])->rank, axis = axis_of_input(t, node, 0), n, gone = 0;
        bool keep = node_attribute_integer(node, "keepdims", 1);
        int64_t axes[2 * TENSOR_MAX_RANK];

        if (read_integers(t->graph, node, "axes", 1, axes, &n, NULL) < 0 || n == 0 || axis == AXIS_NONE)
                return AXIS_NONE;
        for (size_t i = 0; i < n; i++) {
                size_t reduced;

                if (axis_normalise(&reduced, axes[i], rank, NULL) < 0 || reduced == axis)
                        return AXIS_NONE;
                gone += !keep && reduced < axis;
        }
        return axis - gone;
}

/* Operators that work along an axis, from which on all counts where last is set. */
static size_t after_axis(const struct tracker *t, const struct node *node, int64_t otherwise, bool last) {
        size_t rank = shape_of(t, node->inputs[0])->rank, axis = axis_of_input(t, node, 0), along;

        if (axis_normalise(&along, node_attribute_integer(node, "axis", otherwise), rank, NULL) < 0)
                return AXIS_NONE;
        return axis == AXIS_NONE || !others_are_constant(t, node) || axis == along || (last && axis > along)
                       ? AXIS_NONE
                       : axis;
}

static size_t after_concat(const struct tracker *t, const struct node *node) {
        size_t rank = shape_of(t, node->outputs[0])->rank, axis, along;

        if (axis_normalise(&along, node_attribute_integer(node, "axis", 1), rank, NULL) < 0)
                return AXIS_NONE;
        axis = axis_from_end(t, node, broadcast(t, node, 0, node->n_inputs - 1));
        return axis == along ? AXIS_NONE : axis;
}

static size_t after_gather(const struct tracker *t, const struct node *node) {
        const struct tensor *indices = graph_input_constant(t->graph, node, 1);
        size_t axis = after_axis(t, node, 0, false), along;

        if (strcmp(node->type, "Gather") != 0 || axis == AXIS_NONE || !indices ||
            axis_normalise(&along, node_attribute_integer(node, "axis", 0),
                           shape_of(t, node->inputs[0])->rank, NULL) < 0)
                return AXIS_NONE;
        return axis < along ? axis : axis + indices->shape.rank - 1;
}

/* "bij,bjk->bik": the letter of the images, which must be the same for all operands and in the result. */
static size_t after_einsum(const struct tracker *t, const struct node *node) {
        char equation[4 * TENSOR_MAX_RANK] = "";
        const char *operand = equation, *arrow, *place;
        char letter = 0;
        size_t n = 0;

        for (const char *c = node_attribute_string(node, "equation", ""); *c && n + 1 < sizeof(equation);
             c++)
                if (*c != ' ')
                        equation[n++] = *c;
        arrow = strstr(equation, "->");
        if (!arrow || n + 1 == sizeof(equation))
                return AXIS_NONE;
        for (size_t i = 0; i < node->n_inputs; i++) {
                size_t axis = axis_of_input(t, node, i);

                if (!is_constant(t, node, i)) {
                        if (axis == AXIS_NONE || t->outers[node->inputs[i]] != t->outer ||
                            (letter && operand[axis] != letter))
                                return AXIS_NONE;
                        letter = operand[axis];
                }
                operand += shape_of(t, node->inputs[i])->rank + 1;
        }
        place = letter ? strchr(arrow, letter) : NULL;
        operand = equation;
        for (size_t i = 0; i < node->n_inputs; i++) {
                size_t rank = shape_of(t, node->inputs[i])->rank;

                if (is_constant(t, node, i) && memchr(operand, letter, rank))
                        return AXIS_NONE;
                operand += rank + 1;
        }
        return place ? (size_t)(place - arrow) - strlen("->") : AXIS_NONE;
}

/* What keeps the images where they are, as long as it neither cuts nor adds any: dimensions that it adds are
 * the first ones. */
static size_t after_part(const struct tracker *t, const struct node *node) {
        size_t axis = axis_of_input(t, node, 0);

        if (axis == AXIS_NONE || !others_are_constant(t, node))
                return AXIS_NONE;
        for (size_t i = 0; i < node->n_outputs; i++) {
                const struct shape *in = shape_of(t, node->inputs[0]), *out;

                if (node->outputs[i] == VALUE_NONE)
                        continue;
                out = shape_of(t, node->outputs[i]);
                if (out->rank != shape_of(t, node->outputs[0])->rank || out->rank < in->rank ||
                    out->dims[axis + out->rank - in->rank] != in->dims[axis])
                        return AXIS_NONE;
        }
        return axis + shape_of(t, node->outputs[0])->rank - shape_of(t, node->inputs[0])->rank;
}

/* All images may be there, in another order. */
static size_t after_slice(const struct tracker *t, const struct node *node) {
        const struct tensor *steps = graph_input_constant(t->graph, node, 4);

        for (size_t i = 0; steps && i < steps->n_elements; i++)
                if (tensor_integer(steps, i) < 0)
                        return AXIS_NONE;
        return after_part(t, node);
}

/* Feature maps [N, C, ...]. */
static size_t after_maps(const struct tracker *t, const struct node *node) {
        return axis_of_input(t, node, 0) == 0 ? after_part(t, node) : AXIS_NONE;
}

/* The images' axis in the outputs of node. */
static size_t axis_after(struct tracker *t, const struct node *node) {
        const typeof(&binary_infer) infer = node->op->infer;

        if (node->n_inputs == 0 || node->inputs[0] == VALUE_NONE || node_output(node, 0) == VALUE_NONE)
                return AXIS_NONE;
        for (size_t i = node->n_inputs; i-- > 0;)
                if (!is_constant(t, node, i))
                        t->outer = t->outers[node->inputs[i]];
        if (infer == binary_infer || infer == where_infer)
                return after_elementwise(t, node);
        if (infer == unary_infer || infer == math_infer || infer == activation_infer ||
            infer == clip_infer || infer == cast_infer || infer == dropout_infer ||
            infer == identity_infer || infer == expand_infer || infer == split_infer ||
            infer == quantize_linear_infer || infer == dequantize_linear_infer ||
            infer == fake_quantize_infer)
                return after_part(t, node);
        if (infer == conv_infer || infer == pool_infer || infer == global_pool_infer ||
            infer == batch_normalization_infer || infer == instance_normalization_infer ||
            infer == lrn_infer || infer == space_infer || infer == resize_infer || infer == pad_infer ||
            infer == scale_shift_infer)
                return after_maps(t, node);
        if (infer == slice_infer)
                return after_slice(t, node);
        if (infer == matmul_infer)
                return after_matmul(t, node);
        if (infer == gemm_infer)
                return after_gemm(t, node);
        if (infer == reshape_infer || infer == flatten_infer || infer == squeeze_infer ||
            infer == unsqueeze_infer)
                return after_view(t, node);
        if (infer == transpose_infer)
                return after_transpose(t, node);
        if (infer == reduce_infer)
                return after_reduce(t, node);
        if (infer == softmax_infer || infer == hardmax_infer)
                return after_axis(t, node, node->opset < 13 ? 1 : -1, node->opset < 13);
        if (infer == layer_normalization_infer)
                return after_axis(t, node, -1, true);
        if (infer == concat_infer)
                return after_concat(t, node);
        if (infer == gather_infer)
                return after_gather(t, node);
        if (infer == einsum_infer)
                return after_einsum(t, node);
        return AXIS_NONE;
}

int graph_is_independent(bool *ret_independent, const struct graph *graph, size_t batch,
                         struct error *error) {
        _cleanup_(freep) size_t *axes = calloc(MAX(graph->n_values, 1u), sizeof(*axes));
        _cleanup_(freep) size_t *outers = calloc(MAX(graph->n_values, 1u), sizeof(*outers));
        _cleanup_(freep) bool *fixed = calloc(MAX(graph->n_values, 1u), sizeof(*fixed));
        struct tracker tracker = {
                .graph = graph, .batch = batch, .axes = axes, .outers = outers, .fixed = fixed, .outer = 1};

        if (!axes || !outers || !fixed)
                return error_no_memory(error);
        for (size_t i = 0; i < graph->n_values; i++) {
                axes[i] = AXIS_NONE;
                outers[i] = 1;
        }
        axes[graph->input] = 0;
        for (size_t i = 0; i < graph->n_nodes; i++) {
                const struct node *node = &graph->nodes[i];
                size_t axis = axis_after(&tracker, node);
                bool all = others_are_constant(&tracker, node) && is_constant(&tracker, node, 0);

                for (size_t k = 0; k < node->n_outputs; k++)
                        if (node->outputs[k] != VALUE_NONE) {
                                axes[node->outputs[k]] = axis;
                                outers[node->outputs[k]] = tracker.outer;
                                fixed[node->outputs[k]] = all;
                        }
        }
        *ret_independent = axes[graph->output] == 0 && graph->values[graph->output].shape.dims[0] == batch;
        return 0;
}
