#include "engine/onnx_writer.h"

#include <stdlib.h>
#include <string.h>

#include "base/names.h"
#include "engine/model.h"
#include "engine/onnx_upgrade.h"
#include "engine/operator.h"
#include "onnx.pb-c.h"

struct writer {
        struct pool *pool; /* the messages */
        const struct graph *graph;
        const struct onnx_writing *writing;
        struct names names;       /* of values */
        struct names node_names;  /* which runtimes refuse where two are alike */
        const char **value_names; /* in the file, for each value; NULL: not used */
        struct tensor **held;     /* tensors whose elements the messages point at */
        size_t n_held, n_held_allocated;
        int opset;
};

static void writer_release(struct writer *writer) {
        for (size_t i = 0; i < writer->n_held; i++)
                tensor_unref(writer->held[i]);
        free(writer->held);
        names_release(&writer->names);
        names_release(&writer->node_names);
        if (writer->pool)
                pool_free(writer->pool);
}

/* A message of type (Onnx__NodeProto), initialised by init. */
#define message_new(writer, type, init)                                                                     \
        ({                                                                                                  \
                type *_message = pool_allocate((writer)->pool, 1, sizeof(type));                            \
                                                                                                            \
                if (_message)                                                                               \
                        init(_message);                                                                     \
                _message;                                                                                   \
        })

/* protobuf-c's strings are not const, and are not written to. */
static char *text_of(const char *text) {
        return (char *)(uintptr_t)text;
}

/* ---- names ---- */

/* Values that simplification made are called after nodes, and two nodes may have one name. */
static int value_name(struct writer *writer, uint32_t value, struct error *error) {
        const char *name = writer->graph->values[value].name;

        if (value == writer->graph->output && writer->writing->output_name)
                name = writer->writing->output_name;
        for (unsigned i = 2; !name || !name[0] || !names_add(&writer->names, name, value); i++) {
                name = pool_printf(writer->pool, "%s:%u", writer->graph->values[value].name, i);
                if (!name)
                        return error_no_memory(error);
        }
        writer->value_names[value] = name;
        return 0;
}

static int name_value(struct writer *writer, uint32_t value, struct error *error) {
        if (value == VALUE_NONE || writer->value_names[value])
                return 0;
        return value_name(writer, value, error);
}

/* Nodes without a name may be many. */
static char *node_name(struct writer *writer, const char *wanted, struct error *error) {
        const char *name = wanted;

        for (unsigned i = 2; name && name[0] && !names_add(&writer->node_names, name, 0); i++) {
                name = pool_printf(writer->pool, "%s:%u", wanted, i);
                if (!name)
                        error_no_memory(error);
        }
        return text_of(name);
}

/* The output and the input first, so that they get the names that callers know. */
static int name_values(struct writer *writer, struct error *error) {
        const struct graph *graph = writer->graph;
        int r;

        r = names_init(&writer->names, graph->n_values + 2, error);
        if (r >= 0)
                r = names_init(&writer->node_names, graph->n_nodes + 1, error);
        if (r < 0)
                return r;
        writer->value_names = pool_allocate(writer->pool, graph->n_values, sizeof(*writer->value_names));
        if (!writer->value_names)
                return error_no_memory(error);
        r = name_value(writer, graph->output, error);
        if (r >= 0)
                r = name_value(writer, graph->input, error);
        for (size_t i = 0; i < graph->n_nodes && r >= 0; i++) {
                const struct node *node = &graph->nodes[i];

                if (node_is_dead(node))
                        continue;
                for (size_t k = 0; k < node->n_outputs && r >= 0; k++)
                        r = name_value(writer, node->outputs[k], error);
                for (size_t k = 0; k < node->n_inputs && r >= 0; k++)
                        r = name_value(writer, node->inputs[k], error);
        }
        return r;
}

static char *name_of(const struct writer *writer, uint32_t value) {
        return text_of(value == VALUE_NONE ? "" : writer->value_names[value]);
}

/* ---- tensors ---- */

