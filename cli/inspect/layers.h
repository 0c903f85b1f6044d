#pragma once
/*
 * layers: where to draw the nodes of a graph without cycles, from top to bottom.
 *
 * The layered method of Sugiyama, Tagawa and Toda (1981): each node is one layer below the lowest of those
 * it reads; an edge over several layers gets a bend in each of them, which is placed as nodes are;
 * barycentres order the layers so that few edges cross; then places move towards their neighbours as far as
 * their order allows. The edges of one node run together as long as they can.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"

struct layers_edge {
        uint32_t from, to;
};

/* A node, or a bend of the edges of one. */
struct layers_place {
        size_t layer;
        double x; /* of its middle */
};

struct layers_sizes {
        double node_width, bend_width, gap;
};

struct layers {
        size_t n_layers, n_nodes, n_places;
        struct layers_place *places;  /* the nodes first, in their order */
        struct layers_edge *segments; /* between places of neighbouring layers */
        size_t n_segments;
        double width; /* every place lies between 0 and this */
};

/* edges: from a node of lower index to one of a higher, sorted by `to`. Fails with ERROR_LIMIT beyond
 * LAYERS_MAX_PLACES, ERROR_NO_MEMORY. */
#define LAYERS_MAX_PLACES                                                                                   \
        ((size_t)1 << 17) /* DenseNet-201 has 5000; a hostile graph the square of its nodes */
int layers_new(struct layers **ret_layers, size_t n_nodes, const struct layers_edge *edges, size_t n_edges,
               const struct layers_sizes *sizes, struct error *error);
void layers_free(struct layers *layers);
DEFINE_CLEANUP(layers)
