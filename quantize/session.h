#pragma once
/* session: what the parts of quantize.c share: the network at hand, and what is known of it. There may be a
 * second session of the same network, equalised; from the graph on each has its own. */
#include "engine/graph.h"
#include "quantize/calibration.h"
#include "quantize/qdq.h"
#include "quantize/quantize.h"

struct session {
        const struct model *model;
        const struct model_source *source;
        const struct pictures *pictures;
        const struct quantize_options *options;
        struct parallel parallel;
        const float *float_outputs; /* [pictures, classes] */

        struct graph *graph;   /* simplified; refers to the model's */
        struct graph *shapes;  /* with shapes for one picture */
        struct scheme *scheme; /* all that can be quantised is */
        uint32_t *watch_of;    /* of each value its place in the calibration, or VALUE_NONE */
        struct calibration *calibration;
        struct quantised_weights **weights; /* one a node */
        struct rounding *roundings;         /* one a value, alike in a class of scheme */
        size_t output_dims[TENSOR_MAX_RANK], output_rank, n_classes;
};

/* The graph with what the scheme rounds, as the bytes of a file; scheme NULL: the graph as it is. */
int session_write(unsigned char **ret_bytes, size_t *ret_size, const struct session *session,
                  const struct scheme *scheme, struct error *error);

/* A model of such bytes, which must outlive it. PRECISION_F32: rounded as the integers would be. */
int session_open(struct model **ret_model, const struct session *session, const unsigned char *bytes,
                 size_t size, enum precision precision, const struct model_watch *watch,
                 struct error *error);

/* How near the network is with these nodes kept in float32, on every step-th picture. */
int session_measure(struct agreement *ret_agreement, const struct session *session, const bool *kept,
                    size_t step, struct error *error);

/* Roundings by an estimator. */
void session_estimate(struct session *session, enum estimator estimator);
