#include "engine/input_step.h"
#include "engine/lowering_internal.h"
#include "engine/native/dot.h"
#include "engine/ops/families.h"

/* ---- inputs ---- */

/* The network's input goes straight into the layout that its first user wants, where that is one of the two
 * simple ones. */
int lowering_define_input(struct lowering *lowering, const struct layout *want, struct error *error) {
        struct plan *plan = lowering->plan;
        uint32_t input = plan->graph->input;
        struct model_input declared = model_input(plan->model);
        const struct shape *shape = &plan->graph->values[input].shape;
        const struct layout *plain = layout_plain(plan->kernels, shape);
        const struct layout *last = layout_channels_last(plan->kernels, shape);
        bool value_is_last = declared.channels_last && !plan->graph->input_is_transposed;
        const struct layout *want_f32 = want ? layout_as(plan->kernels, want, DTYPE_F32) : NULL;
        bool to_last = !value_is_last && last && want_f32 && !layout_equal(want_f32, plain) &&
                       layout_equal(want_f32, last);
        struct input_form form = {
                .images = shape->dims[0],
                .channels = declared.channels,
                .pixels = shape_elements(shape) / shape->dims[0] / declared.channels,
                .tensor_interleaved = declared.channels_last,
                .target_interleaved = value_is_last || to_last,
                .to_bf16 = to_last && layout_dtype(want) == DTYPE_BF16,
        };
        struct operand operands[2] = {{.buffer = BUFFER_RUN_INPUT}};
        const struct kernel *kernel;
        int r;

        if (!plain || !last)
                return error_no_memory(error);
        operands[0].layout = form.to_bf16 ? want : to_last ? last : plain;
        r = input_kernel_new(&kernel, plan->kernels, model_preprocess(plan->model), operands[0].layout,
                             &form, error);
        if (r >= 0)
                r = lowering_place(lowering, operands[0].layout, &operands[1], error);
        if (r >= 0)
                r = lowering_emit(lowering, NULL, "Input", kernel, operands, 0, error);
        if (r < 0)
                return r;
        lowering_define(lowering, input, operands[1]);
        return 0;
}

int lowering_define_quantised_input(struct lowering *lowering, uint32_t value, uint32_t quantised,
                                    bool *ret_done, struct error *error) {
        struct plan *plan = lowering->plan;
        const struct shape *shape = &plan->graph->values[value].shape;
        struct operand operands[2] = {{.buffer = BUFFER_RUN_INPUT}};
        const struct kernel *kernel;
        struct model_input declared;
        struct input_form form;
        int r;

        if (!plan->model || value != plan->graph->input || shape->rank != 4)
                return 0;
        declared = model_input(plan->model);
        if (declared.channels_last && !plan->graph->input_is_transposed)
                return 0;
        form = (struct input_form){.images = shape->dims[0],
                                   .channels = declared.channels,
                                   .pixels = shape->dims[2] * shape->dims[3],
                                   .tensor_interleaved = declared.channels_last};
        r = lowering_place_pixels(lowering, quantised, &operands[1], error);
        if (r < 0)
                return r;
        operands[0].layout = operands[1].layout;
        r = quantised_input_kernel_new(&kernel, plan->kernels, model_preprocess(plan->model),
                                       operands[1].layout, &form,
                                       plan->graph->values[quantised].quantisation, error);
        if (r >= 0)
                r = lowering_emit(lowering, NULL, "Input", kernel, operands, 0, error);
        if (r < 0)
                return r;
        lowering_define(lowering, quantised, operands[1]);
        *ret_done = true;
        return 0;
}

/* The first node that reads value, or NULL. */
static const struct node *reader_of(const struct graph *graph, uint32_t value) {
        for (size_t i = 0; i < graph->n_nodes; i++)
                for (size_t k = 0; k < graph->nodes[i].n_inputs; k++)
                        if (graph->nodes[i].inputs[k] == value)
                                return &graph->nodes[i];
        return NULL;
}

static const struct node *maker_of(const struct graph *graph, uint32_t value) {
        for (size_t i = 0; i < graph->n_nodes; i++)
                if (graph->nodes[i].n_outputs > 0 && graph->nodes[i].outputs[0] == value)
                        return &graph->nodes[i];
        return NULL;
}

/* Why node, which computes on float32, does so among integers; "": there is no step on integers for its
 * kind. */
static const char *reason_of(const struct node *node) {
        if (!node_is(node, "Conv") && !node_is(node, "Gemm") && !node_is(node, "MatMul"))
                return "";
        return dot_isa(DOT_U8S8) ? ": its weights are no integers around 0"
                                 : ": this CPU has no fast product of integers";
}

int lowering_explain_quantise(struct lowering *lowering, uint32_t from, uint32_t to, struct error *error) {
        const struct graph *graph = lowering->plan->graph;
        struct pool *pool = lowering->plan->pool;
        bool to_integers = graph->values[to].quantisation;
        const struct node *node = to_integers ? maker_of(graph, from) : reader_of(graph, to);
        const char *what = to_integers ? "gives" : "takes";
        const char *why = node ? pool_printf(pool, "%s '%s' %s float32%s", node->type, node->name, what,
                                             reason_of(node))
                               : pool_printf(pool, "the network %s float32", what);

        return lowering_explain(lowering, why, error);
}

