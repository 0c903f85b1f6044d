#pragma once
/*
 * golden: answers that a model is known to give, from golden.json beside it:
 *
 *     {"tolerance": 0.01,
 *      "answers": [{"image": "golden/cat.jpg", "tolerance": 0.05,
 *                   "predictions": [{"class_id": 285, "probability": 0.41, "label": "Egyptian cat"},
 *                                   {"class_id": 281, "probability": 0.17}]}]}
 *
 * An image is named relative to the model's directory and lies in it, also by its links. The first
 * prediction is the most probable one of all classes; each probability is within the tolerance (absolute)
 * of what the model gives, and a label, where there is one, is the model's. What is unknown is an error: a
 * check that is misspelt would check nothing. The bytes are hostile.
 *
 * Immutable; strings live as long as the struct golden.
 */
#include <stddef.h>

#include "base/blob.h"
#include "base/error.h"
#include "base/macros.h"

struct golden;
struct model;

#define GOLDEN_FILE            "golden.json"
#define GOLDEN_MAX_BYTES       ((size_t)1 << 20)
#define GOLDEN_MAX_IMAGES      64u /* each takes a decoding and a run before the model is served */
#define GOLDEN_MAX_PREDICTIONS 1000u
#define GOLDEN_MAX_IMAGE_BYTES ((size_t)16 << 20)
#define GOLDEN_TOLERANCE       0.01 /* where the file says none */

struct golden_prediction {
        size_t class_id;
        double probability;
        const char *label; /* or NULL */
};

struct golden_answer {
        const char *image; /* passes location_is_inside() */
        double tolerance;
        const struct golden_prediction *predictions;
        size_t n_predictions; /* at least 1 */
};

/* Fails with ERROR_NOT_FOUND (the directory has no such file), ERROR_IO, ERROR_INVALID, ERROR_LIMIT. */
int golden_read(struct golden **ret_golden, const char *directory, struct error *error);
int golden_parse(struct golden **ret_golden, const struct blob *json, struct error *error);
void golden_free(struct golden *golden);
DEFINE_CLEANUP(golden)

size_t golden_n_answers(const struct golden *golden);
const struct golden_answer *golden_answer(const struct golden *golden, size_t index);

/* The file of an image, to be released by blob_release(). Fails with ERROR_NOT_FOUND, ERROR_IO, ERROR_LIMIT,
 * ERROR_INVALID (no regular file, or a link). */
int golden_read_image(struct blob *ret_image, const char *directory, const char *image, struct error *error);

/* probabilities: [model_n_classes(model)], what the model gave for the image. Fails with ERROR_INVALID,
 * which tells the first difference. */
int golden_compare(const struct golden_answer *answer, const struct model *model, const float *probabilities,
                   struct error *error);
