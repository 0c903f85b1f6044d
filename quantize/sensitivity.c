#include "quantize/sensitivity.h"

#include <math.h>
#include <stdlib.h>

struct candidate {
        size_t node;
        struct agreement alone;
};

/* The largest error first; of equal ones the first of the network. */
static int compare_candidates(const void *a, const void *b) {
        const struct candidate *x = a, *y = b;

        if (x->alone.divergence != y->alone.divergence)
                return x->alone.divergence > y->alone.divergence ? -1 : 1;
        return x->node < y->node ? -1 : 1;
}

/* What rounds nothing anew, or is as good as what it reads, costs nothing. */
static bool is_candidate(const struct layer *layer) {
        return layer->quantised && layer->kind != LAYER_TIED;
}

static double decibels(double signal, double noise) {
        return noise > 0 ? 10 * log10(signal / noise) : INFINITY;
}

static double activation_sqnr(const struct session *session, const struct node *node) {
        uint32_t value = node->inputs[0], watched = session->watch_of[value];
        struct rounding rounding = session->roundings[session->scheme->class_of[value]];
        const struct histogram *histogram;
        struct range range;

        if (watched == VALUE_NONE)
                return NAN;
        histogram = &session->calibration->values[watched].histogram;
        range.low = -(float)rounding.zero_point * rounding.scale;
        range.high = (255 - (float)rounding.zero_point) * rounding.scale;
        return decibels(histogram_power(histogram), estimator_mse(histogram, range));
}

static int layer_report(struct session *session, struct quantize_result *result,
                        const struct candidate *candidate, struct quantize_layer *ret_layer,
                        struct error *error) {
        const struct node *node = &session->graph->nodes[candidate->node];
        const struct quantised_weights *weights = session->weights[candidate->node];
        const char *name = pool_string(result->pool, node->name);

        if (!name)
                return error_no_memory(error);
        *ret_layer = (struct quantize_layer){
                .name = name,
                .kind = session->scheme->layers[candidate->node].kind,
                .n_weights = weights ? weights->integers->n_elements : 0,
                .weight_sqnr_db = weights ? decibels(weights->signal, weights->noise) : NAN,
                .activation_sqnr_db = activation_sqnr(session, node),
                .output_sqnr_db = candidate->alone.sqnr_db,
        };
        return 0;
}

/* With this layer alone in eight bits. */
static int measure_alone(struct session *session, struct candidate *candidate, bool *kept, size_t step,
                         struct error *error) {
        for (size_t i = 0; i < session->graph->n_nodes; i++)
                kept[i] = i != candidate->node;
        return session_measure(&candidate->alone, session, kept, step, error);
}

static int measure_all(struct session *session, struct candidate *candidates, size_t n,
                       struct error *error) {
        size_t most = MAX(session->options->sensitivity_pictures, (size_t)1);
        size_t step = MAX((session->pictures->n + most - 1) / most, (size_t)1);
        _cleanup_(freep) bool *kept = calloc(session->graph->n_nodes, sizeof(*kept));
        const struct parallel_watcher *watcher = session->parallel.watcher;
        int r = 0;

        if (!kept)
                return error_no_memory(error);
        session->parallel.watcher = NULL;
        for (size_t i = 0; i < n && r >= 0; i++) {
                r = measure_alone(session, &candidates[i], kept, step, error);
                if (watcher)
                        watcher->update(watcher->context, "layers", (double)(i + 1) / (double)n);
        }
        session->parallel.watcher = watcher;
        return r;
}

static bool is_met(const struct session *session, const struct agreement *agreement) {
        return agreement_drop(agreement) <= session->options->max_drop;
}

int sensitivity_search(struct session *session, struct quantize_result *result, bool *kept,
                       struct error *error) {
        const struct graph *graph = session->graph;
        _cleanup_(freep) struct candidate *candidates = calloc(graph->n_nodes, sizeof(*candidates));
        _cleanup_(freep) size_t *places = calloc(graph->n_nodes, sizeof(*places));
        size_t n = 0;
        int r;

        if (!candidates || !places)
                return error_no_memory(error);
        for (size_t i = 0; i < graph->n_nodes; i++)
                if (is_candidate(&session->scheme->layers[i]))
                        candidates[n++].node = i;
        result->layers = calloc(MAX(n, (size_t)1), sizeof(*result->layers));
        if (!result->layers)
                return error_no_memory(error);
        r = measure_all(session, candidates, n, error);
        for (size_t i = 0; i < n && r >= 0; i++) {
                places[candidates[i].node] = i;
                r = layer_report(session, result, &candidates[i], &result->layers[i], error);
        }
        if (r < 0)
                return r;
        result->n_layers = n;

        qsort(candidates, n, sizeof(*candidates), compare_candidates);
        session->parallel.stage = "keeping";
        while (!is_met(session, &result->agreement) && result->n_kept < n) {
                size_t node = candidates[result->n_kept++].node;

                kept[node] = true;
                result->layers[places[node]].kept = true;
                r = session_measure(&result->agreement, session, kept, 1, error);
                if (r < 0)
                        return r;
        }
        result->met = is_met(session, &result->agreement);
        return 0;
}
