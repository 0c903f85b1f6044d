#include "cli/inspect/layers.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ORDER_SWEEPS 12u
#define PLACE_SWEEPS 24u

/* Against 1 of a node: a chain of nodes that is straight reads best, edges that pass it by make way. */
#define BEND_WEIGHT 0.05 /* how firmly it stands where it wants to be */
#define BEND_PULL   0.02 /* on its neighbours */
#define MIDDLE_PULL                                                                                         \
        0.1 /* of the middle of the drawing: networks whose branches differ lean over without               \
             */

/* What only the making of layers needs. */
struct maker {
        struct layers *layers;
        const struct layers_sizes *sizes;
        uint32_t *order;                   /* places by layer, from left to right */
        size_t *first;                     /* [n_layers + 1]: where each layer begins in order */
        size_t *position;                  /* of each place in its layer */
        uint32_t *above, *below;           /* neighbours of each place, one list after the other */
        size_t *above_first, *below_first; /* [n_places + 1] */
        double *keys;                      /* of each place, for sorting */
};

static void maker_release(struct maker *maker) {
        free(maker->order);
        free(maker->first);
        free(maker->position);
        free(maker->above);
        free(maker->below);
        free(maker->above_first);
        free(maker->below_first);
        free(maker->keys);
}

void layers_free(struct layers *layers) {
        free(layers->places);
        free(layers->segments);
        free(layers);
}

/* ---- layers, bends and segments ---- */

static void assign_layers(struct layers *layers, const struct layers_edge *edges, size_t n_edges) {
        for (size_t i = 0; i < n_edges; i++) {
                struct layers_place *to = &layers->places[edges[i].to];

                to->layer = MAX(to->layer, layers->places[edges[i].from].layer + 1);
        }
        for (size_t i = 0; i < layers->n_nodes; i++)
                layers->n_layers = MAX(layers->n_layers, layers->places[i].layer + 1);
}

/* The bends of a node's edges: one in each layer between it and the lowest node that reads it. */
static int add_bends(struct layers *layers, const struct layers_edge *edges, size_t n_edges,
                     struct error *error) {
        size_t n = layers->n_nodes, n_bends = 0;
        _cleanup_(freep) size_t *first_bend = calloc(n + 1, sizeof(*first_bend));
        _cleanup_(freep) size_t *lowest = calloc(n + 1, sizeof(*lowest));
        struct layers_place *places;

        if (!first_bend || !lowest)
                return error_no_memory(error);
        for (size_t i = 0; i < n_edges; i++)
                lowest[edges[i].from] = MAX(lowest[edges[i].from], layers->places[edges[i].to].layer);
        for (size_t i = 0; i < n; i++) {
                size_t layer = layers->places[i].layer;

                first_bend[i] = n + n_bends;
                n_bends += lowest[i] > layer + 1 ? lowest[i] - layer - 1 : 0;
        }
        if (n + n_bends > LAYERS_MAX_PLACES)
                return error_set(
                        error, ERROR_LIMIT,
                        "the graph is too large to be drawn: %zu steps, and %zu places that edges pass", n,
                        n_bends);
        places = reallocarray(layers->places, n + n_bends + 1, sizeof(*places));
        if (!places)
                return error_no_memory(error);
        layers->places = places;
        layers->n_places = n + n_bends;
        layers->segments = calloc(n_edges + n_bends + 1, sizeof(*layers->segments));
        if (!layers->segments)
                return error_no_memory(error);

        for (size_t i = 0; i < n; i++)
                for (size_t layer = places[i].layer + 1; layer < lowest[i]; layer++) {
                        size_t bend = first_bend[i] + layer - places[i].layer - 1;

                        places[bend] = (struct layers_place){.layer = layer};
                        layers->segments[layers->n_segments++] = (struct layers_edge){
                                .from = (uint32_t)(bend == first_bend[i] ? i : bend - 1),
                                .to = (uint32_t)bend};
                }
        for (size_t i = 0; i < n_edges; i++) {
                size_t from = edges[i].from, steps = places[edges[i].to].layer - places[from].layer;

                layers->segments[layers->n_segments++] = (struct layers_edge){
                        .from = (uint32_t)(steps == 1 ? from : first_bend[from] + steps - 2),
                        .to = edges[i].to};
        }
        return 0;
}

/* ---- order ---- */

/* Lists each place's neighbours: those that segments lead to, or come from. */
static int list_neighbours(const struct layers *layers, bool below, uint32_t **ret_list,
                           size_t **ret_first) {
        uint32_t *list = calloc(layers->n_segments + 1, sizeof(*list));
        size_t *first = calloc(layers->n_places + 2, sizeof(*first));

        *ret_list = list;
        *ret_first = first;
        if (!list || !first)
                return ERROR_NO_MEMORY;
        /* Counting sort: first[i + 1] is where the next of i's goes, and in the end where they end. */
        for (size_t i = 0; i < layers->n_segments; i++)
                first[(below ? layers->segments[i].from : layers->segments[i].to) + 2]++;
        for (size_t i = 2; i < layers->n_places + 2; i++)
                first[i] += first[i - 1];
        for (size_t i = 0; i < layers->n_segments; i++) {
                const struct layers_edge *segment = &layers->segments[i];
                size_t place = below ? segment->from : segment->to;

                list[first[place + 1]++] = below ? segment->to : segment->from;
        }
        return 0;
}

