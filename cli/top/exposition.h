#pragma once
/*
 * exposition: metrics in Prometheus's text format 0.0.4, taken apart.
 *
 * The text comes from whoever answers at a URL: what is malformed is an error that names the line, sizes are
 * bounded. Timestamps, types, help and exemplars (OpenMetrics) are read over. Immutable once parsed, so
 * threads may share it.
 */
#include <stddef.h>

#include "base/error.h"
#include "base/macros.h"

#define EXPOSITION_MAX_BYTES   ((size_t)8 << 20) /* a server with 64 models has 2 MiB */
#define EXPOSITION_MAX_SAMPLES 200000u
#define EXPOSITION_MAX_LABELS  32u /* of one sample */

struct exposition;

struct exposition_sample {
        const char *name;
        double value; /* may be infinite or NaN */
        size_t first_label, n_labels;
};

/* text is copied and need not end in a zero. Fails with ERROR_INVALID, ERROR_LIMIT or ERROR_NO_MEMORY. */
int exposition_parse(struct exposition **ret_exposition, const char *text, size_t size, struct error *error);
void exposition_free(struct exposition *exposition);
DEFINE_CLEANUP(exposition)

/* In the order of the text; two may have the same name and labels. */
size_t exposition_n_samples(const struct exposition *exposition);
const struct exposition_sample *exposition_sample(const struct exposition *exposition, size_t index);

/* The value of a label, unescaped (any bytes but zero), or NULL. */
const char *exposition_label(const struct exposition *exposition, const struct exposition_sample *sample,
                             const char *name);

/* The first sample of this name, or NULL. */
const struct exposition_sample *exposition_find(const struct exposition *exposition, const char *name);