static Onnx__TensorProto__DataType dtype_number(enum dtype dtype) {
        switch (dtype) {
        case DTYPE_F32:
                return ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
        case DTYPE_F16:
                return ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16;
        case DTYPE_BF16:
                return ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16;
        case DTYPE_F64:
                return ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE;
        case DTYPE_I64:
                return ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
        case DTYPE_I32:
                return ONNX__TENSOR_PROTO__DATA_TYPE__INT32;
        case DTYPE_I8:
                return ONNX__TENSOR_PROTO__DATA_TYPE__INT8;
        case DTYPE_U8:
                return ONNX__TENSOR_PROTO__DATA_TYPE__UINT8;
        case DTYPE_BOOL:
                return ONNX__TENSOR_PROTO__DATA_TYPE__BOOL;
        }
        return ONNX__TENSOR_PROTO__DATA_TYPE__UNDEFINED;
}

static int hold(struct writer *writer, struct tensor **ret_tensor, struct tensor *tensor,
                struct error *error) {
        int r;

        if (writer->n_held == writer->n_held_allocated) {
                size_t n = MAX(2 * writer->n_held_allocated, (size_t)64);
                struct tensor **grown = reallocarray(writer->held, n, sizeof(struct tensor *));

                if (!grown)
                        return error_no_memory(error);
                writer->held = grown;
                writer->n_held_allocated = n;
        }
        r = tensor_hold(&writer->held[writer->n_held], tensor, error);
        if (r < 0)
                return r;
        *ret_tensor = writer->held[writer->n_held++];
        return 0;
}

static int tensor_write(struct writer *writer, Onnx__TensorProto **ret_proto, struct tensor *tensor,
                        const char *name, struct error *error) {
        Onnx__TensorProto *proto = message_new(writer, Onnx__TensorProto, onnx__tensor_proto__init);
        int r;

        if (!proto)
                return error_no_memory(error);
        r = hold(writer, &tensor, tensor, error);
        if (r < 0)
                return error_prefix(error, r, "'%s'", name);
        proto->n_dims = tensor->shape.rank;
        proto->dims = pool_allocate(writer->pool, tensor->shape.rank, sizeof(*proto->dims));
        if (!proto->dims)
                return error_no_memory(error);
        for (size_t i = 0; i < tensor->shape.rank; i++)
                proto->dims[i] = (int64_t)tensor->shape.dims[i];
        proto->has_data_type = true;
        proto->data_type = (int32_t)dtype_number(tensor->dtype);
        proto->has_raw_data = true;
        proto->raw_data = (ProtobufCBinaryData){.len = tensor_bytes(tensor), .data = tensor->data};
        proto->name = text_of(name);
        *ret_proto = proto;
        return 0;
}

/* ---- nodes ---- */

static int attribute_write(struct writer *writer, Onnx__AttributeProto **ret_proto,
                           const struct attribute *attribute, struct error *error) {
        Onnx__AttributeProto *proto = message_new(writer, Onnx__AttributeProto, onnx__attribute_proto__init);

        if (!proto)
                return error_no_memory(error);
        *ret_proto = proto;
        proto->name = text_of(attribute->name);
        proto->has_type = true;
        switch (attribute->type) {
        case ATTRIBUTE_INT:
                proto->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
                proto->has_i = true;
                proto->i = attribute->integer;
                return 0;
        case ATTRIBUTE_FLOAT:
                proto->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
                proto->has_f = true;
                proto->f = attribute->real;
                return 0;
        case ATTRIBUTE_STRING:
                proto->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
                proto->has_s = true;
                proto->s = (ProtobufCBinaryData){.len = strlen(attribute->string),
                                                 .data = (uint8_t *)text_of(attribute->string)};
                return 0;
        case ATTRIBUTE_INTS:
                proto->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
                proto->n_ints = attribute->n;
                proto->ints = pool_copy(writer->pool, attribute->ints, attribute->n, sizeof(int64_t));
                return proto->ints ? 0 : error_no_memory(error);
        case ATTRIBUTE_FLOATS:
                proto->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS;
                proto->n_floats = attribute->n;
                proto->floats = pool_copy(writer->pool, attribute->floats, attribute->n, sizeof(float));
                return proto->floats ? 0 : error_no_memory(error);
        case ATTRIBUTE_TENSOR:
                proto->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR;
                return tensor_write(writer, &proto->t, attribute->tensor, attribute->name, error);
        case ATTRIBUTE_OTHER:
                break;
        }
        return error_set(error, ERROR_UNSUPPORTED, "attribute '%s' cannot be written", attribute->name);
}

