/* The JSON files of a model directory: labels and pre-processing. */
#include <stdint.h>

#include "engine/model_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
        struct blob blob = blob_borrow(bytes, size);
        struct preprocess preprocess = PREPROCESS_IMAGENET;
        _cleanup_(pool_freep) struct pool *pool = pool_new();
        const char *const *labels;
        struct error error;
        size_t n;

        if (!pool)
                return 0;
        (void)config_read_labels(&blob, pool, &labels, &n, &error);
        (void)config_read_preprocess(&blob, &preprocess, &error);
        return 0;
}
