#pragma once
/*
 * attention: softmax(scale * Q K^T + addends) V for many small matrices at once, read and written where they
 * lie, so that splitting into heads and windows copies nothing.
 *
 * A matrix is found by its batch index, taken apart into the sizes of batch, and a row of it by its row
 * index; both are sums of strides, in elements. The elements of a row lie side by side.
 */
#include <stdbool.h>
#include <stddef.h>

#include "engine/native/native.h"

#define ATTENTION_MAX_BATCH_DIMS 6u
#define ATTENTION_MAX_ROW_DIMS   3u
#define ATTENTION_MAX_ADDENDS    2u

enum attention_matrix { ATTENTION_Q, ATTENTION_K, ATTENTION_V, ATTENTION_OUT, ATTENTION_N_MATRICES };

struct attention_strides {
        size_t offset;
        size_t batch[ATTENTION_MAX_BATCH_DIMS], rows[ATTENTION_MAX_ROW_DIMS];
};

/* An addend [n, queries, keys]: matrix batch / divisor % n is added to the products. */
struct attention_addend {
        size_t divisor, n;
};

struct attention {
        size_t n_batch_dims, batch[ATTENTION_MAX_BATCH_DIMS];
        size_t n_query_dims, queries[ATTENTION_MAX_ROW_DIMS];
        size_t n_key_dims, keys[ATTENTION_MAX_ROW_DIMS];
        size_t depth, out_depth; /* of a row of Q and K; of V and the result */
        float scale;
        struct attention_strides strides[ATTENTION_N_MATRICES];
        size_t n_addends;
        struct attention_addend addends[ATTENTION_MAX_ADDENDS];

        /* What a step needs beside. */
        const struct native *native;
        size_t threads;
};

size_t attention_n_batch(const struct attention *attention);
size_t attention_n_queries(const struct attention *attention);
size_t attention_n_keys(const struct attention *attention);

/* Memory that a run needs, for all threads. */
size_t attention_scratch_bytes(const struct attention *attention);

/* matrices: where the strides begin, by enum attention_matrix. addends: transposed, [n, keys, queries]. */
void attention_run(const struct attention *attention, const float *const matrices[ATTENTION_OUT],
                   const float *const *addends, float *scratch, float *out);
