#pragma once
/*
 * rewrite: the nodes of a graph written anew in order, for passes that put several nodes in the place of
 * one. The old nodes stay where they are until rewrite_finish().
 */
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/graph.h"

struct rewrite {
        struct graph *graph;
        struct node *nodes;
        size_t n, n_allocated;
};

void rewrite_release(struct rewrite *rewrite);

/* Appends a copy of node. */
int rewrite_keep(struct rewrite *rewrite, const struct node *node, struct error *error);

/* A node to be appended. type: of the table with the graph's operator set, or an internal one. */
struct rewrite_node {
        const char *type, *name;
        const uint32_t *inputs; /* copied */
        size_t n_inputs;
        uint32_t output; /* VALUE_NONE: a new value */
        const struct attribute *attributes;
        size_t n_attributes;
};

/* *ret_output: the value that the node makes. */
int rewrite_add(struct rewrite *rewrite, const struct rewrite_node *node, uint32_t *ret_output,
                struct error *error);

/* A new value "base:what". */
int rewrite_value(struct rewrite *rewrite, const char *base, const char *what, uint32_t *ret_value,
                  struct error *error);

/* The graph has the new nodes from now on. Fails with ERROR_LIMIT where there are more than any file may
 * have, which bounds the work of later passes. */
int rewrite_finish(struct rewrite *rewrite, struct error *error);
