#pragma once
/*
 * model: a classifier read from ONNX, with its labels and pre-processing, simplified once and ready to be
 * planned.
 *
 * Immutable after model_open(), so threads may share it; packed weights that plans add are guarded inside.
 * Large weights stay in the file, which stays open: plans read it. Strings returned live as long as the
 * model. Input tensors are as the file declares them: [N, C, H, W] or [N, H, W, C].
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/blob.h"
#include "base/error.h"
#include "base/macros.h"
#include "engine/image/preprocess.h"
#include "engine/precision.h"

struct model;

/* The three files of a Hugging Face model directory; the two JSON blobs may be BLOB_NONE. The bytes of onnx
 * must outlive the model. */
struct model_source {
        const char *name; /* what to call it when the caller gives no other name */
        struct blob onnx, config, preprocessor;
};

#define MODEL_MAX_FILE_BYTES ((size_t)2 << 30) /* protobuf's own limit for one message */

/*
 * path: model.onnx, or a directory that has it beside config.json and preprocessor_config.json.
 * name: NULL for the directory's name, or the file's without ".onnx".
 * Fails with ERROR_NOT_FOUND, ERROR_IO, ERROR_INVALID, ERROR_LIMIT, or ERROR_UNSUPPORTED (operator, node and
 * opset named).
 */
int model_open(struct model **ret_model, const char *path, const char *name, struct error *error);
int model_open_source(struct model **ret_model, const struct model_source *source, const char *name,
                      struct error *error);

/*
 * For looking into a network: every plan of this model keeps these values until the end of a run,
 * for run_watched(). A name is that of a node of the file, which stands for its first output, or of a value.
 * What is watched is not fused away, so that such plans are slower. Fails with ERROR_NOT_FOUND, the nearest
 * names in the text.
 */
struct model_watch {
        const char *const *names;
        size_t n;
};

/* What the CPU or the file lacks is ERROR_UNSUPPORTED. */
struct model_options {
        enum precision precision;
        const struct model_watch *watch; /* or NULL */
};

/* As above, with options; NULL: all zero. */
int model_open_with(struct model **ret_model, const char *path, const char *name,
                    const struct model_options *options, struct error *error);
int model_open_source_with(struct model **ret_model, const struct model_source *source, const char *name,
                           const struct model_options *options, struct error *error);
void model_free(struct model *model);
DEFINE_CLEANUP(model)

const char *model_name(const struct model *model);

/* Where the file lies, and others beside it; NULL for a model that came from memory. */
const char *model_directory(const struct model *model);

/*
 * The version: the first 12 hexadecimal digits of the SHA-256 of model.onnx. Hashing takes as long as making
 * a plan, so it is done when the version is first asked for, and takes the calling thread that time.
 * model_identify() does it and tells how it failed (ERROR_IO: the file has changed since it was opened),
 * after which model_version() is MODEL_VERSION_UNKNOWN.
 */
#define MODEL_VERSION_UNKNOWN "unknown"
int model_identify(const struct model *model, struct error *error);
const char *model_version(const struct model *model);

/* What plans compute in, and why: with PRECISION_AUTO that may change once, where a plan was made with
 * answers of the tuner's that say so. */
enum precision model_precision_of(const struct model *model); /* never PRECISION_AUTO */
const char *model_precision(const struct model *model);       /* "f32" */
const char *model_precision_why(const struct model *model);   /* one sentence */
const struct preprocess *model_preprocess(const struct model *model);

/* The label of a class, or NULL where the model has none. */
const char *model_label(const struct model *model, size_t class_id);
size_t model_n_classes(const struct model *model);

struct model_input {
        const char *name;
        size_t batch; /* the only one that the model runs, or 0: any */
        size_t channels, height,
                width; /* the spatial size is the crop of the pre-processing where the file leaves it open */
        bool height_is_open, width_is_open;
        bool channels_last; /* the file's tensor is [N, H, W, C], as TensorFlow's exporters write it */
};
struct model_input model_input(const struct model *model);

/* "[N, 3, 224, 224]", in the file's own order. */
#define MODEL_INPUT_TEXT_BYTES 128u
const char *model_input_text(const struct model *model, char buffer[MODEL_INPUT_TEXT_BYTES]);

/* The output that has the scores: the first one of float32, or where there are labels the first that has one
 * value a label; heads that a network has for its training come after it or have other sizes. */
const char *model_output_name(const struct model *model);
size_t model_n_outputs(const struct model *model); /* in the file */

/* Does the network itself end in probabilities? See engine/classifier.h. */
bool model_gives_probabilities(const struct model *model);

/* What the ONNX file holds. */
size_t model_n_parameters(const struct model *model);
size_t model_n_nodes(const struct model *model); /* as read, before any simplification */
int model_opset(const struct model *model);

/* Bytes of packed weights that all plans of this model share. */
size_t model_weight_bytes(const struct model *model);
