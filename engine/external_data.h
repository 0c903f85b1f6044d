#pragma once
/* external_data: tensors whose bytes lie in a file of their own beside the model (ONNX external data). */
#include "base/error.h"
#include "engine/tensor.h"
#include "onnx.pb-c.h"

/*
 * directory: the one the model lies in, NULL: none (an embedded model). The location must be a plain
 * relative path that does not leave it: no "..", no absolute path, no symbolic link at its end. Fails with
 * ERROR_INVALID, ERROR_NOT_FOUND, ERROR_IO.
 */
int external_data_read(struct tensor **ret_tensor, enum dtype dtype, const struct shape *shape,
                       const Onnx__TensorProto *proto, const char *directory, struct error *error);
