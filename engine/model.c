#include "engine/model.h"

#include <libgen.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/pool.h"
#include "engine/model_config.h"
#include "engine/model_internal.h"
#include "engine/onnx_reader.h"
#include "engine/simplify.h"
#include "engine/specialise.h"
#include "engine/watch.h"

#define VERSION_DIGITS 12u

struct model {
        struct pool *pool;
        struct graph *graph;
        struct weights *weights;
        const char *name;
        char version[VERSION_DIGITS + 1];
        struct preprocess preprocess;
        const char *const *labels;
        size_t n_labels, n_classes;
        size_t n_parameters, n_nodes;
        bool probabilities;
};

static void version_of(char ret_version[VERSION_DIGITS + 1], const struct blob *onnx) {
        uint8_t digest[SHA256_DIGEST_SIZE];
        struct sha256_ctx context;

        sha256_init(&context);
        sha256_update(&context, onnx->size, onnx->bytes);
        sha256_digest(&context, sizeof(digest), digest);
        for (size_t i = 0; i < VERSION_DIGITS / 2; i++)
                snprintf(ret_version + 2 * i, 3, "%02x", digest[i]);
}

/* The size of the picture: what the file fixes must be what the pre-processing makes. */
static int input_settle(struct model *model, bool configured, struct error *error) {
        const struct graph *graph = model->graph;
        struct preprocess *p = &model->preprocess;
        int64_t height = graph->input_dims[2], width = graph->input_dims[3];

        if (graph->input_dims[1] <= 0)
                return error_set(error, ERROR_UNSUPPORTED, "input '%s' leaves its channels open",
                                 graph->values[graph->input].name);
        if (graph->input_dims[1] > 65536 || height > PREPROCESS_MAX_SIDE || width > PREPROCESS_MAX_SIDE)
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

/* Follows views back from the output: Softmax at the end of the network? */
static bool ends_in_softmax(const struct graph *graph) {
        uint32_t value = graph->output;

        for (size_t i = graph->n_nodes; i-- > 0;) {
                const struct node *node = &graph->nodes[i];

                if (node_output(node, 0) != value)
                        continue;
                if (strcmp(node->type, "Softmax") == 0)
                        return true;
                if (strcmp(node->type, "Reshape") != 0 && strcmp(node->type, "Flatten") != 0 &&
                    strcmp(node->type, "Squeeze") != 0)
                        return false;
                value = node_input(node, 0);
        }
        return false;
}

static size_t count_parameters(const struct graph *graph) {
        size_t n = 0;

        for (size_t i = 0; i < graph->n_values; i++)
                if (graph->values[i].constant)
                        n += graph->values[i].constant->n_elements;
        return n;
}

/* The output's elements for one image. Infers all shapes, so that most of what is wrong with a file shows
 * here. */
static int count_classes(struct model *model, struct error *error) {
        _cleanup_(graph_freep) struct graph *graph = NULL;
        const struct model_input input = model_input(model);
        size_t batch = model->graph->input_dims[0] > 0 ? (size_t)model->graph->input_dims[0] : 1;
        struct shape shape;
        int r;

        r = shape_from_dims(&shape,
                            (int64_t[]){(int64_t)batch, (int64_t)input.channels, (int64_t)input.height,
                                        (int64_t)input.width},
                            4, error);
        if (r >= 0)
                r = graph_clone(&graph, model->graph, error);
        if (r >= 0)
                r = graph_specialise(graph, &shape, error);
        if (r < 0)
                return r;
        model->n_classes = shape_elements(&graph->values[graph->output].shape) / batch;
        if (model->n_classes == 0)
                return error_set(error, ERROR_INVALID, "the output has no elements");
        return 0;
}

static int model_build(struct model **ret_model, const struct model_source *source, const char *name,
                       const char *directory, const struct model_watch *watch, struct error *error) {
        _cleanup_(model_freep) struct model *model = calloc(1, sizeof(*model));
        int r;

        if (!model)
                return error_no_memory(error);
        model->pool = pool_new();
        if (!model->pool)
                return error_no_memory(error);
        model->name = pool_string(model->pool, name);
        if (!model->name)
                return error_no_memory(error);
        model->preprocess = PREPROCESS_IMAGENET;
        version_of(model->version, &source->onnx);

        r = weights_new(&model->weights, error);
        if (r >= 0)
                r = onnx_read(&model->graph, source->onnx.bytes, source->onnx.size, directory, error);
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
        r = graph_simplify(model->graph, error);
        if (r < 0)
                return r;
        model->probabilities = ends_in_softmax(model->graph);
        r = count_classes(model, error);
        if (r < 0)
                return r;
        *ret_model = steal_ptr(&model);
        return 0;
}

int model_open_source_watching(struct model **ret_model, const struct model_source *source, const char *name,
                               const struct model_watch *watch, struct error *error) {
        int r;

        name = name ? name : source->name;
        r = model_build(ret_model, source, name, NULL, watch, error);
        return r < 0 ? error_prefix(error, r, "model '%s'", name) : 0;
}

int model_open_source(struct model **ret_model, const struct model_source *source, const char *name,
                      struct error *error) {
        return model_open_source_watching(ret_model, source, name, NULL, error);
}

static void source_release(struct model_source *source) {
        blob_release(&source->onnx);
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

int model_open_watching(struct model **ret_model, const char *path, const char *name,
                        const struct model_watch *watch, struct error *error) {
        _cleanup_(source_release) struct model_source source = {0};
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

        r = blob_read(&source.onnx, onnx_path, MODEL_MAX_FILE_BYTES, error);
        if (r >= 0)
                r = optional_read(&source.config, directory, "config.json", error);
        if (r >= 0)
                r = optional_read(&source.preprocessor, directory, "preprocessor_config.json", error);
        if (r < 0)
                return r;
        own_name = name_of_path(path);
        r = model_build(ret_model, &source,
                        name       ? name
                        : own_name ? own_name
                                   : "model",
                        directory, watch, error);
        return r < 0 ? error_prefix(error, r, "%s", onnx_path) : 0;
}

int model_open(struct model **ret_model, const char *path, const char *name, struct error *error) {
        return model_open_watching(ret_model, path, name, NULL, error);
}

void model_free(struct model *model) {
        if (model->weights)
                weights_free(model->weights);
        if (model->graph)
                graph_free(model->graph);
        if (model->pool)
                pool_free(model->pool);
        free(model);
}

const char *model_name(const struct model *model) {
        return model->name;
}

const char *model_version(const struct model *model) {
        return model->version;
}

const char *model_precision(const struct model *model) {
        (void)model;
        return "f32";
}

const char *model_precision_why(const struct model *model) {
        (void)model;
        return "float32 is the only precision that this version computes in";
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
        return (struct model_input){
                .name = model->graph->values[model->graph->input].name,
                .channels = (size_t)model->graph->input_dims[1],
                .height = model->preprocess.crop_height,
                .width = model->preprocess.crop_width,
        };
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

struct weights *model_weights(struct model *model) {
        return model->weights;
}

bool model_gives_probabilities(const struct model *model) {
        return model->probabilities;
}
