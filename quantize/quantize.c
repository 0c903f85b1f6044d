#include "quantize/quantize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/model_internal.h"
#include "engine/specialise.h"
#include "quantize/equalise.h"
#include "quantize/runner.h"
#include "quantize/sensitivity.h"
#include "quantize/session.h"
#include "quantize/speed.h"

const char *const EQUALISE_NAMES[] = {"auto", "on", "off", NULL};

const struct quantize_options QUANTIZE_DEFAULTS = {
        .estimator = ESTIMATOR_AUTO,
        .percentile = ESTIMATOR_PERCENTILE_DEFAULT,
        .max_drop = 0.5,
        .correct_bias = true,
        .weight_scale = WEIGHT_SCALE_MSE,
        .sensitivity_pictures = 16,
};

static void weights_release(struct session *session) {
        for (size_t i = 0; session->weights && i < session->graph->n_nodes; i++)
                if (session->weights[i])
                        quantised_weights_free(session->weights[i]);
        free(session->weights);
        session->weights = NULL;
}

static void session_release(struct session *session) {
        weights_release(session);
        if (session->calibration)
                calibration_free(session->calibration);
        if (session->scheme)
                scheme_free(session->scheme);
        if (session->shapes)
                graph_free(session->shapes);
        if (session->graph)
                graph_free(session->graph);
        free(session->watch_of);
        free(session->roundings);
}

int quantize_check(const struct model *model, struct error *error) {
        const struct graph *graph = model_graph(model);

        for (size_t i = 0; i < graph->n_nodes; i++) {
                const char *type = graph->nodes[i].type;

                /* FakeQuantize: what simplification makes of a pair of the first two. */
                if (strcmp(type, "FakeQuantize") == 0 || strcmp(type, "QuantizeLinear") == 0 ||
                    strcmp(type, "DequantizeLinear") == 0 || strncmp(type, "QLinear", 7) == 0 ||
                    strcmp(type, "ConvInteger") == 0)
                        return error_set(error, ERROR_UNSUPPORTED,
                                         "model %s is quantised already; give the float32 one that it was "
                                         "made from",
                                         model_name(model));
        }
        return 0;
}

static int shapes_infer(struct session *session, struct error *error) {
        struct shape input, output;
        int r;

        r = model_input_shape(&input, session->model, 1, 0, 0, error);
        if (r >= 0)
                r = graph_clone(&session->shapes, session->graph, error);
        if (r >= 0)
                r = graph_specialise(session->shapes, &input, error);
        if (r < 0)
                return r;
        output = session->shapes->values[session->shapes->output].shape;
        session->output_rank = output.rank;
        memcpy(session->output_dims, output.dims, sizeof(session->output_dims));
        return 0;
}

static int session_begin(struct session *session, struct error *error) {
        int r;

        r = quantize_check(session->model, error);
        if (r >= 0)
                r = graph_clone(&session->graph, model_graph(session->model), error);
        if (r >= 0)
                r = shapes_infer(session, error);
        if (r < 0)
                return r;
        session->n_classes = model_n_classes(session->model);
        return 0;
}

static size_t count_layers(const struct scheme *scheme) {
        size_t n = 0;

        for (size_t i = 0; i < scheme->graph->n_nodes; i++)
                n += scheme->layers[i].quantised && layer_kind_has_weights(scheme->layers[i].kind);
        return n;
}

static int plan_scheme(struct session *session, struct error *error) {
        int r;

        r = scheme_new(&session->scheme, session->graph, session->shapes, NULL, error);
        if (r < 0)
                return r;
        if (count_layers(session->scheme) == 0)
                return error_set(error, ERROR_UNSUPPORTED,
                                 "the model has no convolution or matrix product with constant weights: "
                                 "there is nothing to quantise");
        session->watch_of = malloc(session->graph->n_values * sizeof(*session->watch_of));
        session->roundings = calloc(session->graph->n_values, sizeof(*session->roundings));
        session->weights = calloc(session->graph->n_nodes, sizeof(*session->weights));
        if (!session->watch_of || !session->roundings || !session->weights)
                return error_no_memory(error);
        return 0;
}

/* ---- calibration ---- */

static bool is_read_by_matmul(const struct scheme *scheme, uint32_t value) {
        for (size_t i = 0; i < scheme->graph->n_nodes; i++)
                if (scheme->layers[i].quantised && scheme->layers[i].kind == LAYER_MATMUL &&
                    scheme->graph->nodes[i].inputs[0] == value)
                        return true;
        return false;
}

