/* Who holds the weights: skeletons of messages, tensors whose elements lie elsewhere, packed forms and their
 * users. */
#include <check.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/model.h"
#include "engine/origin.h"
#include "engine/plan.h"
#include "engine/protobuf_skeleton.h"
#include "engine/source.h"
#include "engine/weights.h"
#include "onnx.pb-c.h"

#define CHANNELS   128u /* weights of [128, 128, 1, 1]: 64 KiB, which stay in the file */
#define N_ELEMENTS ((size_t)CHANNELS * CHANNELS)

/* ---- a model file: Conv 1x1 of [1, 128, 1, 1], BatchNormalization ---- */

static float weight(size_t o, size_t i) {
        return (float)((o * 7 + i * 3) % 11) - 5;
}

static float parameter(unsigned which, size_t channel) {
        return 1 + (float)((channel + which) % 5);
}

struct file {
        unsigned char *bytes;
        size_t size;
        char path[64];
};

static void file_release(struct file *file) {
        if (file->path[0])
                unlink(file->path);
        free(file->bytes);
}

static void float_tensor(Onnx__TensorProto *tensor, char *name, int64_t *dims, size_t n_dims, void *bytes,
                         size_t size) {
        onnx__tensor_proto__init(tensor);
        tensor->name = name;
        tensor->has_data_type = true;
        tensor->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
        tensor->dims = dims;
        tensor->n_dims = n_dims;
        tensor->has_raw_data = true;
        tensor->raw_data = (ProtobufCBinaryData){.data = bytes, .len = size};
}

/* Packs proto as the graph of a model. */
static struct file pack_graph(Onnx__GraphProto *graph) {
        Onnx__OperatorSetIdProto opset = ONNX__OPERATOR_SET_ID_PROTO__INIT, *opsets[] = {&opset};
        Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
        struct file file = {0};

        opset.has_version = true;
        opset.version = 13;
        model.opset_import = opsets;
        model.n_opset_import = 1;
        model.graph = graph;
        file.size = onnx__model_proto__get_packed_size(&model);
        file.bytes = malloc(file.size);
        ck_assert(file.bytes != NULL);
        onnx__model_proto__pack(&model, file.bytes);
        return file;
}

static struct file model_file(void) {
        static float weights[N_ELEMENTS], parameters[4][CHANNELS];
        int64_t filter_dims[] = {CHANNELS, CHANNELS, 1, 1}, vector_dims[] = {CHANNELS};
        Onnx__TensorProto tensors[5], *initializers[5];
        Onnx__NodeProto nodes[2], *node_pointers[] = {&nodes[0], &nodes[1]};
        Onnx__TensorShapeProto__Dimension dims[4], *dim_pointers[4];
        Onnx__TensorShapeProto shape = ONNX__TENSOR_SHAPE_PROTO__INIT;
        Onnx__TypeProto__Tensor tensor_type = ONNX__TYPE_PROTO__TENSOR__INIT;
        Onnx__TypeProto type = ONNX__TYPE_PROTO__INIT;
        Onnx__ValueInfoProto input = ONNX__VALUE_INFO_PROTO__INIT, output = ONNX__VALUE_INFO_PROTO__INIT;
        Onnx__ValueInfoProto *inputs[] = {&input}, *outputs[] = {&output};
        Onnx__GraphProto graph = ONNX__GRAPH_PROTO__INIT;
        char *names[] = {"weights", "gamma", "beta", "mean", "variance"};
        char *conv_inputs[] = {"x", "weights"}, *conv_outputs[] = {"y"};
        char *norm_inputs[] = {"y", "gamma", "beta", "mean", "variance"}, *norm_outputs[] = {"z"};

