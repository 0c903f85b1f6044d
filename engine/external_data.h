#pragma once
/* external_data: tensors whose bytes lie in a file of their own beside the model (ONNX external data). */
#include "base/error.h"
#include "engine/source.h"
#include "engine/tensor.h"
#include "onnx.pb-c.h"

#define EXTERNAL_DATA_MAX_FILES 64u /* that stay open; tensors of further ones are held at once */

/* The files of one model that have been opened. Starts as {.directory = ...}. */
struct external_data {
        const char *directory; /* the one the model lies in, NULL: none (an embedded model) */
        struct source *files[EXTERNAL_DATA_MAX_FILES];
        char *locations[EXTERNAL_DATA_MAX_FILES];
        size_t n_files;
};

void external_data_release(struct external_data *external);

/*
 * The location must be a plain relative path that does not leave the directory: no "..", no absolute path,
 * no symbolic link at its end. Large tensors stay in the file (engine/origin.h). Fails with ERROR_INVALID,
 * ERROR_NOT_FOUND, ERROR_IO, ERROR_LIMIT.
 */
int external_data_read(struct tensor **ret_tensor, struct external_data *external, enum dtype dtype,
                       const struct shape *shape, const Onnx__TensorProto *proto, struct error *error);