/* The number of the input that value is, n_network_inputs where it is none. */
size_t lowering_network_input(const struct graph *graph, uint32_t value) {
        size_t i = 0;

        while (i < graph->n_network_inputs && graph->network_inputs[i] != value)
                i++;
        return i;
}

int lowering_define_network_input(struct lowering *lowering, uint32_t value, struct error *error) {
        struct plan *plan = lowering->plan;
        const struct layout *plain = layout_plain(plan->kernels, &plan->graph->values[value].shape);
        struct operand operands[2] = {{.buffer = BUFFER_RUN_INPUT, .layout = plain}};
        const struct kernel *kernel;
        int r;

        if (plan->graph->values[value].dtype != DTYPE_F32)
                return error_set(error, ERROR_UNSUPPORTED, "input '%s' is %s; steps compute on float32",
                                 plan->graph->values[value].name,
                                 dtype_name(plan->graph->values[value].dtype));
        if (!plain)
                return error_no_memory(error);
        r = network_input_kernel_new(&kernel, plan->kernels, plain,
                                     lowering_network_input(plan->graph, value), error);
        if (r >= 0)
                r = lowering_place(lowering, plain, &operands[1], error);
        if (r >= 0)
                r = lowering_emit(lowering, NULL, "Input", kernel, operands, 0, error);
        if (r < 0)
                return r;
        lowering_define(lowering, value, operands[1]);
        return 0;
}

/* ---- outputs ---- */

/* Where a value that is asked for will be found, row-major. Never integers: steps compute on float32. */
static int watch_value(struct lowering *lowering, uint32_t index, struct watched *watched,
                       struct error *error) {
        struct plan *plan = lowering->plan;
        const struct value *value = &plan->graph->values[index];
        _cleanup_(tensor_unrefp) struct tensor *cast = NULL;
        const struct layout *plain;
        struct operand operand;
        int r;

        watched->shape = value->shape;
        if (value->constant) {
                r = tensor_cast(&cast, value->constant, DTYPE_F32, error);
                return r < 0 ? r : tensor_hold(&watched->constant, cast, error);
        }
        plain = layout_plain(plan->kernels, &value->shape);
        if (!plain)
                return error_no_memory(error);
        r = lowering_use(lowering, index, plain, &operand, error);
        if (r < 0)
                return r;
        watched->place = (struct plan_place){operand.buffer, operand.offset};
        return 0;
}

int lowering_watch(struct lowering *lowering, struct error *error) {
        struct plan *plan = lowering->plan;
        const struct graph *graph = plan->graph;
        int r;

        plan->watched = pool_allocate(plan->pool, graph->n_watched, sizeof(*plan->watched));
        if (!plan->watched)
                return error_no_memory(error);
        plan->n_watched = graph->n_watched;
        for (size_t i = 0; i < graph->n_watched; i++) {
                r = watch_value(lowering, graph->watched[i], &plan->watched[i], error);
                if (r < 0)
                        return error_prefix(error, r, "'%s' cannot be watched",
                                            graph->values[graph->watched[i]].name);
        }
        for (size_t i = 0; i < graph->n_watched; i++)
                plan->buffers[plan->watched[i].place.buffer].last = (uint32_t)plan->n_steps;
        return 0;
}

static int hold_constant(struct graph *graph, uint32_t value, struct error *error) {
        _cleanup_(tensor_unrefp) struct tensor *held = NULL;
        int r;

        r = tensor_hold(&held, graph->values[value].constant, error);
        if (r < 0)
                return r;
        graph_set_constant(graph, value, held);
        return 0;
}

/* Outputs that are constant need no step. */
int lowering_network_outputs(struct lowering *lowering, struct error *error) {
        struct plan *plan = lowering->plan;
        const struct graph *graph = plan->graph;

        plan->network_outputs =
                pool_allocate(plan->pool, graph->n_network_outputs, sizeof(*plan->network_outputs));
        if (!plan->network_outputs)
                return error_no_memory(error);
        for (size_t i = 0; i < graph->n_network_outputs; i++) {
                const struct value *value = &graph->values[graph->network_outputs[i]];
                struct operand output;
                int r;

                if (value->constant) {
                        r = hold_constant(plan->graph, graph->network_outputs[i], error);
                        if (r < 0)
                                return r;
                        continue;
                }
                r = value->known ? need_float(value, error)
                                 : error_set(error, ERROR_UNSUPPORTED,
                                             "the shape of output '%s' is not known", value->name);
                if (r >= 0)
                        r = lowering_use(lowering, graph->network_outputs[i],
                                         layout_plain(plan->kernels, &value->shape), &output, error);
                if (r < 0)
                        return r;
                plan->buffers[output.buffer].last = (uint32_t)plan->n_steps;
                plan->network_outputs[i] = (struct plan_place){output.buffer, output.offset};
        }
        return 0;
}