        for (size_t i = 0; i < N_ELEMENTS; i++)
                weights[i] = weight(i / CHANNELS, i % CHANNELS);
        for (unsigned k = 0; k < 4; k++)
                for (size_t i = 0; i < CHANNELS; i++)
                        parameters[k][i] = parameter(k, i);
        float_tensor(&tensors[0], names[0], filter_dims, 4, weights, sizeof(weights));
        for (unsigned k = 0; k < 5; k++) {
                if (k > 0)
                        float_tensor(&tensors[k], names[k], vector_dims, 1, parameters[k - 1],
                                     sizeof(parameters[0]));
                initializers[k] = &tensors[k];
        }
        for (size_t i = 0; i < 4; i++) {
                onnx__tensor_shape_proto__dimension__init(&dims[i]);
                dims[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
                dims[i].dim_value = i == 1 ? CHANNELS : 1;
                dim_pointers[i] = &dims[i];
        }
        shape.dim = dim_pointers;
        shape.n_dim = 4;
        tensor_type.has_elem_type = true;
        tensor_type.elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
        tensor_type.shape = &shape;
        type.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
        type.tensor_type = &tensor_type;
        input.name = "x";
        input.type = &type;
        output.name = "z";
        for (size_t i = 0; i < 2; i++)
                onnx__node_proto__init(&nodes[i]);
        nodes[0].op_type = "Conv";
        nodes[0].input = conv_inputs;
        nodes[0].n_input = 2;
        nodes[0].output = conv_outputs;
        nodes[0].n_output = 1;
        nodes[1].op_type = "BatchNormalization";
        nodes[1].input = norm_inputs;
        nodes[1].n_input = 5;
        nodes[1].output = norm_outputs;
        nodes[1].n_output = 1;
        graph.node = node_pointers;
        graph.n_node = 2;
        graph.initializer = initializers;
        graph.n_initializer = 5;
        graph.input = inputs;
        graph.n_input = 1;
        graph.output = outputs;
        graph.n_output = 1;
        return pack_graph(&graph);
}

static void file_write(struct file *file, const char *path) {
        FILE *stream = fopen(path, "wb");

        ck_assert(stream != NULL);
        ck_assert_uint_eq(fwrite(file->bytes, 1, file->size, stream), file->size);
        ck_assert_int_eq(fclose(stream), 0);
}

static struct model *open_file(struct file *file) {
        struct error error = ERROR_NONE;
        struct model *model = NULL;
        int fd;