static int maker_init(struct maker *maker, struct error *error) {
        struct layers *layers = maker->layers;
        size_t n = layers->n_places;

        maker->order = calloc(n + 1, sizeof(*maker->order));
        maker->first = calloc(layers->n_layers + 2, sizeof(*maker->first));
        maker->position = calloc(n + 1, sizeof(*maker->position));
        maker->keys = calloc(n + 1, sizeof(*maker->keys));
        if (!maker->order || !maker->first || !maker->position || !maker->keys ||
            list_neighbours(layers, true, &maker->below, &maker->below_first) < 0 ||
            list_neighbours(layers, false, &maker->above, &maker->above_first) < 0)
                return error_no_memory(error);
        for (size_t i = 0; i < n; i++)
                maker->first[layers->places[i].layer + 2]++;
        for (size_t i = 2; i < layers->n_layers + 2; i++)
                maker->first[i] += maker->first[i - 1];
        for (size_t i = 0; i < n; i++)
                maker->order[maker->first[layers->places[i].layer + 1]++] = (uint32_t)i;
        for (size_t i = 0; i < n; i++)
                maker->position[maker->order[i]] = i - maker->first[layers->places[maker->order[i]].layer];
        return 0;
}

/* Sorts a layer by keys; those of equal keys stay as they are. */
static void sort_layer(struct maker *maker, size_t layer) {
        uint32_t *order = maker->order + maker->first[layer];
        size_t n = maker->first[layer + 1] - maker->first[layer];

        for (size_t i = 1; i < n; i++) {
                uint32_t place = order[i];
                size_t k = i;

                for (; k > 0 && maker->keys[order[k - 1]] > maker->keys[place]; k--)
                        order[k] = order[k - 1];
                order[k] = place;
        }
        for (size_t i = 0; i < n; i++)
                maker->position[order[i]] = i;
}

static void order_layer(struct maker *maker, size_t layer, const uint32_t *neighbours, const size_t *first) {
        for (size_t i = maker->first[layer]; i < maker->first[layer + 1]; i++) {
                uint32_t place = maker->order[i];
                size_t n = first[place + 1] - first[place];
                double sum = 0;

                for (size_t k = first[place]; k < first[place + 1]; k++)
                        sum += (double)maker->position[neighbours[k]];
                maker->keys[place] = n > 0 ? sum / (double)n : (double)maker->position[place];
        }
        sort_layer(maker, layer);
}

/* Pairs of segments that cross. */
static size_t count_crossings(const struct maker *maker) {
        size_t n = 0;

        for (size_t i = 0; i < maker->layers->n_places; i++) {
                size_t layer = maker->layers->places[i].layer;

                for (size_t o = maker->first[layer] + maker->position[i] + 1; o < maker->first[layer + 1];
                     o++)
                        for (size_t a = maker->below_first[i]; a < maker->below_first[i + 1]; a++)
                                for (size_t b = maker->below_first[maker->order[o]];
                                     b < maker->below_first[maker->order[o] + 1]; b++)
                                        n += maker->position[maker->below[a]] >
                                             maker->position[maker->below[b]];
        }
        return n;
}

static int order_places(struct maker *maker, struct error *error) {
        size_t n_layers = maker->layers->n_layers, bytes = maker->layers->n_places * sizeof(*maker->order);
        _cleanup_(freep) uint32_t *best = malloc(bytes + 1);
        size_t fewest = count_crossings(maker);

        if (!best)
                return error_no_memory(error);
        memcpy(best, maker->order, bytes);
        for (unsigned sweep = 0; sweep < ORDER_SWEEPS && fewest > 0; sweep++) {
                size_t crossings;

                for (size_t i = 1; i < n_layers; i++) {
                        bool down = sweep % 2 == 0;

                        order_layer(maker, down ? i : n_layers - 1 - i, down ? maker->above : maker->below,
                                    down ? maker->above_first : maker->below_first);
                }
                crossings = count_crossings(maker);
                if (crossings < fewest) {
                        fewest = crossings;
                        memcpy(best, maker->order, bytes);
                }
        }
        memcpy(maker->order, best, bytes);
        return 0;
}

/* ---- places ---- */

static double width_of(const struct maker *maker, uint32_t place) {
        return place < maker->layers->n_nodes ? maker->sizes->node_width : maker->sizes->bend_width;
}

static double weight_of(const struct maker *maker, uint32_t place) {
        return place < maker->layers->n_nodes ? 1 : BEND_WEIGHT;
}

struct mean {
        double sum, weight;
};

