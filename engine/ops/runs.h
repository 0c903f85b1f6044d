#pragma once
/*
 * runs: what constant indices name, as a list of runs of elements: where each comes from, or where it goes.
 * For gather.c and scatter.c.
 */
#include "engine/graph.h"

struct runs {
        size_t n, length; /* of each, in elements */
        uint32_t *from;   /* a tensor's elements fit into 32 bits: TENSOR_MAX_ELEMENTS */
};

/* Fails with ERROR_LIMIT beyond FOLD_MAX_ELEMENTS runs. */
int runs_new(struct runs *ret_runs, size_t n, size_t length, struct error *error);
void runs_release(struct runs *runs);

/* An index, counted from the end where negative. Fails with ERROR_INVALID where size has no such element. */
int index_normalise(size_t *ret_index, int64_t index, size_t size, struct error *error);

/* Input 1 of node, integers that are constant for a given input shape. */
int indices_read(const struct tensor **ret_indices, const struct graph *graph, const struct node *node,
                 struct error *error);

/* Checks [..., depth] indices into x after its first batch dimensions. */
int indices_nd_read(size_t *ret_depth, const struct shape *x, const struct shape *indices, size_t batch,
                    struct error *error);

/* The element of x that each element of indices names along axis. Fails with ERROR_INVALID where there is
 * none. */
int elements_named(uint32_t *ret_elements, const struct shape *x, const struct tensor *indices, size_t axis,
                   struct error *error);

/* The first element of the run that entry i of indices, of depth, names in x after its first batch
 * dimensions, of which it is number lead. */
int run_named(uint32_t *ret_from, const struct shape *x, const struct tensor *indices, size_t i,
              size_t depth, size_t batch, size_t lead, size_t length, struct error *error);