/* x * scale + shift as the BatchNormalization that it came from: of mean 0, variance 1, epsilon 0. */
static int scale_shift_write(struct writer *writer, Onnx__NodeProto *proto, const struct node *node,
                             Onnx__GraphProto *graph_proto, struct error *error) {
        static const struct {
                const char *suffix;
                double value;
        } parameters[] = {{"mean", 0}, {"variance", 1}};
        const struct tensor *scale = graph_input_constant(writer->graph, node, 1);
        static const struct attribute epsilon = {.name = "epsilon", .type = ATTRIBUTE_FLOAT, .real = 0};
        int r;

        proto->op_type = text_of("BatchNormalization");
        proto->n_input = 5;
        for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
                _cleanup_(tensor_unrefp) struct tensor *tensor = NULL;
                const char *name =
                        pool_printf(writer->pool, "%s:%s", proto->output[0], parameters[i].suffix);

                if (!name)
                        return error_no_memory(error);
                r = tensor_new(&tensor, DTYPE_F32, &scale->shape, error);
                if (r < 0)
                        return r;
                for (size_t k = 0; k < tensor->n_elements; k++)
                        tensor_set(tensor, k, parameters[i].value, 0);
                r = tensor_write(writer, &graph_proto->initializer[graph_proto->n_initializer], tensor, name,
                                 error);
                if (r < 0)
                        return r;
                graph_proto->n_initializer++;
                proto->input[3 + i] = text_of(name);
        }
        proto->n_attribute = 1;
        return attribute_write(writer, &proto->attribute[0], &epsilon, error);
}

#define SCALE_SHIFT_INPUTS 5u