static int calibrate(struct session *session, struct error *error) {
        const struct scheme *scheme = session->scheme;
        const struct graph *graph = session->graph;
        _cleanup_(freep) const char **names = calloc(graph->n_values, sizeof(char *));
        _cleanup_(freep) bool *channels_last = calloc(graph->n_values, sizeof(*channels_last));
        _cleanup_(freep) unsigned char *bytes = NULL;
        _cleanup_(model_freep) struct model *model = NULL;
        struct model_watch watch = {.names = names};
        size_t size;
        int r;

        if (!names || !channels_last)
                return error_no_memory(error);
        for (uint32_t v = 0; v < graph->n_values; v++) {
                session->watch_of[v] = VALUE_NONE;
                if (!scheme->quantised[v] || v == graph->input)
                        continue;
                session->watch_of[v] = (uint32_t)watch.n;
                channels_last[watch.n] = is_read_by_matmul(scheme, v);
                names[watch.n++] = graph->values[v].name;
        }
        session->parallel.stage = "calibrating";
        r = session_write(&bytes, &size, session, NULL, error);
        if (r >= 0)
                r = session_open(&model, session, bytes, size, PRECISION_F32, &watch, error);
        if (r >= 0)
                r = calibration_new(&session->calibration, model, channels_last, watch.n, session->pictures,
                                    &session->parallel, error);
        return r;
}

/* float32's answers, by the network as it is written. */
static int run_float(struct session *session, float **ret_outputs, size_t *ret_bytes, struct error *error) {
        _cleanup_(freep) unsigned char *bytes = NULL;
        _cleanup_(freep) float *outputs =
                calloc(session->pictures->n * session->n_classes, sizeof(*outputs));
        _cleanup_(model_freep) struct model *model = NULL;
        int r;

        if (!outputs)
                return error_no_memory(error);
        session->parallel.stage = "float32";
        r = session_write(&bytes, ret_bytes, session, NULL, error);
        if (r >= 0)
                r = session_open(&model, session, bytes, *ret_bytes, PRECISION_F32, NULL, error);
        if (r >= 0)
                r = runner_outputs(outputs, model, session->pictures, 1, false, &session->parallel, error);
        if (r < 0)
                return r;
        *ret_outputs = steal_ptr(&outputs);
        return 0;
}

/* Means of the channels that a node reads, or NULL. */
static const double *means_of(const struct session *session, const struct node *node, size_t *ret_n) {
        uint32_t watched = session->watch_of[node->inputs[0]];

        if (watched == VALUE_NONE || !session->options->correct_bias)
                return NULL;
        *ret_n = session->calibration->values[watched].n_channels;
        return session->calibration->values[watched].means;
}

static int round_weights(struct session *session, struct error *error) {
        const struct graph *graph = session->graph;
        int r;

        for (size_t i = 0; i < graph->n_nodes; i++) {
                const struct layer *layer = &session->scheme->layers[i];
                const double *means;
                size_t n = 0;

                if (!layer->quantised || !layer_kind_has_weights(layer->kind))
                        continue;
                means = means_of(session, &graph->nodes[i], &n);
                r = quantised_weights_new(&session->weights[i], graph, &graph->nodes[i], layer->kind,
                                          session->options->weight_scale, means, n, error);
                if (r < 0)
                        return error_prefix(error, r, "node '%s'", graph->nodes[i].name);
        }
        return 0;
}

/* ---- the estimator ---- */

static int try_estimator(struct session *session, struct quantize_result *result, enum estimator estimator,
                         struct error *error) {
        struct quantize_trial *trial = &result->trials[result->n_trials];
        int r;

        session_estimate(session, estimator);
        session->parallel.stage = ESTIMATOR_NAMES[estimator];
        trial->estimator = estimator;
        r = session_measure(&trial->agreement, session, NULL, 1, error);
        if (r < 0)
                return r;
        result->n_trials++;
        return 0;
}

/* The one whose probabilities diverge least from float32's: that says more about a few pictures than the
 * number of those with another best class. Of those that are about as near, the one that loses least. */
#define ABOUT_AS_NEAR 1.5

static bool is_better(const struct agreement *a, const struct agreement *b) {
        if (agreement_drop(a) != agreement_drop(b))
                return agreement_drop(a) < agreement_drop(b);
        return a->divergence < b->divergence;
}

static const struct quantize_trial *best_trial(const struct quantize_result *result) {
        const struct quantize_trial *best = NULL;
        double least = INFINITY;

        for (size_t i = 0; i < result->n_trials; i++)
                least = MIN(least, result->trials[i].agreement.divergence);
        for (size_t i = 0; i < result->n_trials; i++) {
                const struct quantize_trial *trial = &result->trials[i];

                if (trial->agreement.divergence <= ABOUT_AS_NEAR * least &&
                    (!best || is_better(&trial->agreement, &best->agreement)))
                        best = trial;
        }
        return best ? best : &result->trials[0];
}

static int choose_estimator(struct session *session, struct quantize_result *result, struct error *error) {
        static const enum estimator all[] = {ESTIMATOR_MINMAX, ESTIMATOR_PERCENTILE, ESTIMATOR_MSE,
                                             ESTIMATOR_ENTROPY};
        const struct quantize_trial *best;
        int r = 0;

        if (session->options->estimator != ESTIMATOR_AUTO)
                r = try_estimator(session, result, session->options->estimator, error);
        for (size_t i = 0; session->options->estimator == ESTIMATOR_AUTO && i < ARRAY_SIZE(all) && r >= 0;
             i++)
                r = try_estimator(session, result, all[i], error);
        if (r < 0)
                return r;
        best = best_trial(result);
        result->estimator = best->estimator;
        result->before = result->agreement = best->agreement;
        session_estimate(session, result->estimator);
        return 0;
}

