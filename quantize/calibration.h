#pragma once
/*
 * calibration: what the values of a network are on a set of pictures.
 *
 * Two passes over the pictures: the smallest and the largest element, then a histogram between them and the
 * mean of each channel. Memory is bounded by the network, not by the pictures.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "engine/model.h"
#include "quantize/estimator.h"
#include "quantize/pictures.h"

struct value_statistics {
        struct histogram histogram;
        double *means;       /* of the elements of each channel */
        float *lows, *highs; /* the same */
        size_t n_channels;
};

struct calibration {
        struct value_statistics *values; /* one for each watched one */
        size_t n;
};

/* model: opened to watch the values (model_open_source_watching()). channels_last: of each of the n, whether
 * its channels are its last dimension, and not the second. Fails with ERROR_INVALID where the network
 * computes something that is not finite. */
int calibration_new(struct calibration **ret_calibration, struct model *model, const bool *channels_last,
                    size_t n, const struct pictures *pictures, const struct parallel *parallel,
                    struct error *error);
void calibration_free(struct calibration *calibration);
DEFINE_CLEANUP(calibration)
