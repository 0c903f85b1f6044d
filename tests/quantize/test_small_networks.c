/* What quantising does to networks whose answers are known: equalisation, and the search for what must stay
 * float32. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/model_internal.h"
#include "engine/onnx_writer.h"
#include "engine/specialise.h"
#include "quantize/equalise.h"
#include "quantize/keeping_cost.h"
#include "quantize/quantize.h"
#include "quantize/runner.h"
#include "tests/quantize/graph_maker.h"
#include "tests/suite.h"

#define SIDE       16u
#define CHANNELS   8u
#define CLASSES    10u
#define N_PICTURES 64u

/* Numbers between -1 and 1 that look like noise. */
static float noise(size_t index) {
        return (float)((index * 2654435761u + 40503u) % 2001u) / 1000.0f - 1.0f;
}

/* Channels a thousand times larger than others: a scale for all of them leaves nothing of the smallest. */
static float magnitude(size_t channel) {
        return powf(10, -3.0f * (float)channel / (float)(CHANNELS - 1));
}

static float first_weights(size_t index) {
        return noise(index) * magnitude(index / 27);
}

/* What the next layer makes of it is of one size again. */
static float depthwise_weights(size_t index) {
        return noise(index + 7000) / magnitude(index / 9);
}

static float last_weights(size_t index) {
        return noise(index + 9000);
}

static float half(_unused_ size_t index) {
        return 0.5f;
}

static float zero(_unused_ size_t index) {
        return 0;
}

static float one(_unused_ size_t index) {
        return 1;
}

/* A convolution, a depthwise one with badly scaled channels, a pointwise one, and the mean. */
static void network_write(unsigned char **ret_bytes, size_t *ret_size, bool clip) {
        static const int64_t dims[] = {-1, 3, SIDE, SIDE}, pads[] = {1, 1, 1, 1};
        static const struct attribute conv[] = {
                {.name = "pads", .type = ATTRIBUTE_INTS, .ints = pads, .n = 4},
                {.name = "group", .type = ATTRIBUTE_INT, .integer = 1}};
        static const struct attribute depthwise[] = {
                {.name = "pads", .type = ATTRIBUTE_INTS, .ints = pads, .n = 4},
                {.name = "group", .type = ATTRIBUTE_INT, .integer = CHANNELS}};
        static const size_t output_dims[] = {1, CLASSES};
        const struct onnx_writing writing = {
                .output_dims = output_dims, .n_output_dims = 2, .batch_is_open = true};
        _cleanup_(graph_freep) struct graph *graph = made_graph(13, dims, 4);
        uint32_t w1 = made_constant(graph, "w1", (const size_t[]){CHANNELS, 3, 3, 3}, 4, first_weights);
        uint32_t w2 = made_constant(graph, "w2", (const size_t[]){CHANNELS, 1, 3, 3}, 4, depthwise_weights);
        uint32_t w3 = made_constant(graph, "w3", (const size_t[]){CLASSES, CHANNELS, 1, 1}, 4, last_weights);
        uint32_t b2 = made_constant(graph, "b2", (const size_t[]){CHANNELS}, 1, half);
        uint32_t low = made_constant(graph, "low", NULL, 0, zero),
                 high = made_constant(graph, "high", NULL, 0, one);
        uint32_t x;

        x = made_node(graph, "Conv", "conv", (const uint32_t[]){graph->input, w1, VALUE_NONE}, conv, 2);
        x = clip ? made_node(graph, "Clip", "clip", (const uint32_t[]){x, low, high, VALUE_NONE}, NULL, 0)
                 : made_node(graph, "Relu", "relu", (const uint32_t[]){x, VALUE_NONE}, NULL, 0);
        x = made_node(graph, "Conv", "depthwise", (const uint32_t[]){x, w2, b2, VALUE_NONE}, depthwise, 2);
        x = made_node(graph, "Relu", "relu_2", (const uint32_t[]){x, VALUE_NONE}, NULL, 0);
        x = made_node(graph, "Conv", "pointwise", (const uint32_t[]){x, w3, VALUE_NONE}, NULL, 0);
        x = made_node(graph, "GlobalAveragePool", "mean", (const uint32_t[]){x, VALUE_NONE}, NULL, 0);
        made_node(graph, "Flatten", "scores", (const uint32_t[]){x, VALUE_NONE}, NULL, 0);
        ck_assert_int_eq(onnx_write(ret_bytes, ret_size, graph, &writing, NULL), 0);
}

