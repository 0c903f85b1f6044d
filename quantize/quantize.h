#pragma once
/*
 * quantize: a float32 network -> the same in eight bits, as an ONNX file that others run as well.
 *
 * What it does, in order: the network is simplified (BatchNormalization goes into weights), the
 * values' ranges are taken on the pictures, channels are equalised where that helps, weights are rounded by
 * output channel and biases corrected, and the file is made. It is then run, in float32 as its operators are
 * defined, on the same pictures; where it loses more than the budget, the layers that cost most stay
 * float32.
 *
 * The same input gives the same bytes, however many threads work.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/blob.h"
#include "base/error.h"
#include "base/macros.h"
#include "engine/model.h"
#include "quantize/agreement.h"
#include "quantize/estimator.h"
#include "quantize/parallel.h"
#include "quantize/pictures.h"
#include "quantize/scheme.h"
#include "quantize/weights.h"

enum equalising {
        EQUALISE_AUTO, /* where there are depthwise convolutions and the network comes nearer to float32 */
        EQUALISE_ON,
        EQUALISE_OFF,
};

extern const char *const EQUALISE_NAMES[]; /* "auto", ...; NULL-terminated */

struct quantize_options {
        enum equalising equalising;
        enum estimator estimator;
        double percentile;
        double max_drop; /* percentage points, see agreement_drop() */
        bool correct_bias;
        enum weight_scale weight_scale;
        size_t sensitivity_pictures; /* on so many, at most, each layer's own error is measured */
};

extern const struct quantize_options QUANTIZE_DEFAULTS;

/* What equalisation (quantize/equalise.h) did. */
struct quantize_equalisation {
        bool tried, taken;
        size_t n_pairs;                 /* of layers */
        struct agreement without, with; /* all layers in eight bits, by the best estimator of each */
};

/* What became of a layer. Strings live as long as the result. */
struct quantize_layer {
        const char *name;
        enum layer_kind kind;
        size_t n_weights;
        double weight_sqnr_db;     /* NAN where it has none */
        double activation_sqnr_db; /* of what it reads, by the histogram; NAN for the picture */
        double output_sqnr_db;     /* of the network's output with this layer alone in eight bits */
        bool kept;                 /* in float32 */
        double float_ms, int8_ms;  /* of the step that does it and nothing else; NAN: there is none */
};

/* Measured on this machine: one image on one thread. */
struct quantize_speed {
        const char *isa;          /* instruction set in use, as engine/cpu.h says it */
        double float_ms, int8_ms; /* the network in float32, and the file */
};

struct quantize_trial {
        enum estimator estimator;
        struct agreement agreement;
};

struct quantize_result {
        unsigned char *onnx; /* the file */
        size_t onnx_bytes;
        size_t float_bytes; /* of the same network with float32 weights */
        struct quantize_layer *layers;
        size_t n_layers;
        struct quantize_trial trials[N_ESTIMATORS];
        size_t n_trials;
        enum estimator estimator; /* that was taken */
        struct quantize_equalisation equalisation;
        struct agreement before, agreement; /* all layers in eight bits; the file */
        size_t n_kept;
        bool met; /* the budget */
        struct quantize_speed speed;
        struct pool *pool;
};

/* Fails with ERROR_UNSUPPORTED where the network is quantised already; for before the pictures are read. */
int quantize_check(const struct model *model, struct error *error);

/* model: float32, with a graph as model_open() left it. source: its JSON files, whose blobs may be empty.
 * Fails with ERROR_UNSUPPORTED where the network is quantised already, or has no layer that can be. */
int quantize(struct quantize_result **ret_result, const struct model *model,
             const struct model_source *source, const struct pictures *pictures,
             const struct quantize_options *options, const struct parallel *parallel, struct error *error);
void quantize_result_free(struct quantize_result *result);
DEFINE_CLEANUP(quantize_result)