static void mean_add(struct mean *mean, const struct maker *maker, uint32_t place) {
        double weight = place < maker->layers->n_nodes ? 1 : BEND_PULL;

        mean->sum += maker->layers->places[place].x * weight;
        mean->weight += weight;
}

/* Neighbours' middle; a node also wants to be near the middle of the drawing, 0. */
static double wish_of(const struct maker *maker, uint32_t place, bool look_above, bool look_below) {
        struct mean mean = {.weight = place < maker->layers->n_nodes ? MIDDLE_PULL : 0};

        for (size_t k = maker->above_first[place]; look_above && k < maker->above_first[place + 1]; k++)
                mean_add(&mean, maker, maker->above[k]);
        for (size_t k = maker->below_first[place]; look_below && k < maker->below_first[place + 1]; k++)
                mean_add(&mean, maker, maker->below[k]);
        return mean.weight > 0 ? mean.sum / mean.weight : maker->layers->places[place].x;
}

/* Places that had to be moved together, as they would overlap otherwise. */
struct block {
        double wish, weight;
        size_t n;
};

/*
 * Brings a layer as near to its wishes as order and widths allow, by least squares: isotonic regression by
 * pooling adjacent violators (Barlow et al. 1972) of each place less what must lie left of it.
 */
static void place_layer(struct maker *maker, size_t layer, bool look_above, bool look_below,
                        struct block *blocks) {
        const uint32_t *order = maker->order + maker->first[layer];
        size_t n = maker->first[layer + 1] - maker->first[layer], n_blocks = 0, i = 0;
        double left = 0;

        for (size_t k = 0; k < n; k++) {
                double weight = weight_of(maker, order[k]);

                if (k > 0)
                        left += (width_of(maker, order[k - 1]) + width_of(maker, order[k])) / 2 +
                                maker->sizes->gap;
                blocks[n_blocks++] =
                        (struct block){.wish = wish_of(maker, order[k], look_above, look_below) - left,
                                       .weight = weight,
                                       .n = 1};
                while (n_blocks > 1 && blocks[n_blocks - 2].wish > blocks[n_blocks - 1].wish) {
                        struct block *a = &blocks[n_blocks - 2], *b = &blocks[n_blocks - 1];

                        a->wish = (a->wish * a->weight + b->wish * b->weight) / (a->weight + b->weight);
                        a->weight += b->weight;
                        a->n += b->n;
                        n_blocks--;
                }
        }
        left = 0;
        for (size_t b = 0; b < n_blocks; b++)
                for (size_t k = 0; k < blocks[b].n; k++, i++) {
                        if (i > 0)
                                left += (width_of(maker, order[i - 1]) + width_of(maker, order[i])) / 2 +
                                        maker->sizes->gap;
                        maker->layers->places[order[i]].x = blocks[b].wish + left;
                }
}

static int place_all(struct maker *maker, struct error *error) {
        struct layers *layers = maker->layers;
        _cleanup_(freep) struct block *blocks = calloc(layers->n_places + 1, sizeof(*blocks));
        double lowest = 0, highest = 0;

        if (!blocks)
                return error_no_memory(error);
        for (unsigned sweep = 0; sweep < PLACE_SWEEPS; sweep++)
                for (size_t i = 0; i < layers->n_layers; i++) {
                        bool down = sweep % 2 == 0, both = sweep + 2 >= PLACE_SWEEPS;

                        place_layer(maker, down ? i : layers->n_layers - 1 - i, down || both, !down || both,
                                    blocks);
                }
        for (size_t i = 0; i < layers->n_places; i++) {
                double x = layers->places[i].x, half = width_of(maker, (uint32_t)i) / 2;

                lowest = i == 0 ? x - half : MIN(lowest, x - half);
                highest = i == 0 ? x + half : MAX(highest, x + half);
        }
        for (size_t i = 0; i < layers->n_places; i++)
                layers->places[i].x -= lowest;
        layers->width = highest - lowest;
        return 0;
}

int layers_new(struct layers **ret_layers, size_t n_nodes, const struct layers_edge *edges, size_t n_edges,
               const struct layers_sizes *sizes, struct error *error) {
        _cleanup_(layers_freep) struct layers *layers = calloc(1, sizeof(*layers));
        _cleanup_(maker_release) struct maker maker = {.layers = layers, .sizes = sizes};
        int r;

        if (!layers)
                return error_no_memory(error);
        layers->n_nodes = n_nodes;
        layers->places = calloc(n_nodes + 1, sizeof(*layers->places));
        if (!layers->places)
                return error_no_memory(error);
        assign_layers(layers, edges, n_edges);
        r = add_bends(layers, edges, n_edges, error);
        if (r >= 0)
                r = maker_init(&maker, error);
        if (r >= 0)
                r = order_places(&maker, error);
        if (r >= 0)
                r = place_all(&maker, error);
        if (r < 0)
                return r;
        *ret_layers = steal_ptr(&layers);
        return 0;
}
