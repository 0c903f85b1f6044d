#include "tests/conformance/node_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/blob.h"
#include "engine/network.h"
#include "engine/onnx_reader.h"

/* Those of the ONNX project's own runner (onnx/backend/test/runner, 1.12). */
#define TOLERANCE_RELATIVE 1e-3
#define TOLERANCE_ABSOLUTE 1e-7

#define INPUTS_MAX         16u
#define FILE_MAX_BYTES     ((size_t)64 << 20)

struct tensors {
        struct tensor *list[INPUTS_MAX];
        size_t n;
};

static void tensors_release(struct tensors *tensors) {
        for (size_t i = 0; i < tensors->n; i++)
                tensor_unref(tensors->list[i]);
}

/* kind_0.pb, kind_1.pb, ... of directory. */
static int tensors_read(struct tensors *tensors, const char *directory, const char *kind,
                        struct error *error) {
        for (; tensors->n < INPUTS_MAX; tensors->n++) {
                _cleanup_(blob_release) struct blob blob = BLOB_NONE;
                char path[4096];
                int r;

                snprintf(path, sizeof(path), "%s/test_data_set_0/%s_%zu.pb", directory, kind, tensors->n);
                r = blob_read(&blob, path, FILE_MAX_BYTES, error);
                if (r == ERROR_NOT_FOUND)
                        return 0;
                if (r >= 0)
                        r = onnx_read_tensor(&tensors->list[tensors->n], blob.bytes, blob.size, error);
                if (r < 0)
                        return error_prefix(error, r, "%s_%zu.pb", kind, tensors->n);
        }
        return error_set(error, ERROR_LIMIT, "more than %u tensors", INPUTS_MAX);
}

static bool is_data(enum feed feed, const struct network *network, size_t input) {
        return network_input_dtype(network, input) == DTYPE_F32 &&
               (feed == FEED_DATA || (feed == FEED_FIRST_DATA && input == 0));
}

static int feed_and_run(struct network *network, const struct tensors *inputs, enum feed feed,
                        struct error *error) {
        const float *data[INPUTS_MAX] = {0};
        int r = 0;

        if (inputs->n != network_n_inputs(network))
                return error_set(error, ERROR_INTERNAL, "%zu inputs, %zu files", network_n_inputs(network),
                                 inputs->n);
        for (size_t i = 0; i < inputs->n && r >= 0; i++)
                if (is_data(feed, network, i)) {
                        network_set_shape(network, i, &inputs->list[i]->shape);
                        data[i] = inputs->list[i]->data;
                } else {
                        r = network_set_constant(network, i, inputs->list[i], error);
                }
        if (r >= 0)
                r = network_prepare(network, error);
        /* Twice: what the first run left behind must not show in the second. */
        for (int i = 0; i < 2 && r >= 0; i++)
                r = network_run(network, data, error);
        return r;
}

static bool is_integer(enum dtype dtype) {
        return dtype != DTYPE_F32 && dtype != DTYPE_F64 && dtype != DTYPE_F16 && dtype != DTYPE_BF16;
}

/* "" or what is wrong with an output. */
static void compare(char *text, size_t text_bytes, const struct network_output *output,
                    const struct tensor *expected) {
        struct tensor got = {.dtype = output->dtype,
                             .shape = output->shape,
                             .n_elements = shape_elements(&output->shape),
                             .data = (void *)output->data};
        char shapes[2][SHAPE_TEXT_BYTES];

        text[0] = '\0';
        if (got.dtype != expected->dtype || !shape_equal(&got.shape, &expected->shape)) {
                snprintf(text, text_bytes, "%s %s instead of %s %s", dtype_name(got.dtype),
                         shape_text(&got.shape, shapes[0]), dtype_name(expected->dtype),
                         shape_text(&expected->shape, shapes[1]));
                return;
        }
        for (size_t i = 0; i < got.n_elements; i++) {
                double a = tensor_real(&got, i), b = tensor_real(expected, i);
                bool same = is_integer(got.dtype) ? tensor_integer(&got, i) == tensor_integer(expected, i)
                            : isnan(b)            ? isnan(a)
                            : isinf(b)            ? a == b
                                       : fabs(a - b) <= TOLERANCE_ABSOLUTE + TOLERANCE_RELATIVE * fabs(b);

                if (!same) {
                        snprintf(text, text_bytes, "element %zu is %.9g instead of %.9g", i, a, b);
                        return;
                }
        }
}

static void types_add(struct node_test *test, const char *name) {
        size_t used = strlen(test->types);

        if (!strstr(test->types, name))
                snprintf(test->types + used, sizeof(test->types) - used, "%s%s", used > 0 ? ", " : "", name);
}

static void describe(struct node_test *test, const struct network *network, const struct tensors *inputs,
                     const struct tensors *outputs) {
        if (network_n_nodes(network) == 1)
                snprintf(test->operator, sizeof(test->operator), "%s", network_operator(network));
        test->types[0] = '\0';
        if (inputs->n > 0)
                types_add(test, dtype_name(inputs->list[0]->dtype));
        else if (outputs->n > 0)
                types_add(test, dtype_name(outputs->list[0]->dtype));
}

static enum outcome run(struct node_test *test, const char *directory, enum feed feed) {
        _cleanup_(network_freep) struct network *network = NULL;
        _cleanup_(tensors_release) struct tensors inputs = {0}, outputs = {0};
        _cleanup_(blob_release) struct blob blob = BLOB_NONE;
        struct error error = ERROR_NONE;
        char *text = test->texts[feed], path[4096];
        int r;

        snprintf(path, sizeof(path), "%s/model.onnx", directory);
        r = blob_read(&blob, path, FILE_MAX_BYTES, &error);
        if (r >= 0)
                r = network_read(&network, blob.bytes, blob.size, &error);
        if (r >= 0)
                r = tensors_read(&inputs, directory, "input", &error);
        if (r >= 0)
                r = tensors_read(&outputs, directory, "output", &error);
        if (r >= 0)
                describe(test, network, &inputs, &outputs);
        if (r >= 0)
                r = feed_and_run(network, &inputs, feed, &error);
        if (r < 0) {
                snprintf(text, sizeof(test->texts[feed]), "%s", error.text);
                return r == ERROR_UNSUPPORTED || r == ERROR_LIMIT ? OUTCOME_UNSUPPORTED : OUTCOME_WRONG;
        }
        for (size_t i = 0; i < outputs.n; i++) {
                struct network_output output = network_output(network, i);

                compare(text, sizeof(test->texts[feed]), &output, outputs.list[i]);
                if (text[0])
                        return OUTCOME_WRONG;
        }
        return outputs.n == network_n_outputs(network) ? OUTCOME_PASSED : OUTCOME_WRONG;
}

void node_test_run(struct node_test *ret_test, const char *directory) {
        *ret_test = (struct node_test){0};
        for (size_t i = 0; i < N_FEEDS; i++)
                ret_test->outcomes[i] = run(ret_test, directory, (enum feed)i);
}

bool node_test_passed(const struct node_test *test) {
        for (size_t i = 0; i < N_FEEDS; i++)
                if (test->outcomes[i] == OUTCOME_PASSED && !node_test_wrong(test))
                        return true;
        return false;
}

bool node_test_wrong(const struct node_test *test) {
        for (size_t i = 0; i < N_FEEDS; i++)
                if (test->outcomes[i] == OUTCOME_WRONG)
                        return true;
        return false;
}
