#include "engine/model.h"

#include <libgen.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/pool.h"
#include "engine/classifier.h"
#include "engine/model_config.h"
#include "engine/model_internal.h"
#include "engine/onnx_reader.h"
#include "engine/precision_choice.h"
#include "engine/simplify.h"
#include "engine/specialise.h"
#include "engine/version.h"
#include "engine/watch.h"

struct model {
        struct pool *pool;
        struct graph *graph;
        struct graph *as_read; /* of a quantised file whose precision is open, for float32; else NULL */
        struct weights *weights;
        const char *name, *output_name;
        const char *directory; /* NULL: none */
        struct version *version;
        struct preprocess preprocess;
        const char *const *labels;
        size_t n_labels, n_classes;
        size_t n_parameters, n_nodes;
        struct precision_choice precision;
        bool precision_is_open; /* where it turns out to be slower, float32 is taken */
        atomic_bool fell_back;  /* it did */
        bool channels_last;     /* the input is [N, H, W, C] */
        bool probabilities;
};

/* The size of the picture: what the file fixes must be what the pre-processing makes. */
static int input_settle(struct model *model, bool configured, struct error *error) {
        const struct graph *graph = model->graph;
        struct preprocess *p = &model->preprocess;
        int64_t channels, height, width;
        int r;

        r = classifier_channels_last(&model->channels_last, graph, error);
        if (r < 0)
                return r;
        channels = graph->input_dims[model->channels_last ? 3 : 1];
        height = graph->input_dims[model->channels_last ? 1 : 2];
        width = graph->input_dims[model->channels_last ? 2 : 3];
        if (channels <= 0)
                return error_set(error, ERROR_UNSUPPORTED, "input '%s' leaves its channels open",
                                 graph->values[graph->input].name);
        if (channels > 65536 || height > PREPROCESS_MAX_SIDE || width > PREPROCESS_MAX_SIDE)
                return error_set(error, ERROR_LIMIT, "input '%s' is larger than %u pixels",
                                 graph->values[graph->input].name, PREPROCESS_MAX_SIDE);
        if (!configured) {
                /* torchvision's ratio of the resize to the crop, 256 to 224, for other sizes too. */
                if (height > 0)
                        p->crop_height = (size_t)height;
                if (width > 0)
                        p->crop_width = (size_t)width;
                p->resize_shorter = MAX(MIN(p->crop_height, p->crop_width) * 256 / 224,
                                        MAX(p->crop_height, p->crop_width));
                p->resize_shorter = MIN(p->resize_shorter, PREPROCESS_MAX_SIDE);
        }
        if ((height > 0 && (size_t)height != p->crop_height) ||
            (width > 0 && (size_t)width != p->crop_width))
                return error_set(error, ERROR_INVALID,
                                 "the model takes %jdx%jd pixels, preprocessor_config.json makes %zux%zu",
                                 (intmax_t)height, (intmax_t)width, p->crop_height, p->crop_width);
        return 0;
}

static size_t count_parameters(const struct graph *graph) {
        size_t n = 0;

        for (size_t i = 0; i < graph->n_values; i++)
                if (graph->values[i].constant)
                        n += graph->values[i].constant->n_elements;
        return n;
}

/* The output's elements for one image, and what they are. Infers all shapes, so that most of what is wrong
 * with a file shows here. */
static int output_settle(struct model *model, struct error *error) {
        _cleanup_(graph_freep) struct graph *graph = NULL;
        size_t batch = MAX(model_input(model).batch, 1u);
        struct shape shape;
        int r;

        r = model_input_shape(&shape, model, batch, 0, 0, error);
        if (r >= 0)
                r = graph_clone(&graph, model->graph, error);
        if (r >= 0)
                r = graph_specialise(graph, &shape, error);
        if (r < 0)
                return r;
        model->n_classes = shape_elements(&graph->values[graph->output].shape) / batch;
        if (model->n_classes == 0)
                return error_set(error, ERROR_INVALID, "the output has no elements");
        model->probabilities = classifier_gives_probabilities(graph, batch);
        return 0;
}

