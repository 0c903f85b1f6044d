/* The writer of ONNX files: what is written is read again as it was, and an older operator set means the
 * same in a newer one. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "engine/onnx_reader.h"
#include "engine/onnx_writer.h"
#include "tests/quantize/graph_maker.h"
#include "tests/suite.h"

static const int64_t DIMS[] = {-1, 3, 8, 8};

static float count(size_t index) {
        return (float)index;
}

static struct graph *written(const struct graph *graph, unsigned char **ret_bytes, size_t *ret_size) {
        static const struct onnx_writing writing = {.output_name = "scores"};
        struct source *source = NULL;
        struct graph *read = NULL;
        struct error error = ERROR_NONE;

        ck_assert_msg(onnx_write(ret_bytes, ret_size, graph, &writing, &error) == 0, "%s", error.text);
        ck_assert_int_eq(source_borrow(&source, *ret_bytes, *ret_size, NULL), 0);
        ck_assert_msg(onnx_read(&read, source, NULL, &error) == 0, "%s", error.text);
        source_unref(source);
        return read;
}

static const struct node *node_called(const struct graph *graph, const char *name) {
        for (size_t i = 0; i < graph->n_nodes; i++)
                if (strcmp(graph->nodes[i].name, name) == 0)
                        return &graph->nodes[i];
        ck_abort_msg("no node '%s'", name);
        return NULL;
}

/* The integers of a constant input. */
static void assert_integers(const struct graph *graph, const struct node *node, size_t input,
                            const int64_t *expected, size_t n) {
        const struct tensor *tensor = graph_input_constant(graph, node, input);

        ck_assert_ptr_nonnull(tensor);
        ck_assert_int_eq(tensor->dtype, DTYPE_I64);
        ck_assert_uint_eq(tensor->n_elements, n);
        for (size_t i = 0; i < n; i++)
                ck_assert_int_eq(tensor_integer(tensor, i), expected[i]);
}

START_TEST(a_graph_is_read_as_it_was_written_and_written_the_same_again) {
        static const int64_t pads[] = {1, 2, 3, 4};
        static const float scales[] = {0.5f, 2};
        static const struct attribute attributes[] = {
                {.name = "pads", .type = ATTRIBUTE_INTS, .ints = pads, .n = 4},
                {.name = "group", .type = ATTRIBUTE_INT, .integer = 3},
                {.name = "auto_pad", .type = ATTRIBUTE_STRING, .string = "NOTSET"},
                {.name = "slope", .type = ATTRIBUTE_FLOAT, .real = 0.25f},
                {.name = "scales", .type = ATTRIBUTE_FLOATS, .floats = scales, .n = 2}};
        _cleanup_(graph_freep) struct graph *graph = made_graph(13, DIMS, 4), *read = NULL, *again = NULL;
        _cleanup_(freep) unsigned char *bytes = NULL, *bytes_again = NULL;
        uint32_t w = made_constant(graph, "w", (const size_t[]){3, 1, 3, 3}, 4, count);
        const struct node *node;
        size_t size, size_again;

        made_node(graph, "Conv", "conv", (const uint32_t[]){graph->input, w, VALUE_NONE}, attributes,
                  ARRAY_SIZE(attributes));
        read = written(graph, &bytes, &size);
        ck_assert_str_eq(read->values[read->input].name, "input");
        ck_assert_str_eq(read->values[read->output].name, "scores");
        ck_assert_int_eq(read->opset, 13);
        ck_assert_uint_eq(read->input_rank, 4);
        ck_assert_int_eq(read->input_dims[0], -1);
        ck_assert_int_eq(read->input_dims[3], 8);
        node = node_called(read, "conv");
        ck_assert(node_is(node, "Conv"));
        ck_assert_mem_eq(node_attribute(node, "pads")->ints, pads, sizeof(pads));
        ck_assert_int_eq(node_attribute_integer(node, "group", 0), 3);
        ck_assert_str_eq(node_attribute_string(node, "auto_pad", ""), "NOTSET");
        ck_assert_float_eq(node_attribute_real(node, "slope", 0), 0.25f);
        ck_assert_mem_eq(node_attribute(node, "scales")->floats, scales, sizeof(scales));
        ck_assert_uint_eq(graph_input_constant(read, node, 1)->n_elements, 27);
        ck_assert_float_eq((float)tensor_real(graph_input_constant(read, node, 1), 26), 26);

        again = written(read, &bytes_again, &size_again);
        ck_assert_uint_eq(size_again, size);
        ck_assert_mem_eq(bytes_again, bytes, size);
}
END_TEST

/* Two nodes may have one name, and so the values that simplification calls after them; other runtimes refuse
 * both. */
START_TEST(nodes_and_values_of_one_name_are_told_apart) {
        _cleanup_(graph_freep) struct graph *graph = made_graph(13, DIMS, 4), *read = NULL;
        _cleanup_(freep) unsigned char *bytes = NULL;
        uint32_t x = made_node(graph, "Relu", "same", (const uint32_t[]){graph->input, VALUE_NONE}, NULL, 0);
        size_t size;

        x = made_node(graph, "Relu", "same", (const uint32_t[]){x, VALUE_NONE}, NULL, 0);
        made_node(graph, "Relu", "last", (const uint32_t[]){x, VALUE_NONE}, NULL, 0);
        read = written(graph, &bytes, &size);
        ck_assert_uint_eq(read->n_nodes, 3);
        ck_assert_str_eq(read->nodes[0].name, "same");
        ck_assert_str_eq(read->nodes[1].name, "same:2");
        ck_assert_str_eq(read->nodes[2].name, "last");
        ck_assert_uint_eq(node_input(&read->nodes[1], 0), node_output(&read->nodes[0], 0));
        ck_assert_uint_eq(node_input(&read->nodes[2], 0), node_output(&read->nodes[1], 0));
}
END_TEST

