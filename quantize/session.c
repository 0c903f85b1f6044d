#include "quantize/session.h"

#include <math.h>
#include <stdlib.h>

#include "engine/onnx_writer.h"
#include "engine/ops/families.h"
#include "quantize/runner.h"

int session_write(unsigned char **ret_bytes, size_t *ret_size, const struct session *session,
                  const struct scheme *scheme, struct error *error) {
        const struct onnx_writing writing = {
                .output_name = model_output_name(session->model),
                .output_dims = session->output_dims,
                .n_output_dims = session->output_rank,
                .batch_is_open = model_input(session->model).batch == 0,
        };
        _cleanup_(graph_freep) struct graph *graph = NULL;
        int r;

        if (!scheme)
                return onnx_write(ret_bytes, ret_size, session->graph, &writing, error);
        r = qdq_new(&graph, scheme, session->roundings, session->weights, error);
        if (r < 0)
                return r;
        return onnx_write(ret_bytes, ret_size, graph, &writing, error);
}

int session_open(struct model **ret_model, const struct session *session, const unsigned char *bytes,
                 size_t size, enum precision precision, const struct model_watch *watch,
                 struct error *error) {
        const struct model_source source = {
                .name = model_name(session->model),
                .onnx = blob_borrow(bytes, size),
                .config = session->source->config,
                .preprocessor = session->source->preprocessor,
        };
        const struct model_options opening = {.precision = precision, .watch = watch};

        return model_open_source_with(ret_model, &source, NULL, &opening, error);
}

int session_measure(struct agreement *ret_agreement, const struct session *session, const bool *kept,
                    size_t step, struct error *error) {
        _cleanup_(scheme_freep) struct scheme *scheme = NULL;
        _cleanup_(freep) unsigned char *bytes = NULL;
        _cleanup_(freep) float *outputs = NULL, *float_outputs = NULL;
        _cleanup_(model_freep) struct model *model = NULL;
        size_t size, n = (session->pictures->n + step - 1) / step;
        int r;

        r = scheme_new(&scheme, session->graph, session->shapes, kept, error);
        if (r >= 0)
                r = session_write(&bytes, &size, session, scheme, error);
        if (r >= 0)
                r = session_open(&model, session, bytes, size, PRECISION_F32, NULL, error);
        if (r < 0)
                return r;
        outputs = calloc(n * session->n_classes, sizeof(*outputs));
        float_outputs = calloc(n * session->n_classes, sizeof(*float_outputs));
        if (!outputs || !float_outputs)
                return error_no_memory(error);
        /* Winograd's form would add an error of its own to sums that are exact in integers. */
        r = runner_outputs(outputs, model, session->pictures, step, true, &session->parallel, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                for (size_t c = 0; c < session->n_classes; c++)
                        float_outputs[i * session->n_classes + c] =
                                session->float_outputs[i * step * session->n_classes + c];
        return agreement_of(ret_agreement, outputs, float_outputs, session->n_classes,
                            model_gives_probabilities(session->model), session->pictures, step, error);
}

/* ---- ranges ---- */

/* The picture's values are known without looking at one: bytes, normalised. Where all colours are normalised
 * alike and zero is one of their steps, each byte is one step. */
static struct rounding picture_rounding(const struct preprocess *p) {
        float low = 0, high = 0, scale = p->rescale_factor / p->std[0],
              zero = p->mean[0] / p->rescale_factor;
        bool alike = true;

        for (size_t c = 0; c < 3; c++) {
                low = MIN(low, -p->mean[c] / p->std[c]);
                high = MAX(high, (255 * p->rescale_factor - p->mean[c]) / p->std[c]);
                alike = alike && p->mean[c] == p->mean[0] && p->std[c] == p->std[0];
        }
        if (alike && zero >= 0 && zero <= 255 && fabsf(zero - nearbyintf(zero)) < 1e-3f)
                return (struct rounding){.scale = scale, .zero_point = (uint8_t)nearbyintf(zero)};
        return rounding_of(low, high, INFINITY);
}

/* What Clip cuts a layer's result off at; INFINITY: nothing. */
static float bound_of(const struct scheme *scheme, uint32_t value) {
        uint32_t producer = scheme->producers[value];
        uint32_t activation = producer == VALUE_NONE ? VALUE_NONE : scheme->layers[producer].activation;
        struct eltwise eltwise[2];

        if (activation == VALUE_NONE ||
            eltwise_read(eltwise, scheme->graph, &scheme->graph->nodes[activation]) != 1 ||
            eltwise[0].kind != ELTWISE_CLIP)
                return INFINITY;
        return eltwise[0].beta;
}

void session_estimate(struct session *session, enum estimator estimator) {
        const struct scheme *scheme = session->scheme;
        uint32_t picture = scheme->class_of[session->graph->input];

        for (uint32_t class = 0; class < session->graph->n_values; class ++) {
                struct range range = {0};
                float bound = INFINITY;
                bool bounded = false;

                for (uint32_t v = class; v < session->graph->n_values; v++) {
                        struct range of_value;
                        float bound_of_value;

                        if (scheme->class_of[v] != class || session->watch_of[v] == VALUE_NONE)
                                continue;
                        of_value = estimator_range(
                                estimator, session->options->percentile,
                                &session->calibration->values[session->watch_of[v]].histogram);
                        range.low = MIN(range.low, of_value.low);
                        range.high = MAX(range.high, of_value.high);
                        bound_of_value = bound_of(scheme, v);
                        bound = bounded ? MAX(bound, bound_of_value) : bound_of_value;
                        bounded = true;
                }
                session->roundings[class] = class == picture
                                                    ? picture_rounding(model_preprocess(session->model))
                                                    : rounding_of(range.low, range.high, bound);
        }
        /* A scheme that keeps layers has smaller classes: each value finds its own. */
        for (uint32_t v = 0; v < session->graph->n_values; v++)
                session->roundings[v] = session->roundings[scheme->class_of[v]];
}