/* onnx: in place of the blob of source. */
static int model_build(struct model **ret_model, struct source *onnx, const struct model_source *source,
                       const char *name, const char *directory, const struct model_options *options,
                       struct error *error) {
        _cleanup_(model_freep) struct model *model = calloc(1, sizeof(*model));
        const struct model_watch *watch = options ? options->watch : NULL;
        int r;

        if (!model)
                return error_no_memory(error);
        model->pool = pool_new();
        if (!model->pool)
                return error_no_memory(error);
        model->name = pool_string(model->pool, name);
        if (directory)
                model->directory = pool_string(model->pool, directory);
        if (!model->name || (directory && !model->directory))
                return error_no_memory(error);
        model->preprocess = PREPROCESS_IMAGENET;

        r = version_new(&model->version, onnx, error);
        if (r >= 0)
                r = weights_new(&model->weights, error);
        if (r >= 0)
                r = onnx_read(&model->graph, onnx, directory, error);
        if (r >= 0 && watch)
                r = graph_watch(model->graph, watch->names, watch->n, error);
        if (r >= 0 && source->config.bytes)
                r = config_read_labels(&source->config, model->pool, &model->labels, &model->n_labels,
                                       error);
        if (r >= 0 && source->preprocessor.bytes)
                r = config_read_preprocess(&source->preprocessor, &model->preprocess, error);
        if (r >= 0)
                r = input_settle(model, source->preprocessor.bytes != NULL, error);
        if (r < 0)
                return r;
        model->n_nodes = model->graph->n_nodes;
        model->n_parameters = count_parameters(model->graph);
        model->graph->output = classifier_output(model->graph, model->n_labels);
        model->output_name = model->graph->values[model->graph->output].name;
        r = precision_choose(&model->precision, options ? options->precision : PRECISION_AUTO, model->graph,
                             error);
        model->precision_is_open = (!options || options->precision == PRECISION_AUTO) &&
                                   model->precision.precision != PRECISION_F32;
        if (r >= 0 && model->precision_is_open && model->precision.precision == PRECISION_INT8)
                r = graph_clone(&model->as_read, model->graph, error);
        if (r >= 0)
                r = graph_simplify(model->graph, model->precision.precision, error);
        if (r >= 0 && model->channels_last)
                r = classifier_take_transpose(model->graph, error);
        if (r < 0)
                return r;
        r = output_settle(model, error);
        if (r < 0)
                return r;
        *ret_model = steal_ptr(&model);
        return 0;
}

int model_open_source_with(struct model **ret_model, const struct model_source *source, const char *name,
                           const struct model_options *options, struct error *error) {
        _cleanup_(source_unrefp) struct source *onnx = NULL;
        int r;

        name = name ? name : source->name;
        r = source_borrow(&onnx, source->onnx.bytes, source->onnx.size, error);
        if (r >= 0)
                r = model_build(ret_model, onnx, source, name, NULL, options, error);
        return r < 0 ? error_prefix(error, r, "model '%s'", name) : 0;
}

int model_open_source(struct model **ret_model, const struct model_source *source, const char *name,
                      struct error *error) {
        return model_open_source_with(ret_model, source, name, NULL, error);
}

static void configuration_release(struct model_source *source) {
        blob_release(&source->config);
        blob_release(&source->preprocessor);
}

/* A file of a model directory that may be missing. */
static int optional_read(struct blob *ret_blob, const char *directory, const char *file,
                         struct error *error) {
        _cleanup_(freep) char *path = NULL;
        int r;

        if (asprintf(&path, "%s/%s", directory, file) < 0)
                return error_no_memory(error);
        r = blob_read(ret_blob, path, CONFIG_MAX_BYTES, error);
        return r == ERROR_NOT_FOUND ? 0 : r;
}

