#pragma once
/*
 * model_config: labels and pre-processing from the JSON files of a Hugging Face model directory. The bytes
 * are hostile.
 */
#include <stddef.h>

#include "base/blob.h"
#include "base/error.h"
#include "base/pool.h"
#include "engine/image/preprocess.h"

#define CONFIG_MAX_BYTES  ((size_t)16 << 20)
#define CONFIG_MAX_LABELS 1000000u

/* id2label of config.json: labels[n], NULL where a class has none; strings in pool. n 0 without id2label. */
int config_read_labels(const struct blob *config, struct pool *pool, const char *const **ret_labels,
                       size_t *ret_n, struct error *error);

/* preprocessor_config.json; what it does not say stays as *preprocess has it. */
int config_read_preprocess(const struct blob *preprocessor, struct preprocess *preprocess,
                           struct error *error);