        snprintf(file->path, sizeof(file->path), "/tmp/test_memory_XXXXXX");
        fd = mkstemp(file->path);
        ck_assert_int_ge(fd, 0);
        close(fd);
        file_write(file, file->path);
        ck_assert_msg(model_open(&model, file->path, "model", &error) == 0, "%s", error.text);
        return model;
}

static int plan_of(struct plan **ret_plan, struct model *model, struct error *error) {
        return plan_new(ret_plan, model, &(struct plan_options){.batch = 1, .threads = 1}, error);
}

/* ONNX, BatchNormalization: (y - mean) / sqrt(variance + epsilon) * gamma + beta. */
static void check_answers(const struct plan *plan) {
        _cleanup_(run_freep) struct run *run = NULL;
        struct error error = ERROR_NONE;
        float input[CHANNELS], output[CHANNELS];

        for (size_t i = 0; i < CHANNELS; i++)
                input[i] = (float)(i % 13) - 6;
        ck_assert_msg(run_new(&run, plan, &error) == 0, "%s", error.text);
        ck_assert_int_eq(run_execute_tensor(run, input, output, &error), 0);
        for (size_t o = 0; o < CHANNELS; o++) {
                double y = 0, expected;

                for (size_t i = 0; i < CHANNELS; i++)
                        y += (double)weight(o, i) * (double)input[i];
                expected = (y - (double)parameter(2, o)) / sqrt((double)parameter(3, o) + 1e-5) *
                                   (double)parameter(0, o) +
                           (double)parameter(1, o);
                ck_assert_double_eq_tol((double)output[o], expected, 1e-3);
        }
}

/* ---- skeletons ---- */

static const unsigned payload_fields[] = {4, 9, 10};
static const struct protobuf_payloads payloads = {.message = &onnx__tensor_proto__descriptor,
                                                  .fields = payload_fields,
                                                  .n_fields = 3,
                                                  .min_bytes = 1000};

static int skeleton_of(struct protobuf_skeleton *ret_skeleton, const ProtobufCMessageDescriptor *descriptor,
                       const void *bytes, size_t size, struct error *error) {
        _cleanup_(source_unrefp) struct source *source = NULL;

        ck_assert_int_eq(source_borrow(&source, bytes, size, error), 0);
        return protobuf_skeleton_read(ret_skeleton, descriptor, &payloads, source, error);
}

START_TEST(a_skeleton_is_the_model_without_its_weights) {
        _cleanup_(file_release) struct file file = model_file();
        _cleanup_(protobuf_skeleton_release) struct protobuf_skeleton skeleton = {0};
        struct error error = ERROR_NONE;
        struct protobuf_extent extent;
        Onnx__ModelProto *model;

        ck_assert_int_eq(
                skeleton_of(&skeleton, &onnx__model_proto__descriptor, file.bytes, file.size, &error), 0);
        ck_assert_uint_lt(skeleton.size, file.size - N_ELEMENTS * sizeof(float) + 64);
        model = onnx__model_proto__unpack(NULL, skeleton.size, skeleton.bytes);
        ck_assert(model != NULL);
        ck_assert_uint_eq(model->graph->n_node, 2);
        ck_assert_str_eq(model->graph->node[1]->input[4], "variance");
        ck_assert_uint_eq(model->graph->n_initializer, 5);
        ck_assert(!model->graph->initializer[0]->has_raw_data);
        extent = protobuf_extent_of(&model->graph->initializer[0]->base);
        ck_assert_uint_eq(extent.field, 9);
        ck_assert_uint_eq(extent.bytes, N_ELEMENTS * sizeof(float));
        for (size_t i = 0; i < N_ELEMENTS; i++) {
                float value = weight(i / CHANNELS, i % CHANNELS);

                ck_assert(memcmp(file.bytes + extent.offset + i * sizeof(value), &value, sizeof(value)) ==
                          0);
        }
        /* Small ones are where they were. */
        ck_assert_uint_eq(model->graph->initializer[1]->raw_data.len, CHANNELS * sizeof(float));
        ck_assert_uint_eq(protobuf_extent_of(&model->graph->initializer[1]->base).field, 0);
        onnx__model_proto__free_unpacked(model, NULL);
}
END_TEST

/* Tags and lengths of TensorProto by hand (protobuf, encoding). */
static size_t put_bytes(unsigned char *target, unsigned field, unsigned char fill, size_t n) {
        target[0] = (unsigned char)(field << 3 | 2);
        target[1] = (unsigned char)((n & 0x7f) | 0x80);
        target[2] = (unsigned char)(n >> 7);
        memset(target + 3, fill, n);
        return n + 3;
}

static void check_inline(const unsigned char *bytes, size_t size, size_t n_raw, unsigned char fill) {
        _cleanup_(protobuf_skeleton_release) struct protobuf_skeleton skeleton = {0};
        struct error error = ERROR_NONE;
        Onnx__TensorProto *tensor;

        ck_assert_int_eq(skeleton_of(&skeleton, &onnx__tensor_proto__descriptor, bytes, size, &error), 0);
        tensor = onnx__tensor_proto__unpack(NULL, skeleton.size, skeleton.bytes);
        ck_assert(tensor != NULL);
        ck_assert_uint_eq(protobuf_extent_of(&tensor->base).field, 0);
        ck_assert_uint_eq(tensor->raw_data.len, n_raw);
        ck_assert_uint_eq(tensor->raw_data.data[n_raw - 1], fill);
        onnx__tensor_proto__free_unpacked(tensor, NULL);
}

/* The last of several counts (protobuf, encoding): nothing is left out, protobuf-c decides. */
START_TEST(a_payload_given_twice_is_left_to_the_parser) {
        unsigned char bytes[8192];
        size_t n = put_bytes(bytes, 9, 1, 2000);

        n += put_bytes(bytes + n, 9, 2, 3000);
        check_inline(bytes, n, 3000, 2);
}
END_TEST

START_TEST(a_file_cannot_name_extents_of_its_own) {
        unsigned char bytes[256];
        Onnx__TensorProto tensor = ONNX__TENSOR_PROTO__INIT;
        unsigned char one[8] = {1};
        ProtobufCMessageUnknownField unknown[3];
        size_t n;

        for (unsigned i = 0; i < 3; i++)
                unknown[i] = (ProtobufCMessageUnknownField){.tag = (1u << 29) - 1 - i,
                                                            .wire_type = PROTOBUF_C_WIRE_TYPE_64BIT,
                                                            .len = sizeof(one),
                                                            .data = one};
        tensor.base.unknown_fields = unknown;
        tensor.base.n_unknown_fields = 3;
        tensor.has_raw_data = true;
        tensor.raw_data = (ProtobufCBinaryData){.data = one, .len = 8};
        n = onnx__tensor_proto__pack(&tensor, bytes);
        check_inline(bytes, n, 8, 0);
}
END_TEST

START_TEST(what_ends_early_is_told) {
        _cleanup_(file_release) struct file file = model_file();

        for (size_t size = 1; size < file.size; size += 997) {
                _cleanup_(protobuf_skeleton_release) struct protobuf_skeleton skeleton = {0};
                struct error error = ERROR_NONE;
                int r = skeleton_of(&skeleton, &onnx__model_proto__descriptor, file.bytes, size, &error);

                ck_assert(r == 0 || r == ERROR_INVALID);
                ck_assert(r < 0 || size < 64);
        }
}
END_TEST

/* GraphProto in AttributeProto in NodeProto in GraphProto ...: fields model.graph 7, node 1, attribute 5,
 * g 6. */
static size_t nest(unsigned char *bytes, size_t end, unsigned depth) {
        static const unsigned char tags[] = {1 << 3 | 2, 5 << 3 | 2, 6 << 3 | 2};
        size_t start = end, length = 0;

        for (unsigned i = 0; i < depth; i++) {
                bytes[--start] = (unsigned char)(length & 0x7f);
                if (length > 0x7f) {
                        bytes[start--] = (unsigned char)(length >> 7);
                        bytes[start] = (unsigned char)(0x80 | (length & 0x7f));
                }
                bytes[--start] = i + 1 == depth ? 7 << 3 | 2 : tags[2 - i % 3];
                length = end - start;
        }
        return start;
}

START_TEST(deep_nesting_is_refused_before_it_is_unpacked) {
        _cleanup_(protobuf_skeleton_release) struct protobuf_skeleton skeleton = {0}, none = {0};
        unsigned char bytes[1024];
        struct error error = ERROR_NONE;
        size_t start;

        start = nest(bytes, sizeof(bytes), 3 * (PROTOBUF_MAX_DEPTH / 3) - 2);
        ck_assert_msg(skeleton_of(&skeleton, &onnx__model_proto__descriptor, bytes + start,
                                  sizeof(bytes) - start, &error) == 0,
                      "%s", error.text);
        /* What nothing is left out of is the same message. */
        ck_assert_uint_eq(skeleton.size, sizeof(bytes) - start);
        ck_assert(memcmp(skeleton.bytes, bytes + start, skeleton.size) == 0);
        start = nest(bytes, sizeof(bytes), 3 * PROTOBUF_MAX_DEPTH + 1);
        ck_assert_int_eq(skeleton_of(&none, &onnx__model_proto__descriptor, bytes + start,
                                     sizeof(bytes) - start, &error),
                         ERROR_LIMIT);
}
END_TEST

/* ---- tensors whose elements lie elsewhere ---- */

static struct tensor *tensor_at(enum dtype dtype, struct source *source, uint64_t offset, size_t rows,
                                size_t columns) {
        struct shape shape = {.rank = 2, .dims = {rows, columns}};
        struct error error = ERROR_NONE;
        struct tensor *tensor;

        ck_assert_int_eq(tensor_from_source(&tensor, dtype, &shape, source, offset, &error), 0);
        return tensor;
}

START_TEST(elements_are_computed_on_the_way) {
        enum { ROWS = 100, COLUMNS = 401 };
        static int16_t storage[ROWS * COLUMNS + 1];
        static float fetched[ROWS * COLUMNS];
        unsigned char *bytes = (unsigned char *)storage + 1; /* files align nothing */
        _cleanup_(source_unrefp) struct source *source = NULL;
        _cleanup_(tensor_unrefp) struct tensor *halves = NULL, *floats = NULL, *scaled = NULL, *flat = NULL,
                                               *factors = NULL, *held = NULL;
        struct shape row = {.rank = 1, .dims = {ROWS}}, all = {.rank = 1, .dims = {ROWS * COLUMNS}};
        struct error error = ERROR_NONE;

        for (size_t i = 0; i < ROWS * COLUMNS; i++) {
                uint16_t bfloat = (uint16_t)(0x3f80 + i % 64); /* 1 + (i % 64) / 128 */

                memcpy(bytes + 2 * i, &bfloat, sizeof(bfloat));
        }
        ck_assert_int_eq(source_borrow(&source, bytes, 2 * ROWS * COLUMNS, &error), 0);
        ck_assert_int_eq(tensor_new(&factors, DTYPE_F32, &row, &error), 0);
        for (size_t i = 0; i < ROWS; i++)
                tensor_set(factors, i, (double)i - 50, 0);
        halves = tensor_at(DTYPE_BF16, source, 0, ROWS, COLUMNS);
        ck_assert_int_eq(tensor_cast(&floats, halves, DTYPE_F32, &error), 0);
        ck_assert_int_eq(tensor_scale_rows(&scaled, floats, factors, &error), 0);
        ck_assert_int_eq(tensor_reshape(&flat, scaled, &all, &error), 0);
        ck_assert(!halves->data && !floats->data && !scaled->data && !flat->data);
        ck_assert_int_eq(tensor_hold(&held, flat, &error), 0);
        for (size_t i = 0; i < ROWS * COLUMNS; i++) {
                double expected = (1 + (double)(i % 64) / 128) * ((double)(i / COLUMNS) - 50);

                ck_assert_double_eq(tensor_real(held, i), expected);
        }
        /* Any part, also across rows. */
        for (size_t first = 0; first < ROWS * COLUMNS; first += 3777) {
                size_t n = MIN((size_t)1500, ROWS * COLUMNS - first);

                ck_assert_int_eq(tensor_fetch(flat, first, n, fetched, &error), 0);
                ck_assert(memcmp(fetched, (float *)held->data + first, n * sizeof(float)) == 0);
        }
}
END_TEST

START_TEST(many_conversions_end_in_memory) {
        static unsigned char bytes[4 * 10000];
        _cleanup_(source_unrefp) struct source *source = NULL;
        struct error error = ERROR_NONE;
        struct tensor *tensor;
        unsigned n = 0;

        memset(bytes, 3, sizeof(bytes));
        ck_assert_int_eq(source_borrow(&source, bytes, sizeof(bytes), &error), 0);
        tensor = tensor_at(DTYPE_I32, source, 0, 100, 100);
        for (; !tensor->data; n++) {
                struct tensor *next;

                ck_assert_uint_lt(n, 100);
                ck_assert_int_eq(tensor_cast(&next, tensor, n % 2 ? DTYPE_I32 : DTYPE_I64, &error), 0);
                tensor_unref(tensor);
                tensor = next;
        }
        ck_assert_int_eq(tensor_integer(tensor, 9999), 0x03030303);
        tensor_unref(tensor);
}
END_TEST

/* ---- files that change ---- */

START_TEST(weights_are_read_from_the_file_when_a_plan_needs_them) {
        _cleanup_(file_release) struct file file = model_file();
        _cleanup_(model_freep) struct model *model = open_file(&file);
        _cleanup_(plan_freep) struct plan *plan = NULL;
        struct error error = ERROR_NONE;

        ck_assert_uint_eq(model_weight_bytes(model), 0);
        ck_assert_msg(plan_of(&plan, model, &error) == 0, "%s", error.text);
        ck_assert_uint_ge(model_weight_bytes(model), N_ELEMENTS * sizeof(float));
        check_answers(plan);
}
END_TEST

static void check_change_is_told(struct model *model) {
        struct plan *plan = NULL;
        struct error error = ERROR_NONE;

        ck_assert_int_eq(plan_of(&plan, model, &error), ERROR_IO);
        ck_assert_msg(strstr(error.text, "has changed") != NULL, "%s", error.text);
        ck_assert(plan == NULL);
        ck_assert_uint_eq(model_weight_bytes(model), 0);
}

START_TEST(a_truncated_file_is_an_error) {
        _cleanup_(file_release) struct file file = model_file();
        _cleanup_(model_freep) struct model *model = open_file(&file);

        ck_assert_int_eq(truncate(file.path, 100), 0);
        check_change_is_told(model);
}
END_TEST

START_TEST(a_file_written_over_is_an_error) {
        _cleanup_(file_release) struct file file = model_file();
        _cleanup_(model_freep) struct model *model = open_file(&file);

        file_write(&file, file.path);
        /* As late as a clock of any resolution tells. */
        ck_assert_int_eq(utimensat(AT_FDCWD, file.path,
                                   (struct timespec[]){{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1}}, 0),
                         0);
        check_change_is_told(model);
}
END_TEST

/* How careful people replace a model: the new file gets the old one's name. */
START_TEST(a_replaced_file_goes_on_being_read) {
        _cleanup_(file_release) struct file file = model_file(), other = {0};
        _cleanup_(model_freep) struct model *model = open_file(&file);
        _cleanup_(plan_freep) struct plan *plan = NULL;
        struct error error = ERROR_NONE;

        other.size = 10;
        other.bytes = calloc(1, other.size);
        memcpy(other.path, file.path, sizeof(other.path));
        strcat(other.path, ".new");
        file_write(&other, other.path);
        ck_assert_int_eq(rename(other.path, file.path), 0);
        ck_assert_msg(plan_of(&plan, model, &error) == 0, "%s", error.text);
        check_answers(plan);
}
END_TEST

/* ---- packed forms ---- */

START_TEST(plans_share_forms_and_the_last_one_frees_them) {
        _cleanup_(file_release) struct file file = model_file();
        _cleanup_(model_freep) struct model *model = open_file(&file);
        struct plan *first = NULL, *second = NULL;
        struct error error = ERROR_NONE;
        size_t bytes;

        ck_assert_int_eq(plan_of(&first, model, &error), 0);
        bytes = model_weight_bytes(model);
        ck_assert_int_eq(plan_of(&second, model, &error), 0);
        ck_assert_uint_eq(model_weight_bytes(model), bytes);
        plan_free(first);
        ck_assert_uint_eq(model_weight_bytes(model), bytes);
        check_answers(second);
        plan_free(second);
        ck_assert_uint_eq(model_weight_bytes(model), 0);
}
END_TEST

/* Forms that tests make: each element times the number in params. */
static atomic_uint n_packings;

static int multiply(const void *params, size_t first, size_t n, const void *source, void *target,
                    struct error *error) {
        const float *factor = params;

