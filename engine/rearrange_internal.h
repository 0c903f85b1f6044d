#pragma once
/* rearrange_internal: what rearrange.c and fuse_attention.c share. */
#include "engine/pattern.h"
#include "engine/trace.h"

struct rearrange {
        struct graph *graph;
        struct pattern pattern;
        struct aliases aliases;
        struct trace *traces; /* for each value; rank SIZE_MAX: the value itself */
        size_t n_traces;
        struct node *nodes; /* of the graph as it will be */
        size_t n_nodes, n_nodes_allocated;
};

/* Where the elements of value lie. */
struct trace rearrange_trace(const struct rearrange *rearrange, uint32_t value);
int rearrange_set_trace(struct rearrange *rearrange, uint32_t value, const struct trace *trace,
                        struct error *error);

/* Appends a node. Pointers to values of the graph do not survive functions that add values. */
int rearrange_push(struct rearrange *rearrange, const struct node *node, struct error *error);
int rearrange_add_value(struct rearrange *rearrange, uint32_t *ret_value, const char *name,
                        const struct shape *shape, struct error *error);

/* Appends what makes value out of the source of its trace. */
int rearrange_make(struct rearrange *rearrange, uint32_t value, const char *name, struct error *error);

/* Replaces node, a MatMul or an Einsum, by an Attention where it is the last of the pattern. */
int rearrange_attention(struct rearrange *rearrange, const struct node *node, bool *ret_done,
                        struct error *error);
