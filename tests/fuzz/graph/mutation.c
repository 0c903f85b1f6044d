#include "tests/fuzz/graph/mutation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

void *mutation_allocate(struct mutation *mutation, size_t n, size_t size) {
        void *memory = pool_allocate(mutation->pool, n, size);

        if (!memory)
                abort();
        return memory;
}

char *mutation_string(struct mutation *mutation, const char *text) {
        return strcpy(mutation_allocate(mutation, strlen(text) + 1, 1), text);
}

/* xorshift64* of Vigna 2016. */
static uint64_t next(struct mutation *mutation) {
        mutation->random ^= mutation->random >> 12;
        mutation->random ^= mutation->random << 25;
        mutation->random ^= mutation->random >> 27;
        return mutation->random * 2685821657736338717u;
}

size_t mutation_below(struct mutation *mutation, size_t below) {
        return below == 0 ? 0 : (size_t)(next(mutation) >> 16) % below;
}

bool mutation_one_in(struct mutation *mutation, size_t n) {
        return mutation_below(mutation, n) == 0;
}

int64_t mutation_integer(struct mutation *mutation) {
        static const int64_t edges[] = {
                -1,         -1,        -2,        -3,        -4,        16,        17,
                31,         32,        63,        64,        65,        127,       128,
                255,        256,       1000,      4095,      4096,      65535,     65536,
                65537,      1 << 20,   1 << 24,   1 << 28,   1 << 30,   INT32_MAX, (int64_t)INT32_MAX + 1,
                INT32_MIN,  1LL << 32, 1LL << 33, 1LL << 40, 1LL << 61, 1LL << 62, INT64_MAX,
                -INT64_MAX, INT64_MIN,
        };

        return mutation_one_in(mutation, 3) ? edges[mutation_below(mutation, ARRAY_SIZE(edges))]
                                            : (int64_t)mutation_below(mutation, 9);
}

float mutation_real(struct mutation *mutation) {
        static const float reals[] = {0,      1,       -1,       0.5f,    1e-5f,    2,      6,
                                      1e-45f, 3.4e38f, -3.4e38f, 1 / 0.f, -1 / 0.f, 0 / 0.f};

        return reals[mutation_below(mutation, ARRAY_SIZE(reals))];
}

char *mutation_fresh_name(struct mutation *mutation) {
        char text[32];

        snprintf(text, sizeof(text), "m%x", (unsigned)next(mutation));
        return mutation_string(mutation, text);
}

char *mutation_name(struct mutation *mutation) {
        const Onnx__GraphProto *graph = mutation->graph;
        char *name = NULL;

        if (mutation_one_in(mutation, 40))
                return mutation_fresh_name(mutation);
        if (graph->n_node > 0 && mutation_one_in(mutation, 2)) {
                const Onnx__NodeProto *node = graph->node[mutation_below(mutation, graph->n_node)];

                if (node->n_output > 0)
                        name = node->output[mutation_below(mutation, node->n_output)];
        } else if (graph->n_initializer > 0 && mutation_one_in(mutation, 2)) {
                name = graph->initializer[mutation_below(mutation, graph->n_initializer)]->name;
        } else if (graph->n_input > 0) {
                name = graph->input[mutation_below(mutation, graph->n_input)]->name;
        }
        return name ? name : mutation_string(mutation, "");
}

void *mutation_insert(struct mutation *mutation, void *pointers, size_t n, size_t at, void *pointer) {
        void **grown = mutation_allocate(mutation, n + 1, sizeof(*grown)), **old = pointers;

        for (size_t i = 0; i <= n; i++)
                grown[i] = i < at ? old[i] : i == at ? pointer : old[i - 1];
        return grown;
}

void mutation_remove(void *pointers, size_t *n, size_t at) {
        void **array = pointers;

        for (size_t i = at + 1; i < *n; i++)
                array[i - 1] = array[i];
        --*n;
}

char *mutation_add_tensor(struct mutation *mutation, int32_t type, const int64_t *dims, size_t n_dims,
                          const void *data, size_t bytes) {
        Onnx__TensorProto *tensor = mutation_allocate(mutation, 1, sizeof(*tensor));
        Onnx__GraphProto *graph = mutation->graph;

        onnx__tensor_proto__init(tensor);
        tensor->name = mutation_fresh_name(mutation);
        tensor->has_data_type = true;
        tensor->data_type = type;
        tensor->n_dims = n_dims;
        tensor->dims = mutation_allocate(mutation, n_dims, sizeof(*dims));
        memcpy(tensor->dims, dims, n_dims * sizeof(*dims));
        tensor->has_raw_data = true;
        tensor->raw_data.len = bytes;
        tensor->raw_data.data = mutation_allocate(mutation, bytes, 1);
        if (data)
                memcpy(tensor->raw_data.data, data, bytes);
        graph->initializer = mutation_insert(mutation, graph->initializer, graph->n_initializer,
                                             graph->n_initializer, tensor);
        graph->n_initializer++;
        return tensor->name;
}

Onnx__AttributeProto *mutation_new_attribute(struct mutation *mutation, const char *name) {
        Onnx__AttributeProto *attribute = mutation_allocate(mutation, 1, sizeof(*attribute));

        onnx__attribute_proto__init(attribute);
        attribute->name = mutation_string(mutation, name);
        attribute->has_type = true;
        return attribute;
}