        if (*factor == 0)
                return error_set(error, ERROR_UNSUPPORTED, "a factor of 0");
        for (size_t i = 0; i < n; i++)
                ((float *)target)[first + i] = ((const float *)source)[i] * *factor;
        atomic_fetch_add(&n_packings, 1);
        return 0;
}

struct forms {
        struct weights *weights;
        struct tensor *tensor;
        pthread_barrier_t barrier;
        atomic_uint n_wrong;
};

static void forms_init(struct forms *forms) {
        struct shape shape = {.rank = 1, .dims = {N_ELEMENTS}};
        struct error error = ERROR_NONE;

        memset(forms, 0, sizeof(*forms));
        ck_assert_int_eq(weights_new(&forms->weights, &error), 0);
        ck_assert_int_eq(tensor_new(&forms->tensor, DTYPE_F32, &shape, &error), 0);
        for (size_t i = 0; i < N_ELEMENTS; i++)
                tensor_set(forms->tensor, i, (double)i, 0);
        atomic_store(&n_packings, 0);
}

static void forms_release(struct forms *forms) {
        tensor_unref(forms->tensor);
        weights_free(forms->weights);
}

static int form_of(struct packed **ret_packed, struct forms *forms, const char *form, float factor,
                   struct error *error) {
        return weights_pack_form(ret_packed, forms->weights, forms->tensor, form, N_ELEMENTS * sizeof(float),
                                 DTYPE_F32, multiply, &factor, error);
}

START_TEST(a_form_is_made_once_and_counted) {
        _cleanup_(forms_release) struct forms forms;
        struct packed *twice, *again, *thrice, *none = NULL;
        struct error error = ERROR_NONE;
        const size_t bytes = N_ELEMENTS * sizeof(float);

        forms_init(&forms);
        ck_assert_int_eq(form_of(&twice, &forms, "x2", 2, &error), 0);
        ck_assert_int_eq(form_of(&again, &forms, "x2", 2, &error), 0);
        ck_assert_int_eq(form_of(&thrice, &forms, "x3", 3, &error), 0);
        ck_assert_ptr_eq(twice, again);
        ck_assert_uint_eq(atomic_load(&n_packings), 2);
        ck_assert_float_eq(((const float *)packed_bytes(twice))[100], 200);
        ck_assert_float_eq(((const float *)packed_bytes(thrice))[100], 300);
        ck_assert_uint_eq((uintptr_t)packed_bytes(thrice) % 64, 0);
        ck_assert_uint_eq(weights_bytes(forms.weights), 2 * bytes);

        ck_assert_int_eq(form_of(&none, &forms, "x0", 0, &error), ERROR_UNSUPPORTED);
        ck_assert(none == NULL);
        ck_assert_uint_eq(weights_bytes(forms.weights), 2 * bytes);

        packed_unref(twice);
        packed_unref(thrice);
        ck_assert_uint_eq(weights_bytes(forms.weights), bytes);
        packed_unref(again);
        ck_assert_uint_eq(weights_bytes(forms.weights), 0);
        ck_assert_int_eq(form_of(&twice, &forms, "x2", 2, &error), 0);
        ck_assert_uint_eq(atomic_load(&n_packings), 3);
        packed_unref(twice);
}
END_TEST

START_TEST(many_forms_are_told_apart) {
        enum { N = 1000 };
        _cleanup_(forms_release) struct forms forms;
        static struct packed *packed[N];
        static struct tensor *tensors[N];
        struct shape shape = {.rank = 1, .dims = {N_ELEMENTS}};
        struct error error = ERROR_NONE;
        float factor = 1;

        forms_init(&forms);
        for (size_t i = 0; i < N; i++) {
                ck_assert_int_eq(tensor_new(&tensors[i], DTYPE_F32, &shape, &error), 0);
                tensor_set(tensors[i], 7, (double)i, 0);
                ck_assert_int_eq(weights_pack_form(&packed[i], forms.weights, tensors[i], "x1",
                                                   N_ELEMENTS * sizeof(float), DTYPE_F32, multiply, &factor,
                                                   &error),
                                 0);
                tensor_unref(tensors[i]); /* the form keeps it */
        }
        for (size_t i = 0; i < N; i += 2) {
                ck_assert_float_eq(((const float *)packed_bytes(packed[i]))[7], (float)i);
                packed_unref(packed[i]);
        }
        ck_assert_uint_eq(weights_bytes(forms.weights), N / 2 * N_ELEMENTS * sizeof(float));
        for (size_t i = 1; i < N; i += 2) {
                struct packed *again;

                ck_assert_int_eq(weights_pack_form(&again, forms.weights, tensors[i], "x1",
                                                   N_ELEMENTS * sizeof(float), DTYPE_F32, multiply, &factor,
                                                   &error),
                                 0);
                ck_assert_ptr_eq(again, packed[i]);
                packed_unref(again);
                packed_unref(packed[i]);
        }
        ck_assert_uint_eq(atomic_load(&n_packings), N);
        ck_assert_uint_eq(weights_bytes(forms.weights), 0);
}
END_TEST

/* A fully connected layer of 40 MiB, its weights as ONNX writes them, [N, K] or transposed: filled part by
 * part, it must be what it is when all of it is there. */
START_TEST(large_layouts_are_filled_in_parts) {
        enum { N = 2599, K = 4099 }; /* no multiple of any block */
        static float storage[(size_t)N * K + 1];
        unsigned char *bytes = (unsigned char *)storage + 1;
        const size_t size = (size_t)N * K * sizeof(float);
        struct shape src = {.rank = 2, .dims = {4, K}}, weights_shape = {.rank = 2, .dims = {N, K}};
        _cleanup_(kernels_freep) struct kernels *kernels = NULL;
        _cleanup_(weights_freep) struct weights *weights = NULL;
        _cleanup_(source_unrefp) struct source *source = NULL;
        _cleanup_(tensor_unrefp) struct tensor *elsewhere = NULL, *held = NULL;
        const struct layout *as, *want;
        const struct kernel *kernel;
        struct packed *in_parts, *whole;
        struct error error = ERROR_NONE;

        for (size_t i = 0; i < (size_t)N * K; i++) {
                float value = (float)(i * 2654435761u % 1000003);

                memcpy(bytes + i * sizeof(value), &value, sizeof(value));
        }
        ck_assert_int_eq(kernels_new(&kernels, 1, &error), 0);
        ck_assert_int_eq(kernel_inner_product_new(&kernel, kernels, &src, N, false, NULL, &error), 0);
        want = kernel_layout(kernel, 1);
        as = _i == 0 ? layout_plain(kernels, &weights_shape)
                     : layout_strided(kernels, &weights_shape, (size_t[]){1, N});
        ck_assert_int_eq(weights_new(&weights, &error), 0);
        ck_assert_int_eq(source_borrow(&source, bytes, size, &error), 0);
        elsewhere = tensor_at(DTYPE_F32, source, 0, N, K);
        ck_assert_int_eq(tensor_hold(&held, elsewhere, &error), 0);
        ck_assert_msg(weights_pack(&in_parts, weights, elsewhere, as, want, &error) == 0, "%s", error.text);
        ck_assert_int_eq(weights_pack(&whole, weights, held, as, want, &error), 0);
        ck_assert(packed_bytes(in_parts) != packed_bytes(whole));
        ck_assert(memcmp(packed_bytes(in_parts), packed_bytes(whole), layout_bytes(want)) == 0);
        packed_unref(in_parts);
        packed_unref(whole);
}
END_TEST

static void *use_forms(void *argument) {
        static const char *const keys[] = {"x1", "x2", "x3", "x4"};
        struct forms *forms = argument;

        pthread_barrier_wait(&forms->barrier);
        for (unsigned round = 0; round < 200; round++) {
                float factor = (float)(round % 4 + 1);
                struct error error = ERROR_NONE;
                struct packed *packed, *none;

                if (form_of(&packed, forms, keys[round % 4], factor, &error) < 0 ||
                    ((const float *)packed_bytes(packed))[1000] != 1000 * factor ||
                    form_of(&none, forms, "x0", 0, &error) != ERROR_UNSUPPORTED)
                        atomic_fetch_add(&forms->n_wrong, 1);
                packed_unref(packed);
        }
        return NULL;
}

START_TEST(threads_share_what_one_of_them_makes) {
        _cleanup_(forms_release) struct forms forms;
        pthread_t threads[4];
        struct packed *kept[4];
        struct error error = ERROR_NONE;

        forms_init(&forms);
        /* Once with all forms kept: nothing is made again, whoever comes. Once without: made and freed at
         * once. */
        for (unsigned pass = 0; pass < 2; pass++) {
                for (unsigned i = 0; i < 4 && pass == 0; i++) {
                        char key[] = {'x', (char)('1' + i), '\0'};

                        ck_assert_int_eq(form_of(&kept[i], &forms, key, (float)(i + 1), &error), 0);
                }
                pthread_barrier_init(&forms.barrier, NULL, 4);
                for (size_t i = 0; i < 4; i++)
                        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_forms, &forms), 0);
                for (size_t i = 0; i < 4; i++)
                        pthread_join(threads[i], NULL);
                pthread_barrier_destroy(&forms.barrier);
                ck_assert_uint_eq(atomic_load(&forms.n_wrong), 0);
                if (pass == 0)
                        ck_assert_uint_eq(atomic_load(&n_packings), 4);
                for (unsigned i = 0; i < 4 && pass == 0; i++)
                        packed_unref(kept[i]);
                ck_assert_uint_eq(weights_bytes(forms.weights), 0);
        }
}
END_TEST

