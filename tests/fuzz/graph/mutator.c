#include "tests/fuzz/graph/mutator.h"

#include "base/macros.h"
#include "engine/protobuf_skeleton.h"
#include "tests/fuzz/graph/mutation.h"

#define UNPACK_MAX_BYTES ((size_t)8 << 20)

/* Those of the graph stand more than once: they are what bytes alone cannot change. */
static mutation_function *const mutations[] = {
        mutate_input,       mutate_input,         mutate_output,        mutate_remove_node,
        mutate_repeat_node, mutate_insert_node,   mutate_insert_node,   mutate_insert_node,
        mutate_operator,    mutate_operator,      mutate_swap_nodes,    mutate_shape_arithmetic,
        mutate_chain,       mutate_many_inputs,   mutate_attribute,     mutate_attribute,
        mutate_attribute,   mutate_add_attribute, mutate_add_attribute, mutate_nesting,
        mutate_dims,        mutate_dims,          mutate_type,          mutate_data,
        mutate_data,        mutate_external,      mutate_initializers,  mutate_model_input,
        mutate_model_input, mutate_model_output,  mutate_opset,         mutate_text,
};

static void *pool_alloc(void *data, size_t size) {
        struct mutation *mutation = data;

        return size > UNPACK_MAX_BYTES ? NULL : pool_allocate(mutation->pool, MAX(size, 1u), 1);
}

static void pool_keep(void *data, void *pointer) {
        (void)data;
        (void)pointer;
}

static void mutation_release(struct mutation *mutation) {
        if (mutation->pool)
                pool_free(mutation->pool);
}

static Onnx__ModelProto *unpack(struct mutation *mutation, const uint8_t *bytes, size_t size) {
        ProtobufCAllocator allocator = {.alloc = pool_alloc, .free = pool_keep, .allocator_data = mutation};
        _cleanup_(protobuf_skeleton_release) struct protobuf_skeleton skeleton = {0};
        _cleanup_(source_unrefp) struct source *source = NULL;
        const struct protobuf_payloads none = {0};
        Onnx__ModelProto *model;

        if (source_borrow(&source, bytes, size, NULL) < 0 ||
            protobuf_skeleton_read(&skeleton, &onnx__model_proto__descriptor, &none, source, NULL) < 0)
                return NULL;
        model = onnx__model_proto__unpack(&allocator, skeleton.size, skeleton.bytes);
        return model && model->graph ? model : NULL;
}

static size_t pack(const Onnx__ModelProto *model, uint8_t *bytes, size_t max_size) {
        size_t size = onnx__model_proto__get_packed_size(model);

        return size > max_size ? 0 : onnx__model_proto__pack(model, bytes);
}

static uint64_t random_of(unsigned seed) {
        return ((uint64_t)seed + 1) * 0x9e3779b97f4a7c15u;
}

size_t mutator_change(uint8_t *bytes, size_t size, size_t max_size, unsigned seed) {
        _cleanup_(mutation_release) struct mutation mutation = {.pool = pool_new(),
                                                                .random = random_of(seed)};

        if (!mutation.pool)
                return 0;
        mutation.model = unpack(&mutation, bytes, size);
        if (!mutation.model)
                return 0;
        mutation.graph = mutation.model->graph;
        do
                mutations[mutation_below(&mutation, ARRAY_SIZE(mutations))](&mutation);
        while (mutation_one_in(&mutation, 3));
        return pack(mutation.model, bytes, max_size);
}

size_t mutator_cross(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *ret_bytes,
                     size_t max_size, unsigned seed) {
        _cleanup_(mutation_release) struct mutation mutation = {.pool = pool_new(),
                                                                .random = random_of(seed)};
        Onnx__ModelProto *other;
        Onnx__GraphProto *graph;
        size_t first, n;

        if (!mutation.pool)
                return 0;
        mutation.model = unpack(&mutation, a, a_size);
        other = unpack(&mutation, b, b_size);
        if (!mutation.model || !other)
                return 0;
        graph = mutation.graph = mutation.model->graph;

        for (size_t i = 0; i < other->graph->n_initializer; i++) {
                graph->initializer = mutation_insert(&mutation, graph->initializer, graph->n_initializer,
                                                     graph->n_initializer, other->graph->initializer[i]);
                graph->n_initializer++;
        }
        /* A run of nodes at one place, connected to what is there. */
        first = mutation_below(&mutation, other->graph->n_node);
        n = 1 + mutation_below(&mutation, 5);
        n = MIN(n, other->graph->n_node - first);
        for (size_t i = 0, at = mutation_below(&mutation, graph->n_node + 1); i < n; i++) {
                Onnx__NodeProto *node = other->graph->node[first + i];

                if (i == 0 && node->n_input > 0)
                        node->input[0] = mutation_name(&mutation);
                graph->node = mutation_insert(&mutation, graph->node, graph->n_node, at + i, node);
                graph->n_node++;
        }
        if (n > 0 && other->graph->node[first + n - 1]->n_output > 0 && graph->n_output > 0)
                graph->output[0]->name = other->graph->node[first + n - 1]->output[0];
        return pack(mutation.model, ret_bytes, max_size);
}