/* All layers in eight bits. */
static int attempt(struct session *session, struct quantize_result *result, struct error *error) {
        int r;

        r = calibrate(session, error);
        if (r >= 0)
                r = round_weights(session, error);
        if (r >= 0)
                r = choose_estimator(session, result, error);
        return r;
}

/* ---- equalisation ---- */

static bool has_depthwise(const struct scheme *scheme) {
        for (size_t i = 0; i < scheme->graph->n_nodes; i++)
                if (scheme->layers[i].quantised && scheme->layers[i].kind == LAYER_DEPTHWISE)
                        return true;
        return false;
}

static int equalised_begin(struct session *equalised, const struct session *session, size_t *ret_n_pairs,
                           struct error *error) {
        int r;

        r = graph_clone(&equalised->graph, session->graph, error);
        if (r >= 0)
                r = equalise(equalised->graph, session->scheme, session->calibration, session->watch_of,
                             ret_n_pairs, error);
        if (r >= 0)
                r = shapes_infer(equalised, error);
        if (r >= 0)
                r = plan_scheme(equalised, error);
        return r;
}

/* Less than that is chance, on the pictures at hand. */
#define CLEARLY_NEARER 0.9

/* Takes the equalised network's place where that is nearer to float32, or asked for. */
static int try_equalising(struct session *session, struct quantize_result *result, struct error *error) {
        _cleanup_(session_release) struct session equalised = {
                .model = session->model,
                .source = session->source,
                .pictures = session->pictures,
                .options = session->options,
                .parallel = session->parallel,
                .float_outputs = session->float_outputs,
                .n_classes = session->n_classes,
        };
        struct quantize_equalisation *e = &result->equalisation;
        struct quantize_result other = {0};
        struct session plain;
        int r;

        if (session->options->equalising == EQUALISE_OFF ||
            (session->options->equalising == EQUALISE_AUTO && !has_depthwise(session->scheme)))
                return 0;
        r = equalised_begin(&equalised, session, &e->n_pairs, error);
        if (r < 0 || e->n_pairs == 0)
                return r;
        r = attempt(&equalised, &other, error);
        if (r < 0)
                return r;
        e->tried = true;
        e->without = result->before;
        e->with = other.before;
        e->taken = session->options->equalising == EQUALISE_ON ||
                   (e->with.divergence < CLEARLY_NEARER * e->without.divergence &&
                    agreement_drop(&e->with) <= agreement_drop(&e->without));
        if (!e->taken)
                return 0;
        plain = *session;
        *session = equalised;
        equalised = plain;
        memcpy(result->trials, other.trials, sizeof(result->trials));
        result->n_trials = other.n_trials;
        result->estimator = other.estimator;
        result->before = result->agreement = other.before;
        return 0;
}

/* ---- the story ---- */

static int work(struct session *session, struct quantize_result *result, struct error *error) {
        _cleanup_(scheme_freep) struct scheme *scheme = NULL;
        _cleanup_(freep) bool *kept = NULL;
        _cleanup_(freep) float *float_outputs = NULL;
        int r;

        r = session_begin(session, error);
        if (r >= 0)
                r = plan_scheme(session, error);
        if (r >= 0)
                r = run_float(session, &float_outputs, &result->float_bytes, error);
        session->float_outputs = float_outputs;
        if (r >= 0)
                r = attempt(session, result, error);
        if (r >= 0)
                r = try_equalising(session, result, error);
        if (r < 0)
                return r;
        kept = calloc(session->graph->n_nodes, sizeof(*kept));
        if (!kept)
                return error_no_memory(error);
        r = sensitivity_search(session, result, kept, error);
        if (r >= 0)
                r = scheme_new(&scheme, session->graph, session->shapes, kept, error);
        if (r >= 0)
                r = session_write(&result->onnx, &result->onnx_bytes, session, scheme, error);
        if (r >= 0)
                r = speed_measure(session, result, error);
        return r;
}

int quantize(struct quantize_result **ret_result, const struct model *model,
             const struct model_source *source, const struct pictures *pictures,
             const struct quantize_options *options, const struct parallel *parallel, struct error *error) {
        _cleanup_(quantize_result_freep) struct quantize_result *result = calloc(1, sizeof(*result));
        _cleanup_(session_release) struct session session = {
                .model = model,
                .source = source,
                .pictures = pictures,
                .options = options,
                .parallel = *parallel,
        };
        int r;

        if (!result)
                return error_no_memory(error);
        result->pool = pool_new();
        if (!result->pool)
                return error_no_memory(error);
        r = work(&session, result, error);
        if (r < 0)
                return r;
        *ret_result = steal_ptr(&result);
        return 0;
}

void quantize_result_free(struct quantize_result *result) {
        free(result->onnx);
        free(result->layers);
        if (result->pool)
                pool_free(result->pool);
        free(result);
}
