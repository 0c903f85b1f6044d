#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "engine/ops/native.h"

/*
 * Resize: along each axis an element of the result is a weighted sum of up to 4 of the source, whatever the
 * mode: one for nearest, 2 for linear, 4 for cubic. The axes follow each other (ONNX 1.12, Resize-13).
 */

#define TAPS_MAX 4u

/* One element of the result along an axis. */
struct taps {
        uint32_t index[TAPS_MAX];
        float weight[TAPS_MAX];
};

struct resize {
        size_t rank;
        struct shape src, dst;
        double scales[TENSOR_MAX_RANK];
};

/* ---- where an element of the result lies in the source ---- */

/* The length of the result is not rounded in ONNX's formulas. */
static double place_of(const char *transformation, size_t i, size_t from, double scale) {
        double to = scale * (double)from;

        if (strcmp(transformation, "asymmetric") == 0)
                return (double)i / scale;
        if (strcmp(transformation, "align_corners") == 0)
                return to > 1 ? (double)i * ((double)from - 1) / (to - 1) : 0;
        if (strcmp(transformation, "pytorch_half_pixel") == 0)
                return to > 1 ? ((double)i + 0.5) / scale - 0.5 : 0;
        if (strcmp(transformation, "tf_half_pixel_for_nn") == 0)
                return ((double)i + 0.5) / scale;
        return ((double)i + 0.5) / scale - 0.5; /* half_pixel */
}

static double round_nearest(const char *nearest, double x) {
        if (strcmp(nearest, "floor") == 0)
                return floor(x);
        if (strcmp(nearest, "ceil") == 0)
                return ceil(x);
        if (strcmp(nearest, "round_prefer_ceil") == 0)
                return floor(x + 0.5);
        return ceil(x - 0.5); /* round_prefer_floor */
}