static int node_write(struct writer *writer, Onnx__GraphProto *graph_proto, const struct node *node,
                      struct error *error) {
        Onnx__NodeProto *proto = message_new(writer, Onnx__NodeProto, onnx__node_proto__init);
        int r;

        if (!proto)
                return error_no_memory(error);
        proto->name = node_name(writer, node->name ? node->name : "", error);
        if (!proto->name)
                return ERROR_NO_MEMORY;
        proto->op_type = text_of(node->type);
        proto->domain = text_of(node->domain ? node->domain : "");
        proto->n_input = node->n_inputs;
        proto->n_output = node->n_outputs;
        proto->input = pool_allocate(writer->pool, MAX(node->n_inputs, SCALE_SHIFT_INPUTS), sizeof(char *));
        proto->output = pool_allocate(writer->pool, node->n_outputs, sizeof(char *));
        proto->attribute = pool_allocate(writer->pool, MAX(node->n_attributes, 1u),
                                         sizeof(struct _Onnx__AttributeProto *));
        if (!proto->input || !proto->output || !proto->attribute)
                return error_no_memory(error);
        for (size_t i = 0; i < node->n_inputs; i++)
                proto->input[i] = name_of(writer, node->inputs[i]);
        for (size_t i = 0; i < node->n_outputs; i++)
                proto->output[i] = name_of(writer, node->outputs[i]);
        graph_proto->node[graph_proto->n_node++] = proto;
        if (node_is(node, "ScaleShift"))
                return scale_shift_write(writer, proto, node, graph_proto, error);
        if (node->n_post_ops > 0 || node->prologue.kind != PROLOGUE_NONE ||
            (node->op && node->op == operator_find_internal(node->type)))
                return error_set(error, ERROR_UNSUPPORTED, "is no operator of ONNX");
        proto->n_attribute = node->n_attributes;
        for (size_t i = 0; i < node->n_attributes; i++) {
                r = attribute_write(writer, &proto->attribute[i], &node->attributes[i], error);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- inputs and outputs ---- */

/* dims: -1 is open. */
static int value_info_write(struct writer *writer, Onnx__ValueInfoProto **ret_proto, const char *name,
                            const int64_t *dims, size_t n_dims, const char *const *open_names,
                            struct error *error) {
        Onnx__ValueInfoProto *proto =
                message_new(writer, Onnx__ValueInfoProto, onnx__value_info_proto__init);
        Onnx__TypeProto *type = message_new(writer, Onnx__TypeProto, onnx__type_proto__init);
        Onnx__TypeProto__Tensor *tensor =
                message_new(writer, Onnx__TypeProto__Tensor, onnx__type_proto__tensor__init);
        Onnx__TensorShapeProto *shape =
                message_new(writer, Onnx__TensorShapeProto, onnx__tensor_shape_proto__init);

        if (!proto || !type || !tensor || !shape)
                return error_no_memory(error);
        proto->name = text_of(name);
        proto->type = type;
        type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
        type->tensor_type = tensor;
        tensor->has_elem_type = true;
        tensor->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
        tensor->shape = shape;
        shape->n_dim = n_dims;
        shape->dim = pool_allocate(writer->pool, n_dims, sizeof(*shape->dim));
        if (!shape->dim)
                return error_no_memory(error);
        for (size_t i = 0; i < n_dims; i++) {
                Onnx__TensorShapeProto__Dimension *dim =
                        message_new(writer, Onnx__TensorShapeProto__Dimension,
                                    onnx__tensor_shape_proto__dimension__init);

                if (!dim)
                        return error_no_memory(error);
                shape->dim[i] = dim;
                if (dims[i] >= 0) {
                        dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
                        dim->dim_value = dims[i];
                } else {
                        dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
                        dim->dim_param = text_of(open_names[i]);
                }
        }
        *ret_proto = proto;
        return 0;
}

static int interface_write(struct writer *writer, Onnx__GraphProto *proto, struct error *error) {
        static const char *const planar[TENSOR_MAX_RANK] = {"N", "C", "H", "W", "d4", "d5", "d6", "d7"};
        static const char *const channels_last[TENSOR_MAX_RANK] = {"N",  "H",  "W",  "C",
                                                                   "d4", "d5", "d6", "d7"};
        const struct graph *graph = writer->graph;
        const struct onnx_writing *writing = writer->writing;
        int64_t dims[TENSOR_MAX_RANK];
        const char *input = name_of(writer, graph->input);
        int r;

        if (graph->input_is_transposed) {
                input = pool_printf(writer->pool, "%s:channels_last", input);
                if (!input)
                        return error_no_memory(error);
        }
        proto->n_input = proto->n_output = 1;
        proto->input = pool_allocate(writer->pool, 1, sizeof(*proto->input));
        proto->output = pool_allocate(writer->pool, 1, sizeof(*proto->output));
        if (!proto->input || !proto->output)
                return error_no_memory(error);
        r = value_info_write(writer, &proto->input[0], input, graph->input_dims, graph->input_rank,
                             graph->input_is_transposed ? channels_last : planar, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < writing->n_output_dims; i++)
                dims[i] = i == 0 && writing->batch_is_open ? -1 : (int64_t)writing->output_dims[i];
        return value_info_write(writer, &proto->output[0], name_of(writer, graph->output), dims,
                                writing->n_output_dims, planar, error);
}

/* The declared input is [N, H, W, C], and the graph goes on with [N, C, H, W]. */
static int transpose_write(struct writer *writer, Onnx__GraphProto *proto, struct error *error) {
        static const int64_t perm[] = {0, 3, 1, 2};
        const struct attribute attribute = {.name = "perm", .type = ATTRIBUTE_INTS, .ints = perm, .n = 4};
        Onnx__NodeProto *node = message_new(writer, Onnx__NodeProto, onnx__node_proto__init);

        if (!node)
                return error_no_memory(error);
        node->op_type = text_of("Transpose");
        node->name = node_name(writer, "Transpose", error);
        if (!node->name)
                return ERROR_NO_MEMORY;
        node->n_input = node->n_output = node->n_attribute = 1;
        node->input = pool_copy(writer->pool, &proto->input[0]->name, 1, sizeof(char *));
        node->output = pool_allocate(writer->pool, 1, sizeof(char *));
        node->attribute = pool_allocate(writer->pool, 1, sizeof(*node->attribute));
        if (!node->input || !node->output || !node->attribute)
                return error_no_memory(error);
        node->output[0] = name_of(writer, writer->graph->input);
        proto->node[proto->n_node++] = node;
        return attribute_write(writer, &node->attribute[0], &attribute, error);
}

/* ---- the model ---- */

static int initializers_write(struct writer *writer, Onnx__GraphProto *proto, struct error *error) {
        const struct graph *graph = writer->graph;
        int r;

        for (size_t i = 0; i < graph->n_values; i++) {
                struct tensor *tensor = graph->values[i].constant;

                if (!tensor || !writer->value_names[i])
                        continue;
                r = tensor_write(writer, &proto->initializer[proto->n_initializer], tensor,
                                 writer->value_names[i], error);
                if (r < 0)
                        return r;
                proto->n_initializer++;
        }
        return 0;
}

static int graph_write(struct writer *writer, Onnx__GraphProto *proto, struct error *error) {
        const struct graph *graph = writer->graph;
        int r;

        proto->name = text_of("saccade");
        proto->node = pool_allocate(writer->pool, graph->n_nodes + 1, sizeof(*proto->node));
        /* A ScaleShift brings two constants of its own. */
        proto->initializer = pool_allocate(writer->pool, graph->n_values + 2 * graph->n_nodes,
                                           sizeof(*proto->initializer));
        if (!proto->node || !proto->initializer)
                return error_no_memory(error);
        r = interface_write(writer, proto, error);
        if (r >= 0 && graph->input_is_transposed)
                r = transpose_write(writer, proto, error);
        if (r >= 0)
                r = initializers_write(writer, proto, error);
        for (size_t i = 0; i < graph->n_nodes && r >= 0; i++) {
                const struct node *node = &graph->nodes[i];

                if (node_is_dead(node))
                        continue;
                r = node_write(writer, proto, node, error);
                if (r < 0)
                        return error_prefix(error, r, "node '%s': %s", node->name, node->type);
        }
        return r;
}

/* The oldest IR version that may carry an operator set (onnx.proto and ONNX's docs/Versioning.md). */
static int64_t ir_version_of(int opset) {
        return opset >= 21 ? 10 : opset >= 19 ? 9 : opset >= 15 ? 8 : 7;
}

static int model_write(struct writer *writer, Onnx__ModelProto *model, struct error *error) {
        Onnx__GraphProto *graph = message_new(writer, Onnx__GraphProto, onnx__graph_proto__init);
        Onnx__OperatorSetIdProto *opset =
                message_new(writer, Onnx__OperatorSetIdProto, onnx__operator_set_id_proto__init);

        model->opset_import = pool_allocate(writer->pool, 1, sizeof(*model->opset_import));
        if (!graph || !opset || !model->opset_import)
                return error_no_memory(error);
        opset->domain = text_of("");
        opset->has_version = true;
        opset->version = writer->opset;
        model->n_opset_import = 1;
        model->opset_import[0] = opset;
        model->has_ir_version = true;
        model->ir_version = ir_version_of(writer->opset);
        model->producer_name = text_of("saccade");
        if (writer->writing->description)
                model->doc_string = text_of(writer->writing->description);
        model->graph = graph;
        return graph_write(writer, graph, error);
}

int onnx_write(unsigned char **ret_bytes, size_t *ret_size, const struct graph *graph,
               const struct onnx_writing *writing, struct error *error) {
        Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
        _cleanup_(graph_freep) struct graph *upgraded = NULL;
        _cleanup_(writer_release) struct writer writer = {.writing = writing};
        unsigned char *bytes;
        size_t size;
        int r;

        r = graph_clone(&upgraded, graph, error);
        if (r >= 0)
                r = onnx_upgrade(upgraded, ONNX_WRITER_MIN_OPSET, error);
        if (r < 0)
                return r;
        writer.graph = upgraded;
        writer.opset = MAX(graph->opset, ONNX_WRITER_MIN_OPSET);
        writer.pool = pool_new();
        if (!writer.pool)
                return error_no_memory(error);
        r = name_values(&writer, error);
        if (r >= 0)
                r = model_write(&writer, &model, error);
        if (r < 0)
                return r;
        size = onnx__model_proto__get_packed_size(&model);
        if (size >= MODEL_MAX_FILE_BYTES)
                return error_set(error, ERROR_LIMIT, "a file of %zu bytes; ONNX holds less than 2 GiB",
                                 size);
        bytes = malloc(size);
        if (!bytes)
                return error_no_memory(error);
        *ret_size = onnx__model_proto__pack(&model, bytes);
        *ret_bytes = bytes;
        return 0;
}
