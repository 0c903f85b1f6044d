#include "engine/slices.h"

#include <string.h>

#include "engine/native/native.h"

struct slices {
        struct slice *slices; /* for each value; whole VALUE_NONE: none */
};

/* Only kernels of our own write and read slices. */
static bool is_concat_of_channels(const struct graph *graph, const struct node *node) {
        const struct value *out;

        if ((strcmp(node->type, "Concat") != 0 && strcmp(node->type, "QConcat") != 0) ||
            node->n_inputs < 1 || node_output(node, 0) == VALUE_NONE)
                return false;
        out = &graph->values[node->outputs[0]];
        if (!out->known || (out->dtype != DTYPE_F32 && !out->quantisation) || out->shape.rank != 4)
                return false;
        for (size_t i = 0; i < node->n_inputs && out->quantisation; i++)
                if (!graph->values[node->inputs[i]].quantisation ||
                    !quantisation_equal(out->quantisation, graph->values[node->inputs[i]].quantisation))
                        return false;
        for (size_t i = 0; i < node->n_inputs; i++)
                if (node->inputs[i] == VALUE_NONE || graph->values[node->inputs[i]].constant ||
                    node->inputs[i] == graph->input)
                        return false;
        return node_attribute_integer(node, "axis", 1) == 1 || node_attribute_integer(node, "axis", 1) == -3;
}

static bool begins_with(const struct node *longer, const struct node *node) {
        return node->n_inputs <= longer->n_inputs &&
               memcmp(node->inputs, longer->inputs, node->n_inputs * sizeof(*node->inputs)) == 0;
}

/* whole and channel: of the concatenation that node makes. */
static void place_parts(struct slices *slices, const struct graph *graph, const struct node *node,
                        uint32_t whole, size_t channel) {
        for (size_t i = 0; i < node->n_inputs; i++) {
                struct slice *slice = &slices->slices[node->inputs[i]];

                if (slice->whole == VALUE_NONE)
                        *slice =
                                (struct slice){.value = node->inputs[i], .whole = whole, .channel = channel};
                channel += graph->values[node->inputs[i]].shape.dims[1];
        }
}

int slices_new(struct slices **ret_slices, const struct graph *graph, struct error *error) {
        _cleanup_(slices_freep) struct slices *slices = calloc(1, sizeof(*slices));
        _cleanup_(freep) const struct node **longest = calloc(MAX(graph->n_values, 1u), sizeof(*longest));

        if (!slices || !longest)
                return error_no_memory(error);
        slices->slices = calloc(MAX(graph->n_values, 1u), sizeof(*slices->slices));
        if (!slices->slices)
                return error_no_memory(error);
        for (size_t i = 0; i < graph->n_values; i++)
                slices->slices[i].whole = VALUE_NONE;
        if (!native_best()->conv[0]) {
                *ret_slices = steal_ptr(&slices);
                return 0;
        }

        /* Backwards: a concatenation that goes into another one is met after that. */
        for (size_t i = graph->n_nodes; i-- > 0;) {
                const struct node *node = &graph->nodes[i], *longer;
                struct slice *slice;

                if (!is_concat_of_channels(graph, node))
                        continue;
                slice = &slices->slices[node->outputs[0]];
                longer = longest[node->inputs[0]];
                if (slice->whole == VALUE_NONE && longer && begins_with(longer, node))
                        *slice = (struct slice){.value = node->outputs[0],
                                                .whole = slices->slices[longer->outputs[0]].whole,
                                                .channel = slices->slices[longer->outputs[0]].channel};
                else if (slice->whole == VALUE_NONE)
                        *slice = (struct slice){.value = node->outputs[0], .whole = node->outputs[0]};
                if (!longer)
                        longest[node->inputs[0]] = node;
                place_parts(slices, graph, node, slice->whole, slice->channel);
        }
        *ret_slices = steal_ptr(&slices);
        return 0;
}

void slices_free(struct slices *slices) {
        free(slices->slices);
        free(slices);
}

struct slice *slices_find(const struct slices *slices, uint32_t value) {
        struct slice *slice = &slices->slices[value];

        return slice->whole == VALUE_NONE ? NULL : slice;
}

struct slice *slices_whole(const struct slices *slices, const struct slice *slice) {
        return &slices->slices[slice->whole];
}