/* Keys 1981, which ONNX names as its source; a is -0.5 or -0.75. */
static double cubic(double distance, double a) {
        double d = fabs(distance);

        if (d <= 1)
                return ((a + 2) * d - (a + 3)) * d * d + 1;
        return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

static struct taps taps_at(const struct node *node, double x, size_t from) {
        const char *mode = node_attribute_string(node, "mode", "nearest");
        bool exclude = node_attribute_integer(node, "exclude_outside", 0) != 0;
        double a = (double)node_attribute_real(node, "cubic_coeff_a", -0.75f), sum = 0;
        bool nearest = strcmp(mode, "nearest") == 0, linear = strcmp(mode, "linear") == 0;
        size_t n = nearest ? 1 : linear ? 2 : TAPS_MAX;
        double first =
                nearest ? round_nearest(node_attribute_string(node, "nearest_mode", "round_prefer_floor"), x)
                : linear ? floor(x)
                         : floor(x) - 1;
        double weights[TAPS_MAX];
        struct taps taps = {0};

        for (size_t k = 0; k < n; k++) {
                double at = first + (double)k;

                weights[k] = nearest ? 1 : linear ? 1 - fabs(x - at) : cubic(x - at, a);
                if (exclude && !nearest && (at < 0 || at > (double)from - 1))
                        weights[k] = 0;
                sum += weights[k];
                taps.index[k] = (uint32_t)fmin(fmax(at, 0), (double)from - 1);
        }
        for (size_t k = 0; k < n; k++)
                taps.weight[k] = (float)(exclude && sum != 0 ? weights[k] / sum : weights[k]);
        return taps;
}

/* ---- reading ---- */

static int choice_check(const struct node *node, const char *name, const char *const *choices, size_t n,
                        struct error *error) {
        const char *choice = node_attribute_string(node, name, choices[0]);

        for (size_t i = 0; i < n; i++)
                if (strcmp(choice, choices[i]) == 0)
                        return 0;
        return error_set(error, ERROR_UNSUPPORTED, "%s '%s'", name, choice);
}

static int attributes_check(const struct node *node, struct error *error) {
        static const char *const modes[] = {"nearest", "linear", "cubic"};
        static const char *const transformations[] = {"half_pixel", "asymmetric", "align_corners",
                                                      "pytorch_half_pixel", "tf_half_pixel_for_nn"};
        static const char *const nearests[] = {"round_prefer_floor", "floor", "ceil", "round_prefer_ceil"};
        int r;

        if (node->opset >= 18 &&
            (node_attribute(node, "axes") || node_attribute_integer(node, "antialias", 0) ||
             node_attribute(node, "keep_aspect_ratio_policy")))
                return error_set(error, ERROR_UNSUPPORTED, "axes, antialias or keep_aspect_ratio_policy");
        r = choice_check(node, "mode", modes, ARRAY_SIZE(modes), error);
        if (r >= 0)
                r = choice_check(node, "coordinate_transformation_mode", transformations,
                                 ARRAY_SIZE(transformations), error);
        if (r >= 0)
                r = choice_check(node, "nearest_mode", nearests, ARRAY_SIZE(nearests), error);
        return r;
}

static int resize_read(struct resize *ret_resize, const struct graph *graph, const struct node *node,
                       struct error *error) {
        const struct tensor *scales = graph_input_constant(graph, node, 2);
        const struct tensor *sizes = graph_input_constant(graph, node, 3);
        int64_t dims[TENSOR_MAX_RANK];
        struct resize resize = {0};
        const struct value *x;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = need_float(x, error);
        if (r >= 0)
                r = attributes_check(node, error);
        if (r < 0)
                return r;
        resize.src = x->shape;
        if (scales && scales->n_elements == 0)
                scales = NULL;
        if (sizes && sizes->n_elements == 0)
                sizes = NULL;
        if (!scales && !sizes)
                return error_set(error, ERROR_UNSUPPORTED, "neither scales nor sizes that are constant");
        if ((scales && scales->n_elements != x->shape.rank) || (sizes && sizes->n_elements != x->shape.rank))
                return error_set(error, ERROR_INVALID, "as many scales or sizes as rank %zu are needed",
                                 x->shape.rank);
        for (size_t i = 0; i < x->shape.rank; i++) {
                double size = (double)x->shape.dims[i];

                if (sizes) {
                        dims[i] = tensor_integer(sizes, i);
                        resize.scales[i] = (double)dims[i] / size;
                } else {
                        double scaled = floor(size * tensor_real(scales, i));

                        resize.scales[i] = tensor_real(scales, i);
                        dims[i] = scaled >= 0 && scaled <= (double)TENSOR_MAX_ELEMENTS ? (int64_t)scaled : 0;
                }
                if (dims[i] <= 0)
                        return error_set(error, ERROR_INVALID, "dimension %zu scaled by %g", i,
                                         resize.scales[i]);
        }
        r = shape_from_dims(&resize.dst, dims, x->shape.rank, error);
        if (r < 0)
                return r;
        resize.rank = x->shape.rank;
        *ret_resize = resize;
        return 0;
}

OPERATOR_INFER(resize) {
        struct resize resize;
        int r;

        r = resize_read(&resize, graph, node, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, DTYPE_F32, &resize.dst);
        return 0;
}

/* ---- one axis ---- */

struct axis_resize {
        size_t outer, from, to, inner, n_taps;
        const struct taps *taps; /* to of them */
};

static void axis_run(const void *params, void *const *addresses) {
        const struct axis_resize *p = params;
        const float *src = addresses[0];
        float *dst = addresses[1];

        for (size_t o = 0; o < p->outer; o++, src += p->from * p->inner)
                for (size_t i = 0; i < p->to; i++, dst += p->inner) {
                        const struct taps *t = &p->taps[i];

                        for (size_t k = 0; k < p->inner; k++)
                                dst[k] = t->weight[0] * src[t->index[0] * p->inner + k];
                        for (size_t tap = 1; tap < p->n_taps; tap++)
                                for (size_t k = 0; k < p->inner; k++)
                                        dst[k] += t->weight[tap] * src[t->index[tap] * p->inner + k];
                }
}

static int axis_lower(struct lowering *lowering, const struct node *node, const struct resize *resize,
                      size_t axis, struct shape *shape, struct operand *operand, struct error *error) {
        const char *transformation =
                node_attribute_string(node, "coordinate_transformation_mode", "half_pixel");
        const char *mode = node_attribute_string(node, "mode", "nearest");
        struct axis_resize params = {.outer = 1,
                                     .from = shape->dims[axis],
                                     .to = resize->dst.dims[axis],
                                     .inner = 1,
                                     .n_taps = strcmp(mode, "nearest") == 0  ? 1
                                               : strcmp(mode, "linear") == 0 ? 2
                                                                             : TAPS_MAX};
        struct kernels *kernels = lowering_kernels(lowering);
        _cleanup_(freep) struct taps *taps = NULL;
        struct operand operands[2] = {*operand};
        const struct kernel *kernel;
        int r;

        for (size_t i = 0; i < shape->rank; i++) {
                params.outer *= i < axis ? shape->dims[i] : 1;
                params.inner *= i > axis ? shape->dims[i] : 1;
        }
        if (params.to > FOLD_MAX_ELEMENTS)
                return error_set(error, ERROR_LIMIT, "more than %zu elements along an axis",
                                 FOLD_MAX_ELEMENTS);
        taps = calloc(params.to, sizeof(*taps));
        if (!taps)
                return error_no_memory(error);
        for (size_t i = 0; i < params.to; i++)
                taps[i] = taps_at(node, place_of(transformation, i, params.from, resize->scales[axis]),
                                  params.from);
        params.taps = lowering_keep(lowering, taps, params.to * sizeof(*taps));
        if (!params.taps)
                return error_no_memory(error);
        shape->dims[axis] = params.to;
        r = lowering_place(lowering, layout_plain(kernels, shape), &operands[1], error);
        if (r >= 0)
                r = kernel_native_new(&kernel, kernels, "native:resize", axis_run, &params, sizeof(params),
                                      (const struct layout *[]){operands[0].layout, operands[1].layout}, 2,
                                      error);
        if (r >= 0)
                r = lowering_emit(lowering, node, node->type, kernel, operands,
                                  2.0 * (double)params.n_taps * (double)shape_elements(shape), error);
        if (r < 0)
                return r;
        *operand = operands[1];
        return 0;
}

OPERATOR_LOWER(resize) {
        struct operand operand;
        struct resize resize;
        struct shape shape;
        int r;

        r = resize_read(&resize, lowering_graph(lowering), node, error);
        if (r < 0)
                return r;
        shape = resize.src;
        r = lowering_use(lowering, node->inputs[0], layout_plain(lowering_kernels(lowering), &shape),
                         &operand, error);
        for (size_t i = 0; i < resize.rank && r >= 0; i++)
                if (resize.scales[i] != 1 || resize.src.dims[i] != resize.dst.dims[i])
                        r = axis_lower(lowering, node, &resize, i, &shape, &operand, error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operand);
        return 0;
}