int main(void) {
        Suite *suite = suite_create("memory");
        TCase *tcase = tcase_create("memory");
        SRunner *runner;
        int n_failed;

        tcase_set_timeout(tcase, 0);
        tcase_add_test(tcase, a_skeleton_is_the_model_without_its_weights);
        tcase_add_test(tcase, a_payload_given_twice_is_left_to_the_parser);
        tcase_add_test(tcase, a_file_cannot_name_extents_of_its_own);
        tcase_add_test(tcase, what_ends_early_is_told);
        tcase_add_test(tcase, deep_nesting_is_refused_before_it_is_unpacked);
        tcase_add_test(tcase, elements_are_computed_on_the_way);
        tcase_add_test(tcase, many_conversions_end_in_memory);
        tcase_add_test(tcase, weights_are_read_from_the_file_when_a_plan_needs_them);
        tcase_add_test(tcase, a_truncated_file_is_an_error);
        tcase_add_test(tcase, a_file_written_over_is_an_error);
        tcase_add_test(tcase, a_replaced_file_goes_on_being_read);
        tcase_add_test(tcase, plans_share_forms_and_the_last_one_frees_them);
        tcase_add_test(tcase, a_form_is_made_once_and_counted);
        tcase_add_test(tcase, many_forms_are_told_apart);
        tcase_add_loop_test(tcase, large_layouts_are_filled_in_parts, 0, 2);
        tcase_add_test(tcase, threads_share_what_one_of_them_makes);
        suite_add_tcase(suite, tcase);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_SILENT);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed > 0;
}
