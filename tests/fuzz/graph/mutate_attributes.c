/* Mutations of nodes' attributes. */
#include <string.h>

#include "base/macros.h"
#include "tests/fuzz/graph/mutation.h"

/* What ONNX's operators read, with the type that is right; a mutation sometimes takes another. */
static const struct {
        const char *name;
        Onnx__AttributeProto__AttributeType type;
} known[] = {
#define INT   ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT
#define INTS  ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS
#define REAL  ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT
#define REALS ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS
#define TEXT  ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING
#define DATA  ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR
        {"allowzero", INT},
        {"alpha", REAL},
        {"approximate", TEXT},
        {"auto_pad", TEXT},
        {"axes", INTS},
        {"axis", INT},
        {"batch_dims", INT},
        {"beta", REAL},
        {"blocksize", INT},
        {"ceil_mode", INT},
        {"coordinate_transformation_mode", TEXT},
        {"count_include_pad", INT},
        {"cubic_coeff_a", REAL},
        {"dilations", INTS},
        {"direction", TEXT},
        {"dtype", INT},
        {"end", INT},
        {"ends", INTS},
        {"epsilon", REAL},
        {"equation", TEXT},
        {"exclusive", INT},
        {"fmod", INT},
        {"gamma", REAL},
        {"group", INT},
        {"keepdims", INT},
        {"kernel_shape", INTS},
        {"largest", INT},
        {"max", REAL},
        {"min", REAL},
        {"mode", TEXT},
        {"nearest_mode", TEXT},
        {"noop_with_empty_axes", INT},
        {"num_outputs", INT},
        {"output_padding", INTS},
        {"p", INT},
        {"pads", INTS},
        {"perm", INTS},
        {"reverse", INT},
        {"select_last_index", INT},
        {"size", INT},
        {"sorted", INT},
        {"spatial", INT},
        {"split", INTS},
        {"start", INT},
        {"starts", INTS},
        {"stash_type", INT},
        {"storage_order", INT},
        {"strides", INTS},
        {"to", INT},
        {"training_mode", INT},
        {"transA", INT},
        {"transB", INT},
        {"upper", INT},
        {"value", DATA},
        {"value_float", REAL},
        {"value_floats", REALS},
        {"value_int", INT},
        {"value_ints", INTS},
};

static const char *const texts[] = {"SAME_UPPER",    "SAME_LOWER", "VALID",   "NOTSET",       "constant",
                                    "edge",          "reflect",    "nearest", "linear",       "cubic",
                                    "tanh",          "none",       "DCR",     "CRD",          "half_pixel",
                                    "asymmetric",    "floor",      "",        "bij,bjk->bik", "ii->i",
                                    "align_corners", "S"};

static void fill(struct mutation *m, Onnx__AttributeProto *attribute,
                 Onnx__AttributeProto__AttributeType type) {
        attribute->has_type = true;
        attribute->type = type;
        if (type == INT) {
                attribute->has_i = true;
                attribute->i = mutation_integer(m);
        } else if (type == INTS) {
                attribute->n_ints = mutation_one_in(m, 8) ? mutation_below(m, 40) : 1 + mutation_below(m, 4);
                attribute->ints = mutation_allocate(m, attribute->n_ints, sizeof(*attribute->ints));
                for (size_t i = 0; i < attribute->n_ints; i++)
                        attribute->ints[i] = mutation_integer(m);
        } else if (type == REAL) {
                attribute->has_f = true;
                attribute->f = mutation_real(m);
        } else if (type == REALS) {
                attribute->n_floats = mutation_below(m, 6);
                attribute->floats = mutation_allocate(m, attribute->n_floats, sizeof(*attribute->floats));
                for (size_t i = 0; i < attribute->n_floats; i++)
                        attribute->floats[i] = mutation_real(m);
        } else if (type == TEXT) {
                const char *text = texts[mutation_below(m, ARRAY_SIZE(texts))];

                attribute->has_s = true;
                attribute->s.data = (uint8_t *)mutation_string(m, text);
                attribute->s.len = strlen(text);
        } else if (type == DATA && m->graph->n_initializer > 0) {
                attribute->t = m->graph->initializer[mutation_below(m, m->graph->n_initializer)];
        }
}

void mutate_add_attribute(struct mutation *m) {
        size_t kind = mutation_below(m, ARRAY_SIZE(known));
        Onnx__AttributeProto *attribute;
        Onnx__NodeProto *node;

        if (m->graph->n_node == 0)
                return;
        node = m->graph->node[mutation_below(m, m->graph->n_node)];
        attribute = mutation_new_attribute(m, known[kind].name);
        fill(m, attribute,
             mutation_one_in(m, 12) ? known[mutation_below(m, ARRAY_SIZE(known))].type : known[kind].type);
        node->attribute =
                mutation_insert(m, node->attribute, node->n_attribute, node->n_attribute, attribute);
        node->n_attribute++;
}

/* Graphs in attributes of nodes of graphs. */
void mutate_nesting(struct mutation *m) {
        Onnx__GraphProto *graph = m->graph;
        Onnx__NodeProto *node;

        if (graph->n_node == 0)
                return;
        node = graph->node[mutation_below(m, graph->n_node)];
        for (size_t depth = 1 + mutation_below(m, 30); depth > 0; depth--) {
                Onnx__AttributeProto *attribute = mutation_new_attribute(m, "body");

                attribute->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH;
                attribute->g = mutation_allocate(m, 1, sizeof(*attribute->g));
                onnx__graph_proto__init(attribute->g);
                node->attribute =
                        mutation_insert(m, node->attribute, node->n_attribute, node->n_attribute, attribute);
                node->n_attribute++;
                node = mutation_allocate(m, 1, sizeof(*node));
                onnx__node_proto__init(node);
                attribute->g->node = mutation_insert(m, NULL, 0, 0, node);
                attribute->g->n_node = 1;
        }
}

void mutate_attribute(struct mutation *m) {
        Onnx__AttributeProto *attribute;
        Onnx__NodeProto *node = NULL;
        size_t index;

        for (size_t i = 0; i < 8 && m->graph->n_node > 0 && (!node || node->n_attribute == 0); i++)
                node = m->graph->node[mutation_below(m, m->graph->n_node)];
        if (!node || node->n_attribute == 0)
                return;
        index = mutation_below(m, node->n_attribute);
        attribute = node->attribute[index];
        switch (mutation_below(m, 8)) {
        case 0:
                mutation_remove(node->attribute, &node->n_attribute, index);
                break;
        case 1: /* another name, the same value */
                attribute->name = mutation_string(m, known[mutation_below(m, ARRAY_SIZE(known))].name);
                break;
        case 2: /* another type, and maybe no value of it */
                attribute->has_type = !mutation_one_in(m, 8);
                attribute->type = (Onnx__AttributeProto__AttributeType)mutation_below(m, 15);
                break;
        case 3: /* given twice */
                node->attribute = mutation_insert(m, node->attribute, node->n_attribute, index, attribute);
                node->n_attribute++;
                break;
        case 4:
                fill(m, attribute, attribute->type);
                break;
        default: /* one number of it */
                if (attribute->n_ints > 0)
                        attribute->ints[mutation_below(m, attribute->n_ints)] = mutation_integer(m);
                else
                        fill(m, attribute, attribute->type);
        }
}
