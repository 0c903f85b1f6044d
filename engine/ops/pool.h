#pragma once
/* pool: MaxPool and AveragePool of feature maps, in float32 and quantised. */
#include "engine/ops/families.h"

struct pool_params {
        struct kernel_pool spec;
        bool native; /* an average that oneDNN counts otherwise */
};

/* Checks all of a node. ret_counted_end: rows and columns, from the first real one, that count in an
 * average. */
int pool_read(struct pool_params *ret_params, int64_t ret_counted_end[2], const struct graph *graph,
              const struct node *node, struct error *error);