static struct model *open_bytes(const unsigned char *bytes, size_t size, const struct model_watch *watch) {
        const struct model_source source = {.name = "small", .onnx = blob_borrow(bytes, size)};
        const struct model_options options = {.precision = PRECISION_F32, .watch = watch};
        struct error error = ERROR_NONE;
        struct model *model = NULL;

        ck_assert_msg(model_open_source_with(&model, &source, NULL, &options, &error) == 0, "%s",
                      error.text);
        return model;
}

static unsigned char pixels[N_PICTURES * SIDE * SIDE * 3], dull_pixels[N_PICTURES * SIDE * SIDE * 3];
static struct picture names[N_PICTURES];
static struct pictures pictures = {.pictures = names,
                                   .pixels = pixels,
                                   .image_bytes = SIDE * SIDE * 3,
                                   .n = N_PICTURES,
                                   .n_found = N_PICTURES};
/* What ranges are taken on where answers must hold for pictures of more contrast, too. */
static struct pictures dull_pictures = {.pictures = names,
                                        .pixels = dull_pixels,
                                        .image_bytes = SIDE * SIDE * 3,
                                        .n = N_PICTURES,
                                        .n_found = N_PICTURES};
static const struct parallel parallel = {.threads = 1};

/* From dark to bright, in steps so small that some lie between two classes. */
static void pictures_make(void) {
        for (size_t i = 0; i < sizeof(pixels); i++) {
                size_t picture = i / pictures.image_bytes;

                pixels[i] = (unsigned char)((i * 2654435761u >> 13) % 64 + 3 * picture);
                dull_pixels[i] = (unsigned char)(120 + (pixels[i] - 120) * 7 / 10);
        }
        for (size_t i = 0; i < N_PICTURES; i++)
                names[i].class = PICTURES_NO_CLASS;
}

/* The network's bytes with its pairs equalised. */
static size_t equalised_write(unsigned char **ret_bytes, size_t *ret_size, const unsigned char *bytes,
                              size_t size) {
        static const char *const watched[] = {"clip", "relu", "relu_2"};
        static const bool channels_last[ARRAY_SIZE(watched)];
        static const size_t output_dims[] = {1, CLASSES};
        const struct onnx_writing writing = {
                .output_dims = output_dims, .n_output_dims = 2, .batch_is_open = true};
        _cleanup_(model_freep) struct model *model = open_bytes(bytes, size, NULL), *watching = NULL;
        _cleanup_(graph_freep) struct graph *graph = NULL, *shapes = NULL;
        _cleanup_(scheme_freep) struct scheme *scheme = NULL;
        _cleanup_(calibration_freep) struct calibration *calibration = NULL;
        _cleanup_(freep) uint32_t *watch_of = NULL;
        const char *found[ARRAY_SIZE(watched)];
        struct model_watch watch = {.names = found};
        struct shape input;
        size_t n_pairs = SIZE_MAX;

        ck_assert_int_eq(graph_clone(&graph, model_graph(model), NULL), 0);
        ck_assert_int_eq(graph_clone(&shapes, model_graph(model), NULL), 0);
        ck_assert_int_eq(model_input_shape(&input, model, 1, 0, 0, NULL), 0);
        ck_assert_int_eq(graph_specialise(shapes, &input, NULL), 0);
        ck_assert_int_eq(scheme_new(&scheme, model_graph(model), shapes, NULL, NULL), 0);
        watch_of = malloc(graph->n_values * sizeof(*watch_of));
        ck_assert_ptr_nonnull(watch_of);
        for (uint32_t v = 0; v < graph->n_values; v++) {
                watch_of[v] = VALUE_NONE;
                for (size_t i = 0; i < ARRAY_SIZE(watched); i++)
                        if (strcmp(graph->values[v].name, watched[i]) == 0) {
                                watch_of[v] = (uint32_t)watch.n;
                                found[watch.n++] = watched[i];
                        }
        }
        ck_assert_uint_eq(watch.n, 2);
        watching = open_bytes(bytes, size, &watch);
        ck_assert_int_eq(calibration_new(&calibration, watching, channels_last, watch.n, &dull_pictures,
                                         &parallel, NULL),
                         0);
        ck_assert_int_eq(equalise(graph, scheme, calibration, watch_of, &n_pairs, NULL), 0);
        ck_assert_int_eq(onnx_write(ret_bytes, ret_size, graph, &writing, NULL), 0);
        return n_pairs;
}

