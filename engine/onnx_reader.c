#include "engine/onnx_reader.h"

#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/blob.h"
#include "engine/external_data.h"
#include "engine/operator.h"
#include "engine/protobuf_guard.h"
#include "onnx.pb-c.h"

#define OPSET_OLDEST 7
#define OPSET_NEWEST 21

/* protobuf-c keeps a pointer of 8 bytes and a struct of up to 300 bytes for a sub-message that takes 2 on
 * the wire; real models need little more than their size. */
#define UNPACK_FACTOR     4u
#define UNPACK_BASE_BYTES ((size_t)64 << 20)

struct reader {
        struct graph *graph;
        const char *directory; /* of external data, or NULL */
        size_t constant_bytes; /* of all tensors so far */
        struct hsearch_data names;
        bool names_made;
        bool network; /* see onnx_read_network() */
};

static void reader_release(struct reader *reader) {
        if (reader->names_made)
                hdestroy_r(&reader->names);
        if (reader->graph)
                graph_free(reader->graph);
}

static void modelp(Onnx__ModelProto **model) {
        if (*model)
                onnx__model_proto__free_unpacked(*model, NULL);
}

static const char *text_or(const char *text, const char *otherwise) {
        return text && text[0] ? text : otherwise;
}

/* ---- values by name ---- */

static uint32_t value_find(struct reader *reader, const char *name) {
        ENTRY *found;

        if (!hsearch_r((ENTRY){.key = (char *)name}, FIND, &found, &reader->names))
                return VALUE_NONE;
        return (uint32_t)(uintptr_t)found->data;
}

static int value_define(struct reader *reader, uint32_t *ret_value, const char *name, struct error *error) {
        ENTRY *entered;
        uint32_t value;
        int r;

        if (reader->graph->n_values >= ONNX_MAX_VALUES)
                return error_set(error, ERROR_LIMIT, "more than %u values", ONNX_MAX_VALUES);
        if (value_find(reader, name) != VALUE_NONE)
                return error_set(error, ERROR_INVALID, "value '%s' is defined twice", name);
        r = graph_add_value(reader->graph, &value, name, error);
        if (r < 0)
                return r;
        if (!hsearch_r((ENTRY){.key = (char *)reader->graph->values[value].name,
                               .data = (void *)(uintptr_t)value},
                       ENTER, &entered, &reader->names))
                return error_no_memory(error);
        *ret_value = value;
        return 0;
}

/* ---- tensors ---- */

static int dtype_read(enum dtype *ret_dtype, int32_t type, struct error *error) {
        static const enum dtype dtypes[] = {
                [ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT] = DTYPE_F32,
                [ONNX__TENSOR_PROTO__DATA_TYPE__UINT8] = DTYPE_U8,
                [ONNX__TENSOR_PROTO__DATA_TYPE__INT8] = DTYPE_I8,
                [ONNX__TENSOR_PROTO__DATA_TYPE__INT32] = DTYPE_I32,
                [ONNX__TENSOR_PROTO__DATA_TYPE__INT64] = DTYPE_I64,
                [ONNX__TENSOR_PROTO__DATA_TYPE__BOOL] = DTYPE_BOOL,
                [ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16] = DTYPE_F16,
                [ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE] = DTYPE_F64,
                [ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16] = DTYPE_BF16,
        };

        if (type <= 0 || (size_t)type >= ARRAY_SIZE(dtypes) ||
            (dtypes[type] == DTYPE_F32 && type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT))
                return error_set(error, ERROR_UNSUPPORTED, "tensor element type %" PRId32, type);
        *ret_dtype = dtypes[type];
        return 0;
}

