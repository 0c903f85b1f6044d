#include "engine/watch.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/text_distance.h"

#define NEAREST_MAX 3u /* names in an error */

/* The names that are nearest to a word, the nearest first. */
struct nearest {
        const char *word;
        const char *names[NEAREST_MAX];
        size_t distances[NEAREST_MAX];
        size_t n;
};

/* Exporters name nodes by their path, "/layer1/layer1.0/conv1/Conv", of which one remembers a part. */
static size_t distance_to_name(const char *word, const char *name) {
        size_t best = text_distance(word, name);

        for (const char *part = name; *part;) {
                size_t n = strcspn(part, "/");
                char copy[TEXT_DISTANCE_MAX_BYTES + 1];

                if (n > 0 && n < sizeof(copy)) {
                        memcpy(copy, part, n);
                        copy[n] = '\0';
                        best = MIN(best, text_distance(word, copy) + 1);
                }
                part += n + (part[n] == '/');
        }
        return strstr(name, word) ? MIN(best, (size_t)1) : best;
}

static void nearest_offer(struct nearest *nearest, const char *name) {
        size_t distance = distance_to_name(nearest->word, name), i = nearest->n;

        if (distance > 1 + strlen(nearest->word) / 2)
                return;
        for (size_t k = 0; k < nearest->n; k++)
                if (strcmp(nearest->names[k], name) == 0)
                        return;
        for (; i > 0 && nearest->distances[i - 1] > distance; i--)
                if (i < NEAREST_MAX) {
                        nearest->names[i] = nearest->names[i - 1];
                        nearest->distances[i] = nearest->distances[i - 1];
                }
        if (i == NEAREST_MAX)
                return;
        nearest->names[i] = name;
        nearest->distances[i] = distance;
        nearest->n = MIN(nearest->n + 1, (size_t)NEAREST_MAX);
}

static int not_found(const struct graph *graph, const char *name, struct error *error) {
        struct nearest nearest = {.word = name};
        char text[512] = "";
        size_t used = 0;

        for (size_t i = 0; i < graph->n_nodes; i++)
                nearest_offer(&nearest, graph->nodes[i].name);
        for (size_t i = 0; i < graph->n_values; i++)
                nearest_offer(&nearest, graph->values[i].name);
        for (size_t i = 0; i < nearest.n && used < sizeof(text); i++)
                used += (size_t)snprintf(text + used, sizeof(text) - used, "%s'%s'",
                                         i == 0              ? "; the nearest: "
                                         : i + 1 < nearest.n ? ", "
                                                             : " and ",
                                         nearest.names[i]);
        return error_set(error, ERROR_NOT_FOUND, "no node or value is called '%.200s'%s", name, text);
}

static uint32_t find(const struct graph *graph, const char *name) {
        for (size_t i = 0; i < graph->n_nodes; i++)
                if (strcmp(graph->nodes[i].name, name) == 0)
                        return node_output(&graph->nodes[i], 0);
        for (size_t i = 0; i < graph->n_values; i++)
                if (strcmp(graph->values[i].name, name) == 0)
                        return (uint32_t)i;
        return VALUE_NONE;
}

int graph_watch(struct graph *graph, const char *const *names, size_t n, struct error *error) {
        uint32_t *watched = pool_allocate(graph->pool, n, sizeof(*watched));

        if (!watched)
                return error_no_memory(error);
        for (size_t i = 0; i < n; i++) {
                watched[i] = find(graph, names[i]);
                if (watched[i] == VALUE_NONE)
                        return not_found(graph, names[i], error);
        }
        graph->watched = watched;
        graph->n_watched = n;
        return 0;
}
