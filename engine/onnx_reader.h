#pragma once
/*
 * onnx_reader: bytes of an ONNX model (IR version 3 and later) -> struct graph. The bytes are hostile.
 *
 * Source: onnx.proto of ONNX 1.12. Bounds: the nesting of messages, the memory that the parser may take in
 * proportion to the file, the number of nodes and values, and all that engine/tensor.h checks.
 */
#include <stddef.h>

#include "base/error.h"
#include "engine/graph.h"

#define ONNX_MAX_NODES          20000u /* some passes are quadratic: 4 s at worst; networks have hundreds */
#define ONNX_MAX_VALUES         1000000u
#define ONNX_MAX_OPSETS         64u                /* one a domain; each node looks its own up */
#define ONNX_MAX_CONSTANT_BYTES ((size_t)16 << 30) /* of all tensors together */

/*
 * directory: where external data may lie, NULL: nowhere. Every node's operator has been found in the table.
 * Fails with ERROR_INVALID, ERROR_LIMIT, ERROR_UNSUPPORTED (operator, node, opset), ERROR_NOT_FOUND
 * (external data).
 */
int onnx_read(struct graph **ret_graph, const void *bytes, size_t size, const char *directory,
              struct error *error);

/* The same for any network: inputs and outputs in any number, of any rank and type that tensors have, of
 * operator sets from 1 on. */
int onnx_read_network(struct graph **ret_graph, const void *bytes, size_t size, const char *directory,
                      struct error *error);

/* A serialised TensorProto. */
int onnx_read_tensor(struct tensor **ret_tensor, const void *bytes, size_t size, struct error *error);