/* Values of the typed fields, which ONNX allows instead of raw_data. */
static int tensor_fill(struct tensor *tensor, const Onnx__TensorProto *proto, struct error *error) {
        size_t n = 0;

        switch (tensor->dtype) {
        case DTYPE_F32:
                n = proto->n_float_data;
                break;
        case DTYPE_F64:
                n = proto->n_double_data;
                break;
        case DTYPE_I64:
                n = proto->n_int64_data;
                break;
        default:
                n = proto->n_int32_data;
        }
        if (n != tensor->n_elements)
                return error_set(error, ERROR_INVALID, "%zu values for a shape of %zu elements", n,
                                 tensor->n_elements);

        for (size_t i = 0; i < n; i++) {
                if (tensor->dtype == DTYPE_F32)
                        tensor_set(tensor, i, (double)proto->float_data[i], 0);
                else if (tensor->dtype == DTYPE_F64)
                        tensor_set(tensor, i, proto->double_data[i], 0);
                else if (tensor->dtype == DTYPE_I64)
                        tensor_set(tensor, i, 0, proto->int64_data[i]);
                else if (tensor->dtype == DTYPE_F16 || tensor->dtype == DTYPE_BF16)
                        ((uint16_t *)tensor->data)[i] = (uint16_t)proto->int32_data[i];
                else
                        tensor_set(tensor, i, proto->int32_data[i], proto->int32_data[i]);
        }
        return 0;
}