/* The name that a path gives a model: "resnet50" of "models/resnet50/", of "resnet50.onnx" and of
 * ".../resnet50/model.onnx". */
static char *name_of_path(const char *path) {
        _cleanup_(freep) char *copy = realpath(path, NULL);
        char *base, *dot;

        if (!copy)
                return NULL;
        base = basename(copy);
        if (strcmp(base, "model.onnx") == 0)
                base = basename(dirname(copy));
        dot = strrchr(base, '.');
        if (dot && dot != base && strcmp(dot, ".onnx") == 0)
                *dot = '\0';
        return strdup(base[0] && strcmp(base, "/") != 0 ? base : "model");
}

int model_open_with(struct model **ret_model, const char *path, const char *name,
                    const struct model_options *options, struct error *error) {
        _cleanup_(configuration_release) struct model_source source = {0};
        _cleanup_(source_unrefp) struct source *onnx = NULL;
        _cleanup_(freep) char *onnx_path = NULL, *own_name = NULL, *directory_copy = NULL;
        const char *directory;
        struct stat st;
        int r;

        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
                if (asprintf(&onnx_path, "%s/model.onnx", path) < 0)
                        return error_no_memory(error);
        } else {
                onnx_path = strdup(path);
        }
        directory_copy = onnx_path ? strdup(onnx_path) : NULL;
        if (!directory_copy)
                return error_no_memory(error);
        directory = dirname(directory_copy);

        r = source_open(&onnx, onnx_path, MODEL_MAX_FILE_BYTES, true, error);
        if (r >= 0)
                r = optional_read(&source.config, directory, "config.json", error);
        if (r >= 0)
                r = optional_read(&source.preprocessor, directory, "preprocessor_config.json", error);
        if (r < 0)
                return r;
        own_name = name_of_path(path);
        r = model_build(ret_model, onnx, &source,
                        name       ? name
                        : own_name ? own_name
                                   : "model",
                        directory, options, error);
        return r < 0 ? error_prefix(error, r, "%s", onnx_path) : 0;
}

int model_open(struct model **ret_model, const char *path, const char *name, struct error *error) {
        return model_open_with(ret_model, path, name, NULL, error);
}

void model_free(struct model *model) {
        if (model->weights)
                weights_free(model->weights);
        if (model->as_read)
                graph_free(model->as_read);
        if (model->graph)
                graph_free(model->graph);
        if (model->version)
                version_free(model->version);
        if (model->pool)
                pool_free(model->pool);
        free(model);
}

const char *model_name(const struct model *model) {
        return model->name;
}

const char *model_directory(const struct model *model) {
        return model->directory;
}

int model_identify(const struct model *model, struct error *error) {
        const char *text;

        return version_text(model->version, &text, error);
}

const char *model_version(const struct model *model) {
        const char *text;

        return version_text(model->version, &text, NULL) < 0 ? MODEL_VERSION_UNKNOWN : text;
}

bool model_may_fall_back(const struct model *model) {
        return model->precision_is_open;
}

void model_fall_back(struct model *model) {
        atomic_store(&model->fell_back, true);
}

enum precision model_precision_of(const struct model *model) {
        return atomic_load(&model->fell_back) ? PRECISION_F32 : model->precision.precision;
}

const char *model_precision(const struct model *model) {
        return precision_name(model_precision_of(model));
}

const char *model_precision_why(const struct model *model) {
        if (!atomic_load(&model->fell_back))
                return model->precision.why;
        return model->precision.precision == PRECISION_INT8
                       ? "the file is quantised, but float32 was measured to be faster on this CPU"
                       : "the file's weights are bfloat16, but float32 was measured to be faster on this "
                         "CPU";
}

const struct preprocess *model_preprocess(const struct model *model) {
        return &model->preprocess;
}

const char *model_label(const struct model *model, size_t class_id) {
        return class_id < model->n_labels ? model->labels[class_id] : NULL;
}

