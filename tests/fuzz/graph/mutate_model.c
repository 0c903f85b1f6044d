/* Mutations of a model's inputs, outputs, operator sets and texts. */
#include <string.h>

#include "base/macros.h"
#include "tests/fuzz/graph/mutation.h"

static Onnx__ValueInfoProto *new_value_info(struct mutation *m, char *name) {
        Onnx__ValueInfoProto *info = mutation_allocate(m, 1, sizeof(*info));

        onnx__value_info_proto__init(info);
        info->name = name;
        return info;
}

static void mutate_value_info(struct mutation *m, Onnx__ValueInfoProto *info) {
        Onnx__TypeProto__Tensor *tensor;
        Onnx__TensorShapeProto__Dimension *dim;

        if (!info->type)
                return;
        if (mutation_one_in(m, 30)) {
                /* A sequence, which lies where a tensor would. */
                info->type = mutation_allocate(m, 1, sizeof(*info->type));
                onnx__type_proto__init(info->type);
                info->type->value_case = ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE;
                info->type->sequence_type = mutation_allocate(m, 1, sizeof(*info->type->sequence_type));
                onnx__type_proto__sequence__init(info->type->sequence_type);
                return;
        }
        tensor = info->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ? info->type->tensor_type
                                                                               : NULL;
        if (!tensor || !tensor->shape || tensor->shape->n_dim == 0)
                return;
        if (mutation_one_in(m, 20))
                tensor->elem_type = (int32_t)mutation_below(m, 20);
        dim = tensor->shape->dim[mutation_below(m, tensor->shape->n_dim)];
        switch (mutation_below(m, 12)) {
        case 0:
                tensor->shape->n_dim--;
                break;
        case 1:
                tensor->shape->dim = mutation_insert(m, tensor->shape->dim, tensor->shape->n_dim, 0,
                                                     tensor->shape->dim[0]);
                tensor->shape->n_dim++;
                break;
        case 2:
        case 3:
                dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
                dim->dim_param = mutation_string(m, "N");
                break;
        default:
                dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
                dim->dim_value = mutation_integer(m);
        }
}

void mutate_model_input(struct mutation *m) {
        Onnx__GraphProto *graph = m->graph;

        if (graph->n_input == 0)
                return;
        if (mutation_one_in(m, 20)) {
                Onnx__ValueInfoProto *info = new_value_info(m, mutation_name(m));

                info->type = graph->input[0]->type;
                graph->input = mutation_insert(m, graph->input, graph->n_input, graph->n_input, info);
                graph->n_input++;
                return;
        }
        mutate_value_info(m, graph->input[mutation_below(m, graph->n_input)]);
}

void mutate_model_output(struct mutation *m) {
        Onnx__GraphProto *graph = m->graph;

        if (graph->n_output == 0 || mutation_one_in(m, 10)) {
                graph->output = mutation_insert(m, graph->output, graph->n_output,
                                                mutation_below(m, graph->n_output + 1),
                                                new_value_info(m, mutation_name(m)));
                graph->n_output++;
        } else {
                graph->output[mutation_below(m, graph->n_output)]->name = mutation_name(m);
        }
}

void mutate_opset(struct mutation *m) {
        Onnx__ModelProto *model = m->model;

        if (model->n_opset_import == 0 || mutation_one_in(m, 20)) {
                Onnx__OperatorSetIdProto *opset = mutation_allocate(m, 1, sizeof(*opset));

                onnx__operator_set_id_proto__init(opset);
                opset->domain = mutation_string(m, mutation_one_in(m, 2) ? "ai.onnx" : "com.microsoft");
                opset->has_version = true;
                opset->version = mutation_integer(m);
                model->opset_import =
                        mutation_insert(m, model->opset_import, model->n_opset_import, 0, opset);
                model->n_opset_import++;
                return;
        }
        model->opset_import[0]->has_version = true;
        model->opset_import[0]->version =
                mutation_one_in(m, 10) ? mutation_integer(m) : 6 + (int64_t)mutation_below(m, 16);
}

/* Names that are empty, long, or no UTF-8. */
void mutate_text(struct mutation *m) {
        Onnx__GraphProto *graph = m->graph;
        size_t n = 1 + mutation_below(m, 3000);
        char *texts[] = {mutation_string(m, ""), mutation_string(m, "\xff\xc0\x1b[2J%s%n"),
                         mutation_allocate(m, n + 1, 1)};
        char *text = texts[mutation_below(m, ARRAY_SIZE(texts))];
        Onnx__NodeProto *node;

        memset(texts[2], 'x', n);
        if (graph->n_node == 0)
                return;
        node = graph->node[mutation_below(m, graph->n_node)];
        switch (mutation_below(m, 5)) {
        case 0:
                node->name = text;
                break;
        case 1:
                node->op_type = text;
                break;
        case 2:
                node->domain = text;
                break;
        case 3:
                if (node->n_output > 0)
                        node->output[0] = text;
                break;
        default:
                if (node->n_input > 0)
                        node->input[0] = text;
        }
}