static int tensor_read(struct tensor **ret_tensor, struct reader *reader, Onnx__TensorProto *proto,
                       struct error *error) {
        _cleanup_(tensor_unrefp) struct tensor *tensor = NULL;
        struct shape shape;
        enum dtype dtype;
        size_t bytes;
        int r;

        r = dtype_read(&dtype, proto->data_type, error);
        if (r < 0)
                return r;
        r = shape_from_dims(&shape, proto->dims, proto->n_dims, error);
        if (r < 0)
                return r;
        bytes = shape_elements(&shape) * dtype_bytes(dtype);
        /* Tensors may share the bytes of an external file, which may itself be sparse. */
        if (!size_add(&reader->constant_bytes, reader->constant_bytes, bytes) ||
            reader->constant_bytes > ONNX_MAX_CONSTANT_BYTES)
                return error_set(error, ERROR_LIMIT, "constants of more than %zu bytes",
                                 ONNX_MAX_CONSTANT_BYTES);

        if (proto->has_data_location && proto->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
                return external_data_read(ret_tensor, dtype, &shape, proto, reader->directory, error);

        if (proto->has_raw_data) {
                if (proto->raw_data.len != bytes)
                        return error_set(error, ERROR_INVALID,
                                         "%zu bytes of raw_data, its shape and type need %zu",
                                         proto->raw_data.len, bytes);
                r = tensor_adopt(&tensor, dtype, &shape, proto->raw_data.data, error);
                if (r < 0)
                        return r;
                /* The bytes are the tensor's now: protobuf-c must not free them. */
                proto->raw_data = (ProtobufCBinaryData){0};
                proto->has_raw_data = false;
        } else {
                /* An empty message must not make gigabytes of zeros: tensor_fill() would refuse it, but too
                 * late. */
                if (shape_elements(&shape) >
                    proto->n_float_data + proto->n_int32_data + proto->n_int64_data + proto->n_double_data)
                        return error_set(error, ERROR_INVALID,
                                         "fewer values than its shape of %zu elements needs",
                                         shape_elements(&shape));
                r = tensor_new(&tensor, dtype, &shape, error);
                if (r < 0)
                        return r;
                r = tensor_fill(tensor, proto, error);
                if (r < 0)
                        return r;
        }
        *ret_tensor = steal_ptr(&tensor);
        return 0;
}

/* ---- attributes and nodes ---- */

/* Attributes that operators of the table read, and their types, which no two of these operators disagree
 * about. */
static int attribute_check(const struct attribute *attribute, struct error *error) {
        static const struct {
                const char *name, *type_name;
                enum attribute_type type;
        } known[] = {
                {"allowzero", "an integer", ATTRIBUTE_INT},
                {"alpha", "a float", ATTRIBUTE_FLOAT},
                {"auto_pad", "a string", ATTRIBUTE_STRING},
                {"axes", "a list of integers", ATTRIBUTE_INTS},
                {"axis", "an integer", ATTRIBUTE_INT},
                {"beta", "a float", ATTRIBUTE_FLOAT},
                {"ceil_mode", "an integer", ATTRIBUTE_INT},
                {"count_include_pad", "an integer", ATTRIBUTE_INT},
                {"dilations", "a list of integers", ATTRIBUTE_INTS},
                {"ends", "a list of integers", ATTRIBUTE_INTS},
                {"epsilon", "a float", ATTRIBUTE_FLOAT},
                {"group", "an integer", ATTRIBUTE_INT},
                {"keepdims", "an integer", ATTRIBUTE_INT},
                {"kernel_shape", "a list of integers", ATTRIBUTE_INTS},
                {"max", "a float", ATTRIBUTE_FLOAT},
                {"min", "a float", ATTRIBUTE_FLOAT},
                {"mode", "a string", ATTRIBUTE_STRING},
                {"pads", "a list of integers", ATTRIBUTE_INTS},
                {"perm", "a list of integers", ATTRIBUTE_INTS},
                {"starts", "a list of integers", ATTRIBUTE_INTS},
                {"strides", "a list of integers", ATTRIBUTE_INTS},
                {"to", "an integer", ATTRIBUTE_INT},
                {"transA", "an integer", ATTRIBUTE_INT},
                {"transB", "an integer", ATTRIBUTE_INT},
        };

        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                if (strcmp(attribute->name, known[i].name) == 0 && attribute->type != known[i].type)
                        return error_set(error, ERROR_INVALID, "attribute '%s' must be %s", attribute->name,
                                         known[i].type_name);
        return 0;
}

static int attribute_read(struct reader *reader, struct attribute *attribute, Onnx__AttributeProto *proto,
                          struct error *error) {
        _cleanup_(tensor_unrefp) struct tensor *tensor = NULL;
        struct pool *pool = reader->graph->pool;
        int r;

        *attribute = (struct attribute){.type = ATTRIBUTE_OTHER};
        attribute->name = pool_string(pool, text_or(proto->name, ""));
        if (!attribute->name)
                return error_no_memory(error);

        switch (proto->type) {
        case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT:
                attribute->type = ATTRIBUTE_INT;
                attribute->integer = proto->i;
                break;
        case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT:
                attribute->type = ATTRIBUTE_FLOAT;
                attribute->real = proto->f;
                break;
        case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING: {
                char *string = pool_allocate(pool, proto->s.len + 1, 1);

                if (!string)
                        return error_no_memory(error);
                if (proto->s.len > 0)
                        memcpy(string, proto->s.data, proto->s.len);
                attribute->type = ATTRIBUTE_STRING;
                attribute->string = string;
                break;
        }
        case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS:
                attribute->type = ATTRIBUTE_INTS;
                attribute->n = proto->n_ints;
                attribute->ints = pool_copy(pool, proto->ints, proto->n_ints, sizeof(*proto->ints));
                if (!attribute->ints)
                        return error_no_memory(error);
                break;
        case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS:
                attribute->type = ATTRIBUTE_FLOATS;
                attribute->n = proto->n_floats;
                attribute->floats = pool_copy(pool, proto->floats, proto->n_floats, sizeof(*proto->floats));
                if (!attribute->floats)
                        return error_no_memory(error);
                break;
        case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR:
                if (!proto->t)
                        return error_set(error, ERROR_INVALID, "attribute '%s' has no tensor",
                                         attribute->name);
                r = tensor_read(&tensor, reader, proto->t, error);
                if (r < 0)
                        return error_prefix(error, r, "attribute '%s'", attribute->name);
                r = graph_keep_tensor(reader->graph, tensor, error);
                if (r < 0)
                        return r;
                attribute->type = ATTRIBUTE_TENSOR;
                attribute->tensor = steal_ptr(&tensor);
                break;
        default:
                break;
        }
        return attribute_check(attribute, error);
}

static int node_read(struct reader *reader, struct node *node, Onnx__NodeProto *proto, int opset,
                     struct error *error) {
        struct pool *pool = reader->graph->pool;
        struct attribute *attributes;
        int r;

        *node = (struct node){.n_inputs = proto->n_input, .n_outputs = proto->n_output, .opset = opset};
        node->type = pool_string(pool, text_or(proto->op_type, "?"));
        node->domain = pool_string(pool, text_or(proto->domain, ""));
        node->name = pool_string(
                pool, text_or(proto->name, proto->n_output > 0 ? text_or(proto->output[0], "?") : "?"));
        node->inputs = pool_allocate(pool, proto->n_input, sizeof(*node->inputs));
        node->outputs = pool_allocate(pool, proto->n_output, sizeof(*node->outputs));
        attributes = pool_allocate(pool, proto->n_attribute, sizeof(*attributes));
        if (!node->type || !node->domain || !node->name || !node->inputs || !node->outputs || !attributes)
                return error_no_memory(error);

        node->op = operator_find(node->domain, node->type, opset);
        if (!node->op)
                return error_set(error, ERROR_UNSUPPORTED, "operator %s%s%s of opset %d is not supported",
                                 node->domain, node->domain[0] ? "." : "", node->type, opset);
        if (proto->n_input > node->op->inputs_max)
                return error_set(error, ERROR_INVALID, "%zu inputs, at most %zu are possible",
                                 proto->n_input, node->op->inputs_max);

        for (size_t i = 0; i < proto->n_input; i++) {
                node->inputs[i] = VALUE_NONE;
                if (!proto->input[i] || !proto->input[i][0])
                        continue;
                node->inputs[i] = value_find(reader, proto->input[i]);
                if (node->inputs[i] == VALUE_NONE)
                        return error_set(
                                error, ERROR_INVALID,
                                "input '%s' is no earlier node's output, initializer or graph input "
                                "(missing, out of order, or a cycle)",
                                proto->input[i]);
        }
        for (size_t i = 0; i < proto->n_attribute; i++) {
                r = attribute_read(reader, &attributes[i], proto->attribute[i], error);
                if (r < 0)
                        return r;
        }
        node->attributes = attributes;
        node->n_attributes = proto->n_attribute;

        for (size_t i = 0; i < proto->n_output; i++) {
                node->outputs[i] = VALUE_NONE;
                if (!proto->output[i] || !proto->output[i][0])
                        continue;
                r = value_define(reader, &node->outputs[i], proto->output[i], error);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- the graph ---- */

static int opset_of(const Onnx__ModelProto *model, const char *domain, int *ret_opset, struct error *error) {
        for (size_t i = 0; i < model->n_opset_import; i++) {
                const char *imported = text_or(model->opset_import[i]->domain, "");

                /* "ai.onnx" is another name of the default domain. */
                if (strcmp(imported, "ai.onnx") == 0)
                        imported = "";
                if (strcmp(imported, strcmp(domain, "ai.onnx") == 0 ? "" : domain) != 0)
                        continue;
                if (model->opset_import[i]->version < 1 || model->opset_import[i]->version > INT32_MAX)
                        return error_set(error, ERROR_INVALID, "opset version %" PRId64,
                                         model->opset_import[i]->version);
                *ret_opset = (int)model->opset_import[i]->version;
                return 0;
        }
        /* A file of other domains alone may be right. */
        return error_set(error, domain[0] ? ERROR_INVALID : ERROR_UNSUPPORTED,
                         "no opset is imported for domain '%s'", domain);
}

/* NULL where the type is another than a tensor's: its fields lie in a union with those of the others. */
static const Onnx__TypeProto__Tensor *tensor_type_of(const Onnx__TypeProto *type) {
        return type && type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ? type->tensor_type : NULL;
}

static int input_read(struct reader *reader, const Onnx__ValueInfoProto *proto, struct error *error) {
        struct graph *graph = reader->graph;
        const Onnx__TypeProto__Tensor *type = tensor_type_of(proto->type);
        const Onnx__TensorShapeProto *shape;
        int r;

        if (graph->input != VALUE_NONE)
                return error_set(error, ERROR_UNSUPPORTED, "more than one input ('%s' and '%s')",
                                 graph->values[graph->input].name, proto->name);
        if (!type)
                return error_set(error, ERROR_UNSUPPORTED, "input '%s' is not a tensor", proto->name);
        if (type->elem_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT)
                return error_set(error, ERROR_UNSUPPORTED,
                                 "input '%s' has element type %" PRId32 ", only float32 (1) is supported",
                                 proto->name, type->elem_type);
        shape = type->shape;
        if (!shape || shape->n_dim != 4)
                return error_set(error, ERROR_UNSUPPORTED,
                                 "input '%s' has rank %zu, an image has 4: [N, C, H, W]", proto->name,
                                 shape ? shape->n_dim : 0);

        graph->input_rank = shape->n_dim;
        for (size_t i = 0; i < shape->n_dim; i++) {
                graph->input_dims[i] = -1;
                if (shape->dim[i]->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE &&
                    shape->dim[i]->dim_value > 0)
                        graph->input_dims[i] = shape->dim[i]->dim_value;
        }
        r = value_define(reader, &graph->input, proto->name, error);
        return r;
}

static int outputs_read(struct reader *reader, const Onnx__GraphProto *proto, struct error *error) {
        struct graph *graph = reader->graph;
        struct graph_output *outputs = pool_allocate(graph->pool, proto->n_output, sizeof(*outputs));

        if (!outputs)
                return error_no_memory(error);
        for (size_t i = 0; i < proto->n_output; i++) {
                const char *name = text_or(proto->output[i]->name, "");
                const Onnx__TypeProto__Tensor *tensor = tensor_type_of(proto->output[i]->type);
                const Onnx__TensorShapeProto *shape = tensor ? tensor->shape : NULL;

                outputs[i] = (struct graph_output){.value = value_find(reader, name), .last_dim = -1};
                if (outputs[i].value == VALUE_NONE)
                        return error_set(error, ERROR_INVALID, "output '%s' is made by no node", name);
                outputs[i].is_float = tensor && tensor->elem_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
                if (shape && shape->n_dim > 0 &&
                    shape->dim[shape->n_dim - 1]->value_case ==
                            ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE)
                        outputs[i].last_dim = shape->dim[shape->n_dim - 1]->dim_value;
        }
        if (proto->n_output == 0)
                return error_set(error, ERROR_INVALID, "the graph has no output");
        graph->outputs = outputs;
        graph->n_outputs = proto->n_output;
        graph->output = outputs[0].value;
        return 0;
}

static int network_input_read(struct reader *reader, const Onnx__ValueInfoProto *proto,
                              struct error *error) {
        const Onnx__TypeProto__Tensor *type = tensor_type_of(proto->type);
        struct graph *graph = reader->graph;
        enum dtype dtype;
        uint32_t value;
        int r;

        if (!type)
                return error_set(error, ERROR_UNSUPPORTED, "input '%s' is not a tensor", proto->name);
        r = dtype_read(&dtype, type->elem_type, error);
        if (r < 0)
                return error_prefix(error, r, "input '%s'", proto->name);
        r = value_define(reader, &value, proto->name, error);
        if (r < 0)
                return r;
        graph->values[value].dtype = dtype;
        graph->network_inputs[graph->n_network_inputs++] = value;
        return 0;
}

static int network_outputs_read(struct reader *reader, const Onnx__GraphProto *proto, struct error *error) {
        struct graph *graph = reader->graph;

        graph->network_outputs =
                pool_allocate(graph->pool, proto->n_output, sizeof(*graph->network_outputs));
        if (!graph->network_outputs)
                return error_no_memory(error);
        for (size_t i = 0; i < proto->n_output; i++) {
                const char *name = text_or(proto->output[i]->name, "");

                graph->network_outputs[i] = value_find(reader, name);
                if (graph->network_outputs[i] == VALUE_NONE)
                        return error_set(error, ERROR_INVALID, "output '%s' is made by no node", name);
        }
        graph->n_network_outputs = proto->n_output;
        return 0;
}

static int graph_read(struct reader *reader, const Onnx__ModelProto *model, struct error *error) {
        Onnx__GraphProto *proto = model->graph;
        struct graph *graph = reader->graph;
        int r;

        if (proto->n_node > ONNX_MAX_NODES)
                return error_set(error, ERROR_LIMIT, "%zu nodes, the limit is %u", proto->n_node,
                                 ONNX_MAX_NODES);

        for (size_t i = 0; i < proto->n_initializer; i++) {
                _cleanup_(tensor_unrefp) struct tensor *tensor = NULL;
                const char *name = text_or(proto->initializer[i]->name, "");
                uint32_t value;

                r = tensor_read(&tensor, reader, proto->initializer[i], error);
                if (r < 0)
                        return error_prefix(error, r, "initializer '%s'", name);
                r = value_define(reader, &value, name, error);
                if (r < 0)
                        return r;
                graph_set_constant(graph, value, tensor);
        }
        if (proto->n_sparse_initializer > 0)
                return error_set(error, ERROR_UNSUPPORTED, "sparse initializers");

        graph->network_inputs = pool_allocate(graph->pool, proto->n_input, sizeof(*graph->network_inputs));
        if (!graph->network_inputs)
                return error_no_memory(error);
        /* Before IR version 4 each initializer is listed as an input too. */
        for (size_t i = 0; i < proto->n_input; i++) {
                if (!proto->input[i]->name || !proto->input[i]->name[0])
                        return error_set(error, ERROR_INVALID, "input %zu has no name", i);
                if (value_find(reader, proto->input[i]->name) != VALUE_NONE)
                        continue;
                r = reader->network ? network_input_read(reader, proto->input[i], error)
                                    : input_read(reader, proto->input[i], error);
                if (r < 0)
                        return r;
        }
        if (graph->input == VALUE_NONE && !reader->network)
                return error_set(error, ERROR_INVALID, "the graph has no input");

        graph->nodes = pool_allocate(graph->pool, proto->n_node, sizeof(*graph->nodes));
        if (!graph->nodes)
                return error_no_memory(error);
        for (size_t i = 0; i < proto->n_node; i++) {
                int opset = 0;

                r = opset_of(model, text_or(proto->node[i]->domain, ""), &opset, error);
                if (r >= 0)
                        r = node_read(reader, &graph->nodes[i], proto->node[i], opset, error);
                if (r < 0)
                        return error_prefix(error, r, "node '%s': %s",
                                            text_or(proto->node[i]->name, proto->node[i]->n_output > 0
                                                                                  ? proto->node[i]->output[0]
                                                                                  : "?"),
                                            text_or(proto->node[i]->op_type, "?"));
        }
        graph->n_nodes = proto->n_node;

        return reader->network ? network_outputs_read(reader, proto, error)
                               : outputs_read(reader, proto, error);
}

static int model_read(struct graph **ret_graph, const void *bytes, size_t size, const char *directory,
                      bool network, struct error *error) {
        _cleanup_(modelp) Onnx__ModelProto *model = NULL;
        _cleanup_(reader_release) struct reader reader = {.directory = directory, .network = network};
        struct protobuf_budget budget;
        size_t limit, n_names = 64;
        int r;

        if (size == 0)
                return error_set(error, ERROR_INVALID, "not an ONNX model (the file is empty)");
        r = protobuf_check(&onnx__model_proto__descriptor, bytes, size, error);
        if (r < 0)
                return r;
        if (!size_multiply(&limit, size, UNPACK_FACTOR) || !size_add(&limit, limit, UNPACK_BASE_BYTES))
                return error_set(error, ERROR_LIMIT, "%zu bytes", size);
        protobuf_budget_init(&budget, limit);
        model = onnx__model_proto__unpack(&budget.allocator, size, bytes);
        if (!model && budget.exhausted)
                return error_set(error, ERROR_LIMIT, "takes more than %zu bytes to unpack", limit);
        if (!model)
                return error_set(error, ERROR_INVALID,
                                 "not an ONNX model (the protobuf message does not parse)");
        if (!model->graph)
                return error_set(error, ERROR_INVALID, "not an ONNX model (it has no graph)");
        if (model->n_functions > 0)
                return error_set(error, ERROR_UNSUPPORTED, "model-local functions");

        r = graph_new(&reader.graph, error);
        if (r < 0)
                return r;
        if (model->n_opset_import > ONNX_MAX_OPSETS)
                return error_set(error, ERROR_LIMIT, "%zu opsets are imported, the limit is %u",
                                 model->n_opset_import, ONNX_MAX_OPSETS);
        r = opset_of(model, "", &reader.graph->opset, error);
        if (r < 0)
                return r;
        if ((reader.graph->opset < OPSET_OLDEST && !network) || reader.graph->opset > OPSET_NEWEST)
                return error_set(error, ERROR_UNSUPPORTED, "opset %d; %d to %d are supported",
                                 reader.graph->opset, OPSET_OLDEST, OPSET_NEWEST);

        n_names += model->graph->n_initializer + model->graph->n_input;
        for (size_t i = 0; i < model->graph->n_node && i < ONNX_MAX_NODES; i++)
                n_names += model->graph->node[i]->n_output;
        if (n_names > ONNX_MAX_VALUES)
                return error_set(error, ERROR_LIMIT, "more than %u values", ONNX_MAX_VALUES);
        /* A quarter more than names, so that open addressing keeps its probes short. */
        if (!hcreate_r(n_names + n_names / 4, &reader.names))
                return error_no_memory(error);
        reader.names_made = true;

        r = graph_read(&reader, model, error);
        if (r < 0)
                return r;
        reader.graph->derived_bytes_left =
                GRAPH_DERIVED_BASE_BYTES + GRAPH_DERIVED_FACTOR * reader.constant_bytes;
        *ret_graph = steal_ptr(&reader.graph);
        return 0;
}

int onnx_read(struct graph **ret_graph, const void *bytes, size_t size, const char *directory,
              struct error *error) {
        return model_read(ret_graph, bytes, size, directory, false, error);
}

int onnx_read_network(struct graph **ret_graph, const void *bytes, size_t size, const char *directory,
                      struct error *error) {
        return model_read(ret_graph, bytes, size, directory, true, error);
}

static void tensor_protop(Onnx__TensorProto **proto) {
        if (*proto)
                onnx__tensor_proto__free_unpacked(*proto, NULL);
}

int onnx_read_tensor(struct tensor **ret_tensor, const void *bytes, size_t size, struct error *error) {
        _cleanup_(tensor_protop) Onnx__TensorProto *proto = NULL;
        _cleanup_(reader_release) struct reader reader = {0};
        struct protobuf_budget budget;
        int r;

        r = protobuf_check(&onnx__tensor_proto__descriptor, bytes, size, error);
        if (r < 0)
                return r;
        protobuf_budget_init(&budget, UNPACK_BASE_BYTES);
        proto = onnx__tensor_proto__unpack(&budget.allocator, size, bytes);
        if (!proto)
                return error_set(error, budget.exhausted ? ERROR_LIMIT : ERROR_INVALID,
                                 "not an ONNX tensor (the protobuf message does not parse)");
        return tensor_read(ret_tensor, &reader, proto, error);
}
