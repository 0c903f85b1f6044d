#pragma once
/* agreement: how near a network's answers are to those of another one, float32. Pure functions. */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "quantize/pictures.h"

struct agreement {
        size_t n;          /* pictures */
        size_t n_same;     /* whose best class is the same */
        double divergence; /* Kullback-Leibler, of the probabilities, mean, in nats */
        double sqnr_db;    /* of the outputs: float32's power to that of the difference */
        size_t n_labelled, n_right, n_right_float; /* pictures with a class, and of those the right ones */
};

/* outputs: float32 [n, n_classes] for every step-th picture. probabilities: they are, or else logits. */
int agreement_of(struct agreement *ret_agreement, const float *outputs, const float *float_outputs,
                 size_t n_classes, bool probabilities, const struct pictures *pictures, size_t step,
                 struct error *error);

/* Percentage points lost: of accuracy where pictures have labels, else of agreement, which is the share of
 * pictures whose best class is float32's. */
double agreement_drop(const struct agreement *agreement);

/* What a single picture is worth in agreement_drop(), percentage points: nothing between can be told. */
double agreement_resolution(const struct agreement *agreement);
