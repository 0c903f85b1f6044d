#pragma once
/*
 * onnx_writer: a struct graph -> a standard ONNX model, the same bytes each time.
 *
 * For graphs as they were read or as graph_simplify() left them: what that made is written in standard
 * operators (ScaleShift is a BatchNormalization), names of nodes and values stay. Nodes that the caller
 * added need a type and no operator. What plans make (engine/fuse.h) cannot be written.
 *
 * Weights go into the file itself, in the type that their tensor has. Files of an operator set before 13,
 * the first with scales for each channel, are written in 13, and their nodes are changed to mean the same.
 */
#include <stddef.h>

#include "base/error.h"
#include "engine/graph.h"

#define ONNX_WRITER_MIN_OPSET 13

struct onnx_writing {
        const char *output_name;   /* of graph->output in the file; NULL: the name that the value has */
        const size_t *output_dims; /* its shape; with n_output_dims 0 only its type is said */
        size_t n_output_dims;
        bool batch_is_open;      /* the first dimension of the output is any number of images */
        const char *description; /* doc_string of the model, or NULL */
};

/* *ret_bytes: to be freed with free(). Fails with ERROR_UNSUPPORTED (node and operator named), ERROR_LIMIT
 * (more than a protobuf message can hold), ERROR_IO (weights that could not be read), ERROR_NO_MEMORY. */
int onnx_write(unsigned char **ret_bytes, size_t *ret_size, const struct graph *graph,
               const struct onnx_writing *writing, struct error *error);
