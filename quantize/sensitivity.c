#include "quantize/sensitivity.h"

#include <math.h>
#include <stdlib.h>

#include "quantize/keeping_cost.h"

struct candidate {
        size_t node;
        struct agreement alone;
};

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

/* ---- the search ---- */

struct search {
        struct session *session;
        const struct candidate *candidates;
        size_t n;
        bool *kept; /* one a node */
};

/* The candidate with the largest error for what it costs beside those that are kept; of equal ones the first
 * of the network. */
static int most_worthwhile(const struct search *search, size_t *ret_candidate, struct error *error) {
        const struct session *session = search->session;
        double before, best = 0;
        size_t found = SIZE_MAX;
        int r;

        r = keeping_cost(&before, session->graph, session->shapes, search->kept, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < search->n; i++) {
                size_t node = search->candidates[i].node;
                double cost, worth;

                if (search->kept[node])
                        continue;
                search->kept[node] = true;
                r = keeping_cost(&cost, session->graph, session->shapes, search->kept, error);
                search->kept[node] = false;
                if (r < 0)
                        return r;
                /* Where two conversions go, keeping a layer costs nothing: it comes first. */
                worth = MAX(search->candidates[i].alone.divergence, 0.0) / MAX(cost - before, 1.0);
                if (found == SIZE_MAX || worth > best) {
                        best = worth;
                        found = i;
                }
        }
        *ret_candidate = found;
        return 0;
}

/* Those kept first were kept before it was known what else would be. */
static int give_back(const struct search *search, struct quantize_result *result, const size_t *order,
                     struct error *error) {
        struct session *session = search->session;
        size_t n = result->n_kept;
        int r;

        for (size_t i = 0; i + 1 < n; i++) {
                struct agreement agreement;

                search->kept[order[i]] = false;
                r = session_measure(&agreement, session, search->kept, 1, error);
                if (r < 0)
                        return r;
                if (is_met(session, &agreement)) {
                        result->agreement = agreement;
                        result->n_kept--;
                } else {
                        search->kept[order[i]] = true;
                }
        }
        return 0;
}

static int keep_until_met(const struct search *search, struct quantize_result *result, struct error *error) {
        struct session *session = search->session;
        _cleanup_(freep) size_t *order = calloc(MAX(search->n, (size_t)1), sizeof(*order));
        int r;

        if (!order)
                return error_no_memory(error);
        session->parallel.stage = "keeping";
        while (!is_met(session, &result->agreement) && result->n_kept < search->n) {
                size_t candidate;

                r = most_worthwhile(search, &candidate, error);
                if (r < 0)
                        return r;
                order[result->n_kept++] = search->candidates[candidate].node;
                search->kept[search->candidates[candidate].node] = true;
                r = session_measure(&result->agreement, session, search->kept, 1, error);
                if (r < 0)
                        return r;
        }
        result->met = is_met(session, &result->agreement);
        return result->met ? give_back(search, result, order, error) : 0;
}

int sensitivity_search(struct session *session, struct quantize_result *result, bool *kept,
                       struct error *error) {
        const struct graph *graph = session->graph;
        _cleanup_(freep) struct candidate *candidates = calloc(graph->n_nodes, sizeof(*candidates));
        struct search search = {.session = session, .candidates = candidates, .kept = kept};
        int r;

        if (!candidates)
                return error_no_memory(error);
        for (size_t i = 0; i < graph->n_nodes; i++)
                if (is_candidate(&session->scheme->layers[i]))
                        candidates[search.n++].node = i;
        result->layers = calloc(MAX(search.n, (size_t)1), sizeof(*result->layers));
        if (!result->layers)
                return error_no_memory(error);
        r = measure_all(session, candidates, search.n, error);
        for (size_t i = 0; i < search.n && r >= 0; i++)
                r = layer_report(session, result, &candidates[i], &result->layers[i], error);
        if (r >= 0)
                r = keep_until_met(&search, result, error);
        if (r < 0)
                return r;
        result->n_layers = search.n;
        for (size_t i = 0; i < search.n; i++)
                result->layers[i].kept = kept[candidates[i].node];
        return 0;
}