/* What each of them said by attributes in operator set 9 are inputs in 13. */
START_TEST(attributes_of_an_older_operator_set_become_inputs) {
        static const int64_t pads[] = {0, 0, 1, 1, 0, 0, 1, 1}, starts[] = {1, 1}, ends[] = {7, 8},
                             slice_axes[] = {2, 3}, split[] = {3}, unsqueeze_axes[] = {4},
                             squeeze_axes[] = {4};
        const struct attribute pad[] = {{.name = "pads", .type = ATTRIBUTE_INTS, .ints = pads, .n = 8},
                                        {.name = "mode", .type = ATTRIBUTE_STRING, .string = "constant"},
                                        {.name = "value", .type = ATTRIBUTE_FLOAT, .real = 0.5f}};
        const struct attribute clip[] = {{.name = "min", .type = ATTRIBUTE_FLOAT, .real = -1},
                                         {.name = "max", .type = ATTRIBUTE_FLOAT, .real = 6}};
        const struct attribute slice[] = {
                {.name = "starts", .type = ATTRIBUTE_INTS, .ints = starts, .n = 2},
                {.name = "ends", .type = ATTRIBUTE_INTS, .ints = ends, .n = 2},
                {.name = "axes", .type = ATTRIBUTE_INTS, .ints = slice_axes, .n = 2}};
        const struct attribute unsqueeze[] = {
                {.name = "axes", .type = ATTRIBUTE_INTS, .ints = unsqueeze_axes, .n = 1}};
        const struct attribute squeeze[] = {
                {.name = "axes", .type = ATTRIBUTE_INTS, .ints = squeeze_axes, .n = 1}};
        const struct attribute split_attributes[] = {
                {.name = "axis", .type = ATTRIBUTE_INT, .integer = 1},
                {.name = "split", .type = ATTRIBUTE_INTS, .ints = split, .n = 1}};
        _cleanup_(graph_freep) struct graph *graph = made_graph(9, DIMS, 4), *read = NULL;
        _cleanup_(freep) unsigned char *bytes = NULL;
        const struct node *node;
        size_t size;
        uint32_t x;

        x = made_node(graph, "Pad", "pad", (const uint32_t[]){graph->input, VALUE_NONE}, pad, 3);
        x = made_node(graph, "Clip", "clip", (const uint32_t[]){x, VALUE_NONE}, clip, 2);
        x = made_node(graph, "Slice", "slice", (const uint32_t[]){x, VALUE_NONE}, slice, 3);
        x = made_node(graph, "Split", "split", (const uint32_t[]){x, VALUE_NONE}, split_attributes, 2);
        x = made_node(graph, "Unsqueeze", "unsqueeze", (const uint32_t[]){x, VALUE_NONE}, unsqueeze, 1);
        made_node(graph, "Squeeze", "squeeze", (const uint32_t[]){x, VALUE_NONE}, squeeze, 1);
        read = written(graph, &bytes, &size);
        ck_assert_int_eq(read->opset, 13);
        ck_assert_int_eq(graph->opset, 9);

        node = node_called(read, "pad");
        assert_integers(read, node, 1, pads, 8);
        ck_assert_float_eq((float)tensor_real(graph_input_constant(read, node, 2), 0), 0.5f);
        ck_assert_ptr_null(node_attribute(node, "pads"));
        ck_assert_str_eq(node_attribute_string(node, "mode", ""), "constant");
        node = node_called(read, "clip");
        ck_assert_float_eq((float)tensor_real(graph_input_constant(read, node, 1), 0), -1);
        ck_assert_float_eq((float)tensor_real(graph_input_constant(read, node, 2), 0), 6);
        node = node_called(read, "slice");
        assert_integers(read, node, 1, starts, 2);
        assert_integers(read, node, 2, ends, 2);
        assert_integers(read, node, 3, slice_axes, 2);
        assert_integers(read, node_called(read, "split"), 1, split, 1);
        ck_assert_int_eq(node_attribute_integer(node_called(read, "split"), "axis", 0), 1);
        assert_integers(read, node_called(read, "unsqueeze"), 1, unsqueeze_axes, 1);
        assert_integers(read, node_called(read, "squeeze"), 1, squeeze_axes, 1);
}
END_TEST

/* Operator set 9 took everything from the axis on as one row, 13 takes one dimension. */
START_TEST(what_changed_its_meaning_is_refused_by_name) {
        const struct attribute axis[] = {{.name = "axis", .type = ATTRIBUTE_INT, .integer = 1}};
        static const struct onnx_writing writing = {0};
        _cleanup_(graph_freep) struct graph *graph = made_graph(9, DIMS, 4);
        _cleanup_(freep) unsigned char *bytes = NULL;
        struct error error = ERROR_NONE;
        size_t size;

        made_node(graph, "Softmax", "soft", (const uint32_t[]){graph->input, VALUE_NONE}, axis, 1);
        ck_assert_int_eq(onnx_write(&bytes, &size, graph, &writing, &error), ERROR_UNSUPPORTED);
        ck_assert_ptr_nonnull(strstr(error.text, "node 'soft': Softmax: opset 9 normalises all dimensions"));
}
END_TEST

int main(void) {
        TCase *tcase = tcase_create("all");

        tcase_add_test(tcase, a_graph_is_read_as_it_was_written_and_written_the_same_again);
        tcase_add_test(tcase, nodes_and_values_of_one_name_are_told_apart);
        tcase_add_test(tcase, attributes_of_an_older_operator_set_become_inputs);
        tcase_add_test(tcase, what_changed_its_meaning_is_refused_by_name);
        return suite_run_as("onnx_writer", tcase);
}