static void assert_same_answers(bool clip) {
        _cleanup_(freep) unsigned char *bytes = NULL, *equalised = NULL;
        _cleanup_(model_freep) struct model *before = NULL, *after = NULL;
        float theirs[N_PICTURES * CLASSES], mine[N_PICTURES * CLASSES];
        float largest = 0;
        size_t size, equalised_size;

        network_write(&bytes, &size, clip);
        ck_assert_uint_ge(equalised_write(&equalised, &equalised_size, bytes, size), 1);
        ck_assert(equalised_size != size || memcmp(equalised, bytes, size) != 0);
        before = open_bytes(bytes, size, NULL);
        after = open_bytes(equalised, equalised_size, NULL);
        ck_assert_int_eq(runner_outputs(theirs, before, &pictures, 1, false, &parallel, NULL), 0);
        ck_assert_int_eq(runner_outputs(mine, after, &pictures, 1, false, &parallel, NULL), 0);
        for (size_t i = 0; i < ARRAY_SIZE(mine); i++)
                largest = MAX(largest, fabsf(theirs[i]));
        for (size_t i = 0; i < ARRAY_SIZE(mine); i++)
                ck_assert_float_eq_tol(mine[i], theirs[i], 1e-4f * largest);
}

START_TEST(equalising_leaves_the_answers_of_float32) {
        assert_same_answers(false);
}
END_TEST

/* The largest channels reach 1, and must be cut off there as before. */
START_TEST(equalising_leaves_what_a_clip_cuts_off) {
        assert_same_answers(true);
}
END_TEST

static struct agreement quantised(enum equalising equalising, const unsigned char *bytes, size_t size,
                                  bool *ret_taken) {
        _cleanup_(model_freep) struct model *model = open_bytes(bytes, size, NULL);
        _cleanup_(quantize_result_freep) struct quantize_result *result = NULL;
        const struct model_source source = {.name = "small"};
        struct quantize_options options = QUANTIZE_DEFAULTS;
        struct error error = ERROR_NONE;

        options.equalising = equalising;
        options.max_drop = 100;
        ck_assert_msg(quantize(&result, model, &source, &pictures, &options, &parallel, &error) == 0, "%s",
                      error.text);
        *ret_taken = result->equalisation.taken;
        return result->agreement;
}

START_TEST(badly_scaled_depthwise_channels_gain_and_auto_finds_out) {
        _cleanup_(freep) unsigned char *bytes = NULL;
        struct agreement without, with, found;
        size_t size;
        bool taken;

        network_write(&bytes, &size, false);
        without = quantised(EQUALISE_OFF, bytes, size, &taken);
        ck_assert(!taken);
        with = quantised(EQUALISE_ON, bytes, size, &taken);
        ck_assert(taken);
        found = quantised(EQUALISE_AUTO, bytes, size, &taken);
        ck_assert(taken);
        ck_assert_double_gt(with.sqnr_db, without.sqnr_db + 6);
        ck_assert_double_eq(found.divergence, with.divergence);
}
END_TEST