size_t model_n_classes(const struct model *model) {
        return model->n_classes;
}

struct model_input model_input(const struct model *model) {
        const int64_t *dims = model->graph->input_dims;
        bool last = model->channels_last;

        return (struct model_input){
                .name = model->graph->values[model->graph->input].name,
                .batch = dims[0] > 0 ? (size_t)dims[0] : 0,
                .channels = (size_t)dims[last ? 3 : 1],
                .height = model->preprocess.crop_height,
                .width = model->preprocess.crop_width,
                .height_is_open = dims[last ? 1 : 2] <= 0,
                .width_is_open = dims[last ? 2 : 3] <= 0,
                .channels_last = last,
        };
}

const char *model_input_text(const struct model *model, char buffer[MODEL_INPUT_TEXT_BYTES]) {
        struct model_input input = model_input(model);
        char batch[32] = "N";

        if (input.batch > 0)
                snprintf(batch, sizeof(batch), "%zu", input.batch);
        if (input.channels_last)
                snprintf(buffer, MODEL_INPUT_TEXT_BYTES, "[%s, %zu, %zu, %zu]", batch, input.height,
                         input.width, input.channels);
        else
                snprintf(buffer, MODEL_INPUT_TEXT_BYTES, "[%s, %zu, %zu, %zu]", batch, input.channels,
                         input.height, input.width);
        return buffer;
}

int model_input_shape(struct shape *ret_shape, const struct model *model, size_t batch, size_t height,
                      size_t width, struct error *error) {
        struct model_input input = model_input(model);
        int64_t n = (int64_t)batch, c = (int64_t)input.channels;
        int64_t h = (int64_t)(height ? height : input.height), w = (int64_t)(width ? width : input.width);

        if (input.batch > 0 && input.batch != batch)
                return error_set(error, ERROR_UNSUPPORTED,
                                 "a batch of %zu; the model was exported for %zu only: export it with a "
                                 "dynamic batch axis",
                                 batch, input.batch);
        if ((!input.height_is_open && (size_t)h != input.height) ||
            (!input.width_is_open && (size_t)w != input.width))
                return error_set(error, ERROR_UNSUPPORTED, "%jdx%jd pixels; the model takes %zux%zu",
                                 (intmax_t)h, (intmax_t)w, input.height, input.width);
        return shape_from_dims(ret_shape,
                               input.channels_last && !model->graph->input_is_transposed
                                       ? (int64_t[]){n, h, w, c}
                                       : (int64_t[]){n, c, h, w},
                               4, error);
}

const char *model_output_name(const struct model *model) {
        return model->output_name;
}

size_t model_n_outputs(const struct model *model) {
        return model->graph->n_outputs;
}

size_t model_n_parameters(const struct model *model) {
        return model->n_parameters;
}

size_t model_n_nodes(const struct model *model) {
        return model->n_nodes;
}

int model_opset(const struct model *model) {
        return model->graph->opset;
}

size_t model_weight_bytes(const struct model *model) {
        return weights_bytes(model->weights);
}

const struct graph *model_graph(const struct model *model) {
        return model->graph;
}

int model_clone_graph(struct graph **ret_graph, const struct model *model, bool fall_back,
                      struct error *error) {
        _cleanup_(graph_freep) struct graph *graph = NULL;
        int r;

        if (!fall_back || !model->as_read)
                return graph_clone(ret_graph, model->graph, error);
        r = graph_clone(&graph, model->as_read, error);
        if (r >= 0)
                r = graph_simplify(graph, PRECISION_F32, error);
        if (r >= 0 && model->channels_last)
                r = classifier_take_transpose(graph, error);
        if (r < 0)
                return r;
        *ret_graph = steal_ptr(&graph);
        return 0;
}

struct weights *model_weights(struct model *model) {
        return model->weights;
}

bool model_gives_probabilities(const struct model *model) {
        return model->probabilities;
}