/* A node by its name. */
static size_t node_index(const struct graph *graph, const char *name) {
        for (size_t i = 0; i < graph->n_nodes; i++)
                if (strcmp(graph->nodes[i].name, name) == 0)
                        return i;
        ck_abort_msg("no node '%s'", name);
        return 0;
}

/* Two conversions are one less where the layer beside is float32 already. */
START_TEST(keeping_a_layer_beside_one_that_is_kept_costs_less) {
        _cleanup_(freep) unsigned char *bytes = NULL;
        _cleanup_(model_freep) struct model *model = NULL;
        _cleanup_(graph_freep) struct graph *shapes = NULL;
        _cleanup_(freep) bool *kept = NULL;
        const struct graph *graph;
        double none, first, second, both;
        struct shape input;
        size_t size;

        network_write(&bytes, &size, false);
        model = open_bytes(bytes, size, NULL);
        graph = model_graph(model);
        ck_assert_int_eq(graph_clone(&shapes, graph, NULL), 0);
        ck_assert_int_eq(model_input_shape(&input, model, 1, 0, 0, NULL), 0);
        ck_assert_int_eq(graph_specialise(shapes, &input, NULL), 0);
        kept = calloc(graph->n_nodes, sizeof(*kept));
        ck_assert_ptr_nonnull(kept);
        ck_assert_int_eq(keeping_cost(&none, graph, shapes, kept, NULL), 0);
        kept[node_index(graph, "depthwise")] = true;
        ck_assert_int_eq(keeping_cost(&first, graph, shapes, kept, NULL), 0);
        kept[node_index(graph, "pointwise")] = true;
        ck_assert_int_eq(keeping_cost(&both, graph, shapes, kept, NULL), 0);
        kept[node_index(graph, "depthwise")] = false;
        ck_assert_int_eq(keeping_cost(&second, graph, shapes, kept, NULL), 0);
        ck_assert_double_eq(none, 0);
        ck_assert_double_gt(first, 0);
        ck_assert_double_lt(both, first + second);
}
END_TEST

/* Not one answer may change: some layers stay float32, and no more than are needed. */
START_TEST(layers_are_kept_until_the_budget_is_met) {
        _cleanup_(freep) unsigned char *bytes = NULL;
        _cleanup_(model_freep) struct model *model = NULL;
        _cleanup_(quantize_result_freep) struct quantize_result *result = NULL;
        const struct model_source source = {.name = "small"};
        struct quantize_options options = QUANTIZE_DEFAULTS;
        struct error error = ERROR_NONE;
        size_t size, n_kept = 0;

        network_write(&bytes, &size, false);
        model = open_bytes(bytes, size, NULL);
        options.equalising = EQUALISE_OFF;
        options.max_drop = 0;
        ck_assert_msg(quantize(&result, model, &source, &pictures, &options, &parallel, &error) == 0, "%s",
                      error.text);
        ck_assert_uint_lt(result->before.n_same, N_PICTURES);
        ck_assert(result->met);
        ck_assert_uint_eq(result->agreement.n_same, N_PICTURES);
        for (size_t i = 0; i < result->n_layers; i++)
                n_kept += result->layers[i].kept;
        ck_assert_uint_eq(n_kept, result->n_kept);
        ck_assert_uint_ge(n_kept, 1);
        ck_assert_uint_lt(n_kept, result->n_layers);
}
END_TEST

int main(void) {
        TCase *tcase = tcase_create("all");

        pictures_make();
        tcase_set_timeout(tcase, 120);
        tcase_add_test(tcase, equalising_leaves_the_answers_of_float32);
        tcase_add_test(tcase, equalising_leaves_what_a_clip_cuts_off);
        tcase_add_test(tcase, badly_scaled_depthwise_channels_gain_and_auto_finds_out);
        tcase_add_test(tcase, keeping_a_layer_beside_one_that_is_kept_costs_less);
        tcase_add_test(tcase, layers_are_kept_until_the_budget_is_met);
        return suite_run_as("small networks", tcase);
}
